"""Promises D: a cancel reaches the provider within 200 ms, is answered once, and leaves nothing behind."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests.e2e.conftest import WIRES, World
from tests.harness.checks import check_stream, deltas_of
from tests.harness.peer import Peer
from tests.harness.sessions import begin_turn, create

from modeld.simulator.script import Script, ToolCallStep

pytestmark = pytest.mark.anyio
CLOSE_WITHIN_S = 0.2


async def closed_within(simulator: Any, count: int, since: float) -> list[float]:
    """Wait until the provider saw `count` early closes; returns how long each took from `since`."""
    await simulator.wait_until(lambda: len(simulator.closed_early) >= count)
    return [close.at_s - since for close in simulator.closed_early]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", ["model/stream", "model/complete"])
@pytest.mark.parametrize("fault", ["hang_before_headers", "hang_before_first_event"])
async def test_cancel_before_the_first_token(peer: Peer, simulator: Any, wire: str, method: str, fault: str) -> None:
    params = {"model": f"{wire}:sim-fault-{fault}", "messages": "Hello", "request_id": "early"}
    number = peer.request(method, params)
    await simulator.wait_until(lambda: len(simulator.requests) == 1)
    began = time.monotonic()
    peer.cancel(number)
    reply = await peer.reply(number, request_id="early")
    assert reply.error["code"] == -32800
    assert max(await closed_within(simulator, 1, began)) < CLOSE_WITHIN_S
    if method == "model/stream":
        check_stream(reply, "cancelled")
    await asyncio.sleep(0.05)
    assert len(peer.replies(number)) == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_cancel_mid_stream_keeps_what_came(peer: Peer, simulator: Any, wire: str) -> None:
    number = peer.request("model/stream", {"model": f"{wire}:sim-slow-60", "messages": "Hello", "request_id": "mid"})
    await peer.until(lambda: len(peer.events("mid")) >= 3)
    began = time.monotonic()
    peer.cancel(number)
    reply = await peer.reply(number, request_id="mid")
    assert reply.error["code"] == -32800
    inner = check_stream(reply, "cancelled")
    assert deltas_of(inner)
    assert reply.data["partial"]["content"] == inner[-1]["final_content"]
    assert reply.data["partial"]["usage"]["estimated"] is True
    assert max(await closed_within(simulator, 1, began)) < CLOSE_WITHIN_S


@pytest.mark.parametrize("wire", WIRES)
async def test_cancel_with_an_open_tool_call(peer: Peer, simulator: Any, wire: str) -> None:
    step = ToolCallStep("weather", fragments=['{"city"', ': "Oslo', '"}'])
    simulator.push(Script(steps=[step], pace_ms=200))
    number = peer.request("model/stream", {"model": f"{wire}:sim-text", "messages": "Hello", "request_id": "tool"})
    await peer.until(lambda: any(event["event"]["type"] == "tool.use_input_delta" for event in peer.events("tool")))
    peer.cancel(number)
    reply = await peer.reply(number, request_id="tool")
    inner = check_stream(reply, "cancelled")
    ends = [event for event in inner if event["type"] == "tool.use_end"]
    assert [end["final_input"] for end in ends] == [{}]


async def test_cancel_after_the_end_twice_and_of_unknown_ids_says_nothing(peer: Peer) -> None:
    number = peer.request("model/complete", {"model": "openai:sim-text", "messages": "Hello"})
    (await peer.reply(number)).ok()
    for rpc_id in (number, number, 999_999, "unknown"):
        peer.cancel(rpc_id)
    (await peer.call("daemon/status")).ok()
    assert len(peer.replies(number)) == 1
    assert not peer.replies("unknown")


async def test_cancel_twice_in_a_row(peer: Peer) -> None:
    number = peer.request("model/stream", {"model": "openai:sim-slow-60", "messages": "Hello", "request_id": "twice"})
    await peer.until(lambda: peer.events("twice"))
    peer.cancel(number)
    peer.cancel(number)
    check_stream(await peer.reply(number, request_id="twice"), "cancelled")
    (await peer.call("daemon/status")).ok()
    assert len(peer.replies(number)) == 1
    assert len([event for event in peer.events("twice") if event["event"]["type"] == "message.complete"]) == 1


async def test_request_and_cancel_in_one_packet(peer: Peer, simulator: Any) -> None:
    for _ in range(20):
        params = {"model": "openai:sim-fault-hang_mid_stream", "messages": "Hello"}
        number = peer.request("model/stream", params)
        peer.cancel(number)
        assert (await peer.reply(number)).error["code"] == -32800
    await simulator.wait_until(lambda: simulator.running == 0)
    assert (await peer.call("daemon/status")).ok()["running_calls"] == 0


async def test_cancel_of_a_request_that_waits(peer: Peer, simulator: Any) -> None:
    hang = {"model": "openai:sim-fault-hang_mid_stream", "messages": "Hello"}
    running = [peer.request("model/stream", hang) for _ in range(64)]
    await simulator.wait_until(lambda: len(simulator.requests) == 64)
    text = {"model": "openai:sim-text", "messages": "Hello"}
    session_id = await create(peer, "openai:sim-text")
    waiting = {
        "w-stream": peer.request("model/stream", {**text, "request_id": "w-stream"}),
        "w-whole": peer.request("model/complete", {**text, "request_id": "w-whole"}),
        "w-turn": begin_turn(peer, session_id, request_id="w-turn")[0],
    }
    async with asyncio.timeout(5):
        while (await peer.call("daemon/status")).ok()["queued_calls"] != 3:
            await asyncio.sleep(0.01)
    for name, number in waiting.items():
        peer.cancel(number)
        assert (await peer.reply(number)).error["code"] == -32800
        ends = [event["event"]["stop_reason"] for event in peer.events(name) if event["event"]["type"] == "message.complete"]
        assert ends == ([] if name == "w-whole" else ["cancelled"])
        (row,) = (await peer.call("usage/query", {"request_id": name})).ok()["rows"]
        assert (row["status"], row["error_class"], row["usage"]) == ("cancelled", "cancelled", None)
    for number in running:
        peer.cancel(number)
    await peer.until(lambda: all(peer.replies(number) for number in running))
    assert len(simulator.requests) == 64, "what was cancelled while it waited was never sent"


async def test_fifty_cancels_close_upstream_in_time(peer: Peer, simulator: Any) -> None:
    times = []
    for turn in range(50):
        number = peer.request("model/stream", {"model": "openai:sim-slow-60", "messages": "x", "request_id": f"f{turn}"})
        await peer.until(lambda turn=turn: len(peer.events(f"f{turn}")) >= 2)
        began = time.monotonic()
        peer.cancel(number)
        await peer.reply(number)
        await simulator.wait_until(lambda turn=turn: len(simulator.closed_early) > turn)
        times.append(simulator.closed_early[-1].at_s - began)
    times.sort()
    print(f"cancel to upstream close: p50 {times[25] * 1000:.1f} ms, p99 {times[49] * 1000:.1f} ms")
    assert times[-1] < CLOSE_WITHIN_S


async def test_a_client_that_disconnects_has_its_upstream_closed(world: World, peer: Peer, simulator: Any) -> None:
    leaving = await Peer.connect(world.daemon.socket)
    await leaving.initialize()
    leaving.request("model/stream", {"model": "openai:sim-slow-60", "messages": "Hello", "request_id": "leaving"})
    staying = peer.request("model/stream", {"model": "openai:sim-slow-60", "messages": "Hello", "request_id": "staying"})
    await leaving.until(lambda: len(leaving.events("leaving")) >= 2)
    began = time.monotonic()
    await leaving.close()
    assert max(await closed_within(simulator, 1, began)) < CLOSE_WITHIN_S
    check_stream(await peer.reply(staying, request_id="staying"), "end_turn")


async def test_cancels_around_the_natural_end(peer: Peer) -> None:
    for turn in range(100):
        request_id = f"end{turn}"
        number = peer.request("model/stream", {"model": "openai:sim-text", "messages": "Hello", "request_id": request_id})
        await asyncio.sleep(turn * 0.00005)
        peer.cancel(number)
        reply = await peer.reply(number, request_id=request_id)
        if reply.events:
            check_stream(reply, "cancelled" if reply.error else "end_turn")
    (await peer.call("daemon/status")).ok()
    assert all(len(peer.replies(number)) == 1 for number in {m["id"] for m in peer.messages if "method" not in m})
    for turn in range(100):
        ends = [event for event in peer.events(f"end{turn}") if event["event"]["type"] == "message.complete"]
        assert len(ends) <= 1


async def test_cancelling_one_of_ten_leaves_nine_whole(peer: Peer) -> None:
    model = "openai:bench-n100-s20-d10000-f0-b1"
    ids = [peer.request("model/stream", {"model": model, "messages": "x", "request_id": f"t{n}"}) for n in range(10)]
    await peer.until(lambda: all(peer.events(f"t{n}") for n in range(10)))
    peer.cancel(ids[3])
    for n, number in enumerate(ids):
        reply = await peer.reply(number, request_id=f"t{n}")
        inner = check_stream(reply, "cancelled" if n == 3 else "end_turn")
        if n != 3:
            assert len([event for event in inner if event["type"] == "text.delta"]) == 100


async def test_another_client_cannot_cancel_by_the_same_id(world: World, peer: Peer) -> None:
    number = peer.request("model/stream", {"model": "openai:sim-slow-60", "messages": "Hello", "request_id": "mine"}, rpc_id=4711)
    async with await Peer.connect(world.daemon.socket) as other:
        await other.initialize()
        other.cancel(4711)
        (await other.call("daemon/status")).ok()
    check_stream(await peer.reply(number, request_id="mine"), "end_turn")


async def test_two_hundred_cancels_leave_nothing_behind(world: World, peer: Peer, simulator: Any) -> None:
    await simulator.wait_until(lambda: simulator.running == 0)

    hang = {"model": "openai:sim-fault-hang_mid_stream", "messages": "x"}

    async def burst(count: int) -> None:
        wanted = len(simulator.requests) + min(count, 64)
        ids = [peer.request("model/stream", hang) for _ in range(count)]
        await simulator.wait_until(lambda: len(simulator.requests) >= wanted)
        for number in ids:
            peer.cancel(number)
        await peer.until(lambda: all(peer.replies(number) for number in ids))
        await simulator.wait_until(lambda: simulator.running == 0)

    await burst(20)
    before = world.daemon.open_files()
    await burst(200)
    assert world.daemon.open_files() <= before + 2
    assert simulator.running == 0
    assert json.dumps((await peer.call("daemon/status")).ok()["running_calls"]) == "0"
