"""Tables that fit: columns shrink, then go, by their importance; the first one is always whole. Pure."""

import unicodedata
from collections.abc import Sequence

import msgspec

GAP = "  "


class Column(msgspec.Struct, frozen=True):
    """A column. `right` aligns numbers. `floor` is the width it may be cut to, 0 where it stays whole.

    `worth` says how long it stays on a narrow terminal: the lowest goes first; None never goes.
    """

    title: str
    right: bool = False
    floor: int = 0
    worth: int | None = None


Row = Sequence[str]


def lay_out(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[list[str]]:
    """The title row and every row as padded cells that fit `width` together with the gaps between them, as far as they can.

    A column that is empty in every row is left out.
    """
    kept = [at for at in range(len(columns)) if columns[at].worth is None or any(row[at] for row in rows)]
    widths = _fitted(columns, rows, kept, width)
    while widths is None:
        kept.remove(min(kept, key=lambda at: (_worth(columns[at]), -at)))
        widths = _fitted(columns, rows, kept, width)
    titles = [column.title for column in columns]
    return [[_cell(row[at], size, columns[at]) for at, size in zip(kept, widths, strict=True)] for row in (titles, *rows)]


def render(cells: Sequence[Sequence[str]]) -> list[str]:
    """Laid out cells as lines, without blanks at their ends."""
    return [GAP.join(row).rstrip() for row in cells]


def _worth(column: Column) -> float:
    return float("inf") if column.worth is None else column.worth


def _fitted(columns: Sequence[Column], rows: Sequence[Row], kept: list[int], width: int) -> list[int] | None:
    """The width of each kept column; None where they don't fit and one of them may go."""
    widths = [max(cells(columns[at].title), *(cells(row[at]) for row in rows), 1) for at in kept]
    over = sum(widths) + len(GAP) * (len(kept) - 1) - width
    for place, at in enumerate(kept):
        floor = columns[at].floor
        if over > 0 and floor and widths[place] > floor:
            taken = min(over, widths[place] - floor)
            widths[place] -= taken
            over -= taken
    return None if over > 0 and any(columns[at].worth is not None for at in kept) else widths


def _cell(text: str, size: int, column: Column) -> str:
    text = cut(text, size)
    padding = " " * (size - cells(text))
    return padding + text if column.right else text + padding


def cut(text: str, size: int) -> str:
    """`text` in at most `size` columns; what was cut off shows as an ellipsis."""
    if cells(text) <= size:
        return text
    while text and cells(text) >= size:
        text = text[:-1]
    return text.rstrip() + "…"


def cells(text: str) -> int:
    """The columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cell_width(character) for character in text)


def _cell_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
