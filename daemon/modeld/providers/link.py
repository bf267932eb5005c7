"""An adapter's way to its provider: endpoint, wire, transport and key, and how their faults read as failures."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import cached_property, lru_cache
from math import inf
from typing import Any, TypeVar

import msgspec

from .. import limits
from ..clock import Clock
from ..credentials.redact import Redactor, bounded
from ..credentials.secret import Credential
from ..upstream.body import read_prefix
from ..upstream.contract import Exchange, HttpRequest, Origin, Transport, UpstreamError
from ..upstream.guard import join_target
from ..upstream.headers import RequestRefused
from ..upstream.retry import parse_retry_after, should_retry_header
from .deadline import Rounds
from .failure import ProviderFailure
from .wire.contract import Encoded, Wire

T = TypeVar("T")

CredentialSource = Callable[[Mapping[str, str]], Awaitable[Credential | None]]
"""Resolves the adapter's key for one call; raises ProviderFailure (`not_configured`). None where no key is needed."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where an adapter sends: its base URL taken apart, its static headers, its patience."""

    origin: Origin
    base_path: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = limits.DEFAULT_TIMEOUT_S
    idle_timeout_s: float = limits.IDLE_TIMEOUT_S
    max_retries: int = 2


class Link:
    """One adapter's connection to the world. `name` is the adapter's name in the config."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        load_wire: Callable[[], Wire],
        transport: Transport,
        credentials: CredentialSource,
        clock: Clock,
        redactor: Redactor,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self._load_wire = load_wire
        self.transport = transport
        self.credentials = credentials
        self.clock = clock
        self.redactor = redactor
        self.rounds = Rounds(clock)

    @cached_property
    def wire(self) -> Wire:
        """The provider's wire, whose module is imported when it is first asked for."""
        return self._load_wire()

    async def open(self, encoded: Encoded, credential: Credential | None, timeout_s: float, *, stream: bool) -> Exchange:
        """Send one request and wait for the head of its answer. Raises ProviderFailure."""
        try:
            return await self.sent(encoded, credential, timeout_s, stream=stream, head_timeout_s=timeout_s)
        except UpstreamError as error:
            raise unreachable(error, self.name) from error

    def sent(
        self,
        encoded: Encoded,
        credential: Credential | None,
        timeout_s: float,
        *,
        stream: bool,
        head_timeout_s: float = inf,
    ) -> Coroutine[Any, Any, Exchange]:
        """As `open`, for who watches the time by itself, and tells the faults of the way from others; raises UpstreamError."""
        endpoint = self.endpoint
        headers = merged_headers(endpoint.headers, encoded.headers)
        if encoded.body and "content-type" not in encoded.headers:
            headers.append(("content-type", "application/json"))
        request = HttpRequest(
            encoded.method,
            endpoint.origin,
            target_of(endpoint.base_path, encoded),
            headers,
            encoded.body,
            credential,
            stream,
        )
        connect_s = min(limits.CONNECT_TIMEOUT_S, timeout_s)
        return self.transport.open(request, connect_timeout_s=connect_s, head_timeout_s=head_timeout_s)

    async def fetch(self, encoded: Encoded, env: Mapping[str, str], decode: Callable[[bytes], T]) -> T:
        """What a small request outside of a call gives: no retries, whole body. Raises ProviderFailure."""
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                exchange = await self.open(encoded, await self.credentials(env), self.endpoint.timeout_s, stream=False)
                return decode(await self.read_whole(exchange))
        except TimeoutError as error:
            raise ProviderFailure("network", f"{self.name} did not answer within {self.endpoint.timeout_s:g} s") from error
        except ProviderFailure as failure:
            self.redact(failure)
            failure.provider = self.name
            raise

    async def read_whole(self, exchange: Exchange) -> bytes:
        """The body of a good answer. Raises ProviderFailure for any other."""
        try:
            if exchange.status >= 300:
                raise self.failure_of(exchange, await _read_error_body(exchange))
            return await exchange.read(limits.MAX_RESPONSE_BYTES)
        except UpstreamError as error:
            raise unreachable(error, self.name) from error
        finally:
            exchange.close()

    def failure_of(self, exchange: Exchange, body: bytes) -> ProviderFailure:
        """The failure that an answer stands for, with what its headers say of retrying."""
        failure = self.wire.decode_failure(exchange.status, exchange.headers, body)
        if failure.retry_after_seconds is None:
            failure.retry_after_seconds = parse_retry_after(exchange.headers, self.clock.wall())
        verdict = should_retry_header(exchange.headers)
        if verdict is not None:
            failure.retryable = verdict
        return failure

    def redact(self, failure: ProviderFailure) -> None:
        """No key leaves in an error, not even one that the provider echoes."""
        failure.message = bounded(self.redactor.scrub(failure.message), limits.MAX_PROVIDER_MESSAGE_CHARS)
        if failure.provider_message is not None:
            failure.provider_message = bounded(self.redactor.scrub(failure.provider_message), limits.MAX_PROVIDER_MESSAGE_CHARS)
        failure.provider_request_id = self.scrub(failure.provider_request_id)

    def scrub(self, name: str | None) -> str | None:
        """A name that the provider chose, without any key."""
        return name and self.redactor.scrub(name)


def target_of(base_path: str, encoded: Encoded) -> str:
    """Where below a base URL's path a request goes."""
    return _target(base_path, encoded.path, encoded.upload)


@lru_cache(256)
def _target(base_path: str, path: str, upload: bool) -> str:
    if upload:
        before, slash, last = base_path.rpartition("/")
        base_path = f"{before}/upload{slash}{last}"
    return join_target(base_path, path_below(base_path, path))


def path_below(base_path: str, path: str) -> str:
    """A wire's path without the version that the base URL ends in already (`…/v1` and `/v1/messages`)."""
    first, _, rest = path.lstrip("/").partition("/")
    is_version = first[:1] == "v" and first[1:2].isdigit()
    return f"/{rest}" if is_version and rest and base_path.endswith(f"/{first}") else path


def merged_headers(configured: Sequence[tuple[str, str]], encoded: Mapping[str, str]) -> list[tuple[str, str]]:
    """The user's headers and the wire's. Where both set one, the user's wins, except lists of betas, which are joined."""
    if not configured or not encoded:
        return [*configured, *encoded.items()]
    headers = {name.lower(): value for name, value in encoded.items()}
    for name, value in configured:
        joined = name.endswith("-beta") and name in headers
        headers[name] = f"{headers[name]},{value}" if joined else value
    return list(headers.items())


async def _read_error_body(exchange: Exchange) -> bytes:
    """As much of a failed answer as says something; a body that breaks off takes nothing from its status."""
    try:
        return await read_prefix(exchange, limits.MAX_ERROR_BODY_BYTES)
    except UpstreamError:
        return b""


def unreachable(error: UpstreamError, provider: str) -> ProviderFailure:
    """A transport fault as the failure of a call; what went over a limit, or never could be sent, isn't worth a second try."""
    if isinstance(error, RequestRefused):
        return ProviderFailure("not_configured", f"{provider}: {error.message}")
    message = f"{provider}: {error.message}"
    if error.fault == "too_large":
        return ProviderFailure("server_error", message, retryable=False)
    return ProviderFailure("network", message)
