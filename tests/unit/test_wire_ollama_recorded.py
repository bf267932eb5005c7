"""Recorded traffic through the Ollama wire, with the vendor's own SDK as the second opinion."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import ollama
import pytest

from modeld.providers.assembler import Assembler
from modeld.providers.spec import ModelSpec
from modeld.providers.wire.ollama import WIRE
from modeld.upstream.ndjson import NdjsonDecoder
from modeld_protocol.content import TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.events import MessageStart, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
from modeld_protocol.model import Capabilities, ModelLimits

ROOT = Path(__file__).parents[3] / "shared" / "recorded" / "ollama"
MODEL = ModelSpec("ollama:m", "ollama", "ollama", "ollama", "m", Capabilities(), ModelLimits())


class Recording(msgspec.Struct):
    """One exchange, as far as it matters here."""

    id: str
    status: int
    body: bytes
    streamed: bool


def _recordings() -> Iterator[Recording]:
    for path in sorted(ROOT.glob("*.json")):
        raw = json.loads(path.read_text("utf-8"))
        body = raw["response"]["body"]
        yield Recording(raw["id"], raw["response"]["status"], body.encode(), "stream" in raw["features"])


RECORDINGS = list(_recordings())
ANSWERS = [recording for recording in RECORDINGS if recording.status < 400]
STREAMS = [recording for recording in ANSWERS if recording.streamed]

pytestmark = pytest.mark.skipif(not RECORDINGS, reason="no recorded traffic here")


def each(recordings: list[Recording]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recording", recordings, ids=[recording.id for recording in recordings])


def played(recording: Recording, size: int | None = None) -> Assembler:
    """The answer, its body cut into pieces of `size` bytes."""
    assembler = Assembler("msg_1", "ollama:m", "ollama")
    if not recording.streamed:
        WIRE.decode(recording.body, assembler)
        return assembler
    frames, decoder = NdjsonDecoder(), WIRE.stream_decoder(assembler, MODEL)
    size = size or len(recording.body)
    pieces = [recording.body[at : at + size] for at in range(0, len(recording.body), size)]
    for found in [*map(frames.feed, pieces), frames.end()]:
        for event, data in found:
            decoder.feed(event, data)
    decoder.end()
    return assembler


@each(RECORDINGS)
def test_nothing_but_answers_and_failures(recording: Recording) -> None:
    if recording.status >= 400:
        failure = WIRE.decode_failure(recording.status, {}, recording.body)
        assert (failure.error_class, failure.provider_status) == ("model_not_found", recording.status)
        assert failure.provider_message == json.loads(recording.body)["error"]
        return
    assembler = played(recording)
    assert assembler.completed
    assert assembler.warnings == []


@each(STREAMS)
@pytest.mark.parametrize("size", [1, 7, 64, 1_000])
def test_any_split_gives_the_same_events(recording: Recording, size: int) -> None:
    whole, cut = played(recording), played(recording, size)
    assert cut.events == whole.events
    assert cut.terminal_event() == whole.terminal_event()


@each(STREAMS)
def test_a_stream_that_was_not_called_one_is_the_same(recording: Recording) -> None:
    assembler = Assembler("msg_1", "ollama:m", "ollama")
    WIRE.decode(recording.body, assembler)
    assert assembler.events == played(recording).events


@each(STREAMS)
def test_deltas_are_the_content(recording: Recording) -> None:
    assembler = played(recording)
    events, content = assembler.events, assembler.content
    assert isinstance(events[0], MessageStart)
    for delta, kind in ((TextDelta, TextBlock), (ThinkingDelta, ThinkingBlock)):
        shown = "".join(event.text for event in events if isinstance(event, delta))
        assert shown == "".join(block.text for block in content if isinstance(block, kind))
    started = [event.tool_use_id for event in events if isinstance(event, ToolUseStart)]
    assert started == [event.tool_use_id for event in events if isinstance(event, ToolUseEnd)]
    for block in content:
        if isinstance(block, ToolUseBlock):
            fragments = [e.partial_json for e in events if isinstance(e, ToolUseInputDelta) and e.tool_use_id == block.id]
            assert json.loads("".join(fragments)) == block.input


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
    assembler, wanted = played(recording), sdk(recording)
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
