"""Token counts of the Responses wire. https://developers.openai.com/api/docs/guides/prompt-caching (2026-11-20)."""

from typing import Any, cast

from modeld_protocol.usage import Usage

from ..loose_json import whole_number
from ..openai_shared.usage import disjoint_usage, first_count


def decode_usage(value: Any) -> Usage | None:
    """Disjoint counts, None where there are none."""
    counts = _object(value)
    input, output = whole_number(counts.get("input_tokens")), whole_number(counts.get("output_tokens"))
    if input is None and output is None:
        return None
    details = _object(counts.get("input_tokens_details"))
    return disjoint_usage(
        input=first_count(input),
        output=first_count(output),
        read=first_count(whole_number(details.get("cached_tokens"))),
        written=first_count(whole_number(details.get("cache_write_tokens"))),
        reasoning=whole_number(_object(counts.get("output_tokens_details")).get("reasoning_tokens")),
        total=whole_number(counts.get("total_tokens")),
    )


def reported_cost(value: Any) -> float | None:
    """What a router says that the call cost, in USD."""
    cost = _object(value).get("cost")
    return float(cost) if isinstance(cost, int | float) and 0 <= cost < 1e9 else None


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
