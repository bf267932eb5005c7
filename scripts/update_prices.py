"""Writes the catalog's prices.json from the package genai-prices, the same bytes for the same package and date.

Development only: `uv run --group prices scripts/update_prices.py 2026-11-20`. The date decides which of a model's prices
holds. Left out: models without a price per output token, prices for batches and service tiers, and prices that hold at some
hours of the day only (the price of the other hours is taken; the models are listed in `by_hour`).
"""

# pyright: basic, reportMissingImports=false
import json
import re
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "daemon/modeld/providers/catalog/prices.json"
PROVIDERS = ("anthropic", "cerebras", "deepseek", "google", "groq", "minimax", "moonshotai", "openai", "openrouter", "zai")
FOREIGN = {"google": "claude"}  # models that a provider sells for another, on endpoints that no row of ours speaks to
PARTS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
DATE = re.compile(r"(\[-@\]|-)\\d.*")  # the end of the package's patterns for dated snapshots

# What the package lacks. Qwen: international site, USD per million tokens; models with tiers by input length are left out.
OWN: dict[str, list[list[Any]]] = {
    "alibaba": [
        [["qwen4-max"], [], [1.5, 4.5, 0.075]],
        [["qwen3.8-max"], [], [2.0, 6.0, 0.25]],
        [["qwen3.8-flash"], [], [0.15, 0.47, 0.016]],
        [["qwen3.7-max"], [], [2.5, 7.5]],
    ]
}


def main() -> None:
    """Write the file, or say how to call this."""
    if len(sys.argv) != 2:
        sys.exit("usage: update_prices.py YYYY-MM-DD")
    day = date.fromisoformat(sys.argv[1])
    from genai_prices.data import providers

    by_id = {provider.id: provider for provider in providers}
    by_hour: list[str] = []
    tables = {name: _table(by_id[name], day, by_hour) for name in PROVIDERS} | OWN
    package = version("genai-prices")
    TARGET.write_text(_text(f"genai-prices-{package}-{day}", sorted(by_hour), dict(sorted(tables.items()))))
    for name in PROVIDERS:
        _verify(by_id[name], day)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {sum(map(len, tables.values()))} models")


def _text(stamp: str, by_hour: list[str], tables: dict[str, list[list[Any]]]) -> str:
    """JSON with one model a line, so that an update reads well in a diff."""
    head = {"version": stamp, "currency": "USD", "by_hour": by_hour}
    lines = ["{", *(f"{json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()), '"providers": {']
    for name, table in tables.items():
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in table)
        lines += [f"{json.dumps(name)}: [", rows, "]," if name != list(tables)[-1] else "]"]
    return "\n".join([*lines, "}", "}", ""])


def _table(provider: Any, day: date, by_hour: list[str]) -> list[list[Any]]:
    table: list[list[Any]] = []
    for model in provider.models:
        price = _price_on(model, day, lambda id_=model.id: by_hour.append(f"{provider.id}/{id_}"))
        if price.output_mtok is None or price.input_mtok is None or FOREIGN.get(provider.id, "\0") in model.id:
            continue
        names, prefixes = _patterns(model.match, model.id)
        base = [_base(getattr(price, part)) for part in PARTS]
        row: list[Any] = [sorted(names), sorted(prefixes), _trimmed(base)]
        tiers = _tiers(price, base)
        table.append([*row, tiers] if tiers else row)
    return sorted(table)


def _price_on(model: Any, day: date, hourly: Any) -> Any:
    """The price of the day; what holds at some hours only is not looked at."""
    if not isinstance(model.prices, list):
        return model.prices
    chosen = model.prices[0].prices
    seen_hours = False
    for conditional in model.prices:
        constraint = conditional.constraint
        if hasattr(constraint, "start_time"):
            seen_hours = True
        elif constraint is None or constraint.start_date <= day:
            chosen = conditional.prices
    if seen_hours:
        hourly()
    return chosen


def _patterns(match: Any, model_id: str) -> tuple[set[str], set[str]]:
    """Exact names and prefixes, in lower case. Patterns for dated snapshots become the bare name: look-ups drop dates."""
    names: set[str] = set()
    prefixes: set[str] = set()
    for kind, text in _clauses(match):
        if kind in ("equals", "ends_with"):
            names.add(text.lower())
        elif kind == "starts_with":
            prefixes.add(text.lower())
        elif kind == "contains":
            prefixes |= {text.lower(), model_id.lower()}
        elif kind == "regex" and DATE.search(text):
            names.add(DATE.sub("", text).removeprefix("^").replace("\\", "").lower())
    return names, prefixes


def _clauses(match: Any) -> list[tuple[str, str]]:
    nested = getattr(match, "or_", None) or getattr(match, "and_", None)
    if nested:
        return [clause for inner in nested for clause in _clauses(inner)]
    ((kind, text),) = vars(match).items()
    return [(kind, text)]


def _base(price: Any) -> float | None:
    return None if price is None else float(price if isinstance(price, Decimal) else price.base)


def _tiers(price: Any, base: list[float | None]) -> list[list[float | None]]:
    """Every threshold with the prices that hold above it, without the 1 h write, which keeps its ratio."""
    tiered = {part: getattr(price, part) for part in PARTS[:4] if hasattr(getattr(price, part), "tiers")}
    starts = sorted({tier.start for value in tiered.values() for tier in value.tiers})
    return [
        [start, *_trimmed([_above(tiered.get(part), base[i], start) for i, part in enumerate(PARTS[:4])])] for start in starts
    ]


def _above(price: Any, base: float | None, start: int) -> float | None:
    if price is None:
        return base
    reached = [tier.price for tier in price.tiers if tier.start <= start]
    return float(reached[-1]) if reached else base


def _trimmed(values: list[float | None]) -> list[float | None]:
    while values and values[-1] is None:
        values = values[:-1]
    return values


def _examples(model: Any) -> list[str]:
    """Names that the package knows by heart, and one made up for each of its patterns."""
    made_up = {"equals": "", "starts_with": "-next", "regex": "-20261120"}
    bare = [
        (kind, DATE.sub("", text).removeprefix("^").replace("\\", "")) for kind, text in _clauses(model.match) if "(" not in text
    ]
    return [name + made_up[kind] for kind, name in bare if kind in made_up]


def _verify(provider: Any, day: date) -> None:
    """Say where our look-up finds another input or output price than the package."""
    from modeld.providers.catalog.load import price_in  # the tree must be importable

    moment = datetime(day.year, day.month, day.day, 23, 30, tzinfo=UTC)
    for model in provider.models:
        for name in _examples(model):
            found = next((found for found in provider.models if found.is_match(name)), None)
            if found is None or FOREIGN.get(provider.id, "\0") in found.id:
                continue
            expected = found.get_prices(moment)
            ours = price_in(provider.id, name)
            if expected.output_mtok is None or expected.input_mtok is None:
                continue
            if ours is None or (ours.input, ours.output) != (_base(expected.input_mtok), _base(expected.output_mtok)):
                print(f"differs: {provider.id}/{name}: {ours} instead of {expected}", file=sys.stderr)


if __name__ == "__main__":
    main()
