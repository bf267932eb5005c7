"""The relatives of the chat wire in tests: a model's spec from the catalog, what it sends, and how its answers are read."""

import json
from typing import Any

import msgspec

from modeld.providers.assembler import Assembler
from modeld.providers.catalog import facts_of, row_of
from modeld.providers.spec import ModelSpec
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.content import Message, ToolResultBlock, ToolUseBlock
from modeld_protocol.request import CanonicalRequest

PROVIDERS = ("deepseek", "qwen", "glm", "kimi", "minimax", "openrouter", "groq", "cerebras")


def spec(type_name: str, wire_name: str) -> ModelSpec:
    """A model as the catalog knows it."""
    row = row_of(type_name)
    facts = facts_of(row, wire_name)
    return ModelSpec(
        f"{type_name}:{wire_name}", type_name, type_name, row.wire, wire_name, facts.capabilities, facts.limits, facts.quirks
    )


def encode(type_name: str, wire_name: str, *, stream: bool = False, **asked: Any) -> Encoded:
    """What is sent for a request, which is the same every time."""
    request = msgspec.convert({"messages": "Hi", **asked}, CanonicalRequest)
    first = WIRE.encode(request, spec(type_name, wire_name), stream=stream)
    assert WIRE.encode(request, spec(type_name, wire_name), stream=stream) == first
    return first


def body_of(type_name: str, wire_name: str, *, stream: bool = False, **asked: Any) -> dict[str, Any]:
    """The body of it."""
    return json.loads(encode(type_name, wire_name, stream=stream, **asked).body)


def sent(type_name: str, wire_name: str, **asked: Any) -> dict[str, Any]:
    """What goes out beside model, messages and tools."""
    body = body_of(type_name, wire_name, **asked)
    return {name: value for name, value in body.items() if name not in ("model", "messages", "tools")}


def whole(model: ModelSpec, message: dict[str, Any]) -> Assembler:
    """An answer that is not streamed."""
    assembler = assembler_of(model)
    choice = {"index": 0, "message": {"role": "assistant", "content": "Well.", **message}, "finish_reason": "stop"}
    WIRE.decode(json.dumps({"choices": [choice]}).encode(), assembler)
    return assembler


def assembler_of(model: ModelSpec) -> Assembler:
    """An assembler as an attempt makes it."""
    return Assembler(
        *("msg_1", model.id, model.provider),
        provider_type=model.provider_type,
        wire_name=model.wire_name,
        quirks=model.quirks,
    )


def streamed(model: ModelSpec, deltas: list[dict[str, Any]], *, end: bool = True) -> Assembler:
    """A streamed answer."""
    assembler = assembler_of(model)
    decoder = WIRE.stream_decoder(assembler, model)
    for delta in deltas:
        decoder.feed("", json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode())
    if end:
        decoder.feed("", b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}')
        decoder.feed("", b"[DONE]")
    return assembler


def history_of(model: ModelSpec, answer: Assembler, **asked: Any) -> dict[str, Any]:
    """The assistant's message in the next request, where a client sent back what it had got as JSON."""
    content = msgspec.convert(msgspec.to_builtins(answer.content), type=Message.__annotations__["content"])
    calls = [block for block in answer.content if isinstance(block, ToolUseBlock)]
    results = [Message("tool", [ToolResultBlock(call.id, "sun")]) for call in calls]
    messages = [Message("user", "?"), Message("assistant", content), *results, Message("user", "And?")]
    body = json.loads(WIRE.encode(CanonicalRequest(messages, **asked), model, stream=False).body)
    return body["messages"][1]
