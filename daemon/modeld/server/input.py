"""What arrives from one client: cut into messages, dispatched in fair shares, held back while its answers go unread."""

import asyncio
from collections.abc import Callable, Iterator

from modeld.limits import MAX_MESSAGE_BYTES_PER_TICK, MAX_MESSAGES_PER_TICK, MESSAGE_STALL_TIMEOUT_S, READ_STOP_BYTES
from modeld_protocol.framing import FrameDecoder, FramingError

from .output import Output


class Input:
    """Reads from one transport. `dispatch` gets every body in order; `fail` is called once, when the stream can't be followed.

    In one tick of the loop a client gets its share and no more, so that a flood leaves the others their turn. Reading stops
    while more than READ_STOP_BYTES of answers wait unread; the kernel then stops the client.
    """

    __slots__ = (
        "_bodies",
        "_closed",
        "_decoder",
        "_dispatch",
        "_fail",
        "_last_data_s",
        "_loop",
        "_output",
        "_paused",
        "_stall_timer",
        "_transport",
        "_unread",
    )

    def __init__(
        self,
        transport: asyncio.ReadTransport,
        loop: asyncio.AbstractEventLoop,
        output: Output,
        dispatch: Callable[[bytes], None],
        fail: Callable[[FramingError], None],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._output = output
        self._dispatch = dispatch
        self._fail = fail
        self._decoder = FrameDecoder()
        self._bodies: Iterator[bytes] | None = None
        self._unread: list[bytes] = []
        self._paused = False
        self._closed = False
        self._last_data_s = 0.0
        self._stall_timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        """Take what came; beyond this tick's share it waits, and reading pauses."""
        if self._closed:
            return
        if self._bodies is not None:
            self._unread.append(data)
            return
        self._bodies = self._decoder.feed(data)
        self._read()

    def resume(self) -> None:
        """The answers were read: go on with what waits."""
        if self._bodies is not None:
            self._loop.call_soon(self._read)

    def close(self) -> None:
        """Nothing is dispatched any more, not even what has come."""
        self._closed = True
        self._bodies = None
        self._unread.clear()
        self._dispatch = self._fail = _nothing
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _read(self) -> None:
        """Dispatch what has come, up to this tick's share."""
        if self._bodies is None:
            return
        try:
            finished = self._read_share()
        except FramingError as error:
            return self._fail(error)
        if self._closed:
            return
        if not finished:
            return self._pause()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if not self._decoder.idle:
            self._watch_stall()

    def _read_share(self) -> bool:
        """True when all that has come is dispatched."""
        output = self._output
        messages, size = MAX_MESSAGES_PER_TICK, MAX_MESSAGE_BYTES_PER_TICK
        while self._bodies is not None:
            for body in self._bodies:
                self._dispatch(body)
                messages -= 1
                size -= len(body)
                if self._closed:
                    return True
                if messages <= 0 or size <= 0 or output.unread_bytes > READ_STOP_BYTES:
                    return False
            self._bodies = self._decoder.feed(self._unread.pop(0)) if self._unread else None
        return True

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
        # Full output wakes us when it has drained (resume); else it is only the others' turn.
        if self._output.writable or self._output.unread_bytes <= READ_STOP_BYTES:
            self._loop.call_soon(self._read)

    def _watch_stall(self) -> None:
        self._last_data_s = self._loop.time()
        if self._stall_timer is None:
            self._stall_timer = self._loop.call_later(MESSAGE_STALL_TIMEOUT_S, self._check_stall)

    def _check_stall(self) -> None:
        self._stall_timer = None
        if self._closed or self._decoder.idle or self._bodies is not None:
            return
        rest_s = self._last_data_s + MESSAGE_STALL_TIMEOUT_S - self._loop.time()
        if rest_s > 0:
            self._stall_timer = self._loop.call_later(rest_s, self._check_stall)
        else:
            self._fail(FramingError("a message stopped half-way; check its Content-Length"))


def _nothing(_: object) -> None:
    """Stands in for the owner once it is gone: no cycle keeps it alive."""
