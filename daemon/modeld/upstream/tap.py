"""A transport that shows what passes to somebody else, byte for byte and without delay."""

from collections.abc import Callable, Mapping
from typing import Protocol

from .contract import Exchange, HttpRequest, Transport, UpstreamError


class Watcher(Protocol):
    """Who is shown one exchange. None of it may raise or wait."""

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """The answer begins; names of headers in lower case."""
        ...

    def data(self, data: bytes) -> None:
        """A piece of its body, decompressed."""
        ...

    def end(self, problem: str | None = None) -> None:
        """It is over; `problem` says what broke. May come again, without meaning."""
        ...


Begin = Callable[[HttpRequest], Watcher]


class TappedTransport:
    """`transport`, shown to what `begin` makes for each request."""

    def __init__(self, transport: Transport, begin: Begin) -> None:
        self._transport = transport
        self._begin = begin

    async def open(self, request: HttpRequest, *, connect_timeout_s: float, head_timeout_s: float) -> Exchange:
        """See the contract."""
        watcher = self._begin(request)
        try:
            exchange = await self._transport.open(request, connect_timeout_s=connect_timeout_s, head_timeout_s=head_timeout_s)
        except BaseException as error:
            watcher.end(_words(error))
            raise
        watcher.head(exchange.status, exchange.headers)
        return _TappedExchange(exchange, watcher)

    async def close(self) -> None:
        """See the contract."""
        await self._transport.close()


class _TappedExchange:
    """One exchange whose body is shown as it is read."""

    def __init__(self, exchange: Exchange, watcher: Watcher) -> None:
        self.status = exchange.status
        self.headers: Mapping[str, str] = exchange.headers
        self._exchange = exchange
        self._watcher = watcher

    async def read(self, max_bytes: int) -> bytes:
        try:
            body = await self._exchange.read(max_bytes)
        except BaseException as error:
            self._watcher.end(_words(error))
            raise
        self._watcher.data(body)
        self._watcher.end()
        return body

    async def pump(self, on_data: Callable[[bytes], bool]) -> None:
        show = self._watcher.data

        def shown(data: bytes) -> bool:
            show(data)
            return on_data(data)

        try:
            await self._exchange.pump(shown)
        except BaseException as error:
            self._watcher.end(_words(error))
            raise
        self._watcher.end()

    def pause(self) -> None:
        self._exchange.pause()

    def resume(self) -> None:
        self._exchange.resume()

    def close(self) -> None:
        self._exchange.close()
        self._watcher.end()


def _words(error: BaseException) -> str:
    """What broke, without quoting anything."""
    return error.fault if isinstance(error, UpstreamError) else type(error).__name__
