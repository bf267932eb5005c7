"""Reading of a body that may be longer than anyone cares to know."""

from .contract import Exchange, UpstreamError


class WholeBody:
    """A body that is read as a whole, or not at all where it is longer than `max_bytes`."""

    __slots__ = ("_left", "_max_bytes", "_pieces")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._left = max_bytes
        self._pieces: list[bytes] = []

    def collect(self, data: bytes) -> bool:
        """Take a piece; there is always another. Raises UpstreamError."""
        self._left -= len(data)
        if self._left < 0:
            told = f"the provider's answer is longer than {self._max_bytes} bytes; ask for less"
            raise UpstreamError("too_large", told, answered=True)
        self._pieces.append(data)
        return False

    @property
    def data(self) -> bytes:
        """What has come."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


async def read_prefix(exchange: Exchange, max_bytes: int) -> bytes:
    """The body, or its first `max_bytes` bytes, after which the connection is closed: for error pages. Raises UpstreamError
    where the body breaks off sooner."""
    pieces: list[bytes] = []
    left = max_bytes

    def collect(data: bytes) -> bool:
        nonlocal left
        pieces.append(data[:left])
        left -= len(pieces[-1])
        return left == 0

    await exchange.pump(collect)
    return b"".join(pieces)
