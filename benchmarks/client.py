"""A client for the measures that look at the daemon alone: requests with results, and listeners that only count."""

import asyncio
import itertools
from types import TracebackType
from typing import Any

import msgspec

from modeld_protocol.framing import FrameDecoder, frame

_EVENT = b'"stream/event"'


class _Reply(msgspec.Struct):
    id: Any = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


class Client(asyncio.Protocol):
    """One connection. `events` is how many stream events have come over it."""

    def __init__(self) -> None:
        self.events = 0
        self._frames = FrameDecoder()
        self._decode = msgspec.json.Decoder(_Reply).decode
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    @classmethod
    async def connect(cls, path: str) -> "Client":
        """A client that has shaken hands."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_unix_connection(cls, path)
        await client.call("initialize", {"capabilities": {}})
        return client

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for body in self._frames.feed(data):
            if _EVENT in body[:60]:
                self.events += 1
                continue
            reply = self._decode(body)
            future = self._waiting.pop(reply.id, None)
            if future is None:
                continue
            if reply.error is not None:
                future.set_exception(RuntimeError(str(reply.error)[:300]))
            else:
                future.set_result(msgspec.json.decode(reply.result))

    def send(self, method: str, params: Any) -> "asyncio.Future[Any]":
        """Send a request; its result comes later."""
        number = next(self._numbers)
        self._waiting[number] = future = asyncio.get_running_loop().create_future()
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        self._transport.write(frame(body))  # type: ignore[attr-defined]
        return future

    async def call(self, method: str, params: Any) -> Any:
        """A request's result. Raises RuntimeError for an error."""
        return await self.send(method, params)

    async def saw(self, events: int, timeout_s: float = 30) -> None:
        """Wait until so many events have come."""
        async with asyncio.timeout(timeout_s):
            while self.events < events:
                await asyncio.sleep(0.002)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()  # type: ignore[attr-defined]
