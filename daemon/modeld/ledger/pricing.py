"""What a call cost: disjoint token counts times prices, exactly.

Prices become whole millionths of a millionth of their unit, sums are integers, and each field is converted to a float once:
no field is off by more than 1e-12 of its currency for a million tokens.
"""

import math
from typing import Literal

from modeld_protocol.model import PriceTier, Pricing
from modeld_protocol.usage import Cost, Usage, Warning

_PRICE_UNITS = 10**12  # of one currency unit per million tokens
_COST_UNITS = _PRICE_UNITS * 10**6

CONFIGURED = "configured"
"""What `Pricing.version` is, or begins with (`configured:<the user's version>`), where prices come from the config."""

_Source = Literal["configured", "catalog", "provider_reported", "mixed"]


def cost_of(usage: Usage, pricing: Pricing | None, reported_total: float | None = None) -> tuple[Cost | None, list[Warning]]:
    """The cost of one call, and what has to be said about it. Pure: stored calls may be priced again.

    - A tier of `pricing.above` holds for the whole call once its whole input (read from and written to caches included)
      exceeds the tier's `input_tokens`; a price the tier lacks is the base price.
    - `reasoning_cost` is part of `output_cost`. `cache_savings` is what the cached tokens would have cost more at the input
      price; it is negative where a cache read costs more.
    - No price at all, or none for input or output that was used: no cost, and `price_missing`.
    - No price for cached tokens: they are counted at the input price, the most that they can have cost by reading, and
      `price_missing` says so. Cache writes without a price of their own, likewise; of 1 h, at the price of 5 min before that.
    - `reported_total` is the provider's own figure in USD. It becomes the total; the parts are ours, scaled to its sum
      (`mixed`), or zero where there are no prices in USD (`provider_reported`).
    """
    reported = reported_total if reported_total is not None and math.isfinite(reported_total) and reported_total >= 0 else None
    if pricing is None:
        return _unpriced(reported, "no price is known for this model")
    prices, warnings = _prices_for(usage, pricing)
    if prices is None:
        return _unpriced(reported, "the price for input or output tokens is not known for this model")
    cost = _priced(usage, prices, pricing)
    if reported is not None:
        return (_scaled(cost, reported) if pricing.currency == "USD" else _reported(reported)), warnings
    return cost, warnings


class _Prices:
    """Prices that hold for one call, in `_PRICE_UNITS`."""

    __slots__ = ("cache_read", "cache_write", "cache_write_1h", "input", "output")

    def __init__(self, input_: int, output: int, cache_read: int, cache_write: int, cache_write_1h: int) -> None:
        self.input = input_
        self.output = output
        self.cache_read = cache_read
        self.cache_write = cache_write
        self.cache_write_1h = cache_write_1h


def _prices_for(usage: Usage, pricing: Pricing) -> tuple[_Prices | None, list[Warning]]:
    tier = _tier(usage, pricing)
    input_price = _first(tier.input if tier else None, pricing.input)
    output_price = _first(tier.output if tier else None, pricing.output)
    if input_price is None and _input_tokens(usage) == 0:
        input_price = 0.0
    if output_price is None and usage.output_tokens <= 0:
        output_price = 0.0
    if input_price is None or output_price is None:
        return None, []
    read = _first(tier.cache_read if tier else None, pricing.cache_read)
    write = _first(tier.cache_write if tier else None, pricing.cache_write)
    write_1h = _write_1h(pricing, tier)
    long_writes = _long_writes(usage)
    warnings = [
        _cache_price_missing(part, fallback)
        for part, fallback, price, tokens in (
            ("cache_read", "input", read, usage.cached_input_tokens),
            ("cache_write", "input", write, _cache_writes(usage) - long_writes),
            ("cache_write_1h", "input" if write is None else "cache_write", write_1h, long_writes),
        )
        if price is None and tokens > 0
    ]
    known = [input_price, output_price, _or(read, input_price), _or(write, input_price), _or(write_1h, _or(write, input_price))]
    return _Prices(*(round(price * _PRICE_UNITS) for price in known)), warnings


def _tier(usage: Usage, pricing: Pricing) -> PriceTier | None:
    """The highest tier that the call's input exceeds."""
    if not pricing.above:
        return None
    tokens = _input_tokens(usage)
    reached = [tier for tier in pricing.above if tokens > tier.input_tokens]
    return max(reached, key=lambda tier: tier.input_tokens) if reached else None


def _write_1h(pricing: Pricing, tier: PriceTier | None) -> float | None:
    """Tiers have no 1 h price of their own: it keeps its ratio to the 5 min price."""
    if tier is None or tier.cache_write is None or pricing.cache_write_1h is None or not pricing.cache_write:
        return pricing.cache_write_1h
    return pricing.cache_write_1h * tier.cache_write / pricing.cache_write


def _priced(usage: Usage, prices: _Prices, pricing: Pricing) -> Cost:
    cached = max(0, usage.cached_input_tokens)
    long_writes = _long_writes(usage)
    input_cost = max(0, usage.input_tokens) * prices.input
    output_cost = max(0, usage.output_tokens) * prices.output
    read_cost = cached * prices.cache_read
    write_cost = (_cache_writes(usage) - long_writes) * prices.cache_write + long_writes * prices.cache_write_1h
    reasoning = usage.reasoning_tokens
    return Cost(
        currency=pricing.currency,
        input_cost=input_cost / _COST_UNITS,
        output_cost=output_cost / _COST_UNITS,
        cache_read_cost=read_cost / _COST_UNITS,
        cache_write_cost=write_cost / _COST_UNITS,
        total_cost=(input_cost + output_cost + read_cost + write_cost) / _COST_UNITS,
        cache_savings=cached * (prices.input - prices.cache_read) / _COST_UNITS,
        source=_source(pricing.version),
        pricing_version=pricing.version or CONFIGURED,
        reasoning_cost=None if reasoning is None else max(0, reasoning) * prices.output / _COST_UNITS,
    )


def _source(version: str | None) -> _Source:
    return "configured" if version is None or version.startswith(CONFIGURED) else "catalog"


def _scaled(cost: Cost, total: float) -> Cost:
    """The provider's total, split as our prices split it."""
    factor = total / cost.total_cost if cost.total_cost > 0 else 0.0
    return Cost(
        currency=cost.currency,
        input_cost=cost.input_cost * factor,
        output_cost=cost.output_cost * factor,
        cache_read_cost=cost.cache_read_cost * factor,
        cache_write_cost=cost.cache_write_cost * factor,
        total_cost=total,
        cache_savings=cost.cache_savings * factor,
        source="mixed" if factor or not total else "provider_reported",
        pricing_version=cost.pricing_version,
        reasoning_cost=None if cost.reasoning_cost is None else cost.reasoning_cost * factor,
    )


def _reported(total: float) -> Cost:
    return Cost("USD", 0.0, 0.0, 0.0, 0.0, total, 0.0, "provider_reported", "provider_reported")


def _unpriced(reported: float | None, why: str) -> tuple[Cost | None, list[Warning]]:
    if reported is not None:
        return _reported(reported), []
    return None, [Warning("price_missing", f"{why}, so the call has no cost; set `pricing` for the model in models.yaml")]


def _cache_price_missing(part: str, fallback: str) -> Warning:
    message = f"no {part} price is known for this model; those tokens are counted at the {fallback} price"
    return Warning("price_missing", f"{message}; set `pricing.{part}` for the model in models.yaml", detail={"part": part})


def _input_tokens(usage: Usage) -> int:
    """The whole input, read from and written to caches included."""
    return max(0, usage.input_tokens) + max(0, usage.cached_input_tokens) + _cache_writes(usage)


def _cache_writes(usage: Usage) -> int:
    return max(0, usage.cache_creation_input_tokens)


def _long_writes(usage: Usage) -> int:
    """Writes that were asked to live for 1 h: part of all writes, never more."""
    return min(max(0, usage.cache_creation_1h_input_tokens or 0), _cache_writes(usage))


def _first(price: float | None, base: float | None) -> float | None:
    return base if price is None else price


def _or(price: float | None, fallback: float) -> float:
    return fallback if price is None else price
