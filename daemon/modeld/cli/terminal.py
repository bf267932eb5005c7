"""What a terminal shows: tables, dim lines, numbers as people read them. Plain text where there is no terminal."""

import sys
from typing import TYPE_CHECKING, TextIO

from modeld_protocol.response import CanonicalResponse

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console(stream: TextIO | None = None) -> "Console":
    """A rich console on stdout, or on `stream`."""
    from rich.console import Console

    return Console(file=stream or sys.stdout, highlight=False)


def table(*columns: str, title: str | None = None) -> "Table":
    """An empty table in the house style; columns whose name ends in `#` are right-aligned numbers."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column.rstrip("#"), justify="right" if column.endswith("#") else "left", overflow="fold")
    return made


def tokens(count: int | None) -> str:
    """`1.2k`, `200k`, `1M`; empty for unknown."""
    if count is None:
        return ""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.1f}".rstrip("0").rstrip(".") + letter
    return str(count)


def money(amount: float | None) -> str:
    """Dollars with as many digits as say something; `?` for unknown."""
    if amount is None:
        return "?"
    if amount == 0:
        return "$0"
    return f"${amount:.4f}" if amount < 1 else f"${amount:.2f}"


def summary(response: CanonicalResponse) -> str:
    """One line on what an answer took."""
    usage, metrics = response.usage, response.metrics
    parts = [response.model, f"{tokens(usage.input_tokens)} in", f"{tokens(usage.output_tokens)} out"]
    if usage.cached_input_tokens:
        parts.append(f"{tokens(usage.cached_input_tokens)} cached")
    parts.append(money(response.cost.total_cost) if response.cost else "price unknown")
    parts.append(f"{metrics.latency_ms / 1000:.1f} s")
    if metrics.attempts > 1:
        parts.append(f"{metrics.attempts} attempts")
    return " · ".join(parts)
