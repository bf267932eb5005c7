"""Whole answers of the Chat Completions wire, and bodies that are none."""

import json
from typing import Any

import pytest
from tests.harness.chat_frames import COUNTED, COUNTS, encoded, part, said

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.openai_chat import WIRE

# ---- whole answers


def whole(body: Any) -> Assembler:
    assembler = Assembler("msg_1", "openai:m", "openai")
    WIRE.decode(encoded(body), assembler)
    assert assembler.completed
    return assembler


def answer(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": COUNTS, "model": "m-2026"}


@pytest.mark.parametrize(
    ("body", "wanted", "stop"),
    [
        (answer(content="Hello", refusal=None, annotations=[]), ["Hello"], "end_turn"),
        (answer(content=None, refusal="No."), [("refusal", "No.")], "refusal"),
        (answer("length", content=""), [], "max_tokens"),
        (
            answer("stop", content=None, tool_calls=[part(None, "c", "f", "{}"), part(None, "d", "f", "{}")]),
            [("tu_c", "f", {}), ("tu_d", "f", {})],
            "tool_use",
        ),
        (
            answer("tool_calls", tool_calls=[part(0, "c", "f", "{}"), part(1, "d", "f", '{"a":1}')]),
            [("tu_c", "f", {}), ("tu_d", "f", {"a": 1})],
            "tool_use",
        ),
        (
            answer("function_call", content=None, function_call={"name": "f", "arguments": "{}"}),
            [("tu_1_0", "f", {})],
            "tool_use",
        ),
        (answer(reasoning_content="t", content="Hello"), [("thinking", "t"), "Hello"], "end_turn"),
        (answer(None, content="Hello"), ["Hello"], "end_turn"),
        (
            {"choices": [{"index": 0, "finish_reason": "content_filter"}], "usage": COUNTS, "model": "m-2026"},
            [],
            "content_filter",
        ),
        (b"\n\n   \n" + json.dumps(answer(content="Hello")).encode(), ["Hello"], "end_turn"),
    ],
)
def test_whole_answers(body: Any, wanted: list[Any], stop: str) -> None:
    assembler = whole(body)
    assert said(assembler) == wanted
    assert assembler.stop_reason == stop
    assert assembler.usage == COUNTED
    assert assembler.served_model == "m-2026"


@pytest.mark.parametrize(
    ("body", "error_class", "status"),
    [
        ({"error": {"code": 502, "message": "m"}}, "server_error", 502),
        ({"error": {"code": "insufficient_quota", "message": "m"}, "choices": []}, "quota_exceeded", None),
        ({**answer(content="Hello"), "error": {"code": 429, "message": "m"}}, "rate_limit", 429),
        ({"base_resp": {"status_code": 1004, "status_msg": "m"}, "choices": None}, "auth", None),
        ({"choices": []}, "server_error", 200),
        ({}, "server_error", 200),
        (b"", "server_error", 200),
        (b"<html><body>Sign in</body></html>", "server_error", 200),
        (b"\x00\xff\xfe", "server_error", 200),
        (b"[]", "server_error", 200),
        (b'"hello"', "server_error", 200),
        (b"[" * 100_000, "server_error", 200),
    ],
)
def test_what_is_no_answer(body: Any, error_class: str, status: int | None) -> None:
    with pytest.raises(ProviderFailure) as caught:
        whole(body)
    assert (caught.value.error_class, caught.value.provider_status) == (error_class, status)
    assert "<" not in caught.value.message
