"""How providers and models do, seen from outside: in the lists, as notifications to everybody, on the trace bus of who called."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.e2e.conftest import World
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Message, Peer
from tests.harness.sessions import create, turn

from modeld.clock import Clock
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.failure import ProviderFailure
from modeld.runtime import Runtime
from modeld.simulator import Simulator
from modeld.simulator.script import Script
from modeld_protocol.request import CanonicalRequest

pytestmark = pytest.mark.anyio
FAULTS = ("server_error-0-500", "overloaded", "auth", "quota", "not_found", "rate_limit-0-0", "reset_before_headers")
NEUTRAL = ("bad_request", "context_overflow", "unprocessable")
MODELS = ["sim-text", "sim-echo", *(f"sim-fault-{fault}" for fault in (*FAULTS, *NEUTRAL))]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with Simulator() as simulator:
        config: dict[str, Any] = json.loads(
            models_yaml(simulator.base_url, simulator.openai_base_url, MODELS, max_retries=0, timeout_seconds=5)
        )
        config["default_model"] = "anthropic:sim-echo"
        config["models"]["openai:sim-text"]["aliases"] = ["swift"]
        async with DaemonProcess(json.dumps(config)) as daemon:
            yield World(daemon, simulator)


async def states(peer: Peer, model: str) -> tuple[str, str, str | None]:
    """The provider's state, the model's, and the reason that the model's entry gives."""
    provider = model.partition(":")[0]
    providers = {one["name"]: one for one in (await peer.call("provider/list")).ok()["providers"]}
    models = {one["id"]: one for one in (await peer.call("model/list")).ok()["models"]}
    assert (await peer.call("daemon/status")).ok()["providers"][provider] == providers[provider]["availability"]
    return providers[provider]["availability"], models[model]["availability"], models[model]["reason"]


def moves(found: list[Message], model: str) -> list[str]:
    """The changes of one model and its provider, as `provider available>degraded`."""
    provider = model.partition(":")[0]
    whose = {(provider, None): "provider", (provider, model): "model"}
    return [
        f"{whose[key]} {change['previous']}>{change['state']}"
        for change in found
        if (key := (change["provider"], change.get("model"))) in whose
    ]


CASES: list[tuple[str, int, tuple[str, str], list[str]]] = [
    (
        "server_error-0-500",
        2,
        ("degraded", "degraded"),
        ["provider available>degraded", "model available>degraded", "provider degraded>available"],
    ),
    ("auth", 1, ("unavailable", "unavailable"), ["provider available>unavailable", "provider unavailable>available"]),
    ("quota", 1, ("unavailable", "unavailable"), ["provider available>unavailable", "provider unavailable>available"]),
    ("not_found", 1, ("available", "unavailable"), ["model available>unavailable"]),
    (
        "reset_before_headers",
        2,
        ("degraded", "degraded"),
        ["provider available>degraded", "provider degraded>available"],
    ),
    *((fault, 6, ("available", "available"), []) for fault in NEUTRAL),
]


@pytest.mark.parametrize("method", ["model/complete", "turn/start"])
@pytest.mark.parametrize(("fault", "calls", "after", "changes"), CASES, ids=[case[0] for case in CASES])
async def test_failures_move_the_state_and_a_success_heals_it(
    world: World, method: str, fault: str, calls: int, after: tuple[str, str], changes: list[str]
) -> None:
    peer, other = await world.daemon.peer(trace=True), await world.daemon.peer()
    peer.notify("$/setTrace", {"value": "messages"})
    model = f"openai:sim-fault-{fault}"
    assert await states(other, model) == ("available", "available", None)

    async def call(name: str) -> Any:
        if method == "turn/start":
            return await turn(peer, await create(peer, name))
        return await peer.call(method, {"model": name, "messages": "Hello."})

    for _ in range(calls):
        assert (await call(model)).error is not None
    of_provider, of_model, reason = await states(other, model)
    assert (of_provider, of_model) == after
    assert bool(reason) is (of_model != "available")
    (await call("openai:sim-text")).ok()
    assert (await states(other, model))[0] == "available"
    (await other.call("daemon/status")).ok()
    assert moves(other.notifications("availability/changed"), model) == changes
    on_the_bus = [event for event in peer.notifications("trace/event") if event["type"] == "availability.changed"]
    assert moves(on_the_bus, model) == changes
    assert not other.notifications("trace/event")
    assert await states(other, "anthropic:sim-text") == ("available", "available", None), "another provider is none of it"


# ---- the whole circle, with a clock that can be moved


async def test_what_is_down_is_probed_after_a_while_and_heals() -> None:
    now_s = time.monotonic()
    async with Simulator() as simulator:
        config = Config(
            {"local": AdapterConfig("local", "openai", simulator.openai_base_url, api_key_env="KEY", max_retries=0)},
            {"local:m": ModelConfig("local:m", "local", "sim-text")},
        )
        clock = Clock(monotonic=lambda: now_s)
        runtime = Runtime(config, environment={"KEY": "key-0123456789"}, clock=clock)
        seen: list[tuple[str | None, str]] = []
        runtime.on_availability = lambda change: seen.append((change.previous, change.state))

        async def call(*, fails: bool) -> None:
            if fails:
                simulator.push(Script(fault="overloaded"))
            request = CanonicalRequest("Hello.", "local:m")
            try:
                await runtime.run(runtime.prepare(request, stream=False))
                assert not fails
            except ProviderFailure:
                assert fails

        for _ in range(5):
            await call(fails=True)
            now_s += 10
        assert runtime.providers()[0].availability == "unavailable"
        await call(fails=True)  # not due yet: no probe, and no change
        now_s += 31
        await call(fails=True)
        now_s += 31
        await call(fails=False)
        assert runtime.providers()[0].availability == "available"
        assert runtime.providers()[0].reason is None
        await runtime.close()
    of_provider = seen[::2]
    assert of_provider == seen[1::2], "the model goes the same way"
    assert of_provider == [
        ("available", "degraded"),
        ("degraded", "unavailable"),
        ("unavailable", "probing"),
        ("probing", "unavailable"),
        ("unavailable", "probing"),
        ("probing", "available"),
    ]


# ---- routing: hint, then alias or catalog, then default

MEANT: list[tuple[dict[str, Any], str | None]] = [
    ({}, "anthropic:sim-echo"),
    ({"model": None}, "anthropic:sim-echo"),
    ({"model": "swift"}, "openai:sim-text"),
    ({"model": "openai:sim-echo"}, "openai:sim-echo"),
    ({"model": "sim-text", "provider": "anthropic"}, "anthropic:sim-text"),
    ({"model": "sim-text", "provider": "openai"}, "openai:sim-text"),
    ({"model": "openai:sim-text", "provider": "openai"}, "openai:sim-text"),
    ({"provider": "anthropic"}, "anthropic:sim-echo"),
    ({"model": "swift", "provider": "anthropic"}, None),
    ({"model": "sim-text"}, None),
    ({"model": "openai:sim-text", "provider": "nobody"}, None),
    ({"model": "nothing"}, None),
]


@pytest.mark.parametrize("method", ["model/complete", "model/stream", "turn/start"])
async def test_a_request_goes_where_its_names_say(world: World, method: str) -> None:
    peer = await world.daemon.peer()
    for fields, meant in MEANT:
        asked = len(world.simulator.requests)
        for _ in range(2):
            if method == "turn/start":
                session = (await peer.call("session/create", {})).ok()["session"]["session_id"]
                reply = await turn(peer, session, **fields)
            else:
                reply = await peer.call(method, {"messages": "Hello.", **fields})
            if meant is None:
                assert reply.data["error_class"] in ("invalid_request", "model_not_found"), fields
            else:
                assert reply.ok()["model"] == meant, fields
        assert len(world.simulator.requests) == asked + (2 if meant else 0)
