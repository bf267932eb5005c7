"""The deadlines of a stream: to the first sign of life, between signs, in all. Costs one clock reading per read."""

import asyncio
from types import TracebackType
from typing import Self

from .. import limits
from ..clock import Clock


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
        "_task",
        "_timer",
    )

    def __init__(self, clock: Clock, first_s: float, idle_s: float) -> None:
        self._now = clock.monotonic
        self._limit_s = first_s
        self._idle_s = idle_s
        self._last = self._began = clock.monotonic()
        self._is_paused = False
        self._lived = False
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._stop()
        # As asyncio.timeout has it: who else cancels at the same moment is not taken for a deadline.
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def alive(self) -> None:
        """The answer went on."""
        self._last = self._now()
        if not self._lived:  # the timer that runs is none too late for the shorter limit: see `_check`
            self._lived = True
            self._limit_s = self._idle_s

    def last_words(self, within_s: float) -> None:
        """What still comes has to come now."""
        if self._limit_s != within_s:
            self._last, self._limit_s, self._lived = self._now(), within_s, True
            self._stop()
            self._check()

    def paused(self, paused: bool) -> None:
        """The client is slow, the provider isn't to blame."""
        self._is_paused = paused
        self._last = self._now()

    def verdict(self) -> tuple[str, float]:
        """What was waited for in vain, and how long."""
        if self._now() - self._began >= limits.MAX_STREAM_S:
            return "streamed without an end", limits.MAX_STREAM_S
        return ("went silent" if self._lived else "sent nothing"), self._limit_s

    def _check(self) -> None:
        now = self._now()
        left = min(self._last + self._limit_s, self._began + limits.MAX_STREAM_S) - now
        if self._is_paused:
            left = max(left, 1.0)
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(min(left, self._idle_s), self._check)
        else:
            self._expired = True
            self._timer = None
            self._task.cancel()
