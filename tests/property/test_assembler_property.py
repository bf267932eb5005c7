"""Whatever verbs come in whatever order, the events keep their promises."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.providers.assembler import Assembler, parse_arguments, repair_surrogates
from modeld_protocol.content import (
    JsonBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from modeld_protocol.events import (
    MessageStart,
    TextDelta,
    ThinkingDelta,
    ToolUseEnd,
    ToolUseInputDelta,
    ToolUseStart,
)

KEYS = st.sampled_from([None, 0, 1, 2])
WORDS = st.sampled_from(["", "a", "bc", " "])
FRAGMENTS = st.sampled_from(["", "{", "}", "{}", '{"a":', "1}", "null", "[1]", '"\\ud83d"'])
RAW = st.sampled_from([None, {}, {"signature": "s"}])
STOPS = st.sampled_from(["end_turn", "max_tokens", "tool_use", "cancelled", "error"])


def _verbs(explicit: st.SearchStrategy[bool]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.one_of(
        st.tuples(st.just("text"), WORDS, KEYS, explicit),
        st.tuples(st.just("refusal"), WORDS, KEYS),
        st.tuples(st.just("thinking"), WORDS, KEYS, RAW, explicit),
        st.tuples(st.just("tool"), KEYS, st.sampled_from([None, "", "x", "y"]), explicit),
        st.tuples(st.just("tool_arguments"), KEYS, FRAGMENTS),
        st.tuples(st.just("whole"), st.sampled_from(["redacted", "opaque", "json"]), KEYS, explicit),
        st.tuples(st.just("attach"), KEYS),
        st.tuples(st.just("close"), KEYS),
        st.tuples(st.just("take")),
    )


def _whole(kind: str) -> Any:
    if kind == "redacted":
        return RedactedThinkingBlock({"data": "d"})
    return OpaqueBlock({"block": {}}) if kind == "opaque" else JsonBlock([1])


def _play(assembler: Assembler, verbs: list[tuple[Any, ...]]) -> list[Any]:
    events: list[Any] = []
    for verb, *args in verbs:
        match verb:
            case "text":
                assembler.text(args[0], args[1], explicit=args[2])
            case "refusal":
                assembler.refusal(args[0], args[1])
            case "thinking":
                assembler.thinking(args[0], args[1], args[2], explicit=args[3])
            case "tool":
                assembler.tool(args[0], args[1], "f", explicit=args[2])
            case "whole":
                assembler.whole(_whole(args[0]), args[1], explicit=args[2])
            case "attach":
                assembler.attach({"citations": [1]}, args[0])
            case "take":
                events += assembler.take()
            case _:
                getattr(assembler, verb)(*args)
    return events


def _shown(content: list[Any], kind: Any) -> str:
    return "".join(block.text for block in content if isinstance(block, kind))


def check_invariants(assembler: Assembler, events: list[Any]) -> None:
    assert isinstance(events[0], MessageStart)
    assert sum(isinstance(event, MessageStart) for event in events) == 1
    indexes = [event.content_block_index for event in events[1:]]
    assert indexes == sorted(indexes)
    _check_tools(assembler, events)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thinking = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    assert text == _shown(assembler.content, TextBlock | RefusalBlock)
    assert thinking == _shown(assembler.content, ThinkingBlock)
    for event in events[1:]:
        if isinstance(event, TextDelta):
            assert isinstance(assembler.content[event.content_block_index], TextBlock | RefusalBlock)
        if isinstance(event, ThinkingDelta):
            assert isinstance(assembler.content[event.content_block_index], ThinkingBlock | RedactedThinkingBlock)


def _check_tools(assembler: Assembler, events: list[Any]) -> None:
    open_id, fragments, ended = None, "", {}
    for event in events:
        if isinstance(event, ToolUseStart):
            assert open_id is None
            assert event.tool_use_id not in ended
            open_id, fragments = event.tool_use_id, ""
        elif isinstance(event, ToolUseInputDelta):
            assert event.tool_use_id == open_id
            fragments += event.partial_json
        elif isinstance(event, ToolUseEnd):
            assert event.tool_use_id == open_id
            assert event.final_input == ((parse_arguments(fragments) or {}) if fragments.strip() else {})
            ended[open_id], open_id = event.final_input, None
        else:
            assert open_id is None
    assert open_id is None
    calls = {block.id: block.input for block in assembler.content if isinstance(block, ToolUseBlock)}
    cut = [warning for warning in assembler.warnings if warning.code == "tool_call_truncated"]
    assert len(ended) - len(calls) == len(cut) <= 1
    assert calls.items() <= ended.items() if not cut else set(calls) <= set(ended)


@given(st.lists(_verbs(st.booleans()), max_size=25), STOPS, st.lists(_verbs(st.booleans()), max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_verbs_keep_the_invariants(verbs: list[Any], stop: Any, late: list[Any]) -> None:
    assembler = Assembler("msg_1", "p:m", "p")
    events = _play(assembler, verbs)
    assembler.complete(stop)
    events += assembler.take()
    content = list(assembler.content)
    check_invariants(assembler, events)
    assert _play(assembler, late) == []
    assembler.complete("end_turn")
    assert assembler.take() == []
    assert assembler.content == content
    assert assembler.terminal_event().final_content == content


@given(st.lists(_verbs(st.just(True)), max_size=25))
@settings(max_examples=150, deadline=None)
def test_nothing_shown_is_lost_and_nothing_invented(verbs: list[Any]) -> None:
    assembler = Assembler("msg_1", "p:m", "p")
    _play(assembler, verbs)
    assembler.complete("end_turn")
    said: dict[str, list[str]] = {"text": [], "refusal": [], "thinking": []}
    for verb, *args in verbs:
        if verb in said:
            said[verb] = sorted([*said[verb], *args[0]])
    assert sorted(_shown(assembler.content, TextBlock)) == said["text"]
    assert sorted(_shown(assembler.content, RefusalBlock)) == said["refusal"]
    assert sorted(_shown(assembler.content, ThinkingBlock)) == said["thinking"]
    assert sum(verb == "whole" for verb, *_ in verbs) >= sum(
        isinstance(block, RedactedThinkingBlock | OpaqueBlock | JsonBlock) for block in assembler.content
    )


_TURNS = st.lists(st.tuples(st.integers(0, 3), WORDS), max_size=20)


@given(_TURNS)
def test_interleaved_explicit_blocks_come_out_whole_and_in_order_of_first_arrival(turns: list[tuple[int, str]]) -> None:
    assembler = Assembler("msg_1", "p:m", "p")
    wanted: dict[int, str] = {}
    for key, word in turns:
        assembler.text(word, key, explicit=True)
        wanted[key] = wanted.get(key, "") + word
    for key in wanted:
        assembler.close(key)
    assembler.complete("end_turn")
    assert [block.text for block in assembler.content if isinstance(block, TextBlock)] == [
        text for text in wanted.values() if text
    ]


@given(st.text(alphabet=st.sampled_from('ab\\u"dD83cC{}')))
def test_repair_touches_nothing_but_lone_surrogates(text: str) -> None:
    repaired = repair_surrogates(text)
    assert len(repaired) == len(text)
    assert repair_surrogates(repaired) == repaired


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("null", {}),
        ('{"a": "\\ud83d"}', {"a": "\ufffd"}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ('{"a": "\\\\ud83d"}', {"a": "\\ud83d"}),
        ('{"a": "\\udc00x"}', {"a": "\ufffdx"}),
        ("[]", None),
        ('"x"', None),
        ("{", None),
        ("", None),
        ("[" * 5000, None),
    ],
)
def test_parse_arguments(text: str, value: Any) -> None:
    assert parse_arguments(text) == value
