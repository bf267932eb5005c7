"""A key that went out in a header does not come back in an answer: servers that echo requests show it to nobody.

Only a key that the request's body doesn't hold is masked: what a prompt contains, a model may repeat.
"""

from collections.abc import Callable

from .contract import HttpRequest

_SHORTEST = 16  # shorter secrets stand in ordinary text by chance


class KeyMask:
    """Hands pieces on to `sink` with the key starred out, byte for byte, also where a piece ends inside of it."""

    __slots__ = ("_held", "_key", "_sink", "_stars")

    def __init__(self, key: bytes, sink: Callable[[bytes], bool]) -> None:
        self._key = key
        self._stars = b"*" * len(key)
        self._sink = sink
        self._held = b""

    def feed(self, data: bytes) -> bool:
        """One piece; see Exchange.pump."""
        if self._held:
            data, self._held = self._held + data, b""
        if self._key in data:
            data = data.replace(self._key, self._stars)
        if data and data[-1] in self._key:  # pieces of a stream end in a line end, which no key holds
            data, self._held = self._parted(data)
        return self._sink(data) if data else False

    def end(self) -> bool:
        """The body is over: what was held back was no key."""
        held, self._held = self._held, b""
        return self._sink(held) if held else False

    def _parted(self, data: bytes) -> tuple[bytes, bytes]:
        """The piece, and what at its end may be the begin of the key."""
        for size in range(min(len(self._key) - 1, len(data)), 0, -1):
            if data.endswith(self._key[:size]):
                return data[:-size], data[-size:]
        return data, b""


def key_to_mask(request: HttpRequest) -> bytes | None:
    """The key that the answer to this request must not hold; None where there is none to mask."""
    if request.credential is None:
        return None
    key = request.credential.secret.reveal().encode("utf-8", "surrogatepass")
    return key if len(key) >= _SHORTEST and key not in request.body else None
