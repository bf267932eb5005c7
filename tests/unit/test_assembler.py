"""What the assembler makes of the orders in which providers really send their blocks."""

from collections.abc import Callable
from typing import Any

import pytest

from modeld.providers.assembler import Assembler
from modeld_protocol.content import OpaqueBlock, RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.events import TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart


def new() -> Assembler:
    return Assembler("msg_1", "acme:large", "acme", provider_type="acme-type", wire_name="large-1")


def brief(content: list[Any]) -> list[Any]:
    """Content in one line a block."""
    found: list[Any] = []
    for block in content:
        match block:
            case ToolUseBlock():
                found.append((block.name, block.input))
            case TextBlock() | ThinkingBlock():
                found.append(block.text)
            case _:
                found.append(type(block).__name__)
    return found


def interleaved_calls(a: Assembler) -> None:
    a.tool(0, "x", "first")
    a.tool_arguments(0, '{"a"')
    a.tool(1, "y", "second")
    a.tool_arguments(1, '{"b"')
    a.tool_arguments(0, ":1}")
    a.tool_arguments(1, ":2}")
    a.tool(2, "z", "third")
    a.tool_arguments(2, "{}")


def late_text_behind_waiting_text(a: Assembler) -> None:
    a.text("1", 1, explicit=True)
    a.text("2", 2)
    a.text("3", 3)
    a.close(1)
    a.text("3'", 3)


def words_around_a_call(a: Assembler) -> None:
    a.text("before")
    a.tool(0, "x", "f")
    a.tool_arguments(0, "{}")
    a.text("after")


def same_key_for_thought_and_word(a: Assembler) -> None:
    a.thinking("hm")
    a.text("so")
    a.thinking("and")


def opaque_keeps_its_place(a: Assembler) -> None:
    a.whole(OpaqueBlock({"block": {}}), 0, explicit=True)
    a.text("late", 1, explicit=True)
    a.close(0)
    a.close(1)
    a.whole(RedactedThinkingBlock({"data": "d"}))


def empty_blocks_leave_nothing(a: Assembler) -> None:
    a.text("", 0, explicit=True)
    a.close(0)
    a.thinking("", 1, explicit=True)
    a.close(1)
    a.text("x", 2, explicit=True)


def text_for_a_key_that_is_a_call(a: Assembler) -> None:
    a.tool(0, "x", "f", explicit=True)
    a.text("odd", 0, explicit=True)
    a.close(0)
    a.text("next", 1, explicit=True)


ORDERS: list[tuple[Callable[[Assembler], None], list[Any]]] = [
    (interleaved_calls, [("first", {"a": 1}), ("second", {"b": 2}), ("third", {})]),
    (late_text_behind_waiting_text, ["1", "2", "33'"]),
    (words_around_a_call, ["before", ("f", {}), "after"]),
    (same_key_for_thought_and_word, ["hm", "so", "and"]),
    (opaque_keeps_its_place, ["OpaqueBlock", "late", "RedactedThinkingBlock"]),
    (empty_blocks_leave_nothing, ["x"]),
    (text_for_a_key_that_is_a_call, [("f", {}), "odd", "next"]),
]


@pytest.mark.parametrize(("play", "wanted"), ORDERS, ids=[play.__name__ for play, _ in ORDERS])
def test_order(play: Callable[[Assembler], None], wanted: list[Any]) -> None:
    assembler = new()
    play(assembler)
    assembler.complete("end_turn")
    assert brief(assembler.content) == wanted


def test_a_waiting_call_comes_as_soon_as_the_earlier_one_is_whole() -> None:
    assembler = new()
    assembler.tool(0, "x", "first")
    assembler.tool(1, "y", "second")
    assembler.tool_arguments(1, "{")
    assembler.tool_arguments(0, "{}")
    shape = [(type(event), event.content_block_index) for event in assembler.take()[1:]]
    assert shape == [(ToolUseStart, 0), (ToolUseInputDelta, 0), (ToolUseEnd, 0), (ToolUseStart, 1), (ToolUseInputDelta, 1)]


def test_a_long_unfinished_call_is_not_parsed_at_every_word() -> None:
    assembler = new()
    assembler.tool(0, "x", "f")
    assembler.tool_arguments(0, '{"a":"')
    for _ in range(20_000):
        assembler.tool_arguments(0, "}")
        assembler.text("t")
    assembler.tool_arguments(0, '"}')
    assembler.complete("end_turn")
    assert brief(assembler.content) == [("f", {"a": "}" * 20_000}), "t" * 20_000]


@pytest.mark.parametrize(
    ("arguments", "stop", "settled", "kept", "warnings"),
    [
        ("", "max_tokens", "max_tokens", [], ["tool_call_truncated"]),
        ('{"a', "max_tokens", "max_tokens", [], ["tool_arguments_invalid", "tool_call_truncated"]),
        ("{}", "max_tokens", "max_tokens", [("f", {})], []),
        ("", "tool_use", "tool_use", [("f", {})], []),
        ('{"a', "tool_use", "tool_use", [("f", {})], ["tool_arguments_invalid"]),
        ("[1]", "end_turn", "tool_use", [("f", {})], ["tool_arguments_invalid"]),
        ('{"a', "cancelled", "cancelled", [("f", {})], ["tool_arguments_invalid"]),
        ("null", "tool_use", "tool_use", [("f", {})], []),
    ],
)
def test_the_end_of_a_call(arguments: str, stop: Any, settled: str, kept: list[Any], warnings: list[str]) -> None:
    assembler = new()
    assembler.tool(0, "x", "f", explicit=True)
    assembler.tool_arguments(0, arguments)
    assembler.complete(stop)
    assert (assembler.stop_reason, brief(assembler.content)) == (settled, kept)
    assert [warning.code for warning in assembler.warnings] == warnings
    assert isinstance(assembler.take()[-1], ToolUseEnd)


def test_ids_differ_even_where_the_provider_repeats_itself() -> None:
    assembler = new()
    for key, given in enumerate(["x", "x", None, "", "x"]):
        assembler.tool(key, given, "f")
        assembler.tool_arguments(key, "{}")
    assembler.complete("end_turn")
    ids = [block.id for block in assembler.content if isinstance(block, ToolUseBlock)]
    assert len(set(ids)) == 5
    assert ids[0] == "tu_x"
    assert all(name.startswith("tu_") for name in ids)


def test_opaque_state_travels_with_its_block() -> None:
    assembler = new()
    assembler.thinking("hm", 0, explicit=True)
    assembler.thinking("", 0, {**assembler.origin, "signature": "s"}, explicit=True)
    assembler.close(0)
    assembler.text("so", 1, explicit=True)
    assembler.attach({"citations": [1]}, 1)
    assembler.close(1)
    assembler.complete("end_turn")
    raw = {"provider": "acme-type", "model": "large-1", "signature": "s"}
    assert assembler.content == [ThinkingBlock("hm", raw), TextBlock("so", {"citations": [1]})]
    thoughts = [event for event in assembler.take() if isinstance(event, ThinkingDelta)]
    assert [(event.text, event.provider_raw) for event in thoughts] == [("hm", None), ("", raw)]


def test_origin_falls_back_to_what_is_known() -> None:
    assert Assembler("msg_1", "acme:large:v2", "acme").origin == {"provider": "acme", "model": "large:v2"}


def test_an_answer_without_words_still_starts_and_ends() -> None:
    assembler = new()
    assembler.complete("refusal")
    assert [event.__class__.__name__ for event in assembler.take()] == ["MessageStart"]
    assert assembler.terminal_event().stop_reason == "refusal"
    assert assembler.usage is not None
    assert assembler.usage.estimated


def test_arguments_for_no_call_are_told_not_lost_in_silence() -> None:
    assembler = new()
    assembler.tool_arguments(7, '{"a": 1}')
    assembler.tool_arguments(7, " ")
    assert [warning.code for warning in assembler.warnings] == ["stream_repaired"]


def test_text_deltas_carry_the_index_of_their_block() -> None:
    assembler = new()
    words_around_a_call(assembler)
    assert [event.content_block_index for event in assembler.take() if isinstance(event, TextDelta)] == [0, 2]
