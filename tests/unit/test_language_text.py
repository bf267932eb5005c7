"""The text of a document as editors count it, against a plain account of the same."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.language.text import ENCODINGS, Change, Encoding, Position, Range, apply, chosen_encoding, text_of

# Every odd line end there is, of which only CR, LF and CRLF count; letters of 1, 2, 3 and 4 bytes.
TEXTS = st.text(alphabet="a \r\n\u2028\u2029\u0085\x0b\x0cé€😀𝒳", max_size=14)
POSITIONS = st.builds(Position, st.integers(0, 5), st.integers(0, 9))
ENCODING = st.sampled_from(ENCODINGS)


def units(text: str, encoding: Encoding) -> int:
    if encoding == "utf-32":
        return len(text)
    return len(text.encode("utf-16-le")) // 2 if encoding == "utf-16" else len(text.encode())


@settings(max_examples=400)
@given(TEXTS, ENCODING)
def test_every_index_has_its_position_and_back(content: str, encoding: Encoding) -> None:
    text = text_of(content)
    lines = re.split("\r\n|\r|\n", content)
    assert len(text.line_starts) == len(lines)
    for index in range(len(content) + 1):
        line = len(re.split("\r\n|\r|\n", content[:index] + "x")) - 1
        if content[index - 1 : index + 1] == "\r\n":
            continue  # nobody can point between the two
        start = text.line_starts[line]
        assert text.position(index, encoding) == Position(line, units(content[start:index], encoding))
        assert text.index(text.position(index, encoding), encoding) == index


@settings(max_examples=400)
@given(TEXTS, st.lists(st.tuples(TEXTS, POSITIONS, POSITIONS), min_size=1, max_size=4), ENCODING)
def test_edits_in_a_row_land_where_they_should(
    content: str, edits: list[tuple[str, Position, Position]], encoding: Encoding
) -> None:
    text = text_of(content)
    for new, one, other in edits:
        place = Range(min(one, other), max(one, other))
        start, end = text.index(place.start, encoding), text.index(place.end, encoding)
        expected = text.content[:start] + new + text.content[end:]
        text = apply(text, [Change(new, place)], encoding)
        assert text == text_of(expected)


@settings(max_examples=200)
@given(TEXTS, st.lists(st.tuples(TEXTS, POSITIONS), max_size=4), ENCODING)
def test_several_edits_at_once_are_the_same_one_by_one(
    content: str, edits: list[tuple[str, Position]], encoding: Encoding
) -> None:
    changes = [Change(new, Range(at, at)) for new, at in edits]
    together = apply(text_of(content), changes, encoding)
    text = text_of(content)
    for change in changes:
        text = apply(text, [change], encoding)
    assert text == together


@pytest.mark.parametrize(
    ("content", "position", "encoding", "index"),
    [
        ("😀b", (0, 2), "utf-16", 1),
        ("😀b", (0, 1), "utf-16", 0),  # inside a pair: before it
        ("😀b", (0, 4), "utf-8", 1),
        ("😀b", (0, 1), "utf-32", 1),
        ("ab\ncd", (0, 99), "utf-16", 2),
        ("ab\r\ncd", (0, 99), "utf-16", 2),
        ("ab\r\ncd", (1, 0), "utf-16", 4),
        ("ab", (7, 7), "utf-16", 2),
        ("ab", (-1, -1), "utf-16", 0),
        ("a\u2028b\nc", (0, 2), "utf-16", 2),
        ("a\u2028b\nc", (1, 0), "utf-16", 4),
        ("", (0, 0), "utf-16", 0),
    ],
)
def test_positions(content: str, position: tuple[int, int], encoding: Encoding, index: int) -> None:
    assert text_of(content).index(Position(*position), encoding) == index


def test_a_text_without_a_range_replaces_everything() -> None:
    changes = [
        Change("b", Range(Position(0, 0), Position(0, 0))),
        Change("x\ny"),
        Change("z", Range(Position(1, 0), Position(1, 1))),
    ]
    assert apply(text_of("a"), changes, "utf-16").content == "x\nz"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], "utf-16"),
        (["utf-8", "utf-16"], "utf-8"),
        (["utf-16", "utf-8"], "utf-16"),
        (["utf-7", "utf-32"], "utf-32"),
        (["x"], "utf-16"),
    ],
)
def test_the_encoding_is_the_first_known(offered: list[str], chosen: str) -> None:
    assert chosen_encoding(offered) == chosen
