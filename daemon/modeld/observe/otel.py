"""OpenTelemetry by the GenAI semantic conventions: a span for each call, one below it for each attempt, and the metrics.

https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md and gen-ai-metrics.md (2026-11). Names,
counts and times only: no prompt, no answer, no key.
"""

from typing import Final

import msgspec

from modeld_protocol.events import CallCompleted, CallFailed, CallStarted, TraceEvent
from modeld_protocol.response import CanonicalResponse

from ..clock import Clock
from .export import Exporter, Send
from .otlp import KIND_CLIENT, STATUS_ERROR, Envelope, Histogram, Series, Span, Value, encode_attributes

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = tuple(float(4**power) for power in range(14))
_NS: Final = 1_000_000_000


class CallFacts(msgspec.Struct, frozen=True):
    """What is known of a call when it begins. `provider` and `model` are the names of the conventions, `adapter` and
    `model_id` ours; `attributes` are further ones of the span. Calls with the same `trace_id` are one trace."""

    trace_id: str
    provider: str
    model: str
    adapter: str
    model_id: str
    server_address: str
    server_port: int
    streaming: bool
    attributes: dict[str, Value] = {}

    def common(self) -> dict[str, Value]:
        """The attributes of the span and of every metric."""
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self.provider,
            "gen_ai.request.model": self.model,
            "server.address": self.server_address,
            "server.port": self.server_port,
        }


class Telemetry:
    """Spans and metrics of every call, on their way to one collector."""

    def __init__(self, service: str, version: str, instance: str, send: Send, clock: Clock) -> None:
        self.clock = clock
        resource: dict[str, Value] = {
            "service.name": service,
            "service.version": version,
            "service.instance.id": instance,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "modeld",
            "telemetry.sdk.version": version,
        }
        self._envelope = Envelope(resource, "modeld", version)
        self.exporter = Exporter(self._envelope, self._metrics, send)
        self._start_ns = int(clock.wall() * _NS)
        self._dirty = False
        duration = ("gen_ai.client.operation.duration", "s", "GenAI operation duration.")
        first = ("gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk of a stream.")
        tokens = ("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.")
        self._duration = Histogram(*duration, _SECONDS)
        self._first = Histogram(*first, _SECONDS)
        self._tokens = Histogram(*tokens, _TOKENS)

    def begin(self, facts: CallFacts) -> "CallSpan":
        """A call begins now."""
        return CallSpan(self, facts)

    async def close(self) -> None:
        """Send the rest."""
        await self.exporter.close()

    def add(self, span: Span) -> None:
        """A span has ended."""
        self.exporter.add(msgspec.json.encode(span))

    def count(self, facts: CallFacts, outcome: CanonicalResponse | None, error_class: str | None, seconds: float) -> None:
        """A call has ended: into the metrics with it. Token counts that are estimates stay out, as the conventions ask."""
        common = facts.common()
        if outcome is not None and outcome.served_model:
            common["gen_ai.response.model"] = outcome.served_model
        series: Series = tuple(common.items())
        failed: Series = (("error.type", error_class),) if error_class else ()
        self._dirty = True
        self._duration.record(seconds, series + failed)
        if outcome is None:
            return
        first_s = _first_chunk_s(outcome)
        if facts.streaming and first_s is not None:
            self._first.record(first_s, series)
        usage = outcome.usage
        if not usage.estimated:
            self._tokens.record(usage.total_tokens - usage.output_tokens, (*series, ("gen_ai.token.type", "input")))
            self._tokens.record(usage.output_tokens, (*series, ("gen_ai.token.type", "output")))

    def _metrics(self) -> bytes | None:
        if not self._dirty:
            return None
        self._dirty = False
        now_ns = int(self.clock.wall() * _NS)
        every = (metric.encode(self._start_ns, now_ns) for metric in (self._tokens, self._duration, self._first))
        return self._envelope.metrics(metric for metric in every if metric is not None)


class CallSpan:
    """The span of one call, from `begin` to `end`; `observe` is its place on the trace bus."""

    def __init__(self, telemetry: Telemetry, facts: CallFacts) -> None:
        clock = telemetry.clock
        self._telemetry = telemetry
        self._facts = facts
        self._start_ns = int(clock.wall() * _NS)
        self._start_s = clock.monotonic()
        self._span_id = clock.token(8).hex()
        self._attempt_ns: int | None = None

    def observe(self, event: TraceEvent) -> None:
        """An attempt begins or ends."""
        if isinstance(event, CallStarted):
            self._attempt_ns = self._now_ns()
        elif isinstance(event, CallCompleted | CallFailed) and self._attempt_ns is not None:
            started_ns, self._attempt_ns = self._attempt_ns, None
            self._telemetry.add(self._attempt(event, started_ns))

    def end(self, outcome: CanonicalResponse | None, error_class: str | None) -> None:
        """The call is over: `error_class` says how it failed."""
        facts, telemetry = self._facts, self._telemetry
        attributes = facts.common() | facts.attributes | _said_of(outcome, streaming=facts.streaming)
        if facts.streaming:
            attributes["gen_ai.request.stream"] = True
        if error_class:
            attributes["error.type"] = error_class
        span = self._span(f"chat {facts.model}", self._span_id, self._start_ns, attributes, failed=bool(error_class))
        telemetry.add(span)
        telemetry.count(facts, outcome, error_class, telemetry.clock.monotonic() - self._start_s)

    def _attempt(self, event: CallCompleted | CallFailed, started_ns: int) -> Span:
        facts = self._facts
        attributes: dict[str, Value] = {"modeld.provider": event.provider, "modeld.model": event.model}
        if (event.provider, event.model) == (facts.adapter, facts.model_id):  # else a fallback, which is elsewhere
            attributes |= {"server.address": facts.server_address, "server.port": facts.server_port}
        if event.retry_count:
            attributes["http.request.resend_count"] = event.retry_count
        if isinstance(event, CallFailed):
            attributes |= {"error.type": event.error_class, "modeld.will_retry": event.will_retry}
            if event.provider_status is not None:
                attributes["http.response.status_code"] = event.provider_status
        failed = isinstance(event, CallFailed)
        span = self._span("attempt", self._telemetry.clock.token(8).hex(), started_ns, attributes, failed=failed)
        span.parent_span_id = self._span_id
        return span

    def _span(self, name: str, span_id: str, start_ns: int, attributes: dict[str, Value], *, failed: bool) -> Span:
        status = STATUS_ERROR if failed else {}
        ids = (self._facts.trace_id, span_id)
        return Span(*ids, name, KIND_CLIENT, str(start_ns), str(self._now_ns()), encode_attributes(attributes), status=status)

    def _now_ns(self) -> int:
        """Now, by the clock that doesn't jump."""
        return self._start_ns + int((self._telemetry.clock.monotonic() - self._start_s) * _NS)


def _said_of(outcome: CanonicalResponse | None, *, streaming: bool) -> dict[str, Value]:
    """What a span says of an answer, whole or partial."""
    if outcome is None:
        return {}
    usage, first_s = outcome.usage, _first_chunk_s(outcome)
    said: dict[str, Value] = {
        "gen_ai.response.finish_reasons": [outcome.stop_reason],
        "gen_ai.usage.input_tokens": usage.total_tokens - usage.output_tokens,  # cached ones included, as the conventions ask
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_creation_input_tokens,
    }
    if usage.reasoning_tokens is not None:
        said["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    if usage.estimated:
        said["modeld.usage.estimated"] = True
    if outcome.served_model:
        said["gen_ai.response.model"] = outcome.served_model
    if streaming and first_s is not None:
        said["gen_ai.response.time_to_first_chunk"] = first_s
    if outcome.cost is not None:
        said |= {"modeld.cost.total": outcome.cost.total_cost, "modeld.cost.currency": outcome.cost.currency}
    return said


def _first_chunk_s(outcome: CanonicalResponse) -> float | None:
    """When the first chunk came; None where nothing came but the end of a failed stream, which is our own."""
    first_ms = outcome.metrics.time_to_first_token_ms
    failed = outcome.stop_reason in ("error", "cancelled") and not outcome.content
    return None if first_ms is None or failed else first_ms / 1000
