"""Token counts of the Chat Completions wire, wherever a compatible server puts them."""

from modeld_protocol.usage import Usage

from ..openai_shared.usage import disjoint_usage, first_count
from .types import PromptDetails, WireUsage

_NO_DETAILS = PromptDetails()


def decode_usage(wire: WireUsage) -> Usage | None:
    """Disjoint counts, None where the object holds neither prompt nor completion tokens."""
    if wire.prompt_tokens is None and wire.completion_tokens is None:
        return None
    details = wire.prompt_tokens_details or _NO_DETAILS
    return disjoint_usage(
        input=first_count(wire.prompt_tokens),
        output=first_count(wire.completion_tokens),
        read=first_count(wire.prompt_cache_hit_tokens, details.cached_tokens, wire.cached_tokens),
        written=first_count(details.cache_write_tokens, details.cache_creation_input_tokens, wire.cache_creation_input_tokens),
        reasoning=wire.completion_tokens_details.reasoning_tokens if wire.completion_tokens_details else None,
        total=wire.total_tokens,
    )


def reported_cost(wire: WireUsage) -> float | None:
    """What the provider says that the call cost, in USD. With a key of the user's own a router charges its fee alone, and the
    provider behind it the rest (https://openrouter.ai/docs/use-cases/usage-accounting, 2026-11-20)."""
    if wire.cost is None or not wire.is_byok or wire.cost_details is None:
        return wire.cost
    return wire.cost + (wire.cost_details.upstream_inference_cost or 0.0)
