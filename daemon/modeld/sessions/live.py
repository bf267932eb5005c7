"""A session in memory: its messages, the calls that wait, the turn that runs, and whoever follows it."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import msgspec

from modeld_protocol.content import Message
from modeld_protocol.session import RunningTurn, Session, SessionSnapshot, TurnState

from ..ledger.store import Statement
from ..providers.assembler import Assembler
from ..providers.cache_care import Sent
from ..providers.estimate import Tally
from ..providers.file_owners import Owners
from ..providers.spec import ModelSpec
from ..providers.wire.memory import MAX_MODELS, Memories
from .as_sent import as_they_came
from .cache_root import Digests
from .fanout import Feed
from .files import SessionFiles
from .history import Addition, Pairing, made_by
from .reasoning import Projection, Projector, holds_state
from .records import Loaded, SessionRow, Settings, State, describe, note_state


class Running(msgspec.Struct):
    """The turn that a session is at. `input` is what it adds before its answer; once it is `ending`, events wait for the commit
    and nothing cancels it any more."""

    turn_id: str
    request_id: str
    model: str
    input: list[Message]
    started_ms: int
    as_sent: dict[str, bytes] = {}
    task: "asyncio.Task[None] | None" = None
    cancel: Callable[[], bool] | None = None
    ending: bool = False
    assembler: Assembler | None = None


class Waiting(msgspec.Struct, eq=False):
    """Somebody in the queue for the session; `ready` ends the wait."""

    turn_id: str | None
    ready: "asyncio.Future[None]"


class LiveSession:
    """One session, loaded. Its messages change in memory first and are acknowledged after the commit; where that fails, it is
    `stale` until the registry has read again what is stored."""

    def __init__(self, stored: Loaded, feed: Feed) -> None:
        self.session_id = stored.row.session_id
        self.created_ms = stored.row.created_ms
        self.feed = feed
        self.taken = False
        self.running: Running | None = None
        self.waiting: deque[Waiting] = deque()
        self.deleted = False
        self.stale = False
        self.restore(stored)

    def restore(self, stored: Loaded) -> None:
        """Become what is stored."""
        row, messages, size_bytes, self.as_sent = stored
        self.updated_ms = row.updated_ms
        self.settings: Settings = row.settings
        self.state: State = row.state
        self.last_turn: TurnState | None = row.last_turn
        self.messages = messages
        self.pairing = Pairing(messages)
        self.size_bytes = size_bytes
        self.answered_by: set[tuple[str | None, str | None]] = set()
        self.stale = False
        self.sent: Sent | None = None
        self.digests: Digests | None = None
        self.memories = Memories()
        self.tally = Tally()
        self._projectors: dict[str, tuple[int, Projector]] = {}
        self.files = SessionFiles(row.state.files)
        self.has_file_news = False
        self._note_models(messages)

    @property
    def pinned(self) -> bool:
        """Whether it must stay in memory."""
        return self.taken or bool(self.waiting) or self.feed.busy

    @property
    def held_bytes(self) -> int:
        """Roughly what it keeps in memory."""
        return 2 * self.size_bytes + self.feed.ring.held_bytes + self.memories.held_bytes

    def extend(
        self,
        messages: Sequence[Message],
        addition: Addition,
        size_bytes: int,
        now_ms: int,
        as_sent: Mapping[str, bytes] | None = None,
    ) -> None:
        """Add messages that were weighed."""
        self.messages.extend(messages)
        if as_sent:
            self.as_sent.update(as_sent)
        self.pairing.add(addition)
        self.size_bytes += size_bytes
        self.updated_ms = now_ms
        self._note_models(messages)

    def note_files(self, messages: Sequence[Message], seen: Owners) -> None:
        """Note whose the files are that new messages name, as far as it was `seen`. It is written with the next messages that
        come into the history: those that brought the news may never do."""
        news = self.files.news(messages, seen)
        for file_id, owners in news.items():
            self.files.note(file_id, *owners)
        if news:
            self.state.files = {**self.state.files, **news}
            self.has_file_news = True

    def write_state(self) -> Statement:
        """What writes `state`."""
        self.has_file_news = False
        return note_state(self.session_id, self.state)

    def _note_models(self, messages: Sequence[Message]) -> None:
        self.files.learn(messages)
        for message in messages:
            if holds_state(message):
                self.answered_by.add(made_by(message))

    def history(self) -> list[Message]:
        """Its messages for clients: each with everything that was sent with it."""
        return as_they_came(self.messages, self.as_sent)

    def projected(
        self, spec: ModelSpec, more: Sequence[Message] = (), *, as_text: bool = False, refused_before: int = 0
    ) -> Projection:
        """The history with `more` behind it as a model is to see it; as it is, where nobody else's state or file is in it."""
        files = self.files
        if not refused_before and self.answered_by <= {(spec.provider, spec.id)} and not files.any_elsewhere(spec):
            return Projection([*self.messages, *more], [])
        version, projector = self._projectors.pop(spec.id, (0, None))
        if projector is None or (version, *projector.conditions) != (files.version, spec, as_text, refused_before):
            projector = Projector(spec, as_text=as_text, refused_before=refused_before, files=files.owners)
        self._projectors[spec.id] = (files.version, projector)
        if len(self._projectors) > MAX_MODELS:
            del self._projectors[next(iter(self._projectors))]
        return projector.project(self.messages, more)

    def describe(self) -> Session:
        """The session as clients see it."""
        row = SessionRow(
            self.session_id,
            self.created_ms,
            self.updated_ms,
            len(self.messages),
            self.settings,
            self.state,
            self.last_turn,
        )
        session = describe(row)
        session.running_turn_id = self.running.turn_id if self.running is not None else None
        session.pending_tool_use_ids = [call.id for call in self.pairing.pending.values()]
        return session

    def snapshot(self) -> SessionSnapshot:
        """Everything up to the feed's cursor."""
        turn = None
        if (running := self.running) is not None:
            assembler = running.assembler
            started = assembler is not None and assembler.started
            turn = RunningTurn(
                running.turn_id,
                running.request_id,
                running.model,
                as_they_came(running.input, running.as_sent),
                assembler.so_far() if assembler is not None else [],
                assembler.message_id if assembler is not None and started else None,
            )
        return SessionSnapshot(self.describe(), self.history(), turn)
