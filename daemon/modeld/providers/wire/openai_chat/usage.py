"""Token counts of the Chat Completions wire, made disjoint.

`prompt_tokens` includes cache reads, and cache writes where the server reports them
(https://developers.openai.com/api/docs/guides/prompt-caching, 2026-11-20); `completion_tokens` includes reasoning, except
where the server's own total says that it does not.
"""

from modeld_protocol.usage import Usage

from .types import PromptDetails, WireUsage

_NO_DETAILS = PromptDetails()


def decode_usage(wire: WireUsage) -> Usage | None:
    """Disjoint counts, None where the object holds neither prompt nor completion tokens."""
    if wire.prompt_tokens is None and wire.completion_tokens is None:
        return None
    prompt, output = _count(wire.prompt_tokens), _count(wire.completion_tokens)
    details = wire.prompt_tokens_details or _NO_DETAILS
    read = _count(wire.prompt_cache_hit_tokens, details.cached_tokens, wire.cached_tokens)
    written = _count(details.cache_write_tokens, details.cache_creation_input_tokens, wire.cache_creation_input_tokens)
    reasoning = wire.completion_tokens_details.reasoning_tokens if wire.completion_tokens_details else None
    if reasoning and reasoning > 0 and wire.total_tokens == prompt + output + reasoning:
        output += reasoning
    uncached = max(prompt - read - written, 0)
    return Usage(
        input_tokens=uncached,
        output_tokens=output,
        cached_input_tokens=read,
        cache_creation_input_tokens=written,
        reasoning_tokens=None if reasoning is None else max(reasoning, 0),
        total_tokens=uncached + output + read + written,
    )


def _count(*candidates: int | None) -> int:
    """The first count that says something, 0 where none does."""
    return next((number for number in candidates if number is not None and number > 0), 0)
