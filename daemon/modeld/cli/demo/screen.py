"""The demo on a terminal: a list of scenes, two clients side by side, and at the end the bill."""

import time
from collections import deque

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from modeld_protocol.events import Event, ToolUseEnd

from .audience import CLIENTS, Check, Title, Tone, kind_and_piece
from .bill import TITLES, Bill

MIN_WIDTH, MIN_HEIGHT = 72, 20
MAX_HEIGHT = 38
_CHECK_LINES = 3
_HEAD_LINES = 4 + _CHECK_LINES
_MIN_PANEL_LINES = 6
_MAX_SEGMENTS = 400  # of one transcript; the rest has scrolled away
_TONES: dict[Tone, str] = {"good": "green", "warn": "yellow", "bad": "red", "dim": "dim"}
_MARKS: dict[Tone, str] = {"good": "✓ ", "warn": "! ", "bad": "✗ ", "dim": "· "}
_KINDS = {"text": "", "thinking": "italic bright_black"}
_TOOL = "cyan"
_GAP = "  "


class Transcript:
    """What one client has seen, as styled text that grows at its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model = ""
        self.running = False
        self.pieces = 0
        self.took_s = 0.0
        self._segments: deque[tuple[str, str]] = deque(maxlen=_MAX_SEGMENTS)
        self._kind = ""
        self._began_s = 0.0

    def asked(self, model: str, prompt: str) -> None:
        """A call begins."""
        self.model, self.running, self.pieces = model, True, 0
        self._began_s = time.monotonic()
        self.line(f"› {prompt}", "bold")

    def ended(self) -> None:
        """The call is over, whichever way."""
        self.running = False

    def line(self, text: str, style: str) -> None:
        """A line of its own."""
        self._end_line()
        self._segments.append((text + "\n", style))

    def _end_line(self) -> None:
        if self._segments and not self._segments[-1][0].endswith("\n"):
            self._segments.append(("\n", ""))
        self._kind = ""

    def event(self, event: Event) -> None:
        """Let the text grow."""
        kind, piece = kind_and_piece(event)
        if kind and kind != self._kind:
            self._end_line()
            self._kind = kind
            if kind not in _KINDS:
                self._segments.append((f"→ {kind.removeprefix('calls ')} ", _TOOL))
        if piece:
            self.pieces += 1
            self.took_s = time.monotonic() - self._began_s
            self._segments.append((piece, _KINDS.get(self._kind, _TOOL)))
        if isinstance(event, ToolUseEnd):
            self._end_line()

    def tail(self, console: Console, width: int, height: int) -> Text:
        """The last lines that fit."""
        text = Text()
        for piece, style in self._segments:
            text.append(piece, style)
        text.rstrip()
        if self.running:
            text.append(" ▌", "green")
        return Text("\n").join(text.wrap(console, width)[-height:])


class Screen:
    """The whole picture. `render` draws what is known now."""

    def __init__(self, console: Console, titles: list[Title], max_height: int = MAX_HEIGHT) -> None:
        self.console = console
        self._max_height = max_height
        self._titles = titles
        self._verdicts: list[bool] = []
        self._current = 0
        self._checks: list[Check] = []
        self._transcripts = {who: Transcript(who) for who in CLIENTS}
        self._bill: Table | None = None
        self._daemon = ""

    # ---- as an audience

    def scene(self, number: int, of: int, title: Title) -> None:
        """The next scene begins."""
        self._current, self._checks = number - 1, []
        if number < of:
            for transcript in self._transcripts.values():
                transcript.line(f"── {title.short} " + "─" * (20 - len(title.short)), "bright_black")

    def asked(self, who: str, model: str, prompt: str) -> None:
        """A question."""
        self._transcripts[who].asked(model, prompt)

    def event(self, who: str, event: Event) -> None:
        """An event."""
        self._transcripts[who].event(event)

    def ended(self, who: str) -> None:
        """The end of a call."""
        self._transcripts[who].ended()

    def note(self, who: str, text: str, tone: Tone) -> None:
        """A remark."""
        self._transcripts[who].line(_MARKS[tone] + text, _TONES[tone])

    def judged(self, checks: list[Check]) -> None:
        """The scene's end."""
        self._checks = checks
        self._verdicts.append(all(check.held for check in checks))

    def bill(self, bill: Bill, daemon: str) -> None:
        """The table."""
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=False)
        for place, title in enumerate(TITLES):
            made.add_column(title, justify="right" if place > 1 else "left", no_wrap=True)
        for line in bill.lines():
            made.add_row(*line.cells())
        made.add_section()
        made.add_row(*bill.total().cells(), style="bold")
        self._bill, self._daemon = made, daemon

    # ---- drawing

    def render(self) -> RenderableType:
        """A picture of the console's width, one line lower than it."""
        below = self._below()
        used = _HEAD_LINES + (len(self.console.render_lines(below)) if below else 0)
        room = max(min(self.console.height - 1, self._max_height) - used, _MIN_PANEL_LINES)
        panels = Table.grid(expand=True)
        width = self.console.width // 2
        for _ in self._transcripts:
            panels.add_column(width=width)
        panels.add_row(*(self._panel(transcript, width, room) for transcript in self._transcripts.values()))
        return Group(self._head(), panels, below) if below else Group(self._head(), panels)

    def _head(self) -> RenderableType:
        title = self._titles[self._current]
        heading = Text.assemble((f"{title.heading}  ", "bold"), (title.says, "dim"), overflow="ellipsis", no_wrap=True)
        return Group(self._scenes(), Text(), heading, *self._verdict(), Text())

    def _scenes(self) -> Text:
        """The list of scenes; where it does not fit, those that are over are their marks alone."""
        line = self._listed(brief=False)
        return line if line.cell_len <= self.console.width + len(_GAP) else self._listed(brief=True)

    def _listed(self, *, brief: bool) -> Text:
        line = Text("modeld  ", "bold", no_wrap=True, overflow="ellipsis")
        for place, title in enumerate(self._titles):
            if brief and place < self._current:
                line.append("✓" if self._verdicts[place] else "✗", "green" if self._verdicts[place] else "bold red")
                line.append(" " if place + 1 == self._current else "")
                continue
            if place < len(self._verdicts):
                held = self._verdicts[place]
                line.append(f"{'✓' if held else '✗'} {title.short}", "green" if held else "bold red")
            else:
                line.append(
                    f"{'▸' if place == self._current else '·'} {title.short}",
                    "bold" if place == self._current else "bright_black",
                )
            line.append(_GAP)
        return line

    def _verdict(self) -> list[Text]:
        """A line for each check, and always as many, so that the panels stay where they are."""
        lines = [
            _line(f"{'✓' if check.held else '✗'} {check.said}", "green" if check.held else "bold red") for check in self._checks
        ]
        return [*lines, *(Text() for _ in range(_CHECK_LINES - len(lines)))]

    def _panel(self, transcript: Transcript, width: int, height: int) -> Panel:
        count = f"{transcript.pieces} piece{'' if transcript.pieces == 1 else 's'}"
        state = f"{count} in {transcript.took_s:.1f} s" if transcript.pieces else "waiting"
        return Panel(
            transcript.tail(self.console, width - 4, height - 2),
            title=Text.assemble((transcript.name, "bold"), (f" {transcript.model}", "cyan")),
            title_align="left",
            subtitle=Text(f"{'streaming · ' if transcript.running else ''}{state}", "bright_black"),
            subtitle_align="right",
            border_style="green" if transcript.running else "bright_black",
            box=box.ROUNDED,
            height=height,
        )

    def _below(self) -> RenderableType | None:
        if self._bill is None:
            return None
        return Group(self._bill, Text(self._daemon, "dim"))


def _line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")
