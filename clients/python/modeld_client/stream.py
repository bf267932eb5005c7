"""One streamed call: events while the model speaks, then the whole response."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import anyio

from modeld_protocol.events import Event, StreamGap, TextDelta
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from .calls import decode_event, decode_result
from .target import CANCEL_WAIT_S, NOT_ENTERED, ONCE
from .transport import AsyncConnection, AsyncExchange

if TYPE_CHECKING:
    from modeld_protocol.session import TurnStartParams

T = TypeVar("T")

Connect = Callable[[], Awaitable[AsyncConnection]]


class AsyncStream:
    """A streamed call, made by `AsyncClient.stream` and started by `async with`.

    Iterating gives typed events in order; types that a later daemon adds are skipped. A failure is raised where the
    iteration ends, after the events that came before it. Leaving the block early cancels the call at the provider, unless
    it was made with `detach=True`. Events are for one consumer.
    """

    _method = "model/stream"

    def __init__(self, connect: Connect, request: "CanonicalRequest | TurnStartParams", *, detach: bool) -> None:
        self._connect = connect
        self._params = request
        self._detach = detach
        self._exchange = AsyncExchange(request.request_id)
        self._connection: AsyncConnection | None = None

    @property
    def request_id(self) -> str:
        """The id that the daemon's ledger and trace events know this call by."""
        return self._exchange.request_id or ""

    @property
    def gaps(self) -> list[StreamGap]:
        """What the daemon could not deliver in time; the response is whole nevertheless."""
        return self._exchange.gaps

    async def __aenter__(self) -> Self:
        if self._connection is not None:
            raise RuntimeError(ONCE)
        self._connection = await self._connect()
        self._connection.start(self._exchange, self._method, self._params)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        connection, exchange = self._started(), self._exchange
        connection.mux.mute(exchange)
        connection.read_on()
        if exchange.done or self._detach:
            return
        connection.cancel(exchange)
        if isinstance(error, anyio.get_cancelled_exc_class()):  # whoever cancels us does not want to wait
            connection.mux.forget(exchange)
            return
        with anyio.move_on_after(CANCEL_WAIT_S):
            await connection.wait_done(exchange)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        connection, exchange = self._started(), self._exchange
        while True:
            raw = connection.mux.take(exchange)
            if raw is not None:
                connection.read_on()
                event = decode_event(raw)
                if event is not None:
                    return event
            elif exchange.done:
                exchange.reply()  # raises what it failed with
                raise StopAsyncIteration
            else:
                await connection.wait(exchange)

    async def text(self) -> AsyncIterator[str]:
        """Only the text of the answer, piece by piece."""
        async for event in self:
            if isinstance(event, TextDelta):
                yield event.text

    async def response(self) -> CanonicalResponse:
        """The whole response, once it is there; events may be taken before, after, or not at all."""
        return await self._reply(CanonicalResponse)

    async def _reply(self, result_type: type[T]) -> T:
        await self._started().wait_done(self._exchange)
        return decode_result(self._method, self._exchange.reply(), result_type)

    def _started(self) -> AsyncConnection:
        if self._connection is None:
            raise RuntimeError(NOT_ENTERED)
        return self._connection
