"""What every fault puts on every wire: the plans, read back as a client would read them."""

import gzip
import zlib
from itertools import product

import httptools
import msgspec
import pytest

from modeld.simulator.ask import Ask, OfferedTool
from modeld.simulator.faults import FAULTS, parse_fault, plan_fault
from modeld.simulator.plan import Answering, Plan, plan_answer
from modeld.simulator.script import Script, TextStep, ThinkingStep, ToolCallStep
from modeld.simulator.wires import all_wires
from modeld.simulator.wires.contract import SimWire, Stamp

WIRES = all_wires()
EMPTY = Script()
FULL = Script([ThinkingStep("Let me think."), TextStep("Hello there, friend."), ToolCallStep("look", {"a": 1})])


def named(value: object) -> str:
    """A case's id: the same in every process."""
    return str(getattr(value, "name", value))


class Read:
    """A response as an HTTP parser sees it."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)
        self.status = self._parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode().lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def answering(wire: SimWire, *, stream: bool, script: Script = FULL) -> Answering:
    ask = Ask("sim-x", stream=stream, tools=[OfferedTool("look")])
    headers = {"authorization": "Bearer secret-key"}
    return Answering(wire, ask, script, Stamp("abc", 1), "req_abc", "/v1/x?y=1", headers)


def planned(fault: str, wire: SimWire, *, stream: bool, script: Script = EMPTY) -> Plan:
    return plan_fault(parse_fault(fault), answering(wire, stream=stream, script=script))


def read(plan: Plan) -> Read:
    return Read(b"".join(plan.writes))


def data_frames(body: bytes, framing: str) -> list[bytes]:
    if framing == "ndjson":
        return body.split(b"\n")
    return [line.removeprefix(b"data: ").rstrip(b"\r") for line in body.split(b"\n") if line.startswith(b"data: ")]


@pytest.mark.parametrize(("wire", "stream", "batch"), list(product(WIRES, (False, True), (1, 4, 1000))), ids=named)
def test_a_plan_is_one_whole_response(wire: SimWire, stream: bool, batch: int) -> None:
    script = msgspec.structs.replace(FULL, batch=batch)
    response = read(plan_answer(answering(wire, stream=stream, script=script)))
    assert (response.status, response.complete) == (200, True)
    assert b"Hello there, friend." in response.body or stream


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_batch_joins_events_and_changes_no_byte(wire: SimWire) -> None:
    plans = [plan_answer(answering(wire, stream=True, script=msgspec.structs.replace(FULL, batch=size))) for size in (1, 3)]
    assert b"".join(plans[0].writes) == b"".join(plans[1].writes)
    assert len(plans[0].writes) == len(answering(wire, stream=True).frames()) > 3 * len(plans[1].writes) - 3


STATUSES = {
    "rate_limit": 429,
    "server_error": 500,
    "bad_request": 400,
    "auth": 401,
    "forbidden": 403,
    "not_found": 404,
    "unprocessable": 422,
    "context_overflow": 400,
    "html_502": 502,
    "redirect": 307,
    "retry_after_hostile": 429,
    "echo_key": 401,
    "server_error-0-502": 502,
}
ENDINGS = {
    "hang_before_headers": "hang",
    "hang_before_first_event": "hang",
    "hang_mid_stream": "hang",
    "reset_before_headers": "reset",
    "close_before_headers": "close",
    "reset_mid_stream": "reset",
    "close_mid_stream": "close",
    "cut_at_byte": "reset",
    "lying_content_length": "close",
    "double_content_length": "close",
}
ENDLESS = {"keepalive_only", "endless_line", "endless_stream"}
NOT_HTTP = {"double_content_length", "lying_content_length", "header_flood", "informational_storm"}


@pytest.mark.parametrize(("fault", "wire", "stream"), list(product(STATUSES, WIRES, (False, True))), ids=named)
def test_status_faults(fault: str, wire: SimWire, stream: bool) -> None:
    plan = planned(fault, wire, stream=stream)
    response = read(plan)
    status = 400 if (fault, wire.name) == ("not_found", "openai-responses") else STATUSES[fault]
    assert (response.status, plan.status, response.complete, plan.ending) == (status, status, True, "keep")


@pytest.mark.parametrize(("fault", "wire", "stream"), list(product(FAULTS, WIRES, (False, True))), ids=named)
def test_every_fault_ends_as_its_name_says(fault: str, wire: SimWire, stream: bool) -> None:
    if fault == "cut_without_end_marker" and not stream:
        pytest.skip("only a stream has an end marker")
    plan = planned(fault, wire, stream=stream)
    assert plan.ending == ENDINGS.get(fault, "keep")
    assert bool(plan.endless) == (fault in ENDLESS)
    if plan.ending == "keep" and not plan.endless and fault not in NOT_HTTP:
        assert read(plan).complete


@pytest.mark.parametrize(("wire", "after"), list(product(WIRES, (0, 1, 4, 10_000))), ids=named)
def test_a_stream_breaks_after_so_many_pieces(wire: SimWire, after: int) -> None:
    ask = answering(wire, stream=True)
    pieces = [frame.data for frame in ask.frames() if frame.content]
    sent = data_frames(read(planned(f"hang_mid_stream-{after}", wire, stream=True, script=FULL)).body, wire.framing)
    assert [frame for frame in sent if frame in pieces] == pieces[:after]
    assert not any(frame.end and frame.data in sent for frame in ask.frames())


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_cut_stream_is_whole_http_without_the_end(wire: SimWire) -> None:
    response = read(planned("cut_without_end_marker", wire, stream=True))
    ends = [frame.data for frame in answering(wire, stream=True).frames() if frame.end]
    assert response.complete
    assert not set(ends) & set(data_frames(response.body, wire.framing))


@pytest.mark.parametrize(("fault", "wire"), list(product(("split_every_byte", "slow_drip"), WIRES)), ids=named)
def test_every_byte_comes_alone_and_nothing_is_changed(fault: str, wire: SimWire) -> None:
    for stream in (False, True):
        whole = read(plan_answer(answering(wire, stream=stream))).body
        plan = planned(fault, wire, stream=stream, script=FULL)
        assert read(plan).body == whole
        assert len(plan.writes) >= len(whole)


@pytest.mark.parametrize(
    ("fault", "raw"),
    [("invalid_utf8", b"\xff\xc3\x28"), ("lone_surrogate", b"\\ud83d"), ("deep_json", b"[" * 100_000), ("bom", b"\xef\xbb\xbf")],
)
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_raw_bytes_are_on_the_wire(fault: str, raw: bytes, wire: SimWire) -> None:
    body = read(planned(fault, wire, stream=True)).body
    assert raw in body
    frames = data_frames(body, wire.framing)
    if fault != "bom":
        times = sum(raw in frame for frame in frames)
        assert times == 1 if wire.name != "openai-responses" else times > 1  # where whole parts and items repeat their deltas


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_line_ends(wire: SimWire) -> None:
    body = read(planned("crlf", wire, stream=True)).body
    assert body.count(b"\n") == body.count(b"\r\n") > 0


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_the_key_comes_back(wire: SimWire) -> None:
    assert b"secret-key" in read(planned("echo_key", wire, stream=True)).body


@pytest.mark.parametrize(
    ("fault", "header"),
    [
        ("rate_limit-0-7", ("retry-after", "7")),
        ("retry_after_hostile--1", ("retry-after", "-1")),
        ("retry_after_hostile-Wed, 21 Oct 2015 07:28:00 GMT", ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")),
        ("redirect-127.0.0.1:99", ("location", "http://127.0.0.1:99/v1/x?y=1")),
    ],
)
def test_headers_of_faults(fault: str, header: tuple[str, str]) -> None:
    assert header in read(planned(fault, WIRES[0], stream=False)).headers


@pytest.mark.parametrize("mib", [1, 3, 64])
def test_the_bomb_is_valid_gzip(mib: int) -> None:
    response = read(planned(f"gzip_bomb-{mib}", WIRES[0], stream=True))
    assert ("content-encoding", "gzip") in response.headers
    assert gzip.decompress(response.body) == b" " * (mib << 20)
    assert len(response.body) < mib * 1100 + 100


def test_the_bomb_of_a_gibibyte_is_small_and_quick_to_make() -> None:
    plan = planned("gzip_bomb", WIRES[0], stream=True)
    assert sum(map(len, plan.writes)) < 1_200_000
    # The first MiB unpacks, so a bounded client sees its limit passed and not an error.
    first = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert len(first.decompress(read(plan).body, 1 << 20)) == 1 << 20


def test_sizes_are_as_asked() -> None:
    wire = WIRES[0]
    assert len(max(data_frames(read(planned("giant_event-2", wire, stream=True)).body, wire.framing), key=len)) > 2 << 20
    flood = b"".join(planned("header_flood-500", wire, stream=False).writes)
    assert flood.count(b"x-flood-") == 500
    assert len(b"".join(planned("cut_at_byte-17", wire, stream=True).writes)) == 17
