"""Time and chance, brought in from outside so that tests and the simulation can bring their own."""

import random
import secrets
import time
from collections.abc import Callable

import msgspec

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Clock(msgspec.Struct, frozen=True):
    """`monotonic` in seconds for every deadline, `wall` in seconds since 1970 for dates, `chance` in [0, 1) for jitter."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    token: Callable[[int], bytes] = secrets.token_bytes

    def new_id(self, prefix: str) -> str:
        """A fresh sortable id, `<prefix>_` and 26 characters: 48 bits of milliseconds, 80 of chance (ULID)."""
        number = (int(self.wall() * 1000) << 80) | int.from_bytes(self.token(10))
        digits = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -5, -5)]
        return f"{prefix}_{''.join(digits)}"


SYSTEM = Clock()
