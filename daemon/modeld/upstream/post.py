"""One small request whose answer says nothing but its status."""

import asyncio
from collections.abc import Sequence

from .body import read_prefix
from .contract import HttpRequest, Origin, Transport, UpstreamError

_MAX_ANSWER_BYTES = 64 * 1024


async def post(
    transport: Transport, origin: Origin, target: str, headers: Sequence[tuple[str, str]], body: bytes, timeout_s: float
) -> int:
    """Post a body; the status of the answer, 0 where there was none in time."""
    request = HttpRequest("POST", origin, target, headers, body)
    try:
        async with asyncio.timeout(timeout_s):
            exchange = await transport.open(request, connect_timeout_s=timeout_s, head_timeout_s=timeout_s)
            try:
                await read_prefix(exchange, _MAX_ANSWER_BYTES)
            finally:
                exchange.close()
            return exchange.status
    except (UpstreamError, TimeoutError):
        return 0
