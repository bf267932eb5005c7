"""What the tests of the Messages wire share: specs, the vendor's own opinion, recorded traffic, played streams."""

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from anthropic import Anthropic
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import BaseModel, TypeAdapter

from modeld.providers.assembler import Assembler
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.anthropic_messages import WIRE
from modeld.providers.wire.contract import Encoded
from modeld.upstream.sse import SseDecoder
from modeld_protocol.content import OpaqueBlock, RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest

RECORDED = Path(__file__).parents[3] / "shared/recorded"
_PLAIN = TypeAdapter(MessageCreateParamsNonStreaming)
_STREAMED = TypeAdapter(MessageCreateParamsStreaming)

# The vendor's types are those of API version 2026-10-21, which has no sampling.
_OF_THE_OLDER_VERSION = ("temperature", "top_p", "top_k")

BUDGET = Quirks(
    thinking="budget", forced_tool_choice_with_thinking=False, sampling_with_thinking=False, mid_conversation_system=False
)
ADAPTIVE = Quirks(
    thinking="adaptive", efforts=("low", "medium", "high", "max"), prefill=False, sampling="none", display="summarized"
)
ALWAYS = Quirks(
    thinking="adaptive",
    thinking_default_on=True,
    thinking_can_be_off=False,
    forced_tool_choice=False,
    prefill=False,
    sampling="none",
    efforts=("low", "medium", "high", "xhigh", "max"),
)


def spec(quirks: Quirks = BUDGET, **changes: Any) -> ModelSpec:
    """A model of this wire that can do everything but what `quirks` says."""
    model = ModelSpec(
        "claude:m-1",
        "claude",
        "anthropic",
        "anthropic_messages",
        "m-1",
        Capabilities(thinking=True, prompt_cache="explicit"),
        ModelLimits(200_000, 64_000, 1_024),
        quirks,
    )
    return msgspec.structs.replace(model, **changes)


def encode(request: Mapping[str, Any] | CanonicalRequest, model: ModelSpec | None = None, *, stream: bool = False) -> Encoded:
    """A request, given as JSON, through the wire."""
    if not isinstance(request, CanonicalRequest):
        request = msgspec.convert({"messages": "Hi", **request}, CanonicalRequest)
    return WIRE.encode(request, model or spec(), stream=stream)


def checked_body(encoded: Encoded) -> dict[str, Any]:
    """The body, after the vendor's types have had a look: nothing in it is unknown to them or of another type."""
    body = json.loads(encoded.body)
    adapter = _STREAMED if body.get("stream") else _PLAIN
    known = {name: value for name, value in body.items() if name not in _OF_THE_OLDER_VERSION}
    assert _read(adapter.validate_python(body)) == known
    return body


def _read(value: Any) -> Any:
    """Reads what the validator left lazy, which is when it validates."""
    if isinstance(value, str | bytes | None | int | float):
        return value
    if isinstance(value, BaseModel):  # a block of an answer, sent back
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: _read(item) for key, item in value.items()}
    return [_read(item) for item in value]


# ---- answers


def assembler() -> Assembler:
    return Assembler("msg_1", "claude:m-1", "claude", provider_type="anthropic", wire_name="m-1")


def play(frames: Iterable[tuple[str, bytes]], model: ModelSpec | None = None) -> Assembler:
    """A stream's frames through the wire, to its end."""
    found = assembler()
    decoder = WIRE.stream_decoder(found, model or spec())
    for event, data in frames:
        decoder.feed(event, data)
    decoder.end()
    return found


def frames_of(body: bytes, cuts: Iterable[int] = ()) -> list[tuple[str, bytes]]:
    """The frames of a body that arrives cut at `cuts`."""
    decoder = SseDecoder()
    edges = [0, *sorted(cuts), len(body)]
    frames = [frame for start, end in pairwise(edges) for frame in decoder.feed(body[start:end])]
    return [*frames, *decoder.end()]


def events(*payloads: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Frames from what their data holds."""
    return [(payload.get("type", ""), json.dumps(payload).encode()) for payload in payloads]


def body_of(frames: Iterable[tuple[str, bytes]]) -> bytes:
    """Frames as the body that carries them."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (event.encode(), data) for event, data in frames)


def sdk_message(body: bytes, *, stream: bool) -> dict[str, Any]:
    """What the vendor's SDK reads in the same bytes, without an end marker that isn't this wire's."""
    body = body.replace(b"event: data\ndata: [DONE]\n\n", b"")
    kind = "text/event-stream" if stream else "application/json"
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body, headers={"content-type": kind}))
    client = Anthropic(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0)
    asked: Any = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    if not stream:
        return client.messages.create(**asked).model_dump(mode="json", exclude_none=True)
    with client.messages.stream(**asked) as answer:
        return answer.get_final_message().model_dump(mode="json", exclude_none=True)


def wire_content(content: Iterable[Any]) -> list[Any]:
    """Canonical content in the wire's terms, as far as both can say it."""
    found: list[Any] = []
    for block in content:
        match block:
            case TextBlock():
                citations = (block.provider_raw or {}).get("citations")
                found.append(("text", block.text, len(citations or [])))
            case ThinkingBlock():
                found.append(("thinking", block.text, (block.provider_raw or {}).get("signature", "")))
            case RedactedThinkingBlock():
                found.append(("redacted_thinking", block.provider_raw["data"]))
            case ToolUseBlock():
                found.append(("tool_use", block.id.removeprefix("tu_"), block.name, block.input))
            case OpaqueBlock():
                kept = block.provider_raw["block"]
                found.append((kept["type"], kept.get("id"), kept.get("input")))
            case _:
                raise AssertionError(block)
    return found


def sdk_content(message: Mapping[str, Any]) -> list[Any]:
    """The SDK's content in the same terms; empty text, which the API refuses to take back, is left out."""
    found: list[Any] = []
    for block in message["content"]:
        match block["type"]:
            case "text":
                if block["text"]:
                    found.append(("text", block["text"], len(block.get("citations") or [])))
            case "thinking":
                found.append(("thinking", block["thinking"], block.get("signature") or ""))
            case "redacted_thinking":
                found.append(("redacted_thinking", block["data"]))
            case "tool_use":
                found.append(("tool_use", block["id"], block["name"], block["input"]))
            case kind:
                found.append((kind, block.get("id"), block.get("input")))
    return found


# ---- recordings


def recordings() -> list[Any]:
    """Recorded exchanges of this wire, as pytest parameters; one that skips where there are none."""
    paths = [*sorted((RECORDED / "anthropic").glob("*.json")), *sorted((RECORDED / "openrouter").glob("*.json"))]
    found = [pytest.param(one, id=one["id"]) for path in paths if _ours(one := json.loads(path.read_text()))]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason="no recordings beside the repository"))]


def _ours(recording: dict[str, Any]) -> bool:
    url = (recording["request"] or {}).get("url") or ""
    return url.partition("?")[0].endswith("/messages") if url else recording["dialect"] == "anthropic"


def is_stream(recording: Mapping[str, Any]) -> bool:
    return "stream" in recording["features"]


def payload_of(recording: Mapping[str, Any]) -> bytes:
    return recording["response"]["body"].encode()
