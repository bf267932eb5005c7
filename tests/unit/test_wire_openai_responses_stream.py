"""The Responses wire reads: streams plain and odd, whole answers, usage, failures of all kinds."""

import json
from typing import Any

import pytest

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import StreamDecoder
from modeld.providers.wire.openai_responses import WIRE
from modeld_protocol.content import OpaqueBlock, RefusalBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.events import TextDelta, ThinkingDelta, ToolUseInputDelta
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.usage import Usage

ORIGIN = {"provider": "openai-responses", "model": "m"}


def spec(quirks: Quirks | None = None) -> ModelSpec:
    return ModelSpec("o:m", "o", "openai-responses", "openai_responses", "m", Capabilities(), ModelLimits(), quirks or Quirks())


def new_assembler(quirks: Quirks | None = None) -> Assembler:
    more = {"quirks": quirks} if quirks else {}
    return Assembler("msg_1", "o:m", "o", provider_type="openai-responses", wire_name="m", **more)


# ---- frames


def frame(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sequence_number": 0, **fields}


def added(index: int, **item: Any) -> dict[str, Any]:
    return frame("response.output_item.added", output_index=index, item=item)


def done(index: int, **item: Any) -> dict[str, Any]:
    return frame("response.output_item.done", output_index=index, item=item)


def delta(kind: str, text: Any, index: int = 0, **place: Any) -> dict[str, Any]:
    return frame(f"response.{kind}.delta", output_index=index, item_id="i", delta=text, **place)


def words(text: str, index: int = 0, part: int = 0) -> dict[str, Any]:
    return delta("output_text", text, index, content_index=part, logprobs=[])


def arguments(text: str, index: int = 0) -> dict[str, Any]:
    return delta("function_call_arguments", text, index)


def summary(text: str, index: int = 0, part: int = 0) -> dict[str, Any]:
    return delta("reasoning_summary_text", text, index, summary_index=part)


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    content = [part if isinstance(part, dict) else {"type": "output_text", "text": part, "annotations": []} for part in parts]
    return {"type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": content, **more}


def call(number: int, arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {
        **{"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "f", "arguments": arguments},
        **more,
    }


def reasoning(*summary: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": "rs_0", "summary": parts, "encrypted_content": "sealed", **more}


COUNTS = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
COUNTED = Usage(input_tokens=10, output_tokens=4, total_tokens=14)


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "m-2026",
        "output": list(output),
        "usage": COUNTS,
        **more,
    }


def end(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = response(*output, **more)
    return frame(f"response.{found['status']}", response=found)


CREATED = frame("response.created", response=response(status="in_progress", usage=None))
HELLO = [added(0, **message(status="in_progress")), words("Hel"), words("lo"), done(0, **message("Hello"))]
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}


def encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()


def feed_all(decoder: StreamDecoder, frames: list[Any]) -> None:
    for given in frames:
        event, data = given if isinstance(given, tuple) else (given.get("type", "") if isinstance(given, dict) else "", given)
        decoder.feed(event, encoded(data))
    decoder.end()


def play(frames: list[Any], quirks: Quirks | None = None) -> Assembler:
    assembler = new_assembler(quirks)
    feed_all(WIRE.stream_decoder(assembler, spec(quirks)), frames)
    assert assembler.completed
    return assembler


def said(assembler: Assembler) -> list[Any]:
    """The content in short, without opaque state."""
    short: list[Any] = []
    for block in assembler.content:
        match block:
            case TextBlock():
                short.append(block.text)
            case RefusalBlock():
                short.append(("refusal", block.text))
            case ThinkingBlock():
                short.append(("thinking", block.text))
            case ToolUseBlock():
                short.append((block.id, block.name, block.input))
            case OpaqueBlock():
                short.append(("opaque", block.provider_raw["item"]["type"]))
            case _:
                short.append(block)
    return short


def state(assembler: Assembler, number: int = 0) -> dict[str, Any] | None:
    """Opaque state of a block, without where it is from."""
    block = assembler.content[number]
    raw = getattr(block, "provider_raw", None)
    assert raw is None or ORIGIN.items() <= raw.items()
    return raw and {name: value for name, value in raw.items() if name not in ORIGIN}


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


# ---- failures

FAILED: list[tuple[str, list[Any], str, int | None, list[Any]]] = [
    ("cut short", HELLO, "network", None, ["Hello"]),
    ("an end marker of another wire alone", [*HELLO, "[DONE]"], "network", None, ["Hello"]),
    ("nothing at all", [], "network", None, []),
    (
        "an error, flat",
        [*HELLO, frame("error", code="rate_limit_exceeded", message="m", param=None)],
        "rate_limit",
        None,
        ["Hello"],
    ),
    (
        "an error, nested",
        [frame("error", error={"type": "tokens", "code": "rate_limit_exceeded", "message": "m"})],
        "rate_limit",
        None,
        [],
    ),
    ("an error without a type", [("error", {"message": "m", "code": "context_length_exceeded"})], "context_overflow", None, []),
    ("an error of a router", [*HELLO, ("", {"error": {"code": 502, "message": "m"}})], "server_error", 502, ["Hello"]),
    ("an error in words", [("error", b"upstream rate limit exceeded")], "rate_limit", 200, []),
    ("failed", [*HELLO, end(status="failed", error={"code": "server_error", "message": "m"})], "server_error", None, ["Hello"]),
    ("failed for no reason", [end(status="failed", error=None)], "server_error", None, []),
    (
        "failed by a limit",
        [end(status="failed", error={"code": "rate_limit_exceeded", "message": "Try again in 1.5s."})],
        "rate_limit",
        None,
        [],
    ),
    ("failed by a filter", [end(status="failed", error={"code": "bio_policy", "message": "m"})], "content_filter", None, []),
    ("failed by a prompt", [end(status="failed", error={"code": "invalid_prompt", "message": "m"})], "content_filter", None, []),
    (
        "failed by a picture",
        [end(status="failed", error={"code": "image_too_large", "message": "m"})],
        "invalid_request",
        None,
        [],
    ),
    (
        "failed by an ugly picture",
        [end(status="failed", error={"code": "image_content_policy_violation", "message": "m"})],
        "content_filter",
        None,
        [],
    ),
    (
        "failed by a store",
        [end(status="failed", error={"code": "vector_store_timeout", "message": "m"})],
        "server_error",
        None,
        [],
    ),
    ("no JSON", [*HELLO, ("response.output_text.delta", "<html><title>Bad</title></html>")], "server_error", 200, ["Hello"]),
    ("no object", [*HELLO, '"text"'], "server_error", 200, ["Hello"]),
    ("nested too deeply", [*HELLO, "[" * 100_000], "server_error", 200, ["Hello"]),
    (
        "an item that is none",
        [*HELLO, frame("response.output_item.added", output_index=1, item=5)],
        "server_error",
        200,
        ["Hello"],
    ),
    ("an item that is missing", [*HELLO, frame("response.output_item.done", output_index=1)], "server_error", 200, ["Hello"]),
    ("an end without an answer", [*HELLO, frame("response.completed")], "server_error", 200, ["Hello"]),
    (
        "an end with output that is none",
        [frame("response.completed", response=response() | {"output": 5})],
        "server_error",
        200,
        [],
    ),
    (
        "an open call is closed",
        [added(0, **call(1, "")), arguments('{"a'), frame("error", message="m")],
        "server_error",
        None,
        [("tu_call_1", "f", {})],
    ),
]


@pytest.mark.parametrize(
    ("frames", "error_class", "status", "kept"), [case[1:] for case in FAILED], ids=[case[0] for case in FAILED]
)
def test_failures(frames: list[Any], error_class: str, status: int | None, kept: list[Any]) -> None:
    assembler = new_assembler()
    decoder = WIRE.stream_decoder(assembler, spec())
    with pytest.raises(ProviderFailure) as caught:
        feed_all(decoder, frames)
    assert (caught.value.error_class, caught.value.provider_status) == (error_class, status)
    assert "; " in caught.value.message
    assert decoder.done
    assembler.complete("error")
    assert said(assembler) == kept


def test_a_failed_answer_says_how_long_to_wait_and_what_it_used() -> None:
    assembler = new_assembler()
    failed = end(status="failed", error={"code": "rate_limit_exceeded", "message": "Please try again in 1.5s."})
    with pytest.raises(ProviderFailure) as caught:
        feed_all(WIRE.stream_decoder(assembler, spec()), [failed])
    assert caught.value.retry_after_seconds == 1.5
    assert assembler.usage == COUNTED


def test_a_provider_known_to_leave_the_last_event_out() -> None:
    assembler = play(HELLO, Quirks(end_marker=False))
    assert (said(assembler), assembler.stop_reason) == (["Hello"], "end_turn")


@pytest.mark.parametrize(
    ("status", "error", "error_class"),
    [
        (
            400,
            {"code": "model_not_found", "message": "The requested model 'gpt-9' does not exist.", "param": "model"},
            "model_not_found",
        ),
        (400, {"code": None, "message": "The model `gpt-9` does not exist or you do not have access to it."}, "model_not_found"),
        (400, {"code": "context_length_exceeded", "message": "m"}, "context_overflow"),
        (400, {"code": "unsupported_parameter", "message": "m"}, "invalid_request"),
        (401, {"code": "invalid_api_key", "message": "m"}, "auth"),
        (404, {"code": None, "message": "Item with id 'rs_1' not found. Items are not persisted."}, "thinking_signature_invalid"),
        (400, {"code": "invalid_encrypted_content", "message": "m"}, "thinking_signature_invalid"),
        (400, {"message": "The encrypted content gAAA... could not be verified."}, "thinking_signature_invalid"),
        (
            400,
            {"message": "Item 'rs_1' of type 'reasoning' was provided without its required following item."},
            "thinking_signature_invalid",
        ),
        (404, {"code": "previous_response_not_found", "message": "m"}, "invalid_request"),
        (400, {"message": "Previous response with id 'resp_1' not found."}, "invalid_request"),
        (429, {"type": "insufficient_quota", "code": "insufficient_quota", "message": "m"}, "quota_exceeded"),
        (429, {"type": "tokens", "message": "Limit 1 on tokens per min (TPM)"}, "rate_limit"),
        (503, {"code": "slow_down", "message": "m"}, "server_error"),
    ],
)
def test_statuses(status: int, error: dict[str, Any], error_class: str) -> None:
    failure = WIRE.decode_failure(status, {}, encoded({"error": error}))
    assert (failure.error_class, failure.provider_status) == (error_class, status)


# ---- whole answers


@pytest.mark.parametrize(
    ("body", "wanted", "stop"),
    [
        (response(message("Hello")), ["Hello"], "end_turn"),
        (response(reasoning("a", "b"), message("Hello")), [("thinking", "a\n\nb"), "Hello"], "end_turn"),
        (response(message({"type": "refusal", "refusal": "No."})), [("refusal", "No.")], "refusal"),
        (response(call(1), call(2, '{"a":1}')), [("tu_call_1", "f", {}), ("tu_call_2", "f", {"a": 1})], "tool_use"),
        (response(SEARCH, message("Hello", phase="final_answer")), [("opaque", "web_search_call"), "Hello"], "end_turn"),
        (response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), [], "max_tokens"),
        (response(message("a"), status="cancelled"), ["a"], "cancelled"),
        (b"\n\n   \n" + json.dumps(response(message("Hello"))).encode(), ["Hello"], "end_turn"),
    ],
)
def test_whole_answers(body: Any, wanted: list[Any], stop: str) -> None:
    assembler = new_assembler()
    WIRE.decode(encoded(body), assembler)
    assert assembler.completed
    assert said(assembler) == wanted
    assert (assembler.stop_reason, assembler.usage, assembler.served_model) == (stop, COUNTED, "m-2026")


@pytest.mark.parametrize(
    ("body", "error_class", "status"),
    [
        ({"error": {"code": 502, "message": "m"}}, "server_error", 502),
        (response(message("a"), status="failed", error={"code": "rate_limit_exceeded", "message": "m"}), "rate_limit", None),
        (response(status="failed", error={"code": "invalid_prompt", "message": "m"}), "content_filter", None),
        (response(status="in_progress"), "server_error", None),
        (response(status="queued"), "server_error", None),
        (response() | {"output": {"a": 1}}, "server_error", 200),
        (response() | {"output": [5]}, "server_error", 200),
        ({}, "server_error", 200),
        (b"", "server_error", 200),
        (b"<html><body>Sign in</body></html>", "server_error", 200),
        (b"\x00\xff\xfe", "server_error", 200),
        (b"[]", "server_error", 200),
        (b'"hello"', "server_error", 200),
        (b"[" * 100_000, "server_error", 200),
        (b'{"output":[' + b"[" * 100_000, "server_error", 200),
    ],
)
def test_what_is_no_answer(body: Any, error_class: str, status: int | None) -> None:
    with pytest.raises(ProviderFailure) as caught:
        WIRE.decode(encoded(body), new_assembler())
    assert (caught.value.error_class, caught.value.provider_status) == (error_class, status)
    assert "<" not in caught.value.message
