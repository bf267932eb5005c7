"""What a terminal may be shown: colours where there are any, text without control characters, its width."""

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {"bold": "1", "dim": "2", "italic": "3", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
PIPE_WIDTH = 240  # a file or a pipe has no width; a table for one needs no cutting

# C0 and C1 but tab and newline: what a model or a provider says must not drive the terminal (titles, clipboard, colours).
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if code not in (9, 10)}


def colours(stream: TextIO) -> bool:
    """Whether escape sequences may go to `stream`: it is a terminal, a capable one, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """`text` in a style of one or more names (`"dim italic"`), or as it is where there are no colours."""
    if not style or not text or not colours(stream):
        return text
    codes = ";".join(STYLES[name] for name in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def printable(text: str) -> str:
    """`text` without control characters but tab and newline."""
    return text.translate(_CONTROLS)


def shown(text: str, stream: TextIO) -> str:
    """Text from outside for `stream`: bytes for a file stay as they are, a terminal gets no control characters."""
    return printable(text) if stream.isatty() else text


def width(stream: TextIO) -> int:
    """Columns to fill: the terminal's, COLUMNS where it is set, and plenty for a pipe."""
    if stream.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return PIPE_WIDTH


def say(text: str, style: str = "") -> None:
    """A line on stderr."""
    print(paint(printable(text), style, sys.stderr), file=sys.stderr, flush=True)


def note(text: str) -> None:
    """A line about what happened, on stderr where a person sees it; a pipe is spared."""
    if sys.stderr.isatty():
        say(text, "dim")


def write_json(value: Any) -> None:
    """`value` as indented JSON on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def console(stream: TextIO) -> "Console":
    """A rich console with the same idea of colours."""
    from rich.console import Console

    return Console(file=stream, highlight=False, force_terminal=stream.isatty(), no_color=None if colours(stream) else True)
