"""A turn whose request no longer begins as the last one's says so, with what it cost; stateless calls say nothing."""

from typing import Any

import pytest
from tests.harness.peer import Peer

pytestmark = pytest.mark.anyio
MODEL = "anthropic:sim-cached"
TOOL: dict[str, Any] = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
CHANGES: list[tuple[str, dict[str, Any], str | None]] = [
    ("nothing", {}, None),
    ("sampling", {"temperature": 0.5, "max_output_tokens": 100}, None),
    ("system", {"system_prompt": "Be long."}, "system"),
    ("tools", {"tools": [TOOL]}, "tools"),
    ("parameters", {"tool_choice": {"type": "none"}}, "parameters"),
    ("model", {"model": "openai:sim-cached"}, "model"),
]


@pytest.mark.parametrize(("change", "part"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
async def test_what_broke_the_prefix_is_told(peer: Peer, change: dict[str, Any], part: str | None) -> None:
    created = (await peer.call("session/create", {"model": MODEL, "system_prompt": "Be brief."})).ok()
    session = {"session_id": created["session"]["session_id"]}
    first = (await peer.call("turn/start", {**session, "input": "Hello."})).ok()
    second = (await peer.call("turn/start", {**session, "input": "And now?", **change})).ok()
    told = [
        [warning["detail"] for warning in turn["warnings"] if warning["code"] == "cache_prefix_changed"]
        for turn in (first, second)
    ]
    assert told[0] == []
    assert [detail["part"] for detail in told[1]] == ([part] if part else [])
    if part:
        assert told[1][0]["tokens"] > 0


async def test_a_stateless_call_says_nothing(peer: Peer) -> None:
    for system in ("Be brief.", "Be long."):
        result = (await peer.call("model/complete", {"model": MODEL, "messages": "Hello.", "system_prompt": system})).ok()
        assert "cache_prefix_changed" not in {warning["code"] for warning in result["warnings"]}
