"""What waits to be written to one client: joined per loop tick, with back-pressure and an end for those who don't read."""

import asyncio
from collections.abc import Callable

from modeld.limits import SLOW_CLIENT_TIMEOUT_S, WRITE_HARD_LIMIT_BYTES, WRITE_HIGH_WATER_BYTES, WRITE_LOW_WATER_BYTES


class Output:
    """Writes to one transport. Everything sent in one tick of the loop leaves in one write, in order.

    The transport's owner passes `pause_writing` and `resume_writing` on. `drop` is called with a reason when the client
    leaves more than the hard limit unread, or reads nothing for too long.
    """

    __slots__ = ("_bytes", "_drop", "_loop", "_parts", "_slow_timer", "_taken", "_transport", "_watchers", "_written", "writable")

    def __init__(self, transport: asyncio.WriteTransport, loop: asyncio.AbstractEventLoop, drop: Callable[[str], None]) -> None:
        self._transport = transport
        self._loop = loop
        self._drop = drop
        self._parts: list[bytes] = []
        self._bytes = 0
        self._written = 0
        self._taken = -1
        self._slow_timer: asyncio.TimerHandle | None = None
        self._watchers: dict[object, Callable[[bool], None]] = {}
        self.writable = True
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES, low=WRITE_LOW_WATER_BYTES)

    @property
    def unread_bytes(self) -> int:
        """What the client has not taken yet, as far as this process can know."""
        return self._bytes + self._transport.get_write_buffer_size()

    def send(self, frames: bytes) -> None:
        """Queue framed bytes for the end of this tick; a large amount leaves at once, so that `writable` stays true to fact."""
        parts = self._parts
        if not parts:
            self._loop.call_soon(self.flush)
        parts.append(frames)
        self._bytes += len(frames)
        if self._bytes > WRITE_HIGH_WATER_BYTES:
            self.flush()

    def send_body(self, body: bytes) -> None:
        """Queue one message, without copying a large body to put its header before it."""
        header = b"Content-Length: %d\r\n\r\n" % len(body)
        if len(body) < 4096:
            return self.send(header + body)
        self.send(header)
        return self.send(body)

    def flush(self) -> None:
        """Write what waits."""
        parts = self._parts
        if not parts:
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._bytes = 0
        if self._transport.is_closing():
            return
        self._written += len(data)
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > WRITE_HARD_LIMIT_BYTES:
            self._drop(f"{WRITE_HARD_LIMIT_BYTES} bytes wait unread")

    def pause(self) -> None:
        """The transport is over its high-water mark."""
        self._taken = self._count_taken()
        self._slow_timer = self._loop.call_later(SLOW_CLIENT_TIMEOUT_S, self._check_progress)
        self._set_writable(False)

    def resume(self) -> None:
        """The transport is below its low-water mark."""
        self._stop_timer()
        self._set_writable(True)

    def close(self) -> None:
        """Nothing is sent any more; whoever waits for `writable` is let go, and so is the owner: no cycle keeps it alive."""
        self._stop_timer()
        self._drop = _nothing
        self._parts = []
        self._bytes = 0
        self._set_writable(True)
        self._watchers.clear()

    def watch(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back with `writable` at each change; returns the unsubscriber."""
        watch = _Watch(self._watchers)
        self._watchers[watch] = callback
        return watch

    def _set_writable(self, writable: bool) -> None:
        if self.writable == writable:
            return
        self.writable = writable
        for callback in list(self._watchers.values()):
            callback(writable)

    def _count_taken(self) -> int:
        return self._written - self._transport.get_write_buffer_size()

    def _check_progress(self) -> None:
        taken = self._count_taken()
        if taken == self._taken:
            return self._drop(f"nothing was read for {SLOW_CLIENT_TIMEOUT_S:.0f} s while output waits")
        self._taken = taken
        self._slow_timer = self._loop.call_later(SLOW_CLIENT_TIMEOUT_S, self._check_progress)
        return None

    def _stop_timer(self) -> None:
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None


class _Watch:
    """Ends a watch of `writable`: small, since every stream holds one."""

    __slots__ = ("_watchers",)

    def __init__(self, watchers: dict[object, Callable[[bool], None]]) -> None:
        self._watchers = watchers

    def __call__(self) -> None:
        self._watchers.pop(self, None)


def _nothing(reason: str) -> None:
    """Stands in for the owner once it is gone."""
