"""A small HTTP/1.1 server on loopback: one handler, whole requests in, answers in pieces out."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import cast

import httptools
import msgspec

from ..limits import MIB

MAX_REQUEST_BYTES = 64 * MIB  # as much as a provider takes
MAX_HEADER_BYTES = 64 * 1024
MAX_WAITING = 16  # requests of one connection that came before their turn
HIGH_WATER_BYTES = MIB
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Request(msgspec.Struct, frozen=True):
    """A whole request. Header names are in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


class Answer:
    """The answer to one request: `begin`, `write` as often as there is something, then `end` or `cut`."""

    def __init__(self, transport: asyncio.Transport, *, keep_alive: bool) -> None:
        self._transport = transport
        self._keep_alive = keep_alive
        self._ended = False
        self.begun = False
        self.left = asyncio.Event()
        """Set when the client has gone."""
        self.writable = asyncio.Event()
        self.writable.set()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The head; the body that follows is chunked."""
        self.begun = True
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}\r\n{lines}transfer-encoding: chunked\r\n\r\n"
        self._send(head.encode("latin-1", "replace"))

    def write(self, data: bytes) -> None:
        """A piece of the body, sent at once."""
        if data:
            self._send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """The body is whole."""
        self._send(b"0\r\n\r\n")
        self._ended = True
        if not self._keep_alive:
            self._transport.close()

    def cut(self) -> None:
        """Break the connection off, after what was written."""
        self._ended = True
        self._transport.close()

    def settle(self) -> None:
        """The handler has returned: an answer that has no end is broken off."""
        if not self._ended:
            self.cut()

    def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


Handler = Callable[[Request, Answer], Awaitable[None]]


class LoopbackServer:
    """Listens on 127.0.0.1; `port` 0 picks a free one."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.port = port
        self.handler = handler
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """The origin."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection, and wait until handlers have let go."""
        if self._server is not None:
            self._server.close()
        tasks = [task for connection in tuple(self.connections) if (task := connection.abort()) is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> "LoopbackServer":
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()


class _Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other."""

    def __init__(self, server: LoopbackServer) -> None:
        self._server = server
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._answer: Answer | None = None
        self._task: asyncio.Task[None] | None = None
        self._begin_request()

    # ---- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._waiting.clear()
        if self._answer is not None:
            self._answer.left.set()
            self._answer.writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.write(_BAD_REQUEST)
            self._transport.close()

    def pause_writing(self) -> None:
        if self._answer is not None:
            self._answer.writable.clear()

    def resume_writing(self) -> None:
        if self._answer is not None:
            self._answer.writable.set()

    def abort(self) -> asyncio.Task[None] | None:
        """End it at once; returns the handler that still has to notice."""
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()
        return self._task

    # ---- parser

    def _begin_request(self) -> None:
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        if len(self._body) + len(body) > MAX_REQUEST_BYTES:
            raise ValueError("the request is too large")
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        request = Request(method, self._url.decode("latin-1"), self._headers, bytes(self._body))
        if len(self._waiting) >= MAX_WAITING:
            raise ValueError("too many requests wait")
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._begin_request()
        self._answer_next()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("the head is too large")

    # ---- answers

    def _answer_next(self) -> None:
        if self._task is None and self._waiting and not self._transport.is_closing():
            request, keep_alive = self._waiting.popleft()
            self._answer = Answer(self._transport, keep_alive=keep_alive)
            self._task = asyncio.create_task(self._run(request, self._answer))

    async def _run(self, request: Request, answer: Answer) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._server.handler(request, answer)
        finally:
            answer.settle()
            self._answer = self._task = None
            self._answer_next()
