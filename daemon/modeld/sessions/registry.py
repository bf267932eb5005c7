"""The sessions of the daemon: stored ones by their id, those in use in memory, and everything but turns that is done to them."""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from modeld_protocol import IR_VERSION
from modeld_protocol.content import Message
from modeld_protocol.session import (
    ForkPoints,
    Session,
    SessionAppendParams,
    SessionChange,
    SessionChanged,
    SessionCreateParams,
    SessionExport,
    SessionForkParams,
    SessionListParams,
    SessionListResult,
    SessionProblem,
    SessionUpdateParams,
    SubscribeParams,
    SubscribeResult,
)

from ..ledger.store import RETRY_S, Statement, Store, StoreError
from ..observe.log import logger
from ..providers.failure import ProviderFailure
from ..routing.resolve import resolve
from ..runtime import Runtime
from . import records
from .as_sent import NOTHING, AsSent, by_id
from .cache_root import forked
from .fanout import Connection, Feed
from .files import SessionFiles
from .forks import count_until, fork_points
from .history import problems_of, with_ids
from .live import LiveSession, Waiting
from .records import Settings, State

DEFAULT_PAGE = 100
MAX_PAGE = 1_000
MAX_LOADED = 64  # sessions in memory that nobody uses at the moment
MAX_LOADED_BYTES = 128 * 1024 * 1024  # of their messages and events
MAX_WAITING = 64  # in the queue for one session

_log = logger("sessions")

_POLICIES: Mapping[str, tuple[str, ...]] = {
    "concurrent_turns": ("refuse", "queue"),
    "foreign_reasoning": ("drop", "text"),
    "pending_calls": ("close", "refuse"),
}


class Sessions:
    """Every session that there is. Raises ProviderFailure for what clients ask wrongly, StoreError where nothing can be
    written."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self.store = store
        self.runtime = runtime
        self.clock = runtime.clock
        self._loaded: OrderedDict[str, LiveSession] = OrderedDict()
        self._loading: dict[str, asyncio.Task[LiveSession]] = {}
        self._going: set[str] = set()  # being deleted: nobody may load them any more
        self._stored = 0
        self._cursor = 0  # no session that was forgotten had a higher one
        self.on_deleted: Callable[[], None] = lambda: None

    async def recover(self) -> None:
        """At start: turns that the last daemon left running are interrupted, as soon as the store can be written."""
        while True:
            running = [live.running.turn_id for live in self._loaded.values() if live.running is not None]
            try:
                return await self.store.write(*records.interrupt_turns(self.now_ms(), running))
            except StoreError:
                await asyncio.sleep(RETRY_S)

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.clock.wall() * 1000)

    def count(self) -> int:
        """How many are stored; where the store can't be read, how many were the last time."""
        try:
            self._stored = int(self.store.read_now(records.COUNT)[0][0])
        except StoreError as error:
            _log.error("sessions can't be counted", reason=error.message)
        return self._stored

    # ---- in and out of memory

    async def open(self, session_id: str) -> LiveSession:
        """The session, in memory."""
        live = self._loaded.get(session_id)
        if live is not None:
            self._loaded.move_to_end(session_id)
            return await self._fresh(live) if live.stale else live
        loading = self._loading.get(session_id)
        if loading is None:
            loading = self._loading[session_id] = asyncio.create_task(self._load(session_id))
            loading.add_done_callback(lambda _: self._loading.pop(session_id, None))
        return await asyncio.shield(loading)

    async def _load(self, session_id: str) -> LiveSession:
        stored = await self._read(session_id)
        soon = asyncio.get_running_loop().call_soon
        cursor = 0 if stored.row.last_turn is None else self._cursor  # without a turn there was no event
        feed = Feed(session_id, self.runtime.epoch, cursor, soon)
        live = self._loaded[session_id] = LiveSession(stored, feed)
        self.trim()
        return live

    async def _fresh(self, live: LiveSession) -> LiveSession:
        stored = await self._read(live.session_id)
        if live.stale:
            live.restore(stored)
        return live

    async def _read(self, session_id: str) -> records.Loaded:
        try:
            stored = await self.store.read(records.load(session_id))
        except ValueError as error:
            raise ProviderFailure("other", f"session {session_id} can't be read: {error}") from None
        if stored is None or session_id in self._going:
            raise unknown(session_id)
        return stored

    def trim(self) -> None:
        """Forget what nobody uses, the longest unused first, where too much is in memory."""
        held = sum(live.held_bytes for live in self._loaded.values())
        for live in tuple(self._loaded.values()):
            if len(self._loaded) <= MAX_LOADED and held <= MAX_LOADED_BYTES:
                return
            if not live.pinned and live is not next(reversed(self._loaded.values())):
                held -= live.held_bytes
                self.forget(live)

    def forget(self, live: LiveSession) -> None:
        """Take it out of memory; the next use reads what is stored."""
        if not live.deleted:
            self._cursor = max(self._cursor, live.feed.cursor)
        if self._loaded.get(live.session_id) is live:
            del self._loaded[live.session_id]

    async def commit(self, live: LiveSession, statements: Sequence[Statement]) -> None:
        """Write what was changed in memory. Where that fails, memory is not right any more."""
        try:
            await self.store.write_many(statements)
        except sqlite3.IntegrityError:
            live.stale = True
            raise StoreError("another daemon changed the session at the same time; ask again") from None
        except Exception:
            live.stale = True
            raise

    def tell(self, live: LiveSession, change: SessionChange, turn_id: str | None = None) -> None:
        """Tell the session's subscribers of a change."""
        if live.feed.busy:
            live.feed.notify("session/changed", SessionChanged(live.session_id, change, turn_id))

    # ---- one writer at a time

    async def take(self, live: LiveSession, turn_id: str | None = None) -> None:
        """Become the session's one writer: at once, after those before, or not at all, as its policy says."""
        if live.deleted:
            raise unknown(live.session_id)
        if not live.taken and not live.waiting:
            live.taken = True
            return
        if live.settings.policy.get("concurrent_turns") != "queue":
            at = f"turn {live.running.turn_id}" if live.running is not None else "a turn"
            raise ProviderFailure(
                "invalid_request",
                f"{at} of session {live.session_id} is running; wait for its end, cancel it with turn/cancel, "
                "or set the session's policy.concurrent_turns to queue",
                retryable=True,
            )
        if len(live.waiting) >= MAX_WAITING:
            raise ProviderFailure("rate_limit", f"{MAX_WAITING} turns wait for session {live.session_id}; try again later")
        place = Waiting(turn_id, asyncio.get_running_loop().create_future())
        live.waiting.append(place)
        try:
            await place.ready
        except asyncio.CancelledError:
            if place.ready.done() and not place.ready.cancelled():
                self.give_back(live)  # it was ours just now
            elif place in live.waiting:  # it isn't where the writer before gave back since the cancel
                live.waiting.remove(place)
            raise
        try:
            if live.deleted:
                raise unknown(live.session_id)
            if live.stale:
                await self._fresh(live)
        except BaseException:
            self.give_back(live)
            raise

    def give_back(self, live: LiveSession) -> None:
        """The writer is done: the next one goes on."""
        while live.waiting:
            place = live.waiting.popleft()
            if not place.ready.done():
                place.ready.set_result(None)
                return
        live.taken = False

    # ---- settings

    async def create(self, params: SessionCreateParams) -> Session:
        """A new session, empty."""
        self._check_model(params.model)
        check_policy(params.policy or {})
        settings = Settings(params.model, params.system_prompt, params.tools or [], params.metadata or {}, params.policy or {})
        return await self._insert(settings, State(), [])

    async def update(self, params: SessionUpdateParams) -> Session:
        """Change what is given; the rest stays."""
        live = await self.open(params.session_id)
        self._check_model(params.model)
        check_policy(params.policy or {})
        names = ("model", "system_prompt", "tools", "metadata", "policy")
        changed = {name: value for name in names if (value := getattr(params, name)) is not None}
        live.settings = msgspec.structs.replace(live.settings, **changed)
        live.updated_ms = self.now_ms()
        await self.commit(live, (records.update_session(live.session_id, live.updated_ms, live.settings),))
        self.tell(live, "updated")
        return live.describe()

    async def page(self, params: SessionListParams) -> SessionListResult:
        """A page of sessions, last updated first."""
        limit = min(max(1, params.limit or DEFAULT_PAGE), MAX_PAGE)
        rows = await self.store.read(records.page(limit + 1, _parse_cursor(params.cursor)))
        more = f"{rows[limit - 1].updated_ms}.{rows[limit - 1].session_id}" if len(rows) > limit else None
        return SessionListResult([records.describe(row) for row in rows[:limit]], more)

    async def delete(self, session_id: str) -> None:
        """Delete a session; its turn, if one runs, is cancelled first."""
        live = await self.open(session_id)
        live.deleted = True
        running = live.running
        if running is not None and running.task is not None and running.cancel is not None:
            running.cancel()
            await asyncio.wait((running.task,))
        self._going.add(session_id)
        try:
            await self.commit(live, (records.delete_session(session_id, self.now_ms()),))
        except Exception:
            live.deleted = False
            raise
        finally:
            self._going.discard(session_id)
        self.tell(live, "deleted")
        live.feed.close()
        self.forget(live)
        self.on_deleted()

    async def expire(self, session_id: str, updated_ms: int) -> bool:
        """Delete a session that was last changed then; False where somebody uses it, or has changed it since."""
        live = self._loaded.get(session_id)
        if session_id in self._loading or (live is not None and (live.pinned or live.pairing.pending)):
            return False
        if live is not None:
            self.forget(live)
        self._going.add(session_id)
        try:
            await self.store.write(*records.delete_session(session_id, self.now_ms(), updated_ms))
        finally:
            self._going.discard(session_id)
        return not self.store.read_now("SELECT 1 FROM sessions WHERE session_id = ? AND deleted_ms IS NULL", (session_id,))

    def _check_model(self, model: str | None) -> None:
        if model is not None:
            resolve(self.runtime.snapshot.registry, model, None)

    async def _insert(
        self,
        settings: Settings,
        state: State,
        messages: list[Message],
        as_sent: Mapping[str, bytes] | None = None,
        copied_from: str | None = None,
    ) -> Session:
        session_id, now_ms = self.clock.new_id("ses"), self.now_ms()
        if settings.cache_root is None:
            settings.cache_root = session_id
        if copied_from is not None:
            statements = records.copy_messages(copied_from, session_id, len(messages))
        else:
            statements = records.insert_messages(session_id, 0, messages, as_sent=as_sent or {})
        size_bytes = records.size_of(statements) if copied_from is None else 0
        head = records.insert_session(session_id, now_ms, len(messages), size_bytes, settings, state)
        await self.store.write_many([head, *statements])
        return records.describe(records.SessionRow(session_id, now_ms, now_ms, len(messages), settings, state, None))

    # ---- messages

    async def append(self, params: SessionAppendParams, as_sent: AsSent = NOTHING) -> list[str]:
        """Add messages without a call; their ids, given or made, in order. `as_sent` has what doesn't fit into them."""
        live = await self.open(params.session_id)
        await self.take(live)
        try:
            messages = with_ids(params.messages, self.clock.new_id)
            addition = live.pairing.weigh(messages)
            refuse(addition.problems)
            kept = by_id(messages, as_sent)
            statements = records.insert_messages(live.session_id, len(live.messages), messages, as_sent=kept)
            size_bytes = records.size_of(statements)
            live.note_files(messages, self.runtime.files.owners)
            if live.has_file_news:
                statements.append(live.write_state())
            live.extend(messages, addition, size_bytes, self.now_ms(), kept)
            grown = records.grown(live.session_id, live.updated_ms, len(live.messages), size_bytes)
            await self.commit(live, [*statements, grown])
        finally:
            self.give_back(live)
        self.tell(live, "appended")
        return [message.id or "" for message in messages]

    async def fork(self, params: SessionForkParams) -> Session:
        """A session of its own with the history up to a message. It shares the cache root: what went out is the same."""
        live = await self.open(params.session_id)
        count = count_until(live.messages, params.message_id)
        if count is None:
            raise ProviderFailure(
                "invalid_request",
                f"session {live.session_id} can't be forked after {params.message_id}; session/forkPoints lists where it can",
            )
        settings = msgspec.structs.replace(live.settings, parent_id=live.session_id)
        refused = {provider: min(before, count) for provider, before in live.state.refused_before.items()}
        state = State(refused, forked(live.state.root, count), dict(live.files.owners))
        return await self._insert(settings, state, live.messages[:count], copied_from=live.session_id)

    async def fork_points(self, session_id: str) -> ForkPoints:
        """Where it can be forked, and where not and why."""
        return fork_points((await self.open(session_id)).messages)

    async def export(self, session_id: str) -> SessionExport:
        """The session as one object."""
        live = await self.open(session_id)
        state: dict[str, object] = {"refused_before": live.state.refused_before}
        if live.state.files:
            state["files"] = live.state.files
        return SessionExport(IR_VERSION, live.describe(), live.history(), state)

    async def import_(self, export: SessionExport, as_sent: AsSent = NOTHING) -> Session:
        """A new session with the messages of an exported one. `as_sent` has what doesn't fit into them."""
        if export.ir_version > IR_VERSION:
            raise ProviderFailure(
                "invalid_request",
                f"the export has the form {export.ir_version} and this daemon knows {IR_VERSION}; update modeld",
            )
        refuse(problems_of(export.messages))
        check_policy(export.session.policy)
        session = export.session
        settings = Settings(session.model, session.system_prompt, session.tools, session.metadata, session.policy)
        try:
            state = msgspec.convert(export.provider_state, State)
        except msgspec.ValidationError:
            state = State()
        messages = with_ids(export.messages, self.clock.new_id)
        state.files |= SessionFiles(state.files).news(messages, self.runtime.files.owners)
        return await self._insert(settings, state, messages, by_id(messages, as_sent))

    # ---- subscribers

    async def subscribe(self, connection: Connection, params: SubscribeParams) -> SubscribeResult:
        """Follow a session: what the client missed since its cursor, or a snapshot, then everything that comes."""
        live = await self.open(params.session_id)
        while (running := live.running) is not None and running.ending and running.task is not None:
            await asyncio.wait((running.task,))  # its last events are about to go out
        feed = live.feed
        reset = feed.reset_reason(params.epoch, params.cursor)
        if reset is None and params.cursor is not None:
            return SubscribeResult(feed.epoch, feed.follow(connection, params.cursor))
        return SubscribeResult(feed.epoch, feed.follow(connection, None), live.snapshot(), reset)

    async def unsubscribe(self, connection: Connection, session_id: str) -> None:
        """Follow it no longer."""
        (await self.open(session_id)).feed.unfollow(connection)


def unknown(session_id: str) -> ProviderFailure:
    """There is no such session."""
    return ProviderFailure("invalid_request", f"no session has the id {session_id[:100]}; session/list shows those there are")


def refuse(problems: Sequence[SessionProblem]) -> None:
    """Raise ProviderFailure (`invalid_request`) where there are problems."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ProviderFailure("invalid_request", f"{problems[0].message}{more}")


def check_policy(policy: Mapping[str, object]) -> None:
    """Raise ProviderFailure for a value that the daemon doesn't know; keys of others pass."""
    for key, values in _POLICIES.items():
        if key in policy and policy[key] not in values:
            raise ProviderFailure("invalid_request", f"policy.{key} may be {' or '.join(values)}")


def _parse_cursor(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    updated, _, session_id = cursor.partition(".")
    if not (updated.isascii() and updated.isdigit() and len(updated) < 16 and session_id):
        raise ProviderFailure("invalid_request", "cursor: not one that session/list gave; begin without one")
    return int(updated), session_id
