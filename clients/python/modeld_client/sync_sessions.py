"""`client.sessions` without await: the same as `sessions`, for any number of threads."""

import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeVar, Unpack

from modeld_protocol import session as types
from modeld_protocol.content import Message
from modeld_protocol.events import Event, StreamGap

from .blocking import SyncConnection, SyncFeed
from .calls import Json, decode_event, decode_result
from .errors import ConnectionLost
from .session_calls import Input, SessionEvent, SessionFields, TurnFields, make_create, make_turn, make_update
from .sync import Connect, Stream
from .target import CANCEL_WAIT_S

T = TypeVar("T")


class _Call(Protocol):
    """`Client.call`."""

    def __call__(self, method: str, params: object, result_type: type[T]) -> T: ...


class Access(NamedTuple):
    """What sessions use of their client."""

    call: _Call
    connect: Connect
    lock: threading.Lock
    timeout_s: float | None


class Sessions:
    """Every session of the daemon; `Client.sessions`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._call = access.call

    def create(self, **fields: Unpack[SessionFields]) -> "Session":
        """A new session."""
        made = self._call("session/create", make_create(**fields), types.SessionResult)
        return Session(made.session, self._access)

    def get(self, session_id: str) -> "Session":
        """One that there is; raises InvalidRequest where there is none of that id."""
        found = self._call("session/get", types.SessionRef(session_id), types.SessionGetResult)
        return Session(found.session, self._access)

    def list(self, limit: int | None = None, cursor: str | None = None) -> types.SessionListResult:
        """A page of sessions, last used first; `next_cursor` is where the next page begins."""
        return self._call("session/list", types.SessionListParams(limit, cursor), types.SessionListResult)

    def delete(self, session_id: str) -> None:
        """Delete one; raises InvalidRequest where there is none of that id."""
        self._call("session/delete", types.SessionRef(session_id), types.DeleteResult)

    def import_(self, export: types.SessionExport | Json) -> "Session":
        """A new session from what `Session.export` gave."""
        made = self._call("session/import", export, types.SessionResult)
        return Session(made.session, self._access)


class Session:
    """One session. `info` is what the daemon last said of it; its messages are asked for with `messages`."""

    def __init__(self, info: types.Session, access: Access) -> None:
        self.info = info
        self._access = access
        self._call = access.call

    @property
    def id(self) -> str:
        """Its id, `ses_…`."""
        return self.info.session_id

    def _ref(self) -> types.SessionRef:
        return types.SessionRef(self.id)

    def turn(self, input: Input, *, detach: bool = False, **fields: Unpack[TurnFields]) -> "Turn":
        """Run a turn: `for event in session.turn(...)`. In a `with`, leaving it early cancels the turn, unless
        it was started with `detach=True`."""
        return Turn(self._access, make_turn(self.id, input, detach=detach, **fields), detach=detach)

    def messages(self) -> Sequence[Message]:
        """The history."""
        found = self._call("session/get", self._ref(), types.SessionGetResult)
        self.info = found.session
        return found.messages

    def append(self, messages: Sequence[Message | Json]) -> Sequence[str]:
        """Add messages without a call; returns their ids."""
        params = {"session_id": self.id, "messages": messages}
        return (self._call("session/append", params, types.SessionAppendResult)).message_ids

    def update(self, **fields: Unpack[SessionFields]) -> types.Session:
        """Change settings; what isn't given stays."""
        self.info = (self._call("session/update", make_update(self.id, **fields), types.SessionResult)).session
        return self.info

    def fork(self, message_id: str | None = None) -> "Session":
        """A session of its own with the history up to a message, or as far as is safe."""
        made = self._call("session/fork", types.SessionForkParams(self.id, message_id), types.SessionResult)
        return Session(made.session, self._access)

    def fork_points(self) -> types.ForkPoints:
        """Where it may be forked."""
        return self._call("session/forkPoints", self._ref(), types.ForkPoints)

    def validate(self, model: str | None = None) -> types.SessionValidateResult:
        """Whether it can go on, at its model or another."""
        params = types.SessionValidateParams(self.id, model)
        return self._call("session/validate", params, types.SessionValidateResult)

    def preview(self, model: str) -> types.HandoffReport:
        """What going on with another model would change and cost; nobody is asked."""
        return self._call("handoff/preview", types.HandoffPreviewParams(self.id, model), types.HandoffReport)

    def export(self) -> types.SessionExport:
        """All of it as one object."""
        return self._call("session/export", self._ref(), types.SessionExport)

    def cancel(self, turn_id: str | None = None) -> bool:
        """Cancel the turn that runs, whoever started it; False where none does."""
        params = types.TurnCancelParams(self.id, turn_id)
        return (self._call("turn/cancel", params, types.TurnCancelResult)).cancelled

    def delete(self) -> None:
        """Delete it."""
        self._call("session/delete", self._ref(), types.DeleteResult)

    def subscribe(self, epoch: str | None = None, cursor: int | None = None) -> "SessionFeed":
        """Follow it: use with `with`. With the epoch and cursor of the last event seen, what was missed comes first."""
        return SessionFeed(self._access, types.SubscribeParams(self.id, epoch, cursor))


class Turn(Stream):
    """A turn, made by `Session.turn`: iterate for its events, then `result()`."""

    _method = "turn/start"

    def __init__(self, access: Access, params: types.TurnStartParams, *, detach: bool) -> None:
        super().__init__(access.connect, params, access.lock, access.timeout_s, detach=detach)

    def __next__(self) -> Event:
        if self._connection is None:
            self.__enter__()
        return super().__next__()

    def result(self) -> types.TurnResult:
        """What came of the turn, once it has ended; starts it where nothing has yet. Raises RequestFailed."""
        if self._connection is None:
            self.__enter__()
        return self._reply(types.TurnResult)


class SessionFeed:
    """A session that is followed, made by `Session.subscribe` and open inside `with`: AsyncSessionFeed without await."""

    def __init__(self, access: Access, params: types.SubscribeParams) -> None:
        self._access = access
        self._params = params
        self._feed = SyncFeed(access.lock, params.session_id)
        self._connection: SyncConnection | None = None
        self.started: types.SubscribeResult | None = None
        self._last: tuple[str, int] | None = None

    @property
    def place(self) -> tuple[str, int] | None:
        """Epoch and cursor of the last event taken, or of the beginning: `session.subscribe(*feed.place)` goes on after it."""
        if self._last is None and self.started is not None:
            return self.started.epoch, self.started.cursor
        return self._last

    @property
    def snapshot(self) -> types.SessionSnapshot | None:
        """The session up to the first event."""
        return self.started.snapshot if self.started is not None else None

    @property
    def reset(self) -> str | None:
        """Why the daemon could not go on from the cursor."""
        return self.started.reset if self.started is not None else None

    @property
    def gaps(self) -> list[StreamGap]:
        """What the daemon could not deliver in time."""
        return self._feed.gaps

    def __enter__(self) -> Self:
        connection = self._connection = self._access.connect()
        with self._access.lock:
            connection.mux.follow(self._feed)
        try:
            reply = connection.call("session/subscribe", self._params, self._access.timeout_s)
            self.started = decode_result("session/subscribe", reply, types.SubscribeResult)
        except BaseException:
            self._unfollow(connection)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        connection = self._connection
        if connection is not None and self._unfollow(connection) and connection.lost is None:
            try:
                connection.call("session/unsubscribe", types.SessionRef(self._params.session_id), CANCEL_WAIT_S)
            except (ConnectionLost, TimeoutError):
                pass

    def _unfollow(self, connection: SyncConnection) -> bool:
        with self._access.lock:
            return connection.mux.unfollow(self._feed)

    def __iter__(self) -> Iterator[SessionEvent]:
        return self

    def __next__(self) -> SessionEvent:
        connection, feed = self._connection, self._feed
        if connection is None:
            raise RuntimeError("enter the feed first: `with session.subscribe() as feed`")
        while (raw := connection.next_event(feed, None)) is not None:
            place = feed.place()
            self._last = place[0], place[1]
            event = decode_event(raw)
            if event is not None:
                return SessionEvent(event, *place)
        raise StopIteration
