"""What the headers of an answer say of the key's limits. Pure.

Two families, read 2026-11-20: `x-ratelimit-remaining-requests` and its kin (limit, reset; tokens) of the chat completions
interface, whose reset is a duration until the limit is whole again, and `anthropic-ratelimit-requests-remaining` and its kin,
whose reset is a moment (RFC 3339). Both are token buckets:
https://platform.openai.com/docs/guides/rate-limits, https://docs.claude.com/en/api/rate-limits
"""

from collections.abc import Callable, Mapping

from ...upstream.retry import parse_moment, parse_number
from ..limits_per_key import PLENTY, Reading

_PREFIX = "anthropic-ratelimit-"
_LIMITS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-requests", True),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "x-ratelimit-limit-tokens", False),
    (f"{_PREFIX}requests-remaining", f"{_PREFIX}requests-reset", f"{_PREFIX}requests-limit", True),
    (f"{_PREFIX}tokens-remaining", f"{_PREFIX}tokens-reset", f"{_PREFIX}tokens-limit", False),
    (f"{_PREFIX}input-tokens-remaining", f"{_PREFIX}input-tokens-reset", f"{_PREFIX}input-tokens-limit", False),
    (f"{_PREFIX}output-tokens-remaining", f"{_PREFIX}output-tokens-reset", f"{_PREFIX}output-tokens-limit", False),
)
_REMAINING = frozenset(names[0] for names in _LIMITS)
_MAX_DIGITS = 18
_NONE: list[Reading] = []


def low_limits(headers: Mapping[str, str], unanswered: int, wall: Callable[[], float]) -> list[Reading]:
    """The limits that are near their end; those of requests by number, those of tokens once they are used up. Any headers,
    never raises. `wall` gives the seconds since 1970."""
    found = _NONE
    if _REMAINING.isdisjoint(headers):
        return found
    for remaining_name, reset_name, limit_name, requests in _LIMITS:
        text = headers.get(remaining_name)
        if text is None:
            continue
        enough = PLENTY + unanswered if requests else 1.0
        if text.isdigit() and len(text) < _MAX_DIGITS and int(text) >= enough:
            continue  # nearly always
        remaining = parse_number(text)
        if remaining is None or remaining >= enough:
            continue
        reset_s = parse_moment(headers.get(reset_name, "").strip(), wall())
        if reset_s is not None and reset_s > 0:
            found = [*found, Reading(remaining, reset_s, parse_number(headers.get(limit_name, "")), requests)]
    return found
