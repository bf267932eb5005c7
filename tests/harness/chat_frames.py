"""Frames of the Chat Completions wire, and streams of them that are played."""

import json
from typing import Any

import msgspec

from modeld.providers.assembler import Assembler
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import StreamDecoder
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.usage import Usage

DONE = "[DONE]"
HELLO = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}


def spec(**quirks: Any) -> ModelSpec:
    return ModelSpec("openai:m", "openai", "openai", "openai_chat", "m", Capabilities(), ModelLimits(), Quirks(**quirks))


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def finish(reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **more}


def part(index: int | None = None, id: Any = None, name: Any = None, arguments: Any = None) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    found = {"index": index, "id": id, "function": function}
    return {key: value for key, value in found.items() if value is not None}


def calls(*parts: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return delta(finish, tool_calls=list(parts))


def play(frames: list[Any], **quirks: Any) -> Assembler:
    assembler = Assembler("msg_1", "openai:m", "openai")
    feed_all(WIRE.stream_decoder(assembler, spec(**quirks)), frames)
    return assembler


def feed_all(decoder: StreamDecoder, frames: list[Any]) -> None:
    """Frames are objects, text or bytes; a pair has the event's name first."""
    for frame in frames:
        event, data = frame if isinstance(frame, tuple) else ("", frame)
        decoder.feed(event, encoded(data))
    decoder.end()


def encoded(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    return (data if isinstance(data, str) else json.dumps(data)).encode()


def said(assembler: Assembler) -> list[Any]:
    """The content in short: text as it is, other blocks as (type, what counts)."""
    short: list[Any] = []
    for block in msgspec.to_builtins(assembler.content):
        kind = block["type"]
        if kind == "text":
            short.append(block["text"])
        elif kind == "tool_use":
            short.append((block["id"], block["name"], block["input"]))
        else:
            short.append((kind, block["text"]))
    return short


COUNTS = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
COUNTED = Usage(input_tokens=10, output_tokens=4, total_tokens=14)
