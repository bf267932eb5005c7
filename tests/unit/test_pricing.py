"""Prices times tokens: golden amounts, tiers, what is missing, what the provider says itself."""

import math

import pytest

from modeld.ledger.pricing import cost_of
from modeld.providers.catalog import price_of, row_of
from modeld_protocol.model import PriceTier, Pricing
from modeld_protocol.usage import Cost, Usage


def usage(
    input_: int = 0, output: int = 0, read: int = 0, write: int = 0, write_1h: int | None = None, reasoning: int | None = None
):
    total = input_ + output + read + write
    return Usage(input_, output, read, write, reasoning, total, cache_creation_1h_input_tokens=write_1h)


def priced(counts: Usage, pricing: Pricing | None, reported: float | None = None) -> Cost:
    cost, warnings = cost_of(counts, pricing, reported)
    assert cost is not None and warnings == []
    return cost


MTOK = 1_000_000
# model, usage: input, output, cache read, cache write, total, savings, in USD to the cent
GOLDEN = [
    ("anthropic", "claude-opus-5-5", usage(MTOK, MTOK), ("4.00", "20.00", "0.00", "0.00", "24.00", "0.00")),
    ("anthropic", "claude-opus-5-5", usage(50_000, 20_000, 900_000), ("0.20", "0.40", "0.18", "0.00", "0.78", "3.42")),
    ("anthropic", "claude-sonnet-4-6", usage(0, 0, 0, MTOK), ("0.00", "0.00", "0.00", "3.75", "3.75", "0.00")),
    ("anthropic", "claude-sonnet-4-6", usage(0, 0, 0, MTOK, MTOK), ("0.00", "0.00", "0.00", "6.00", "6.00", "0.00")),
    ("anthropic", "claude-sonnet-4-6", usage(0, 0, 0, MTOK, 400_000), ("0.00", "0.00", "0.00", "4.65", "4.65", "0.00")),
    # above 100,000 tokens of input this model costs five times as much, writes for an hour included
    ("anthropic", "claude-haiku-5-5", usage(100_000, MTOK), ("0.01", "0.50", "0.00", "0.00", "0.51", "0.00")),
    ("anthropic", "claude-haiku-5-5", usage(100_001, MTOK), ("0.05", "2.50", "0.00", "0.00", "2.55", "0.00")),
    ("anthropic", "claude-haiku-5-5", usage(0, 0, 0, MTOK, MTOK), ("0.00", "0.00", "0.00", "1.00", "1.00", "0.00")),
    # cached input counts for the tier
    ("openai", "gpt-6.1-sol", usage(72_000, 10_000, 200_000), ("0.14", "0.10", "0.02", "0.00", "0.26", "0.38")),
    ("openai", "gpt-6.1-sol", usage(72_001, 10_000, 200_000), ("0.29", "0.15", "0.04", "0.00", "0.48", "0.76")),
    ("openai", "gpt-4o-mini", usage(MTOK, MTOK, MTOK), ("0.15", "0.60", "0.08", "0.00", "0.83", "0.08")),
]


@pytest.mark.parametrize(("type_name", "model", "counts", "expected"), GOLDEN)
def test_golden_amounts(type_name: str, model: str, counts: Usage, expected: tuple[str, ...]) -> None:
    cost = priced(counts, price_of(row_of(type_name), model))
    parts = (cost.input_cost, cost.output_cost, cost.cache_read_cost, cost.cache_write_cost, cost.total_cost, cost.cache_savings)
    assert tuple(f"{part + 1e-9:.2f}" for part in parts) == expected
    assert (cost.currency, cost.source, cost.pricing_version) == ("USD", "catalog", "genai-prices-0.2.3-2026-11-20")


FULL = Pricing(input=3.0, output=15.0, cache_read=0.3, cache_write=3.75, cache_write_1h=6.0, version="v1")


def test_the_parts_are_disjoint_and_reasoning_is_part_of_output() -> None:
    cost = priced(usage(1_000, 2_000, 3_000, 4_000, 1_000, reasoning=1_500), FULL)
    assert cost.input_cost == 0.003
    assert cost.output_cost == 0.03
    assert cost.reasoning_cost == 0.0225
    assert cost.cache_read_cost == 0.0009
    assert cost.cache_write_cost == 0.01725
    assert cost.total_cost == 0.05115
    assert cost.cache_savings == 0.0081


def test_amounts_are_exact_where_floats_are_not() -> None:
    # 0.1 + 0.2 and its like: a sum of float products would be off by an ulp or more
    assert priced(usage(3, 3, 3), Pricing(input=0.1, output=0.2, cache_read=0.0)).total_cost == 0.9e-6
    assert priced(usage(MTOK * 1_000_000), Pricing(input=0.1, output=0.0)).total_cost == 100_000.0


@pytest.mark.parametrize(
    ("version", "source", "shown"),
    [
        ("genai-prices-0.2.3", "catalog", "genai-prices-0.2.3"),
        ("free", "catalog", "free"),
        ("configured", "configured", "configured"),
        ("configured:2026-Q4", "configured", "configured:2026-Q4"),
        (None, "configured", "configured"),
    ],
)
def test_where_prices_come_from(version: str | None, source: str, shown: str) -> None:
    cost = priced(usage(1), Pricing(input=1.0, output=1.0, version=version))
    assert (cost.source, cost.pricing_version) == (source, shown)


TIERS = Pricing(
    input=1.0,
    output=10.0,
    cache_read=0.1,
    cache_write=1.25,
    cache_write_1h=2.0,
    above=[PriceTier(1_000, input=3.0), PriceTier(100, input=2.0, output=20.0, cache_write=2.5)],
)


@pytest.mark.parametrize(
    ("counts", "total"),
    [
        (usage(100, 10), 200),
        (usage(101, 10), 402),
        (usage(50, 10, 51), 305.1),
        (usage(50, 10, 0, 51), 427.5),
        (usage(50, 10, 0, 51, 51), 504),
        # a tier's missing prices are the base prices, not the tier's below
        (usage(1_001, 10), 3_103),
    ],
)
def test_tiers_hold_for_the_whole_call(counts: Usage, total: float) -> None:
    assert priced(counts, TIERS).total_cost == float(f"{total}e-6")


@pytest.mark.parametrize(
    ("counts", "pricing"),
    [
        (usage(1, 1), None),
        (usage(1, 1), Pricing()),
        (usage(1, 1), Pricing(input=1.0)),
        (usage(1, 1), Pricing(output=1.0)),
        (usage(0, 1, 1), Pricing(output=1.0)),
    ],
)
def test_without_a_price_there_is_no_cost_and_a_warning(counts: Usage, pricing: Pricing | None) -> None:
    cost, warnings = cost_of(counts, pricing)
    assert cost is None
    assert [warning.code for warning in warnings] == ["price_missing"]
    assert "models.yaml" in warnings[0].message


@pytest.mark.parametrize(
    ("counts", "pricing", "total"),
    [
        (usage(0, 0), Pricing(), 0.0),
        (usage(7, 0), Pricing(input=1.0), 7e-6),
        (usage(0, 7), Pricing(output=1.0), 7e-6),
        (usage(7, 7, 7, 7), Pricing(input=0.0, output=0.0, cache_read=0.0, cache_write=0.0), 0.0),
    ],
)
def test_a_price_that_is_not_needed_is_not_missed(counts: Usage, pricing: Pricing, total: float) -> None:
    assert priced(counts, pricing).total_cost == total


@pytest.mark.parametrize(
    ("counts", "pricing", "parts", "total"),
    [
        (usage(0, 0, 5), Pricing(input=2.0, output=1.0), ["cache_read"], 10),
        (usage(0, 0, 0, 5), Pricing(input=2.0, output=1.0), ["cache_write"], 10),
        (usage(0, 0, 0, 5, 5), Pricing(input=2.0, output=1.0), ["cache_write_1h"], 10),
        (usage(0, 0, 0, 5, 5), Pricing(input=2.0, output=1.0, cache_write=3.0), ["cache_write_1h"], 15),
        (usage(0, 0, 5, 5, 2), Pricing(input=2.0, output=1.0), ["cache_read", "cache_write", "cache_write_1h"], 20),
    ],
)
def test_cached_tokens_without_a_price_are_counted_as_input(
    counts: Usage, pricing: Pricing, parts: list[str], total: float
) -> None:
    cost, warnings = cost_of(counts, pricing)
    assert cost is not None and cost.total_cost == total / MTOK and cost.cache_savings == 0
    assert [(warning.code, warning.detail) for warning in warnings] == [("price_missing", {"part": part}) for part in parts]


def test_a_cache_that_costs_more_saves_less_than_nothing() -> None:
    assert priced(usage(0, 0, MTOK), Pricing(input=1.0, output=1.0, cache_read=1.5)).cache_savings == -0.5


def test_more_long_writes_than_writes_are_all_writes() -> None:
    assert priced(usage(0, 0, 0, 10, 99), FULL).cache_write_cost == 60 / MTOK


def test_counts_below_zero_cost_nothing() -> None:
    assert priced(usage(-5, -5, -5, -5, -5, -5), FULL).total_cost == 0


# ---- the provider's own figure


def test_the_providers_total_wins_and_our_prices_split_it() -> None:
    cost = priced(usage(1_000, 1_000, 1_000, reasoning=500), FULL, 0.0366)
    assert (cost.total_cost, cost.source, cost.pricing_version) == (0.0366, "mixed", "v1")
    assert cost.input_cost == pytest.approx(0.006)
    assert cost.output_cost == pytest.approx(0.03)
    assert cost.cache_read_cost == pytest.approx(0.0006)
    assert cost.reasoning_cost == pytest.approx(0.015)


@pytest.mark.parametrize("pricing", [None, Pricing(), Pricing(currency="EUR", input=1.0, output=1.0)])
def test_a_total_without_prices_in_its_currency_stands_alone(pricing: Pricing | None) -> None:
    cost = priced(usage(10, 10), pricing, 0.5)
    assert (cost.currency, cost.total_cost, cost.source) == ("USD", 0.5, "provider_reported")
    assert cost.input_cost == cost.output_cost == 0


def test_a_total_for_what_is_free_by_our_prices_stands_alone() -> None:
    cost = priced(usage(10, 10), Pricing(input=0.0, output=0.0), 0.5)
    assert (cost.total_cost, cost.source) == (0.5, "provider_reported")


@pytest.mark.parametrize("nonsense", [-1.0, math.nan, math.inf])
def test_a_total_that_is_none_is_ignored(nonsense: float) -> None:
    assert cost_of(usage(1, 1), FULL, nonsense) == cost_of(usage(1, 1), FULL)
    assert cost_of(usage(1, 1), None, nonsense)[0] is None
