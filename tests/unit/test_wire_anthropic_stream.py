"""Streams of the Messages wire: the grammar, and what servers do to it."""

import json
from typing import Any

import pytest
from tests.harness.messages_wire import assembler, body_of, events, frames_of, play, sdk_content, sdk_message, spec, wire_content

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import Quirks
from modeld.providers.wire.anthropic_messages import WIRE
from modeld_protocol.content import OpaqueBlock, TextBlock, ThinkingBlock
from modeld_protocol.events import ThinkingDelta, ToolUseInputDelta
from modeld_protocol.usage import Usage

USAGE = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0}


def start(**more: Any) -> dict[str, Any]:
    message = {"id": "msg_p", "type": "message", "role": "assistant", "model": "m-1-served", "content": [], "stop_reason": None}
    return {"type": "message_start", "message": {**message, "stop_sequence": None, "usage": USAGE, **more}}


def opened(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}


def delta(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def closed(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def stop(reason: str | None = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    ending = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": ending, "usage": {"output_tokens": 9, **usage}}, {"type": "message_stop"}]


def said(index: int, words: str) -> list[dict[str, Any]]:
    return [opened(index, "text", text=""), delta(index, "text_delta", text=words), closed(index)]


PING = {"type": "ping"}
TOOL = {"id": "toolu_1", "name": "f", "input": {}}

# name: events between start and stop, stop reason, content in the wire's terms, warnings. The SDK has to agree on the content.
STREAMS: dict[str, tuple[list[dict[str, Any]], str, list[Any], list[str]]] = {
    "words": (said(0, "Hi"), "end_turn", [("text", "Hi", 0)], []),
    "nothing": ([], "refusal", [], []),
    "pings and the unknown": (
        [PING, opened(0, "text", text=""), PING, {"type": "tea_time", "index": 0}, delta(0, "text_delta", text="x"), closed(0)],
        "end_turn",
        [("text", "x", 0)],
        [],
    ),
    "thinking, signed": (
        [
            opened(0, "thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="a"),
            delta(0, "thinking_delta", thinking="b"),
            delta(0, "signature_delta", signature="s=="),
            closed(0),
            *said(1, "x"),
        ],
        "end_turn",
        [("thinking", "ab", "s=="), ("text", "x", 0)],
        [],
    ),
    "thinking without words": (
        [opened(0, "thinking", thinking="", signature=""), delta(0, "signature_delta", signature="s"), closed(0), *said(1, "x")],
        "end_turn",
        [("thinking", "", "s"), ("text", "x", 0)],
        [],
    ),
    "redacted thinking": (
        [opened(0, "redacted_thinking", data="d=="), closed(0), *said(1, "x")],
        "end_turn",
        [("redacted_thinking", "d=="), ("text", "x", 0)],
        [],
    ),
    "a call": (
        [
            opened(0, "tool_use", **TOOL),
            delta(0, "input_json_delta", partial_json=""),
            PING,
            delta(0, "input_json_delta", partial_json='{"a": '),
            delta(0, "input_json_delta", partial_json="1}"),
            closed(0),
        ],
        "tool_use",
        [("tool_use", "toolu_1", "f", {"a": 1})],
        [],
    ),
    "a call without input": (
        [opened(0, "tool_use", **TOOL), delta(0, "input_json_delta", partial_json=""), closed(0)],
        "tool_use",
        [("tool_use", "toolu_1", "f", {})],
        [],
    ),
    "a call told at once": (
        [opened(0, "tool_use", **{**TOOL, "input": {"a": [1]}}), closed(0)],
        "tool_use",
        [("tool_use", "toolu_1", "f", {"a": [1]})],
        [],
    ),
    "a hosted tool": (
        [
            opened(0, "server_tool_use", id="srvtoolu_1", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json='{"query":'),
            delta(0, "input_json_delta", partial_json='"x"}'),
            closed(0),
            opened(1, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[]),
            closed(1),
            *said(2, "x"),
        ],
        "pause_turn",
        [("server_tool_use", "srvtoolu_1", {"query": "x"}), ("web_search_tool_result", None, None), ("text", "x", 0)],
        [],
    ),
}


@pytest.mark.parametrize(("between", "reason", "content", "warnings"), STREAMS.values(), ids=STREAMS.keys())
def test_stream(between: list[dict[str, Any]], reason: str, content: list[Any], warnings: list[str]) -> None:
    frames = events(start(), *between, *stop(reason))
    found = play(frames)
    assert wire_content(found.content) == content
    assert sdk_content(sdk_message(body_of(frames), stream=True)) == content
    assert [warning.code for warning in found.warnings] == warnings
    assert found.served_model == "m-1-served"
    assert found.usage == Usage(10, 9, 5, 0, None, 24)


# Things that the SDK gives up on, or reads otherwise, and that a daemon has to survive.
ODD: dict[str, tuple[list[dict[str, Any]], str, list[Any], list[str]]] = {
    "interleaved blocks": (
        [
            opened(0, "text", text=""),
            opened(1, "tool_use", **TOOL),
            delta(1, "input_json_delta", partial_json='{"a":'),
            delta(0, "text_delta", text="x"),
            delta(1, "input_json_delta", partial_json="1}"),
            closed(1),
            closed(0),
        ],
        "tool_use",
        [("text", "x", 0), ("tool_use", "toolu_1", "f", {"a": 1})],
        [],
    ),
    "no start of a block": ([delta(0, "text_delta", text="x"), closed(0)], "end_turn", [("text", "x", 0)], []),
    "no end of a block": (
        [opened(0, "text", text="a"), opened(1, "tool_use", **{**TOOL, "input": {"b": 1}})],
        "tool_use",
        [("text", "a", 0), ("tool_use", "toolu_1", "f", {"b": 1})],
        [],
    ),
    "content in a block's start": (
        [opened(0, "thinking", thinking="t", signature="s"), closed(0), opened(1, "text", text="x"), closed(1)],
        "end_turn",
        [("thinking", "t", "s"), ("text", "x", 0)],
        [],
    ),
    "input said twice": (
        [opened(0, "tool_use", **{**TOOL, "input": {"a": 1}}), delta(0, "input_json_delta", partial_json='{"a":1}'), closed(0)],
        "tool_use",
        [("tool_use", "toolu_1", "f", {"a": 1})],
        [],
    ),
    "input that is no object": (
        [opened(0, "tool_use", **TOOL), delta(0, "input_json_delta", partial_json='{"a'), closed(0)],
        "tool_use",
        [("tool_use", "toolu_1", "f", {})],
        ["tool_arguments_invalid"],
    ),
    "a call that the limit cut": (
        [*said(0, "x"), opened(1, "tool_use", **TOOL), delta(1, "input_json_delta", partial_json='{"a'), closed(1)],
        "max_tokens",
        [("text", "x", 0)],
        ["tool_arguments_invalid", "tool_call_truncated"],
    ),
    "an input of half a hosted call": (
        [
            opened(0, "server_tool_use", id="s", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json='{"q'),
            closed(0),
        ],
        "end_turn",
        [("server_tool_use", "s", {})],
        [],
    ),
    "a compaction": (
        [
            opened(0, "compaction", content=None),
            delta(0, "compaction_delta", content="su", encrypted_content="e"),
            delta(0, "compaction_delta", content="m"),
            closed(0),
        ],
        "compaction",
        [("compaction", None, None)],
        [],
    ),
    "a message begun again": (
        [
            *said(0, "x"),
            opened(1, "tool_use", **TOOL),
            delta(1, "input_json_delta", partial_json='{"a'),
            start(),
            *said(0, "y"),
            opened(1, "tool_use", **{**TOOL, "id": "toolu_2"}),
            delta(1, "input_json_delta", partial_json="{}"),
            closed(1),
        ],
        "tool_use",
        [("text", "x", 0), ("text", "y", 0), ("tool_use", "toolu_2", "f", {})],
        ["tool_arguments_invalid", "tool_call_truncated"],
    ),
    "a reason nobody knows": (said(0, "x"), "new_reason", [("text", "x", 0)], []),
    "a block of no kind": ([opened(0, ""), closed(0), closed(7)], "end_turn", [], []),
    "nulls": ([delta(0, "text_delta", text=None), delta(0, "thinking_delta"), delta(1, "signature_delta")], "end_turn", [], []),
}


@pytest.mark.parametrize(("between", "reason", "content", "warnings"), ODD.values(), ids=ODD.keys())
def test_odd_stream(between: list[dict[str, Any]], reason: str, content: list[Any], warnings: list[str]) -> None:
    found = play(events(start(), *between, *stop(reason)))
    assert wire_content(found.content) == content
    assert [warning.code for warning in found.warnings] == warnings


def test_a_compaction_is_kept_whole() -> None:
    found = play(events(start(), *ODD["a compaction"][0], *stop("compaction")))
    kept = {"type": "compaction", "content": "sum", "encrypted_content": "e"}
    assert found.content == [OpaqueBlock({"provider": "anthropic", "model": "m-1", "block": kept})]
    assert found.stop_reason == "pause"


@pytest.mark.parametrize(
    ("reason", "canonical"),
    [
        ("end_turn", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_use"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "max_tokens"),
        ("compaction", "pause"),
        ("tomorrow", "end_turn"),
    ],
)
def test_stop_reasons(reason: str, canonical: str) -> None:
    assert play(events(start(), *said(0, "x"), *stop(reason))).stop_reason == canonical


def test_the_stop_sequence_is_kept() -> None:
    ending = {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}}
    assert play(events(start(), *said(0, "x"), ending, {"type": "message_stop"})).stop_sequence == "END"


def test_citations_go_with_their_text() -> None:
    citation = {"type": "char_location", "cited_text": "c", "document_index": 0}
    frames = events(
        start(),
        opened(0, "text", text="", citations=[]),
        delta(0, "citations_delta", citation=citation),
        delta(0, "text_delta", text="x"),
        closed(0),
        *said(1, "y"),
        *stop(),
    )
    raw = {"provider": "anthropic", "model": "m-1", "citations": [citation]}
    assert play(frames).content == [TextBlock("x", raw), TextBlock("y")]


def test_only_the_signature_carries_opaque_state() -> None:
    found = play(events(start(), *STREAMS["thinking, signed"][0], *stop()))
    raw = {"provider": "anthropic", "model": "m-1", "signature": "s=="}
    thoughts = [(event.text, event.provider_raw) for event in found.take() if isinstance(event, ThinkingDelta)]
    assert thoughts == [("a", None), ("b", None), ("", raw)]
    assert found.content[0] == ThinkingBlock("ab", raw)


def test_fragments_are_literal() -> None:
    found = play(events(start(), *STREAMS["a call"][0], *stop("tool_use")))
    assert [event.partial_json for event in found.take() if isinstance(event, ToolUseInputDelta)] == ['{"a": ', "1}"]


@pytest.mark.parametrize(
    ("first", "later", "wanted"),
    [
        (USAGE, {"output_tokens": 9}, Usage(10, 9, 5, 0, None, 24)),
        (USAGE, {"output_tokens": 9, "input_tokens": 12, "cache_read_input_tokens": None}, Usage(12, 9, 5, 0, None, 26)),
        (
            {
                "input_tokens": 1,
                "output_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            },
            {"output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}},
            Usage(1, 2, 0, 7, 1, 10, cache_creation_1h_input_tokens=4),
        ),
        (USAGE, None, Usage(10, 1, 5, 0, None, 16, estimated=True)),
        (None, None, Usage(estimated=True)),
        ({"input_tokens": "x"}, {"output_tokens": []}, Usage(estimated=True)),
    ],
)
def test_usage_is_cumulative(first: Any, later: Any, wanted: Usage) -> None:
    ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": later}
    assert play(events(start(usage=first), *said(0, "x"), ending, {"type": "message_stop"})).usage == wanted


def test_content_that_message_start_holds() -> None:
    found = play(events(start(content=[{"type": "text", "text": "early"}]), *said(0, "late"), *stop()))
    assert wire_content(found.content) == [("text", "early", 0), ("text", "late", 0)]


def test_a_stream_that_has_no_start_of_message() -> None:
    found = play(events(*said(0, "x"), *stop()))
    assert wire_content(found.content) == [("text", "x", 0)]


@pytest.mark.parametrize("event", ["", "content_block_delta"])
def test_names_may_be_in_the_event_or_in_the_data(event: str) -> None:
    found = assembler()
    decoder = WIRE.stream_decoder(found, spec())
    payload = {"index": 0, "delta": {"type": "text_delta", "text": "x"}}
    assert decoder.feed(event, json.dumps(payload).encode())
    for kind, more in (("message_delta", {"delta": {"stop_reason": "end_turn"}}), ("message_stop", {})):
        assert decoder.feed(kind, json.dumps(more).encode())
    assert wire_content(found.content) == [("text", "x", 0)]


def test_signs_of_life() -> None:
    decoder = WIRE.stream_decoder(assembler(), spec())
    feed = [(name, decoder.feed(name, data)) for name, data in events(start(), PING, {"type": "new"}, *said(0, "x"), *stop())]
    assert [name for name, alive in feed if not alive] == ["ping", "new"]
    assert decoder.done
    assert not decoder.feed("data", b"[DONE]")
    assert not decoder.feed("content_block_delta", b'{"delta": {"type": "text_delta", "text": "late"}}')
    decoder.end()


@pytest.mark.parametrize("data", [b"", b"[DONE]", b" [DONE]\n"])
def test_markers_of_other_wires_are_ignored(data: bytes) -> None:
    assert not WIRE.stream_decoder(assembler(), spec()).feed("", data)


@pytest.mark.parametrize(
    ("frames", "error_class"),
    [
        (events(start(), *said(0, "x")), "network"),
        (events(start(), *said(0, "x"), stop()[0]), "network"),
        ([], "network"),
        (events(start(), *said(0, "x"), *stop(None)), "server_error"),
        ([("", b"{")], "server_error"),
        ([("", b"[1]")], "server_error"),
        ([("content_block_delta", b'{"index": "x"}')], "server_error"),
        ([("content_block_start", b"{}")], "server_error"),
        ([("content_block_start", b'{"content_block": [' + b"[" * 3_000)], "server_error"),
        ([("message_start", b'{"message": 1}')], "server_error"),
    ],
)
def test_streams_that_break(frames: list[tuple[str, bytes]], error_class: str) -> None:
    with pytest.raises(ProviderFailure) as caught:
        play(frames)
    assert caught.value.error_class == error_class


def test_a_provider_that_leaves_the_end_marker_out() -> None:
    frames = events(start(), *said(0, "x"), stop()[0])
    assert play(frames, spec(Quirks(end_marker=False))).stop_reason == "end_turn"
    with pytest.raises(ProviderFailure):
        play(frames[:-1], spec(Quirks(end_marker=False)))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [(b'"a\\ud83d"', "a\ufffd"), (b'"\\ud83d\\ude00"', "😀"), (b'"\\\\ud83d"', "\\ud83d"), (b'"\xff"', "\ufffd")],
)
def test_broken_text_is_repaired(raw: bytes, wanted: str) -> None:
    frame = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%b}}' % raw
    found = play([("content_block_delta", frame), *events(*stop())])
    assert found.content == [TextBlock(wanted)]
    assert [warning.code for warning in found.warnings] == ([] if "\ufffd" not in wanted else ["stream_repaired"])


def test_a_whole_answer_says_what_its_stream_says() -> None:
    content = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "x", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
    ]
    message = {"type": "message", "model": "m-1-served", "content": content, "stop_reason": "max_tokens", "usage": USAGE}
    found = assembler()
    WIRE.decode(b"\n  \n" + json.dumps(message).encode(), found)
    streamed = play(events(start(content=content), *stop("max_tokens")))
    assert found.content == streamed.content
    assert [type(block).__name__ for block in found.content][-2:] == ["ToolUseBlock", "ToolUseBlock"]
    assert (found.stop_reason, found.served_model, found.usage) == ("max_tokens", "m-1-served", Usage(10, 1, 5, 0, None, 16))
    assert found.warnings == []


def test_a_caller_of_its_own_is_kept() -> None:
    caller = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    found = play(events(start(), opened(0, "tool_use", **TOOL, caller=caller, toolset_name="t"), closed(0), *stop("tool_use")))
    raw = {"provider": "anthropic", "model": "m-1", "caller": caller, "toolset_name": "t"}
    assert found.content[0].provider_raw == raw  # type: ignore[union-attr]


def test_every_split_gives_the_same_events() -> None:
    frames = events(start(), *STREAMS["thinking, signed"][0], *said(2, "é 😀"), *stop())
    body = body_of(frames)
    whole = play(frames_of(body)).take()
    for cut in range(len(body)):
        assert play(frames_of(body, [cut])).take() == whole
