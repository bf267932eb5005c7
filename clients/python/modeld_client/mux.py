"""One connection's bookkeeping, without IO: requests out; replies, events and notifications in, each to who waits for it.

Back-pressure: what a consumer has not taken yet stays in its exchange. Above `PAUSE_BYTES` the connection stops reading,
so that the daemon and in the end the provider slow down; but only while nobody waits for a reply or for another stream,
because that could lie behind the events in the socket. Then reading goes on, up to `OVERRUN_BYTES` for the slow stream;
beyond it its events are dropped, its iteration ends in StreamOverrun, and its reply still comes.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from modeld_protocol.errors import METHOD_NOT_FOUND
from modeld_protocol.events import StreamGap
from modeld_protocol.framing import FrameDecoder, FramingError, frame
from modeld_protocol.jsonrpc import CancelParams, ErrorResponse, Inbound, Notification, Request, RequestId, RpcErrorObject

from .calls import decode_failure
from .errors import ConnectionLost, ModeldError, StreamOverrun, UnreadableReply

PAUSE_BYTES = 4 * 1024 * 1024  # minutes of text; a consumer so far behind is stuck
RESUME_BYTES = 1024 * 1024
OVERRUN_BYTES = 64 * 1024 * 1024
MAX_REPLY_BYTES = 128 * 1024 * 1024  # of one message from the daemon, whose own bound is lower
MAX_NOTIFICATIONS = 1_000  # kept for a subscriber that lags; then the oldest go

_UNSET = msgspec.UNSET
_NONE = msgspec.Raw()


class _Route(msgspec.Struct):
    request_id: str = ""
    event: msgspec.Raw = _NONE
    session_id: str = ""
    turn_id: str = ""
    epoch: str = ""
    cursor: int = 0


class _Envelope(msgspec.Struct):
    """Any message, with just enough of its inside to tell where an event goes: the event itself stays undecoded."""

    id: Any = _UNSET
    method: str | None = None
    params: _Route | None = None
    result: msgspec.Raw = _NONE
    error: msgspec.Raw = _NONE


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_inbound = msgspec.json.Decoder(Inbound).decode
_decode_gap = msgspec.json.Decoder(StreamGap).decode
_encode = msgspec.json.Encoder().encode


class Exchange:
    """One request in flight: its events as they come, then its reply. `wake` is called whenever there is news."""

    def __init__(self, wake: Callable[[], None], request_id: str | None = None) -> None:
        self.wake = wake
        self.request_id = request_id
        self.id: RequestId = 0
        self.events: deque[msgspec.Raw] = deque()
        self.held_bytes = 0
        self.gaps: list[StreamGap] = []
        self.overrun = False
        self.done = False
        self.result = _NONE
        self.failure: ModeldError | None = None

    @property
    def has_news(self) -> bool:
        """True where an iteration over the events need not wait."""
        return bool(self.events) or self.done or self.overrun

    def reply(self) -> msgspec.Raw:
        """The result of a finished exchange; raises what it failed with."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        return self.result


class Place(NamedTuple):
    """Where an event of a session belongs."""

    epoch: str
    cursor: int
    turn_id: str
    request_id: str


class Feed(Exchange):
    """A session that somebody follows: its events as they come, and the place of each. It ends with the connection."""

    def __init__(self, wake: Callable[[], None], session_id: str) -> None:
        super().__init__(wake)
        self.session_id = session_id
        self.places: deque[Place] = deque()

    def place(self) -> Place:
        """The place of the event that was taken just now."""
        return self.places.popleft()


class Subscription:
    """Notifications for one subscriber, the newest `MAX_NOTIFICATIONS`; `dropped` counts the others."""

    def __init__(self, wake: Callable[[], None], methods: Iterable[str]) -> None:
        self.wake = wake
        self.methods = frozenset(methods)
        self.waiting: deque[tuple[str, msgspec.Raw]] = deque(maxlen=MAX_NOTIFICATIONS)
        self.dropped = 0
        self.failure: ModeldError | None = None

    def add(self, method: str, params: msgspec.Raw) -> None:
        """Keep a notification if it is one of ours."""
        if self.methods and method not in self.methods:
            return
        self.dropped += len(self.waiting) == MAX_NOTIFICATIONS
        self.waiting.append((method, params))
        self.wake()

    def take(self) -> tuple[str, msgspec.Raw]:
        """The oldest one; raises ConnectionLost where there is none and none will come."""
        if not self.waiting and self.failure is not None:
            raise self.failure.with_traceback(None)
        return self.waiting.popleft()


class Mux:
    """The table of one connection. `waiters` counts who waits for an exchange at this moment; the transport keeps it."""

    def __init__(self, subscriptions: list[Subscription]) -> None:
        self.waiters = 0
        self.subscriptions = subscriptions  # the client's own list: it outlives the connection
        self.outbox: list[bytes] = []  # frames that answer what came in; the transport sends them
        self._decoder = FrameDecoder(MAX_REPLY_BYTES)
        self._last_id = 0
        self._pending: dict[RequestId, Exchange] = {}
        self._streams: dict[str, Exchange] = {}
        self._feeds: dict[str, list[Feed]] = {}
        self._full: set[Exchange] = set()

    @property
    def paused(self) -> bool:
        """True where the transport should stop reading for now."""
        return bool(self._full) and not self.waiters

    # ---- out

    def open(self, exchange: Exchange, method: str, params: Any) -> bytes:
        """Register `exchange` and give the frame of its request."""
        self._last_id += 1
        exchange.id = self._last_id
        framed = frame(_encode(Request(exchange.id, method, params)))
        self._pending[exchange.id] = exchange
        if exchange.request_id is not None:
            self._streams[exchange.request_id] = exchange
        return framed

    def cancel(self, exchange: Exchange) -> bytes:
        """The frame that asks the daemon to cancel."""
        return notification("$/cancelRequest", CancelParams(exchange.id))

    def take(self, exchange: Exchange) -> msgspec.Raw | None:
        """The oldest event that was not taken yet. Raises StreamOverrun where some were dropped after it."""
        if not exchange.events:
            if exchange.overrun:
                held = OVERRUN_BYTES // 1024 // 1024
                raise StreamOverrun(f"more than {held} MiB of events waited: take them faster; response() has the whole answer")
            return None
        event = exchange.events.popleft()
        exchange.held_bytes -= len(event)
        if exchange.held_bytes < RESUME_BYTES:
            self._full.discard(exchange)
        return event

    def follow(self, feed: Feed) -> None:
        """Deliver the events of a session to `feed` too, from now on."""
        self._feeds.setdefault(feed.session_id, []).append(feed)

    def unfollow(self, feed: Feed) -> bool:
        """Deliver no more; True where nobody follows the session any more."""
        feeds = [one for one in self._feeds.get(feed.session_id, ()) if one is not feed]
        if feeds:
            self._feeds[feed.session_id] = feeds
        else:
            self._feeds.pop(feed.session_id, None)
        feed.events.clear()
        feed.places.clear()
        feed.held_bytes = 0
        self._full.discard(feed)
        return not feeds

    def mute(self, exchange: Exchange) -> None:
        """Nobody takes its events any more; its reply may still be waited for."""
        if exchange.request_id is not None and self._streams.get(exchange.request_id) is exchange:
            del self._streams[exchange.request_id]
        exchange.events.clear()
        exchange.held_bytes = 0
        self._full.discard(exchange)

    def forget(self, exchange: Exchange) -> None:
        """Nobody waits for it any more: what still comes is dropped."""
        self.mute(exchange)
        self._pending.pop(exchange.id, None)

    # ---- in

    def feed(self, data: bytes) -> None:
        """Deliver what `data` completes. Raises UnreadableReply where the stream can't be followed any further."""
        try:
            for body in self._decoder.feed(data):
                self._dispatch(body)
        except FramingError as error:
            raise UnreadableReply(f"this is no modeld daemon ({error}); check the address") from None

    def lose(self, reason: str) -> None:
        """The connection has ended: everything in flight fails, and everybody is told."""
        pending, self._pending = self._pending, {}
        self._streams.clear()
        self._full.clear()
        feeds = [feed for feeds in self._feeds.values() for feed in feeds]
        self._feeds.clear()
        for exchange in (*pending.values(), *feeds):
            exchange.failure = ConnectionLost(reason)
            exchange.done = True
            exchange.wake()
        for subscription in tuple(self.subscriptions):
            subscription.failure = ConnectionLost(reason)
            subscription.wake()

    def _dispatch(self, body: bytes) -> None:
        try:
            message = _decode_envelope(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._on_other(body)
        if message.method == "stream/event" and message.params is not None:
            self._on_event(message.params)
        elif message.method is None:
            self._on_reply(message)
        else:
            self._on_other(body)

    def _on_event(self, route: _Route) -> None:
        for feed in self._feeds.get(route.session_id, ()):
            if not feed.overrun:
                feed.places.append(Place(route.epoch, route.cursor, route.turn_id, route.request_id))
                self._deliver(feed, route)
        exchange = self._streams.get(route.request_id)
        if exchange is not None and not exchange.overrun:
            self._deliver(exchange, route)

    def _deliver(self, exchange: Exchange, route: _Route) -> None:
        exchange.events.append(route.event)
        exchange.held_bytes += len(route.event)
        if exchange.held_bytes > PAUSE_BYTES:
            self._full.add(exchange)
            exchange.overrun = exchange.held_bytes > OVERRUN_BYTES
        exchange.wake()

    def _on_reply(self, message: _Envelope) -> None:
        exchange = self._pending.pop(message.id, None) if isinstance(message.id, (int, str)) else None
        if exchange is None:
            return
        if exchange.request_id is not None:
            self._streams.pop(exchange.request_id, None)
        self._full.discard(exchange)  # nothing more will come for it
        exchange.result = message.result
        exchange.failure = decode_failure(message.error) if bytes(message.error) not in (b"", b"null") else None
        exchange.done = True
        exchange.wake()

    def _on_other(self, body: bytes) -> None:
        try:
            message = _decode_inbound(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UnreadableReply("the daemon sent something that is no JSON-RPC message; see its log") from None
        if message.method is _UNSET:
            return
        method, params = str(message.method), message.params
        if message.id is not _UNSET:
            error = RpcErrorObject(METHOD_NOT_FOUND, f"{method} is not served by this client")
            self.outbox.append(frame(_encode(ErrorResponse(message.id, error))))
            return
        raw = params if isinstance(params, msgspec.Raw) else msgspec.Raw(b"{}")
        if method == "stream/gap":
            self._on_gap(raw)
        for subscription in tuple(self.subscriptions):
            subscription.add(method, raw)

    def _on_gap(self, raw: msgspec.Raw) -> None:
        try:
            gap = _decode_gap(raw)
        except msgspec.DecodeError:
            return
        for feed in self._feeds.get(gap.session_id or "", ()):
            feed.gaps.append(gap)
        if exchange := self._streams.get(gap.request_id):
            exchange.gaps.append(gap)


def notification(method: str, params: Any) -> bytes:
    """The frame of a notification."""
    return frame(_encode(Notification(method, params)))
