"""A turn: the session's history and the new input to a model, its events to everybody who follows, its answer into the history.

Invariants: one turn at a time on a session; the history takes a turn's input and answer together, in the commit that ends the
turn, so a turn that fails before its first word leaves nothing behind; the terminal event is sent after that commit.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from modeld_protocol.content import Block, Message
from modeld_protocol.errors import ErrorData
from modeld_protocol.events import CachePrefixChanged, Event, TraceEvent
from modeld_protocol.request import Cache, CanonicalRequest
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import HandoffReport, TurnCancelParams, TurnResult, TurnStartParams, TurnState, TurnStatus
from modeld_protocol.usage import Warning

from ..ledger.store import Statement, StoreError
from ..observe.log import logger
from ..providers.cache_care import lost_prefix, sent_of
from ..providers.call import Call
from ..providers.failure import ProviderFailure
from ..providers.spec import ModelSpec
from ..routing.resolve import resolve
from . import records
from .as_sent import as_sent_of, by_id
from .cache_root import Projected, digests_of, restored, root_of
from .fanout import Connection, Encode, Feed
from .handoff import last_model, report
from .history import Pairing, closing_message, kept_of_partial, with_ids
from .live import LiveSession, Running
from .patience import Patience
from .reasoning import Projection
from .registry import Sessions, refuse, unknown
from .tool_ids import TakenIds

_log = logger("turn")
_SIGNATURE_REFUSED = "thinking_signature_invalid"

NewEncoder = Callable[[str, str, str, str, int], Encode]
"""`(request_id, epoch, session_id, turn_id, first cursor)` to the encoder of one turn's events."""


class Starter(msgspec.Struct, frozen=True):
    """Who starts a turn. `slot` is entered while its call runs: it bounds how many of a client's calls run at once."""

    connection: Connection
    client_id: str
    slot: Callable[[], AbstractAsyncContextManager[object]]
    env: Mapping[str, str] = {}
    trace: Callable[[TraceEvent], None] | None = None


class TurnCancelled(Exception):
    """The turn was cancelled; `data` says of what, and what had come."""

    def __init__(self, data: ErrorData) -> None:
        super().__init__(data.message)
        self.data = data


class _TurnConsumer:
    """Passes a call's events on to the session's feed; what comes with the end of the answer is held for the commit."""

    __slots__ = ("call", "feed", "held", "running", "started")

    def __init__(self, feed: Feed, running: Running) -> None:
        self.feed = feed
        self.running = running
        self.call: Call | None = None
        self.held: list[Event] = []
        self.started = False

    @property
    def writable(self) -> bool:
        """At the start always: a subscriber that lags is caught up later."""
        return True

    def emit(self, events: list[Event]) -> None:
        assembler = self.call.assembler if self.call is not None else None
        self.running.assembler = assembler
        if assembler is not None and assembler.completed:
            self.running.ending = True
            self.held += events
        else:
            self.started = True
            self.feed.publish(events)

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        feed = self.feed
        patience = feed.patience = Patience(callback, asyncio.get_running_loop().call_later)

        def close() -> None:
            patience.close()
            feed.patience = None

        return close


class Turn:
    """One turn on its way. `result` or `failure` is there once `task` is done; neither where it was cancelled."""

    def __init__(self, live: LiveSession, params: TurnStartParams, starter: Starter, running: Running) -> None:
        self.live = live
        self.params = params
        self.starter = starter
        self.running = running
        self.consumer = _TurnConsumer(live.feed, running)
        self.warnings: list[Warning] = []
        self.refused_before: int | None = None
        self.projected = Projected(0, 0, as_text=False)
        self.before = last_model(live.messages)
        self.call: Call | None = None
        self.result: TurnResult | None = None
        self.failure: ProviderFailure | None = None
        self.task: asyncio.Task[None] | None = None
        self.begun = False
        self.stillborn = False
        self.sent = False
        running.cancel = self.cancel

    @property
    def partial(self) -> CanonicalResponse | None:
        """What had come before the turn was cut short."""
        call = self.call
        return None if call is None else call.partial or (call.outcome if call.outcome and call.outcome.content else None)

    def cancel(self) -> bool:
        """Cancel it; False where it has ended, or is about to."""
        if self.task is None or self.task.done() or self.running.ending:
            return False
        if not self.begun:  # a task that is cancelled before its first step would never clean up
            self.stillborn = True
            return True
        return self.task.cancel()


class Turns:
    """Starts, runs and ends turns."""

    def __init__(self, sessions: Sessions, new_encoder: NewEncoder) -> None:
        self._sessions = sessions
        self._runtime = sessions.runtime
        self._new_encoder = new_encoder
        self._running: dict[str, Turn] = {}

    @property
    def running(self) -> int:
        """How many turns run."""
        return len(self._running)

    # ---- what clients ask for

    async def start(self, params: TurnStartParams, starter: Starter) -> TurnResult:
        """Run a turn to its end. Raises ProviderFailure, and TurnCancelled where anybody cancelled it.

        Cancelling the caller cancels the turn, unless its client is gone and it was started with `detach`.
        """
        live = await self._sessions.open(params.session_id)
        turn_id = self._sessions.clock.new_id("turn")
        await self._sessions.take(live, turn_id)
        try:
            turn = self._prepare(live, params, starter, turn_id)
        except BaseException:
            self._sessions.give_back(live)
            raise
        turn.task = turn.running.task = asyncio.create_task(self._run(turn))
        await self._until_done(turn)
        if turn.result is not None:
            return turn.result
        if turn.failure is not None:
            raise turn.failure
        raise TurnCancelled(_cancelled_data(turn))

    async def _until_done(self, turn: Turn) -> None:
        assert turn.task is not None
        try:
            await asyncio.wait((turn.task,))
        except asyncio.CancelledError:
            gone = turn.starter.connection.closed
            if not (gone and turn.params.detach):
                turn.cancel()
            if gone:
                raise
            while not turn.task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait((turn.task,))

    async def cancel(self, params: TurnCancelParams) -> bool:
        """Cancel the turn that runs, or one that waits, by its id. False where there is none."""
        live = await self._sessions.open(params.session_id)
        running = live.running
        if running is not None and params.turn_id in (None, running.turn_id):
            return self._running[running.turn_id].cancel()
        for place in live.waiting:
            if place.turn_id == params.turn_id and place.turn_id is not None:
                return place.ready.cancel()
        return False

    async def preview(self, session_id: str, model: str | None) -> HandoffReport:
        """What a switch to `model` would mean, without asking anybody."""
        live = await self._sessions.open(session_id)
        registry = self._runtime.snapshot.registry
        spec = resolve(registry, model, None)
        settings = live.settings
        request = CanonicalRequest(list(live.messages), spec.id, system_prompt=settings.system_prompt, tools=settings.tools)
        before = last_model(live.messages) or settings.model
        sent = _projected(live, spec)
        warnings, refused = list(sent.warnings), []
        try:
            asked = _with_a_next_turn(sent.messages, live.pairing)
            warnings += self._runtime.encoding_warnings(msgspec.structs.replace(request, messages=asked), spec)
        except ProviderFailure as failure:
            refused = [Warning(failure.error_class, failure.message)]
        return report(request, registry.specs.get(before or ""), before, spec, warnings, refused, live.tally)

    async def close(self) -> None:
        """Cancel every turn and wait until each is in the store."""
        tasks = [turn.task for turn in self._running.values() if turn.task is not None]
        self.cancel_all()
        if tasks:
            await asyncio.wait(tasks)

    def cancel_all(self) -> None:
        """Cancel every turn, detached ones too."""
        for turn in tuple(self._running.values()):
            turn.cancel()

    # ---- before it runs

    def _prepare(self, live: LiveSession, params: TurnStartParams, starter: Starter, turn_id: str) -> Turn:
        """Check everything that can be known before a call. Raises ProviderFailure; the history is as it was then."""
        given = [Message("user", params.input)] if isinstance(params.input, str) else params.input
        messages = with_ids(given, self._sessions.clock.new_id)
        kept = by_id(messages, as_sent_of(params))
        if not messages and not live.messages:
            raise ProviderFailure("invalid_request", "input is empty, and so is the session; give a text or messages")
        addition = live.pairing.weigh(messages)
        refuse(addition.problems)
        warnings: list[Warning] = []
        if calls := live.pairing.unanswered(addition):
            if live.settings.policy.get("pending_calls") == "refuse":
                names = ", ".join(call.id for call in calls[:4])
                raise ProviderFailure(
                    "invalid_request", f"the calls {names} wait for their results; send them as tool_result blocks"
                )
            closing, warning = closing_message(calls, self._sessions.clock.new_id("msg"))
            messages = [closing, *messages]
            warnings.append(warning)
        model = params.model or (None if params.provider else live.settings.model)
        request_id = params.request_id or self._sessions.clock.new_id("req")
        try:
            spec = resolve(self._runtime.snapshot.registry, model, params.provider)
        except ProviderFailure as failure:
            failure.request_id, failure.model = request_id, failure.model or model
            self._runtime.note_refused(failure, client_id=starter.client_id, session_id=live.session_id, turn_id=turn_id)
            raise
        running = Running(turn_id, request_id, spec.id, messages, self._sessions.now_ms(), kept)
        turn = Turn(live, params, starter, running)
        turn.warnings += warnings
        live.note_files(messages, self._runtime.files.owners)
        self._call(turn, spec, live.state.refused_before.get(spec.provider, 0))
        return turn

    def _call(self, turn: Turn, spec: ModelSpec, refused_before: int) -> None:
        """Make the turn's call."""
        live, params, settings = turn.live, turn.params, turn.live.settings
        sent = _projected(live, spec, turn.running.input, refused_before)
        turn.warnings += sent.warnings
        turn.projected = Projected(len(live.messages) + len(turn.running.input), refused_before, _as_text(live))
        cache = params.cache
        if spec.quirks.session_cache_keys and (cache is None or (cache.key is None and cache.mode != "off")):
            cache = msgspec.structs.replace(cache or Cache(), key=settings.cache_root)
        request = CanonicalRequest(
            messages=sent.messages,
            model=spec.id,
            provider=spec.provider if params.provider else None,
            request_id=turn.running.request_id,
            system_prompt=settings.system_prompt if params.system_prompt is None else params.system_prompt,
            tools=settings.tools if params.tools is None else params.tools,
            tool_choice=params.tool_choice,
            response_format=params.response_format,
            max_output_tokens=params.max_output_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            stop_sequences=params.stop_sequences or [],
            thinking=params.thinking,
            cache=cache,
            provider_options=params.provider_options,
            timeout_seconds=params.timeout_seconds,
            metadata=params.metadata,
        )
        starter = turn.starter
        call = self._runtime.prepare(
            request,
            stream=True,
            env=starter.env,
            trace=starter.trace,
            client_id=starter.client_id,
            session_id=live.session_id,
            turn_id=turn.running.turn_id,
            memories=live.memories,
            files=live.files.owners,
        )
        call.taken_tool_ids = TakenIds(live.pairing.known)
        if spec.fallbacks:
            call.project = lambda other: _projected(live, other, turn.running.input)
        call.consumer = turn.consumer
        turn.call = turn.consumer.call = call

    # ---- while it runs

    async def _run(self, turn: Turn) -> None:
        """The turn's own task. Never raises."""
        live, running = turn.live, turn.running
        turn.begun = True
        live.running = running
        self._running[running.turn_id] = turn
        feed = live.feed
        feed.attach(turn.starter.connection)
        encode = self._new_encoder(running.request_id, feed.epoch, live.session_id, running.turn_id, feed.cursor + 1)
        feed.begin(running.request_id, encode)
        status: TurnStatus = "failed"
        response: CanonicalResponse | None = None
        try:
            if turn.stillborn:
                raise asyncio.CancelledError
            if live.deleted:
                raise unknown(live.session_id)
            self._begin(turn)
            response = await self._answer(turn)
            status = "completed"
        except ProviderFailure as failure:
            turn.failure = failure
        except asyncio.CancelledError:
            status = "cancelled"
            if not turn.sent and turn.call is not None:
                self._runtime.withdraw(turn.call)
        except Exception as error:
            _log.error("turn failed", exception=error, turn_id=running.turn_id)
            turn.failure = ProviderFailure("other", "the turn failed inside the daemon; its log says where")
        running.ending = True
        try:
            await self._end(turn, status, response)
        finally:
            self._leave(turn)

    def _begin(self, turn: Turn) -> None:
        running, live = turn.running, turn.live
        live.last_turn = TurnState(
            running.turn_id, "running", running.request_id, running.model, records.timestamp(running.started_ms)
        )
        row = records.TurnRow(
            running.turn_id, live.session_id, running.request_id, running.model, running.started_ms, running.input
        )
        for statement in records.begin_turn(row):
            self._sessions.store.write_soon(*statement)  # committed with the ledger's row, before the request leaves
        self._sessions.tell(live, "turn_started", running.turn_id)

    async def _answer(self, turn: Turn) -> CanonicalResponse:
        """Run the call; once more without reasoning whose signatures the provider refuses, before anything was said."""
        async with turn.starter.slot():
            assert turn.call is not None
            turn.sent = True
            try:
                return await self._runtime.run(turn.call)
            except ProviderFailure as failure:
                if failure.error_class != _SIGNATURE_REFUSED or turn.consumer.started or not self._repair(turn):
                    raise
            return await self._runtime.run(turn.call)

    def _repair(self, turn: Turn) -> bool:
        """Make the call anew without the model's own reasoning; False where there was none."""
        refused, live = turn.call, turn.live
        assert refused is not None
        spec = refused.spec
        until = len(live.messages) + len(turn.running.input)
        if _projected(live, spec, turn.running.input, until).messages == refused.request.messages:
            return False
        turn.consumer.held.clear()
        turn.running.ending = False
        turn.refused_before = until
        refused.consumer = None
        self._call(turn, spec, until)
        return True

    # ---- when it ends

    async def _end(self, turn: Turn, status: TurnStatus, response: CanonicalResponse | None) -> None:
        """Take the turn into the history, commit, then let its last events go."""
        live, running = turn.live, turn.running
        content = response.content if response is not None else _kept(turn)
        model = turn.call.spec if turn.call is not None else None
        stop = response.stop_reason if response is not None else "cancelled" if status == "cancelled" else "error"
        error_class = turn.failure.error_class if turn.failure is not None else None
        now_ms = self._sessions.now_ms()
        state = msgspec.structs.replace(
            live.last_turn or TurnState(running.turn_id, status),
            status=status,
            ended_at=records.timestamp(now_ms),
            stop_reason=stop,
            error_class=error_class,
        )
        live.last_turn = state
        statements: list[Statement] = []
        answer: Message | None = None
        noted = (response is not None and self._cache_care(turn, response)) or live.has_file_news
        if response is not None or content:
            assert model is not None
            answer = _answer_message(turn, content, model, stop)
            statements = self._take_in(turn, answer, now_ms)
        if turn.refused_before is not None and model is not None and response is not None:
            live.state.refused_before[model.provider] = len(live.messages) - 1
            noted = True
        if noted:
            statements.append(live.write_state())
        statements.append(records.end_turn(state, now_ms, kept=answer is not None))
        try:
            await self._sessions.commit(live, statements)
        except Exception as error:
            response = None
            turn.failure = _unsaved(error)
        if response is not None and answer is not None:
            turn.result = self._result(turn, answer, response)
        live.feed.publish(turn.consumer.held)
        if turn.result is not None:
            turn.result.cursor = live.feed.cursor

    def _take_in(self, turn: Turn, answer: Message, now_ms: int) -> list[Statement]:
        """The turn's messages into the history, in memory; returns what writes them."""
        live = turn.live
        start = len(live.messages)
        messages = [*turn.running.input, answer]
        kept = turn.running.as_sent
        statements = records.insert_messages(live.session_id, start, messages, turn.running.turn_id, kept)
        size_bytes = records.size_of(statements)
        live.extend(messages, live.pairing.weigh(messages), size_bytes, now_ms, kept)
        return [*statements, records.grown(live.session_id, now_ms, len(live.messages), size_bytes)]

    def _result(self, turn: Turn, answer: Message, response: CanonicalResponse) -> TurnResult:
        warnings = [*turn.warnings, *response.warnings]
        return TurnResult(
            turn.running.turn_id,
            answer,
            response.stop_reason,
            response.usage,
            response.cost,
            warnings,
            self._handoff(turn, warnings),
            turn.running.request_id,
            response.model,
        )

    def _cache_care(self, turn: Turn, response: CanonicalResponse) -> bool:
        """Tell what a broken prefix cost, as far as the provider tells; what was sent is remembered for the next turn, for forks
        and for the next daemon. False where there is nothing to remember."""
        call, live = turn.call, turn.live
        if call is None or response.usage.estimated:
            return False
        spec, now_s, now_ms = call.spec, self._sessions.clock.monotonic(), self._sessions.now_ms()
        before, root = live.sent, live.state.root
        if before is None and root is not None:
            specs = self._runtime.snapshot.registry.specs
            before = restored(root, live.messages, specs.get(root.model), now_ms, now_s, live.files.owners)
        live.sent = sent = sent_of(call.request, spec.id, response.usage, now_s)
        if live.digests is None or not live.digests.fit(sent):
            live.digests = digests_of(sent)
        how = turn.projected if spec.id == turn.running.model else turn.projected._replace(refused_before=0)
        live.state.root = root_of(sent, how, root, live.digests.digests, now_ms)
        if (lost := lost_prefix(before, sent, spec.pricing)) is not None:
            turn.warnings.append(lost)
            call.trace(_lost_event(turn, call, lost))
        return True

    def _handoff(self, turn: Turn, warnings: list[Warning]) -> HandoffReport | None:
        """What the switch meant, where another model gave the answer before."""
        call = turn.call
        if call is None or turn.before is None or turn.before == call.spec.id:
            return None
        before = self._runtime.snapshot.registry.specs.get(turn.before)
        whole = turn.live.messages[:-1]
        request = msgspec.structs.replace(call.request, messages=whole)
        of_history = [warning for warning in warnings if (warning.path or "").startswith("messages")]
        return report(request, before, turn.before, call.spec, of_history, tally=turn.live.tally)

    def _leave(self, turn: Turn) -> None:
        """Nothing of the turn is left: the next one may begin."""
        live, running = turn.live, turn.running
        live.running = None
        live.feed.detach(turn.starter.connection)
        self._sessions.tell(live, "turn_ended", running.turn_id)
        self._running.pop(running.turn_id, None)
        if turn.call is not None:  # no cycle keeps the answer alive
            turn.call.consumer = turn.call.project = None
        turn.consumer.call = running.assembler = running.task = running.cancel = None
        self._sessions.give_back(live)
        self._sessions.trim()


def _with_a_next_turn(messages: list[Message], pairing: Pairing) -> list[Message]:
    """A history as the next turn sends it: with a message of the user's at its end, unless the results of calls come first."""
    return messages if pairing.pending else [*messages, Message("user", "Go on.")]


def _projected(live: LiveSession, spec: ModelSpec, more: Sequence[Message] = (), refused_before: int = 0) -> Projection:
    return live.projected(spec, more, as_text=_as_text(live), refused_before=refused_before)


def _as_text(live: LiveSession) -> bool:
    return live.settings.policy.get("foreign_reasoning") == "text"


def _lost_event(turn: Turn, call: Call, lost: Warning) -> CachePrefixChanged:
    spec, detail = call.spec, lost.detail or {}
    return CachePrefixChanged(
        call.request_id,
        spec.provider,
        spec.id,
        0,
        **detail,
        path=lost.path,
        session_id=turn.live.session_id,
        turn_id=turn.running.turn_id,
    )


def _kept(turn: Turn) -> list[Block]:
    partial = turn.partial
    return kept_of_partial(partial.content) if partial is not None else []


def _answer_message(turn: Turn, content: list[Block], spec: ModelSpec, stop: str) -> Message:
    assert turn.call is not None
    made = {"provider": spec.provider, "model": spec.id, "turn_id": turn.running.turn_id, "stop_reason": stop}
    return Message("assistant", content, turn.call.message_id, made)


def _cancelled_data(turn: Turn) -> ErrorData:
    spec = turn.call.spec if turn.call is not None else None
    return ErrorData(
        "cancelled",
        "the turn was cancelled; what had come is in data.partial" if turn.partial is not None else "the turn was cancelled",
        provider=spec.provider if spec is not None else None,
        model=turn.running.model,
        request_id=turn.running.request_id,
        partial=turn.partial,
    )


def _unsaved(error: Exception) -> ProviderFailure:
    why = error.message if isinstance(error, StoreError) else "the session is gone"
    return ProviderFailure("other", f"the answer came and could not be kept: {why}", retryable=False)
