"""Recorded traffic through the Ollama wire, with the vendor's own SDK as the second opinion."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import pytest
from tests.harness.recorded import ROOT, Recording, each, frames_of, recording_of

from modeld.providers.assembler import Assembler
from modeld.providers.spec import ModelSpec
from modeld.providers.wire.ollama import WIRE
from modeld.upstream.ndjson import NdjsonDecoder
from modeld_protocol.content import TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.model import Capabilities, ModelLimits

MODEL = ModelSpec("ollama:m", "ollama", "ollama", "ollama", "m", Capabilities(), ModelLimits())


def _recordings() -> Iterator[Recording]:
    for path in sorted((ROOT / "ollama").glob("*.json")):
        raw = json.loads(path.read_text("utf-8"))
        yield recording_of(raw, streamed="stream" in raw["features"])


RECORDINGS = list(_recordings())
ANSWERS = [recording for recording in RECORDINGS if recording.status < 400]
STREAMS = [recording for recording in ANSWERS if recording.streamed]

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="no recorded traffic here")


def played(recording: Recording, size: int | None = None) -> tuple[Assembler, None]:
    """The answer, its body cut into pieces of `size` bytes; none of them fails."""
    assembler = Assembler("msg_1", "ollama:m", "ollama")
    if not recording.streamed:
        WIRE.decode(recording.body, assembler)
        return assembler, None
    decoder = WIRE.stream_decoder(assembler, MODEL)
    for event, data in frames_of(NdjsonDecoder(), recording.body, size):
        decoder.feed(event, data)
    decoder.end()
    return assembler, None


@each(RECORDINGS)
def test_nothing_but_answers_and_failures(recording: Recording) -> None:
    if recording.status >= 400:
        failure = WIRE.decode_failure(recording.status, {}, recording.body)
        assert (failure.error_class, failure.provider_status) == ("model_not_found", recording.status)
        assert failure.provider_message == json.loads(recording.body)["error"]
        return
    assembler, _ = played(recording)
    assert assembler.completed
    assert assembler.warnings == []


@each(STREAMS)
def test_a_stream_that_was_not_called_one_is_the_same(recording: Recording) -> None:
    assembler = Assembler("msg_1", "ollama:m", "ollama")
    WIRE.decode(recording.body, assembler)
    assert assembler.events == played(recording)[0].events


def sdk(recording: Recording) -> dict[str, Any]:
    """What the vendor's client makes of the same bytes."""
    client = ollama.Client(
        transport=httpx.MockTransport(lambda _request: httpx.Response(recording.status, content=recording.body))
    )
    given: Any = client.chat("m", [], stream=recording.streamed)
    found: dict[str, Any] = {"text": "", "thinking": "", "calls": []}
    for part in given if recording.streamed else [given]:
        found["text"] += part.message.content or ""
        found["thinking"] += part.message.thinking or ""
        found["calls"] += [(call.function.name, dict(call.function.arguments)) for call in part.message.tool_calls or []]
        found |= {"model": part.model, "reason": part.done_reason, "usage": (part.prompt_eval_count, part.eval_count)}
    return found


@each(ANSWERS)
def test_the_sdk_reads_the_same(recording: Recording) -> None:
    (assembler, _), wanted = played(recording), sdk(recording)
    content, usage = assembler.content, assembler.usage
    assert "".join(block.text for block in content if isinstance(block, TextBlock)) == wanted["text"]
    assert "".join(block.text for block in content if isinstance(block, ThinkingBlock)) == wanted["thinking"]
    assert [(block.name, block.input) for block in content if isinstance(block, ToolUseBlock)] == wanted["calls"]
    assert assembler.served_model == wanted["model"]
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == wanted["usage"]
    assert not usage.estimated
    stop = "max_tokens" if wanted["reason"] == "length" else "tool_use" if wanted["calls"] else "end_turn"
    assert assembler.stop_reason == stop
