"""Text dialects under anything: however an answer is cut, the same events; no text is lost, no call is shown; what is written
into a history reads back as what it was.
"""

from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from modeld.providers.dialects import DIALECTS, DialectAssembler
from modeld.providers.dialects.contract import Dialect
from modeld_protocol.content import TextBlock, ToolUseBlock
from modeld_protocol.events import MessageStart, TextDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
from modeld_protocol.response import StopReason

DIALECT = st.sampled_from(list(DIALECTS.values()))
STOPS: st.SearchStrategy[StopReason] = st.sampled_from(["end_turn", "max_tokens", "error", "cancelled", "stop_sequence"])
# Pieces that a parser of either dialect has to tell apart, in any order.
SHREDS = st.sampled_from(
    [
        *("<tool_call>", "</tool_call>", "```tool_call", "```", "\n```", "\n", "<", "</", "<tool_", "call>", "`", "``", "_call"),
        *(
            '{"name": "f", "arguments": {',
            '{"name": "f"',
            '"arguments": ',
            '{"arguments": {"a": 1}, "name": "g"}',
            "{",
            "}",
            "}}",
        ),
        *("[", "]", ",", '"', "\\", '\\"', ": ", "null", '"a": "b"', '"x\n', "Hello", " ", "   ", "é😀", "</tool_", "1"),
        *(
            '{"name": "f", "arguments": {"a": "</tool_call>"}}',
            '{"name": "f", "arguments": "{\\"a\\": 1}"}',
            '{"name": 3}',
            "x" * 70,
        ),
    ]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | SHREDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), JSON, max_size=3)
CALLS = st.tuples(st.sampled_from(["f", "get_weather", 'odd "name"', "a b"]), ARGUMENTS)
PROSE = st.text(st.sampled_from("abc \n.,<>`'é"), max_size=12).filter(lambda text: "```" not in text and "<tool" not in text)


def answered(dialect: Dialect, pieces: list[str], stop: StopReason = "end_turn") -> DialectAssembler:
    assembler = DialectAssembler(dialect, "msg_1", "p:m", "p")
    for piece in pieces:
        assembler.text(piece)
    assembler.complete(stop)
    return assembler


def joined(assembler: DialectAssembler) -> list[Any]:
    """The events, with deltas of one block as one."""
    found: list[Any] = []
    for e in assembler.events:
        if isinstance(e, TextDelta):
            entry = ["text", e.content_block_index, e.text]
        elif isinstance(e, ToolUseInputDelta):
            entry = ["input", e.content_block_index, e.partial_json]
        else:
            entry = [e]
        if found and len(entry) == 3 and found[-1][:2] == entry[:2]:
            found[-1][2] += entry[2]
        else:
            found.append(entry)
    return found


def cut(text: str, places: list[int]) -> list[str]:
    marks = sorted({place % (len(text) + 1) for place in places})
    return [text[a:b] for a, b in zip([0, *marks], [*marks, len(text)], strict=True)]


def check_promises(assembler: DialectAssembler) -> None:
    events, content = assembler.events, assembler.content
    assert not events or isinstance(events[0], MessageStart)
    indexes = [e.content_block_index for e in events if not isinstance(e, MessageStart)]
    assert indexes == sorted(indexes)
    started = [e.tool_use_id for e in events if isinstance(e, ToolUseStart)]
    assert started == [e.tool_use_id for e in events if isinstance(e, ToolUseEnd)]
    assert len(set(started)) == len(started)
    shown = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert shown == "".join(block.text for block in content if isinstance(block, TextBlock))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Dialect, str]:
    """A dialect, and an answer with whole calls, damaged ones, and shreds of both dialects."""
    dialect = draw(DIALECT)
    parts: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        part = dialect.write_call(*draw(CALLS))
        for _ in range(draw(st.integers(0, 2))):
            at, length = draw(st.integers(0, len(part))), draw(st.integers(0, 12))
            part = part[:at] + draw(SHREDS) + part[at + length :]
        parts += [part, draw(st.sampled_from(["", "\n", "  ", " Well. ", "\n\n" + " " * 1_030])), draw(SHREDS)]
    parts += draw(st.lists(SHREDS, max_size=5))
    return dialect, "".join(parts)


@settings(max_examples=400, deadline=None)
@given(answers(), st.lists(st.integers(0, 4_000), max_size=8), STOPS)
def test_any_cut_gives_the_same_events(answer: tuple[Dialect, str], places: list[int], stop: StopReason) -> None:
    dialect, text = answer
    whole = answered(dialect, [text], stop)
    check_promises(whole)
    for pieces in (list(text), cut(text, places)):
        other = answered(dialect, pieces, stop)
        assert joined(other) == joined(whole)
        assert other.content == whole.content
        assert other.stop_reason == whole.stop_reason
        assert other.warnings == whole.warnings
    event(f"{sum(isinstance(block, ToolUseBlock) for block in whole.content)} calls, {len(whole.warnings)} warnings")


@settings(max_examples=200, deadline=None)
@given(DIALECT, st.lists(SHREDS, max_size=12).map("".join))
def test_text_without_the_mark_stays_as_it_is(dialect: Dialect, text: str) -> None:
    text = text.replace(dialect.opening, "")
    while dialect.opening in text:
        text = text.replace(dialect.opening, "")
    assembler = answered(dialect, list(text))
    assert assembler.content == ([TextBlock(text)] if text else [])
    assert assembler.warnings == []


@settings(max_examples=250, deadline=None)
@given(DIALECT, st.lists(PROSE | CALLS, max_size=5), st.integers(1, 9))
def test_what_was_written_reads_back(dialect: Dialect, parts: list[Any], size: int) -> None:
    text = "\n".join(part if isinstance(part, str) else dialect.write_call(*part) for part in parts)
    assembler = answered(dialect, [text[at : at + size] for at in range(0, len(text), size)])
    calls = [(block.name, block.input) for block in assembler.content if isinstance(block, ToolUseBlock)]
    assert calls == [part for part in parts if not isinstance(part, str)]
    said = "".join("".join(block.text for block in assembler.content if isinstance(block, TextBlock)).split())
    assert said == "".join("".join(part for part in parts if isinstance(part, str)).split())
    assert assembler.warnings == []
    assert assembler.stop_reason == ("tool_use" if calls else "end_turn")
    check_promises(assembler)


@settings(max_examples=150, deadline=None)
@given(DIALECT, CALLS, st.integers(0, 400), st.sampled_from(["max_tokens", "error", "end_turn"]))
def test_a_call_that_was_cut_never_shows_half_a_mark(dialect: Dialect, call: Any, length: int, stop: StopReason) -> None:
    whole = dialect.write_call(*call)
    text = "Well." + whole[: length % len(whole)]
    assembler = answered(dialect, list(text), stop)
    said = "".join(block.text for block in assembler.content if isinstance(block, TextBlock))
    if stop != "end_turn":
        assert said == "Well."
        lost = text != "Well." and not any(isinstance(block, ToolUseBlock) for block in assembler.content)
        assert not lost or assembler.warnings
    elif not any(isinstance(block, ToolUseBlock) for block in assembler.content):
        assert said == text
    check_promises(assembler)
