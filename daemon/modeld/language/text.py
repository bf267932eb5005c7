"""The text of a document as an editor counts it: lines, columns in the negotiated unit, and incremental edits."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Literal

import msgspec

Encoding = Literal["utf-8", "utf-16", "utf-32"]
"""What a column counts: bytes of UTF-8, units of UTF-16, or characters."""

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
DEFAULT_ENCODING: Encoding = "utf-16"

# CR, LF and CRLF end a line and nothing else does.
_BREAK = re.compile(r"\r\n|\r|\n")


class Position(msgspec.Struct, frozen=True, order=True):
    """LSP's position: line and column from 0."""

    line: int
    character: int


class Range(msgspec.Struct, frozen=True):
    """LSP's range, the end exclusive."""

    start: Position
    end: Position


class Change(msgspec.Struct, frozen=True):
    """LSP's TextDocumentContentChangeEvent; without `range` the text replaces everything."""

    text: str
    range: Range | None = None


class Text(msgspec.Struct, frozen=True):
    """A text and where its lines start, in characters."""

    content: str
    line_starts: list[int]

    def line_end(self, line: int) -> int:
        """Where a line's content ends, before its line break."""
        if line + 1 >= len(self.line_starts):
            return len(self.content)
        end = self.line_starts[line + 1]
        return end - 2 if self.content[end - 2 : end] == "\r\n" else end - 1

    def line_of(self, index: int) -> int:
        """The line, from 0, that holds an index."""
        return bisect_right(self.line_starts, index) - 1

    def index(self, position: Position, encoding: Encoding) -> int:
        """The index of a position. What lies beyond a line means the line's end, beyond the text its end, and what lies
        inside a character its start."""
        if position.line >= len(self.line_starts):
            return len(self.content)
        if position.line < 0 or position.character <= 0:
            return self.line_starts[max(position.line, 0)]
        start, end = self.line_starts[position.line], self.line_end(position.line)
        return start + _characters(self.content[start:end], position.character, encoding)

    def position(self, index: int, encoding: Encoding) -> Position:
        """The position of an index; of one inside a line break the end of its line."""
        index = max(0, min(index, len(self.content)))
        line = self.line_of(index)
        start = self.line_starts[line]
        return Position(line, _units(self.content[start : min(index, self.line_end(line))], encoding))


def text_of(content: str) -> Text:
    """A whole text."""
    return Text(content, [0, *(found.end() for found in _BREAK.finditer(content))])


def apply(text: Text, changes: Iterable[Change], encoding: Encoding) -> Text:
    """The text after `changes`, each of which counts in the text that the one before left."""
    for change in changes:
        text = text_of(change.text) if change.range is None else _replace(text, change.range, change.text, encoding)
    return text


def chosen_encoding(offered: Iterable[str]) -> Encoding:
    """The first of a client's encodings that is known; UTF-16 where it names none."""
    for name in offered:
        for encoding in ENCODINGS:
            if name == encoding:
                return encoding
    return DEFAULT_ENCODING


def _replace(text: Text, place: Range, new: str, encoding: Encoding) -> Text:
    first, last = sorted((text.index(place.start, encoding), text.index(place.end, encoding)))
    content = text.content[:first] + new + text.content[last:]
    # An edit may join the CR that ends the line before with an LF, so lines are counted anew from there to the line after.
    before = max(text.line_of(first) - 1, 0)
    after = text.line_of(last) + 1
    shift = len(new) - (last - first)
    old_end = text.line_starts[after] if after < len(text.line_starts) else len(text.content)
    start = text.line_starts[before]
    inner = [found.end() for found in _BREAK.finditer(content, start, old_end + shift)]
    rest = [at + shift for at in text.line_starts[after + 1 :]]
    return Text(content, [*text.line_starts[: before + 1], *inner, *rest])


def _units(part: str, encoding: Encoding) -> int:
    """How many units `part` has."""
    if encoding == "utf-32" or part.isascii():
        return len(part)
    if encoding == "utf-16":
        return len(part.encode("utf-16-le", "surrogatepass")) // 2
    return len(part.encode("utf-8", "surrogatepass"))


def _characters(line: str, units: int, encoding: Encoding) -> int:
    """How many whole characters of `line` the first `units` hold."""
    if encoding == "utf-32" or line.isascii():
        return min(units, len(line))
    if encoding == "utf-16":
        part = line.encode("utf-16-le", "surrogatepass")[: units * 2]
        if len(part) >= 2 and 0xD8 <= part[-1] <= 0xDB and _units(line, encoding) > units:
            part = part[:-2]  # the first half of a pair
        return len(part.decode("utf-16-le", "surrogatepass"))
    return len(line.encode("utf-8", "surrogatepass")[:units].decode("utf-8", "ignore"))
