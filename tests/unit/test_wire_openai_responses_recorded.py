"""Recorded traffic through the Responses wire, with the vendor's own SDK as the second opinion."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import openai
import pytest
from tests.harness.recorded import ROOT, Recording, each, frames_of, recording_of

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.openai_responses import WIRE
from modeld.upstream.sse import SseDecoder
from modeld_protocol.content import Message, OpaqueBlock, RefusalBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest

QUIRKS = Quirks(thinking="effort", stop=False, reasoning_bound_to_model=True)
MODEL = ModelSpec("o:m", "o", "openai-responses", "openai_responses", "m", Capabilities(), ModelLimits(), QUIRKS)
IN_BAND = {"openai-responses/14"}
"""Errors inside of a 200."""
CONTRADICTS_ITSELF = {"openai-responses/21"}
"""Whoever recorded it changed the finished items, and not the deltas."""


def _recordings() -> Iterator[Recording]:
    for path in sorted(ROOT.glob("*/*.json")):
        raw = json.loads(path.read_text("utf-8"))
        url = (raw.get("request") or {}).get("url", "").partition("?")[0]
        if not (url.endswith("/responses") or (not url and raw["dialect"] == "openai-responses")):
            continue
        yield recording_of(raw)


RECORDINGS = list(_recordings())
ANSWERS = [recording for recording in RECORDINGS if recording.status < 400]
GOOD = [recording for recording in ANSWERS if recording.short not in IN_BAND]
STREAMS = [recording for recording in ANSWERS if recording.streamed]

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="no recorded traffic here")


def played(recording: Recording, size: int | None = None) -> tuple[Assembler, ProviderFailure | None]:
    """The answer, its body cut into pieces of `size` bytes."""
    assembler = Assembler("msg_1", "o:m", "o", provider_type="openai-responses", wire_name="m")
    try:
        if not recording.streamed:
            WIRE.decode(recording.body, assembler)
        else:
            decoder = WIRE.stream_decoder(assembler, MODEL)
            for event, data in frames_of(SseDecoder(), recording.body, size):
                decoder.feed(event, data)
            decoder.end()
    except ProviderFailure as failure:
        assembler.complete("error")
        return assembler, failure
    return assembler, None


@each(RECORDINGS)
def test_nothing_but_answers_and_failures(recording: Recording) -> None:
    if recording.status >= 400:
        failure = WIRE.decode_failure(recording.status, recording.headers, recording.body)
        assert failure.provider_status == recording.status
        assert failure.provider_message
        assert failure.error_class in ("auth", "context_overflow", "invalid_request")
        return
    assembler, failure = played(recording)
    assert (failure is not None) == (recording.short in IN_BAND)
    assert assembler.completed
    if failure is None:
        repaired = any(warning.code == "stream_repaired" for warning in assembler.warnings)
        assert repaired == (recording.short in CONTRADICTS_ITSELF)


# ---- against the SDK


def sdk(recording: Recording) -> Any:
    """The response as the vendor's client makes it of the same bytes."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        kind = "text/event-stream" if recording.streamed else "application/json"
        return httpx2.Response(recording.status, headers={"content-type": kind}, content=recording.body)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http, openai.OpenAI(api_key="x", http_client=http) as client:
        if not recording.streamed:
            return client.responses.create(model="m", input="x")
        events = list(client.responses.create(model="m", input="x", stream=True))
    last = [event for event in events if event.type in ("response.completed", "response.incomplete")][-1]
    return last.response


@each([recording for recording in GOOD if recording.short not in CONTRADICTS_ITSELF])
def test_the_sdk_reads_the_same(recording: Recording) -> None:
    assembler, _ = played(recording)
    wanted = sdk(recording)
    content = assembler.content
    assert "".join(block.text for block in content if isinstance(block, TextBlock)) == wanted.output_text
    parts = [part for item in wanted.output if item.type == "message" for part in item.content]
    refused = "".join(part.refusal for part in parts if part.type == "refusal")
    assert "".join(block.text for block in content if isinstance(block, RefusalBlock)) == refused
    calls = [item for item in wanted.output if item.type == "function_call" and item.status != "incomplete"]
    assert [(block.id, block.name, block.input) for block in content if isinstance(block, ToolUseBlock)] == [
        (f"tu_{item.call_id}", item.name, json.loads(item.arguments)) for item in calls
    ]
    assert assembler.served_model == wanted.model
    assert assembler.stop_reason == _stop(wanted, refused)
    usage = assembler.usage
    assert usage is not None
    read = usage.input_tokens + usage.cached_input_tokens + usage.cache_creation_input_tokens
    assert (read, usage.output_tokens) == (wanted.usage.input_tokens, wanted.usage.output_tokens)


def _stop(response: Any, refused: str) -> str:
    if response.status == "incomplete":
        return "max_tokens"
    if any(item.type == "function_call" for item in response.output):
        return "tool_use"
    return "refusal" if refused else "end_turn"


# ---- back to the provider


def _output(recording: Recording) -> list[dict[str, Any]]:
    """The items of the answer, as they stood in it."""
    if not recording.streamed:
        return json.loads(recording.body)["output"]
    lines = [line[5:] for line in recording.body.decode().splitlines() if line.startswith("data:") and "[DONE]" not in line]
    events = [event for line in lines if (event := json.loads(line)).get("type") == "response.output_item.done"]
    return [event["item"] for event in sorted(events, key=lambda event: event["output_index"])]


def _comparable(item: dict[str, Any]) -> dict[str, Any]:
    """An item without what is left out on the way back: ids and states of messages and calls, members without a value."""
    kept = {name: value for name, value in item.items() if value is not None}
    if item.get("type", "message") == "message":
        text = kept["content"] if isinstance(kept["content"], str) else "".join(p.get("text", "") for p in kept["content"])
        return {"role": "assistant", "phase": kept.get("phase"), "text": text}
    if item["type"] == "function_call":
        return {name: value for name, value in kept.items() if name not in ("id", "status")}
    return kept


@each([recording for recording in GOOD if recording.short not in CONTRADICTS_ITSELF])
def test_what_the_provider_made_goes_back_as_it_was(recording: Recording) -> None:
    assembler, _ = played(recording)
    if assembler.stop_reason not in ("end_turn", "tool_use"):
        return  # what was cut is not sent whole
    results = [ToolResultBlock(block.id, "x") for block in assembler.content if isinstance(block, ToolUseBlock)]
    answer = msgspec.convert(msgspec.to_builtins(Message("assistant", assembler.content)), Message)  # as a client gives it back
    history = [Message("user", "Hi"), answer, *([Message("tool", [*results])] if results else [])]
    request = CanonicalRequest(history, provider_options={"openai-responses": {"store": True}})
    encoded = WIRE.encode(request, MODEL, stream=True)
    sent = json.loads(encoded.body)["input"][1 : -len(results) or None]
    wanted = _output(recording)
    while wanted and wanted[-1]["type"] == "reasoning":
        wanted.pop()
    assert [_comparable(item) for item in sent] == [_comparable(item) for item in wanted]
    assert encoded.warnings == []


@each([recording for recording in GOOD if any(kind in recording.body for kind in (b'"web_search_call"', b'"mcp_call"'))])
def test_another_model_gets_the_words_alone(recording: Recording) -> None:
    assembler, _ = played(recording)
    other = msgspec.structs.replace(MODEL, wire_name="n")
    request = CanonicalRequest([Message("user", "Hi"), Message("assistant", assembler.content), Message("user", "Go on")])
    encoded = WIRE.encode(request, other, stream=True)
    assert {item.get("role") for item in json.loads(encoded.body)["input"]} == {"user", "assistant"}
    dropped = sum(isinstance(block, ThinkingBlock | OpaqueBlock) for block in assembler.content)
    counts = [(warning.detail or {"count": 1})["count"] for warning in encoded.warnings if warning.code == "content_dropped"]
    assert sum(counts) == dropped
