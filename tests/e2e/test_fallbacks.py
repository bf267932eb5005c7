"""Fallbacks: another model answers where the chosen one's provider fails, before anything was heard; and it is said so."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.e2e.conftest import World
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
GOOD = "openai:sim-text"
FAILING = {
    "server_error": "sim-fault-server_error-0-500",
    "overloaded": "sim-fault-overloaded",
    "rate_limit": "sim-fault-rate_limit-0-0",
    "network": "sim-fault-reset_before_headers",
    "error_event": "sim-fault-error_event_first",
    "bad_request": "sim-fault-bad_request",
    "auth": "sim-fault-auth",
    "mid_stream": "sim-fault-error_event_mid_stream",
}


@pytest.fixture(scope="module")
async def failing() -> AsyncIterator[World]:
    """Every failing model falls back on a good one of another provider; two fail and are each other's fallback."""
    async with Simulator() as simulator:
        names = ["sim-text", "sim-echo", *FAILING.values()]
        config: dict[str, Any] = json.loads(models_yaml(simulator.base_url, simulator.openai_base_url, names, max_retries=0))
        models = config["models"]
        for name in FAILING.values():
            models[f"anthropic:{name}"]["fallbacks"] = [GOOD]
        one, other = "anthropic:sim-fault-overloaded", "openai:sim-fault-overloaded"
        models["anthropic:one"] = {"adapter": "anthropic", "wire_name": one.partition(":")[2], "fallbacks": ["openai:other"]}
        models["openai:other"] = {"adapter": "openai", "wire_name": other.partition(":")[2], "fallbacks": ["anthropic:one"]}
        models["anthropic:weak"] = {
            "adapter": "anthropic",
            "wire_name": "sim-fault-overloaded",
            "fallbacks": ["openai:no-tools", "openai:sim-echo"],
        }
        models["openai:no-tools"] = {"adapter": "openai", "wire_name": "sim-text", "capabilities": {"tools": False}}
        async with DaemonProcess(json.dumps(config)) as daemon:
            yield World(daemon, simulator)


@pytest.fixture
async def client(failing: World) -> AsyncIterator[Peer]:
    failing.simulator.reset()
    async with await Peer.connect(failing.daemon.socket) as peer:
        await peer.initialize()
        peer.notify("$/setTrace", {"value": "messages"})
        yield peer


def _used(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    details = [warning["detail"] for warning in result["warnings"] if warning["code"] == "fallback_used"]
    return [(detail["from"], detail["to"], detail["why"]) for detail in details]


@pytest.mark.parametrize("method", ["model/complete", "model/stream"])
@pytest.mark.parametrize("kind", ["server_error", "overloaded", "network", "error_event", "rate_limit"])
async def test_a_failing_provider_is_stood_in_for(client: Peer, kind: str, method: str) -> None:
    model = f"anthropic:{FAILING[kind]}"
    reply = await client.call(method, {"model": model, "messages": "Hello."})
    result = reply.ok()
    assert (result["model"], result["provider"]) == (GOOD, "openai")
    ((before, after, why),) = _used(result)
    assert (before, after) == (model, GOOD)
    assert why in ("server_error", "network", "rate_limit", "unavailable")
    assert [
        (e["model"], e["fallback_model"]) for e in client.notifications("trace/event") if e["type"] == "llm.call_fallback"
    ] == [(model, GOOD)]
    if method == "model/stream":
        kinds = [event["type"] for event in reply.inner]
        assert (kinds[0], kinds.count("message.start"), kinds.count("message.complete")) == ("message.start", 1, 1)
        assert reply.inner[0]["model"] == GOOD
        assert kinds[-1] == "message.complete"
    calls = (await client.call("usage/query", {})).ok()["rows"]
    mine = [(row["model"], row["status"]) for row in calls if row["request_id"] == result["request_id"]]
    assert (GOOD, "completed") in mine


@pytest.mark.parametrize(
    ("kind", "method", "error_class"),
    [
        ("bad_request", "model/complete", "invalid_request"),
        ("bad_request", "model/stream", "invalid_request"),
        ("mid_stream", "model/stream", "server_error"),
    ],
)
async def test_no_other_failure_is(client: Peer, failing: World, kind: str, method: str, error_class: str) -> None:
    reply = await client.call(method, {"model": f"anthropic:{FAILING[kind]}", "messages": "Hello."})
    assert (reply.data["error_class"], reply.data["model"]) == (error_class, f"anthropic:{FAILING[kind]}")
    if method == "model/stream":
        assert [event["type"] for event in reply.inner].count("message.complete") == 1
    assert [request.model for request in failing.simulator.requests] == [FAILING[kind]]


@pytest.mark.parametrize("method", ["model/complete", "model/stream"])
async def test_a_circle_of_failing_models_ends(client: Peer, failing: World, method: str) -> None:
    reply = await client.call(method, {"model": "anthropic:one", "messages": "Hello."})
    assert (reply.data["error_class"], reply.data["model"]) == ("server_error", "anthropic:one")
    assert len(failing.simulator.requests) == 2
    if method == "model/stream":
        assert [event["type"] for event in reply.inner] == ["message.start", "message.complete"]


async def test_who_lacks_a_capability_is_passed_by(client: Peer) -> None:
    tools: list[Any] = [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    result = (await client.call("model/complete", {"model": "anthropic:weak", "messages": "Hi.", "tools": tools})).ok()
    assert result["model"] == "openai:sim-echo"


@pytest.mark.parametrize(
    "more",
    [{"provider": "anthropic"}, {"provider_options": {"anthropic": {"service_tier": "auto"}}}],
    ids=["provider", "options"],
)
async def test_a_request_for_one_provider_stays_there(client: Peer, more: dict[str, Any]) -> None:
    reply = await client.call("model/complete", {"model": "anthropic:sim-fault-overloaded", "messages": "Hello.", **more})
    assert reply.data["error_class"] == "server_error"


async def test_an_unavailable_provider_is_passed_by(client: Peer, failing: World) -> None:
    """A refused key makes the provider unavailable at once: the first call says so, the next one goes to the fallback."""
    model = f"anthropic:{FAILING['auth']}"
    assert (await client.call("model/complete", {"model": model, "messages": "Hello."})).data["error_class"] == "auth"
    asked = len(failing.simulator.requests)
    result = (await client.call("model/complete", {"model": model, "messages": "Hello."})).ok()
    assert _used(result) == [(model, GOOD, "unavailable")]
    assert len(failing.simulator.requests) == asked + 1


async def test_a_turn_is_answered_by_the_fallback(client: Peer) -> None:
    model = f"anthropic:{FAILING['server_error']}"
    session = (await client.call("session/create", {"model": model})).ok()["session"]["session_id"]
    result = (await client.call("turn/start", {"session_id": session, "input": "Hello."})).ok()
    assert result["model"] == GOOD
    assert [used[1] for used in _used(result)] == [GOOD]
    assert result["message"]["metadata"]["model"] == GOOD
