"""Who watches the demo: what a scene shows, and the audience that reads it as plain lines."""

import sys
from typing import Literal, Protocol, TextIO

import msgspec

from modeld_protocol.events import Event, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart

from ..table import Column, lay_out, render
from .bill import TITLES, Bill

CLIENTS = ("editor", "agent")
Tone = Literal["good", "warn", "bad", "dim"]


class Title(msgspec.Struct, frozen=True):
    """A scene's name: for the list, as a heading, and what to look out for."""

    short: str
    heading: str
    says: str


class Check(msgspec.Struct, frozen=True):
    """Something that the demo saw, or should have seen."""

    said: str
    held: bool


class Audience(Protocol):
    """Told what happens, in order."""

    def scene(self, number: int, of: int, title: Title) -> None:
        """A scene begins; numbers count from 1."""
        ...

    def asked(self, who: str, model: str, prompt: str) -> None:
        """A client asks a model."""
        ...

    def event(self, who: str, event: Event) -> None:
        """A client receives an event."""
        ...

    def ended(self, who: str) -> None:
        """A client's call is over: answered, failed or cancelled."""
        ...

    def note(self, who: str, text: str, tone: Tone) -> None:
        """Something happened to a client."""
        ...

    def judged(self, checks: list[Check]) -> None:
        """A scene ends."""
        ...

    def bill(self, bill: Bill, daemon: str) -> None:
        """What it all cost; `daemon` is what the daemon itself used."""
        ...


BILL_COLUMNS = tuple(
    Column(title, right=place > 1, worth=None if place < 3 else 10 - place) for place, title in enumerate(TITLES)
)


class PlainAudience:
    """Lines for a file or a pipe. What two clients do at once is told one after the other, so that every run reads the same."""

    def __init__(self, out: TextIO | None = None, width: int = 100) -> None:
        self._out = out or sys.stdout
        self._width = width
        self._lines: dict[str, list[str]] = {who: [] for who in CLIENTS}
        self._pieces: dict[str, list[str]] = {who: [] for who in CLIENTS}
        self._kind: dict[str, str] = dict.fromkeys(CLIENTS, "")

    def scene(self, number: int, of: int, title: Title) -> None:
        """The heading, at once: a run that hangs shows where."""
        self._print(f"\n[{number}/{of}] {title.heading}", f"       {title.says}")

    def asked(self, who: str, model: str, prompt: str) -> None:
        """The question."""
        self._end(who)
        self._lines[who].append(f"asks {model}: {prompt}")

    def event(self, who: str, event: Event) -> None:
        """Deltas are put together until another kind comes."""
        kind, piece = kind_and_piece(event)
        if kind and kind != self._kind[who]:
            self._end(who)
            self._kind[who] = kind
        if piece:
            self._pieces[who].append(piece)
        if isinstance(event, ToolUseEnd):
            self._end(who)

    def ended(self, who: str) -> None:
        """What was received becomes a line."""
        self._end(who)

    def note(self, who: str, text: str, tone: Tone) -> None:
        """Beside what is being received."""
        self._end(who)
        self._lines[who].append(text)

    def judged(self, checks: list[Check]) -> None:
        """Everything that was held back, then the verdict."""
        for who in CLIENTS:
            self._end(who)
            for line in self._lines[who]:
                self._print(f"{who:<6} | {line}")
            self._lines[who].clear()
        for check in checks:
            self._print(f"{'ok' if check.held else 'FAILED':<6} | {check.said}")

    def bill(self, bill: Bill, daemon: str) -> None:
        """The table."""
        rows = [line.cells() for line in (*bill.lines(), bill.total())]
        self._print("", *render(lay_out(BILL_COLUMNS, rows, self._width)), "", daemon)

    def _end(self, who: str) -> None:
        pieces, kind = self._pieces[who], self._kind[who]
        if kind:
            count = f"{len(pieces)} piece{'' if len(pieces) == 1 else 's'}"
            self._lines[who].append(f"{kind} ({count}): {''.join(pieces)}")
        self._pieces[who], self._kind[who] = [], ""

    def _print(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._out, flush=True)


def kind_and_piece(event: Event) -> tuple[str, str]:
    """What an event is part of, in words, and the text that it adds; two empty strings where it shows nothing."""
    if isinstance(event, TextDelta):
        return "text", event.text
    if isinstance(event, ThinkingDelta):
        return ("thinking", event.text) if event.text else ("", "")
    if isinstance(event, ToolUseStart):
        return f"calls {event.tool_name}", ""
    if isinstance(event, ToolUseInputDelta):
        return "", event.partial_json
    return "", ""
