"""Parses calls from a model's text while it comes. Pure: text in, verbs of a Sink out.

Invariants, however the text is cut: the same verbs (fragments joined); no part of a call is ever text, no text is lost; a call
starts as soon as its name and the beginning of its arguments have come, and ends with them. What begins like a call and is
none stays text. White space around calls belongs to them.
"""

import re
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from .balance import Balance, held_length
from .contract import Dialect, Sink

_SPACE: Final = " \t\r\n"
_LEAD: Final = _SPACE + "["  # some models write a list of calls
_BETWEEN: Final = _SPACE + ",]"
_MAX_HELD_SPACE: Final = 1_024  # a longer run of white space is shown, call or not
_NAMES: Final = ("name", "tool", "tool_name", "function")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
_IGNORED: Final = frozenset(("id", "type", "index"))
_MAX_HEAD_CHARS: Final = 1_024  # no match of the pattern below is longer
_HEAD: Final = re.compile(
    rf'\{{[ \t\r\n]{{0,64}}"(?:{"|".join(_NAMES)})"[ \t\r\n]{{0,64}}:[ \t\r\n]{{0,64}}("(?:[^"\\\x00-\x1f]|\\.){{1,256}}")'
    rf'[ \t\r\n]{{0,64}},[ \t\r\n]{{0,64}}"(?:{"|".join(_ARGUMENTS)})"[ \t\r\n]{{0,64}}:[ \t\r\n]{{0,64}}(?=\{{)'
)
_BROKEN: Final = "what begins as a tool call in the answer is none; it is text"


class CallScanner:
    """One answer's text. A state takes text and returns what is left for the next; what needs more text first it keeps back."""

    __slots__ = ("_after_call", "_balance", "_dialect", "_gap", "_head", "_head_chars", "_held", "_lead", "_sink", "_state")

    def __init__(self, dialect: Dialect, sink: Sink) -> None:
        self._dialect = dialect
        self._sink = sink
        self._state: Callable[[str], str] = self._text
        self._held = ""
        self._after_call = False
        self._gap = ""  # white space before what may be a call
        self._lead = ""
        self._head: list[str] = []  # of a call whose name is not known yet
        self._head_chars = 0
        self._balance = self._new_balance()

    def feed(self, text: str) -> None:
        """A piece of the answer's text."""
        if self._held:
            text = self._held + text
            self._held = ""
        while text:
            text = self._state(text)

    def flush(self) -> None:
        """Something else than text comes: what was kept back and is no call is text."""
        if self._state == self._text:
            held, self._held = self._held, ""
            self._say(held)

    def end(self, *, cut: bool) -> None:
        """The answer is over. `cut`: not of the model's own will, so what looks unfinished is, and is not shown."""
        state, held = self._state, self._held
        self._held = ""
        self._state = self._text
        if state == self._text:
            self._end_text(held, cut)
        elif state == self._begin:
            self._give_up(self._lead + held, cut)
        elif state in (self._name, self._broken_name):
            self._end_name(held, cut)
        elif state in (self._arguments, self._broken_arguments):
            self._end_arguments(held, broken=state == self._broken_arguments)

    # ---- text

    def _text(self, data: str) -> str:
        opening = self._dialect.opening
        if opening[0] not in data and data[-1] not in _SPACE:  # most of any text
            self._say(data)
            return ""
        found = data.find(opening)
        if found >= 0:
            space = _held_space(data, found)
            self._say(data[: found - space])
            self._gap = data[found - space : found]
            self._lead = ""
            self._state = self._begin
            return data[found + len(opening) :]
        stable = len(data) - held_length(data, opening)
        space = _held_space(data, stable)
        self._say(data[: stable - space])
        self._held = data[stable - space :]
        return ""

    def _say(self, text: str) -> None:
        if self._after_call:
            text = text.lstrip(_SPACE)
        if text:
            self._after_call = False
            self._sink.on_text(text)

    def _end_text(self, held: str, cut: bool) -> None:
        mark = held.lstrip(_SPACE)
        if cut and mark:
            self._sink.on_warning("tool_call_truncated", "the answer was cut where a tool call may have begun", mark)
            held = held[: len(held) - len(mark)]
        self._say(held)

    # ---- the beginning of a call

    def _begin(self, data: str) -> str:
        """After the opening mark: whether an object begins."""
        bare = data.lstrip(_LEAD)
        room = _MAX_HELD_SPACE + 1 - len(self._lead)
        lead = data[: min(len(data) - len(bare), room)]
        self._lead += lead
        if len(lead) == room:
            return self._as_text(data[room:])
        if not bare:
            return ""
        if bare[0] != "{":
            return self._as_text(bare)
        self._head, self._head_chars = [], 0
        self._balance = self._new_balance()
        self._state = self._name
        return bare

    def _as_text(self, rest: str) -> str:
        """It was no call: the mark, and what stands before and behind it, is text."""
        self._say(self._gap + self._dialect.opening + self._lead)
        self._state = self._text
        return rest

    def _name(self, data: str) -> str:
        """Within the object, before the arguments: as soon as the usual beginning is there, the call starts."""
        if self._head_chars < _MAX_HEAD_CHARS:
            head = "".join(self._head) + data
            usual = _HEAD.match(head)
            name = _decoded(usual[1].encode("utf-8", "replace")) if usual is not None else None
            if usual is not None and isinstance(name, str):
                self._start(name)
                return head[usual.end() :]
        at, found = self._balance.scan(data)
        self._keep(data[:at])
        if found == "end":
            return self._take_whole("".join(self._head), data[at:], closed=False)
        if found == "closed":
            return self._take_whole("".join(self._head), data[at:], closed=True)
        if found == "broken":
            self._state = self._broken_name
            return data[at:]
        self._held = data[at:]
        return ""

    def _keep(self, text: str) -> None:
        self._head.append(text)
        self._head_chars += len(text)

    def _start(self, name: str) -> None:
        self._sink.on_call(name)
        self._after_call = True
        self._balance = self._new_balance()
        self._state = self._arguments

    def _broken_name(self, data: str) -> str:
        """No JSON, and no name yet: up to the end mark all of it is text."""
        breaking = self._dialect.breaking
        found = data.find(breaking)
        if found < 0:
            held = held_length(data, breaking)
            self._keep(data[: len(data) - held])
            self._held = data[len(data) - held :]
            return ""
        self._keep(data[: found + len(breaking)])
        self._reject("".join(self._head))
        return data[found + len(breaking) :]

    def _take_whole(self, raw: str, rest: str, *, closed: bool) -> str:
        """An object that is whole, or was ended by its mark, and not of the usual form."""
        call = _call_of(raw) or (_call_of(raw + "}") if closed else None)
        if call is None:
            if closed:
                raw += self._dialect.closing
                rest = rest[len(self._dialect.closing) :]
            self._reject(raw)
            return rest
        self._emit_whole(*call)
        self._state = self._after
        return rest

    def _emit_whole(self, name: str, arguments: str) -> None:
        self._sink.on_call(name)
        self._after_call = True
        self._argue(arguments)
        self._sink.on_call_end()

    def _reject(self, raw: str) -> None:
        self._state = self._text
        self._sink.on_warning("tool_arguments_invalid", _BROKEN, raw)
        self._say(self._gap + self._dialect.opening + self._lead + raw)

    def _give_up(self, raw: str, cut: bool) -> None:
        """The answer ended within what looked like a call."""
        if cut:
            message = "the answer was cut within a tool call; it is not part of the content"
            self._sink.on_warning("tool_call_truncated", message, self._dialect.opening + raw)
            return
        self._say(self._gap + self._dialect.opening + raw)

    def _end_name(self, held: str, cut: bool) -> None:
        raw = "".join(self._head) + held
        call = _call_of(raw + "}")
        if call is not None and not cut:
            self._emit_whole(*call)
            return
        if not cut:
            self._sink.on_warning("tool_arguments_invalid", _BROKEN, raw)
        self._give_up(self._lead + raw, cut)

    # ---- its arguments

    def _argue(self, fragment: str) -> None:
        if fragment:
            self._sink.on_arguments(fragment)

    def _arguments(self, data: str) -> str:
        at, found = self._balance.scan(data)
        self._argue(data[:at])
        if found == "more":
            self._held = data[at:]
            return ""
        if found == "broken":
            self._state = self._broken_arguments
            return data[at:]
        self._sink.on_call_end()
        if found == "closed":
            self._state = self._text
            return data[at + len(self._dialect.closing) :]
        self._balance = self._new_balance(depth=1)
        self._state = self._tail
        return data[at:]

    def _broken_arguments(self, data: str) -> str:
        """No JSON any more: all up to the end mark belongs to the call, whose arguments are invalid."""
        breaking = self._dialect.breaking
        found = data.find(breaking)
        if found < 0:
            held = held_length(data, breaking)
            self._argue(data[: len(data) - held])
            self._held = data[len(data) - held :]
            return ""
        self._argue(data[:found])
        self._sink.on_call_end()
        self._state = self._text
        return data[found + len(breaking) :]

    def _end_arguments(self, held: str, *, broken: bool) -> None:
        at, found = (len(held), "more") if broken else self._balance.scan(held, ended=True)
        rest = held[at + len(self._dialect.breaking) :] if found == "closed" else ""
        self._argue(held[:at] if found == "closed" else held)
        self._sink.on_call_end()
        self._say(rest.rstrip(_SPACE))

    # ---- behind them

    def _tail(self, data: str) -> str:
        """What else stands in the object. A missing brace is nobody's loss."""
        at, found = self._balance.scan(data)
        if found == "end":
            self._state = self._after
            return data[at:]
        if found == "closed":
            self._state = self._text
            return data[at + len(self._dialect.closing) :]
        if found == "broken":
            self._state = self._skip
            return data[at:]
        self._held = data[at:]
        return ""

    def _skip(self, data: str) -> str:
        breaking = self._dialect.breaking
        found = data.find(breaking)
        if found >= 0:
            self._state = self._text
            return data[found + len(breaking) :]
        self._held = data[len(data) - held_length(data, breaking) :]
        return ""

    def _after(self, data: str) -> str:
        """Behind an object: its end mark, another object, or text where the mark was forgotten."""
        bare = data.lstrip(_BETWEEN)
        if not bare:
            return ""
        for mark, state in ((self._dialect.opening, self._begin), (self._dialect.closing, self._text)):
            if bare.startswith(mark):
                self._gap = self._lead = ""
                self._state = state
                return bare[len(mark) :]
            if mark.startswith(bare):
                self._held = bare
                return ""
        if bare[0] == "{":
            self._gap = self._lead = ""
            self._state = self._begin
        else:
            self._state = self._text
        return bare

    def _new_balance(self, depth: int = 0) -> Balance:
        return Balance(self._dialect.closing, self._dialect.breaking, depth)


def _held_space(data: str, end: int) -> int:
    """How many characters of white space before `end` are kept back; the same however the run was cut."""
    return (end - len(data[:end].rstrip(_SPACE))) % (_MAX_HELD_SPACE + 1)


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _call_of(raw: str) -> tuple[str, str] | None:
    """Name and literal arguments of a call's object, whatever it calls them; None where it is no call."""
    try:
        members = msgspec.json.decode(raw.encode("utf-8", "replace"), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return None
    name_key = next((key for key in _NAMES if key in members), None)
    name = _decoded(bytes(members.pop(name_key))) if name_key is not None else None
    if not isinstance(name, str) or not name:
        return None
    for key in _ARGUMENTS:
        if key in members:
            return name, _arguments_text(bytes(members[key]))
    return None if members.keys() - _IGNORED else (name, "{}")


def _arguments_text(data: bytes) -> str:
    """Arguments as they stand; those that a model wrote as a text of JSON are that text."""
    value = _decoded(data)
    if value is None:
        return "{}"
    if isinstance(value, str):
        return value if isinstance(cast(object, _decoded(value.encode("utf-8", "replace"))), dict) else data.decode()
    return data.decode()
