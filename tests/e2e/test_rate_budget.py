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
BRISK = "sim-fault-throttle-16"
MODELS = [
    "sim-text",
    THROTTLED,
    BRISK,
    "sim-fault-rate_limit-1-30",
    "sim-fault-rate_limit-1-30+streamed",
    "sim-fault-rate_limit-1-1",
]


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
    """One client has fifty calls in the line, another comes later with one: it doesn't wait for all of them."""
    busy, late = await throttled.daemon.peer(), await throttled.daemon.peer()
    ended: list[str] = []

    async def call(name: str, peer: Peer) -> None:
        (await peer.call("model/complete", _ask(f"openai:{BRISK}"))).ok()
        ended.append(name)

    crowd = [asyncio.create_task(call("busy", busy)) for _ in range(50)]
    await throttled.simulator.wait_until(lambda: any(request.status == 429 for request in throttled.simulator.requests))
    await call("late", late)
    await asyncio.gather(*crowd)
    assert ended.index("late") < 32
    assert len(ended) == 51


# ---- what is seen of it


async def _key(peer: Peer, provider: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The provider's key in `daemon/status` and in `provider/list`, which say the same."""
    status = (await peer.call("daemon/status")).ok()
    (of_status,) = [key for key in status["keys"] if provider in key["providers"]]
    providers = (await peer.call("provider/list")).ok()["providers"]
    (of_list,) = next(one for one in providers if one["name"] == provider)["keys"]
    assert of_list.keys() == of_status.keys()
    same = ("providers", "running", "waiting", "waiting_clients", "max_concurrent_calls", "blocked_by")
    assert {name: of_list[name] for name in same} == {name: of_status[name] for name in same}
    return of_status, status


async def test_status_tells_of_calls_that_wait_for_a_throttled_key(throttled: World) -> None:
    first, second, idle = [await throttled.daemon.peer() for _ in range(3)]
    assert (await idle.call("daemon/status")).ok()["keys"] == []
    asked = _ask("openai:sim-fault-rate_limit-1-30", timeout_seconds=100)
    numbers = [(peer, peer.request("model/complete", asked)) for peer in (first,)]
    await throttled.simulator.wait_until(lambda: any(request.status == 429 for request in throttled.simulator.requests))
    numbers += [(peer, peer.request("model/complete", _ask("openai:sim-text", timeout_seconds=100))) for peer in (first, second)]
    async with asyncio.timeout(5):
        while (await idle.call("daemon/status")).ok()["queued_calls"] < 3:
            await asyncio.sleep(0.01)
    key, status = await _key(idle, "openai")
    assert (key["running"], key["waiting"], key["waiting_clients"], key["blocked_by"]) == (0, 3, 2, "throttled")
    assert 20 < key["opens_in_seconds"] <= 30
    assert "throttles" in key["reason"]
    assert not [one for one in status["keys"] if "anthropic" in one["providers"]], "the other key is open"
    command = await asyncio.create_subprocess_exec(
        *throttled.daemon.command("status"), env=throttled.daemon.env, stdout=asyncio.subprocess.PIPE
    )
    said = (await command.communicate())[0].decode()
    assert "3 wait for the key of openai: the provider throttles this key" in said
    for peer, number in numbers:
        peer.cancel(number)
        assert (await peer.reply(number)).error["code"] == -32800
    began = time.monotonic()
    (await idle.call("model/complete", _ask("openai:sim-text"))).ok()  # nobody waits for the key any more: one may try
    assert time.monotonic() - began < 5


async def test_as_many_calls_run_with_a_key_as_the_config_says() -> None:
    async with Simulator() as simulator:
        options = {"options": {"max_concurrent_calls": 2}}
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-slow-60", "sim-text"], **options)
        async with DaemonProcess(config) as daemon:
            many, one = await daemon.peer(), await daemon.peer()
            started = [many.request("model/stream", _ask("openai:sim-slow-60", request_id=f"r-{n}")) for n in range(6)]
            async with asyncio.timeout(5):
                while (await one.call("daemon/status")).ok()["queued_calls"] < 4:
                    await asyncio.sleep(0.01)
            key, _ = await _key(one, "openai")
            assert (key["running"], key["waiting"], key["waiting_clients"]) == (2, 4, 1)
            assert (key["blocked_by"], key["max_concurrent_calls"]) == ("max_concurrent_calls", 2)
            assert "max_concurrent_calls" in key["reason"]
            assert len(simulator.requests) == 2
            daemon.config.write_text(config.replace('"max_concurrent_calls": 2', '"max_concurrent_calls": 4'))
            await one.until(lambda: one.notifications("config/changed"))
            late = one.request("model/stream", _ask("openai:sim-text"))  # the first call of the new adapter brings its bound
            await simulator.wait_until(lambda: len(simulator.requests) >= 4)
            assert (await _key(one, "openai"))[0]["max_concurrent_calls"] == 4
            for number in started:
                many.cancel(number)
            (await one.reply(late)).ok()


async def test_a_bound_that_is_none_is_a_mistake_of_the_config() -> None:
    async with Simulator() as simulator:
        options = {"options": {"max_concurrent_calls": "many"}}
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"], **options)
        good = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
        async with DaemonProcess(good) as daemon:
            peer = await daemon.peer()
            checked = (await peer.call("config/check", {"text": config})).ok()
            assert not checked["valid"]
            assert "max_concurrent_calls" in checked["problems"][0]["message"]


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


@pytest.mark.parametrize("method", ["model/complete", "model/stream"])
@pytest.mark.parametrize("wire", ["anthropic", "openai"])
async def test_a_call_that_does_not_try_again_closes_no_key(wire: str, method: str) -> None:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS, max_retries=0)
        async with DaemonProcess(config) as daemon:
            peer = await daemon.peer()
            refused = await peer.call(method, _ask(f"{wire}:sim-fault-rate_limit-1-30"))
            assert (refused.data["error_class"], refused.data["retry_after_seconds"]) == ("rate_limit", 30)
            (await peer.call(method, _ask(f"{wire}:sim-text", timeout_seconds=5))).ok()


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
async def test_a_call_whose_time_ends_before_the_wait_does_not_wait(throttled: World, wire: str) -> None:
    """The provider asks for more time than the call has: its client hears so at once, and other calls go on."""
    peer = await throttled.daemon.peer()
    began = time.monotonic()
    refused = await peer.call("model/complete", _ask(f"{wire}:sim-fault-rate_limit-1-30", timeout_seconds=3))
    assert time.monotonic() - began < 2
    assert (refused.data["error_class"], refused.data["retry_after_seconds"]) == ("rate_limit", 30)
    assert (await peer.call("model/complete", _ask(f"{wire}:sim-text", timeout_seconds=3))).ok()["metrics"]["attempts"] == 1


async def test_a_wait_can_be_cancelled(throttled: World) -> None:
    peer = await throttled.daemon.peer()
    number = peer.request("model/stream", _ask("openai:sim-fault-rate_limit-1-30+streamed", timeout_seconds=100))
    await throttled.simulator.wait_until(lambda: bool(throttled.simulator.requests))
    queued = peer.request("model/stream", _ask("openai:sim-text", timeout_seconds=100))
    for rpc_id in (queued, number):
        peer.cancel(rpc_id)
        assert (await peer.reply(rpc_id)).error["code"] == -32800
