"""The demo's last frame as an SVG that needs nothing from elsewhere: no font is downloaded."""

import html
import re
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

_THEME = TerminalTheme(
    (18, 20, 28),
    (214, 218, 228),
    [
        (40, 44, 56),
        (240, 98, 98),
        (120, 200, 120),
        (224, 186, 100),
        (110, 160, 240),
        (200, 140, 230),
        (98, 200, 210),
        (200, 204, 214),
    ],
    [
        (120, 126, 142),
        (255, 120, 120),
        (140, 220, 140),
        (240, 206, 120),
        (130, 180, 255),
        (220, 160, 250),
        (120, 220, 230),
        (240, 242, 248),
    ],
)
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


_TEXT = re.compile(r'x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)" clip-path="([^"]+)">((?:&#160;)*)(.*?)((?:&#160;)*)</text>')
_BLANK = "&#160;"


def as_svg(paper: Console) -> str:
    """What was printed on a recording console."""
    export: Any = paper.export_svg
    svg: str = export(title="modeld demo", theme=_THEME, unique_id="modeld-demo")
    svg = _FONT_FACE.sub("", svg).replace("Fira Code, monospace", _FONT)
    svg = _TEXT.sub(_without_blanks, svg)
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip()) + "\n"


def _without_blanks(found: "re.Match[str]") -> str:
    """A text without the blanks at its ends, standing where its first character stood: not every viewer draws blanks."""
    x, y, length, clip, before, text, after = found.groups()
    blanks = (len(before) + len(after)) // len(_BLANK)
    cells = len(html.unescape(text)) + blanks
    cell = float(length) / cells if cells else 0
    start, size = float(x) + cell * (len(before) // len(_BLANK)), float(length) - cell * blanks
    return f'x="{start:g}" y="{y}" textLength="{size:g}" clip-path="{clip}">{text}</text>'
