"""What the tests of the Responses wire share: frames, items, and streams that are played."""

import json
from typing import Any

from modeld.providers.assembler import Assembler
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import StreamDecoder
from modeld.providers.wire.openai_responses import WIRE
from modeld_protocol.content import OpaqueBlock, RefusalBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.usage import Usage

ORIGIN = {"provider": "openai-responses", "model": "m"}


def spec(quirks: Quirks | None = None) -> ModelSpec:
    return ModelSpec("o:m", "o", "openai-responses", "openai_responses", "m", Capabilities(), ModelLimits(), quirks or Quirks())


def new_assembler(quirks: Quirks | None = None) -> Assembler:
    more = {"quirks": quirks} if quirks else {}
    return Assembler("msg_1", "o:m", "o", provider_type="openai-responses", wire_name="m", **more)


# ---- frames


def frame(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sequence_number": 0, **fields}


def added(index: int, **item: Any) -> dict[str, Any]:
    return frame("response.output_item.added", output_index=index, item=item)


def done(index: int, **item: Any) -> dict[str, Any]:
    return frame("response.output_item.done", output_index=index, item=item)


def delta(kind: str, text: Any, index: int = 0, **place: Any) -> dict[str, Any]:
    return frame(f"response.{kind}.delta", output_index=index, item_id="i", delta=text, **place)


def words(text: str, index: int = 0, part: int = 0) -> dict[str, Any]:
    return delta("output_text", text, index, content_index=part, logprobs=[])


def arguments(text: str, index: int = 0) -> dict[str, Any]:
    return delta("function_call_arguments", text, index)


def summary(text: str, index: int = 0, part: int = 0) -> dict[str, Any]:
    return delta("reasoning_summary_text", text, index, summary_index=part)


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    content = [part if isinstance(part, dict) else {"type": "output_text", "text": part, "annotations": []} for part in parts]
    return {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": content, **more}


def call(number: int, arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {
        **{"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "f", "arguments": arguments},
        **more,
    }


def reasoning(*summary: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": "rs_0", "summary": parts, "encrypted_content": "sealed", **more}


COUNTS = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
COUNTED = Usage(input_tokens=10, output_tokens=4, total_tokens=14)


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "m-2026",
        "output": list(output),
        "usage": COUNTS,
        **more,
    }


def end(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = response(*output, **more)
    return frame(f"response.{found['status']}", response=found)


CREATED = frame("response.created", response=response(status="in_progress", usage=None))
HELLO = [added(0, **message(status="in_progress")), words("Hel"), words("lo"), done(0, **message("Hello"))]
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}


def encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()


def feed_all(decoder: StreamDecoder, frames: list[Any]) -> None:
    for given in frames:
        event, data = given if isinstance(given, tuple) else (given.get("type", "") if isinstance(given, dict) else "", given)
        decoder.feed(event, encoded(data))
    decoder.end()


def play(frames: list[Any], quirks: Quirks | None = None) -> Assembler:
    assembler = new_assembler(quirks)
    feed_all(WIRE.stream_decoder(assembler, spec(quirks)), frames)
    assert assembler.completed
    return assembler


def said(assembler: Assembler) -> list[Any]:
    """The content in short, without opaque state."""
    short: list[Any] = []
    for block in assembler.content:
        match block:
            case TextBlock():
                short.append(block.text)
            case RefusalBlock():
                short.append(("refusal", block.text))
            case ThinkingBlock():
                short.append(("thinking", block.text))
            case ToolUseBlock():
                short.append((block.id, block.name, block.input))
            case OpaqueBlock():
                short.append(("opaque", block.provider_raw["item"]["type"]))
            case _:
                short.append(block)
    return short


def state(assembler: Assembler, number: int = 0) -> dict[str, Any] | None:
    """Opaque state of a block, without where it is from."""
    block = assembler.content[number]
    raw = getattr(block, "provider_raw", None)
    assert raw is None or ORIGIN.items() <= raw.items()
    return raw and {name: value for name, value in raw.items() if name not in ORIGIN}
