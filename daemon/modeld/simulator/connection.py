"""One client's HTTP connection: parses requests, carries out plans, notices when the client leaves."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Protocol, cast
from urllib.parse import unquote

import httptools

from .ask import Call
from .plan import Plan
from .records import RecordedRequest

MAX_REQUEST_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_PIPELINED = 16
_FLUSH_CHECK_S = 0.005
_BEFORE_RESET_S = 0.02  # so that the client has read what came before the reset
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Headers = list[tuple[str, str]]


class Host(Protocol):
    """What a connection needs of the server."""

    def opened(self, connection: "Connection") -> None:
        """The connection stands."""
        ...

    def closed(self, connection: "Connection") -> None:
        """The connection is gone."""
        ...

    def plan(self, call: Call, headers: Headers) -> tuple[Plan, RecordedRequest | None]:
        """What a request gets, and its record if there is one."""
        ...

    def plan_too_large(self, call: Call) -> Plan:
        """What a request gets that is not read to its end."""
        ...

    def left_early(self, record: RecordedRequest, writes_made: int) -> None:
        """The client went before its answer was complete."""
        ...


class Pump:
    """Writes of streams without a pace, in turn: one write of each stream, then the loop has its say, then the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: list[Connection] = []
        self._scheduled = False

    def add(self, connection: "Connection") -> None:
        """Give a stream its turn from the next round on."""
        self._streams.append(connection)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        streams, self._streams = self._streams, []
        going_on = [stream for stream in streams if stream.write_next()]
        self._streams += going_on
        self._scheduled = bool(self._streams)
        if self._scheduled:
            self._loop.call_soon(self._round)


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; requests that come before their turn wait."""

    def __init__(self, host: Host, pump: Pump, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._pump = pump
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._waiting: deque[tuple[Call, Headers, bool]] = deque()
        self._plan: Plan | None = None
        self._record: RecordedRequest | None = None
        self._writes: Sequence[bytes] = ()
        self._place = 0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._held = False
        self._keep_alive = True
        self._ended_here = False
        self._begin_request()

    # ---- transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._note_early_leave()
        self._stop_timer()
        self._waiting.clear()
        self._host.closed(self)

    def eof_received(self) -> bool:
        """The client is gone: nobody half-closes an HTTP connection to say less."""
        if self._plan is not None:
            self._note_early_leave()
            self._transport.abort()
        return False

    def pause_writing(self) -> None:
        """Called by the transport."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by the transport."""
        self._paused = False
        if self._held and self._plan is not None:
            self._held = False
            self._due_s = self._loop.time()
            self._continue()

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""
        return self._plan is not None

    @property
    def buffered_bytes(self) -> int:
        """What was written and the client hasn't taken yet, beyond the kernel's own buffers."""
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """End the connection without a word; the client didn't leave, it was left."""
        self._ended_here = True
        self._plan = None
        self._stop_timer()
        self._transport.abort()

    def _note_early_leave(self) -> None:
        if self._plan is not None and self._record is not None and not self._ended_here:
            self._host.left_early(self._record, self._place)
        self._plan = None
        self._stop_timer()

    # ---- requests

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.write(_BAD_REQUEST)
            self._ended_here = True
            self._transport.close()
            return
        if self._plan is None and self._waiting:
            self._answer_next()

    def _begin_request(self) -> None:
        self._url = b""
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("too many header bytes")
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if ("expect", "100-continue") in self._headers and self._plan is None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_REQUEST_BYTES:
            self._body.append(body)
        elif self._body:
            self._body.clear()
            self._ended_here = True
            self._transport.write(b"".join(self._host.plan_too_large(self._call()).writes))
            self._transport.close()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._waiting.append((self._call(), self._headers, self._parser.should_keep_alive()))
        self._begin_request()
        if len(self._waiting) >= MAX_PIPELINED:
            self._transport.pause_reading()

    def _call(self) -> Call:
        path, _, query = self._url.decode("latin-1").partition("?")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method = self._parser.get_method().decode("latin-1")
        return Call(method, unquote(path), query, dict(self._headers), body)

    # ---- answers

    def _answer_next(self) -> None:
        while self._plan is None and self._waiting and not self._transport.is_closing():
            call, headers, self._keep_alive = self._waiting.popleft()
            if len(self._waiting) == MAX_PIPELINED - 1:
                self._transport.resume_reading()
            plan, self._record = self._host.plan(call, headers)
            self._plan, self._writes, self._place = plan, plan.writes, 0
            if plan.first_delay_s > 0:
                self._timer = self._loop.call_later(plan.first_delay_s, self._start)
            else:
                self._start()

    def _start(self) -> None:
        self._due_s = self._loop.time()
        self._continue()

    def _continue(self) -> None:
        """The next write now, the others by the pump or by the clock."""
        if self._plan is None:
            return
        if not self._plan.delay_s:
            if self.write_next():
                self._pump.add(self)
            return
        if not self.write_next():
            return
        # Due times are counted from the first write: a late timer must not slow the stream down.
        self._due_s += self._plan.delay_s
        self._timer = self._loop.call_at(self._due_s, self._continue)

    def write_next(self) -> bool:
        """Make one write. Returns whether another one may follow: not at the end, not while the client is slow."""
        plan = self._plan
        # A transport may be closed some time before it says so, and then takes no write.
        if plan is None or self._transport.is_closing():
            return False
        if self._paused:
            self._held = True
            return False
        place = self._place
        if place < len(self._writes):
            self._transport.write(self._writes[place])
            self._place = place = place + 1
            if place < len(self._writes):
                return True
        return self._end(plan)

    def _end(self, plan: Plan) -> bool:
        if plan.endless:
            self._writes, self._place = plan.endless, 0
            return True
        if plan.ending == "keep":
            self._plan = None
            if not self._keep_alive:
                self._transport.close()
            elif self._waiting:
                self._loop.call_soon(self._answer_next)
        elif plan.ending == "close":
            self._ended_here = True
            self._transport.close()
        elif plan.ending == "reset":
            self._ended_here = True
            self._reset_when_flushed()
        return False

    def _reset_when_flushed(self) -> None:
        if self._transport.get_write_buffer_size():
            self._timer = self._loop.call_later(_FLUSH_CHECK_S, self._reset_when_flushed)
        else:
            self._timer = self._loop.call_later(_BEFORE_RESET_S if self._place else 0.0, self._reset)

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
