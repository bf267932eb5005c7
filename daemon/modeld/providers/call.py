"""One call on its way through an adapter: what was asked, where its events go, what became of it."""

from collections.abc import Callable, Container, Mapping
from typing import Protocol

import msgspec

from modeld_protocol.content import Message
from modeld_protocol.events import Event, MessageComplete, TraceEvent
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.usage import Warning

from .assembler import Assembler
from .estimate import Tally
from .file_owners import NOBODY, Owners
from .spec import ModelSpec
from .wire.memory import Memories


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
    `consumer` is None for a call that isn't streamed. `partial` is filled when the call is cancelled, `outcome` with whatever
    the last attempt came to, also when it failed. With `holds_end` the terminal event of a stream is left in `end`, for
    whoever has something to do before the client hears it. `client_id`, `session_id` and `turn_id` say whose call it is;
    its tool calls get no id of `taken_tool_ids`. `assembler` is that of the attempt that runs, or was the last. `project` gives
    the messages as another model is to see them, and what has to be said about that; None where they are the same for all.
    `memories` are those of the conversation that the call goes on with. `files` says whose the files are that it may name."""

    request: CanonicalRequest
    spec: ModelSpec
    request_id: str
    message_id: str
    consumer: Consumer | None = None
    env: Mapping[str, str] = {}
    trace: Callable[[TraceEvent], None] = _untraced
    partial: CanonicalResponse | None = None
    outcome: CanonicalResponse | None = None
    holds_end: bool = False
    end: MessageComplete | None = None
    client_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    taken_tool_ids: Container[str] = ()
    assembler: Assembler | None = None
    project: Callable[[ModelSpec], tuple[list[Message], list[Warning]]] | None = None
    memories: Memories | None = None
    files: Owners = NOBODY

    @property
    def tally(self) -> Tally | None:
        """What the conversation that the call goes on with comes to; None where it is none."""
        return None if self.memories is None else self.memories.of(self.spec).tally

    def finish(self, end: MessageComplete) -> None:
        """Send or hold the terminal event of a stream."""
        if self.holds_end:
            self.end = end
        elif self.consumer is not None:
            self.consumer.emit([end])

    def release(self) -> None:
        """Send the terminal event that was held, once."""
        end, self.end = self.end, None
        if end is not None and self.consumer is not None:
            self.consumer.emit([end])
