"""Time and chance, brought in from outside so that tests and the simulation can bring their own."""

import random
import secrets
import time
from collections.abc import Callable

import msgspec


class Clock(msgspec.Struct, frozen=True):
    """`monotonic` in seconds for every deadline, `wall` in seconds since 1970 for dates, `chance` in [0, 1) for jitter."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    token: Callable[[int], bytes] = secrets.token_bytes

    def new_id(self, prefix: str) -> str:
        """A fresh id that sorts by time: `<prefix>_`, 12 hex digits of milliseconds, 20 of chance."""
        return f"{prefix}_{int(self.wall() * 1000):012x}{self.token(10).hex()}"


SYSTEM = Clock()
