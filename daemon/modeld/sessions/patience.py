"""When the provider of a turn waits for the readers of its session: those who read, only slower than it sends.

Without it a turn that comes faster than its readers take it would outrun the ring, and even its starter would be told of a gap.
A reader who has stopped holds up the others once, for a moment, and not again before it reads.
"""

from collections.abc import Callable
from typing import Protocol

PATIENCE_S = 0.4  # without any progress from one look to the next, a reader is not waited for; most take 20 to 200 ms
HOLD_BYTES = 512 * 1024  # of events that a reader has not got yet before it is waited for; the last one may be a large one
_GO_ON_BYTES = HOLD_BYTES // 2


class Timer(Protocol):
    """What asyncio's `call_later` returns."""

    def cancel(self) -> None:
        """Don't call any more."""
        ...


class Reader(Protocol):
    """A subscriber: `lag` is how many bytes it has not got yet; `stopped` that it was waited for in vain."""

    lag: int
    stopped: bool


class Patience:
    """For one turn. `flow` is told False when the provider is to pause and True when it may go on."""

    __slots__ = ("_flow", "_later", "_timer", "_waiting")

    def __init__(self, flow: Callable[[bool], None], later: Callable[[float, Callable[[], None]], Timer]) -> None:
        self._flow = flow
        self._later = later
        self._timer: Timer | None = None
        self._waiting: list[tuple[Reader, int | None]] = []  # with the lag at the last look, None where there was none yet

    def lags(self, reader: Reader) -> None:
        """The reader has more than HOLD_BYTES to come."""
        if reader.stopped or any(one is reader for one, _ in self._waiting):
            return
        self._waiting.append((reader, None))
        if self._timer is None:
            self._timer = self._later(PATIENCE_S, self._look)
            self._flow(False)

    def moved(self, reader: Reader) -> None:
        """The reader took something."""
        if reader.lag < _GO_ON_BYTES:
            self.forget(reader)

    def forget(self, reader: Reader) -> None:
        """The reader has caught up, or is gone."""
        self._waiting = [one for one in self._waiting if one[0] is not reader]
        if not self._waiting:
            self._go_on()

    def close(self) -> None:
        """The turn has ended."""
        self._waiting = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        for reader, before in self._waiting:
            reader.stopped = before is not None and reader.lag >= before
        self._waiting = [(reader, reader.lag) for reader, _ in self._waiting if not reader.stopped]
        if self._waiting:
            self._timer = self._later(PATIENCE_S, self._look)
        else:
            self._flow(True)

    def _go_on(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._flow(True)
