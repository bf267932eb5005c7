"""Recorded traffic as the tests of all wires take it: exchanges, bodies cut into pieces, and what must hold of any answer."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from modeld.providers.assembler import Assembler
from modeld.providers.spec import Quirks
from modeld_protocol.content import RefusalBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.events import MessageStart, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart

ROOT = Path(__file__).parents[3] / "shared" / "recorded"


class Recording(msgspec.Struct):
    """One exchange, as far as it matters to these tests."""

    id: str
    status: int
    headers: dict[str, str]
    body: bytes
    streamed: bool
    quirks: Quirks = Quirks()

    @property
    def short(self) -> str:
        """Dialect and number."""
        return "-".join(self.id.split("-")[: self.id.split("/")[0].count("-") + 1])


def recording_of(raw: Mapping[str, Any], *, streamed: bool | None = None, quirks: Quirks | None = None) -> Recording:
    """An exchange as it stands in its file; it was streamed where it looks like it, unless told."""
    response = raw["response"]
    headers = {str(name).lower(): str(value) for name, value in (response.get("headers") or {}).items()}
    if streamed is None:
        streamed = response["body"].lstrip().startswith(("data:", ":", "event:"))
    return Recording(raw["id"], response["status"], headers, response["body"].encode(), streamed, quirks or Quirks())


def each(recordings: list[Recording]) -> pytest.MarkDecorator:
    """One test for each of them."""
    return pytest.mark.parametrize("recording", recordings, ids=[recording.id for recording in recordings])


class Framing(Protocol):
    """What cuts a body into frames."""

    def feed(self, data: bytes) -> Iterable[tuple[str, bytes]]: ...

    def end(self) -> Iterable[tuple[str, bytes]]: ...


def frames_of(framing: Framing, body: bytes, size: int | None = None) -> Iterable[tuple[str, bytes]]:
    """The frames of a body that comes in pieces of `size` bytes."""
    size = size or len(body)
    for at in range(0, len(body), size):
        yield from framing.feed(body[at : at + size])
    yield from framing.end()


def check_deltas(assembler: Assembler) -> None:
    """What was streamed is the content: words, thoughts, and calls from start to end."""
    events, content = assembler.events, assembler.content
    assert isinstance(events[0], MessageStart)
    for delta, kinds in ((TextDelta, TextBlock | RefusalBlock), (ThinkingDelta, ThinkingBlock)):
        shown = "".join(event.text for event in events if isinstance(event, delta))
        assert shown == "".join(block.text for block in content if isinstance(block, kinds))
    started = [event.tool_use_id for event in events if isinstance(event, ToolUseStart)]
    ended = {event.tool_use_id: event.final_input for event in events if isinstance(event, ToolUseEnd)}
    assert started == list(ended)
    for block in content:
        if isinstance(block, ToolUseBlock):
            fragments = [e.partial_json for e in events if isinstance(e, ToolUseInputDelta) and e.tool_use_id == block.id]
            assert block.input == ended[block.id] == (json.loads("".join(fragments) or "{}") or {})
