"""How fast a key may ask: so many requests within any second. Pure but for what it remembers."""

from collections import deque

_WINDOW_S = 1.0


class Meter:
    """Counts the requests of each key that were let through."""

    def __init__(self) -> None:
        self._starts: dict[str, deque[float]] = {}

    def wait_s(self, key: str, per_second: float, now_s: float) -> float:
        """0 where the request is let through, and counted; else how long until one would be."""
        starts = self._starts.setdefault(key, deque())
        while starts and now_s - starts[0] >= _WINDOW_S:
            starts.popleft()
        if len(starts) < per_second:
            starts.append(now_s)
            return 0.0
        return starts[0] + _WINDOW_S - now_s

    def reset(self) -> None:
        """Forget every request."""
        self._starts.clear()
