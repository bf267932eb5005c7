"""What watches calls from outside, wrapped around them: OpenTelemetry where a collector is configured, artefacts on request."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from modeld_protocol.events import TraceEvent
from modeld_protocol.response import CanonicalResponse

from . import __version__
from .clock import Clock
from .config.schema import AdapterConfig
from .credentials.redact import Redactor, bounded
from .observe.artefacts import Artefacts, Owner, Request, owner
from .observe.debug import Debug
from .observe.log import logger
from .observe.otel import CallFacts, CallSpan, Telemetry, Value
from .providers.call import Call
from .providers.catalog import row_of, telemetry_name
from .providers.endpoint import endpoint_of
from .providers.failure import ProviderFailure
from .upstream.client import DirectTransport
from .upstream.contract import HttpRequest, Transport
from .upstream.guard import BaseUrl, InvalidBaseUrl, join_target, parse_base_url
from .upstream.post import post
from .upstream.tap import TappedTransport, Watcher

Run = Callable[[Call], Awaitable[CanonicalResponse]]
Around = Callable[[Call, Run], Awaitable[CanonicalResponse]]
AdapterOf = Callable[[str], AdapterConfig | None]

ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS_VARIABLE: Final = "OTEL_EXPORTER_OTLP_HEADERS"
SERVICE_VARIABLE: Final = "OTEL_SERVICE_NAME"
_log = logger("otel")
_SEND_TIMEOUT_S: Final = 10.0
_FAREWELL_S: Final = 1.0  # for the last artefacts
_MAX_NAME_CHARS: Final = 128


def parse_headers(text: str) -> list[tuple[str, str]]:
    """`name=value,name=value`, values percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS has them."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return [(name.strip().lower(), unquote(value.strip())) for name, _, value in pairs]


class Spans:
    """Tells one collector of every call. Raises InvalidBaseUrl for an endpoint that can't be one."""

    def __init__(self, environment: Mapping[str, str], instance: str, redactor: Redactor, clock: Clock) -> None:
        self._base: BaseUrl = parse_base_url(environment[ENDPOINT_VARIABLE])
        self._headers = [*parse_headers(environment.get(HEADERS_VARIABLE, "")), ("content-type", "application/json")]
        for _, value in self._headers[:-1]:
            redactor.add(value)
            redactor.add(value.rpartition(" ")[2])
        if len(self._headers) > 1 and self._base.is_plaintext_remote:
            _log.warning(f"{HEADERS_VARIABLE} goes over the network unencrypted; give {ENDPOINT_VARIABLE} with https://")
        self._redactor = redactor
        self._transport = DirectTransport(clock)
        service = environment.get(SERVICE_VARIABLE) or "modeld"
        self.telemetry = Telemetry(service, __version__, instance, self._send, clock)
        self.adapter_of: AdapterOf = lambda _name: None

    async def run(self, call: Call, run: Run) -> CanonicalResponse:
        """Run a call inside its span."""
        span = self.telemetry.begin(self._facts(call))
        trace, before = call.trace, call.outcome
        call.trace = _both(span, trace)
        error_class: str | None = "other"
        try:
            response = await run(call)
            error_class = None
            return response
        except ProviderFailure as failure:
            error_class = failure.error_class
            raise
        except asyncio.CancelledError:
            error_class = "cancelled"
            raise
        finally:
            call.trace = trace
            span.end(call.outcome if call.outcome is not before else None, error_class)

    async def close(self) -> None:
        """Send the rest and close the connection."""
        await self.telemetry.close()
        await self._transport.close()

    async def _send(self, path: str, body: bytes) -> int:
        target = join_target(self._base.path, path)
        return await post(self._transport, self._base.origin, target, self._headers, body, _SEND_TIMEOUT_S)

    def _facts(self, call: Call) -> CallFacts:
        spec, request = call.spec, call.request
        given = {
            "modeld.request_id": self._said(call.request_id),
            "modeld.client": self._said(call.client_id),
            "gen_ai.conversation.id": call.session_id,
            "modeld.turn_id": call.turn_id,
            "gen_ai.request.max_tokens": request.max_output_tokens,
            "gen_ai.request.temperature": None if request.temperature is None else float(request.temperature),
            "gen_ai.request.top_p": None if request.top_p is None else float(request.top_p),
            "gen_ai.output.type": "json" if request.response_format and request.response_format.type != "text" else None,
        }
        attributes: dict[str, Value] = {name: value for name, value in given.items() if value is not None}
        adapter = self.adapter_of(spec.provider)
        origin = endpoint_of(adapter, row_of(adapter.type)).origin if adapter is not None else ("", "", 0)
        provider = telemetry_name(spec.provider_type)
        streaming = call.consumer is not None
        trace_id = blake2b(call.message_id.encode(), digest_size=16).hexdigest()  # the same where another model stands in
        return CallFacts(trace_id, provider, spec.wire_name, spec.provider, spec.id, origin[1], origin[2], streaming, attributes)

    def _said(self, name: str | None) -> str | None:
        """A name that a client chose, as it may leave this machine."""
        return name and bounded(self._redactor.scrub(name), _MAX_NAME_CHARS)


def _both(span: CallSpan, trace: Callable[[TraceEvent], None]) -> Callable[[TraceEvent], None]:
    def observe(event: TraceEvent) -> None:
        span.observe(event)
        trace(event)

    return observe


async def labelled(call: Call, run: Run) -> CanonicalResponse:
    """Run a call so that its exchanges know whose they are."""
    token = owner.set(Owner(call.request_id, call.spec.provider, call.spec.id, call.client_id, call.session_id, call.turn_id))
    try:
        return await run(call)
    finally:
        owner.reset(token)


class Adapters(Protocol):
    """Where adapters are looked up: the runtime."""

    def adapter_config(self, name: str) -> AdapterConfig | None:
        """None where there is none of that name."""
        ...


class Watches:
    """Everything that watches, as the environment and the options have it. Raises ArtefactError."""

    def __init__(
        self,
        environment: Mapping[str, str],
        instance: str,
        redactor: Redactor,
        clock: Clock,
        directory: Path | None,
        debug: Debug,
    ) -> None:
        self._artefacts = Artefacts(directory, debug, redactor, clock) if directory is not None else None
        self._spans = _spans_of(environment, instance, redactor, clock)
        self.around: list[Around] = []
        if self._artefacts is not None:
            self.around.append(labelled)
        if self._spans is not None:
            self.around.append(self._spans.run)

    def follow(self, adapters: Adapters) -> None:
        """Look adapters up there."""
        if self._spans is not None:
            self._spans.adapter_of = adapters.adapter_config

    def tap(self, transport: Transport) -> Transport:
        """The transport, seen by the artefacts where there are any."""
        return transport if self._artefacts is None else TappedTransport(transport, self._capture)

    async def close(self) -> None:
        """Send and write what waits."""
        if self._spans is not None:
            await self._spans.close()
        if self._artefacts is not None:
            with contextlib.suppress(TimeoutError):  # a disk that hangs holds nobody up
                await asyncio.wait_for(asyncio.to_thread(self._artefacts.close), _FAREWELL_S)

    def _capture(self, request: HttpRequest) -> Watcher:
        assert self._artefacts is not None
        return self._artefacts.begin(Request(request.method, f"{request.origin}{request.target}", request.headers, request.body))


def _spans_of(environment: Mapping[str, str], instance: str, redactor: Redactor, clock: Clock) -> Spans | None:
    if not environment.get(ENDPOINT_VARIABLE) or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        return Spans(environment, instance, redactor, clock)
    except InvalidBaseUrl as error:
        _log.warning(f"nothing goes to {ENDPOINT_VARIABLE}: {error}")
        return None
