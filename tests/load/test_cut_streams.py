"""A provider's connection that is cut after any number of bytes: one reply, one terminal event, never a short success."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from tests.harness.checks import check_stream, text_of
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer

from modeld.simulator import Simulator
from modeld.simulator.script import Script, TextStep, ThinkingStep, ToolCallStep

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

LANES = 12
STEPS = [
    ThinkingStep(["Let me ", "think."]),
    TextStep(["Grüße ", "from 🌍, ", "all of it."]),
    ToolCallStep("look", {"path": "a/b", "line": 7}),
]
TOOLS = [{"name": "look", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
async def daemon(simulator: Simulator) -> AsyncIterator[DaemonProcess]:
    models = [f"sim-text+{lane}" for lane in range(LANES)]
    config = models_yaml(simulator.base_url, simulator.openai_base_url, models, max_retries=0)
    async with DaemonProcess(config) as daemon:
        yield daemon


async def ask(peer: Peer, simulator: Simulator, wire: str, lane: int, offset: int | None) -> Any:
    """The reply to a stream that is cut after `offset` bytes, whole where that is None. A cut behind a whole answer may hit the
    next request on that connection, which the provider then never sees: it is sent again, as a client without retries would."""
    fault = None if offset is None else f"cut_at_byte-{offset}"
    simulator.push(Script(STEPS, fault=fault), model=f"sim-text+{lane}")
    params = {"model": f"{wire}:sim-text+{lane}", "messages": "Hello", "tools": TOOLS}
    seen = simulator.stats()["requests"]
    reply = await peer.call("model/stream", params, timeout_s=30)
    if reply.error is not None and simulator.stats()["requests"] == seen:
        reply = await peer.call("model/stream", params, timeout_s=30)
    return reply


def check_cut(reply: Any, whole: list[dict[str, Any]], wire: str, offset: int) -> str:
    """Assert what holds at every offset; returns how it ended."""
    where = f"{wire}, cut after {offset} bytes"
    if reply.error is None:
        check_stream(reply, "tool_use")
        assert without_ids(reply.result["content"]) == whole, where
        return "whole"
    assert reply.error["code"] == -32803, where
    assert reply.data["error_class"] in ("network", "server_error"), where
    check_stream(reply, "error")
    partial = reply.data["partial"]
    text = text_of(partial["content"]) if partial else ""
    assert text_of(whole).startswith(text), where
    calls = [block for block in (partial or {"content": []})["content"] if block["type"] == "tool_use"]
    assert all(call["input"] in ({}, whole[-1]["input"]) for call in calls), where
    return "cut"


def without_ids(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in block.items() if name not in ("id", "group", "provider_raw")} for block in content]


async def check_offsets(daemon: DaemonProcess, simulator: Simulator, wire: str, offsets: Iterable[int]) -> Counter[str]:
    """Cut a stream at each offset, several at once."""
    waiting = list(offsets)[::-1]
    ends: Counter[str] = Counter()

    async def lane(number: int) -> None:
        peer = await daemon.peer()
        whole = without_ids((await ask(peer, simulator, wire, number, None)).ok()["content"])
        while waiting:
            offset = waiting.pop()
            ends[check_cut(await ask(peer, simulator, wire, number, offset), whole, wire, offset)] += 1
            peer.messages.clear()
        await peer.close()
        daemon.peers.remove(peer)

    await asyncio.gather(*(lane(number) for number in range(LANES)))
    await simulator.wait_until(lambda: simulator.running == 0)
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        assert (await peer.call("daemon/status")).ok()["running_calls"] == 0
    return ends


async def stream_bytes(daemon: DaemonProcess, simulator: Simulator, wire: str) -> int:
    """How long the whole answer is on the wire: the smallest cut that harms nothing, give or take the last chunk."""
    peer = await daemon.peer()
    short, enough = 0, 1 << 16
    while enough - short > 1:
        middle = (short + enough) // 2
        reply = await ask(peer, simulator, wire, 0, middle)
        short, enough = (short, middle) if reply.error is None else (middle, enough)
    return enough


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_cuts_at_some_offsets(daemon: DaemonProcess, simulator: Simulator, wire: str) -> None:
    size = await stream_bytes(daemon, simulator, wire)
    chance = random.Random(20_240_601)
    offsets = sorted({*chance.sample(range(1, size), 100), 1, size - 1, size, size + 1})
    ends = await check_offsets(daemon, simulator, wire, offsets)
    print(f"{wire}: {size} bytes, cut at {len(offsets)} offsets: {dict(ends)}")
    assert set(ends) == {"cut", "whole"}


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_cut_at_every_offset(daemon: DaemonProcess, simulator: Simulator, wire: str) -> None:
    size = await stream_bytes(daemon, simulator, wire)
    files = daemon.open_files()
    ends = await check_offsets(daemon, simulator, wire, range(1, size + 17))
    print(f"{wire}: {size} bytes, cut at every offset: {dict(ends)}")
    assert sum(ends.values()) == size + 16
    assert daemon.open_files() <= files + LANES + 2
