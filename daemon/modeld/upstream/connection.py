"""One HTTP/1.1 connection: an asyncio protocol over httptools, and nothing between the socket and the caller's callback."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ..limits import KIB, MAX_RESPONSE_HEADER_BYTES, MAX_STREAM_BYTES
from .contract import Fault, Origin, UpstreamError

_JOIN_BELOW_BYTES: Final = 64 * KIB  # a smaller body goes out in one write with its head; a larger one isn't copied for that
_MAX_UNPUMPED_BYTES: Final = 256 * KIB  # what may wait in memory between the head and `pump`
_LINGER_S: Final = 0.25
_LARGE_READ_BYTES: Final = 128 * KIB  # about as much as one read brings: more waits at the socket
_LINGER_BYTES: Final = 16 * KIB
_MAX_NAMES: Final = 512
_names: dict[bytes, str] = {}

# Where the connection's exchange is. Plain numbers: they are compared for every read.
_IDLE: Final[int] = 0
_HEAD: Final[int] = 1  # sent, no final head yet
_BODY: Final[int] = 2
_DONE: Final[int] = 3  # the message is complete


class _SecondAnswer(Exception):
    """Raised inside the parser to stop it."""


class Connection(asyncio.Protocol):
    """At most one exchange at a time: `request`, then `pump`; `rest` makes it ready for the next.

    Failures are kept in `_failure` and raised by the coroutine that waits, after everything before them was delivered.
    """

    __slots__ = (
        "_failure",
        "_held",
        "_interim",
        "_lingered_bytes",
        "_loop",
        "_on_linger_end",
        "_on_lost",
        "_parser",
        "_paused",
        "_phase",
        "_pieces",
        "_received_bytes",
        "_reusable",
        "_silent_bytes",
        "_sink",
        "_stopped",
        "_timer",
        "_transport",
        "_until_eof",
        "_waiter",
        "headers",
        "idle_since",
        "on_body",
        "origin",
        "status",
    )

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop, on_lost: Callable[["Connection"], None]) -> None:
        self.origin = origin
        self.status = 0
        self.idle_since = 0.0
        self._loop = loop
        self._on_lost = on_lost
        self._pieces: list[bytes] = []
        # The parser calls the list itself: one Python frame less for every piece.
        self.on_body = self._pieces.append
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._on_linger_end: Callable[[Connection], None] | None = None
        self._paused = False
        self._held = False  # paused by itself, because nobody pumps yet
        self._begin(_IDLE)

    # ---- what the client calls

    @property
    def is_open(self) -> bool:
        """Whether a request can still be written."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_complete(self) -> bool:
        """Whether the whole answer is here."""
        return self._phase == _DONE

    @property
    def is_reusable(self) -> bool:
        """Whether the exchange ended so that another can follow."""
        transport = self._transport
        if not self._reusable or self._phase != _DONE or transport is None or transport.is_closing():
            return False
        return transport.get_write_buffer_size() == 0

    async def request(self, head: bytes, body: bytes, timeout_s: float) -> None:
        """Write a request and wait for the head of its answer. Raises UpstreamError; any failure closes the connection."""
        assert self._transport is not None
        self._begin(_HEAD)
        if len(body) < _JOIN_BELOW_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        if timeout_s < inf:
            self._timer = self._loop.call_later(timeout_s, self._on_head_timeout, timeout_s)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None
            self._cancel_timer()
        if self._phase == _HEAD and self._failure is not None:
            raise self._failure

    async def pump(self, sink: Callable[[bytes], bool]) -> None:
        """Hand the body to `sink`, piece by piece as it arrives, until it ends or `sink` returns True."""
        try:
            if waiter := self.start_pump(sink):
                await waiter
        except BaseException:
            self.abort()
            raise
        self.end_pump()

    def start_pump(self, sink: Callable[[bytes], bool]) -> "asyncio.Future[None] | None":
        """The first part of `pump`, for who awaits by itself and spares every open stream a coroutine: what to await before
        `end_pump`, None for nothing. Cancelled meanwhile, it calls `abort`."""
        self._sink = sink
        if self._held:
            self.resume()
        self._deliver()
        if self._phase == _BODY and self._failure is None and not self._stopped:
            self._waiter = self._loop.create_future()
            return self._waiter
        return None

    def end_pump(self) -> None:
        """The last part of `pump`. Raises what ended the body."""
        self._waiter = None
        self._sink = self._discard
        if self._failure is not None and not self._stopped:
            raise self._failure

    def pause(self) -> None:
        """Stop reading."""
        self._held = False
        if not self._paused and self.is_open:
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._paused:
            self._paused = self._held = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def rest(self) -> None:
        """Be idle: whatever arrives from here on is unasked for and closes the connection."""
        self._begin(_IDLE)
        self.resume()

    def linger(self, on_end: Callable[["Connection"], None]) -> bool:
        """After an end marker: wait a moment for the end of the body, which often comes in a packet of its own, since a
        connection saved is a TLS handshake saved. False where there is no such end to wait for.
        """
        if self._phase != _BODY or self._until_eof or self._failure is not None or not self.is_open:
            return False
        self._on_linger_end = on_end
        self._timer = self._loop.call_later(_LINGER_S, self.abort)
        self.resume()
        return True

    def abort(self) -> None:
        """Close the socket now; nothing is flushed."""
        self._cancel_timer()
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    def fail(self, fault: Fault, message: str) -> None:
        """End the exchange with an error, unless it has ended."""
        if self._failure is None and self._phase in (_HEAD, _BODY):
            self._failure = UpstreamError(fault, message, answered=self._phase == _BODY)
        self.abort()
        self._wake()

    # ---- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected, TLS included."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """One read of the socket: parsed, and handed on in one call."""
        if self._parser is None or self._phase in (_IDLE, _DONE):
            self.abort()
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._on_parser_error(error)
        if self._pieces:
            self._silent_bytes = 0
            self._deliver()
        else:
            # Heads, chunk sizes and trailers are all that isn't body; none of them is long.
            self._silent_bytes += len(data)
            if self._silent_bytes > MAX_RESPONSE_HEADER_BYTES:
                self.fail("too_large", f"{self.origin} sends headers without end; try again or use another model")
        if self._received_bytes > MAX_STREAM_BYTES:
            self.fail("too_large", f"the answer of {self.origin} is longer than {MAX_STREAM_BYTES} bytes; ask for less")
        if self._failure is not None or self._stopped or self._phase == _DONE:
            self._finish()
        elif len(data) >= _LARGE_READ_BYTES:
            self._let_others_read()

    def _let_others_read(self) -> None:
        """uvloop reads a full socket up to 32 times before anybody else has a turn, unless it is told to stop."""
        if not self._paused and self.is_open:
            assert self._transport is not None
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """The server closed its side: the end of a body without a length, else a cut."""
        if self._phase == _BODY and self._until_eof:
            self._phase = _DONE
            self._finish()
        else:
            self._on_cut()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._on_cut()
        self._cancel_timer()
        self._parser = None  # it holds this object's methods
        self._on_linger_end = None
        self._on_lost(self)

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        """An answer starts."""
        if self._phase != _HEAD:
            raise _SecondAnswer

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which is ignored."""
        if self._phase != _HEAD:
            return
        key = _names.get(name) or _parse_name(name)
        text = value.decode("latin-1")
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        """The head is here; it is the answer's unless it is an interim one (1xx)."""
        if self._phase != _HEAD:
            return
        assert self._parser is not None
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._interim:
            self.headers.clear()
            return
        self.status = status
        self._phase = _BODY
        chunked = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        self._until_eof = status not in (204, 304) and not chunked and "content-length" not in self.headers
        self._wake()

    def on_message_complete(self) -> None:
        """The body is complete."""
        if self._phase == _BODY:
            assert self._parser is not None
            self._phase = _DONE
            self._reusable = self._parser.should_keep_alive() and not self._until_eof

    # ---- within

    def _begin(self, phase: int) -> None:
        self._phase = phase
        self._failure: BaseException | None = None
        self._sink: Callable[[bytes], bool] | None = None
        self._stopped = False
        self._interim = False
        self._reusable = False
        self._until_eof = False
        self._received_bytes = 0
        self._silent_bytes = 0
        self._lingered_bytes = 0
        self._pieces.clear()
        self.headers: dict[str, str] = {}

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _deliver(self) -> None:
        pieces = self._pieces
        if not pieces:
            return
        if self._sink is None:
            if self._received_bytes > _MAX_UNPUMPED_BYTES and not self._paused:
                self.pause()
                self._held = True
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        try:
            if self._sink(data):
                self._stopped = True
                self._sink = self._discard
        except Exception as error:  # the caller's own: it is raised where the caller waits
            self._failure = self._failure or error

    def _discard(self, data: bytes) -> bool:
        self._lingered_bytes += len(data)
        if self._lingered_bytes > _LINGER_BYTES:
            self.abort()
        return False

    def _finish(self) -> None:
        """The exchange has ended, one way or the other; or its caller has had enough."""
        if self._failure is not None:
            self.abort()
        if self._on_linger_end is not None and self._phase == _DONE:
            on_end, self._on_linger_end = self._on_linger_end, None
            self._cancel_timer()
            on_end(self)
        self._wake()

    def _on_cut(self) -> None:
        if self._phase in (_HEAD, _BODY) and self._failure is None:
            when = "in the middle of its answer" if self._phase == _BODY else "before it answered"
            self.fail("reset", f"{self.origin} closed the connection {when}; try again")

    def _on_head_timeout(self, timeout_s: float) -> None:
        if self._phase == _HEAD:
            self.fail("timeout", f"{self.origin} didn't answer within {timeout_s:g} s; try again, or raise timeout_seconds")

    def _on_parser_error(self, error: Exception) -> None:
        self._reusable = False
        if self._phase == _DONE:  # a whole answer, and more: the answer counts, the connection doesn't
            return
        detail = "it switched protocols" if isinstance(error, HttpParserUpgrade) else str(error)
        self._failure = self._failure or UpstreamError(
            "protocol",
            f"{self.origin} doesn't speak HTTP/1.1 as it should ({detail}); check base_url, or try again",
            answered=self._phase == _BODY,
        )

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _parse_name(raw: bytes) -> str:
    """The header's name in lower case; servers use few, so that most look-ups find theirs."""
    name = raw.decode("latin-1").lower()
    if len(_names) < _MAX_NAMES and len(raw) < 80:
        _names[raw] = name
    return name
