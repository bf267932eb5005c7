"""One attempt of one call: bytes from the provider through frames, wire and assembler to the consumer, in one callback."""

from collections.abc import Mapping
from typing import Any

import msgspec

from modeld_protocol.events import CallCompleted, CallFailed
from modeld_protocol.model import TokenCountParams
from modeld_protocol.response import CanonicalResponse, StopReason
from modeld_protocol.usage import Metrics, Usage

from .. import limits
from ..credentials.secret import Credential
from ..ledger.pricing import cost_of
from ..upstream.contract import Exchange, UpstreamError
from ..upstream.ndjson import NdjsonDecoder
from ..upstream.retry import parse_retry_after
from ..upstream.sse import SseDecoder
from .assembler import Assembler
from .call import Call
from .deadline import StreamDeadlines
from .estimate import estimate_input_tokens, estimate_output_tokens
from .failure import ProviderFailure
from .key_queue import Slot
from .link import Link, unreachable
from .wire.contract import REQUEST_ID_HEADERS, Encoded
from .wire.halves import MARK, Frame, Halves


class Attempt:
    """One attempt of one call: its assembler, its clock readings, its deadlines."""

    __slots__ = (
        "_call_started",
        "_credential",
        "_encoded",
        "_first",
        "_number",
        "_request_id",
        "_slot",
        "_started",
        "_timeout_s",
        "assembler",
        "call",
        "link",
        "raw_frames",
    )

    def __init__(
        self,
        link: Link,
        call: Call,
        encoded: Encoded,
        credential: Credential | None,
        number: int,
        timeout_s: float,
        call_started: float,
        slot: Slot | None = None,
    ) -> None:
        self.link = link
        self.call = call
        self._encoded = encoded
        self._credential = credential
        self._number = number
        self._timeout_s = timeout_s
        self._call_started = call_started
        self._slot = slot
        self._started = link.clock.monotonic()
        self._first: float | None = None
        self._request_id: str | None = None
        self.raw_frames: list[Any] | None = [] if call.request.include_raw else None
        self.assembler = call.assembler = _new_assembler(call, link.name)
        self.assembler.taken_tool_ids = call.taken_tool_ids

    async def complete(self) -> None:
        """A whole answer into the assembler."""
        link, timeout_s = self.link, self._timeout_s
        try:
            with StreamDeadlines(link.clock, link.rounds, timeout_s, timeout_s):
                exchange = await link.sent(self._encoded, self._credential, timeout_s, stream=False)
                self._note(exchange)
                body = await link.read_whole(exchange)
        except TimeoutError as error:
            raise self._timed_out("did not answer", self._timeout_s) from error
        except UpstreamError as error:
            raise unreachable(error, self.link.name) from error
        self._decode(exchange, body)

    def _decode(self, exchange: Exchange, body: bytes) -> None:
        try:
            self.link.wire.decode(body, self.assembler)
        except ProviderFailure as failure:
            if failure.retry_after_seconds is None:
                failure.retry_after_seconds = parse_retry_after(exchange.headers, self.link.clock.wall())
            raise
        if self.raw_frames is not None:
            self.raw_frames.append(_raw_of(body))

    async def stream(self) -> None:
        """A stream of frames into the assembler, its events to the consumer as they come."""
        link = self.link
        watch = StreamDeadlines(link.clock, link.rounds, self._timeout_s, min(self._timeout_s, link.endpoint.idle_timeout_s))
        try:
            with watch:
                exchange = await link.sent(self._encoded, self._credential, self._timeout_s, stream=True)
                self._note(exchange)
                if exchange.status >= 300 or not _is_stream(exchange.headers, self.link.wire.framing):
                    self._decode(exchange, await self.link.read_whole(exchange))
                    self.emit()
                else:
                    reader = FrameReader(self, exchange, watch)
                    try:
                        await exchange.pump(reader.on_data)
                        reader.end()
                    finally:
                        reader.close()
        except TimeoutError as error:
            raise (self.assembler.failure or self._timed_out(*watch.verdict())) from error
        except UpstreamError as error:
            raise (self.assembler.failure or unreachable(error, self.link.name)) from error

    def _note(self, exchange: Exchange) -> None:
        headers = exchange.headers
        if self._slot is not None:
            self._slot.answered(exchange.status, headers)
        for name in REQUEST_ID_HEADERS:
            if text := headers.get(name):
                self._request_id = self.link.scrub(text)
                break

    def emit(self) -> None:
        """Hand on what the assembler made since the last read."""
        events = self.assembler.events
        if events:
            if self._first is None:
                self._first = self.link.clock.monotonic()
                if self._encoded.window_tokens is None:  # else its size is asked for at the end
                    self._encoded.body = b""  # no attempt follows one that made events
            self.assembler.events = []
            if self.call.consumer is not None:
                self.call.consumer.emit(events)

    # ---- the end

    def finish(self, stop_reason: StopReason) -> CanonicalResponse:
        """Complete the assembler, settle usage and money, send the terminal event (or hold it, see Call): one for every
        stream, also for one that failed or was cancelled before its first word."""
        assembler = self.assembler
        assembler.complete(stop_reason)
        self._settle_usage(cut_short=stop_reason in ("error", "cancelled"))
        if self.call.consumer is not None:
            self.emit()
            self.call.finish(assembler.terminal_event())
        self.call.outcome = response = self._response()
        return response

    def _settle_usage(self, *, cut_short: bool) -> None:
        """Fill in what the provider did not say. A stream that was cut short never came to its final count."""
        assembler, request = self.assembler, self.call.request
        usage = assembler.usage or Usage(estimated=True)
        if usage.estimated or (cut_short and not assembler.usage_is_final):
            scale = self.call.spec.quirks.token_scale
            usage.estimated = True
            if not (usage.input_tokens or usage.cached_input_tokens or usage.cache_creation_input_tokens):
                params = TokenCountParams(request.messages, system_prompt=request.system_prompt, tools=request.tools)
                usage.input_tokens = estimate_input_tokens(params, scale, self.call.tally)
            usage.output_tokens = max(usage.output_tokens, estimate_output_tokens(assembler.content, scale))
            assembler.warn("usage_estimated", "the provider reported no final usage; token counts are a local estimate")
        usage.total_tokens = (
            usage.input_tokens + usage.output_tokens + usage.cached_input_tokens + usage.cache_creation_input_tokens
        )
        if self._encoded.cache_breakpoints:
            usage.cache_breakpoints = self._encoded.cache_breakpoints
            usage.cache_ttl = self._encoded.cache_ttl
        assembler.usage = usage
        window_tokens = self._encoded.window_tokens
        if window_tokens is not None and not cut_short:
            self._note_cut(usage, window_tokens)

    def _note_cut(self, usage: Usage, window_tokens: int) -> None:
        from .truncation import cut_warning

        warning = cut_warning(self.call.request, usage, window_tokens, len(self._encoded.body), self.call.tally)
        if warning is not None:
            self.assembler.warnings.append(warning)

    def _response(self) -> CanonicalResponse:
        assembler, call, usage = self.assembler, self.call, self.assembler.usage
        assert assembler.stop_reason is not None
        assert usage is not None
        cost, cost_warnings = cost_of(usage, call.spec.pricing, assembler.reported_cost)
        return CanonicalResponse(
            request_id=call.request_id,
            model=call.spec.id,
            provider=self.link.name,
            content=assembler.content,
            stop_reason=assembler.stop_reason,
            usage=usage,
            cost=cost,
            metrics=self._metrics(usage),
            warnings=[*self._encoded.warnings, *assembler.warnings, *cost_warnings],
            message_id=call.message_id,
            stop_sequence=assembler.stop_sequence,
            served_model=self.link.scrub(assembler.served_model),
            raw_provider_response=self._raw_response(),
        )

    def _metrics(self, usage: Usage) -> Metrics:
        now = self.link.clock.monotonic()
        first = self._first
        metrics = Metrics((now - self._call_started) * 1000, self._number + 1, provider_request_id=self._request_id)
        if first is not None and self.call.consumer is not None:
            metrics.time_to_first_token_ms = (first - self._call_started) * 1000
        seconds = now - (first if first is not None and now - first > 0.001 else self._started)
        if seconds > 0 and usage.output_tokens:
            metrics.tokens_per_second = usage.output_tokens / seconds
        return metrics

    def _raw_response(self) -> Any:
        if not self.raw_frames:
            return None
        return self.raw_frames[0] if self.call.consumer is None else self.raw_frames

    def failed(self, failure: ProviderFailure, *, will_retry: bool) -> CallFailed:
        """The trace event of this attempt's failure."""
        return CallFailed(
            self.call.request_id,
            self.link.name,
            self.call.spec.id,
            self._number,
            failure.error_class,
            failure.provider_status,
            will_retry,
            (self.link.clock.monotonic() - self._started) * 1000,
        )

    def completed(self, response: CanonicalResponse) -> CallCompleted:
        """The trace event of this attempt's success."""
        return CallCompleted(
            self.call.request_id,
            self.link.name,
            self.call.spec.id,
            self._number,
            response.usage,
            response.stop_reason,
            (self.link.clock.monotonic() - self._started) * 1000,
        )

    def _timed_out(self, what: str, after_s: float) -> ProviderFailure:
        failure = ProviderFailure("network", f"{self.link.name} {what} for {after_s:g} s; timeout_seconds sets how long to wait")
        failure.provider_request_id = self._request_id
        return failure


class FrameReader:
    """What happens on every read of a stream: frames, wire, events, consumer. The hot path of the daemon.

    Until `close` it follows the consumer: one that takes no more pauses the exchange.
    """

    __slots__ = (
        "_attempt",
        "_decoder",
        "_escapes",
        "_exchange",
        "_frames",
        "_halves",
        "_head",
        "_seen",
        "_unsubscribe",
        "_watch",
    )

    def __init__(self, attempt: "Attempt", exchange: Exchange, watch: StreamDeadlines) -> None:
        self._attempt = attempt
        self._exchange = exchange
        self._watch = watch
        wire = attempt.link.wire
        self._decoder = wire.stream_decoder(attempt.assembler, attempt.call.spec)
        self._frames = (
            SseDecoder(limits.MAX_LINE_BYTES, limits.MAX_EVENT_BYTES)
            if wire.framing == "sse"
            else NdjsonDecoder(limits.MAX_LINE_BYTES)
        )
        self._seen = False
        self._head = b""
        self._escapes = False
        self._halves: Halves | None = None
        consumer = attempt.call.consumer
        self._unsubscribe = consumer.on_writable_change(self._flow) if consumer else None
        if consumer and not consumer.writable:
            self._flow(False)

    def _flow(self, writable: bool) -> None:
        self._watch.paused(not writable)
        (self._exchange.resume if writable else self._exchange.pause)()

    def close(self) -> None:
        """Let go of the consumer and of the exchange."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._exchange.close()

    def on_data(self, data: bytes) -> bool:
        """One read from the provider; True once the wire's end marker has come."""
        decoder = self._decoder
        feed = decoder.feed
        alive = False
        frames = self._frames.feed(data)
        if not self._seen:
            self._look(frames, data)
        if not self._escapes and (MARK in data or data.endswith(b"\\")):
            self._escapes = True
        if self._escapes:
            alive = self._feed_escaped(frames)
        else:
            for event, payload in frames:
                if feed(event, payload):
                    alive = True
                if decoder.done:
                    break
        if self._attempt.assembler.failure is not None:
            self._watch.last_words(limits.COUNTS_AFTER_ERROR_S)
        elif alive:
            self._watch.alive()
        if self._attempt.raw_frames is not None:
            self._attempt.raw_frames += [_raw_of(payload) for _, payload in frames]
        self._attempt.emit()
        return decoder.done

    def _feed_escaped(self, frames: list[Frame]) -> bool:
        """Frames of a stream in which escaped characters occur."""
        alive = False
        for event, payload in frames:
            if MARK in payload or self._halves is not None:
                alive = self._feed_joined((event, payload)) or alive
            elif self._decoder.feed(event, payload):
                alive = True
            if self._decoder.done:
                break
        return alive

    def _feed_joined(self, frame: Frame) -> bool:
        """A frame that may hold half a character, or the other half of one."""
        halves = self._halves or Halves()
        alive = False
        for event, payload in halves.take(frame):
            if self._decoder.done:
                break
            alive = self._decoder.feed(event, payload) or alive
        self._halves = halves if halves.waiting else None
        return alive or self._halves is not None

    def _look(self, frames: list[tuple[str, bytes]], data: bytes) -> None:
        """Until the first frame, keep the head of the body: it may be an error that isn't a stream at all."""
        if frames:
            self._seen, self._head = True, b""
        elif len(self._head) < limits.MAX_ERROR_BODY_BYTES:
            self._head += data

    def end(self) -> None:
        """The body is over. Raises ProviderFailure where the stream isn't."""
        decoder = self._decoder
        if decoder.done:
            return
        rest = self._frames.end()
        if not self._seen and not rest:
            raise self._attempt.link.failure_of(self._exchange, self._head)
        for event, payload in [*(self._halves.rest() if self._halves else []), *rest]:
            decoder.feed(event, payload)
        decoder.end()
        self._attempt.emit()


def _new_assembler(call: Call, provider: str) -> Assembler:
    spec = call.spec
    if spec.quirks.tool_dialect != "native":
        from .dialects import assembler_for

        return assembler_for(call.request, spec, call.message_id, provider)
    return Assembler(
        call.message_id, spec.id, provider, provider_type=spec.provider_type, wire_name=spec.wire_name, quirks=spec.quirks
    )


def _is_stream(headers: Mapping[str, str], framing: str) -> bool:
    """Providers mislabel streams in many ways, but a stream is never called a page, nor application/json unless it is made of
    lines of JSON."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind not in ("text/html", "application/xhtml+xml") and (kind != "application/json" or framing == "ndjson")


def _raw_of(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")
