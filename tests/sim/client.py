"""A client of a run: speaks the protocol over a stream in memory and writes down everything it sent and got."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
from tests.sim.streams import Endpoint

from modeld_protocol.framing import FrameDecoder, frame


class Gone(Exception):
    """The connection ended before the answer came."""


class Transcript(msgspec.Struct):
    """One connection's life. `entries` are `("sent", message)` and `("got", message)` in order; `raw` is what came in bytes.
    `lost` once the connection has ended, which left the requests of `unanswered` without an answer; `name` is the client's."""

    name: str
    entries: list[tuple[str, dict[str, Any]]]
    raw: bytearray
    lost: bool = False
    unanswered: set[int] = set()


class Client(asyncio.Protocol):
    """One connection. `last_cursor` holds, by session, the epoch and cursor of the newest event that came."""

    def __init__(self, name: str, last_cursor: dict[str, tuple[str, int]]) -> None:
        self.transcript = Transcript(name, [], bytearray())
        self.last_cursor = last_cursor
        self.outstanding: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.endpoint: Endpoint | None = None
        self._decoder = FrameDecoder()
        self._number = 0
        self._answers: Counter[Any] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Endpoint)
        self.endpoint = transport

    def data_received(self, data: bytes) -> None:
        self.transcript.raw += data
        for body in self._decoder.feed(data):
            self._take(msgspec.json.decode(body))

    def _take(self, message: dict[str, Any]) -> None:
        self.transcript.entries.append(("got", message))
        if "method" not in message:
            self._answers[message.get("id")] += 1
            waiting = self.outstanding.pop(message.get("id"), None)  # pyright: ignore[reportArgumentType]
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif message["method"] == "stream/event":
            params = message["params"]
            if "session_id" in params:
                self.last_cursor[params["session_id"]] = params["epoch"], params["cursor"]

    def connection_lost(self, exc: Exception | None) -> None:
        self.transcript.lost = True
        for kind, message in self.transcript.entries:
            if kind == "sent" and "id" in message:
                self._answers[message["id"]] -= 1
        self.transcript.unanswered |= {number for number, count in self._answers.items() if count < 0}
        for waiting in self.outstanding.values():
            if not waiting.done():
                waiting.set_exception(Gone)
        self.outstanding.clear()

    def pause_writing(self) -> None:
        """Clients wait for nobody."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    def send(self, method: str, params: Any, times: int = 1) -> int:
        """Send a request, or the same frame several times; its id."""
        self._number += 1
        for _ in range(times):
            self._write({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        return self._number

    def send_garbage(self, data: bytes) -> None:
        """Send what is no message."""
        if self.endpoint is not None and not self.endpoint.is_closing():
            self.endpoint.write(data)

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: Any) -> dict[str, Any]:
        """Send a request and wait for its answer, whatever it is. Raises Gone."""
        return await self.wait(self.send(method, params))

    async def wait(self, number: int) -> dict[str, Any]:
        """The answer to a request that was just sent. Raises Gone."""
        if self.transcript.lost:
            raise Gone
        waiting = self.outstanding[number] = asyncio.get_running_loop().create_future()
        return await waiting

    def _write(self, message: dict[str, Any]) -> None:
        assert self.endpoint is not None
        if self.transcript.lost or self.endpoint.is_closing():
            self.transcript.lost = True
            return
        self.transcript.entries.append(("sent", message))
        self.endpoint.write(frame(msgspec.json.encode(message)))
