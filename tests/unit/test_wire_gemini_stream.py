"""Answers of the Gemini wire, streamed and whole: parts, signatures, calls, ends, counts, and what servers do besides."""

import json
from typing import Any

import pytest
from tests.harness.gemini_wire import ORIGIN, STOP, call, chunk, decode, play, spec

from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.gemini import WIRE
from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    FileBlock,
    ImageBlock,
    OpaqueBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from modeld_protocol.events import TextDelta, ThinkingDelta, ToolUseInputDelta
from modeld_protocol.model import DiscoveredModel, ModelLimits

SIG, SIG2 = "c2lnbmF0dXJl", "c2lnbmF0dXJlMg=="
CODE = {"executableCode": {"language": "PYTHON", "code": "1", "id": "x"}, "thoughtSignature": SIG}
OUTCOME = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}


def thought(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "thought": True, **more}


def signed(text: str, signature: str = SIG) -> dict[str, Any]:
    return {"text": text, "thoughtSignature": signature}


def data(media_type: str, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": "AAAA"}, **more}


def raw(**more: Any) -> dict[str, Any]:
    return {**ORIGIN, **more}


def tool(name: str, input: Any, number: int = 0, **more: Any) -> ToolUseBlock:
    id = f"tu_{more['id']}" if "id" in more else f"tu_1_{number}"
    return ToolUseBlock(id, name, input, "grp_1", raw(**more) if more else None)


# name: parts of each chunk, content
CONTENT: dict[str, tuple[list[list[Any]], list[Any]]] = {
    "text in pieces": ([["Hel"], ["lo", ""], [" there"]], [TextBlock("Hello there")]),
    "thoughts, then text": (
        [[thought("a")], [thought("b")], ["c"]],
        [ThinkingBlock("ab", ORIGIN), TextBlock("c")],
    ),
    "thoughts between words": (
        [["a"], [thought("b"), "c"]],
        [TextBlock("a"), ThinkingBlock("b", ORIGIN), TextBlock("c")],
    ),
    "a signed thought": (
        [[thought("a", thoughtSignature=SIG)], [thought("b")]],
        [ThinkingBlock("a", raw(thoughtSignature=SIG)), ThinkingBlock("b", ORIGIN)],
    ),
    "a signature on empty text at the end": (
        [["Mid"], ["west"], [signed("")]],
        [TextBlock("Midwest", raw(thoughtSignature=SIG, signed_from=7))],
    ),
    "a signature on the last piece": (
        [["Mid"], [signed("west")]],
        [TextBlock("Midwest", raw(thoughtSignature=SIG, signed_from=3))],
    ),
    "a signature on the whole": ([[signed("Midwest")]], [TextBlock("Midwest", raw(thoughtSignature=SIG))]),
    "what follows a signature is another part": (
        [[signed("a")], ["b"], [signed("c", SIG2)]],
        [TextBlock("a", raw(thoughtSignature=SIG)), TextBlock("bc", raw(thoughtSignature=SIG2, signed_from=1))],
    ),
    "two signatures on empty text": (
        [[signed("")], [signed("", SIG2)]],
        [TextBlock("", raw(thoughtSignature=SIG)), TextBlock("", raw(thoughtSignature=SIG2))],
    ),
    "a signature behind thoughts": (
        [[thought("a")], [signed("")]],
        [ThinkingBlock("a", ORIGIN), TextBlock("", raw(thoughtSignature=SIG))],
    ),
    "calls": (
        [["Look:"], [call("weather", {"city": "Zürich"}, signature=SIG), call("weather", {"city": "Oslo"})], [""]],
        [
            TextBlock("Look:"),
            tool("weather", {"city": "Zürich"}, thoughtSignature=SIG),
            tool("weather", {"city": "Oslo"}, 1),
        ],
    ),
    "a call with an id": ([[call("f", {}, id="fc.1")]], [tool("f", {}, id="fc.1")]),
    "calls without arguments": (
        [[call("f"), {"functionCall": {"name": "g", "args": None}}]],
        [tool("f", {}), tool("g", {}, 1)],
    ),
    "a call behind a signature": (
        [[signed("")], [call("f", {"a": 1})], [signed("")]],
        [TextBlock("", raw(thoughtSignature=SIG)), tool("f", {"a": 1}), TextBlock("", raw(thoughtSignature=SIG))],
    ),
    "hosted tools": (
        [[CODE, {"text": ""}], [OUTCOME], ["It is 1."]],
        [OpaqueBlock(raw(part=CODE)), OpaqueBlock(raw(part=OUTCOME)), TextBlock("It is 1.")],
    ),
    "media": (
        [[data("image/png"), data("audio/wav"), data("application/pdf")]],
        [
            ImageBlock(Base64Source("AAAA"), "image/png"),
            AudioBlock(Base64Source("AAAA"), "audio/wav"),
            FileBlock(Base64Source("AAAA"), "application/pdf"),
        ],
    ),
    "a signed image": (
        [["See:"], [data("image/png", thoughtSignature=SIG)]],
        [TextBlock("See:"), ImageBlock(Base64Source("AAAA"), "image/png"), OpaqueBlock(raw(thoughtSignature=SIG))],
    ),
    "an image that was a thought": (
        [[data("image/png", thought=True)]],
        [OpaqueBlock(raw(part=data("image/png", thought=True)))],
    ),
    "parts that nobody knows": ([[{"newPart": {"x": 1}}, {}]], [OpaqueBlock(raw(part={"newPart": {"x": 1}}))]),
    "a streamed call": (
        [
            [call("f", willContinue=True, signature=SIG)],
            [
                {
                    "functionCall": {
                        "partialArgs": [{"jsonPath": "$.id", "stringValue": "A", "willContinue": True}],
                        "willContinue": True,
                    }
                }
            ],
            [{"functionCall": {"partialArgs": [{"jsonPath": "$.id", "stringValue": "B"}], "willContinue": True}}],
            [{"functionCall": {"partialArgs": [{"jsonPath": "$.n[1].x", "numberValue": 2.5}], "willContinue": True}}],
            [{"functionCall": {"partialArgs": [{"jsonPath": "$['a b'].ok", "boolValue": False}], "willContinue": True}}],
            [{"functionCall": {"partialArgs": [{"jsonPath": "$.none", "nullValue": "NULL_VALUE"}], "willContinue": True}}],
            [{"functionCall": {"partialArgs": [{"jsonPath": "$.l[99999999]", "numberValue": 1}, {"jsonPath": "$"}]}}],
            [call("g", {"a": 1}, willContinue=True), "Done."],
        ],
        [
            tool(
                "f",
                {"id": "AB", "n": [None, {"x": 2.5}], "a b": {"ok": False}, "none": None, "l": []},
                thoughtSignature=SIG,
            ),
            tool("g", {"a": 1}, 1),
            TextBlock("Done."),
        ],
    ),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_streamed_in_an_array_and_whole(name: str) -> None:
    chunks, content = CONTENT[name]
    frames = [*(chunk(*parts) for parts in chunks), STOP]
    streamed = play(frames)
    assert streamed.content == content
    assert streamed.warnings == []
    assert streamed.stop_reason == ("tool_use" if any(isinstance(block, ToolUseBlock) for block in content) else "end_turn")
    in_array = decode(json.dumps(frames, indent=2).encode())
    assert (in_array.events, in_array.terminal_event()) == (streamed.events, streamed.terminal_event())
    whole = decode(chunk(*(part for parts in chunks for part in parts), finish="STOP"))
    assert (whole.events, whole.terminal_event()) == (streamed.events, streamed.terminal_event())


def test_arguments_are_the_provider_s_own_text_without_its_layout() -> None:
    args = b'{ "b" : 1.50,\n "a":[1, 12345678901234567890123]}'
    body = json.dumps(chunk(call("f", "ARGS"), finish="STOP")).encode().replace(b'"ARGS"', args)
    found = [event.partial_json for event in decode(body).events if isinstance(event, ToolUseInputDelta)]
    assert found == ['{"b":1.50,"a":[1,12345678901234567890123]}']


def test_the_first_thought_says_whose_it_is() -> None:
    events = play([chunk(thought("a")), chunk(thought("b")), STOP]).events
    assert [(event.text, event.provider_raw) for event in events if isinstance(event, ThinkingDelta)] == [
        ("a", ORIGIN),
        ("b", None),
    ]


# ---- the end


@pytest.mark.parametrize(
    ("reason", "stop", "warned"),
    [
        ("STOP", "end_turn", False),
        ("MAX_TOKENS", "max_tokens", False),
        ("SAFETY", "content_filter", True),
        ("PROHIBITED_CONTENT", "content_filter", True),
        ("OTHER", "error", True),
        (1, "end_turn", False),
        (2, "max_tokens", False),
        (3, "content_filter", True),
        (99, "error", True),
        ("BRAND_NEW", "end_turn", True),
    ],
)
def test_how_answers_end(reason: Any, stop: str, warned: bool) -> None:
    for found in (play([chunk("a"), chunk(finish=reason)]), decode(chunk("a", finish=reason))):
        assert found.stop_reason == stop
        assert bool(found.warnings) == warned
        assert found.content == [TextBlock("a")]


def test_a_finish_reason_in_the_middle_is_not_the_end() -> None:
    found = play([chunk("a", finish="STOP"), chunk("b", finish="STOP"), chunk("c", finish="MAX_TOKENS")])
    assert (found.content, found.stop_reason) == ([TextBlock("abc")], "max_tokens")


def test_a_stream_that_stops_short() -> None:
    for chunks in ([], [chunk("a")], [{"usageMetadata": {"promptTokenCount": 1}}], [b"", b"[DONE]", b"null", b"[]"]):
        with pytest.raises(ProviderFailure) as caught:
            play(chunks)
        assert caught.value.error_class == "network"


def test_content_without_parts_and_parts_without_content() -> None:
    for candidate in ({"content": {"role": "model"}}, {"content": {}}, {}, {"content": {"parts": []}}, {"content": None}):
        found = decode({"candidates": [{**candidate, "finishReason": "STOP"}]})
        assert (found.content, found.stop_reason) == ([], "end_turn")


def test_a_blocked_prompt() -> None:
    feedback = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 7}}
    for found in (decode(feedback), play([feedback])):
        assert (found.content, found.stop_reason) == ([], "content_filter")
        assert [warning.message for warning in found.warnings] == ["the provider blocked the prompt (PROHIBITED_CONTENT)"]
        assert found.usage is not None
        assert found.usage.input_tokens == 7


def test_an_answer_without_a_reason_is_whole_where_its_body_is() -> None:
    for body in (chunk("a"), [chunk("a")]):
        found = decode(body)
        assert (found.content, found.stop_reason) == ([TextBlock("a")], "end_turn")
        assert [warning.code for warning in found.warnings] == ["stream_repaired"]


@pytest.mark.parametrize(
    ("reason", "error_class"),
    [
        ("MALFORMED_FUNCTION_CALL", "server_error"),
        ("UNEXPECTED_TOOL_CALL", "server_error"),
        ("TOO_MANY_TOOL_CALLS", "server_error"),
        ("MISSING_THOUGHT_SIGNATURE", "thinking_signature_invalid"),
        (9, "server_error"),
    ],
)
def test_answers_that_came_to_nothing(reason: Any, error_class: str) -> None:
    body = {"candidates": [{"finishReason": reason, "finishMessage": "Malformed function call: f("}]}
    for read in (decode, lambda one: play([one])):
        with pytest.raises(ProviderFailure, match="f\\(; try again") as caught:
            read(body)
        assert caught.value.error_class == error_class
        assert caught.value.provider_message == "Malformed function call: f("


def test_a_call_of_a_tool_that_was_not_offered_can_be_answered() -> None:
    found = decode(chunk(call("nope", {}), finish="UNEXPECTED_TOOL_CALL"))
    assert (found.content, found.stop_reason) == ([tool("nope", {})], "error")


def test_an_answer_to_be_continued() -> None:
    body = chunk("Once", finish="CONTINUATION")
    body["candidates"][0]["continuationToken"] = "dG9rZW4="
    found = decode(body)
    assert found.stop_reason == "pause"
    assert found.content == [TextBlock("Once"), OpaqueBlock(raw(continuationToken="dG9rZW4="))]


# ---- counts


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({"promptTokenCount": 10, "candidatesTokenCount": 3}, (10, 3, 0, None)),
        (
            {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 3, "thoughtsTokenCount": 5},
            (6, 8, 4, 5),
        ),
        ({"promptTokenCount": 10, "toolUsePromptTokenCount": 7}, (17, 0, 0, None)),
        ({"promptTokenCount": 1, "cachedContentTokenCount": 4}, (0, 0, 4, None)),
        ({"promptTokenCount": "10", "candidatesTokenCount": 3.0}, (10, 3, 0, None)),
        ({"thoughtsTokenCount": -5, "promptTokenCount": -1}, (0, 0, 0, 0)),
    ],
)
def test_counts_are_disjoint(wire: dict[str, Any], usage: tuple[Any, ...]) -> None:
    for found in (
        decode(chunk("a", finish="STOP", usageMetadata=wire)),
        play([chunk("a", usageMetadata={}), {"usageMetadata": wire}, STOP]),
    ):
        seen = found.usage
        assert seen is not None
        assert (seen.input_tokens, seen.output_tokens, seen.cached_input_tokens, seen.reasoning_tokens) == usage
        assert seen.total_tokens == sum(usage[:3])
        assert not seen.estimated


def test_the_last_counts_count_also_of_a_stream_that_breaks() -> None:
    counts = [{"promptTokenCount": 5, "candidatesTokenCount": number} for number in (1, 2)]
    found = play(
        [chunk("a", usageMetadata=one) for one in counts] + [{"usageMetadata": {"trafficType": "ON_DEMAND"}}], ends=False
    )
    found.complete("cancelled")
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (5, 2)
    silent = decode(chunk("a", finish="STOP", usageMetadata={"trafficType": "ON_DEMAND"}))
    assert silent.usage is not None
    assert silent.usage.estimated


def test_who_answered() -> None:
    found = play([chunk("a", modelVersion="gemini-3.8-flash-001"), chunk("b", modelVersion="other"), STOP])
    assert found.served_model == "gemini-3.8-flash-001"


# ---- what servers do besides

ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize("frame", [ERROR, [ERROR], {**chunk("b"), **ERROR}])
def test_an_error_in_the_stream(frame: Any) -> None:
    with pytest.raises(ProviderFailure) as caught:
        play([chunk("a"), frame])
    assert (caught.value.error_class, caught.value.provider_status) == ("server_error", 503)
    assert caught.value.provider_message == "The model is overloaded."


def test_nothing_follows_an_error() -> None:
    found = play([chunk("a")], ends=False)
    decoder = WIRE.stream_decoder(found, spec())
    with pytest.raises(ProviderFailure):
        decoder.feed("", json.dumps(ERROR).encode())
    assert decoder.done
    assert decoder.feed("", json.dumps(chunk("b")).encode()) is False
    decoder.end()


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"<html>", b"{", b"[", b"[]", b"{}", b"1", b'"x"', b"null", b'{"candidates":[]}', b"[1]"]
)
def test_bodies_that_are_no_answer(body: bytes) -> None:
    with pytest.raises(ProviderFailure) as caught:
        decode(body)
    assert caught.value.error_class == "server_error"


def test_signs_of_life() -> None:
    found = play([], ends=False)
    decoder = WIRE.stream_decoder(found, spec())
    feed = [
        (chunk("a"), True),
        (STOP, True),
        ({"usageMetadata": {"promptTokenCount": 1}}, True),
        ({"promptFeedback": {"blockReason": "OTHER"}}, True),
        ({"usageMetadata": {}}, False),
        ({"modelStatus": {}}, False),
        ({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]}, False),
    ]
    assert [decoder.feed("", json.dumps(frame).encode()) for frame, _ in feed] == [alive for _, alive in feed]
    decoder.end()
    assert found.content == [TextBlock("a")]


def test_broken_text_is_repaired() -> None:
    for body in (
        b'{"candidates":[{"content":{"parts":[{"text":"a\xff"}]},"finishReason":"STOP"}]}',
        b'{"candidates":[{"content":{"parts":[{"text":"a\\ud83d"}]},"finishReason":"STOP"}]}',
    ):
        for found in (decode(body), decode(b"[" + body + b"]"), play([body])):
            assert found.content == [TextBlock("a\ufffd")]
            assert [warning.code for warning in found.warnings] == ["stream_repaired"]


def test_members_of_other_types_count_as_absent() -> None:
    odd = {
        "candidates": [
            {"index": "0", "content": {"parts": ["x", {"text": "a", "thought": "no"}, {"text": 3}]}, "finishReason": ["STOP"]},
            7,
        ],
        "modelVersion": 3,
        "promptFeedback": [],
    }
    found = play([odd, STOP])
    assert [block for block in found.content if isinstance(block, TextBlock)] == [TextBlock("a")]
    assert found.stop_reason == "end_turn"


def test_a_call_without_a_name_is_left_out() -> None:
    found = play([chunk({"functionCall": {"args": {"a": 1}}}, {"functionCall": {}}), STOP])
    assert (found.content, [warning.code for warning in found.warnings]) == ([], ["stream_repaired"])


def test_arguments_that_are_no_object() -> None:
    found = play([chunk({"functionCall": {"name": "f", "args": "x"}}), STOP])
    assert found.content == [tool("f", {})]
    assert [warning.code for warning in found.warnings] == ["tool_arguments_invalid"]


def test_deltas_of_text() -> None:
    events = play([chunk("a"), chunk(signed("b")), chunk("c"), STOP]).events
    assert [(event.content_block_index, event.text) for event in events if isinstance(event, TextDelta)] == [
        (0, "a"),
        (0, "b"),
        (1, "c"),
    ]


# ---- the small endpoints


def test_models() -> None:
    body = {
        "models": [
            {"name": "models/gemini-x", "displayName": "X", "inputTokenLimit": 10, "outputTokenLimit": 5,
             "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]},
            {"name": "tunedModels/mine"},
            {"name": 3},
            "x",
        ],
        "nextPageToken": "next",
    }  # fmt: skip
    assert WIRE.decode_discover(json.dumps(body).encode(), "google") == (
        [
            DiscoveredModel("google:gemini-x", "google", "gemini-x", "X", ModelLimits(10, 5)),
            DiscoveredModel("google:tunedModels/mine", "google", "tunedModels/mine"),
        ],
        "next",
    )
    assert WIRE.decode_discover(b"{}", "google") == ([], None)
    assert WIRE.decode_count(b'{"totalTokens": 7}') == 7
    for body_ in (b"[]", b"<html>", json.dumps(ERROR).encode(), b'{"data": []}'):
        with pytest.raises(ProviderFailure):
            WIRE.decode_discover(body_, "google")
    for body_ in (b'{"totalTokens": "x"}', b'{"totalTokens": -1}', b"", json.dumps(ERROR).encode()):
        with pytest.raises(ProviderFailure):
            WIRE.decode_count(body_)
