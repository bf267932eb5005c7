"""The daemon's HTTP client: pooled HTTP/1.1 connections to providers, with TLS, deadlines and bounds."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from ..clock import SYSTEM, Clock
from ..limits import MAX_STREAM_BYTES
from .body import WholeBody
from .connection import Connection
from .contract import Exchange, HttpRequest, Origin, UpstreamError
from .dial import dial
from .echo import KeyMask, key_to_mask
from .headers import Heads
from .inflate import Inflater, inflater_for
from .pool import Pool

_CLOSED: Final = "the daemon is shutting down; start it again"


class DirectTransport:
    """The Transport that talks to sockets itself. Belongs to the event loop that first uses it.

    `ssl_context` replaces the system's trust store, for servers with a certificate of their own.
    """

    __slots__ = ("_building", "_closed", "_connections", "_forget", "_heads", "_pool", "_return", "_ssl_context")

    def __init__(self, clock: Clock = SYSTEM, ssl_context: ssl.SSLContext | None = None) -> None:
        self._pool = Pool(clock)
        self._heads = Heads()
        self._connections: set[Connection] = set()
        self._forget = self._connections.discard  # bound once, not for every connection and exchange
        self._return = self._give_back
        self._ssl_context = ssl_context
        self._building: asyncio.Future[ssl.SSLContext] | None = None
        self._closed = False

    async def open(self, request: HttpRequest, *, connect_timeout_s: float, head_timeout_s: float) -> Exchange:
        """Send and wait for the response head; see the contract."""
        head = self._heads.encode(request)
        # A server may close an idle connection at the moment of its reuse. That is a failed attempt like any other: sending
        # again from here would break the count of attempts that the caller keeps.
        connection = self._pool.take(request.origin) or await self._connect(request.origin, connect_timeout_s)
        await connection.request(head, request.body, head_timeout_s)
        return DirectExchange(connection, self._return, key_to_mask(request))

    async def close(self) -> None:
        """Close every connection; running exchanges fail with `reset`."""
        self._closed = True
        self._pool.close()
        for connection in list(self._connections):
            connection.fail("reset", _CLOSED)
        # One turn of the loop for each layer, so that the sockets are closed when this returns.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _connect(self, origin: Origin, timeout_s: float) -> Connection:
        if self._closed:
            raise UpstreamError("connect", _CLOSED)
        try:
            async with asyncio.timeout(timeout_s):
                context = await self._tls() if origin.scheme == "https" else None
                sock = await dial(origin.host, origin.port)
                connection = Connection(origin, asyncio.get_running_loop(), self._forget)
                await _hand_over(connection, sock, origin, context)
        except TimeoutError:
            hint = "check the network, and base_url"
            raise UpstreamError("connect", f"no connection to {origin} within {timeout_s:g} s; {hint}") from None
        except ssl.SSLError as error:
            raise UpstreamError("tls", f"no TLS with {origin}: {_tls_reason(error)}") from None
        except socket.gaierror:
            raise UpstreamError("connect", f"the host {origin.host} isn't found; check the network, and base_url") from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UpstreamError(
                "connect", f"no connection to {origin} ({reason}); is the server up, and base_url right?"
            ) from None
        self._connections.add(connection)
        if self._closed:
            connection.abort()
            raise UpstreamError("connect", _CLOSED)
        return connection

    async def _tls(self) -> ssl.SSLContext:
        """The trust store, read once, in a thread (20 ms), when the first https call needs it."""
        if self._ssl_context is None:
            if self._building is None:
                self._building = asyncio.get_running_loop().run_in_executor(None, build_ssl_context)
            self._ssl_context = await asyncio.shield(self._building)
        return self._ssl_context

    def _give_back(self, connection: Connection) -> None:
        if connection.is_reusable and not self._closed:
            self._pool.give(connection)
        elif self._closed or not connection.linger(self._give_back):
            connection.abort()


class DirectExchange:
    """One answered request on a pooled connection, which it lets go of as soon as the body has ended."""

    __slots__ = ("_connection", "_give_back", "_key", "_started", "headers", "status")

    def __init__(self, connection: Connection, give_back: Callable[[Connection], None], key: bytes | None = None) -> None:
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers
        self._connection: Connection | None = connection
        self._give_back = give_back
        self._key = key
        self._started = False

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, decompressed within bounds. Raises UpstreamError."""
        whole = WholeBody(max_bytes)
        await self._run(whole.collect, max_bytes)
        return whole.data

    def pump(self, on_data: Callable[[bytes], bool]) -> Coroutine[Any, Any, None]:
        """Calls `on_data` with every piece as it arrives; see the contract."""
        return self._run(on_data, MAX_STREAM_BYTES)

    def pause(self) -> None:
        """Stop reading from the provider."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Go on reading."""
        if self._connection is not None:
            self._connection.resume()

    def close(self) -> None:
        """Close the connection if the body isn't finished; idempotent."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not self._started and connection.is_complete:
            self._give_back(connection)
        else:
            connection.abort()

    async def _run(self, on_data: Callable[[bytes], bool], max_bytes: int) -> None:
        connection = self._connection
        if connection is None or self._started:
            raise RuntimeError("an exchange is read once, and not after close")
        self._started = True
        mask = KeyMask(self._key, on_data) if self._key is not None else None
        if mask is not None:
            on_data = mask.feed
        try:
            inflater = inflater_for(self.headers.get("content-encoding", ""), max_bytes)
            if inflater is None:
                if waiter := connection.start_pump(on_data):
                    await waiter
                connection.end_pump()
            else:
                await _pump_inflated(connection, on_data, inflater)
            if mask is not None:
                mask.end()
        except BaseException:
            self._connection = None
            connection.abort()
            raise
        if self._connection is not None:
            self._connection = None
            self._give_back(connection)


async def _hand_over(connection: Connection, sock: socket.socket, origin: Origin, context: ssl.SSLContext | None) -> None:
    """The socket is the connection's from now on, TLS included."""
    server_name = origin.host.rstrip(".") if context else None
    try:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=server_name)
    except BaseException:
        connection.abort()
        raise


async def _pump_inflated(connection: Connection, on_data: Callable[[bytes], bool], inflater: Inflater) -> None:
    stopped = False

    def inflate(data: bytes) -> bool:
        nonlocal stopped
        stopped = any(on_data(piece) for piece in inflater.feed(data))
        return stopped

    await connection.pump(inflate)
    if not stopped:
        inflater.end()


def build_ssl_context() -> ssl.SSLContext:
    """TLS 1.2 and up with the system's certificates, or certifi's on systems whose Python comes without any."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not paths.capath and not context.cert_store_stats()["x509_ca"]:
        try:
            import certifi  # httpx's own dependency
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted ({error.verify_message}); check base_url and the clock, or set SSL_CERT_FILE"
    return f"{error.reason or 'the handshake failed'}; does base_url need http:// instead?"
