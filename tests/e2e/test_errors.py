"""Promises E: every way a provider fails has its class, is retried only where that helps, and ends in time."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests.e2e.conftest import WIRES, World
from tests.harness.checks import check_stream, deltas_of, text_of
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer

from modeld.simulator.script import Script, TextStep

pytestmark = pytest.mark.anyio
METHODS = ("model/complete", "model/stream")


def ask(wire: str, fault: str) -> dict[str, Any]:
    return {"model": f"{wire}:sim-fault-{fault}", "messages": "Hello", "request_id": f"r-{wire}-{fault}-{time.monotonic_ns()}"}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("fault", "waits_s"), [("rate_limit-1-0.2", 0.2), ("server_error-1-503", 0)])
async def test_a_passing_failure_is_retried(
    peer: Peer, simulator: Any, wire: str, method: str, fault: str, waits_s: float
) -> None:
    began = time.monotonic()
    reply = await peer.call(method, ask(wire, fault))
    assert reply.ok()["metrics"]["attempts"] == 2
    assert len(simulator.requests) == 2
    assert time.monotonic() - began >= waits_s


LASTING = [
    ("rate_limit-0-0", "rate_limit", 429),
    ("server_error-0-500", "server_error", 500),
    ("overloaded", "server_error", None),
    ("html_502", "server_error", 502),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("fault", "error_class", "status"), LASTING)
async def test_a_lasting_failure_ends_typed_and_retryable(
    peer: Peer, simulator: Any, wire: str, method: str, fault: str, error_class: str, status: int | None
) -> None:
    reply = await peer.call(method, ask(wire, fault), 30)
    assert reply.error["code"] == -32803
    assert reply.data["error_class"] == error_class
    assert reply.data["retryable"] is True
    assert reply.data["provider_status"] == status or status is None
    assert len(simulator.requests) == 3
    assert "<" not in reply.data["message"] + str(reply.data["provider_message"])


REFUSED = [
    ("bad_request", "invalid_request", 400),
    ("auth", "auth", 401),
    ("forbidden", "auth", 403),
    ("not_found", "model_not_found", 404),
    ("unprocessable", "invalid_request", 422),
    ("context_overflow", "context_overflow", None),
    ("quota", "quota_exceeded", None),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("fault", "error_class", "status"), REFUSED)
async def test_a_refusal_is_not_retried(
    peer: Peer, simulator: Any, wire: str, method: str, fault: str, error_class: str, status: int | None
) -> None:
    request = ask(wire, fault)
    reply = await peer.call(method, request)
    data = reply.data
    assert data["error_class"] == error_class
    assert data["retryable"] is False
    assert data["provider_status"] == status or status is None
    assert data["provider"] == wire
    assert data["model"] == request["model"]
    assert data["request_id"] == request["request_id"]
    assert data["provider_message"]
    assert data["provider_request_id"]
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("fault", "error_class"),
    [
        ("reset_mid_stream", "network"),
        ("close_mid_stream", "network"),
        ("cut_without_end_marker", "network"),
        ("error_event_mid_stream", "server_error"),
    ],
)
async def test_a_failure_after_the_first_event(peer: Peer, simulator: Any, wire: str, fault: str, error_class: str) -> None:
    reply = await peer.call("model/stream", ask(wire, fault))
    inner = check_stream(reply, "error")
    assert reply.data["error_class"] == error_class
    assert deltas_of(inner)
    assert reply.data["partial"]["stop_reason"] == "error"
    assert reply.data["partial"]["content"] == inner[-1]["final_content"]
    assert len(simulator.requests) == 1, "nothing is retried after the first event"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", ["garbage_200", "empty_200", "error_in_200", "deep_json"])
async def test_garbage_with_status_200_is_a_typed_error(hasty: Peer, wire: str, method: str, fault: str) -> None:
    reply = await hasty.call(method, ask(wire, fault))
    assert reply.error["code"] == -32803
    assert reply.data["error_class"] in ("server_error", "network", "other")
    if method == "model/stream" and reply.events:
        check_stream(reply, "error")


TOLERATED = [
    "invalid_utf8",
    "lone_surrogate",
    "crlf",
    "bom",
    "split_every_byte",
    "comments",
    "unknown_events",
    "duplicate_finish",
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", [*TOLERATED, "no_usage"])
async def test_strange_but_whole_streams_are_answers(peer: Peer, wire: str, fault: str) -> None:
    reply = await peer.call("model/stream", ask(wire, fault))
    inner = check_stream(reply, "end_turn")
    assert deltas_of(inner)
    assert reply.ok()["usage"]["estimated"] is (fault == "no_usage")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", ["hang_before_headers", "hang_before_first_event"])
async def test_a_hanging_provider_meets_the_timeout(hasty: Peer, wire: str, method: str, fault: str) -> None:
    reply = await hasty.call(method, ask(wire, fault))
    assert reply.data["error_class"] == "network"
    assert 0.9 < reply.seconds < 2.5


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
async def test_no_attempt_begins_after_a_call_s_time(peer: Peer, wire: str, method: str) -> None:
    reply = await peer.call(method, {**ask(wire, "hang_before_headers"), "timeout_seconds": 1})
    assert reply.data["error_class"] == "network"
    assert 0.9 < reply.seconds < 2


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", ["hang_mid_stream", "keepalive_only"])
async def test_silence_ends_a_stream_and_keepalives_are_silence(hasty: Peer, wire: str, fault: str) -> None:
    reply = await hasty.call("model/stream", ask(wire, fault))
    assert reply.data["error_class"] == "network"
    assert reply.seconds < 3
    inner = check_stream(reply, "error")
    if fault == "hang_mid_stream":
        assert deltas_of(inner)
        assert reply.data["partial"]["content"]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("value", ["-5", "soon"])
async def test_a_hostile_retry_after_harms_nobody(peer: Peer, simulator: Any, wire: str, value: str) -> None:
    reply = await peer.call("model/complete", ask(wire, f"retry_after_hostile-{value}"), 30)
    assert reply.data["error_class"] == "rate_limit"
    assert len(simulator.requests) == 3
    assert (await peer.call("daemon/status")).ok()["running_calls"] == 0


async def test_a_long_retry_after_is_bounded_and_can_be_cancelled(peer: Peer, simulator: Any) -> None:
    number = peer.request("model/complete", ask("openai", "retry_after_hostile-86400"))
    await simulator.wait_until(lambda: len(simulator.requests) == 1)
    await asyncio.sleep(0.3)
    assert not peer.replies(number)
    began = time.monotonic()
    peer.cancel(number)
    assert (await peer.reply(number)).error["code"] == -32800
    assert time.monotonic() - began < 0.2


@pytest.mark.parametrize("wire", WIRES)
async def test_max_retries_0_means_one_request(hasty: Peer, impatient: World, wire: str) -> None:
    impatient.simulator.reset()
    reply = await hasty.call("model/complete", ask(wire, "overloaded"))
    assert reply.data["retryable"] is True
    assert len(impatient.simulator.requests) == 1


async def test_connection_refused_is_a_retried_network_error() -> None:
    config = models_yaml("http://127.0.0.1:9", "http://127.0.0.1:9/v1", ["m"], max_retries=1)
    async with DaemonProcess(config) as daemon:
        peer = await daemon.peer(trace=True)
        peer.notify("$/setTrace", {"value": "messages"})
        reply = await peer.call("model/stream", {"model": "openai:m", "messages": "x", "request_id": "refused"})
        assert reply.data["error_class"] == "network"
        assert reply.data["retryable"] is True
        traces = peer.notifications("trace/event")
        kinds = [(trace["type"], trace.get("retry_count")) for trace in traces if trace["type"].startswith("llm.")]
        assert kinds == [("llm.call_started", 0), ("llm.call_failed", 0), ("llm.call_started", 1), ("llm.call_failed", 1)]
        assert [trace["will_retry"] for trace in traces if trace["type"] == "llm.call_failed"] == [True, False]


async def test_a_missing_key_is_not_configured_and_the_rest_works(world: World) -> None:
    config = models_yaml(world.simulator.base_url, world.simulator.openai_base_url, ["sim-text"])
    config = config.replace('"MODELD_TEST_KEY"', '"MODELD_TEST_OTHER_KEY"', 1)
    async with DaemonProcess(config) as daemon:
        peer = await daemon.peer()
        world.simulator.reset()
        for method in METHODS:
            reply = await peer.call(method, {"model": "anthropic:sim-text", "messages": "x"})
            assert reply.data["error_class"] == "not_configured"
            assert "MODELD_TEST_OTHER_KEY" in reply.error["message"]
        assert not world.simulator.requests
        (await peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
        models = (await peer.call("model/list")).ok()["models"]
        assert {model["id"]: model["availability"] for model in models} == {
            "anthropic:sim-text": "not_configured",
            "openai:sim-text": "available",
        }
        lent = await daemon.peer(env={"MODELD_TEST_OTHER_KEY": "sk-lent-1234567890abcdef"})
        (await lent.call("model/complete", {"model": "anthropic:sim-text", "messages": "x"})).ok()
        assert world.simulator.requests[-1].header("x-api-key") == "sk-lent-1234567890abcdef"


@pytest.mark.parametrize("wire", WIRES)
async def test_a_key_that_the_provider_echoes_stays_hidden(world: World, peer: Peer, wire: str) -> None:
    reply = await peer.call("model/complete", ask(wire, "echo_key"))
    assert reply.data["error_class"] == "auth"
    assert KEY not in json.dumps(peer.messages)
    assert KEY not in world.daemon.output()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", ["endless_line", "gzip_bomb", "giant_event", "header_flood", "lying_content_length"])
async def test_hostile_bodies_cost_bounded_memory(world: World, peer: Peer, wire: str, fault: str) -> None:
    before = world.daemon.rss_bytes()
    method = "model/complete" if fault in ("gzip_bomb", "lying_content_length") else "model/stream"
    reply = await peer.call(method, ask(wire, fault), 60)
    if fault == "giant_event":
        assert reply.error is None or reply.data["error_class"]
    else:
        assert reply.data["error_class"] in ("server_error", "network")
    assert world.daemon.rss_bytes() - before < 160 * 1024 * 1024
    (await peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
async def test_a_key_that_comes_back_in_an_answer_is_starred_out(peer: Peer, simulator: Any, wire: str, method: str) -> None:
    simulator.push(Script(steps=[TextStep(["Your key is ", KEY[:9], KEY[9:], " and " + KEY])]))
    reply = await peer.call(method, {"model": f"{wire}:sim-text", "messages": "x"})
    text = text_of(reply.ok()["content"])
    assert " and " + "*" * len(KEY) in text
