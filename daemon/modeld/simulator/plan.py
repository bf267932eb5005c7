"""An answer as the writes that make it: bytes, the time between them, and how the connection ends. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Literal

import msgspec

from .ask import Ask
from .script import Script
from .wires.contract import Failure, Frame, Rendered, SimWire, Stamp

Ending = Literal["keep", "close", "reset", "hang"]
Headers = Sequence[tuple[str, str]]
LAST_CHUNK = b"0\r\n\r\n"
_REASONS = {529: "Overloaded", **{status.value: status.phrase for status in HTTPStatus}}


class Plan(msgspec.Struct, frozen=True):
    """What the server does: wait `first_delay_s`, then make `writes` with `delay_s` between them, then for ever those of
    `endless`, then end. `ending` is keep (alive), close (FIN), reset (RST) or hang (nothing, until the client leaves)."""

    writes: Sequence[bytes]
    status: int = 200
    first_delay_s: float = 0.0
    delay_s: float = 0.0
    ending: Ending = "keep"
    endless: Sequence[bytes] = ()


class Answering(msgspec.Struct):
    """One request and the script that answers it: what a plan is made of. `params` are the parameters of a fault."""

    wire: SimWire
    ask: Ask
    script: Script
    stamp: Stamp
    request_id: str
    path: str = "/"
    request_headers: Mapping[str, str] = {}
    params: Mapping[str, str | float] = {}

    def frames(self) -> list[Frame]:
        """The events of the stream."""
        return self.wire.frames(self.script, self.ask, self.stamp)

    def whole(self) -> bytes:
        """The body of an answer that isn't streamed."""
        return self.wire.whole(self.script, self.ask, self.stamp)

    def stream_head(self, extra: Headers = (), *, chunked: bool = True) -> bytes:
        """The response head of a stream."""
        kind = "text/event-stream; charset=utf-8" if self.wire.framing == "sse" else "application/x-ndjson"
        framing = [("transfer-encoding", "chunked")] if chunked else []
        common = [("content-type", kind), ("cache-control", "no-cache"), *framing]
        return encode_head(200, [*common, *self.wire.head(self.request_id), *extra])

    def body_head(self, length: int | None, extra: Headers = ()) -> bytes:
        """The response head of a JSON body; without a length it is chunked."""
        framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        common = [("content-type", "application/json"), framing]
        return encode_head(200, [*common, *self.wire.head(self.request_id), *extra])

    def number(self, name: str) -> float:
        """A parameter as a number."""
        return float(self.params[name])

    def with_script(self, script: Script) -> "Answering":
        """The same request with another script."""
        return msgspec.structs.replace(self, script=script)

    def failed(self, failure: Failure, extra: Headers = ()) -> Plan:
        """The plan of an error answer."""
        return plan_rendered(self.wire.failure(failure, self.ask, self.request_id), extra)


def encode_head(status: int, headers: Headers) -> bytes:
    """A response head."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{lines}\r\n".encode("latin-1", "replace")


def encode_chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_frame(frame: Frame, framing: str, newline: bytes = b"\n") -> bytes:
    """One event as it is on the wire."""
    if framing == "ndjson":
        return frame.data + newline
    name = b"event: " + frame.event.encode() + newline if frame.event else b""
    return name + b"data: " + frame.data + newline + newline


def plan_answer(answering: Answering) -> Plan:
    """The plan of a script that does nothing wrong."""
    if not answering.ask.stream:
        body = answering.whole()
        plan = Plan([answering.body_head(len(body)) + body])
    else:
        framing = answering.wire.framing
        plan = plan_stream(answering, [encode_frame(frame, framing) for frame in answering.frames()])
    return msgspec.structs.replace(plan, first_delay_s=answering.script.first_delay_ms / 1000)


def plan_stream(answering: Answering, events: Sequence[bytes], ending: Ending = "keep") -> Plan:
    """A stream of these events at the script's pace; the last chunk is left out where the connection ends otherwise."""
    writes = batched([encode_chunk(event) for event in events], answering.script.batch)
    if ending == "keep":
        writes[-1:] = [b"".join([*writes[-1:], LAST_CHUNK])]
    # The head travels with the first event, as it does from a real provider under load.
    writes[:1] = [answering.stream_head() + b"".join(writes[:1])]
    first_delay_s = answering.script.first_delay_ms / 1000
    return Plan(writes, first_delay_s=first_delay_s, delay_s=answering.script.pace_ms / 1000, ending=ending)


def batched(pieces: Sequence[bytes], size: int) -> list[bytes]:
    """The pieces joined, so many at a time."""
    if size <= 1:
        return list(pieces)
    return [b"".join(pieces[start : start + size]) for start in range(0, len(pieces), size)]


def plan_rendered(rendered: Rendered, extra: Headers = ()) -> Plan:
    """A whole body with its length."""
    length = ("content-length", str(len(rendered.body)))
    headers = [("content-type", rendered.content_type), length, *rendered.headers, *extra]
    return Plan([encode_head(rendered.status, headers) + rendered.body], status=rendered.status)


def until_content(frames: Sequence[Frame], count: float) -> list[Frame]:
    """The frames up to the one that carries the count-th piece of content; all but the last piece where there are fewer.

    With a count of 0 it is what comes before any content.
    """
    places = [index for index, frame in enumerate(frames) if frame.content]
    if count <= 0 or not places:
        return list(frames[: places[0]] if places else frames[:1])
    return list(frames[: places[min(int(count), len(places)) - 1] + 1])


def single_bytes(data: Iterable[bytes]) -> list[bytes]:
    """Every byte for itself."""
    return [bytes([byte]) for piece in data for byte in piece]
