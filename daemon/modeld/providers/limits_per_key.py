"""What a key may do now: its rate and concurrency, from what the provider said last. Pure; times are monotonic, in seconds.

One rule for every provider, fed by answers alone: a throttled answer closes the key for as long as it asks, then lets calls
through one by one, more with every answer that comes well; a low `remaining` is a token bucket that refills at the speed that
the headers tell. While nothing was said the key is open, and looking costs nothing.
"""

from math import inf, isfinite
from typing import NamedTuple

from modeld_protocol.model import KeyBlock

from ..limits import MAX_CALLS_RUNNING_PER_KEY, MAX_RETRY_WAIT_S

CAUTION_S = 10.0  # after the last throttled answer, until the key is trusted again
PLENTY = 32.0  # requests left from which on they needn't be counted
FIRST_PAUSE_S = 0.025  # the least that a refusal closes a key, doubled with each one that follows without a success between
MAX_PAUSE_S = 1.0
MAX_ADVISED_S = 3.0  # the longest that headers of a good answer keep the next call away: they advise, a throttled answer orders
WORK_SHARE = 0.1  # of a used-up token limit that has to be back before the next call


class Reading(NamedTuple):
    """One limit as an answer's headers tell it. `remaining` of `limit`, whole again in `reset_s`; `requests` tells whether it
    counts requests, or their tokens."""

    remaining: float
    reset_s: float
    limit: float | None
    requests: bool


class Bucket(NamedTuple):
    """`tokens` starts at `at_s`, and `rate` more a second; what it knows ends at `until_s`. The last start was at `last_s`."""

    tokens: float
    at_s: float
    rate: float
    until_s: float
    last_s: float

    def next_start_s(self, now_s: float) -> float:
        """When a call may start."""
        if now_s >= self.until_s:
            return now_s
        held = self.tokens + self.rate * (now_s - self.at_s)
        if held >= 1.0:
            return now_s
        full_s = min(self.until_s, now_s + (1.0 - held) / self.rate) if self.rate > 0 else self.until_s
        return max(now_s, min(full_s, self.last_s + MAX_ADVISED_S))

    def taken(self, now_s: float) -> "Bucket":
        """One start less."""
        return self._replace(tokens=self.tokens - 1.0, last_s=now_s)


def closed_for_s(reading: Reading) -> float:
    """How long a limit of tokens that is used up keeps calls away: until a share of it is back."""
    if reading.remaining > 0:
        return 0.0
    return reading.reset_s * (1.0 if reading.limit is None else WORK_SHARE)


def bucket_of(reading: Reading, unanswered: int, now_s: float) -> Bucket | None:
    """The bucket that a limit of requests stands for, None while plenty is left. Requests that are on their way are taken off:
    the provider may not have counted them yet."""
    left = reading.remaining - unanswered
    if left >= PLENTY or reading.reset_s <= 0:
        return None
    used = 0.0 if reading.limit is None else reading.limit - reading.remaining
    return Bucket(left, now_s, used / reading.reset_s if used > 0 else 0.0, now_s + reading.reset_s, now_s)


class KeyLimits:
    """The state of one key. `running` calls are under way, `unanswered` of them have no response head yet."""

    __slots__ = (
        "_bucket",
        "_cautious_until_s",
        "_closed_until_s",
        "_refusals",
        "_window",
        "max_running",
        "running",
        "successes",
        "unanswered",
    )

    def __init__(self, max_running: int = MAX_CALLS_RUNNING_PER_KEY) -> None:
        self.running = 0
        self.unanswered = 0
        self.successes = 0
        self.max_running = max_running
        self._closed_until_s = 0.0
        self._cautious_until_s = 0.0
        self._refusals = 0
        self._window: int | None = None
        self._bucket: Bucket | None = None

    @property
    def throttled(self) -> bool:
        """Whether the provider's word limits calls, or did a moment ago."""
        return self._window is not None or self._bucket is not None or self._closed_until_s > 0

    def next_start_s(self, now_s: float) -> float:
        """When the next call may start: `now_s`, later, or `inf`: once one of those under way is answered or ends."""
        if self.running >= self.max_running:
            return inf
        if self._window is None and self._bucket is None and not self._closed_until_s:
            return now_s
        self._forget(now_s)
        start_s = max(now_s, self._closed_until_s)
        if self._bucket is not None:
            start_s = max(start_s, self._bucket.next_start_s(now_s))
        if start_s == now_s and self._window is not None and self.unanswered >= self._window:
            return inf
        return start_s

    def block(self, now_s: float) -> tuple[KeyBlock, float | None] | None:
        """Why no call may start now, and for how many seconds where that is known; None where one may."""
        start_s = self.next_start_s(now_s)
        if start_s <= now_s:
            return None
        if self.running >= self.max_running:
            return "max_concurrent_calls", None
        if not isfinite(start_s):
            return "recovering", None
        return ("throttled" if self._closed_until_s >= start_s else "request_budget"), start_s - now_s

    def start_free(self) -> bool:
        """Start a call with a key of which nothing is said, as is nearly always so. False where one has to look closer."""
        if self._window is None and self._bucket is None and not self._closed_until_s and self.running < self.max_running:
            self.running += 1
            self.unanswered += 1
            return True
        return False

    def start(self, now_s: float) -> None:
        """A call starts."""
        self.running += 1
        self.unanswered += 1
        if self._bucket is not None:
            self._bucket = self._bucket.taken(now_s)

    def answered(self, readings: list[Reading], now_s: float) -> None:
        """A good response head came, with its limits if it told any."""
        self.unanswered -= 1
        self.successes += 1
        self._refusals = 0
        if self._window is not None:
            self._window += 1
        for reading in readings:
            if reading.requests:
                self._bucket = bucket_of(reading, self.unanswered, now_s)
            elif (wait_s := closed_for_s(reading)) > 0:
                self._close(min(wait_s, MAX_ADVISED_S), now_s)

    def refused(self, wait_s: float, now_s: float) -> None:
        """A throttled answer: nothing leaves for `wait_s`. A wait of more than a minute means a used-up quota rather than a
        rate: who calls meanwhile shall hear that from the provider."""
        if wait_s > MAX_RETRY_WAIT_S:
            return
        if now_s >= self._closed_until_s:  # those that were on their way together are one
            self._refusals += 1
        wait_s = max(wait_s, min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0**self._refusals))
        self._window = 1
        self._cautious_until_s = now_s + wait_s + CAUTION_S
        self._close(wait_s, now_s)

    def nobody_waits(self, now_s: float) -> None:
        """Whoever waited for the key to open has left: who comes next may soon see for himself."""
        self._closed_until_s = min(self._closed_until_s, now_s + MAX_PAUSE_S)

    def end(self, *, answered: bool) -> None:
        """A call is over; `answered` tells whether its good response head was noted."""
        self.running -= 1
        if not answered:
            self.unanswered -= 1

    def _close(self, wait_s: float, now_s: float) -> None:
        self._closed_until_s = max(self._closed_until_s, now_s + min(wait_s, MAX_RETRY_WAIT_S))

    def _forget(self, now_s: float) -> None:
        """Drop what no longer holds, so that looking is cheap again."""
        if now_s >= self._closed_until_s:
            self._closed_until_s = 0.0
        if self._window is not None and now_s >= self._cautious_until_s:
            self._window = None
            self._refusals = 0
        if self._bucket is not None and now_s >= self._bucket.until_s:
            self._bucket = None
