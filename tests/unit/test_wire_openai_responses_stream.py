"""The Responses wire reads streams, plain and odd: content, opaque state, usage, signs of life."""

from typing import Any

import pytest
from tests.harness.responses_wire import (
    COUNTED,
    COUNTS,
    CREATED,
    HELLO,
    ORIGIN,
    SEARCH,
    added,
    arguments,
    call,
    delta,
    done,
    encoded,
    end,
    frame,
    message,
    new_assembler,
    play,
    reasoning,
    response,
    said,
    spec,
    state,
    summary,
    words,
)

from modeld.providers.spec import Quirks
from modeld.providers.wire.openai_responses import WIRE
from modeld_protocol.events import TextDelta, ThinkingDelta, ToolUseInputDelta
from modeld_protocol.usage import Usage

CONTENT: list[tuple[str, list[Any], list[Any], str]] = [
    ("text", [CREATED, *HELLO, end()], ["Hello"], "end_turn"),
    ("no names of events", [("", given) for given in [*HELLO, end()]], ["Hello"], "end_turn"),
    (
        "types in the event's name alone",
        [(given["type"], {name: value for name, value in given.items() if name != "type"}) for given in [*HELLO, end()]],
        ["Hello"],
        "end_turn",
    ),
    ("no deltas", [added(0, **message()), done(0, **message("Hello")), end()], ["Hello"], "end_turn"),
    (
        "finished items alone",
        [done(0, **reasoning("a")), done(1, **message("Hello")), done(2, **call(1)), end()],
        [("thinking", "a"), "Hello", ("tu_call_1", "f", {})],
        "tool_use",
    ),
    (
        "the last event alone",
        [end(reasoning("a"), message("Hello"), call(1, '{"a":1}'))],
        [("thinking", "a"), "Hello", ("tu_call_1", "f", {"a": 1})],
        "tool_use",
    ),
    ("a finished item that says more than its deltas", [*HELLO[:2], done(0, **message("Hello")), end()], ["Hello"], "end_turn"),
    ("deltas of an item that was never announced", [words("Hel"), words("lo"), end()], ["Hello"], "end_turn"),
    (
        "items that are never finished",
        [*HELLO[:3], added(1, **call(1, "")), arguments("{}", 1), end()],
        ["Hello", ("tu_call_1", "f", {})],
        "tool_use",
    ),
    (
        "no output indexes",
        [
            {name: value for name, value in given.items() if name != "output_index"}
            for given in [
                added(0, **call(1, "")),
                arguments('{"a"'),
                arguments(":1}"),
                done(0, **call(1, '{"a":1}')),
                *HELLO,
                end(),
            ]
        ],
        [("tu_call_1", "f", {"a": 1}), "Hello"],
        "tool_use",
    ),
    (
        "two parts",
        [
            added(0, **message()),
            frame("response.content_part.added", output_index=0, content_index=0),
            words("a"),
            frame("response.content_part.added", output_index=0, content_index=1),
            words("b", part=1),
            done(0, **message("a", "b")),
            end(),
        ],
        ["a", "b"],
        "end_turn",
    ),
    (
        "parts that nobody announced",
        [added(0, **message()), words("a"), words("b", part=1), done(0, **message("a", "b")), end()],
        ["a", "b"],
        "end_turn",
    ),
    (
        "a refusal",
        [
            added(0, **message()),
            delta("refusal", "No", content_index=0),
            delta("refusal", ".", content_index=0),
            done(0, **message({"type": "refusal", "refusal": "No."})),
            end(),
        ],
        [("refusal", "No.")],
        "refusal",
    ),
    (
        "words, then a refusal",
        [*HELLO[:3], done(0, **message("Hello", {"type": "refusal", "refusal": "No."})), end()],
        ["Hello", ("refusal", "No.")],
        "refusal",
    ),
    (
        "a call",
        [added(0, **call(1, "")), arguments('{"a"'), arguments(":1}"), done(0, **call(1, '{"a":1}')), end()],
        [("tu_call_1", "f", {"a": 1})],
        "tool_use",
    ),
    (
        "parallel calls, mixed",
        [
            added(0, **call(1, "")),
            added(1, **call(2, "")),
            arguments('{"a"', 0),
            arguments('{"b"', 1),
            arguments(":1}", 0),
            arguments(":2}", 1),
            done(0, **call(1, '{"a":1}')),
            done(1, **call(2, '{"b":2}')),
            end(),
        ],
        [("tu_call_1", "f", {"a": 1}), ("tu_call_2", "f", {"b": 2})],
        "tool_use",
    ),
    (
        "a name that comes late",
        [added(0, type="function_call", id="fc_1"), arguments("{}"), done(0, **call(1)), end()],
        [("tu_call_1", "f", {})],
        "tool_use",
    ),
    (
        "arguments as an object",
        [done(0, **call(1, {"a": {"b": [1]}})), end()],
        [("tu_call_1", "f", {"a": {"b": [1]}})],
        "tool_use",
    ),
    ("a call without a call_id", [done(0, **call(1, call_id=None)), end()], [("tu_fc_1", "f", {})], "tool_use"),
    (
        "reasoning, summarised",
        [
            added(0, **reasoning()),
            summary("Hm"),
            summary("."),
            summary("So", part=1),
            summary(".", part=1),
            done(0, **reasoning("Hm.", "So.")),
            *[{**f, "output_index": 1} for f in HELLO],
            end(),
        ],
        [("thinking", "Hm.\n\nSo."), "Hello"],
        "end_turn",
    ),
    (
        "reasoning in its own words",
        [
            added(0, **reasoning()),
            delta("reasoning_text", "Hm.", content_index=0),
            done(0, **reasoning(content=[{"type": "reasoning_text", "text": "Hm."}])),
            end(),
        ],
        [("thinking", "Hm.")],
        "end_turn",
    ),
    (
        "reasoning in both, shown once",
        [
            added(0, **reasoning()),
            summary("Hm."),
            delta("reasoning_text", "Long.", content_index=0),
            done(0, **reasoning("Hm.", content=[{"type": "reasoning_text", "text": "Long."}])),
            end(),
        ],
        [("thinking", "Hm.")],
        "end_turn",
    ),
    ("reasoning that nobody sees", [added(0, **reasoning()), done(0, **reasoning()), end()], [("thinking", "")], "end_turn"),
    (
        "reasoning between calls",
        [done(0, **reasoning("a")), done(1, **call(1)), done(2, **reasoning("b")), done(3, **call(2)), end()],
        [("thinking", "a"), ("tu_call_1", "f", {}), ("thinking", "b"), ("tu_call_2", "f", {})],
        "tool_use",
    ),
    (
        "a tool of the provider's",
        [
            added(0, type="web_search_call", id="ws_1", status="in_progress"),
            frame("response.web_search_call.searching", output_index=0),
            done(0, **SEARCH),
            *[{**f, "output_index": 1} for f in HELLO],
            end(),
        ],
        [("opaque", "web_search_call"), "Hello"],
        "end_turn",
    ),
    ("an end marker of another wire", [*HELLO, "[DONE]", end(), "[DONE]"], ["Hello"], "end_turn"),
    (
        "what nobody knows",
        [*HELLO, frame("response.whim", x=[1]), frame("keepalive"), ("whim", "x"), "", "null", end()],
        ["Hello"],
        "end_turn",
    ),
    (
        "what has another type than it should",
        [
            added(0, **message()),
            {**words("Hel"), "output_index": "0"},
            frame("response.code.delta", delta={"a": 1}, output_index=None),
            *HELLO[3:],
            end(),
        ],
        ["Hello"],
        "end_turn",
    ),
    ("words after the end", [*HELLO, end(), words("more", 1)], ["Hello"], "end_turn"),
    (
        "cut by the limit",
        [*HELLO, end(status="incomplete", incomplete_details={"reason": "max_output_tokens"})],
        ["Hello"],
        "max_tokens",
    ),
    (
        "cut while reasoning",
        [done(0, **reasoning()), end(status="incomplete", incomplete_details={"reason": "max_output_tokens"})],
        [("thinking", "")],
        "max_tokens",
    ),
    (
        "filtered",
        [*HELLO, end(status="incomplete", incomplete_details={"reason": "content_filter"})],
        ["Hello"],
        "content_filter",
    ),
    ("steered", [*HELLO, end(status="incomplete", incomplete_details={"reason": "steered"})], ["Hello"], "pause"),
    ("unfinished for no reason", [*HELLO, end(status="incomplete", incomplete_details=None)], ["Hello"], "pause"),
    ("cancelled", [*HELLO, end(status="cancelled")], ["Hello"], "cancelled"),
]


@pytest.mark.parametrize(("frames", "wanted", "stop"), [case[1:] for case in CONTENT], ids=[case[0] for case in CONTENT])
def test_streams(frames: list[Any], wanted: list[Any], stop: str) -> None:
    assembler = play(frames)
    assert said(assembler) == wanted
    assert assembler.stop_reason == stop
    assert assembler.usage == COUNTED
    assert assembler.warnings == []


REPAIRED: list[tuple[str, list[Any], list[Any], str]] = [
    (
        "half of a character",
        [b'{"type":"response.output_text.delta","output_index":0,"delta":"a\\ud83d"}', end()],
        ["a\ufffd"],
        "stream_repaired",
    ),
    (
        "bytes that are no text",
        [b'{"type":"response.output_text.delta","output_index":0,"delta":"a\xff"}', end()],
        ["a\ufffd"],
        "stream_repaired",
    ),
    (
        "half of a character in an item",
        [
            b'{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":'
            b'[{"type":"output_text","text":"a\\ud83d"}]}}',
            end(),
        ],
        ["a\ufffd"],
        "stream_repaired",
    ),
    ("a finished item that differs", [*HELLO[:3], done(0, **message("Bye")), end()], ["Hello"], "stream_repaired"),
    (
        "a call without a name",
        [done(0, **call(1, name=None)), *[{**f, "output_index": 1} for f in HELLO], end()],
        ["Hello"],
        "stream_repaired",
    ),
    ("arguments that are no object", [done(0, **call(1, "[1]")), end()], [("tu_call_1", "f", {})], "tool_arguments_invalid"),
    (
        "a part for which there is no block",
        [done(0, **message("Hello", {"type": "output_audio", "data": "x"})), end()],
        ["Hello"],
        "content_dropped",
    ),
    (
        "reasoning of the history that was not used",
        [
            *HELLO,
            end(input_transformations=[{"id": "rs_1", "action": "removed", "reason": "model_mismatch", "type": "reasoning"}]),
        ],
        ["Hello"],
        "content_dropped",
    ),
]


@pytest.mark.parametrize(("frames", "wanted", "code"), [case[1:] for case in REPAIRED], ids=[case[0] for case in REPAIRED])
def test_what_is_repaired_is_said(frames: list[Any], wanted: list[Any], code: str) -> None:
    assembler = play(frames)
    assert said(assembler) == wanted
    assert [warning.code for warning in assembler.warnings] == [code]


def test_a_call_cut_by_the_limit_is_not_shown_as_whole() -> None:
    cut = end(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    started = [added(1, **call(1, "")), arguments('{"a', 1), done(1, **call(1, '{"a', status="incomplete"))]
    assembler = play([*HELLO, *started, cut])
    assert (said(assembler), assembler.stop_reason) == (["Hello"], "max_tokens")
    assert "tool_call_truncated" in [warning.code for warning in assembler.warnings]


# ---- opaque state


def test_reasoning_keeps_what_the_finished_item_holds() -> None:
    final = reasoning("Hm.", encrypted_content="all of it", content=None, status=None)
    assembler = play([added(0, **reasoning(encrypted_content="some")), summary("Hm."), done(0, **final), end()])
    kept = {name: value for name, value in final.items() if value is not None}
    assert state(assembler) == {"item": kept}
    last = [event for event in assembler.events if isinstance(event, ThinkingDelta)][-1]
    assert (last.text, last.provider_raw) == ("", {**ORIGIN, "item": kept})


def test_messages_keep_phase_and_citations() -> None:
    cited = {"type": "output_text", "text": "Hello", "annotations": [{"type": "url_citation", "url": "https://x"}]}
    assembler = play(
        [added(0, **message(phase="final_answer")), words("Hello"), done(0, **message(cited, phase="final_answer")), end()]
    )
    assert state(assembler) == {"phase": "final_answer", "annotations": cited["annotations"]}
    assert state(play([*HELLO, end()])) is None


def test_every_part_of_a_message_keeps_its_phase() -> None:
    frames = [
        added(0, **message(phase="commentary")),
        words("a"),
        frame("response.content_part.added", output_index=0, content_index=1),
        words("b", part=1),
        done(0, **message("a", "b", phase="commentary")),
        end(),
    ]
    assembler = play(frames)
    assert [state(assembler, number) for number in (0, 1)] == [{"phase": "commentary"}] * 2


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        (call(1, '{"a":1}'), None),
        (call(1, '{"a": 1}'), {"arguments": '{"a": 1}'}),
        (call(1, "{}", namespace="n", caller=None), {"item": {"namespace": "n"}}),
        (call(1, ""), None),
    ],
)
def test_calls_keep_what_the_block_does_not_hold(item: dict[str, Any], kept: dict[str, Any] | None) -> None:
    assert state(play([done(0, **item), end()])) == kept
    assert state(play([added(0, **{**item, "arguments": ""}), arguments(item["arguments"]), done(0, **item), end()])) == kept


def test_own_tools_keep_the_finished_item() -> None:
    assembler = play([added(0, type="web_search_call", id="ws_1", status="in_progress"), done(0, **SEARCH), end()])
    assert state(assembler) == {"item": SEARCH}


@pytest.mark.parametrize("streamed", [True, False])
def test_what_the_provider_keeps_has_an_id(streamed: bool) -> None:
    output = (reasoning("a"), message("Hello"), call(1), SEARCH)
    if streamed:
        items = [done(index, **item) for index, item in enumerate(output)]
        assembler = play([frame("response.created", response=response(store=True)), *items, end(*output, store=True)])
    else:
        assembler = new_assembler()
        WIRE.decode(encoded(response(*output, store=True)), assembler)
    assert [(state(assembler, number) or {}).get("response_id") for number in range(4)] == ["resp_1"] * 4


# ---- usage and what else the answer tells


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        (
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 30},
                "output_tokens": 20,
                "output_tokens_details": {"reasoning_tokens": 8},
                "total_tokens": 120,
            },
            Usage(6, 20, 64, 30, 8, 120),
        ),
        ({"input_tokens": 9, "output_tokens": 2, "input_tokens_details": None}, Usage(9, 2, total_tokens=11)),
        ({"input_tokens": "9", "output_tokens": 2.0, "input_tokens_details": []}, Usage(9, 2, total_tokens=11)),
        ({"input_tokens": 3, "output_tokens": -2, "input_tokens_details": {"cached_tokens": 5}}, Usage(0, 0, 5, total_tokens=5)),
    ],
)
def test_usage_is_disjoint(counts: dict[str, Any], wanted: Usage) -> None:
    usage = play([*HELLO, end(usage=counts)]).usage
    assert usage == wanted
    assert usage is not None
    parts = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_creation_input_tokens)
    assert usage.total_tokens == sum(parts)


@pytest.mark.parametrize("counts", [None, {}, "many"])
def test_no_usage_is_an_estimate(counts: Any) -> None:
    usage = play([*HELLO, end(usage=counts)]).usage
    assert usage is not None
    assert usage.estimated


def test_a_router_tells_what_it_cost() -> None:
    assert play([*HELLO, end(usage={**COUNTS, "cost": 0.002})], Quirks(reports_cost=True)).reported_cost == 0.002
    assert play([*HELLO, end(usage={**COUNTS, "cost": 0.002})]).reported_cost is None


def test_the_model_that_served_is_told() -> None:
    assert play([CREATED, *HELLO, end()]).served_model == "m-2026"


@pytest.mark.parametrize(
    ("given", "alive"),
    [
        ([CREATED], True),
        ([frame("response.in_progress", response={})], False),
        ([frame("response.queued", response={})], False),
        ([words("a")], True),
        ([words("")], False),
        ([summary("a")], True),
        ([arguments("")], False),
        ([added(0, **call(1))], True),
        ([done(0, **call(1))], True),
        ([added(0, **SEARCH), frame("response.web_search_call.searching", output_index=0)], True),
        ([done(0, **SEARCH), frame("response.web_search_call.searching", output_index=0)], False),
        ([frame("response.web_search_call.searching", output_index=0)], False),
        ([frame("keepalive")], False),
        (["[DONE]"], False),
        (["{}"], False),
        ([end()], True),
    ],
)
def test_signs_of_life(given: list[Any], alive: bool) -> None:
    decoder = WIRE.stream_decoder(new_assembler(), spec())
    assert [decoder.feed("", encoded(one)) for one in given][-1] is alive


def test_events_come_with_the_frames_that_make_them() -> None:
    assembler = new_assembler()
    decoder = WIRE.stream_decoder(assembler, spec())
    shown: list[Any] = []
    for given in [*HELLO, added(1, **call(1, "")), arguments('{"a"', 1), arguments(":1}", 1), done(1, **call(1, '{"a":1}'))]:
        decoder.feed("", encoded(given))
        shown.append([e.text if isinstance(e, TextDelta) else e.partial_json for e in assembler.take()
                      if isinstance(e, TextDelta | ToolUseInputDelta)])  # fmt: skip
    assert shown == [[], ["Hel"], ["lo"], [], [], ['{"a"'], [":1}"], []]
