"""Token counts of the OpenAI wires, made disjoint.

The input's count includes cache reads, and cache writes where they are reported
(https://developers.openai.com/api/docs/guides/prompt-caching, 2026-11-20); the output's includes reasoning, except where the
server's own total says that it does not.
"""

from modeld_protocol.usage import Usage


def disjoint_usage(*, input: int, output: int, read: int, written: int, reasoning: int | None, total: int | None) -> Usage:
    """Disjoint counts from inclusive ones; all are tokens, none is negative in the result."""
    if reasoning and reasoning > 0 and total == input + output + reasoning:
        output += reasoning
    uncached = max(input - read - written, 0)
    return Usage(
        input_tokens=uncached,
        output_tokens=output,
        cached_input_tokens=read,
        cache_creation_input_tokens=written,
        reasoning_tokens=None if reasoning is None else max(reasoning, 0),
        total_tokens=uncached + output + read + written,
    )


def first_count(*candidates: int | None) -> int:
    """The first count that says something, 0 where none does."""
    return next((number for number in candidates if number is not None and number > 0), 0)
