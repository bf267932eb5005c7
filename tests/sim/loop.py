"""An asyncio loop on virtual time: it never waits, it moves its clock to the next timer. Nothing to do at all is a deadlock."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from modeld.clock import Clock

START_S = 1_000.0
WALL_S = 1_750_000_000.0


class Deadlock(Exception):
    """Nothing is ready and nothing is scheduled: whoever waits waits for ever."""


class _Selector:
    """Stands where a selector watches sockets; there are none."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Move the clock instead of waiting."""
        if timeout is None:
            raise Deadlock("nothing is scheduled and nothing is ready")
        if timeout > 0:
            self._loop.advance()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks, timers and tasks; what would go to a thread runs at once. `connect_accepted_socket` takes an `Endpoint`.

    `most_ticks` bounds the whole run: a loop that is busy for ever at one moment of virtual time is a fault too.
    """

    def __init__(self, most_ticks: int = 400_000) -> None:
        super().__init__()
        self._selector = _Selector(self)
        self._virtual_s = START_S
        self._ticks_left = most_ticks
        self.errors: list[str] = []
        self.set_exception_handler(self._note_error)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual_s

    def advance(self) -> None:
        """To the first timer."""
        self._virtual_s = max(self._virtual_s, self._scheduled[0].when())

    def _process_events(self, _events: list[Any]) -> None:
        self._ticks_left -= 1
        if self._ticks_left < 0:
            raise Deadlock("the loop turns without end")

    def _write_to_self(self) -> None:
        """Nobody waits to be woken."""

    def _note_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """Run it now; its awaiter resumes in a later tick, as after a thread."""
        done = self.create_future()
        try:
            result = func(*args)
        except Exception as error:
            done.set_exception(error)
        else:
            done.set_result(result)
        return done

    async def connect_accepted_socket(self, protocol_factory: Any, sock: Any, **_: Any) -> Any:  # type: ignore[override]
        """Serve one end of a pair of streams in memory."""
        protocol = protocol_factory()
        sock.serve(protocol)
        return sock, protocol


class VirtualTime:
    """The Clock of a run: the loop's time, a wall clock that may jump, chance and ids from the seed."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self._loop = loop
        self.wall_offset_s = 0.0
        chance = random.Random(f"{seed} chance")
        ids = random.Random(f"{seed} ids")
        self.clock = Clock(loop.time, self._wall, chance.random, ids.randbytes)

    def _wall(self) -> float:
        return WALL_S + self._loop.time() + self.wall_offset_s


def run(main: Callable[[VirtualLoop], Any]) -> Any:
    """Run `main(loop)`, a coroutine, on a loop of its own. Raises Deadlock and whatever it raises."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
