"""What must hold of every stream, whatever happened to it."""

import itertools
import json
from typing import Any

from tests.harness.peer import Reply


def text_of(content: list[dict[str, Any]]) -> str:
    """The text blocks together."""
    return "".join(block["text"] for block in content if block["type"] == "text")


def deltas_of(inner: list[dict[str, Any]]) -> str:
    """The text deltas together."""
    return "".join(event["text"] for event in inner if event["type"] == "text.delta")


def check_stream(reply: Reply, stop_reason: str | None = None) -> list[dict[str, Any]]:
    """Assert the stream invariants; returns the canonical events."""
    inner = reply.inner
    kinds = [event["type"] for event in inner]
    assert kinds[0] == "message.start"
    assert kinds.count("message.start") == 1
    assert kinds[-1] == "message.complete"
    assert kinds.count("message.complete") == 1
    cursors = [event["cursor"] for event in reply.events]
    assert all(later > earlier for earlier, later in itertools.pairwise(cursors))
    indexes = [event["content_block_index"] for event in inner if "content_block_index" in event]
    assert indexes == sorted(indexes)
    assert len({event["message_id"] for event in inner}) == 1
    _check_tools(inner)
    last = inner[-1]
    if stop_reason:
        assert last["stop_reason"] == stop_reason
    whole = reply.result or (reply.error.get("data") or {}).get("partial")
    if whole:
        assert last["final_content"] == whole["content"]
        assert last["usage"] == whole["usage"]
        if not any(block["type"] == "refusal" for block in whole["content"]):
            assert deltas_of(inner) == text_of(whole["content"])
    return inner


def _check_tools(inner: list[dict[str, Any]]) -> None:
    fragments: dict[str, str] = {}
    ended: set[str] = set()
    for event in inner:
        if event["type"] == "tool.use_start":
            assert event["tool_use_id"].startswith("tu_")
            fragments[event["tool_use_id"]] = ""
        elif event["type"] == "tool.use_input_delta":
            fragments[event["tool_use_id"]] += event["partial_json"]
        elif event["type"] == "tool.use_end":
            assert event["tool_use_id"] not in ended
            ended.add(event["tool_use_id"])
            text = fragments[event["tool_use_id"]]
            assert event["final_input"] == _object(text)
    assert ended == set(fragments), "every tool start has one end"


def _object(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
