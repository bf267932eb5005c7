"""The trace bus: one beginning and one end for every attempt, whatever becomes of the call, and never a word in a stream."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.e2e.conftest import WIRES, World
from tests.harness import canary, sessions
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer

pytestmark = pytest.mark.anyio
PROMPT = "canary-prompt-77ac10"
ENDS = ("llm.call_completed", "llm.call_failed")


@pytest.fixture
async def tracing(world: World) -> AsyncIterator[Peer]:
    async with await Peer.connect(world.daemon.socket) as peer:
        await peer.initialize(trace=True)
        peer.notify("$/setTrace", {"value": "messages"})
        world.simulator.reset()
        yield peer


def traces(peer: Peer, request_id: str) -> list[dict[str, Any]]:
    """What the bus said of the attempts of one call."""
    every = peer.notifications("trace/event")
    return [event for event in every if event.get("request_id") == request_id and event["type"] in ("llm.call_started", *ENDS)]


def check_bus(peer: Peer, request_id: str, attempts: int) -> list[dict[str, Any]]:
    """Every attempt begins and ends once, in order; streams hold no trace and traces no stream. Returns the ends."""
    said = traces(peer, request_id)
    assert [event["retry_count"] for event in said] == [number for number in range(attempts) for _ in range(2)]
    assert all(event["type"] == "llm.call_started" for event in said[::2])
    assert all(event["type"] in ENDS for event in said[1::2])
    for event in peer.events(request_id):
        assert not event["event"]["type"].startswith("llm.")
    for event in peer.notifications("trace/event"):
        assert "message_id" not in event and "event" not in event
    ends = said[1::2]
    assert all(end["type"] == "llm.call_failed" and end["will_retry"] for end in ends[:-1])
    return ends


CASES = [
    ("sim-text", 1, None),
    ("sim-fault-server_error-1-503", 2, None),
    ("sim-fault-overloaded", 3, "server_error"),
    ("sim-fault-bad_request", 1, "invalid_request"),
    ("sim-fault-auth", 1, "auth"),
    ("sim-fault-reset_mid_stream", 1, "network"),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", ["model/stream", "model/complete"])
@pytest.mark.parametrize(("model", "attempts", "error_class"), CASES)
async def test_every_attempt_is_told_once(
    world: World, tracing: Peer, wire: str, method: str, model: str, attempts: int, error_class: str | None
) -> None:
    if method == "model/complete" and "mid_stream" in model:
        attempts = 3  # nothing had come, so it is tried again
    request_id = f"r-{wire}-{method[6:]}-{model}"
    reply = await tracing.call(method, {"model": f"{wire}:{model}", "messages": PROMPT, "request_id": request_id}, 30)
    last = check_bus(tracing, request_id, attempts)[-1]
    assert len(world.simulator.requests) == attempts
    assert last.get("error_class") == error_class
    if error_class is None:
        assert last["usage"]["output_tokens"] == reply.ok()["usage"]["output_tokens"]
        assert reply.ok()["metrics"]["attempts"] == attempts
    else:
        assert last["will_retry"] is False
    assert not canary.find([PROMPT, KEY], json.dumps(tracing.notifications("trace/event")))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", ["hang_before_headers", "hang_before_first_event", "hang_mid_stream"])
async def test_a_cancelled_call_is_told_once(world: World, tracing: Peer, wire: str, fault: str) -> None:
    request_id = f"r-{wire}-{fault}"
    params = {"model": f"{wire}:sim-fault-{fault}", "messages": PROMPT, "request_id": request_id}
    number = tracing.request("model/stream", params)
    await world.simulator.wait_until(lambda: len(world.simulator.requests) == 1)
    if fault == "hang_mid_stream":
        await tracing.until(lambda: tracing.events(request_id))
    tracing.cancel(number)
    assert (await tracing.reply(number)).error["code"] == -32800
    (end,) = check_bus(tracing, request_id, 1)
    assert (end["error_class"], end["will_retry"]) == ("cancelled", False)


async def test_a_call_cancelled_between_attempts_has_ended_already(world: World, tracing: Peer) -> None:
    params = {"model": "openai:sim-fault-retry_after_hostile-86400", "messages": PROMPT, "request_id": "r-between"}
    number = tracing.request("model/stream", params)
    await tracing.until(lambda: len(traces(tracing, "r-between")) == 2)
    tracing.cancel(number)
    await tracing.reply(number)
    started, failed = traces(tracing, "r-between")
    assert (started["retry_count"], failed["retry_count"], failed["error_class"], failed["will_retry"]) == (
        0,
        0,
        "rate_limit",
        True,
    )


async def test_a_call_that_is_never_sent_is_not_on_the_bus(world: World, tracing: Peer) -> None:
    for params in ({"model": "nobody:none", "messages": "x"}, {"model": "openai:sim-text", "provider": "none", "messages": "x"}):
        reply = await tracing.call("model/stream", {**params, "request_id": "r-never"})
        assert reply.error is not None
    assert not traces(tracing, "r-never")
    assert not world.simulator.requests


@pytest.mark.parametrize("method", ["model/stream", "model/complete"])
async def test_a_call_that_falls_back_tells_of_each_attempt_of_each_model(world: World, method: str) -> None:
    config = json.loads(models_yaml(world.simulator.base_url, world.simulator.openai_base_url, ["sim-text"], max_retries=1))
    config["models"]["openai:weak"] = {
        "adapter": "openai",
        "wire_name": "sim-fault-overloaded",
        "fallbacks": ["anthropic:sim-text"],
    }
    async with DaemonProcess(json.dumps(config)) as daemon:
        peer = await daemon.peer(trace=True)
        peer.notify("$/setTrace", {"value": "messages"})
        world.simulator.reset()
        reply = await peer.call(method, {"model": "openai:weak", "messages": PROMPT, "request_id": "r-fall"}, 30)
        said = [(event["type"][9:], event["model"], event["retry_count"]) for event in traces(peer, "r-fall")]
        assert said == [
            ("started", "openai:weak", 0),
            ("failed", "openai:weak", 0),
            ("started", "openai:weak", 1),
            ("failed", "openai:weak", 1),
            ("started", "anthropic:sim-text", 0),
            ("completed", "anthropic:sim-text", 0),
        ]
        assert len(world.simulator.requests) == 3
        assert not [event for event in reply.inner if event["type"].startswith("llm.")]
        (told,) = [event for event in peer.notifications("trace/event") if event["type"] == "llm.call_fallback"]
        assert (told["model"], told["fallback_model"], told["why"]) == ("openai:weak", "anthropic:sim-text", "server_error")
        rows = (await peer.call("usage/query", {})).ok()["rows"]
        assert sorted(row["status"] for row in rows if row["request_id"] == "r-fall") == ["completed", "failed"]


async def test_turns_are_on_the_bus_of_their_starter_alone(world: World, tracing: Peer) -> None:
    session_id = await sessions.create(tracing, "anthropic:sim-text")
    async with await Peer.connect(world.daemon.socket) as other:
        await other.initialize(trace=True)
        await other.call("session/subscribe", {"session_id": session_id})
        (await sessions.turn(tracing, session_id, PROMPT, request_id="r-turn")).ok()
        await other.until(lambda: any(event["event"]["type"] == "message.complete" for event in other.events("r-turn")))
        (end,) = check_bus(tracing, "r-turn", 1)
        assert end["type"] == "llm.call_completed"
        assert not traces(other, "r-turn")
