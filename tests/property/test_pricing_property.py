"""Properties of pricing: exact against rational arithmetic, additive, never negative, the same twice."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.ledger.pricing import cost_of
from modeld_protocol.model import PriceTier, Pricing
from modeld_protocol.usage import Usage

tokens = st.integers(0, 5_000_000)
prices = st.integers(0, 2_000_000).map(lambda thousandths: thousandths / 10_000)  # up to 200 a million, 4 digits
usages = st.builds(
    lambda i, o, r, w, long, think: Usage(i, o, r, w, min(think, o), i + o + r + w, cache_creation_1h_input_tokens=min(long, w)),
    *[tokens] * 6,
)
tiers = st.lists(st.builds(PriceTier, st.integers(0, 4_000_000), prices, prices, prices), max_size=3)
complete = st.builds(
    lambda i, o, r, w, h, above: Pricing("USD", i, o, r, w, h, "v", above), prices, prices, prices, prices, prices, tiers
)


def exact(price: float | None) -> Fraction:
    return Fraction(str(price or 0.0)) / 1_000_000


@settings(max_examples=300, deadline=None)
@given(usages, complete)
def test_amounts_are_those_of_rational_arithmetic(usage: Usage, pricing: Pricing) -> None:
    cost, warnings = cost_of(usage, pricing)
    assert cost is not None and warnings == []
    size = usage.input_tokens + usage.cached_input_tokens + usage.cache_creation_input_tokens
    reached = [tier for tier in pricing.above if size > tier.input_tokens]
    tier = max(reached, key=lambda it: it.input_tokens) if reached else pricing
    long = usage.cache_creation_1h_input_tokens or 0
    expected = {
        "input_cost": usage.input_tokens * exact(tier.input),
        "output_cost": usage.output_tokens * exact(tier.output),
        "cache_read_cost": usage.cached_input_tokens * exact(tier.cache_read),
        "cache_write_cost": (usage.cache_creation_input_tokens - long) * exact(pricing.cache_write)
        + long * exact(pricing.cache_write_1h),
        "cache_savings": usage.cached_input_tokens * (exact(tier.input) - exact(tier.cache_read)),
    }
    for name, amount in expected.items():
        assert abs(Fraction(getattr(cost, name)) - amount) <= Fraction(1, 10**9), name
    total = sum(amount for name, amount in expected.items() if name != "cache_savings")
    assert abs(Fraction(cost.total_cost) - total) <= Fraction(1, 10**9)


@settings(max_examples=200, deadline=None)
@given(usages, complete, st.one_of(st.none(), st.floats(0, 1_000)))
def test_parts_add_up_and_are_no_less_than_nothing(usage: Usage, pricing: Pricing, reported: float | None) -> None:
    cost, _ = cost_of(usage, pricing, reported)
    assert cost is not None
    parts = (cost.input_cost, cost.output_cost, cost.cache_read_cost, cost.cache_write_cost)
    assert min(parts) >= 0
    assert cost.reasoning_cost is not None and cost.reasoning_cost <= cost.output_cost + 1e-9
    if cost.source == "provider_reported":
        assert sum(parts) == 0 and cost.total_cost == reported
    else:
        assert abs(sum(parts) - cost.total_cost) <= 1e-9 * max(1.0, cost.total_cost)


@settings(max_examples=200, deadline=None)
@given(usages, complete, st.integers(1, 100_000))
def test_more_tokens_never_cost_less_within_a_tier(usage: Usage, pricing: Pricing, more: int) -> None:
    pricing.above = []
    before, _ = cost_of(usage, pricing)
    usage.output_tokens += more
    usage.input_tokens += more
    after, _ = cost_of(usage, pricing)
    assert before is not None and after is not None and after.total_cost >= before.total_cost


@settings(max_examples=200, deadline=None)
@given(usages, st.builds(lambda i, o, r, w: Pricing("USD", i, o, r, w), *[st.one_of(st.none(), prices)] * 4))
def test_a_missing_price_is_said_and_the_same_twice(usage: Usage, pricing: Pricing) -> None:
    cost, warnings = cost_of(usage, pricing)
    assert cost_of(usage, pricing) == (cost, warnings)
    assert (cost is not None) or [warning.code for warning in warnings] == ["price_missing"]
    if cost is not None and usage.cached_input_tokens and pricing.cache_read is None:
        assert {"part": "cache_read"} in [warning.detail for warning in warnings]
