"""Answers of the Chat Completions wire, streamed and whole: odd frames that real servers send, and what they mean."""

from typing import Any

import pytest
from tests.harness.chat_frames import (
    COUNTED,
    COUNTS,
    DONE,
    HELLO,
    calls,
    delta,
    encoded,
    feed_all,
    finish,
    part,
    play,
    said,
    spec,
)

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.usage import Usage

CONTENT: list[tuple[str, list[Any], list[Any], str]] = [
    ("plain", [delta(role="assistant", content=""), HELLO, delta(content=" you"), finish(), DONE], ["Hello you"], "end_turn"),
    ("no choices at first", [{"choices": [], "prompt_filter_results": []}, HELLO, finish(), DONE], ["Hello"], "end_turn"),
    (
        "a choice without delta",
        [{"choices": [{"index": 0, "finish_reason": None}]}, HELLO, finish(), DONE],
        ["Hello"],
        "end_turn",
    ),
    (
        "fields that are null",
        [
            {"choices": [{"index": 0, "delta": None}], "usage": None, "error": None},
            delta(role=None, content=None, refusal=None, tool_calls=None, reasoning=None, function_call=None, audio=None),
            HELLO,
            finish(),
            DONE,
        ],
        ["Hello"],
        "end_turn",
    ),
    ("choices that are null", [{"choices": None}, HELLO, finish(), DONE], ["Hello"], "end_turn"),
    ("no index", [{"choices": [{"delta": {"content": "a"}}]}, finish(), DONE], ["a"], "end_turn"),
    (
        "other choices are not ours",
        [
            {
                "choices": [
                    {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"},
                    {"index": 0, "delta": {"content": "a"}},
                ]
            },
            finish("length"),
            DONE,
        ],
        ["a"],
        "max_tokens",
    ),
    (
        "content as parts",
        [
            delta(content=[{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]),
            finish(),
            DONE,
        ],
        [("thinking", "t"), "a"],
        "end_turn",
    ),
    (
        "reasoning_content",
        [delta(reasoning_content="t"), delta(reasoning_content="u", content=""), HELLO, finish(), DONE],
        [("thinking", "tu"), "Hello"],
        "end_turn",
    ),
    ("reasoning", [delta(reasoning="t"), HELLO, finish(), DONE], [("thinking", "t"), "Hello"], "end_turn"),
    (
        "both are one",
        [delta(reasoning="t", reasoning_content="t"), HELLO, finish(), DONE],
        [("thinking", "t"), "Hello"],
        "end_turn",
    ),
    (
        "details repeat the plain field",
        [
            delta(reasoning="t", reasoning_details=[{"type": "reasoning.text", "text": "t"}]),
            delta(reasoning_details=[{"type": "reasoning.text", "text": "t"}]),
            finish(),
            DONE,
        ],
        [("thinking", "t")],
        "end_turn",
    ),
    (
        "details alone",
        [delta(reasoning_details=[{"type": "reasoning.summary", "summary": "t"}]), HELLO, finish(), DONE],
        [("thinking", "t"), "Hello"],
        "end_turn",
    ),
    ("a refusal", [delta(refusal="I can"), delta(refusal="not."), finish(), DONE], [("refusal", "I cannot.")], "refusal"),
    ("a refusal called a filter", [delta(refusal="No."), finish("content_filter"), DONE], [("refusal", "No.")], "refusal"),
    ("a filter", [HELLO, finish("content_filter"), DONE], ["Hello"], "content_filter"),
    ("finish_reason twice", [HELLO, finish("length"), finish("length"), DONE], ["Hello"], "max_tokens"),
    ("null after finish_reason", [HELLO, finish("length"), delta(content="", role="assistant"), DONE], ["Hello"], "max_tokens"),
    ("null as text", [delta("null", content="Hello"), finish("length"), DONE], ["Hello"], "max_tokens"),
    (
        "the last frame repeats the message",
        [HELLO, {"choices": [{"finish_reason": "stop", "message": {"content": "Hello"}}]}, DONE],
        ["Hello"],
        "end_turn",
    ),
    (
        "the message is all there is",
        [{"choices": [{"finish_reason": "stop", "message": {"content": "Hello"}}]}, DONE],
        ["Hello"],
        "end_turn",
    ),
    ("frames after the end marker", [HELLO, finish(), DONE, delta(content="more"), "junk"], ["Hello"], "end_turn"),
    (
        "frames without meaning",
        [b"", b" ", "null", '{"type":"ping"}', ("ping", "not json"), HELLO, finish(), DONE],
        ["Hello"],
        "end_turn",
    ),
    ("events with a name", [("message", HELLO), ("data", finish()), ("data", DONE)], ["Hello"], "end_turn"),
    ("no answer in words", [finish("stop"), DONE], [], "end_turn"),
    ("an answer that the provider gave up", [HELLO, finish("insufficient_system_resource"), DONE], ["Hello"], "error"),
    # tool calls
    (
        "one call in fragments",
        [
            calls(part(0, "call_1", "f", "")),
            calls(part(0, None, None, '{"a"')),
            calls(part(0, None, None, ":1}")),
            finish("tool_calls"),
            DONE,
        ],
        [("tu_call_1", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "empty ids and names, null arguments",
        [
            calls(part(0, "call_1", "f", "")),
            calls(part(0, "", "", '{"a":1}')),
            calls({"index": 0, "id": "", "function": {"arguments": None}}),
            finish("tool_calls"),
            DONE,
        ],
        [("tu_call_1", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "a whole call with its finish_reason",
        [calls(part(0, "c", "f", '{"a":1}'), finish="tool_calls"), DONE],
        [("tu_c", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "two calls by index",
        [calls(part(0, "c", "f", "{}"), part(1, "d", "g", "{")), calls(part(1, arguments="}")), finish("tool_calls"), DONE],
        [("tu_c", "f", {}), ("tu_d", "g", {})],
        "tool_use",
    ),
    (
        "two calls that interleave",
        [
            calls(part(0, "c", "f", "{"), part(1, "d", "g", "{")),
            calls(part(0, arguments='"a":1}'), part(1, arguments='"b":2}')),
            finish("tool_calls"),
            DONE,
        ],
        [("tu_c", "f", {"a": 1}), ("tu_d", "g", {"b": 2})],
        "tool_use",
    ),
    (
        "an index used twice",
        [calls(part(0, "c", "f", "{}")), calls(part(0, "d", "f", "{}")), finish("tool_calls"), DONE],
        [("tu_c", "f", {}), ("tu_d", "f", {})],
        "tool_use",
    ),
    (
        "no index, a call per delta",
        [calls(part(None, "c", "f", "{}")), calls(part(None, "d", "f", "{}")), finish("tool_calls"), DONE],
        [("tu_c", "f", {}), ("tu_d", "f", {})],
        "tool_use",
    ),
    (
        "no index, the same id goes on",
        [calls(part(None, "c", "f", '{"a"')), calls(part(None, "c", None, ":1}")), finish("tool_calls"), DONE],
        [("tu_c", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "no index and no id, arguments go on",
        [calls(part(None, "c", "f", '{"a"')), calls(part(arguments=":1}")), finish("tool_calls"), DONE],
        [("tu_c", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "no index, two in one delta",
        [calls(part(None, "c", "f", "{}"), part(None, "d", "g", "{}"), finish="tool_calls"), DONE],
        [("tu_c", "f", {}), ("tu_d", "g", {})],
        "tool_use",
    ),
    (
        "no ids at all",
        [calls(part(None, None, "f", "{}")), calls(part(None, None, "f", "{}")), finish("tool_calls"), DONE],
        [("tu_1_0", "f", {}), ("tu_1_1", "f", {})],
        "tool_use",
    ),
    (
        "a new id in every fragment",
        [calls(part(0, "c", "f", "{")), calls(part(0, "x", None, "}")), finish("tool_calls"), DONE],
        [("tu_c", "f", {})],
        "tool_use",
    ),
    (
        "the name comes late",
        [calls(part(0, "c")), calls(part(0, None, None, '{"a"')), calls(part(0, None, "f", ":1}")), finish("tool_calls"), DONE],
        [("tu_c", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "arguments as an object",
        [calls(part(0, "c", "f", {"a": {"b": [1]}})), finish("tool_calls"), DONE],
        [("tu_c", "f", {"a": {"b": [1]}})],
        "tool_use",
    ),
    ("no arguments", [calls(part(0, "c", "f")), finish("tool_calls"), DONE], [("tu_c", "f", {})], "tool_use"),
    ("a call that ends with stop", [calls(part(0, "c", "f", "{}")), finish("stop"), DONE], [("tu_c", "f", {})], "tool_use"),
    (
        "the old form",
        [
            delta(function_call={"name": "f", "arguments": ""}),
            delta(function_call={"arguments": '{"a":1}'}),
            finish("function_call"),
            DONE,
        ],
        [("tu_1_0", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "text, then a call",
        [HELLO, calls(part(0, "c", "f", "{}")), finish("tool_calls"), DONE],
        ["Hello", ("tu_c", "f", {})],
        "tool_use",
    ),
    (
        "an index inside function",
        [calls({"id": "c", "function": {"index": 3, "name": "f", "arguments": {}}}), finish("tool_calls"), DONE],
        [("tu_c", "f", {})],
        "tool_use",
    ),
]


@pytest.mark.parametrize(("frames", "wanted", "stop"), [case[1:] for case in CONTENT], ids=[case[0] for case in CONTENT])
def test_streams(frames: list[Any], wanted: list[Any], stop: str) -> None:
    assembler = play(frames)
    assert said(assembler) == wanted
    assert assembler.stop_reason == stop
    assert assembler.warnings == []


REPAIRED: list[tuple[str, list[Any], list[Any], str, str]] = [
    ("no end marker after a whole answer", [HELLO, finish()], ["Hello"], "end_turn", "stream_repaired"),
    ("an end marker without finish_reason", [HELLO, DONE], ["Hello"], "end_turn", "stream_repaired"),
    ("an unknown finish_reason", [HELLO, finish("whim"), DONE], ["Hello"], "end_turn", "stream_repaired"),
    (
        "half of a character",
        [b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}', finish(), DONE],
        ["a\ufffd"],
        "end_turn",
        "stream_repaired",
    ),
    (
        "bytes that are no text",
        [b'{"choices":[{"delta":{"content":"a\xff"}}]}', finish(), DONE],
        ["a\ufffd"],
        "end_turn",
        "stream_repaired",
    ),
    ("a call without a name", [HELLO, calls(part(0, "c", None, "{}")), finish(), DONE], ["Hello"], "end_turn", "stream_repaired"),
    (
        "arguments that are no object",
        [calls(part(0, "c", "f", "[1]")), finish(), DONE],
        [("tu_c", "f", {})],
        "tool_use",
        "tool_arguments_invalid",
    ),
    ("audio", [delta(audio={"data": "AAAA"}), delta(audio={"data": "AAAA"}), finish(), DONE], [], "end_turn", "content_dropped"),
]


@pytest.mark.parametrize(
    ("frames", "wanted", "stop", "code"), [case[1:] for case in REPAIRED], ids=[case[0] for case in REPAIRED]
)
def test_what_is_repaired_is_said(frames: list[Any], wanted: list[Any], stop: str, code: str) -> None:
    assembler = play(frames)
    assert said(assembler) == wanted
    assert assembler.stop_reason == stop
    assert [warning.code for warning in assembler.warnings] == [code]


def test_a_provider_known_to_leave_the_end_marker_out() -> None:
    assert play([HELLO, finish()], end_marker=False).warnings == []


def test_a_call_cut_by_the_limit_is_not_shown_as_whole() -> None:
    assembler = play([HELLO, calls(part(0, "c", "f", '{"a')), finish("length"), DONE])
    assert said(assembler) == ["Hello"]
    assert assembler.stop_reason == "max_tokens"
    assert "tool_call_truncated" in [warning.code for warning in assembler.warnings]


USAGE: list[tuple[str, list[Any]]] = [
    ("a chunk without choices", [HELLO, finish(), {"choices": [], "usage": COUNTS}, DONE]),
    ("the finish chunk", [HELLO, finish(usage=COUNTS), DONE]),
    ("no end marker", [HELLO, finish(), {"choices": [], "usage": COUNTS}]),
    ("inside of a choice", [HELLO, {"choices": [{"delta": {}, "finish_reason": "stop", "usage": COUNTS}]}, DONE]),
    ("three times", [HELLO, finish(usage=COUNTS, x_groq={"id": "r", "usage": COUNTS}), {"choices": [], "usage": COUNTS}, DONE]),
    ("only beside the chunk", [HELLO, finish(x_groq={"usage": COUNTS}), DONE]),
    (
        "growing",
        [
            {**HELLO, "usage": {"prompt_tokens": 10, "completion_tokens": 1}},
            finish(usage=COUNTS),
            {"choices": [], "usage": {}},
            DONE,
        ],
    ),
    (
        "numbers as text and fractions",
        [HELLO, finish(usage={"prompt_tokens": "10", "completion_tokens": 4.0, "prompt_tokens_details": []}), DONE],
    ),
]


@pytest.mark.parametrize("frames", [case[1] for case in USAGE], ids=[case[0] for case in USAGE])
def test_usage_is_never_added_up(frames: list[Any]) -> None:
    assert play(frames).usage == COUNTED


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 30, "audio_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": 8},
            },
            Usage(6, 20, 64, 30, 8, 120),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None, "completion_tokens_details": None},
            Usage(9, 2, total_tokens=11),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4},
            Usage(4, 2, 5, total_tokens=11),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 5}, Usage(4, 2, 5, total_tokens=11)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 1, "cache_creation_input_tokens": 5},
            },
            Usage(3, 2, 1, 5, None, 11),
        ),
        # The server's own total says that reasoning is not in completion_tokens.
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "total_tokens": 18,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(9, 9, 0, 0, 7, 18),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": -2, "prompt_tokens_details": {"cached_tokens": 5}},
            Usage(0, 0, 5, total_tokens=5),
        ),
    ],
)
def test_usage_is_disjoint(counts: dict[str, Any], wanted: Usage) -> None:
    usage = play([HELLO, finish(usage=counts), DONE]).usage
    assert usage == wanted
    assert usage is not None
    parts = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_creation_input_tokens)
    assert usage.total_tokens == sum(parts)


def test_no_usage_is_an_estimate() -> None:
    usage = play([HELLO, finish(), DONE]).usage
    assert usage is not None
    assert usage.estimated


FAILED: list[tuple[str, list[Any], str, int | None, list[Any]]] = [
    ("cut short", [HELLO], "network", None, ["Hello"]),
    ("nothing at all", [], "network", None, []),
    ("an end marker alone", [DONE], "server_error", None, []),
    (
        "an error frame",
        [HELLO, {"error": {"message": "m", "type": "server_error", "code": None}}],
        "server_error",
        None,
        ["Hello"],
    ),
    (
        "an error event",
        [HELLO, ("error", {"error": {"message": "m", "code": "rate_limit_exceeded"}})],
        "rate_limit",
        None,
        ["Hello"],
    ),
    ("a flat error event", [("error", {"message": "m", "code": "context_length_exceeded"})], "context_overflow", None, []),
    ("an error event in words", [("error", b"upstream rate limit exceeded")], "rate_limit", 200, []),
    ("an error event that says nothing", [HELLO, ("error", "null")], "server_error", 200, ["Hello"]),
    ("an error beside content", [{**HELLO, "error": {"code": 502, "message": "m"}}], "server_error", 502, ["Hello"]),
    (
        "an error after a whole answer",
        [HELLO, finish("length"), {"error": {"code": 400, "message": "m"}, "choices": []}, DONE],
        "invalid_request",
        400,
        ["Hello"],
    ),
    (
        "an error of a choice",
        [{"choices": [{"delta": {"content": "a"}, "error": {"code": 429, "message": "m"}}]}],
        "rate_limit",
        429,
        ["a"],
    ),
    ("an error that is text", [{"error": "boom"}], "server_error", None, []),
    ("an error beside the chunk", [{**HELLO, "x_groq": {"error": "over_capacity"}}], "server_error", None, ["Hello"]),
    ("an error by number", [{"base_resp": {"status_code": 1008, "status_msg": "m"}}], "quota_exceeded", None, []),
    ("an error in an array", [[{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}]], "rate_limit", 429, []),
    ("no JSON", [HELLO, "<html><title>Bad</title></html>"], "server_error", 200, ["Hello"]),
    ("a number without end", [HELLO, '{"choices":[{"index":1' + "0" * 9_000 + "}]}"], "server_error", 200, ["Hello"]),
    ("no object", [HELLO, '"text"'], "server_error", 200, ["Hello"]),
    ("nested too deeply", [HELLO, "[" * 100_000], "server_error", 200, ["Hello"]),
    (
        "an open call is closed",
        [calls(part(0, "c", "f", '{"a')), {"error": {"message": "m"}}],
        "server_error",
        None,
        [("tu_c", "f", {})],
    ),
]


@pytest.mark.parametrize(
    ("frames", "error_class", "status", "kept"), [case[1:] for case in FAILED], ids=[case[0] for case in FAILED]
)
def test_failures(frames: list[Any], error_class: str, status: int | None, kept: list[Any]) -> None:
    assembler = Assembler("msg_1", "openai:m", "openai")
    decoder = WIRE.stream_decoder(assembler, spec())

    with pytest.raises(ProviderFailure) as caught:
        feed_all(decoder, frames)
    assert (caught.value.error_class, caught.value.provider_status) == (error_class, status)
    assert "; " in caught.value.message
    assembler.complete("error")
    assert said(assembler) == kept


@pytest.mark.parametrize(
    ("frame", "alive"),
    [
        (HELLO, True),
        (delta(reasoning="t"), True),
        (delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]), True),
        (calls(part(0, "c", "f", "")), True),
        (finish(), True),
        ({"choices": [], "usage": COUNTS}, True),
        ({"choices": []}, False),
        (delta(role="assistant", content=""), False),
        ({"type": "ping"}, False),
        ("", False),
    ],
)
def test_signs_of_life(frame: Any, alive: bool) -> None:
    decoder = WIRE.stream_decoder(Assembler("msg_1", "openai:m", "openai"), spec())
    assert decoder.feed("", encoded(frame)) is alive


def test_the_model_that_served_is_told() -> None:
    assert play([{**HELLO, "model": ""}, {**finish(), "model": "m-2026"}, DONE]).served_model == "m-2026"
