"""Promises C: calls on both wires, through a real daemon and a provider that checks what it is sent."""

import json
import time
from typing import Any

import pytest
from tests.e2e.conftest import WIRES, World
from tests.harness.checks import check_stream, deltas_of, text_of
from tests.harness.peer import Peer

pytestmark = pytest.mark.anyio
TOOL = {
    "name": "weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def hello(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": "Hello", **fields}


async def test_model_list_has_every_model(peer: Peer) -> None:
    models = {model["id"]: model for model in (await peer.call("model/list")).ok()["models"]}
    assert "anthropic:sim-text" in models
    assert "openai:sim-text" in models
    assert models["openai:sim-text"]["capabilities"]["tools"] is True
    assert models["anthropic:sim-text"]["availability"] == "available"


@pytest.mark.parametrize("wire", WIRES)
async def test_complete_gives_a_whole_response(peer: Peer, wire: str) -> None:
    result = (await peer.call("model/complete", hello(f"{wire}:sim-text", request_id="req-mine"))).ok()
    assert result["request_id"] == "req-mine"
    assert result["model"] == f"{wire}:sim-text"
    assert result["provider"] == wire
    assert text_of(result["content"])
    assert result["stop_reason"] == "end_turn"
    usage = result["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert result["metrics"]["attempts"] == 1
    assert result["raw_provider_response"] is None


@pytest.mark.parametrize("wire", WIRES)
async def test_usage_is_disjoint(peer: Peer, wire: str) -> None:
    usage = (await peer.call("model/complete", hello(f"{wire}:sim-cached"))).ok()["usage"]
    assert usage["cached_input_tokens"] > 0
    parts = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_input_tokens")
    assert usage["total_tokens"] == sum(usage[part] for part in parts)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("script", ["text", "long-200", "thinking", "difficult", "refusal", "max-tokens-16", "empty", "cached"])
async def test_stream_equals_complete(peer: Peer, wire: str, script: str) -> None:
    request = hello(f"{wire}:sim-{script}")
    whole = (await peer.call("model/complete", request)).ok()
    reply = await peer.call("model/stream", request)
    streamed = reply.ok()
    check_stream(reply, whole["stop_reason"])
    assert streamed["content"] == whole["content"]
    assert streamed["usage"] == whole["usage"]


@pytest.mark.parametrize("wire", WIRES)
async def test_deltas_come_as_they_are_made(peer: Peer, wire: str) -> None:
    number = peer.request("model/stream", hello(f"{wire}:sim-slow-60", request_id=f"req-slow-{wire}"))
    await peer.until(lambda: deltas_of([event["event"] for event in peer.events(f"req-slow-{wire}")]))
    assert not peer.replies(number), "the first text came before the answer was whole"
    reply = await peer.reply(number, request_id=f"req-slow-{wire}")
    assert len([event for event in check_stream(reply) if event["type"] == "text.delta"]) > 3


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("script", "calls"), [("tool", 1), ("parallel-tools-2", 2), ("thinking-tool", 1)])
async def test_tool_calls_stream(peer: Peer, wire: str, script: str, calls: int) -> None:
    reply = await peer.call("model/stream", hello(f"{wire}:sim-{script}", tools=[TOOL]))
    inner = check_stream(reply, "tool_use")
    uses = [block for block in reply.ok()["content"] if block["type"] == "tool_use"]
    assert len(uses) == calls
    assert all(isinstance(use["input"]["city"], str) for use in uses)
    assert len({use["group"] for use in uses}) == 1
    assert any(event["type"] == "tool.use_input_delta" for event in inner)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_tool_loop_closes(peer: Peer, simulator: Any, wire: str) -> None:
    first = (await peer.call("model/complete", hello(f"{wire}:sim-parallel-tools-2", tools=[TOOL]))).ok()
    uses = [block for block in first["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": use["id"], "content": "sunny", "is_error": False} for use in uses]
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": first["content"]},
        {"role": "tool", "content": results},
    ]
    request = {"model": f"{wire}:sim-tool", "messages": messages, "tools": [TOOL]}
    assert (await peer.call("model/complete", request)).ok()["stop_reason"] == "end_turn"
    sent = simulator.requests[-1].json()
    ids = [use["id"].removeprefix("tu_") for use in uses]
    if wire == "anthropic":
        assert [block["id"] for block in sent["messages"][1]["content"] if block["type"] == "tool_use"] == ids
        assert [block["tool_use_id"] for block in sent["messages"][2]["content"]] == ids
    else:
        assert [call["id"] for call in sent["messages"][1]["tool_calls"]] == ids
        assert [message["tool_call_id"] for message in sent["messages"][2:]] == ids


CHOICES = [
    ({"type": "none"}, {"type": "none"}, "none"),
    ({"type": "auto"}, {"type": "auto"}, "auto"),
    ({"type": "required"}, {"type": "any"}, "required"),
    (
        {"type": "tool", "name": "weather"},
        {"type": "tool", "name": "weather"},
        {"type": "function", "function": {"name": "weather"}},
    ),
]


@pytest.mark.parametrize(("choice", "messages_form", "chat_form"), CHOICES)
@pytest.mark.parametrize("wire", WIRES)
async def test_tool_choice_on_each_wire(
    peer: Peer, simulator: Any, wire: str, choice: Any, messages_form: Any, chat_form: Any
) -> None:
    (await peer.call("model/complete", hello(f"{wire}:sim-tool", tools=[TOOL], tool_choice=choice))).ok()
    sent = simulator.requests[-1].json()
    wanted = messages_form if wire == "anthropic" else chat_form
    got = sent.get("tool_choice")
    assert got == wanted or (choice["type"] in ("none", "auto") and got is None)


@pytest.mark.parametrize("wire", WIRES)
async def test_parameters_reach_each_wire_under_its_own_names(peer: Peer, simulator: Any, wire: str) -> None:
    request = hello(f"{wire}:sim-stop", system_prompt="Be brief.", max_output_tokens=77, stop_sequences=["END"], top_p=0.5)
    (await peer.call("model/complete", request)).ok()
    sent = simulator.requests[-1].json()
    if wire == "anthropic":
        assert "Be brief." in json.dumps(sent["system"])
        assert sent["max_tokens"] == 77
        assert sent["stop_sequences"] == ["END"]
    else:
        assert sent["messages"][0]["content"] == "Be brief."
        assert sent["max_completion_tokens"] == 77
        assert sent["stop"] == ["END"]
        assert sent["top_p"] == 0.5


@pytest.mark.parametrize("wire", WIRES)
async def test_string_content_is_the_same_text(peer: Peer, simulator: Any, wire: str) -> None:
    for messages in ("Grüße 🙂", [{"role": "user", "content": "Grüße 🙂"}]):
        (await peer.call("model/complete", {"model": f"{wire}:sim-echo", "messages": messages})).ok()
        assert "Grüße 🙂" in json.dumps(simulator.requests[-1].json(), ensure_ascii=False)


BAD_PARAMS = [
    ({}, "messages"),
    ({"messages": 5}, "$.messages"),
    ({"messages": [{"role": "robot", "content": "secret-value"}]}, "$.messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "secret-value"}]}]}, "$.messages[0].content[0].type"),
    ({"messages": "x", "temperature": "secret-value"}, "$.temperature"),
    ({"messages": "x", "tools": [{"description": "no name"}]}, "$.tools[0]"),
    ({"messages": "x", "thinking": {"mode": "secret-value"}}, "$.thinking.mode"),
    ({"messages": "x", "max_output_tokens": -1}, "$.max_output_tokens"),
]


@pytest.mark.parametrize(("params", "path"), BAD_PARAMS)
@pytest.mark.parametrize("method", ["model/complete", "model/stream"])
async def test_invalid_params_name_the_path_not_the_value(
    peer: Peer, simulator: Any, method: str, params: dict[str, Any], path: str
) -> None:
    reply = await peer.call(method, params, check=False)
    assert reply.error["code"] == -32602
    assert path in reply.error["message"]
    assert "secret-value" not in json.dumps(reply.error)
    assert not simulator.requests


@pytest.mark.parametrize("method", ["model/complete", "model/stream"])
async def test_unknown_model_is_named(peer: Peer, method: str) -> None:
    for model in ("nobody:nothing", "anthropic:no-such-model", "nothing"):
        reply = await peer.call(method, hello(model))
        assert reply.error["code"] == -32803
        assert reply.data["error_class"] == "model_not_found"
        assert model in reply.error["message"]


async def test_token_counts(peer: Peer, simulator: Any) -> None:
    short = (await peer.call("model/estimateTokens", {"messages": "Hello there"})).ok()
    long = (await peer.call("model/estimateTokens", {"messages": "Hello there " * 100})).ok()
    assert 0 < short["input_tokens"] < long["input_tokens"]
    assert not simulator.requests
    counted = (await peer.call("model/countTokens", hello("anthropic:sim-text"))).ok()
    assert counted["input_tokens"] > 0
    assert simulator.requests[-1].path.endswith("/count_tokens")
    refused = await peer.call("model/countTokens", hello("openai:sim-text"))
    assert refused.data["error_class"] == "capability_mismatch"


async def test_the_same_id_twice_in_flight(peer: Peer) -> None:
    peer.request("model/stream", hello("openai:sim-slow-60"), rpc_id="same")
    peer.request("model/stream", hello("openai:sim-slow-60"), rpc_id="same")
    await peer.until(lambda: len(peer.replies("same")) == 2)
    codes = [reply.get("error", {}).get("code") for reply in peer.replies("same")]
    assert codes == [-32600, None]


async def test_more_than_256_in_flight(world: World, peer: Peer) -> None:
    ids = [peer.request("model/stream", hello("openai:sim-fault-hang_mid_stream")) for _ in range(300)]
    await peer.until(lambda: sum(1 for one in ids if peer.replies(one)) >= 44)
    refused = [one for one in ids if peer.replies(one)]
    assert len(refused) == 44
    assert all(peer.replies(one)[0]["error"]["code"] == -32001 for one in refused)
    async with await Peer.connect(world.daemon.socket) as other:
        await other.initialize()
        (await other.call("model/complete", hello("openai:sim-text"), 5)).ok()
    for one in ids:
        peer.cancel(one)
    await peer.until(lambda: all(peer.replies(one) for one in ids))
    assert all(len(peer.replies(one)) == 1 for one in ids)


async def test_a_fast_call_passes_a_slow_one(peer: Peer) -> None:
    slow = peer.request("model/stream", hello("openai:sim-slow-60"))
    fast = peer.request("model/complete", hello("openai:sim-text"))
    await peer.reply(fast)
    assert not peer.replies(slow)
    (await peer.reply(slow)).ok()


async def test_two_clients_may_use_the_same_ids(world: World) -> None:
    peers = [await world.daemon.peer() for _ in range(2)]
    for number, one in enumerate(peers):
        one.request("model/stream", {"model": "openai:sim-echo", "messages": f"client {number}", "request_id": "r"}, rpc_id=7)
    for number, one in enumerate(peers):
        reply = await one.reply(7, request_id="r")
        check_stream(reply)
        assert f"client {number}" in text_of(reply.ok()["content"])
        assert f"client {1 - number}" not in json.dumps(one.messages)


@pytest.mark.parametrize("wire", WIRES)
async def test_raw_response_and_structured_output(peer: Peer, simulator: Any, wire: str) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "person", "schema": schema}
    result = (await peer.call("model/complete", hello(f"{wire}:sim-structured", response_format=form, include_raw=True))).ok()
    value = json.loads(text_of(result["content"]))
    assert isinstance(value["age"], int)
    assert result["raw_provider_response"]["id"]
    sent = simulator.requests[-1].json()
    found = sent["output_config"]["format"] if wire == "anthropic" else sent["response_format"]
    assert found["type"] == "json_schema"


@pytest.mark.parametrize("wire", WIRES)
async def test_the_same_request_encodes_to_the_same_bytes(peer: Peer, simulator: Any, wire: str) -> None:
    request = hello(f"{wire}:sim-tool", tools=[TOOL], system_prompt="s", metadata={"b": 1, "a": 2})
    for _ in range(2):
        (await peer.call("model/complete", request)).ok()
    assert simulator.requests[-1].body == simulator.requests[-2].body


@pytest.mark.parametrize("wire", WIRES)
async def test_a_large_prompt_arrives_unchanged(peer: Peer, simulator: Any, wire: str) -> None:
    prompt = "Größe 🙂 " * 380_000
    (await peer.call("model/complete", {"model": f"{wire}:sim-text", "messages": prompt}, 30)).ok()
    assert simulator.requests[-1].body_bytes > len(prompt.encode())


async def test_fifty_streams_at_once(peer: Peer) -> None:
    ids = {
        peer.request("model/stream", hello("openai:bench-n200-s20-d0-f0-b1", request_id=f"many-{n}")): f"many-{n}"
        for n in range(50)
    }
    for number, request_id in ids.items():
        reply = await peer.reply(number, 30, request_id)
        assert len([event for event in check_stream(reply) if event["type"] == "text.delta"]) == 200


async def test_one_client_with_200_hanging_calls_delays_nobody(world: World, peer: Peer) -> None:
    ids = [peer.request("model/complete", hello("openai:sim-fault-hang_before_headers")) for _ in range(200)]
    async with await Peer.connect(world.daemon.socket) as other:
        await other.initialize()
        began = time.monotonic()
        (await other.call("model/complete", hello("openai:sim-text"))).ok()
        assert time.monotonic() - began < 1
    for number in ids:
        peer.cancel(number)
    await peer.until(lambda: all(peer.replies(number) for number in ids))


@pytest.mark.parametrize("wire", WIRES)
async def test_thinking_goes_back_byte_for_byte(peer: Peer, simulator: Any, wire: str) -> None:
    for script in ("thinking", "redacted"):
        first = (await peer.call("model/complete", hello(f"{wire}:sim-{script}"))).ok()
        history = [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": "And?"},
        ]
        result = (await peer.call("model/complete", {"model": f"{wire}:sim-text", "messages": history})).ok()
        sent = simulator.requests[-1].body.decode()
        secrets = [block["provider_raw"] for block in first["content"] if block.get("provider_raw")]
        opaque = [raw.get("signature") or raw.get("data") for raw in secrets]
        if wire == "anthropic":
            assert opaque
            assert all(json.dumps(value, ensure_ascii=False) in sent for value in opaque)
        elif any(block["type"] == "thinking" for block in first["content"]):
            assert "content_dropped" in {warning["code"] for warning in result["warnings"]}


EXTRAS = [
    ("cache/create", {"model": "sim-text"}),
    ("cache/list", {}),
    ("cache/delete", {"cache_id": "c"}),
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("method", "params"), EXTRAS)
async def test_a_method_that_a_provider_lacks_is_a_capability_mismatch(
    peer: Peer, simulator: Any, wire: str, method: str, params: dict[str, Any]
) -> None:
    reply = await peer.call(method, {"provider": wire, **params})
    assert reply.data["error_class"] == "capability_mismatch"
    assert reply.data["provider"] == wire
    unknown = await peer.call(method, {"provider": "nobody", **params})
    assert unknown.data["error_class"] == "invalid_request"
    assert "nobody" in unknown.error["message"]
    assert not simulator.requests


@pytest.mark.parametrize("wire", WIRES)
async def test_files_are_uploaded_listed_and_deleted(peer: Peer, wire: str) -> None:
    kept = (await peer.call("file/upload", {"provider": wire, "filename": "a.txt", "data": "aGk="})).ok()
    assert (kept["provider"], kept["filename"], kept["size_bytes"]) == (wire, "a.txt", 2)
    assert (await peer.call("file/list", {"provider": wire})).ok() == {"files": [kept]}
    gone = {"provider": wire, "file_id": kept["file_id"]}
    assert (await peer.call("file/delete", gone)).ok() == {"deleted": True}
    assert (await peer.call("file/delete", gone)).data["error_class"] == "invalid_request"
    assert (await peer.call("file/list", {"provider": wire})).ok() == {"files": []}
    broken = await peer.call("file/upload", {"provider": wire, "filename": "a", "data": "no base64!"})
    assert (broken.data["error_class"], "base64" in broken.error["message"]) == ("invalid_request", True)
