"""Reading of a body that may be longer than anyone cares to know."""

from .contract import Exchange


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
