"""The simulator's server over real sockets: connections, records, pacing, back-pressure, control pages."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from modeld.simulator import Scenario, Script, Simulator, TextStep
from modeld.simulator.records import MAX_RECORDS, MAX_TOTAL_BYTES, RecordedRequest, Records

pytestmark = pytest.mark.anyio
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def request(model: str, *, stream: bool = True, headers: str = "", path: str = "/v1/chat/completions", text: str = "hi") -> bytes:
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()
    headers = f"host: 127.0.0.1\r\nauthorization: Bearer key\r\n{headers}content-length: {len(body)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n".encode() + body


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:1\r\n{headers}\r\n".encode()


@asynccontextmanager
async def connected(sim: Simulator) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answered(streams: Streams, data: bytes) -> tuple[int, bytes]:
    """Sends a request and reads its answer, of either framing."""
    reader, writer = streams
    writer.write(data)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    status = int(head.split(" ")[1])
    if "content-length: " in head:
        return status, await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return status, body


async def test_one_connection_serves_many_requests() -> None:
    async with Simulator() as sim, connected(sim) as streams:
        for stream in (True, False, True):
            status, body = await answered(streams, request("sim-echo", stream=stream, text="ping"))
            assert status == 200
            assert b"ping" in body
        assert (sim.open_connections, len(sim.requests)) == (1, 3)
    assert sim.open_connections == 0


async def test_requests_sent_together_are_answered_in_order() -> None:
    async with Simulator() as sim, connected(sim) as streams:
        count = 40
        streams[1].write(b"".join(request("sim-echo", stream=False, text=f"word{index}.") for index in range(1, count)))
        for index in range(1, count):
            _, body = await answered(streams, b"" if index < count - 1 else request("sim-echo", stream=False))
            assert f"word{index}.".encode() in body


async def test_a_request_may_come_in_any_pieces() -> None:
    async with Simulator() as sim, connected(sim) as (reader, writer):
        writer.get_extra_info("socket").setsockopt(6, 1, 1)
        for byte in request("sim-echo", stream=False, text="piecewise"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert b"piecewise" in (await answered((reader, writer), b""))[1]


async def test_records_tell_what_came_and_what_was_answered() -> None:
    async with Simulator() as sim, connected(sim) as streams:
        await answered(streams, request("sim-fault-overloaded", headers="X-Mine: 1\r\n", stream=False))
        (record,) = sim.requests
        assert (record.method, record.path, record.model) == ("POST", "/v1/chat/completions", "sim-fault-overloaded")
        assert (record.status, record.fault, record.wire) == (503, "overloaded", "openai-chat")
        assert (record.header("x-mine"), record.header("authorization")) == ("1", "Bearer key")
        assert json.loads(record.body)["messages"][0]["content"] == "hi"
        assert 0 <= time.monotonic() - record.at_s < 5


def test_records_are_bounded() -> None:
    records = Records()
    size = MAX_TOTAL_BYTES // 100
    for number in range(MAX_RECORDS + 50):
        records.add(RecordedRequest(number, 0.0, "POST", "/", [], b"x" * size, size))
    assert len(records.requests) == MAX_RECORDS
    assert sum(len(record.body) for record in records.requests) <= MAX_TOTAL_BYTES
    assert records.requests[-1].body
    assert records.request_count == MAX_RECORDS + 50


@pytest.mark.parametrize(
    "model", ["sim-fault-hang_before_headers", "sim-fault-hang_mid_stream", "sim-slow-50", "sim-fault-keepalive_only"]
)
async def test_an_early_leave_is_seen_at_once(model: str) -> None:
    async with Simulator() as sim, connected(sim) as (reader, writer):
        writer.write(request(model))
        await sim.wait_until(lambda: len(sim.requests) == 1)
        if "before" not in model:
            await reader.read(10)
        left_at = time.monotonic()
        writer.close()
        await sim.wait_until(lambda: len(sim.closed_early) == 1)
        assert 0 <= sim.closed_early[0].at_s - left_at < 0.2
        assert sim.closed_early[0].model == model
        assert sim.running == 0


async def test_a_complete_answer_is_no_early_leave() -> None:
    async with Simulator() as sim:
        async with connected(sim) as streams:
            await answered(streams, request("sim-text"))
        await sim.wait_until(lambda: sim.open_connections == 0)
        assert not sim.closed_early


@pytest.mark.parametrize(
    ("fault", "error"),
    [("reset_mid_stream", ConnectionResetError), ("close_mid_stream", None), ("reset_before_headers", ConnectionResetError)],
)
async def test_how_a_connection_ends(fault: str, error: type[Exception] | None) -> None:
    async with Simulator() as sim, connected(sim) as (reader, writer):
        writer.write(request(f"sim-fault-{fault}"))
        got = b""
        try:
            while data := await reader.read(65536):
                got += data
            ended: type[Exception] | None = None
        except ConnectionResetError as reset:
            ended = type(reset)
        assert ended is error
        # What came before the end was delivered.
        assert got.count(b"data: ") == (4 if "mid" in fault else 0)
        assert not sim.closed_early


async def test_a_pace_is_kept() -> None:
    async with Simulator() as sim, connected(sim) as streams:
        sim.push(Script([TextStep(["x"] * 20)], pace_ms=10, first_delay_ms=50))
        start = time.monotonic()
        await answered(streams, request("sim-text"))
        # 22 pauses of 10 ms (role, 20 pieces, finish, end) after 50 ms; a busy machine may add to it, never take away.
        assert 0.25 <= time.monotonic() - start < 2.0


async def test_streams_without_a_pace_take_turns() -> None:
    async with Simulator() as sim, connected(sim) as long, connected(sim) as short:
        long[1].write(request("sim-long-20000"))
        await long[0].readuntil(b"data: ")
        await answered(short, request("sim-text"))
        # The long answer is held up by this reader, who has read next to nothing: it must still be under way.
        assert sim.running == 1


async def test_an_endless_stream_takes_no_memory() -> None:
    async with Simulator() as sim, connected(sim) as (reader, writer):
        writer.write(request("sim-fault-endless_stream"))
        await reader.readexactly(1 << 20)
        # Nobody reads for thousands of turns of the loop, in each of which an unbounded writer would add 16 KiB.
        for _ in range(5000):
            await asyncio.sleep(0)
        assert 0 < sim.stats()["buffered_bytes"] < 256 * 1024
        assert sim.running == 1
        await reader.readexactly(8 << 20)


async def test_benchmark_profiles_count_their_events() -> None:
    async with Simulator() as sim, connected(sim) as streams:
        for path, mark in (("/v1/chat/completions", b'"content":"'), ("/v1/messages", b"text_delta")):
            _, body = await answered(streams, request("bench-n50-s20-d0-f0-b7", path=path))
            assert body.count(mark) == 50 + (path == "/v1/chat/completions")
        assert sim.requests[-1].script == "bench"


async def test_half_a_thousand_streams_at_once() -> None:
    async with Simulator() as sim:

        async def one() -> int:
            async with connected(sim) as streams:
                return (await answered(streams, request("bench-n20-s20-d0-f0-b1")))[1].count(b"finish_reason")

        assert set(await asyncio.gather(*(one() for _ in range(500)))) == {22}


async def test_control_pages() -> None:
    async with Simulator() as sim, connected(sim) as streams:
        body = json.dumps([{"script": {"steps": ["Pushed."]}, "times": 2}, "refusal"]).encode()
        push = f"POST /_sim/script HTTP/1.1\r\nhost: localhost:1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        assert json.loads((await answered(streams, push))[1]) == {"queued": 2}
        for expected in (b"Pushed.", b"Pushed.", b'"refusal":"', b"simulator"):
            assert expected in (await answered(streams, request("sim-text", stream=False)))[1]
        seen = json.loads((await answered(streams, get("/_sim/requests?since=1")))[1])["requests"]
        assert [one["script"] for one in seen] == ["inline", "refusal", "text"]
        assert "key" not in json.dumps([one["headers"] for one in seen])
        assert ["authorization", "Bearer sha256:2c70e12b7a06"] in seen[0]["headers"]
        stats = json.loads((await answered(streams, get("/_sim/stats")))[1])
        assert (stats["requests"], stats["open_connections"], stats["closed_early"]) == (4, 1, [])
        reset = b"POST /_sim/reset HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"
        assert (await answered(streams, reset))[0] == 200
        assert not sim.requests


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get("/_sim/requests", "origin: https://evil.example\r\n"), 403),
        (b"GET /_sim/requests HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403),
        (b"GET /_sim/requests HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", 200),
        (get("/_sim/nothing"), 404),
        (b'POST /_sim/script HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n"nothing"', 400),
        (b"POST /_sim/script HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n{", 400),
        (get("/nowhere"), 404),
        (b"nonsense\r\n\r\n", 400),
    ],
)
async def test_what_is_refused(data: bytes, status: int) -> None:
    async with Simulator() as sim, connected(sim) as streams:
        assert (await answered(streams, data))[0] == status


async def test_expect_100_is_answered() -> None:
    async with Simulator() as sim, connected(sim) as (reader, writer):
        head, body = request("sim-echo", stream=False, headers="expect: 100-continue\r\n").split(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await answered((reader, writer), body))[0] == 200


async def test_connection_close_is_honoured() -> None:
    async with Simulator() as sim, connected(sim) as (reader, writer):
        await answered((reader, writer), request("sim-text", headers="connection: close\r\n"))
        assert await reader.read() == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
async def test_only_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        Simulator(host=host)


async def test_keys_may_be_optional() -> None:
    async with Simulator(Scenario(require_key=False)) as sim, connected(sim) as streams:
        data = request("sim-text", stream=False).replace(b"authorization: Bearer key\r\n", b"")
        assert (await answered(streams, data))[0] == 200


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})
