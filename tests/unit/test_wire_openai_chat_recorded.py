"""Recorded traffic through the Chat Completions wire, with the vendor's own SDK as the second opinion."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from tests.harness.recorded import ROOT, Recording, each, frames_of, recording_of

from modeld.providers.assembler import Assembler
from modeld.providers.catalog import facts_of, row_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.openai_chat import WIRE
from modeld.upstream.sse import SseDecoder
from modeld_protocol.content import RefusalBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.model import Capabilities, ModelLimits

DIALECTS = ("openai-chat", "deepseek", "qwen", "glm", "kimi", "minimax", "openrouter", "groq", "cerebras", "ollama-openai")
TYPES = {"openai-chat": "openai", "ollama-openai": "openai-compatible"}
IN_BAND = {"openrouter/01", "openrouter/05", "openrouter/15", "groq/02"}
"""Errors inside of a 200."""


def _recordings() -> Iterator[Recording]:
    for dialect in DIALECTS:
        for path in sorted((ROOT / dialect).glob("*.json")):
            raw = json.loads(path.read_text("utf-8"))
            url = (raw.get("request") or {}).get("url", "/chat/completions").partition("?")[0]
            if not url.endswith("/chat/completions"):
                continue  # another wire of the same provider
            yield recording_of(raw, quirks=_quirks(dialect, raw))


def _quirks(dialect: str, raw: dict[str, Any]) -> Quirks:
    """Those of the model that was asked, as the catalog knows it."""
    request = (raw.get("request") or {}).get("body") or {}
    model = re.search(r'"model": ?"([^"]+)"', raw["response"]["body"])
    name = request.get("model") if isinstance(request, dict) else None
    return facts_of(row_of(TYPES.get(dialect, dialect)), name or (model.group(1) if model else "m")).quirks


RECORDINGS = list(_recordings())
ANSWERS = [recording for recording in RECORDINGS if recording.status < 400]
GOOD = [recording for recording in ANSWERS if recording.short not in IN_BAND]
STREAMS = [recording for recording in ANSWERS if recording.streamed]

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="no recorded traffic here")


def played(
    recording: Recording, size: int | None = None, quirks: Quirks | None = None
) -> tuple[Assembler, ProviderFailure | None]:
    """The answer, its body cut into pieces of `size` bytes; read as the recorded model's, unless told otherwise."""
    quirks = recording.quirks if quirks is None else quirks
    assembler = Assembler("msg_1", "openai:m", "openai", quirks=quirks)
    model = ModelSpec("openai:m", "openai", "openai", "openai_chat", "m", Capabilities(), ModelLimits(), quirks)
    try:
        if not recording.streamed:
            WIRE.decode(recording.body, assembler)
        else:
            decoder = WIRE.stream_decoder(assembler, model)
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
        assert failure.error_class not in ("other", "network")
        return
    assembler, failure = played(recording)
    assert (failure is not None) == (recording.short in IN_BAND)
    assert assembler.completed
    if failure is None:
        assert not any(
            warning.code == "stream_repaired" and "end marker" not in warning.message for warning in assembler.warnings
        )


@each(GOOD)
def test_reasoning_is_kept_for_the_provider_that_wants_it_back(recording: Recording) -> None:
    assembler, _ = played(recording)
    thoughts = [block for block in assembler.content if isinstance(block, ThinkingBlock)]
    kept = recording.quirks.reasoning_history == "provider"
    assert all((block.provider_raw is not None) == kept for block in thoughts)
    states = re.findall(rb'"(?:data|signature|encrypted_content)": ?"([^"]+)"', recording.body)
    found = json.dumps([block.provider_raw for block in thoughts])
    assert not kept or all(state.decode() in found for state in states)
    if recording.quirks.think_tags:
        assert not any("<think>" in block.text for block in assembler.content if isinstance(block, TextBlock))


# ---- against the SDK


def sdk(recording: Recording) -> dict[str, Any]:
    """What the vendor's client makes of the same bytes."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        kind = "text/event-stream" if recording.streamed else "application/json"
        return httpx2.Response(recording.status, headers={"content-type": kind}, content=recording.body)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http, openai.OpenAI(api_key="x", http_client=http) as client:
        if recording.streamed:
            return _joined(client.chat.completions.create(model="m", messages=[], stream=True))
        answered = client.chat.completions.create(model="m", messages=[])
    found = answered.model_dump()
    message = found["choices"][0]["message"] or {}
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
    if message.get("function_call"):
        calls.append((message["function_call"]["name"], message["function_call"]["arguments"]))
    return {
        "text": message.get("content") or "",
        "refusal": message.get("refusal") or "",
        "calls": calls,
        "finish": found["choices"][0]["finish_reason"],
        "usage": found.get("usage"),
        "model": found["model"],
    }


def _joined(chunks: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"text": "", "refusal": "", "finish": None, "usage": None, "model": ""}
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        raw = chunk.model_dump()
        found["model"] = found["model"] or raw.get("model")
        found["usage"] = raw.get("usage") or found["usage"]
        for choice in raw.get("choices") or []:
            if choice["index"]:
                continue
            delta = choice.get("delta") or {}
            found["text"] += delta.get("content") or ""
            found["refusal"] += delta.get("refusal") or ""
            found["finish"] = choice.get("finish_reason") or found["finish"]
            for part in delta.get("tool_calls") or []:
                call = calls.setdefault(part["index"], ["", ""])
                call[0] += part["function"].get("name") or ""
                call[1] += part["function"].get("arguments") or ""
    return {**found, "calls": [tuple(call) for call in calls.values()]}


def _parsed(arguments: str) -> Any:
    """Arguments as an object; none and `null` are no arguments; None where they are cut or something else."""
    try:
        return json.loads(arguments or "{}") or {}
    except ValueError:
        return None


@each(GOOD)
def test_the_sdk_reads_the_same(recording: Recording) -> None:
    assembler, _ = played(recording, quirks=Quirks())
    wanted = sdk(recording)
    content = assembler.content
    assert "".join(block.text for block in content if isinstance(block, TextBlock)) == wanted["text"]
    assert "".join(block.text for block in content if isinstance(block, RefusalBlock)) == wanted["refusal"]
    calls = [(name, _parsed(arguments)) for name, arguments in wanted["calls"]]
    if wanted["finish"] == "length" and calls and (calls[-1][1] is None or not wanted["calls"][-1][1]):
        calls.pop()  # the limit cut it
    assert [(block.name, block.input) for block in content if isinstance(block, ToolUseBlock)] == calls
    assert assembler.served_model == (wanted["model"] or None)
    usage = assembler.usage
    assert usage is not None
    if wanted["usage"] is None:
        assert usage.estimated or b'"x_groq"' in recording.body  # which the SDK does not know
    else:
        read = usage.input_tokens + usage.cached_input_tokens + usage.cache_creation_input_tokens
        assert (read, usage.output_tokens) == (wanted["usage"]["prompt_tokens"], wanted["usage"]["completion_tokens"])
