"""One producer, many subscribers: a session's events with their cursors, each encoded once and written to every connection.

A subscriber that doesn't keep up is left out until it reads again, then caught up from the ring that all share; it costs no
queue and no task of its own, and holds up nobody. What has left the ring by then it is told as a gap; before that comes to
one who reads, the provider waits for it (see `patience`).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from modeld_protocol.events import Event, StreamGap
from modeld_protocol.session import ResetReason

from .patience import HOLD_BYTES, Patience

RING_BYTES = 4 * 1024 * 1024  # of events kept for who comes late or lags: a turn of some 15,000 events
_COMPACT = 1024  # forgotten entries before their places are freed
_SEPARATOR = b"\r\n\r\n"


class Connection(Protocol):
    """What the fan-out needs of a client's connection (`server.requests.ClientConnection` has it)."""

    @property
    def writable(self) -> bool:
        """False while too much waits to be read."""
        ...

    @property
    def closed(self) -> bool:
        """True once nothing can be sent any more."""
        ...

    def send(self, frames: bytes) -> None:
        """Send frames; nothing happens once closed."""
        ...

    def notify(self, method: str, params: Any) -> None:
        """Send one notification."""
        ...

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Be told of each change of `writable`; returns the unsubscriber."""
        ...

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Be told once when the client is gone; returns the unsubscriber."""
        ...


Encode = Callable[[list[Event]], bytes]
"""Events to frames, joined; numbers them by itself."""


class Ring:
    """Frames by cursor, the newest that fit into `max_bytes`. Cursors rise by one; `last` is that of the newest event."""

    __slots__ = ("_bytes", "_firsts", "_frames", "_head", "_max_bytes", "last")

    def __init__(self, last: int = 0, max_bytes: int = RING_BYTES) -> None:
        self.last = last
        self._max_bytes = max_bytes
        self._firsts: list[int] = []
        self._frames: list[bytes] = []
        self._head = 0
        self._bytes = 0

    @property
    def first(self) -> int:
        """The cursor of the oldest event that is held; the next one's where none is."""
        return self._firsts[self._head] if self._head < len(self._firsts) else self.last + 1

    @property
    def held_bytes(self) -> int:
        """How much is held."""
        return self._bytes

    def append(self, count: int, frames: bytes) -> None:
        """Keep `count` events, whose frames come joined."""
        self._firsts.append(self.last + 1)
        self._frames.append(frames)
        self.last += count
        self._bytes += len(frames)
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._frames[self._head])
            self._frames[self._head] = b""
            self._head += 1
        if self._head > _COMPACT and self._head * 2 > len(self._frames):
            del self._firsts[: self._head]
            del self._frames[: self._head]
            self._head = 0

    def after(self, cursor: int) -> Iterator[tuple[int, bytes]]:
        """What follows `cursor`, as joined frames with the cursor of their last event. `cursor` is `first - 1` or above."""
        at = max(self._head, bisect_right(self._firsts, cursor + 1) - 1)
        while at < len(self._frames):
            last = self._firsts[at + 1] - 1 if at + 1 < len(self._firsts) else self.last
            if last > cursor:
                yield last, skip_frames(self._frames[at], max(0, cursor + 1 - self._firsts[at]))
            at += 1


def skip_frames(frames: bytes, count: int) -> bytes:
    """Joined frames without the first `count` of them."""
    start = 0
    for _ in range(count):
        end = frames.index(_SEPARATOR, start)
        start = end + len(_SEPARATOR) + int(frames[start:end].partition(b":")[2])
    return frames[start:] if start else frames


class _Subscriber:
    """A connection that follows the session, starts a turn of it, or both. `sent` and `lag` hold while it is
    `behind`."""

    __slots__ = ("behind", "connection", "follows", "lag", "sent", "starts", "stopped", "unclose", "unwatch")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.follows = False
        self.starts = 0
        self.behind = False
        self.sent = 0
        self.lag = 0
        self.stopped = False
        self.unwatch: Callable[[], None] | None = None
        self.unclose: Callable[[], None] = lambda: None


class Feed:
    """The events of one session in one life of the daemon. `soon` runs a callback once the current one has returned."""

    def __init__(self, session_id: str, epoch: str, cursor: int, soon: Callable[[Callable[[], None]], object]) -> None:
        self.session_id = session_id
        self.epoch = epoch
        self.ring = Ring(cursor)
        self._soon = soon
        self._encode: Encode | None = None
        self._request_id = ""
        self.patience: Patience | None = None
        self._subscribers: list[_Subscriber] = []  # replaced, never changed: a write may end a connection meanwhile

    @property
    def cursor(self) -> int:
        """That of the newest event."""
        return self.ring.last

    @property
    def busy(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscribers)

    # ---- events

    def begin(self, request_id: str, encode: Encode) -> None:
        """A turn begins, whose events `encode` makes frames of, from the next cursor on."""
        self._request_id = request_id
        self._encode = encode

    def publish(self, events: list[Event]) -> None:
        """Encode, keep and send events."""
        if not events or self._encode is None:
            return
        frames = self._encode(events)
        before = self.ring.last
        self.ring.append(len(events), frames)
        for subscriber in self._subscribers:
            if subscriber.behind:
                self._lag(subscriber, len(frames))
                continue
            connection = subscriber.connection
            if connection.writable:
                connection.send(frames)
            else:
                self._leave_behind(subscriber, before)
                self._lag(subscriber, len(frames))

    def notify(self, method: str, params: Any) -> None:
        """Tell everybody who follows."""
        for subscriber in self._subscribers:
            if subscriber.follows:
                subscriber.connection.notify(method, params)

    # ---- subscribers

    def reset_reason(self, epoch: str | None, cursor: int | None) -> ResetReason | None:
        """Why a client can't go on from its cursor; None where it can, or where it has none."""
        if epoch is not None and epoch != self.epoch:
            return "epoch_changed"
        if cursor is None:
            return None
        if cursor > self.ring.last or cursor < 0:
            return "cursor_unknown"
        return "cursor_evicted" if cursor + 1 < self.ring.first else None

    def follow(self, connection: Connection, cursor: int | None) -> int:
        """Send what comes after `cursor` (from now on, where it is None), after the caller's reply. Returns the cursor."""
        subscriber = self._subscriber(connection)
        subscriber.follows = True
        if cursor is None or cursor == self.ring.last:
            if not subscriber.behind:
                return self.ring.last
            cursor = self.ring.last
        self._leave_behind(subscriber, cursor)
        self._soon(lambda: self._catch_up(subscriber))
        return cursor

    def unfollow(self, connection: Connection) -> None:
        """Send no more; the events of a turn that the connection started still come."""
        subscriber = self._find(connection)
        if subscriber is not None:
            subscriber.follows = False
            self._drop_if_idle(subscriber)

    def attach(self, connection: Connection) -> None:
        """The connection starts a turn: it gets its events, whether it follows or not."""
        self._subscriber(connection).starts += 1

    def detach(self, connection: Connection) -> None:
        """The turn that the connection started has ended: it gets what it has not got yet, all of it, before the reply."""
        subscriber = self._find(connection)
        if subscriber is None:
            return
        if subscriber.behind and not connection.closed:
            self._catch_up(subscriber, anyway=True)
        subscriber.starts -= 1
        self._drop_if_idle(subscriber)

    def close(self) -> None:
        """The session is gone."""
        for subscriber in self._subscribers:
            self._drop(subscriber)

    def _find(self, connection: Connection) -> _Subscriber | None:
        return next((one for one in self._subscribers if one.connection is connection), None)

    def _subscriber(self, connection: Connection) -> _Subscriber:
        subscriber = self._find(connection)
        if subscriber is None:
            made = subscriber = _Subscriber(connection)
            subscriber.unclose = connection.on_close(lambda: self._drop(made))
            self._subscribers = [*self._subscribers, subscriber]
        return subscriber

    def _drop_if_idle(self, subscriber: _Subscriber) -> None:
        if not subscriber.follows and subscriber.starts <= 0:
            self._drop(subscriber)

    def _drop(self, subscriber: _Subscriber) -> None:
        self._subscribers = [one for one in self._subscribers if one is not subscriber]
        subscriber.unclose()
        subscriber.behind = False  # a catch-up that is on its way has nothing to send any more
        self._unwatch(subscriber)
        if self.patience is not None:
            self.patience.forget(subscriber)

    # ---- lagging

    def _leave_behind(self, subscriber: _Subscriber, sent: int) -> None:
        subscriber.behind = True
        subscriber.sent = sent
        subscriber.lag = 0
        if subscriber.unwatch is None:

            def writable_changed(writable: bool) -> None:
                if writable:
                    self._catch_up(subscriber)

            subscriber.unwatch = subscriber.connection.on_writable_change(writable_changed)

    def _catch_up(self, subscriber: _Subscriber, *, anyway: bool = False) -> None:
        """Send what the ring holds, as far as the connection takes it; `anyway` all of it."""
        connection = subscriber.connection
        if not subscriber.behind or connection.closed:
            return
        if subscriber.sent + 1 < self.ring.first:
            self._tell_gap(subscriber)
        for last, frames in self.ring.after(subscriber.sent):
            if not (connection.writable or anyway):
                break
            connection.send(frames)
            subscriber.sent = last
            subscriber.lag -= len(frames)
            subscriber.stopped = False
        else:
            subscriber.behind = False
            subscriber.lag = 0
            self._unwatch(subscriber)
        if self.patience is not None:
            self.patience.moved(subscriber)

    def _lag(self, subscriber: _Subscriber, bytes_more: int) -> None:
        subscriber.lag += bytes_more
        if subscriber.lag > HOLD_BYTES and self.patience is not None:
            self.patience.lags(subscriber)

    def _tell_gap(self, subscriber: _Subscriber) -> None:
        first, last = subscriber.sent + 1, self.ring.first - 1
        gap = StreamGap(self._request_id, self.epoch, first, last, "read_too_slowly", self.session_id)
        subscriber.connection.notify("stream/gap", gap)
        subscriber.sent = last

    @staticmethod
    def _unwatch(subscriber: _Subscriber) -> None:
        if subscriber.unwatch is not None:
            subscriber.unwatch()
            subscriber.unwatch = None
