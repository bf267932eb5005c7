"""One call on its way through an adapter: what was asked, where its events go, what became of it."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from modeld_protocol.events import Event, TraceEvent
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from .spec import ModelSpec


class Consumer(Protocol):
    """Where a stream's events go, and how fast it can take them."""

    @property
    def writable(self) -> bool:
        """Whether the consumer takes more events now without buffering them."""
        ...

    def emit(self, events: list[Event]) -> None:
        """Take a batch of events, in order, now. Never blocks, never awaits."""
        ...

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Be told when `writable` changes; returns how to stop being told."""
        ...


def _untraced(_event: TraceEvent) -> None:
    """The trace bus of a call that nobody watches."""


class Call(msgspec.Struct):
    """`request.request_id` is set. `env` holds values that the client lends for its own calls (see the handshake).
    `consumer` is None for a call that isn't streamed. `partial` is filled when the call is cancelled."""

    request: CanonicalRequest
    spec: ModelSpec
    request_id: str
    message_id: str
    consumer: Consumer | None = None
    env: Mapping[str, str] = {}
    trace: Callable[[TraceEvent], None] = _untraced
    partial: CanonicalResponse | None = None
