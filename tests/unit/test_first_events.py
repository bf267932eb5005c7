"""When a stream's events leave: the first ones at once, the others with all that is sent in the same loop tick."""

from collections.abc import Callable
from typing import Any

from modeld.server.handlers.model import _ConnectionConsumer  # pyright: ignore[reportPrivateUsage]
from modeld_protocol.events import TextDelta


class Context:
    """A client that notes what reaches it, and when it was let go."""

    writable = True

    def __init__(self) -> None:
        self.did: list[str] = []

    def send(self, frames: bytes) -> None:
        self.did.append("first" if b"one" in frames else "more")

    def flush(self) -> None:
        self.did.append("flush")

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        raise AssertionError(callback)


def test_the_first_events_of_a_stream_do_not_wait_for_the_others() -> None:
    context: Any = Context()
    consumer = _ConnectionConsumer(context, "req_1", "ep_1")
    consumer.emit([TextDelta("m", 0, "one")])
    consumer.emit([TextDelta("m", 0, "two")])
    consumer.emit([TextDelta("m", 0, "three")])
    assert context.did == ["first", "flush", "more", "more"]
