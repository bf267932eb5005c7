"""What is asked of the ledger: filters as SQL, rows and sums as the protocol's types. Runs on a read connection."""

import sqlite3
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec

from modeld_protocol.session import (
    UsageAggregateParams,
    UsageAggregateResult,
    UsageGroup,
    UsageQueryParams,
    UsageQueryResult,
    UsageRepriceParams,
    UsageRow,
)
from modeld_protocol.usage import Cost, Usage

DEFAULT_ROWS = 100
MAX_ROWS = 1_000
_MAX_SEQ = (1 << 63) - 1  # SQLite's largest integer
_MAX_CURSOR_CHARS = 19

_SPANS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}

PricedRow = tuple[int, str, Usage, Cost | None]

_DAY = "strftime('%Y-%m-%d', started_ms / 1000, 'unixepoch', 'localtime')"
_KEYS = {"provider": "provider", "model": "model", "session": "session_id", "client": "client_id", "day": _DAY}
_COLUMNS = (
    "seq, request_id, status, started_ms, finished_ms, provider, model, streamed, client_id, session_id, turn_id, stop_reason,"
    " error_class, latency_ms, time_to_first_token_ms, attempts, provider_request_id, served_model, cost"
)
_COUNTS = (
    "input_tokens, output_tokens, cached_input_tokens, cache_creation_input_tokens, reasoning_tokens, estimated,"
    " cache_creation_1h_input_tokens, cache_breakpoints, cache_ttl"
)
_SENT = "(attempts IS NOT NULL OR status IN ('started', 'interrupted'))"
_SUMS = (
    "count(*), sum(status = 'failed'), sum(status = 'cancelled'), "
    f" sum(input_tokens IS NULL AND {_SENT}), sum(total_cost IS NULL AND {_SENT}),"
    " sum(estimated), sum(input_tokens), sum(output_tokens), sum(cached_input_tokens), sum(cache_creation_input_tokens),"
    " sum(reasoning_tokens), sum(cache_creation_1h_input_tokens), sum(total_cost), sum(cache_savings)"
)
_decode_cost = msgspec.json.Decoder(Cost).decode


class Select(NamedTuple):
    """A statement with its values, how many rows a page has (0 for all), and whether groups come in the order of their keys."""

    sql: str
    values: tuple[Any, ...]
    page: int = 0
    by_key: bool = False


# ---- filters


def parse_time(text: str, now_ms: int) -> int:
    """Milliseconds since 1970 of a date (its midnight here), a date with a time, or a span back from now like `7d`, `12h`.
    Raises ValueError, OverflowError, OSError."""
    if text[-1:] in _SPANS_MS and text[:-1].isdigit():
        return max(0, now_ms - int(text[:-1]) * _SPANS_MS[text[-1]])
    if len(text) == 10:
        return int(datetime.combine(date.fromisoformat(text), datetime.min.time()).astimezone().timestamp() * 1000)
    return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)


def _filters(params: UsageQueryParams | UsageAggregateParams | UsageRepriceParams, now_ms: int) -> tuple[list[str], list[Any]]:
    terms: list[str] = []
    values: list[Any] = []
    for name in ("provider", "model", "session_id", "client_id", "request_id", "status"):
        value = getattr(params, name, None)
        if value is not None:
            terms.append(f"{name} = ?")
            values.append(value)
    for name, sign in (("since", ">="), ("until", "<")):
        bound = getattr(params, name)
        if bound is not None:
            terms.append(f"started_ms {sign} ?")
            values.append(_bound(name, bound, now_ms))
    return terms, values


def _bound(name: str, text: str, now_ms: int) -> int:
    try:
        return parse_time(text, now_ms)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{name} is no time; write it like 2026-01-31, 2026-01-31T12:00:00Z, 7d or 12h") from None


def _where(terms: list[str]) -> str:
    return f" WHERE {' AND '.join(terms)}" if terms else ""


# ---- rows


def plan_rows(params: UsageQueryParams, now_ms: int) -> Select:
    """`usage/query`: newest first, a page at a time. Raises ValueError."""
    page = min(max(1, DEFAULT_ROWS if params.limit is None else params.limit), MAX_ROWS)
    terms, values = _filters(params, now_ms)
    if params.cursor is not None:
        terms.append("seq < ?")
        values.append(_parse_cursor(params.cursor))
    sql = f"SELECT {_COLUMNS}, {_COUNTS} FROM calls{_where(terms)} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own words
    return Select(sql, (*values, page + 1), page)


def _parse_cursor(cursor: str) -> int:
    """The number of a row."""
    seq = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) <= _MAX_CURSOR_CHARS else _MAX_SEQ + 1
    if seq > _MAX_SEQ:
        raise ValueError("the cursor is none of this ledger; begin again without one")
    return seq


def fetch_rows(connection: sqlite3.Connection, select: Select) -> UsageQueryResult:
    """A page of rows."""
    found = connection.execute(select.sql, select.values).fetchall()
    page = found[: select.page]
    more = str(page[-1][0]) if len(found) > select.page else None
    return UsageQueryResult([_row(*row) for row in page], more)


def _row(
    _seq: int,
    request_id: str,
    status: Any,
    started_ms: int,
    finished_ms: int | None,
    provider: str,
    model: str,
    streamed: int,
    client_id: str | None,
    session_id: str | None,
    turn_id: str | None,
    stop_reason: Any,
    error_class: str | None,
    latency_ms: float | None,
    time_to_first_token_ms: float | None,
    attempts: int | None,
    provider_request_id: str | None,
    served_model: str | None,
    cost: bytes | None,
    *counts: Any,
) -> UsageRow:
    return UsageRow(
        request_id=request_id,
        provider=provider,
        model=model,
        started_at=_iso(started_ms),
        status=status,
        usage=_usage(*counts),
        cost=None if cost is None else _decode_cost(cost),
        session_id=session_id,
        client_id=client_id,
        error_class=error_class,
        turn_id=turn_id,
        finished_at=None if finished_ms is None else _iso(finished_ms),
        streamed=bool(streamed),
        stop_reason=stop_reason,
        latency_ms=latency_ms,
        time_to_first_token_ms=time_to_first_token_ms,
        attempts=attempts,
        provider_request_id=provider_request_id,
        served_model=served_model,
    )


def _usage(
    input_: int | None,
    output: int | None,
    cached: int | None,
    written: int | None,
    reasoning: int | None,
    estimated: int | None,
    written_1h: int | None,
    cache_breakpoints: int | None,
    cache_ttl: Any,
) -> Usage | None:
    if input_ is None:
        return None
    parts = (input_, output or 0, cached or 0, written or 0)
    return Usage(*parts, reasoning, sum(parts), bool(estimated), written_1h, cache_breakpoints, cache_ttl)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---- sums


def plan_groups(params: UsageAggregateParams, now_ms: int) -> Select:
    """`usage/aggregate`: one row per key and currency, days in their order, else the dearest first. Raises ValueError."""
    terms, values = _filters(params, now_ms)
    key = _KEYS[params.group_by]
    sql = f"SELECT {key}, currency, {_SUMS} FROM calls{_where(terms)} GROUP BY 1, 2"  # noqa: S608 - our own words
    by_key = params.group_by == "day"
    order = "1" if by_key else "sum(total_cost) DESC, count(*) DESC, 1"
    return Select(f"{sql} ORDER BY {order}", tuple(values), by_key=by_key)


def fetch_groups(connection: sqlite3.Connection, select: Select) -> UsageAggregateResult:
    """The groups. Calls without a cost count in their key's dearest group: only money of one currency is added up."""
    groups: list[UsageGroup] = []
    unpriced: list[UsageGroup] = []
    for key, currency, *sums in connection.execute(select.sql, select.values):
        (unpriced if currency is None else groups).append(_group(key or "", currency, *sums))
    first: dict[str, UsageGroup] = {}
    for group in groups:
        first.setdefault(group.key, group)
    for group in unpriced:
        if group.key in first:
            _add(first[group.key], group)
        else:
            groups.append(group)
    if select.by_key:
        groups.sort(key=lambda group: group.key)
    return UsageAggregateResult(groups)


def _group(key: str, currency: str | None, *sums: Any) -> UsageGroup:
    calls, failed, cancelled, unknown, unpriced, estimated, *counts, total_cost, savings = sums
    input_, output, cached, written, reasoning, written_1h = counts
    parts = (input_ or 0, output or 0, cached or 0, written or 0)
    usage = Usage(*parts, reasoning, sum(parts), bool(estimated), written_1h)
    return UsageGroup(
        key=key,
        calls=calls,
        usage=usage,
        total_cost=total_cost,
        cache_savings=savings,
        currency=currency,
        failed_calls=failed or 0,
        cancelled_calls=cancelled or 0,
        unknown_calls=unknown or 0,
        unpriced_calls=unpriced or 0,
        estimated_calls=estimated or 0,
    )


def _add(group: UsageGroup, more: UsageGroup) -> None:
    """Add calls without a cost to a group."""
    usage, other = group.usage, more.usage
    usage.input_tokens += other.input_tokens
    usage.output_tokens += other.output_tokens
    usage.cached_input_tokens += other.cached_input_tokens
    usage.cache_creation_input_tokens += other.cache_creation_input_tokens
    usage.total_tokens += other.total_tokens
    usage.reasoning_tokens = _sum(usage.reasoning_tokens, other.reasoning_tokens)
    usage.cache_creation_1h_input_tokens = _sum(usage.cache_creation_1h_input_tokens, other.cache_creation_1h_input_tokens)
    usage.estimated = usage.estimated or other.estimated
    group.calls += more.calls
    group.failed_calls += more.failed_calls
    group.cancelled_calls += more.cancelled_calls
    group.unknown_calls += more.unknown_calls
    group.unpriced_calls += more.unpriced_calls
    group.estimated_calls += more.estimated_calls


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


# ---- pricing


def plan_pricing(params: UsageRepriceParams, now_ms: int) -> tuple[str, tuple[Any, ...]]:
    """The WHERE of rows that may be priced again, and its values after the first, the number of the last row seen.

    A failed call without a cost has none: its provider refused it."""
    terms, values = _filters(params, now_ms)
    terms = ["seq > ?", "input_tokens IS NOT NULL", "(total_cost IS NOT NULL OR status = 'completed')", *terms]
    return _where(terms), tuple(values)


def fetch_pricing(connection: sqlite3.Connection, where: str, values: tuple[Any, ...], count: int) -> list[PricedRow]:
    """The next rows to price, in their order."""
    sql = f"SELECT seq, model, cost, {_COUNTS} FROM calls{where} ORDER BY seq LIMIT ?"  # noqa: S608 - our own words
    rows: list[PricedRow] = []
    for seq, model, cost, *counts in connection.execute(sql, (*values, count)):
        usage = _usage(*counts)
        assert usage is not None
        rows.append((seq, model, usage, None if cost is None else _decode_cost(cost)))
    return rows
