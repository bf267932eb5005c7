"""Runs a cassette's request through a runtime of its own whose provider is the cassette: the daemon's whole path from canonical
request to wire, and from the wire's bytes to canonical events, without a socket."""

from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from modeld_protocol.events import Event, MessageComplete
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from ..clock import Clock
from ..config.schema import AdapterConfig, Config, ModelConfig
from ..credentials.secret import Secret
from ..providers.catalog import row_of
from ..providers.failure import ProviderFailure
from ..runtime import Runtime
from ..upstream.contract import Exchange, HttpRequest, UpstreamError
from .format import Cassette, CassetteInvalid

NOON = 1_763_640_000.0  # of the day when an answer without a date came; retry-after may be a date
_HOST = "https://provider.invalid"
_NOT_OF_THE_WIRE = frozenset(("content-type", "accept", "user-agent"))


class Outcome(msgspec.Struct, omit_defaults=True):
    """What came of a cassette, without what differs from run to run (ids of ours, times) or says nothing of the wire (our own
    words, prices of the catalog). The shape of expected.json."""

    events: list[dict[str, Any]] = []
    response: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None


class Sent(msgspec.Struct, frozen=True):
    """What the runtime sent. `headers` are those that the wire and the catalog add."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class GoldenRun:
    """One cassette, to be played as often as one likes; `sent` is what went to the provider in the last run."""

    def __init__(self, cassette: Cassette) -> None:
        if cassette.request.canonical is None or cassette.request.model is None:
            raise CassetteInvalid(f"{cassette.name} holds no call of a model")
        self.cassette = cassette
        self.sent: Sent | None = None
        self._canonical = msgspec.json.encode(cassette.request.canonical)
        self._pieces: Sequence[bytes] = ()
        self._clock = Clock(wall=lambda: _wall_s(cassette.response.headers))

    async def play(self, pieces: Sequence[bytes] | None = None) -> Outcome:
        """Run the request against the body in these pieces, by default as they came."""
        self._pieces = [piece for piece, _ in self.cassette.pieces()] if pieces is None else pieces
        request = msgspec.json.decode(self._canonical, type=CanonicalRequest)
        stream = self.cassette.request.stream
        consumer = _Events()
        # A runtime of its own for every run: one would hold the key back after a cassette that says "too many requests".
        runtime = Runtime(config_of(self.cassette), environment={}, transport=self, clock=self._clock)
        try:
            call = runtime.prepare(request, stream=stream)
            call.request_id, call.message_id = "req_cassette", "msg_cassette"
            call.consumer = consumer if stream else None
            response = await runtime.run(call)
        except ProviderFailure as failure:
            return Outcome(consumer.shown(), _shown_partial(failure.partial), _shown_failure(failure))
        return Outcome(consumer.shown(), _shown_response(response))

    # ---- called by the runtime, to which this is the HTTP client

    async def open(self, request: HttpRequest, *, connect_timeout_s: float, head_timeout_s: float) -> Exchange:
        """Take the request and answer it with the cassette."""
        headers = {name.lower(): value for name, value in request.headers if name.lower() not in _NOT_OF_THE_WIRE}
        self.sent = Sent(request.method, request.target, headers, request.body)
        return _PlayedExchange(self.cassette, self._pieces)

    async def close(self) -> None:
        """Nothing is open."""


class _Events:
    """The consumer of one stream."""

    writable = True

    def __init__(self) -> None:
        self._events: list[Event] = []

    def emit(self, events: list[Event]) -> None:
        self._events += events

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        return lambda: None

    def shown(self) -> list[dict[str, Any]]:
        """The events without the message id, which all share; the last without the content, which the response has."""
        shown: list[dict[str, Any]] = []
        for event in self._events:
            fields = msgspec.to_builtins(event)
            del fields["message_id"]
            if isinstance(event, MessageComplete):
                del fields["final_content"], fields["usage"]
            shown.append(fields)
        return shown


class _PlayedExchange:
    """A cassette as the answer to a request."""

    def __init__(self, cassette: Cassette, pieces: Sequence[bytes]) -> None:
        self.status = cassette.response.status
        self.headers: Mapping[str, str] = cassette.response.headers
        self._pieces = pieces
        self._cut = cassette.response.ending == "cut"

    async def read(self, max_bytes: int) -> bytes:
        self._check_end()
        return b"".join(self._pieces)

    async def pump(self, on_data: Callable[[bytes], bool]) -> None:
        for piece in self._pieces:
            if on_data(piece):
                return
        self._check_end()

    def _check_end(self) -> None:
        if self._cut:
            raise UpstreamError("reset", "the connection was closed", answered=True)

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


def config_of(cassette: Cassette) -> Config:
    """The config that a cassette's request is run with: its adapter and its model, no retries, a key that is none."""
    request, provider = cassette.request, cassette.provider
    canonical, model = request.canonical, request.model
    assert canonical is not None
    assert model is not None
    model_id = canonical.model or f"{provider}:{model.wire_name}"
    try:
        row = row_of(request.adapter.type)
    except KeyError as error:
        raise CassetteInvalid(f"{cassette.name}: {error.args[0]}") from None
    path = request.adapter.base_path
    base_url = None if path is None and row.base_url else _HOST + (path or "")
    adapter = AdapterConfig(
        provider,
        request.adapter.type,
        base_url,
        Secret("not-a-key"),
        max_retries=0,
        options=request.adapter.options,
    )
    configured = ModelConfig(model_id, provider, model.wire_name, capabilities=model.capabilities, limits=model.limits)
    return Config({provider: adapter}, {model_id: configured}, model_id)


def _wall_s(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return NOON


def _shown_response(response: CanonicalResponse) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(response)
    cost = response.cost
    shown: dict[str, Any] = {name: fields[name] for name in ("stop_reason", "content")}
    shown["usage"] = {name: value for name, value in fields["usage"].items() if value not in (None, False)}
    if cost is not None and cost.source in ("provider_reported", "mixed"):
        shown["cost"] = {"currency": cost.currency, "total_cost": cost.total_cost, "source": cost.source}
    warnings = [
        f"{warning.code} {warning.path or ''}".strip() for warning in response.warnings if warning.code != "price_missing"
    ]
    more = {name: fields[name] for name in ("stop_sequence", "served_model")}
    more |= {"provider_request_id": response.metrics.provider_request_id, "warnings": warnings or None}
    return shown | {name: value for name, value in more.items() if value is not None}


def _shown_partial(partial: CanonicalResponse | None) -> dict[str, Any] | None:
    return None if partial is None else _shown_response(partial)


def _shown_failure(failure: ProviderFailure) -> dict[str, Any]:
    names = ("error_class", "provider_status", "provider_message", "retryable", "retry_after_seconds", "provider_request_id")
    fields = msgspec.to_builtins(failure.data())
    return {name: fields[name] for name in names if fields[name] is not None}
