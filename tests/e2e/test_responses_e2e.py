"""The Responses wire through a real daemon: the simulator refuses reasoning that did not come back as it was."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.harness.checks import check_stream, text_of
from tests.harness.daemon import DaemonProcess
from tests.harness.peer import Peer

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
MODELS = (
    "sim-text",
    "sim-thinking",
    "sim-thinking-tool",
    "sim-agent-2",
    "sim-fault-not_found",
    "sim-fault-error_event_mid_stream",
)
TOOL = {
    "name": "weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
async def daemon(simulator: Simulator) -> AsyncIterator[DaemonProcess]:
    adapter = {"type": "openai-responses", "base_url": simulator.openai_base_url, "api_key_env": "MODELD_TEST_KEY"}
    models = {f"gpt:{name}": {"adapter": "gpt", "wire_name": name} for name in MODELS}
    async with DaemonProcess(json.dumps({"adapters": {"gpt": adapter}, "models": models})) as daemon:
        yield daemon


@pytest.fixture
async def peer(daemon: DaemonProcess) -> AsyncIterator[Peer]:
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        yield peer


def with_results(messages: list[dict[str, Any]], content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results = [{"type": "tool_result", "tool_use_id": block["id"], "content": "sunny"} for block in content
               if block["type"] == "tool_use"]  # fmt: skip
    return [*messages, {"role": "assistant", "content": content}, {"role": "tool", "content": results}]


async def test_reasoning_goes_round_a_tool_loop(peer: Peer, simulator: Simulator) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather?"}]
    reply = await peer.call("model/stream", {"model": "gpt:sim-thinking-tool", "messages": messages, "tools": [TOOL]})
    check_stream(reply, "tool_use")
    content = reply.ok()["content"]
    assert [block["type"] for block in content] == ["thinking", "text", "tool_use"]
    messages = with_results(messages, content)
    done = (await peer.call("model/complete", {"model": "gpt:sim-thinking-tool", "messages": messages, "tools": [TOOL]})).ok()
    assert done["stop_reason"] == "end_turn"
    assert not [warning for warning in done["warnings"] if warning["code"] == "content_dropped"]
    assert text_of(done["content"])
    sent = simulator.requests[-1].json()
    assert [item.get("type") for item in sent["input"]] == [None, "reasoning", None, "function_call", "function_call_output"]
    assert sent["input"][1] == content[0]["provider_raw"]["item"]
    assert sent["store"] is False


async def test_an_agent_goes_round(peer: Peer) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather?"}]
    rounds = 0
    while True:
        request = {"model": "gpt:sim-agent-2", "messages": messages, "tools": [TOOL]}
        reply = await peer.call("model/stream", request)
        if reply.ok()["stop_reason"] != "tool_use":
            break
        rounds += 1
        messages = with_results(messages, reply.ok()["content"])
    assert rounds == 2


async def test_tokens_are_counted_by_the_provider(peer: Peer, simulator: Simulator) -> None:
    counted = (
        await peer.call("model/countTokens", {"model": "gpt:sim-text", "messages": "Hello", "system_prompt": "Be brief."})
    ).ok()
    assert counted["input_tokens"] > 0
    assert counted["estimated"] is False
    assert simulator.requests[-1].path == "/v1/responses/input_tokens"


async def test_what_the_provider_remembers(peer: Peer, simulator: Simulator) -> None:
    options = {"openai-responses": {"store": True}}
    first = (await peer.call("model/complete", {"model": "gpt:sim-text", "messages": "Hi", "provider_options": options})).ok()
    earlier = first["content"][0]["provider_raw"]["response_id"]
    options = {"openai-responses": {"store": True, "previous_response_id": earlier}}
    (await peer.call("model/complete", {"model": "gpt:sim-text", "messages": "And?", "provider_options": options})).ok()
    sent = simulator.requests[-1].json()
    assert (sent["previous_response_id"], len(sent["input"])) == (earlier, 1)


async def test_an_unknown_model_is_a_400_here(peer: Peer) -> None:
    reply = await peer.call("model/complete", {"model": "gpt:sim-fault-not_found", "messages": "Hi"})
    assert (reply.data["error_class"], reply.data["provider_status"]) == ("model_not_found", 400)


async def test_an_error_within_a_stream_keeps_what_came(peer: Peer) -> None:
    reply = await peer.call("model/stream", {"model": "gpt:sim-fault-error_event_mid_stream", "messages": "Hi"})
    check_stream(reply, "error")
    assert reply.data["error_class"] == "server_error"
    assert text_of(reply.data["partial"]["content"])
