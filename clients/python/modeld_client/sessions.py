"""`client.sessions`: durable conversations, their turns, and following what others do on them, on asyncio."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar, Unpack

from modeld_protocol import session as types
from modeld_protocol.content import Message
from modeld_protocol.events import Event, StreamGap

from .calls import Json, decode_event, decode_result
from .errors import ConnectionLost
from .session_calls import Input, SessionEvent, SessionFields, TurnFields, make_create, make_turn, make_update
from .stream import AsyncStream, Connect
from .transport import AsyncConnection, AsyncFeed

T = TypeVar("T")


class _Caller(Protocol):
    """`AsyncClient.call`."""

    def __call__(self, method: str, params: object, result_type: type[T]) -> Awaitable[T]: ...


class AsyncSessions:
    """Every session of the daemon; `AsyncClient.sessions`."""

    def __init__(self, call: _Caller, connect: Connect) -> None:
        self._call = call
        self._connect = connect

    async def create(self, **fields: Unpack[SessionFields]) -> "AsyncSession":
        """A new session."""
        made = await self._call("session/create", make_create(**fields), types.SessionResult)
        return AsyncSession(made.session, self._call, self._connect)

    async def get(self, session_id: str) -> "AsyncSession":
        """One that there is; raises InvalidRequest where there is none of that id."""
        found = await self._call("session/get", types.SessionRef(session_id), types.SessionGetResult)
        return AsyncSession(found.session, self._call, self._connect)

    async def list(self, limit: int | None = None, cursor: str | None = None) -> types.SessionListResult:
        """A page of sessions, last used first; `next_cursor` is where the next page begins."""
        return await self._call("session/list", types.SessionListParams(limit, cursor), types.SessionListResult)

    async def delete(self, session_id: str) -> None:
        """Delete one; raises InvalidRequest where there is none of that id."""
        await self._call("session/delete", types.SessionRef(session_id), types.DeleteResult)

    async def import_(self, export: types.SessionExport | Json) -> "AsyncSession":
        """A new session from what `AsyncSession.export` gave."""
        made = await self._call("session/import", export, types.SessionResult)
        return AsyncSession(made.session, self._call, self._connect)


class AsyncSession:
    """One session. `info` is what the daemon last said of it; its messages are asked for with `messages`."""

    def __init__(self, info: types.Session, call: _Caller, connect: Connect) -> None:
        self.info = info
        self._call = call
        self._connect = connect

    @property
    def id(self) -> str:
        """Its id, `ses_…`."""
        return self.info.session_id

    def _ref(self) -> types.SessionRef:
        return types.SessionRef(self.id)

    def turn(self, input: Input, *, detach: bool = False, **fields: Unpack[TurnFields]) -> "AsyncTurn":
        """Run a turn: `async for event in session.turn(...)`. In an `async with`, leaving it early cancels the turn, unless
        it was started with `detach=True`."""
        return AsyncTurn(self._connect, make_turn(self.id, input, detach=detach, **fields), detach=detach)

    async def messages(self) -> Sequence[Message]:
        """The history."""
        found = await self._call("session/get", self._ref(), types.SessionGetResult)
        self.info = found.session
        return found.messages

    async def append(self, messages: Sequence[Message | Json]) -> Sequence[str]:
        """Add messages without a call; returns their ids."""
        params = {"session_id": self.id, "messages": messages}
        return (await self._call("session/append", params, types.SessionAppendResult)).message_ids

    async def update(self, **fields: Unpack[SessionFields]) -> types.Session:
        """Change settings; what isn't given stays."""
        self.info = (await self._call("session/update", make_update(self.id, **fields), types.SessionResult)).session
        return self.info

    async def fork(self, message_id: str | None = None) -> "AsyncSession":
        """A session of its own with the history up to a message, or as far as is safe."""
        made = await self._call("session/fork", types.SessionForkParams(self.id, message_id), types.SessionResult)
        return AsyncSession(made.session, self._call, self._connect)

    async def fork_points(self) -> types.ForkPoints:
        """Where it may be forked."""
        return await self._call("session/forkPoints", self._ref(), types.ForkPoints)

    async def validate(self, model: str | None = None) -> types.SessionValidateResult:
        """Whether it can go on, at its model or another."""
        params = types.SessionValidateParams(self.id, model)
        return await self._call("session/validate", params, types.SessionValidateResult)

    async def preview(self, model: str) -> types.HandoffReport:
        """What going on with another model would change and cost; nobody is asked."""
        return await self._call("handoff/preview", types.HandoffPreviewParams(self.id, model), types.HandoffReport)

    async def export(self) -> types.SessionExport:
        """All of it as one object."""
        return await self._call("session/export", self._ref(), types.SessionExport)

    async def cancel(self, turn_id: str | None = None) -> bool:
        """Cancel the turn that runs, whoever started it; False where none does."""
        params = types.TurnCancelParams(self.id, turn_id)
        return (await self._call("turn/cancel", params, types.TurnCancelResult)).cancelled

    async def delete(self) -> None:
        """Delete it."""
        await self._call("session/delete", self._ref(), types.DeleteResult)

    def subscribe(self, epoch: str | None = None, cursor: int | None = None) -> "AsyncSessionFeed":
        """Follow it: use with `async with`. With the epoch and cursor of the last event seen, what was missed comes first."""
        return AsyncSessionFeed(self._connect, types.SubscribeParams(self.id, epoch, cursor))


class AsyncTurn(AsyncStream):
    """A turn, made by `AsyncSession.turn`: iterate for its events, then `result()`."""

    _method = "turn/start"

    async def __anext__(self) -> Event:
        if self._connection is None:
            await self.__aenter__()
        return await super().__anext__()

    async def result(self) -> types.TurnResult:
        """What came of the turn, once it has ended; starts it where nothing has yet. Raises RequestFailed."""
        if self._connection is None:
            await self.__aenter__()
        return await self._reply(types.TurnResult)


class AsyncSessionFeed:
    """A session that is followed, made by `AsyncSession.subscribe` and open inside `async with`: iterate for its events.

    `snapshot` is everything before them, where the daemon could not go on from a cursor (`reset` says why) or none was given.
    Raises ConnectionLost when the connection ends: `subscribe(*feed.place)` goes on then, with what was missed first.
    """

    def __init__(self, connect: Connect, params: types.SubscribeParams) -> None:
        self._connect = connect
        self._params = params
        self._feed = AsyncFeed(params.session_id)
        self._connection: AsyncConnection | None = None
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

    async def __aenter__(self) -> Self:
        connection = self._connection = await self._connect()
        connection.mux.follow(self._feed)
        try:
            reply = await connection.call("session/subscribe", self._params)
            self.started = decode_result("session/subscribe", reply, types.SubscribeResult)
        except BaseException:
            connection.mux.unfollow(self._feed)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        connection = self._connection
        if connection is None:
            return
        last = connection.mux.unfollow(self._feed)
        connection.read_on()
        if last and connection.lost is None:
            try:
                await connection.call("session/unsubscribe", types.SessionRef(self._params.session_id))
            except ConnectionLost:
                pass

    def __aiter__(self) -> AsyncIterator[SessionEvent]:
        return self

    async def __anext__(self) -> SessionEvent:
        connection, feed = self._connection, self._feed
        if connection is None:
            raise RuntimeError("enter the feed first: `async with session.subscribe() as feed`")
        while True:
            raw = connection.mux.take(feed)
            if raw is None:
                if feed.done:
                    feed.reply()  # raises what it ended with
                    raise StopAsyncIteration
                await connection.wait(feed)
                continue
            connection.read_on()
            place = feed.place()
            self._last = place[0], place[1]
            event = decode_event(raw)
            if event is not None:
                return SessionEvent(event, *place)
