"""The deadlines of a stream: to the first sign of life, between signs, in all. Costs one clock reading per read."""

import asyncio
from types import TracebackType
from typing import Self

from .. import limits
from ..clock import Clock

TICK_S = 1.0
SOON_S = 2 * TICK_S


class Rounds:
    """Looks after the deadlines that are far, all of them once a second while there are any, where a timer for each would be a
    good part of what a quiet stream costs. For one event loop at a time."""

    __slots__ = ("_far", "_loop", "_now")

    def __init__(self, clock: Clock) -> None:
        self._far: set[StreamDeadlines] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now = clock.monotonic

    def __len__(self) -> int:
        return len(self._far)

    def add(self, deadlines: "StreamDeadlines") -> None:
        """Check it at the first round after it is `due`."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._far.clear()
            loop.call_later(TICK_S, self._go, loop)
        self._far.add(deadlines)

    def remove(self, deadlines: "StreamDeadlines") -> None:
        """Check it no more."""
        self._far.discard(deadlines)

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:
            return
        now = self._now()
        for deadlines in [one for one in self._far if one.due <= now]:
            self._far.discard(deadlines)
            deadlines.check()
        if self._far:
            loop.call_later(TICK_S, self._go, loop)
        else:
            self._loop = None


class StreamDeadlines:
    """Only the answer itself resets them: a provider that sends nothing but keep-alives is silent. `idle_s` is no more than
    `first_s`.

    Entered around what they watch, which they cancel, and leave with TimeoutError, when one has passed.
    """

    __slots__ = (
        "_began",
        "_cancelling",
        "_expired",
        "_idle_s",
        "_is_paused",
        "_last",
        "_limit_s",
        "_lived",
        "_now",
        "_rounds",
        "_task",
        "_timer",
        "due",
    )

    def __init__(self, clock: Clock, rounds: Rounds, first_s: float, idle_s: float) -> None:
        self._now = clock.monotonic
        self._limit_s = first_s
        self._idle_s = idle_s
        self._last = self._began = clock.monotonic()
        self._is_paused = False
        self._lived = False
        self._expired = False
        self._rounds = rounds
        self.due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._stop()
        # As asyncio.timeout has it: who else cancels at the same moment is not taken for a deadline.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _stop(self) -> None:
        self._rounds.remove(self)
        if self._timer is not None:
            self._timer.cancel()

    def alive(self) -> None:
        """The answer went on."""
        self._last = self._now()
        if not self._lived:  # the next check is none too late for the shorter limit
            self._lived = True
            self._limit_s = self._idle_s

    def last_words(self, within_s: float) -> None:
        """What still comes has to come now."""
        if self._limit_s != within_s:
            self._last, self._limit_s, self._lived = self._now(), within_s, True
            self._stop()
            self.check()

    def paused(self, paused: bool) -> None:
        """The client is slow, the provider isn't to blame."""
        self._is_paused = paused
        self._last = self._now()

    def verdict(self) -> tuple[str, float]:
        """What was waited for in vain, and how long."""
        if self._now() - self._began >= limits.MAX_STREAM_S:
            return "streamed without an end", limits.MAX_STREAM_S
        return ("went silent" if self._lived else "sent nothing"), self._limit_s

    def check(self) -> None:
        """Expire, or arrange for the next look: within `idle_s`, so that the first sign of life need not see to it."""
        now = self._now()
        left = min(self._last + self._limit_s, self._began + limits.MAX_STREAM_S) - now
        if self._is_paused:
            left = max(left, 1.0)
        if left <= 0:
            self._expired = True
            self._task.cancel()
            return
        left = min(left, self._idle_s)
        if left > SOON_S:
            self.due = now + left - SOON_S
            self._rounds.add(self)
        else:
            self._timer = asyncio.get_running_loop().call_later(left, self.check)
