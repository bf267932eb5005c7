"""One rate budget per key: a provider that throttles a key is waited for, fairly, by all clients; none of them sees a 429."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.e2e.conftest import World
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer, Reply

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
THROTTLED = "sim-fault-throttle-8"
MODELS = ["sim-text", THROTTLED, "sim-fault-rate_limit-1-30", "sim-fault-rate_limit-1-30+streamed", "sim-fault-rate_limit-1-1"]


@pytest.fixture
async def throttled() -> AsyncIterator[World]:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)
        async with DaemonProcess(config) as daemon:
            yield World(daemon, simulator)


def _ask(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": "Hello.", **more}


def _traces(peer: Peer, kind: str) -> list[dict[str, Any]]:
    return [event for event in peer.notifications("trace/event") if event["type"] == kind]


@pytest.mark.parametrize("method", ["model/complete", "model/stream"])
@pytest.mark.parametrize("wire", ["anthropic", "openai"])
async def test_eight_clients_on_a_throttled_key_see_no_429(throttled: World, wire: str, method: str) -> None:
    peers = [await throttled.daemon.peer() for _ in range(8)]
    for peer in peers:
        peer.notify("$/setTrace", {"value": "messages"})
    calls = [peer.call(method, _ask(f"{wire}:{THROTTLED}")) for peer in peers for _ in range(3)]
    replies: list[Reply] = await asyncio.gather(*calls)
    assert [reply.error for reply in replies] == [None] * 24
    refused = sum(request.status == 429 for request in throttled.simulator.requests)
    assert 16 <= refused <= 32  # the first crowd ran into the limit at once; from then on few try in vain
    waits = [event for peer in peers for event in _traces(peer, "llm.call_waiting")]
    assert waits
    assert all(event["provider"] == wire for event in waits)


async def test_clients_take_turns_before_a_key(throttled: World) -> None:
    """One client has many calls in the line, another comes later with one: it doesn't wait for all of them."""
    busy, late = await throttled.daemon.peer(), await throttled.daemon.peer()
    ended: list[str] = []

    async def call(name: str, peer: Peer) -> None:
        (await peer.call("model/complete", _ask(f"openai:{THROTTLED}"))).ok()
        ended.append(name)

    crowd = [asyncio.create_task(call("busy", busy)) for _ in range(24)]
    await throttled.simulator.wait_until(lambda: any(request.status == 429 for request in throttled.simulator.requests))
    await call("late", late)
    await asyncio.gather(*crowd)
    assert ended.index("late") < 20


async def test_a_wait_ends_with_the_call_s_time(throttled: World) -> None:
    first, second = await throttled.daemon.peer(), await throttled.daemon.peer()
    waiting = asyncio.create_task(first.call("model/complete", _ask("openai:sim-fault-rate_limit-1-30", timeout_seconds=100)))
    await throttled.simulator.wait_until(lambda: bool(throttled.simulator.requests))
    await asyncio.sleep(0.05)  # the answer is small; what follows holds whether it has been read or not
    began = time.monotonic()
    reply = await second.call("model/stream", _ask("openai:sim-text", timeout_seconds=2))
    assert time.monotonic() - began < 1
    assert reply.data["error_class"] == "rate_limit"
    assert reply.data["retryable"] is True
    assert 25 < reply.data["retry_after_seconds"] <= 30
    assert [event["type"] for event in reply.inner] == ["message.start", "message.complete"]
    waiting.cancel()


async def test_a_wait_can_be_cancelled(throttled: World) -> None:
    peer = await throttled.daemon.peer()
    number = peer.request("model/stream", _ask("openai:sim-fault-rate_limit-1-30+streamed", timeout_seconds=100))
    await throttled.simulator.wait_until(lambda: bool(throttled.simulator.requests))
    queued = peer.request("model/stream", _ask("openai:sim-text", timeout_seconds=100))
    for rpc_id in (queued, number):
        peer.cancel(rpc_id)
        assert (await peer.reply(rpc_id)).error["code"] == -32800
