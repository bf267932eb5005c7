"""When to try again: what the provider's headers ask for, and how long to wait where they ask for nothing. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from ..limits import BACKOFF_BASE_S, BACKOFF_CAP_S

_NUMBER: Final = re.compile(r"\d{1,18}(?:\.\d{0,18})?|\.\d{1,18}", re.ASCII)
# Digits are bounded everywhere: a number of a megabyte is an attack, and int() of it would raise.
_DURATION: Final = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?", re.ASCII
)
_HTTP_DATE: Final = re.compile(r"[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT", re.ASCII)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RESET: Final = "x-ratelimit-reset"
_EPOCH_S: Final = 1e9  # a number from here on is a date (2001), from its thousandfold on one in milliseconds


def parse_retry_after(headers: Mapping[str, str], now_wall: float) -> float | None:
    """The seconds that a failed answer asks to wait, None where it asks for nothing usable. Any headers, never raises.

    `retry-after-ms`, then `retry-after` (seconds, fractions too, or an HTTP date), then the latest `x-ratelimit-reset…` of
    a limit that is used up: the order of the providers' own clients (read 2026-11-20). `now_wall` is in seconds since 1970.
    What is not after now is ignored; nothing caps the result.
    """
    milliseconds = _positive(parse_number(headers.get("retry-after-ms", "")), 1e-3)
    if milliseconds is not None:
        return milliseconds
    asked = headers.get("retry-after", "").strip()
    seconds = parse_number(asked)
    if seconds is None:
        date = _parse_http_date(asked)
        seconds = None if date is None else date - now_wall
    return _positive(seconds) or _parse_rate_limit_reset(headers, now_wall)


def should_retry_header(headers: Mapping[str, str]) -> bool | None:
    """What `x-should-retry` says, which outranks the status; None where it says nothing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def backoff_s(attempt: int, chance: float, base_s: float = BACKOFF_BASE_S, cap_s: float = BACKOFF_CAP_S) -> float:
    """The wait before retry `attempt` (0 is the first), full jitter; `chance` in [0, 1)."""
    return chance * min(cap_s, base_s * 2.0 ** min(attempt, 64))


def _parse_rate_limit_reset(headers: Mapping[str, str], now_wall: float) -> float | None:
    """The longest reset of the limits that are used up. The headers of the others come with every answer and say nothing
    about this failure."""
    waits: list[float] = []
    for name, value in headers.items():
        if not name.startswith(_RESET):
            continue
        remaining = parse_number(headers.get(f"x-ratelimit-remaining{name[len(_RESET) :]}", "0"))
        wait = _positive(parse_moment(value.strip(), now_wall))
        if wait is not None and not remaining:
            waits.append(wait)
    return max(waits, default=None)


def parse_moment(text: str, now_wall: float) -> float | None:
    """Seconds from now, of a number of seconds, a date as a number, `1m2.5s` or RFC 3339; the shape decides."""
    number = parse_number(text)
    if number is None:
        duration = _parse_duration(text)
        return _parse_rfc3339(text, now_wall) if duration is None else duration
    if number < _EPOCH_S:
        return number
    return (number if number < _EPOCH_S * 1000 else number / 1000) - now_wall


def parse_number(text: str) -> float | None:
    """A header's plain number, or None for whatever else stands there."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _parse_duration(text: str) -> float | None:
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        return None
    days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return days * 86_400 + hours * 3_600 + minutes * 60 + seconds + milliseconds / 1000


def _parse_http_date(text: str) -> float | None:
    match = _HTTP_DATE.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second, tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _parse_rfc3339(text: str, now_wall: float) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_wall
    except (ValueError, OverflowError):
        return None


def _positive(number: float | None, scale: float = 1.0) -> float | None:
    return number * scale if number is not None and isfinite(number) and number > 0 else None
