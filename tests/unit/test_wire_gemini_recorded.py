"""Recorded traffic through the Gemini wire, with the vendor's own SDK as the second opinion."""

import base64
import json
from typing import Any

import pytest
from tests.harness.gemini_wire import Recording, decode, each, encode, frames_of, known, recordings, replay, sdk_chunks

from modeld.providers.wire.gemini import WIRE
from modeld_protocol.content import Message, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from modeld_protocol.request import CanonicalRequest

RECORDINGS = recordings()
ANSWERS = [one for one in RECORDINGS if one.status < 400]
STREAMS = [one for one in ANSWERS if one.kind == "sse"]
FAILED = {"gemini/04": "context_overflow", "gemini/07": "model_not_found", "gemini/08": "auth", "gemini/09": "rate_limit",
          "gemini/36": "capability_mismatch"}  # fmt: skip

pytestmark = [
    pytest.mark.skipif(not RECORDINGS, reason="no recorded traffic here"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@each(RECORDINGS)
def test_nothing_but_answers_and_failures(recording: Recording) -> None:
    if recording.status >= 400:
        failure = WIRE.decode_failure(recording.status, recording.headers, recording.body)
        assert failure.provider_status == recording.status
        assert failure.provider_message
        assert failure.error_class == FAILED.get(recording.id[:9], failure.error_class)
        assert failure.retry_after_seconds == (48 if recording.id.startswith("gemini/09") else None)
        return
    assembler, failure = replay(recording)
    assert failure is None
    assert assembler.completed


@each([one for one in ANSWERS if one.kind != "whole"])
def test_an_array_is_the_stream_that_it_would_have_been(recording: Recording) -> None:
    if recording.kind == "array":
        items = json.loads(recording.body)
        other = Recording(recording.id, 200, {}, b"".join(b"data: %b\n\n" % json.dumps(item).encode() for item in items), "sse")
    else:
        items = [json.loads(data) for _, data in frames_of(recording.body)]
        other = Recording(recording.id, 200, {}, json.dumps(items, indent=2).encode(), "array")
    one, two = replay(recording)[0], replay(other)[0]
    assert one.events == two.events
    assert (one.terminal_event(), one.warnings, one.served_model) == (two.terminal_event(), two.warnings, two.served_model)


STOPS = {
    **{"STOP": "end_turn", "MAX_TOKENS": "max_tokens", "SAFETY": "content_filter", None: "end_turn"},
    **{"UNEXPECTED_TOOL_CALL": "error"},
}


NUMBERED = ("gemini/14", "gemini/28")  # finish reasons as numbers, at which the SDK fails


@each([one for one in ANSWERS if not one.id.startswith(NUMBERED)])
def test_the_sdk_reads_the_same(recording: Recording) -> None:
    assembler, _ = replay(recording)
    chunks = sdk_chunks(recording)
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or []]
    parts = [part for candidate in candidates for part in (candidate.content and candidate.content.parts) or []]
    content, usage = assembler.content, assembler.usage
    said = "".join(part.text or "" for part in parts if not part.thought)
    assert "".join(block.text for block in content if isinstance(block, TextBlock)) == said
    thought = "".join(part.text or "" for part in parts if part.thought)
    assert "".join(block.text for block in content if isinstance(block, ThinkingBlock)) == thought
    calls = [part.function_call for part in parts if part.function_call and part.function_call.name]
    assert [block.name for block in content if isinstance(block, ToolUseBlock)] == [found.name for found in calls]
    if not any(found.will_continue for found in calls):
        assert [block.input for block in content if isinstance(block, ToolUseBlock)] == [found.args or {} for found in calls]
    reason = next((one.finish_reason.name for one in reversed(candidates) if one.finish_reason), None)
    assert assembler.stop_reason == ("tool_use" if calls and reason == "STOP" else STOPS[reason])
    last = next(chunk.usage_metadata for chunk in reversed(chunks) if chunk.usage_metadata)
    assert usage is not None
    assert not usage.estimated
    prompt, tools = last.prompt_token_count or 0, last.tool_use_prompt_token_count or 0
    assert usage.input_tokens + usage.cached_input_tokens == prompt + tools
    assert usage.output_tokens == (last.candidates_token_count or 0) + (last.thoughts_token_count or 0)
    assert usage.total_tokens == (last.total_token_count or usage.total_tokens)


def _signed(parts: Any) -> list[tuple[str, str, Any]]:
    """Kind, signature and content of every signed part, in order."""
    found: list[tuple[str, str, Any]] = []
    for part in parts:
        if part.get("thoughtSignature"):
            kind = next(key for key in part if key not in ("thoughtSignature", "thought"))
            held = part[kind]
            found.append(
                (kind, part["thoughtSignature"], {**held, "args": held.get("args", {})} if kind == "functionCall" else held)
            )
    return found


@each(ANSWERS)
def test_what_was_signed_goes_back_in_place(recording: Recording) -> None:
    assembler, _ = replay(recording)
    if recording.kind == "whole":
        chunks = [json.loads(recording.body)]
    elif recording.kind == "array":
        chunks = json.loads(recording.body)
    else:
        chunks = [json.loads(data) for _, data in frames_of(recording.body)]
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", [])]
    received = [part for candidate in candidates for part in (candidate.get("content") or {}).get("parts", [])]
    calls = [block for block in assembler.content if isinstance(block, ToolUseBlock)]
    results = [Message("tool", [ToolResultBlock(block.id, "done")]) for block in calls]
    history = [Message("user", "Hi"), Message("assistant", assembler.content), *results, Message("user", "Go on.")]
    body = json.loads(encode(CanonicalRequest(history), known("gemini-2.5-pro")).body)
    sent = [part for content in body["contents"] if content["role"] == "model" for part in content["parts"]]
    assert _signed(sent) == _signed(received)
    assert "".join(part.get("text", "") for part in sent) == "".join(
        part.get("text", "") for part in received if not part.get("thought")
    )
    for _, signature, _ in _signed(sent):
        if "REDACTED" not in signature:
            assert base64.b64decode(signature.replace("-", "+").replace("_", "/") + "==")


def test_a_body_and_its_stream_say_the_same() -> None:
    for recording in ANSWERS:
        if recording.kind == "whole":
            value = json.loads(recording.body)
            assert decode([value]).terminal_event() == replay(recording)[0].terminal_event()
