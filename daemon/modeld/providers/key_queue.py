"""The line before a key: whom the provider's limits hold up waits here, the clients taking turns.

One queue for every key at every origin, shared by all adapters and clients. Keys are told apart by hash; none is held here.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from math import inf

import msgspec

from modeld_protocol.model import KeyBlock, KeyStatus

from .. import limits
from ..clock import Clock
from ..credentials.secret import Credential
from ..upstream.contract import Origin
from .limits_per_key import KeyLimits
from .wire.rate_headers import low_limits

_Place = asyncio.Future["Slot"]


class Slot(msgspec.Struct):
    """The right to one attempt. `end` gives it back, once."""

    _queue: "KeyQueue"
    _noted: bool = False

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer is here. A throttled one says no more until it is read: see `refused`."""
        if status != 429 and not self._noted:
            self._noted = True
            self._queue.answered(headers)

    def refused(self, wait_s: float) -> None:
        """The provider throttles the key: nobody calls for `wait_s`."""
        self._queue.limits.refused(wait_s, self._queue.clock.monotonic())

    def others_came_through(self, seen: int) -> bool:
        """Whether calls with the key were answered well, this one aside, since `seen` of them were."""
        return self._queue.limits.successes - self._noted > seen

    def end(self) -> None:
        """The attempt is over."""
        self._queue.end(answered=self._noted)


class KeyQueue:
    """The line before one key at one origin."""

    __slots__ = ("_lines", "_timer", "clock", "limits", "users", "waiting")

    def __init__(self, limits: KeyLimits, clock: Clock) -> None:
        self.limits = limits
        self.users: dict[str, int | None] = {}
        self.clock = clock
        self.waiting = 0
        self._lines: dict[str, deque[_Place]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether it may be forgotten."""
        return not (self.waiting or self.limits.running or self.limits.throttled)

    def use(self, adapter: str, max_running: int | None) -> None:
        """An adapter calls with the key, and lets so many calls run at once. Where adapters share a key the lowest counts."""
        self.users[adapter] = max_running
        self._bound()

    def keep(self, adapters: Collection[str]) -> None:
        """Of the adapters that called with the key only these are left."""
        gone = [name for name in self.users if name and name not in adapters]
        for name in gone:
            del self.users[name]
        if gone:
            self._bound()

    def _bound(self) -> None:
        asked = [most for most in self.users.values() if most is not None]
        self.limits.max_running = min(asked, default=limits.MAX_CALLS_RUNNING_PER_KEY)
        self._pump()

    def status(self) -> KeyStatus:
        """How calls with the key do."""
        block = self.limits.block(self.clock.monotonic())
        return KeyStatus(
            providers=[name for name in self.users if name],
            running=self.limits.running,
            waiting=self.waiting,
            waiting_clients=len(self._lines),
            max_concurrent_calls=self.limits.max_running,
            blocked_by=block[0] if block else None,
            opens_in_seconds=block[1] if block else None,
            reason=_WORDS[block[0]] if block else None,
        )

    def enter_nowait(self) -> Slot | None:
        """A slot, where nobody waits and the key is open."""
        if self.waiting:
            return None
        if self.limits.start_free():
            return Slot(self)
        now_s = self.clock.monotonic()
        return self._admit() if self.limits.next_start_s(now_s) <= now_s else None

    async def enter(self, client: str, deadline_s: float, *, first: bool) -> Slot:
        """Wait for a slot until `deadline_s` on the monotonic clock; `first` stands before the client's own others.
        Raises TimeoutError, at once where the key opens later than that."""
        if inf > self.limits.next_start_s(self.clock.monotonic()) > deadline_s:
            raise TimeoutError
        place: _Place = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(client, deque())
        (line.appendleft if first else line.append)(place)
        self.waiting += 1
        self._pump()
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self.clock.monotonic())):
                return await place
        except BaseException:
            self._leave(client, place)
            raise
        finally:
            self.waiting -= 1

    def answered(self, headers: Mapping[str, str]) -> None:
        """A good head of an answer came."""
        key_limits = self.limits
        readings = low_limits(headers, key_limits.unanswered - 1, self.clock.wall)
        key_limits.answered(readings, self.clock.monotonic() if readings else 0.0)
        if self._lines:
            self._pump()

    def end(self, *, answered: bool) -> None:
        """A slot came back."""
        self.limits.end(answered=answered)
        if self._lines:
            self._pump()

    def _admit(self) -> Slot:
        slot = Slot(self)
        self.limits.start(self.clock.monotonic())
        return slot

    def _leave(self, client: str, place: _Place) -> None:
        """Out of the line; a slot that came at the same moment goes back."""
        if place.done() and not place.cancelled():
            self.end(answered=False)
            return
        line = self._lines.get(client)
        if line is not None and place in line:
            line.remove(place)
            if not line:
                del self._lines[client]
        if not self._lines:
            self.limits.nobody_waits(self.clock.monotonic())

    def _pump(self) -> None:
        """Let in whom the limits let in; look again when they will."""
        while self._lines:
            now_s = self.clock.monotonic()
            start_s = self.limits.next_start_s(now_s)
            if start_s > now_s:
                self._look_again(start_s - now_s)
                return
            place = self._next()
            if not place.done():
                place.set_result(self._admit())

    def _next(self) -> _Place:
        """The first of the client whose turn it is; the client goes to the end."""
        client = next(iter(self._lines))
        line = self._lines.pop(client)
        place = line.popleft()
        if line:
            self._lines[client] = line
        return place

    def _look_again(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if wait_s == inf else asyncio.get_running_loop().call_later(wait_s, self._pump)


class KeyQueues:
    """The queues of all keys."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[tuple[Origin, int], KeyQueue] = {}

    def of(self, origin: Origin, credential: Credential | None, adapter: str = "", max_running: int | None = None) -> KeyQueue:
        """The queue of a key, for an adapter that lets at most `max_running` calls run with it; without a name where the key is
        a client's own."""
        name = (origin, hash(credential.secret) if credential is not None else 0)
        queue = self._queues.get(name)
        if queue is None:
            if len(self._queues) >= limits.MAX_KEYS_WATCHED:
                self._queues = {known: old for known, old in self._queues.items() if not old.idle}
            queue = self._queues[name] = KeyQueue(KeyLimits(), self._clock)
        if queue.users.get(adapter, -1) != max_running:
            queue.use(adapter, max_running)
        return queue

    def keep(self, adapters: Collection[str]) -> None:
        """Only these adapters are left."""
        for queue in self._queues.values():
            queue.keep(adapters)

    @property
    def waiting(self) -> int:
        """How many calls wait for their key."""
        return sum(queue.waiting for queue in self._queues.values())

    def in_use(self) -> Iterator[KeyStatus]:
        """How the keys do that are in use at the moment; not those that clients lend."""
        for queue in self._queues.values():
            if not queue.idle and any(queue.users):
                yield queue.status()


_WORDS: dict[KeyBlock, str] = {
    "throttled": "the provider throttles this key; calls go on once the time is over that it asked for",
    "recovering": "the provider has just throttled this key; calls are let in one by one, more with every good answer",
    "request_budget": "the budget of requests for this key is used up; it refills at the speed that the provider tells",
    "max_concurrent_calls": "as many calls run with this key as may; options.max_concurrent_calls of the adapter sets how many",
}
