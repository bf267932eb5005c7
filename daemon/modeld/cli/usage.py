"""`modeld usage`: what calls cost, from the daemon's ledger: a table by model, day, …, a chart, CSV, JSON."""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from modeld_client import Client
from modeld_protocol.session import (
    UsageAggregateResult,
    UsageGroup,
    UsageQueryResult,
    UsageRepriceResult,
    UsageRow,
)

from . import figures
from .daemon import connect
from .table import Column, cells, lay_out, render
from .terminal import paint, printable, say, width, write_json

_NOBODY = {"model": "(no such model)", "provider": "(no such model)", "session": "(no session)", "client": "(nobody)"}
_BARS = 14  # of the chart
_BAR_WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_COLUMNS = (
    Column("calls", right=True, worth=8),
    Column("failed", right=True, worth=2),
    Column("in", right=True, worth=7),
    Column("cached", right=True, worth=4),
    Column("to cache", right=True, worth=1),
    Column("out", right=True, worth=6),
    Column("saved", right=True, worth=3),
    Column("cost", right=True, worth=9),
)
_CALL_COLUMNS = (
    Column("started"),
    Column("model", floor=20, worth=6),
    Column("status", worth=5),
    Column("in", right=True, worth=3),
    Column("cached", right=True, worth=1),
    Column("out", right=True, worth=3),
    Column("took", right=True, worth=2),
    Column("cost", right=True, worth=4),
)
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
    "total_tokens",
)
_GROUP_FIELDS = ("calls", "failed_calls", "cancelled_calls", "unknown_calls", "unpriced_calls", "estimated_calls")


def run(options: argparse.Namespace) -> int:
    """Groups, or calls one by one, as a table, CSV or JSON; with --reprice the stored calls are priced again first."""
    filters = {name: value for name in ("since", "until", "provider", "model") if (value := getattr(options, name))}
    filters |= {f"{name}_id": value for name in ("session", "client") if (value := getattr(options, name))}
    with connect(options) as client:
        if options.reprice:
            _reprice(client, filters)
        if options.calls:
            return _calls(client, filters, options)
        groups = client.call("usage/aggregate", {**filters, "group_by": options.by}, UsageAggregateResult).groups
        if options.json:
            write_json({"group_by": options.by, "groups": groups})
        elif options.csv:
            _write_csv(
                (options.by, *_GROUP_FIELDS, *_COUNTS, "total_cost", "cache_savings", "currency"), map(_group_cells, groups)
            )
        elif not groups:
            say("no calls yet" if not filters else "no calls there")
        else:
            days = client.call("usage/aggregate", {**filters, "group_by": "day"}, UsageAggregateResult).groups
            _show(groups, days, options.by)
    return 0


def _reprice(client: Client, filters: dict[str, str]) -> None:
    done = client.call("usage/reprice", filters, UsageRepriceResult)
    without = f"; {done.unpriced} have no price now and keep what they had" if done.unpriced else ""
    say(f"{done.changed} of {done.calls} calls have a new cost{without}")


# ---- groups


def _show(groups: Sequence[UsageGroup], days: Sequence[UsageGroup], by: str) -> None:
    room = width(sys.stdout)
    columns = (Column(by, floor=10), *_COLUMNS)
    rows = [_row(group, by) for group in groups]
    if len(groups) > 1:
        rows += [_row(total, by) for total in _totals(groups)]
    titles, *laid = lay_out(columns, rows, room)
    print(paint(render([titles])[0], "bold", sys.stdout))
    for place, row in enumerate(laid):
        style = "bold" if place >= len(groups) else ""
        print(paint(render([row])[0], style, sys.stdout))
    charted = days if len({day.key for day in days}) > 1 else groups[:_BARS]
    if len({group.key for group in charted}) > 1:
        print()
        for line in chart(charted, room, _NOBODY.get(by, "")):
            print(paint(line, "dim", sys.stdout))
    _notes(groups)


def _row(group: UsageGroup, by: str) -> list[str]:
    usage = group.usage
    about = "~" if group.estimated_calls else ""
    currency = group.currency or "USD"
    saved = figures.money(group.cache_savings, currency) if group.cache_savings else ""
    return [
        printable(group.key) or _NOBODY.get(by, ""),
        str(group.calls),
        str(group.failed_calls) if group.failed_calls else "",
        about + figures.tokens(usage.input_tokens),
        figures.tokens(usage.cached_input_tokens) if usage.cached_input_tokens else "",
        figures.tokens(usage.cache_creation_input_tokens) if usage.cache_creation_input_tokens else "",
        about + figures.tokens(usage.output_tokens),
        saved,
        figures.money(group.total_cost, currency),
    ]


def _totals(groups: Sequence[UsageGroup]) -> Iterator[UsageGroup]:
    """One sum per currency; calls without a cost count in the first."""
    currencies = list(dict.fromkeys(group.currency for group in groups if group.currency)) or [None]
    for place, currency in enumerate(currencies):
        yield _sum([group for group in groups if group.currency == currency or (not place and group.currency is None)], currency)


def _sum(groups: Sequence[UsageGroup], currency: str | None) -> UsageGroup:
    total: dict[str, Any] = {name: sum(getattr(group, name) for group in groups) for name in _GROUP_FIELDS}
    counts = {name: sum(getattr(group.usage, name) or 0 for group in groups) for name in _COUNTS}
    money = {
        name: None if currency is None else sum(getattr(group, name) or 0.0 for group in groups)
        for name in ("total_cost", "cache_savings")
    }
    return msgspec.convert({"key": "in all", "usage": counts, "currency": currency, **total, **money}, UsageGroup)


def _notes(groups: Sequence[UsageGroup]) -> None:
    """What the sums leave out, or guess."""
    unpriced = sum(group.unpriced_calls for group in groups)
    estimated = sum(group.estimated_calls for group in groups)
    if unpriced:
        say(f"{_calls_that(unpriced, 'has', 'have')} no known cost and {'is' if unpriced == 1 else 'are'} not in the sums", "dim")
    if estimated:
        say(f"~ {_calls_that(estimated, 'has', 'have')} estimated counts: the provider reported none", "dim")


def _calls_that(count: int, one: str, many: str) -> str:
    return f"1 call {one}" if count == 1 else f"{count} calls {many}"


def chart(days: Sequence[UsageGroup], room: int, unnamed: str = "") -> list[str]:
    """A bar for each group, of days for the last ones: by money where it is of one currency, else by tokens. Pure."""
    currencies = {day.currency for day in days if day.currency}
    if len(currencies) == 1:
        currency = next(iter(currencies))
        found = [(day.key, day.total_cost or 0.0, figures.money(day.total_cost, currency)) for day in days]
    else:
        sums: dict[str, int] = {}
        for day in days:
            sums[day.key] = sums.get(day.key, 0) + day.usage.total_tokens
        found = [(key, float(count), f"{figures.tokens(count)} tokens") for key, count in sums.items()]
    found = [(printable(key) or unnamed, amount, words) for key, amount, words in found[-_BARS:]]
    most = max(amount for _, amount, _ in found)
    spare = room - max(cells(key) + cells(words) for key, _, words in found) - 4
    size = max(1, min(_BAR_WIDTH, spare))
    longest = max(cells(key) for key, _, _ in found)
    bars = [(key + " " * (longest - cells(key)), _bar(amount / most if most else 0, size), words) for key, amount, words in found]
    return ["  ".join(bar) for bar in bars]


def _bar(share: float, size: int) -> str:
    eighths = round(share * size * 8)
    if share > 0 and not eighths:
        eighths = 1
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(size)


def _group_cells(group: UsageGroup) -> list[Any]:
    counts = [getattr(group.usage, name) for name in _COUNTS]
    own = [getattr(group, name) for name in _GROUP_FIELDS]
    return [group.key, *own, *counts, group.total_cost, group.cache_savings, group.currency]


# ---- calls


def _calls(client: Client, filters: dict[str, str], options: argparse.Namespace) -> int:
    rows = _rows(client, filters, options.limit)
    if options.json:
        write_json({"rows": list(rows)})
    elif options.csv:
        names = [name for name in UsageRow.__struct_fields__ if name not in ("usage", "cost")]
        titles = (*names, *_COUNTS, "estimated", "total_cost", "cache_savings", "currency", "pricing_version")
        _write_csv(titles, (_call_cells(row, names) for row in rows))
    else:
        _show_calls(list(rows))
    return 0


def _rows(client: Client, filters: dict[str, str], limit: int) -> Iterator[UsageRow]:
    """Rows, newest first, fetched a page at a time; `limit` 0 for all of them."""
    cursor: str | None = None
    left = limit or sys.maxsize
    while left > 0:
        page = client.call("usage/query", {**filters, "limit": min(left, 1_000), "cursor": cursor}, UsageQueryResult)
        yield from page.rows
        left -= len(page.rows)
        cursor = page.next_cursor
        if cursor is None:
            return


def _show_calls(rows: Sequence[UsageRow]) -> None:
    if not rows:
        say("no calls there")
        return
    for place, line in enumerate(render(lay_out(_CALL_COLUMNS, [_call_row(row) for row in rows], width(sys.stdout)))):
        print(paint(line, "" if place else "bold", sys.stdout))


def _call_row(row: UsageRow) -> list[str]:
    usage = row.usage
    about = "~" if usage and usage.estimated else ""
    return [
        row.started_at[:19].replace("T", " "),
        printable(row.model) or _NOBODY["model"],
        row.status if row.error_class in (None, row.status) else f"{row.status}: {row.error_class}",
        about + figures.tokens(usage.input_tokens) if usage else "?",
        figures.tokens(usage.cached_input_tokens) if usage and usage.cached_input_tokens else "",
        about + figures.tokens(usage.output_tokens) if usage else "?",
        figures.duration(row.latency_ms / 1000) if row.latency_ms is not None else "",
        figures.money(row.cost.total_cost, row.cost.currency) if row.cost else "?",
    ]


def _call_cells(row: UsageRow, names: Sequence[str]) -> list[Any]:
    counts = [getattr(row.usage, name) if row.usage else None for name in (*_COUNTS, "estimated")]
    money = [
        getattr(row.cost, name) if row.cost else None for name in ("total_cost", "cache_savings", "currency", "pricing_version")
    ]
    return [*(getattr(row, name) for name in names), *counts, *money]


def _write_csv(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Unknown is an empty cell. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(titles)
    for row in rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell for cell in row])
