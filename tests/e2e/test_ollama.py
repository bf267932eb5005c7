"""Ollama's own wire, and tools as text on every wire, through a real daemon and the simulator."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.harness.checks import check_stream, text_of
from tests.harness.daemon import DaemonProcess
from tests.harness.peer import Peer

from modeld.simulator import Script, Simulator, SimUsage, TextStep, ThinkingStep

pytestmark = pytest.mark.anyio
NAMES = [
    "text",
    "long-200",
    "thinking",
    "difficult",
    "refusal",
    "max-tokens-16",
    "empty",
    "tool",
    "parallel-tools-2",
    "thinking-tool",
]
FAULTS = [
    "not_found",
    "overloaded",
    "context_overflow",
    "error_event_mid_stream",
    "close_mid_stream",
    "html_502",
    "split_every_byte",
]
TOOL = {
    "name": "weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
DIALECTS = ("tagged", "fenced")
WRITTEN = {
    "tagged": 'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>\n'
    '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>',
    "fenced": 'Let me see.\n```tool_call\n{"name": "weather", "arguments": {"city": "Rome"}}\n```\n'
    '```tool_call\n{"name": "weather", "arguments": {"city": "Oslo"}}\n```\n',
}


def config(simulator: Simulator) -> str:
    origin = simulator.base_url
    adapters: dict[str, Any] = {
        "ollama": {"type": "ollama", "base_url": origin, "max_retries": 0},
        "keyed": {"type": "ollama", "base_url": origin, "api_key_env": "MODELD_TEST_KEY"},
        "chat": {"type": "openai-compatible", "base_url": f"{origin}/v1", "api_key_env": "MODELD_TEST_KEY"},
        "messages": {"type": "anthropic-compatible", "base_url": origin, "api_key_env": "MODELD_TEST_KEY"},
    }
    models: dict[str, Any] = {}
    for name in [*NAMES, *(f"fault-{fault}" for fault in FAULTS)]:
        models[f"ollama:{name}"] = {"adapter": "ollama", "wire_name": f"sim-{name}"}
    models["keyed:text"] = {"adapter": "keyed", "wire_name": "sim-text"}
    models["ollama:gemma3"] = {"adapter": "ollama", "wire_name": "gemma3:4b"}
    models["ollama:gpt-oss"] = {"adapter": "ollama", "wire_name": "gpt-oss:20b"}
    models["ollama:small"] = {"adapter": "ollama", "wire_name": "sim-text", "limits": {"max_context_tokens": 4_096}}
    models["ollama:none"] = {"adapter": "ollama", "wire_name": "sim-text", "capabilities": {"tools": False}}
    for adapter in ("ollama", "chat", "messages"):
        for dialect in DIALECTS:
            models[f"{adapter}:{dialect}"] = {
                "adapter": adapter,
                "wire_name": f"sim-{dialect}",
                "options": {"tool_dialect": dialect},
            }
    return json.dumps({"adapters": adapters, "models": models})


class World:
    """A daemon whose providers are the simulator."""

    def __init__(self, daemon: DaemonProcess, simulator: Simulator) -> None:
        self.daemon = daemon
        self.simulator = simulator

    @property
    def sent(self) -> dict[str, Any]:
        """The body that came last."""
        return json.loads(self.simulator.requests[-1].body)


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[World]:
    async with Simulator() as simulator, DaemonProcess(config(simulator)) as daemon:
        yield World(daemon, simulator)


@pytest.fixture
async def client(served: World) -> AsyncIterator[Peer]:
    served.simulator.reset()
    async with await Peer.connect(served.daemon.socket) as peer:
        await peer.initialize()
        yield peer


def hello(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": "Hello", **fields}


# ---- the wire


@pytest.mark.parametrize("name", [*NAMES, "fault-split_every_byte"])
async def test_stream_equals_complete(client: Peer, name: str) -> None:
    request = hello(f"ollama:{name}", tools=[TOOL])
    whole = (await client.call("model/complete", request)).ok()
    reply = await client.call("model/stream", request)
    streamed = reply.ok()
    check_stream(reply, whole["stop_reason"])
    assert _without_ids(streamed["content"]) == _without_ids(whole["content"])
    assert streamed["usage"] == whole["usage"]
    assert streamed["warnings"] == whole["warnings"] == []


def _without_ids(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in block.items() if key not in ("id", "group")} for block in content]


async def test_it_costs_nothing_and_needs_no_key(client: Peer, served: World) -> None:
    result = (await client.call("model/complete", hello("ollama:text"))).ok()
    assert (result["cost"]["total_cost"], result["cost"]["source"], result["warnings"]) == (0, "catalog", [])
    assert not any(name.lower() == "authorization" for name, _ in served.simulator.requests[-1].headers)
    assert (await client.call("model/complete", hello("keyed:text"))).ok()["content"]
    assert any(name.lower() == "authorization" for name, _ in served.simulator.requests[-1].headers)


async def test_a_tool_loop_closes(client: Peer, served: World) -> None:
    first = (await client.call("model/complete", hello("ollama:parallel-tools-2", tools=[TOOL]))).ok()
    uses = [block for block in first["content"] if block["type"] == "tool_use"]
    assert [use["name"] for use in uses] == ["weather", "weather"]
    results = [{"type": "tool_result", "tool_use_id": use["id"], "content": "sunny"} for use in uses]
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": first["content"]},
        {"role": "tool", "content": results},
    ]
    after = (
        await client.call("model/complete", {"model": "ollama:parallel-tools-2", "messages": messages, "tools": [TOOL]})
    ).ok()
    assert after["stop_reason"] == "end_turn"
    sent = served.sent["messages"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == [message["tool_call_id"] for message in sent[2:]]
    assert all(isinstance(call["function"]["arguments"], dict) for call in sent[1]["tool_calls"])


async def test_reasoning_goes_back_where_it_came_from(client: Peer, served: World) -> None:
    first = (await client.call("model/complete", hello("ollama:thinking", thinking={"mode": "on"}))).ok()
    assert served.sent["think"] is True
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": "And?"},
    ]
    again = (await client.call("model/complete", {"model": "ollama:thinking", "messages": messages})).ok()
    assert again["warnings"] == []
    assert served.sent["messages"][1]["thinking"] == first["content"][0]["text"]


@pytest.mark.parametrize(
    ("fault", "error_class"),
    [
        ("not_found", "model_not_found"),
        ("overloaded", "server_error"),
        ("context_overflow", "context_overflow"),
        ("html_502", "server_error"),
        ("error_event_mid_stream", "server_error"),
        ("close_mid_stream", "network"),
    ],
)
async def test_faults(client: Peer, fault: str, error_class: str) -> None:
    reply = await client.call("model/stream", hello(f"ollama:fault-{fault}"))
    assert reply.error["data"]["error_class"] == error_class
    if "mid_stream" in fault:
        check_stream(reply, "error")


async def test_discovery(client: Peer) -> None:
    found = (await client.call("model/discover", {"providers": ["ollama"]})).ok()["models"]
    known = {model["wire_name"]: model for model in found}
    assert known["sim-text"]["configured"] is True
    assert known["sim-text"]["limits"]["max_context_tokens"] == 131_072


async def test_a_prompt_that_was_cut_is_told(client: Peer, served: World) -> None:
    served.simulator.push(Script(["Well."], usage=SimUsage(input=4_000, output=90)))
    whole = (await client.call("model/complete", hello("ollama:small"))).ok()
    assert served.sent["options"] == {"num_ctx": 4_096}
    assert whole["warnings"] == []
    served.simulator.push(Script(["Well."], usage=SimUsage(input=4_000, output=96)))
    filled = (await client.call("model/stream", hello("ollama:small"))).ok()
    assert [warning["code"] for warning in filled["warnings"]] == ["content_dropped"]


async def test_a_missing_count_of_the_prompt_is_estimated(client: Peer, served: World) -> None:
    served.simulator.push(Script(["Well."], usage=SimUsage(input=0, output=90)))
    result = (await client.call("model/complete", hello("ollama:text"))).ok()
    assert (result["usage"]["estimated"], result["usage"]["output_tokens"]) == (True, 90)
    assert result["usage"]["input_tokens"] > 0


async def test_a_switch_that_the_model_ignores_is_sent_and_told(client: Peer, served: World) -> None:
    models = {model["id"]: model for model in (await client.call("model/list")).ok()["models"]}
    assert models["ollama:gpt-oss"]["capabilities"]["thinking_off"] is True
    result = (await client.call("model/complete", hello("ollama:gpt-oss", thinking={"mode": "off"}))).ok()
    assert served.sent["think"] is False
    assert [(warning["code"], warning["path"]) for warning in result["warnings"]] == [("parameter_ignored", "thinking.mode")]


async def test_what_was_denied_is_refused(client: Peer, served: World) -> None:
    reply = await client.call("model/complete", hello("ollama:none", tools=[TOOL]))
    assert reply.error["data"]["error_class"] == "capability_mismatch"
    forced = hello("ollama:text", tools=[TOOL], tool_choice={"type": "required"})
    assert (await client.call("model/complete", forced)).error["data"]["error_class"] == "capability_mismatch"
    assert len(served.simulator.requests) == 0


# ---- tools as text


@pytest.mark.parametrize("adapter", ["ollama", "chat", "messages"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_calls_are_read_from_the_text(client: Peer, served: World, adapter: str, dialect: str) -> None:
    text = WRITTEN[dialect]
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    served.simulator.push(Script([TextStep(pieces)]), times=2)
    request = hello(f"{adapter}:{dialect}", tools=[TOOL], system_prompt="You are terse.")
    reply = await client.call("model/stream", request)
    inner = check_stream(reply, "tool_use")
    result = reply.ok()
    assert text_of(result["content"]) == "Let me see."
    calls = [block for block in result["content"] if block["type"] == "tool_use"]
    assert [(call["name"], call["input"]) for call in calls] == [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]
    assert sum(event["type"] == "tool.use_input_delta" for event in inner) > 4
    assert [warning["code"] for warning in result["warnings"] if warning.get("path") == "tools"] == ["content_projected"]
    whole = (await client.call("model/complete", request)).ok()
    assert _without_ids(whole["content"]) == _without_ids(result["content"])
    body = served.sent
    assert "tools" not in body
    assert "# Tools" in json.dumps(body)

    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"} for call in calls]
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": result["content"]},
        {"role": "tool", "content": results},
    ]
    served.simulator.push(Script(["It is sunny."]))
    last = (await client.call("model/complete", {**request, "messages": messages})).ok()
    assert (text_of(last["content"]), last["stop_reason"]) == ("It is sunny.", "end_turn")
    sent = [message for message in served.sent["messages"] if message["role"] != "system"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert "tool_call" in json.dumps(sent[1])
    assert "tool_response" in json.dumps(sent[2])


async def test_a_family_without_tools_gets_them(client: Peer, served: World) -> None:
    served.simulator.push(Script([ThinkingStep("Hm."), TextStep(WRITTEN["tagged"])]))
    choice = {"type": "auto", "parallel": False}
    result = (await client.call("model/stream", hello("ollama:gemma3", tools=[TOOL], tool_choice=choice))).ok()
    assert result["stop_reason"] == "tool_use"
    assert [block["type"] for block in result["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert "Call at most one tool" in served.sent["messages"][0]["content"]


async def test_a_call_that_the_limit_cut(client: Peer, served: World) -> None:
    served.simulator.push(Script([TextStep(list(WRITTEN["tagged"][:70]))], stop="max_tokens"))
    reply = await client.call("model/stream", hello("chat:tagged", tools=[TOOL]))
    check_stream(reply, "max_tokens")
    assert [block["type"] for block in reply.ok()["content"]] == ["text"]
    assert "tool_call_truncated" in [warning["code"] for warning in reply.ok()["warnings"]]


async def test_without_tools_a_tag_is_text(client: Peer, served: World) -> None:
    served.simulator.push(Script([TextStep(list(WRITTEN["tagged"]))]))
    result = (await client.call("model/stream", hello("ollama:tagged"))).ok()
    assert (text_of(result["content"]), result["stop_reason"], result["warnings"]) == (WRITTEN["tagged"], "end_turn", [])
