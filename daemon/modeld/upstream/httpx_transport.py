"""The Transport over an httpx client: for embedders with their own, for proxies and for tests that mock httpx.

Slower than the direct one by some 15 us an event and 0.5 ms a call. Only this module knows httpx, which is imported when
the first HttpxTransport is made.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, cast

from ..limits import MAX_STREAM_BYTES, POOL_IDLE_PER_ORIGIN, POOL_IDLE_S
from .body import WholeBody
from .contract import Exchange, HttpRequest, UpstreamError
from .guard import authority
from .headers import full_headers
from .inflate import inflater_for

if TYPE_CHECKING:
    import httpx


class HttpxTransport:
    """Sends through `client`, whose proxies, certificates and mocks apply; closes it only as its owner."""

    __slots__ = ("_client", "_owns_client")

    def __init__(self, client: "httpx.AsyncClient", *, owns_client: bool = False) -> None:
        # Both log full URLs, and a query may hold a key.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._client = client
        self._owns_client = owns_client

    async def open(self, request: HttpRequest, *, connect_timeout_s: float, head_timeout_s: float) -> Exchange:
        """Send and wait for the response head; see the contract."""
        import httpx

        origin = str(request.origin)
        url = f"{request.origin.scheme}://{authority(request.origin)}{request.target}"
        headers = full_headers(request)
        timeout = httpx.Timeout(None, connect=connect_timeout_s)
        try:
            built = self._client.build_request(request.method, url, headers=headers, content=request.body, timeout=timeout)
            async with asyncio.timeout(connect_timeout_s + head_timeout_s if head_timeout_s < inf else None):
                response = await self._client.send(built, stream=True, follow_redirects=False, auth=None)
        except TimeoutError:
            message = f"{origin} didn't answer within {head_timeout_s:g} s; try again, or raise timeout_seconds"
            raise UpstreamError("timeout", message) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _map_error(error, origin, answered=False) from None
        return HttpxExchange(response, origin)

    async def close(self) -> None:
        """Close the client, if it is ours."""
        if self._owns_client:
            await self._client.aclose()


class HttpxExchange:
    """One answered request. The body is read by a task, so that `close` can interrupt it."""

    __slots__ = ("_flowing", "_origin", "_response", "_task", "headers", "status")

    def __init__(self, response: "httpx.Response", origin: str) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)
        self._response = response
        self._origin = origin
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._task: asyncio.Task[None] | None = None

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, decompressed within bounds. Raises UpstreamError."""
        whole = WholeBody(max_bytes)
        await self._run(whole.collect, max_bytes)
        return whole.data

    async def pump(self, on_data: Callable[[bytes], bool]) -> None:
        """Calls `on_data` with every piece as it arrives; see the contract."""
        await self._run(on_data, MAX_STREAM_BYTES)

    def pause(self) -> None:
        """Stop reading from the provider."""
        self._flowing.clear()

    def resume(self) -> None:
        """Go on reading."""
        self._flowing.set()

    def close(self) -> None:
        """Close the connection if the body isn't finished; idempotent."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._response.aclose())
        else:
            self._task.cancel()

    async def _run(self, on_data: Callable[[bytes], bool], max_bytes: int) -> None:
        if self._task is not None:
            raise RuntimeError("an exchange is read once, and not after close")
        task = self._task = asyncio.ensure_future(self._consume(on_data, max_bytes))
        try:
            await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise UpstreamError("reset", "the exchange was closed while its body was read; try again", answered=True) from None

    async def _consume(self, on_data: Callable[[bytes], bool], max_bytes: int) -> None:
        import httpx

        inflater = inflater_for(self.headers.get("content-encoding", ""), max_bytes)
        left = MAX_STREAM_BYTES
        try:
            async with aclosing(cast("AsyncGenerator[bytes]", self._response.aiter_raw())) as pieces:
                async for piece in pieces:
                    left -= len(piece)
                    if left < 0:
                        raise UpstreamError(
                            "too_large", f"the answer is longer than {MAX_STREAM_BYTES} bytes; ask for less", answered=True
                        )
                    if any(on_data(data) for data in (inflater.feed(piece) if inflater else (piece,))):
                        return
                    if not self._flowing.is_set():
                        await self._flowing.wait()
            if inflater:
                inflater.end()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _map_error(error, self._origin, answered=True) from None
        finally:
            await self._response.aclose()


def proxied(proxy_url: str) -> HttpxTransport:
    """A transport of its own client that goes through an HTTP(S) proxy (SOCKS with httpx's extra). Raises ValueError."""
    from http.cookiejar import DefaultCookiePolicy

    import httpx

    try:
        client = httpx.AsyncClient(
            proxy=proxy_url,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=POOL_IDLE_PER_ORIGIN, keepalive_expiry=POOL_IDLE_S
            ),
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        hint = "install httpx[socks]" if isinstance(error, ImportError) else "write it like http://host:3128"
        raise ValueError(f"the proxy URL can't be used; {hint}") from None
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return HttpxTransport(client, owns_client=True)


def _map_error(error: Exception, origin: str, *, answered: bool) -> UpstreamError:
    """httpx's errors as ours. Their own texts stay out: some hold URLs."""
    import httpx

    kind = type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        if isinstance(error.__context__, ssl.SSLError) or "SSL" in str(error):
            return UpstreamError("tls", f"no TLS with {origin}; check base_url, the clock and the certificates")
        return UpstreamError("connect", f"no connection to {origin} ({kind}); check the network, base_url and the proxy")
    if isinstance(error, httpx.TimeoutException):
        return UpstreamError("timeout", f"{origin} took too long ({kind}); try again", answered=answered)
    cut = isinstance(error, httpx.RemoteProtocolError) and ("disconnected" in str(error) or "closed" in str(error))
    if cut or isinstance(error, httpx.NetworkError | httpx.StreamError | OSError):
        return UpstreamError("reset", f"{origin} closed the connection; try again", answered=answered)
    return UpstreamError("protocol", f"{origin} doesn't speak HTTP as it should ({kind}); check base_url", answered=answered)
