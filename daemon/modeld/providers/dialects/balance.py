"""Finds the end of a JSON object in text that is still coming, without reading the object. Pure."""

import re
from typing import Final, Literal

Found = Literal["end", "closed", "broken", "more"]

_OUTSIDE: Final = re.compile(r"[{}\[\]\"<`]")
_INSIDE: Final = re.compile(r"[\"\\\n<`]")
_REST_OF_STRING: Final = re.compile(r"(?:[^\"\\\n]|\\.)*+", re.DOTALL)
_LOOK_AHEAD: Final = (
    4_096  # a mark inside a string is content, unless the line ends within so many characters and the string does not
)


class Balance:
    """Where in an object the text is: how deep, and whether in a string. `closing` is a mark that ends a call outside of strings,
    `breaking` one that ends it inside of a string that the line end proves broken."""

    __slots__ = ("_breaking", "_closing", "_quoted", "depth")

    def __init__(self, closing: str, breaking: str, depth: int = 0) -> None:
        self._closing = closing
        self._breaking = breaking
        self._quoted = False
        self.depth = depth

    def scan(self, text: str, *, ended: bool = False) -> tuple[int, Found]:
        """How far the text was read, and why it stopped there.

        `end`: the object ends before that place. `closed`: a mark stands there, before the object's end. `broken`: a line end
        stands there in a string, so this is no JSON. `more`: what follows may be the beginning of a mark; it has to be given
        again with more text. With `ended` no more will come.
        """
        at = 0
        while True:
            if self._quoted:
                at, found = self._scan_string(text, at, ended)
            else:
                at, found = self._scan_plain(text, at, ended)
            if found is not None:
                return at, found

    def _scan_plain(self, text: str, at: int, ended: bool) -> tuple[int, Found | None]:
        while (match := _OUTSIDE.search(text, at)) is not None:
            char, place = match[0], match.start()
            at = place + 1
            if char == '"':
                self._quoted = True
                return at, None
            if char in "{[":
                self.depth += 1
            elif char in "}]":
                self.depth -= 1
                if self.depth <= 0:
                    return at, "end"
            elif (mark := _mark_at(text, place, self._closing, ended)) is not None:
                return place, mark
        return len(text), "more"

    def _scan_string(self, text: str, at: int, ended: bool) -> tuple[int, Found | None]:
        while (match := _INSIDE.search(text, at)) is not None:
            char, place = match[0], match.start()
            at = place + 1
            if char == '"':
                self._quoted = False
                return at, None
            if char == "\n":
                return place, "broken"
            if char == "\\":
                if at == len(text):
                    return (at if ended else place), "more"
                at += 1
            elif (mark := _mark_at(text, place, self._breaking, ended)) is not None:
                verdict = self._verdict(text, place, ended) if mark == "closed" else mark
                if verdict is not None:
                    return place, verdict
        return len(text), "more"

    def _verdict(self, text: str, place: int, ended: bool) -> Found | None:
        """Of a mark in a string: None where it is content, because the string goes on to its end."""
        begin = place + len(self._breaking)
        limit = min(len(text), begin + _LOOK_AHEAD)
        rest = _REST_OF_STRING.match(text, begin, limit)
        stop = rest.end() if rest is not None else begin
        if stop < limit and text[stop] in '"\n':
            return "closed" if text[stop] == "\n" else None
        if limit - begin >= _LOOK_AHEAD:
            return None
        return "closed" if ended else "more"


def _mark_at(text: str, place: int, mark: str, ended: bool) -> Found | None:
    """Whether `mark` stands at `place`, or may once more text has come."""
    if text.startswith(mark, place):
        return "closed"
    return "more" if not ended and mark.startswith(text[place:]) else None


def held_length(text: str, mark: str) -> int:
    """How many characters at the end of `text` may be the beginning of `mark`."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
