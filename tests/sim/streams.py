"""Byte streams in memory: two endpoints, between them delay, cuts at any byte, clogs, resets, and nothing of a socket."""

import asyncio
import random
from typing import Any

KERNEL_BYTES = 64 * 1024  # what is under way without the writer's transport knowing


class Trace:
    """What went over every stream, in order: the fingerprint of a run."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str, bytes]] = []

    def note(self, now_s: float, name: str, data: bytes) -> None:
        """One delivery."""
        self.lines.append((now_s, name, data))


class Endpoint(asyncio.Transport):
    """One end. `peer` is the other; what is written here arrives there, in order, in pieces that chance cuts."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, chance: random.Random, trace: Trace, delay_s: float) -> None:
        super().__init__()
        self._loop = loop
        self.name = name
        self._chance = chance
        self._trace = trace
        self._delay_s = delay_s
        self.peer: Endpoint = self
        self._protocol: Any = None
        self._out = bytearray()  # written here, not delivered there yet
        self._timer: asyncio.TimerHandle | None = None
        self._high, self._low = 64 * 1024, 16 * 1024
        self._writing_paused = False
        self._reading_paused = False
        self._closing = False  # by this side: nothing is read any more, what was written still leaves
        self._lost = False
        self._eof_sent = False
        self.clogged = False  # nothing that is written here gets through
        self.most_waiting_bytes = 0

    # ---- what a protocol uses

    def serve(self, protocol: Any) -> None:
        """Begin to deliver to `protocol`."""
        self._protocol = protocol
        protocol.connection_made(self)
        self.peer.flow()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def is_reading(self) -> bool:
        return not self._reading_paused

    def write(self, data: Any) -> None:
        if self._lost or self._eof_sent or not data:
            return
        self._out += data
        self.most_waiting_bytes = max(self.most_waiting_bytes, len(self._out))
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self._protocol.pause_writing()
        self.flow()

    def get_write_buffer_size(self) -> int:
        return max(0, len(self._out) - KERNEL_BYTES)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False
        self.peer.flow()

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.flow()

    def abort(self) -> None:
        """A hard end: what is under way is lost, both sides learn of it."""
        if not self._lost:
            self._closing = True
            self._out.clear()
            self._lose(None)
            self.peer.reset()

    # ---- what happens to it

    def reset(self) -> None:
        """The other side has ended it."""
        self._loop.call_soon(self._lose, ConnectionResetError("reset by peer"))

    def clog(self, clogged: bool) -> None:
        """Stop, or let flow again, what is written here."""
        self.clogged = clogged
        self.flow()

    def flow(self) -> None:
        """Deliver soon, if anything can be."""
        if self._timer is None and (self._out or self._closing) and not self._lost:
            self._timer = self._loop.call_later(self._delay_s * self._chance.random(), self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        peer = self.peer
        if self._lost or self.clogged or peer._protocol is None:  # pyright: ignore[reportPrivateUsage]
            return
        if self._out and not peer._reading_paused and not peer.is_closing():  # pyright: ignore[reportPrivateUsage]
            size = min(len(self._out), KERNEL_BYTES)
            if self._chance.random() < 0.3:
                size = self._chance.randint(1, size)
            data = bytes(self._out[:size])
            del self._out[:size]
            self._trace.note(self._loop.time(), self.name, data)
            peer._protocol.data_received(data)  # pyright: ignore[reportPrivateUsage]
            if self._writing_paused and self.get_write_buffer_size() <= self._low and not self._lost:
                self._writing_paused = False
                self._protocol.resume_writing()
            self.flow()
        elif peer._closing:  # pyright: ignore[reportPrivateUsage]
            self._out.clear()  # nobody will read it
            if self._closing:
                self._lose(None)
        elif not self._out and self._closing:
            self._lose(None)
            peer.end()

    def end(self) -> None:
        """The other side will write no more."""
        if self._lost or self._eof_sent:
            return
        self._eof_sent = True
        if self._protocol is not None and not self._closing:
            self._protocol.eof_received()
        if not self._lost:
            self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._out.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, error)


def pair(
    loop: asyncio.AbstractEventLoop, name: str, seed: object, trace: Trace, delay_s: float = 0.002
) -> tuple[Endpoint, Endpoint]:
    """Two ends: that of the side that connects, and that of the side that accepts."""
    near = Endpoint(loop, f"{name}>", random.Random(f"{seed} {name}>"), trace, delay_s)
    far = Endpoint(loop, f"{name}<", random.Random(f"{seed} {name}<"), trace, delay_s)
    near.peer, far.peer = far, near
    return near, far
