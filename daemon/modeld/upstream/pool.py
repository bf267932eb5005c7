"""Idle connections per origin: the newest is used first, the old ones are dropped."""

import asyncio
from collections import deque

from ..clock import Clock
from ..limits import POOL_IDLE_PER_ORIGIN, POOL_IDLE_S
from .connection import Connection
from .contract import Origin


class Pool:
    """Taking and giving back cost the same however many connections there are."""

    __slots__ = ("_clock", "_idle", "_sweeper")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: dict[Origin, deque[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> Connection | None:
        """The connection that was used last, None where none is fresh enough."""
        idle = self._idle.get(origin)
        oldest = self._clock.monotonic() - POOL_IDLE_S
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection whose exchange is complete; the oldest of its origin goes where there are too many."""
        connection.rest()
        connection.idle_since = self._clock.monotonic()
        idle = self._idle.setdefault(connection.origin, deque())
        if len(idle) >= POOL_IDLE_PER_ORIGIN:
            idle.popleft().abort()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(POOL_IDLE_S, self._sweep)

    def close(self) -> None:
        """Close every idle connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    def _sweep(self) -> None:
        """Once in POOL_IDLE_S while there are idle connections: drop those that nobody took, so that their sockets go."""
        self._sweeper = None
        oldest = self._clock.monotonic() - POOL_IDLE_S
        for origin, idle in list(self._idle.items()):
            while idle and (idle[0].idle_since <= oldest or not idle[0].is_open):
                idle.popleft().abort()
            if not idle:
                del self._idle[origin]
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(POOL_IDLE_S, self._sweep)
