"""Everything a provider can do wrong, by name: one table, from which model names, headers and scenarios pick."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

import msgspec

from .ask import OfferedTool
from .instances import object_of
from .plan import (
    LAST_CHUNK,
    Answering,
    Ending,
    Plan,
    encode_chunk,
    encode_frame,
    encode_head,
    plan_answer,
    plan_stream,
    single_bytes,
    until_content,
)
from .script import Script, TextStep, ToolCallStep
from .wires.contract import KINDS, Failure, Frame, Kind, credential_of

MIB = 1024 * 1024
THROTTLE = "throttle"
"""The fault that counts the requests of each key: the responder lets through those that it doesn't hit."""
DEFAULT_SCRIPT = Script(["This answer has a dozen words, so that it can break anywhere inside."])
_MARK = "@@SIMULATED@@"
_HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"


class Param(msgspec.Struct, frozen=True):
    """A parameter of a fault; the default's type is the parameter's."""

    name: str
    default: str | float
    meaning: str


class Fault(msgspec.Struct, frozen=True):
    """One way to go wrong. `times` is a parameter of all: how many requests it hits before the provider is well again."""

    name: str
    summary: str
    build: Callable[[Answering], Plan]
    params: tuple[Param, ...] = ()


class FaultUse(msgspec.Struct, frozen=True):
    """A fault with its parameters filled in."""

    fault: Fault
    params: Mapping[str, str | float]

    @property
    def times(self) -> int:
        """How many requests it hits; 0 is all of them."""
        return int(self.params["times"])


class FaultError(ValueError):
    """A fault that isn't there, or a parameter that it doesn't have."""


# ---- before the answer


def _fail(kind: Kind) -> Callable[[Answering], Plan]:
    def build(answering: Answering) -> Plan:
        status = int(answering.number("status")) if "status" in answering.params else 0
        return answering.failed(Failure(kind, status=status or None))

    return build


def _rate_limit(answering: Answering) -> Plan:
    return answering.failed(Failure("rate_limit"), [("retry-after", f"{answering.number('retry_after'):g}")])


def _retry_after_hostile(answering: Answering) -> Plan:
    return answering.failed(Failure("rate_limit"), [("retry-after", str(answering.params["value"]))])


def _echo_key(answering: Answering) -> Plan:
    key = credential_of(answering.request_headers)
    return answering.failed(Failure("auth", f"Incorrect API key provided: {key}."))


def _html_502(answering: Answering) -> Plan:
    headers = [("content-type", "text/html"), ("content-length", str(len(_HTML_PAGE)))]
    return Plan([encode_head(502, headers) + _HTML_PAGE], status=502)


def _garbage_200(answering: Answering) -> Plan:
    garbage = b"\x00\x01\xfe{{{ this is neither JSON nor an event \x80\n\n" * 4
    if answering.ask.stream:
        return Plan([answering.stream_head() + encode_chunk(garbage) + LAST_CHUNK])
    return Plan([answering.body_head(len(garbage)) + garbage])


def _empty_200(answering: Answering) -> Plan:
    return Plan([answering.stream_head() + LAST_CHUNK if answering.ask.stream else answering.body_head(0)])


def _error_in_200(answering: Answering) -> Plan:
    body = answering.wire.failure(Failure("server_error"), answering.ask, answering.request_id).body
    return Plan([answering.body_head(len(body)) + body])


def _redirect(answering: Answering) -> Plan:
    origin = str(answering.params["origin"])
    origin = origin if "://" in origin else f"http://{origin}"
    status = int(answering.number("status"))
    headers = [("location", origin.rstrip("/") + answering.path), ("content-length", "0")]
    return Plan([encode_head(status, headers)], status=status)


def _before_headers(ending: Ending) -> Callable[[Answering], Plan]:
    return lambda _answering: Plan([], status=0, ending=ending)


# ---- in the middle of it


def _partly(ending: Ending, after: float | None = None) -> Callable[[Answering], Plan]:
    """The answer up to its n-th piece, then the ending; of a body that isn't streamed, the first half."""

    def build(answering: Answering) -> Plan:
        if answering.ask.stream:
            count = answering.number("after") if after is None else after
            frames = [] if count < 0 else until_content(answering.frames(), count)
            return plan_stream(answering, _encoded(answering, frames), ending)
        body = answering.whole()
        kept = 0 if after is not None and after < 0 else len(body) // 2
        return Plan([answering.body_head(len(body)) + body[:kept]], ending="close" if ending == "keep" else ending)

    return build


def _error_event(answering: Answering) -> Plan:
    failure = Failure(cast(Kind, answering.params["kind"]))
    if not answering.ask.stream:
        return answering.failed(failure)
    kept = until_content(answering.frames(), answering.number("after")) if "after" in answering.params else []
    return plan_stream(answering, _encoded(answering, [*kept, answering.wire.failure_frame(failure, answering.request_id)]))


def _cut_at_byte(answering: Answering) -> Plan:
    whole = b"".join(plan_answer(answering).writes)
    return Plan([whole[: int(answering.number("offset"))]], ending="reset")


def _keepalive_only(answering: Answering) -> Plan:
    stream = answering.ask.stream
    head = answering.stream_head() if stream else answering.body_head(None)
    beat = encode_chunk(answering.wire.keep_alive() if stream else b"\n")
    return Plan([head], delay_s=answering.number("every_ms") / 1000, endless=[beat])


def _slow_drip(answering: Answering) -> Plan:
    return Plan(_body_bytes(answering), delay_s=answering.number("every_ms") / 1000)


def _split_every_byte(answering: Answering) -> Plan:
    return Plan(_body_bytes(answering))


def _body_bytes(answering: Answering) -> list[bytes]:
    """The head, then every byte of the body as a write of its own, and in a stream as a chunk of its own."""
    if not answering.ask.stream:
        body = answering.whole()
        return [answering.body_head(len(body)), *single_bytes([body])]
    chunks = [encode_chunk(byte) for byte in single_bytes(_encoded(answering, answering.frames()))]
    return [answering.stream_head(), *chunks, LAST_CHUNK]


# ---- odd but legal, and odd bytes


def _irregular(kind: Any) -> Callable[[Answering], Plan]:
    return lambda answering: plan_answer(answering.with_script(msgspec.structs.replace(answering.script, irregular=(kind,))))


def _crlf(answering: Answering) -> Plan:
    return _reframed(answering, lambda frames: [encode_frame(frame, answering.wire.framing, b"\r\n") for frame in frames])


def _bom(answering: Answering) -> Plan:
    return _reframed(answering, lambda frames: [b"\xef\xbb\xbf", *_encoded(answering, frames)])


def _comments(answering: Answering) -> Plan:
    comment = b": a comment: with data: in it\n\n:\n\n" if answering.wire.framing == "sse" else b"\n"
    return _reframed(answering, lambda frames: [comment + event for event in _encoded(answering, frames)], padding=b" \n\n \n")


def _unknown_events(answering: Answering) -> Plan:
    noise = answering.wire.noise()

    def noisy(frames: list[Frame]) -> list[bytes]:
        with_noise = [one for frame in frames for one in ((noise, frame) if not frame.end else (frame,))]
        return _encoded(answering, with_noise)

    return _reframed(answering, noisy)


def _reframed(answering: Answering, reframe: Callable[[list[Frame]], list[bytes]], padding: bytes = b"") -> Plan:
    if answering.ask.stream:
        return plan_stream(answering, reframe(answering.frames()))
    body = padding + answering.whole()
    return Plan([answering.body_head(len(body)) + body])


def _raw_in_text(raw: bytes) -> Callable[[Answering], Plan]:
    """Bytes put into a string of the answer, where no JSON encoder would have put them."""

    def build(answering: Answering) -> Plan:
        marked = answering.with_script(Script([TextStep(["Before ", _MARK, " after."])]))
        return _replaced(marked, _MARK.encode(), raw)

    return build


def _deep_json(answering: Answering) -> Plan:
    depth = int(answering.number("depth"))
    marked = answering.with_script(Script([TextStep(["Deep ", _MARK])]))
    deep = b'"x_deep":' + b"[" * depth + b"]" * depth + b","
    if not answering.ask.stream:
        return _whole_plan(answering, marked.whole().replace(b"{", b"{" + deep, 1))
    events = _encoded(marked, marked.frames())
    events = [event.replace(b"{", b"{" + deep, 1) if _MARK.encode() in event else event for event in events]
    return plan_stream(answering, events)


def _replaced(answering: Answering, old: bytes, new: bytes) -> Plan:
    if not answering.ask.stream:
        return _whole_plan(answering, answering.whole().replace(old, new))
    return plan_stream(answering, [event.replace(old, new) for event in _encoded(answering, answering.frames())])


def _whole_plan(answering: Answering, body: bytes) -> Plan:
    return Plan([answering.body_head(len(body)) + body])


# ---- too much


def _endless_line(answering: Answering) -> Plan:
    if answering.ask.stream:
        start = answering.stream_head() + encode_chunk(b"data: " if answering.wire.framing == "sse" else b'{"x":"')
    else:
        start = answering.body_head(None) + encode_chunk(b'{"id":"')
    return Plan([start], endless=[encode_chunk(b"x" * 16_384)])


def _endless_stream(answering: Answering) -> Plan:
    if not answering.ask.stream:
        return _endless_line(answering)
    frames = answering.frames()
    start = until_content(frames, 1)
    again = _encoded(answering, start[-1:]) * 64
    return Plan([answering.stream_head() + _chunks(_encoded(answering, start))], endless=[_chunks(again)])


def _giant_event(answering: Answering) -> Plan:
    text = "x" * int(answering.number("mib") * MIB)
    return plan_answer(answering.with_script(Script([TextStep([text])])))


def _gzip_bomb(answering: Answering) -> Plan:
    pieces = _bomb(int(answering.number("mib")))
    coding = [("content-encoding", "gzip")]
    head = answering.stream_head(coding) if answering.ask.stream else answering.body_head(None, coding)
    return Plan([head, *(encode_chunk(piece) for piece in pieces), LAST_CHUNK])


@cache
def _bomb(mib: int) -> Sequence[bytes]:
    """A valid gzip file of so many MiB of spaces, in pieces of 1 KiB that each unpack to 1 MiB."""
    block = b" " * MIB
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    trailer = _repeated_crc(block, mib).to_bytes(4, "little") + (mib * MIB % 2**32).to_bytes(4, "little")
    return [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff", *[piece] * mib, b"\x03\x00" + trailer]


def _repeated_crc(block: bytes, count: int) -> int:
    """The CRC of a block repeated: its effect on a CRC is affine over GF(2), so it can be squared instead of run."""
    step = [zlib.crc32(block, 0), *(zlib.crc32(block, 1 << bit) for bit in range(32))]
    total = 0
    while count:
        if count & 1:
            total = _through(step, total)
        step = [_through(step, image) for image in step]
        count >>= 1
    return total


def _through(step: Sequence[int], crc: int) -> int:
    result = step[0]
    for bit in range(32):
        if crc >> bit & 1:
            result ^= step[bit + 1] ^ step[0]
    return result


# ---- broken HTTP


def _lying_content_length(answering: Answering) -> Plan:
    body = b"".join(_encoded(answering, answering.frames())) if answering.ask.stream else answering.whole()
    length = [("content-length", str(max(0, len(body) + int(answering.number("extra")))))]
    head = answering.stream_head(length, chunked=False) if answering.ask.stream else _json_head(answering, length)
    return Plan([head + body], ending="close")


def _double_content_length(answering: Answering) -> Plan:
    body = answering.whole()
    lengths = [("content-length", str(len(body))), ("content-length", str(len(body) + 7))]
    return Plan([_json_head(answering, lengths) + body], ending="close")


def _json_head(answering: Answering, extra: Sequence[tuple[str, str]]) -> bytes:
    common = [("content-type", "application/json"), *answering.wire.head(answering.request_id)]
    return encode_head(200, [*common, *extra])


def _header_flood(answering: Answering) -> Plan:
    body = answering.whole()
    flood = [(f"x-flood-{index}", "y" * 80) for index in range(int(answering.number("count")))]
    return Plan([answering.body_head(len(body), flood) + body])


def _informational_storm(answering: Answering) -> Plan:
    storm = b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n" * int(answering.number("count"))
    plan = plan_answer(answering)
    return msgspec.structs.replace(plan, writes=[storm, *plan.writes])


# ---- tool calls gone wrong


def _offered(answering: Answering) -> OfferedTool:
    tools = answering.ask.tools
    return tools[0] if tools else OfferedTool("read_file", {"type": "object", "properties": {"path": {"type": "string"}}})


def _invalid_tool_arguments(answering: Answering) -> Plan:
    call = ToolCallStep(_offered(answering).name, fragments=['{"path": ', "README.md", ", oops"])
    return plan_answer(answering.with_script(Script([call])))


def _truncated_tool_call(answering: Answering) -> Plan:
    tool = _offered(answering)
    pieces = ToolCallStep(tool.name, object_of(tool.schema) or {"text": "cut in the middle"}).pieces()
    call = ToolCallStep(tool.name, fragments=pieces[: max(1, len(pieces) // 2)])
    return plan_answer(answering.with_script(Script([call], stop="max_tokens")))


def _encoded(answering: Answering, frames: Sequence[Frame]) -> list[bytes]:
    return [encode_frame(frame, answering.wire.framing) for frame in frames]


def _chunks(events: Sequence[bytes]) -> bytes:
    return b"".join(encode_chunk(event) for event in events)


# ---- the table

_AFTER = Param("after", 3.0, "pieces of content that come first")
_KIND = Param("kind", "overloaded", "rate_limit, overloaded, server_error, ...")
_TIMES = Param("times", 0.0, "requests that it hits before all is well; 0 for all")
_EVERY = Param("every_ms", 20.0, "milliseconds between bytes")
_MIB = "size in MiB"

FAULTS: dict[str, Fault] = {
    row.name: row
    for row in (
        Fault("rate_limit", "429 with retry-after", _rate_limit, (_TIMES, Param("retry_after", 1.0, "seconds to wait"))),
        Fault(
            THROTTLE,
            "so many requests a second for each key, then 429 with retry-after",
            _rate_limit,
            (Param("per_second", 4.0, "requests within any second"), Param("retry_after", 1.0, "set by the simulator")),
        ),
        Fault("overloaded", "529 or 503, whichever the wire knows", _fail("overloaded"), (_TIMES,)),
        Fault("server_error", "500", _fail("server_error"), (_TIMES, Param("status", 500.0, "HTTP status"))),
        Fault("bad_request", "400", _fail("bad_request"), (_TIMES,)),
        Fault("auth", "401", _fail("auth"), (_TIMES,)),
        Fault("forbidden", "403", _fail("forbidden"), (_TIMES,)),
        Fault("not_found", "404: no such model", _fail("not_found"), (_TIMES,)),
        Fault("unprocessable", "422", _fail("unprocessable"), (_TIMES,)),
        Fault("quota", "quota or credit used up", _fail("quota"), (_TIMES,)),
        Fault("context_overflow", "400: the prompt is too long", _fail("context_overflow"), (_TIMES,)),
        Fault("content_filter", "the prompt is stopped by the provider's filter", _fail("content_filter"), (_TIMES,)),
        Fault("html_502", "a gateway's HTML page", _html_502, (_TIMES,)),
        Fault("garbage_200", "status 200 and bytes that mean nothing", _garbage_200),
        Fault("empty_200", "status 200 and no body", _empty_200),
        Fault("error_in_200", "status 200 and an error as the body", _error_in_200),
        Fault("hang_before_headers", "never answers", _before_headers("hang"), (_TIMES,)),
        Fault("hang_before_first_event", "headers, then silence", _partly("hang", -1), (_TIMES,)),
        Fault("hang_mid_stream", "some of the answer, then silence", _partly("hang"), (_AFTER,)),
        Fault("keepalive_only", "keep-alives for ever", _keepalive_only, (Param("every_ms", 100.0, "between them"),)),
        Fault("slow_drip", "one byte at a time", _slow_drip, (_EVERY,)),
        Fault("reset_before_headers", "closes the connection hard at once", _before_headers("reset"), (_TIMES,)),
        Fault("close_before_headers", "closes the connection at once", _before_headers("close"), (_TIMES,)),
        Fault("reset_mid_stream", "some of the answer, then a hard close", _partly("reset"), (_AFTER,)),
        Fault("close_mid_stream", "some of the answer, then a close inside the body", _partly("close"), (_AFTER,)),
        Fault("cut_without_end_marker", "a body that ends well, an answer that doesn't", _partly("keep"), (_AFTER,)),
        Fault("cut_at_byte", "a hard close after so many bytes, head included", _cut_at_byte, (Param("offset", 200.0, "bytes"),)),
        Fault("error_event_first", "200, then an error as the first event", _error_event, (_KIND,)),
        Fault("error_event_mid_stream", "some of the answer, then an error event", _error_event, (_AFTER, _KIND)),
        Fault("invalid_utf8", "bytes that are no UTF-8 inside a string", _raw_in_text(b"\xff\xc3\x28")),
        Fault("lone_surrogate", "half a surrogate pair as an escape", _raw_in_text(b"\\ud83d")),
        Fault("crlf", "CR LF at the ends of lines", _crlf),
        Fault("bom", "a byte order mark before the first event", _bom),
        Fault("split_every_byte", "every byte a write and a chunk of its own", _split_every_byte),
        Fault("comments", "comments between events; blanks before a body", _comments),
        Fault("unknown_events", "events that nobody has heard of", _unknown_events),
        Fault("no_usage", "no usage", _irregular("no_usage")),
        Fault("duplicate_finish", "the finish twice", _irregular("duplicate_finish")),
        Fault("endless_line", "a line without end", _endless_line),
        Fault("endless_stream", "events without end", _endless_stream),
        Fault("giant_event", "one enormous event", _giant_event, (Param("mib", 10.0, _MIB),)),
        Fault("gzip_bomb", "a small body that unpacks to a huge one", _gzip_bomb, (Param("mib", 1024.0, _MIB + " unpacked"),)),
        Fault("deep_json", "JSON nested very deep", _deep_json, (Param("depth", 100_000.0, "levels"),)),
        Fault("lying_content_length", "a body shorter than announced", _lying_content_length, (Param("extra", 100.0, "bytes"),)),
        Fault("double_content_length", "two lengths that differ", _double_content_length),
        Fault("header_flood", "headers without measure", _header_flood, (Param("count", 10_000.0, "headers of 90 bytes"),)),
        Fault("informational_storm", "many 103 answers first", _informational_storm, (Param("count", 1000.0, "answers"),)),
        Fault(
            "redirect",
            "to another origin, path kept",
            _redirect,
            (Param("origin", "http://127.0.0.1:9", "where to"), Param("status", 307.0, "HTTP status")),
        ),
        Fault("retry_after_hostile", "429 with any retry-after", _retry_after_hostile, (Param("value", "-1", "the header"),)),
        Fault("echo_key", "401 that repeats the key it was sent", _echo_key),
        Fault("invalid_tool_arguments", "a tool call whose arguments are no JSON", _invalid_tool_arguments),
        Fault("truncated_tool_call", "a tool call cut off by the token limit", _truncated_tool_call),
    )
}


def parse_fault(written: str | Mapping[str, Any]) -> FaultUse:
    """A fault as written: `name`, `name-value-value`, `name-param=value`, or a mapping of `name` and parameters.

    Raises FaultError for a name or a parameter that there isn't.
    """
    if isinstance(written, str):
        name, _, rest = written.partition("-")
        return _used(_fault(name), _positional(_fault(name), rest) if rest else {})
    given = {str(key): value for key, value in written.items() if key != "name"}
    return _used(_fault(str(written.get("name"))), given)


def _fault(name: str) -> Fault:
    found = FAULTS.get(name)
    if found is None:
        raise FaultError(f"there is no fault named {name!r}; `modeld simulate --list` names them")
    return found


def params_of(fault: Fault) -> tuple[Param, ...]:
    """Its own parameters, and `times`."""
    return fault.params if _TIMES in fault.params else (*fault.params, _TIMES)


def _positional(fault: Fault, text: str) -> dict[str, Any]:
    params = params_of(fault)
    # The last parameter takes what is left, dashes and all: an origin, a date, a negative number.
    single = isinstance(params[0].default, str)
    parts = [text] if single else text.split("-", len(params) - 1)
    given: dict[str, Any] = {}
    for param, part in zip(params, parts, strict=False):
        name, equals, value = part.partition("=")
        given.update({name: value} if equals and any(one.name == name for one in params) else {param.name: part})
    return given


def _used(fault: Fault, given: Mapping[str, Any]) -> FaultUse:
    params = {param.name: param.default for param in params_of(fault)}
    for name, value in given.items():
        if name not in params:
            raise FaultError(f"the fault {fault.name} has no parameter {name!r}; it has {', '.join(params)}")
        try:
            params[name] = str(value) if isinstance(params[name], str) else float(value)
        except (TypeError, ValueError):
            raise FaultError(f"{name} of the fault {fault.name} is a number, not {value!r}") from None
    if params.get("kind", KINDS[0]) not in KINDS:
        raise FaultError(f"there is no kind of failure {params['kind']!r}; there are {', '.join(KINDS)}")
    return FaultUse(fault, params)


def plan_fault(use: FaultUse, answering: Answering) -> Plan:
    """The plan of an answer that goes wrong in this way."""
    if not answering.script.steps:
        answering = answering.with_script(msgspec.structs.replace(answering.script, steps=DEFAULT_SCRIPT.steps))
    plan = use.fault.build(msgspec.structs.replace(answering, params=use.params))
    return msgspec.structs.replace(plan, first_delay_s=answering.script.first_delay_ms / 1000)
