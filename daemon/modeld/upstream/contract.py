"""What the adapter needs of an HTTP client, so that the real one, an embedder's httpx client and a test's can stand in."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from ..credentials.secret import Credential

Fault = Literal["connect", "tls", "timeout", "reset", "protocol", "too_large"]


class UpstreamError(Exception):
    """The way to the provider failed. `answered` tells whether a response head had come; `sent` whether the provider may
    have seen the request."""

    def __init__(self, fault: Fault, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.fault: Fault = fault
        self.message = message
        self.answered = answered


class Origin(NamedTuple):
    """Where a connection goes. `scheme` is http or https."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


class HttpRequest(msgspec.Struct):
    """One request. `headers` hold no credential: the client adds it, after checking that `origin` is one of its origins.

    `target` is the path with query, percent-encoded. `stream` asks for identity encoding.
    """

    method: str
    origin: Origin
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""
    credential: Credential | None = None
    stream: bool = False


class Exchange(Protocol):
    """One request that has been answered: the head is here, the body is still to come. Exactly one of `read` and `pump` is
    awaited, once; then, or instead, `close`."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; values of repeated headers joined by ", "."""

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, decompressed within bounds. Raises UpstreamError."""
        ...

    def pump(self, on_data: Callable[[bytes], bool]) -> Coroutine[Any, Any, None]:
        """Calls `on_data` with every piece as it arrives, in the event loop's own callback: no task, no queue between.

        Ends at the end of the body or as soon as `on_data` returns True (the wire's end marker came; the connection is
        kept if the rest of the body is here or comes within a moment, else closed). An exception in `on_data` closes the
        connection and is
        raised here. A body that is cut short raises UpstreamError (`reset` or `protocol`). Cancelling the awaiting task
        closes the connection at once.
        """
        ...

    def pause(self) -> None:
        """Stop reading from the provider (the client is slow); bounded by socket buffers from here on."""
        ...

    def resume(self) -> None:
        """Go on reading."""
        ...

    def close(self) -> None:
        """Close the connection if the body isn't finished; idempotent."""
        ...


class Transport(Protocol):
    """An HTTP client. Never follows redirects, never reads proxies from the environment, never logs a URL or header."""

    def open(self, request: HttpRequest, *, connect_timeout_s: float, head_timeout_s: float) -> Coroutine[Any, Any, Exchange]:
        """Send and wait for the response head, with `inf` until the caller cancels. Raises UpstreamError. Cancelling closes the
        connection at once."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
