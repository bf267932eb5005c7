"""The adapter: runs calls over a link, retries what may be retried, tells the trace bus once per attempt.

A call waits for its turn where the provider limits its key. A failure travels the same way as the answer: the assembler is
completed with `error`, its terminal event goes out, then ProviderFailure is raised. Nothing is retried once an event has been
made.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from math import isfinite
from typing import Any

from modeld_protocol.events import CallStarted, CallWaiting
from modeld_protocol.model import Capabilities, DiscoveredModel, TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.usage import Warning

from .. import limits
from ..upstream.retry import backoff_s
from .attempt import Attempt
from .call import Call
from .estimate import estimate_input_tokens
from .extras import ProviderExtras
from .failure import ProviderFailure
from .key_queue import KeyQueue, KeyQueues, Slot
from .link import Link
from .spec import ModelSpec, Quirks
from .wire.contract import Encoded
from .wire.memory import Memory


class WireAdapter:
    """The adapter of every provider: a link, and the calls that run over it. `queues` are shared by all adapters;
    `max_running` bounds the calls with one key."""

    def __init__(self, link: Link, queues: KeyQueues | None = None, max_running: int | None = None) -> None:
        self.name = link.name
        self._link = link
        self._queues = queues or KeyQueues(link.clock)
        self._max_running = max_running
        self._running: dict[str, asyncio.Task[Any]] = {}

    # ---- the contract

    def complete(self, call: Call) -> Coroutine[Any, Any, CanonicalResponse]:
        """See ProviderAdapter."""
        return self._registered(call, stream=False)

    def stream(self, call: Call) -> Coroutine[Any, Any, CanonicalResponse]:
        """See ProviderAdapter."""
        return self._registered(call, stream=True)

    def estimate_input_tokens(self, params: TokenCountParams) -> int:
        """See ProviderAdapter."""
        return estimate_input_tokens(params)

    def encoding_warnings(self, request: CanonicalRequest, spec: ModelSpec) -> list[Warning]:
        """See ProviderAdapter."""
        return self._encode(request, spec, stream=True).warnings

    async def count_tokens(self, params: TokenCountParams, spec: ModelSpec, env: Mapping[str, str]) -> int:
        """See ProviderAdapter."""
        encoded = self._link.wire.encode_count(params, spec)
        if encoded is None:
            raise ProviderFailure(
                "capability_mismatch", f"{self.name} has no token-count endpoint; model/estimateTokens counts locally"
            )
        return await self._link.fetch(encoded, env, self._link.wire.decode_count)

    async def discover_models(self, env: Mapping[str, str]) -> list[DiscoveredModel]:
        """See ProviderAdapter."""
        found: list[DiscoveredModel] = []
        page: str | None = None
        for _ in range(20):  # no provider has more pages than that; a server that repeats itself ends here
            encoded = self._link.wire.encode_discover(page)
            if encoded is None:
                raise ProviderFailure("capability_mismatch", f"{self.name} has no model list")
            models, page = await self._link.fetch(encoded, env, lambda body: self._link.wire.decode_discover(body, self.name))
            found += models
            if not page:
                break
        return found

    def extras(self, able: Capabilities, quirks: Quirks) -> ProviderExtras:
        """See ProviderAdapter."""
        return ProviderExtras(self._link, able, quirks)

    def cancel(self, request_id: str) -> bool:
        """See ProviderAdapter."""
        task = self._running.get(request_id)
        return task.cancel() if task is not None else False

    async def close(self) -> None:
        """See ProviderAdapter."""
        for task in list(self._running.values()):
            task.cancel()

    # ---- a call and its attempts

    async def _registered(self, call: Call, *, stream: bool) -> CanonicalResponse:
        task = asyncio.current_task()
        assert task is not None
        self._running[call.request_id] = task
        try:
            return await self._attempts(call, stream=stream)
        except ProviderFailure as failure:
            failure.provider, failure.model, failure.request_id = self.name, call.spec.id, call.request_id
            raise
        finally:
            if self._running.get(call.request_id) is task:
                del self._running[call.request_id]

    async def _attempts(self, call: Call, *, stream: bool) -> CanonicalResponse:
        memory = None if call.memories is None else call.memories.of(call.spec)
        encoded = self._encode(call.request, call.spec, memory, stream=stream)
        credential = await self._link.credentials(call.env)
        user = "" if call.env else self.name
        queue = self._queues.of(self._link.endpoint.origin, credential, user, self._max_running)
        timeout_s = call.request.timeout_seconds or self._link.endpoint.timeout_s
        started = self._link.clock.monotonic()
        attempt = contended = 0
        seen = queue.limits.successes
        while True:
            slot = queue.enter_nowait()
            if slot is None:
                unsent = Attempt(self._link, call, encoded, credential, attempt, timeout_s, started)
                slot = await self._in_line(queue, unsent, attempt, started + timeout_s)
            run = Attempt(self._link, call, encoded, credential, attempt, timeout_s, started, slot)
            call.trace(CallStarted(call.request_id, self.name, call.spec.id, attempt, stream))
            try:
                await (run.stream() if stream else run.complete())
            except ProviderFailure as failure:
                self._link.redact(failure)
                if (
                    failure.error_class == "rate_limit"
                    and slot.others_came_through(seen)
                    and contended < limits.MAX_CONTENDED_RETRIES
                ):
                    contended += 1  # the key works, it was only not this call's turn
                seen = queue.limits.successes
                left_s = started + timeout_s - self._link.clock.monotonic()
                wait_s = None if run.assembler.started else self._retry_wait_s(failure, attempt - contended, left_s)
                wait_s = _told(slot, failure, wait_s)
                call.trace(run.failed(failure, will_retry=wait_s is not None))
                if wait_s is None:
                    partial = run.finish("error")
                    failure.partial = partial if partial.content else None
                    raise
            except asyncio.CancelledError:
                if not run.assembler.completed:
                    call.partial = run.finish("cancelled")
                    call.trace(run.failed(ProviderFailure("cancelled", "cancelled by the client"), will_retry=False))
                    raise
                _forget_cancel()  # it came after the natural end: the answer is whole, and so is the reply
                return self._finished(call, run)
            else:
                return self._finished(call, run)
            finally:
                slot.end()
            if wait_s:
                await self._sleep(call, run, wait_s)
            attempt += 1

    async def _in_line(self, queue: KeyQueue, unsent: Attempt, attempt: int, deadline_s: float) -> Slot:
        """Wait for the key as long as the call has time. Raises ProviderFailure (`rate_limit`)."""
        call = unsent.call
        now_s = self._link.clock.monotonic()
        closed_s = queue.limits.next_start_s(now_s) - now_s
        wait_ms = closed_s * 1000 if isfinite(closed_s) else None
        call.trace(CallWaiting(call.request_id, self.name, call.spec.id, attempt, queue.waiting, wait_ms))
        try:
            return await queue.enter(call.client_id or "", deadline_s, first=attempt > 0)
        except TimeoutError:
            unsent.finish("error")
            message = f"{self.name} limits the rate of its key, and this call's time is over; wait, or raise timeout_seconds"
            failure = ProviderFailure("rate_limit", message, retryable=True)
            failure.retry_after_seconds = closed_s if closed_s > 0 and isfinite(closed_s) else None
            raise failure from None
        except asyncio.CancelledError:
            call.partial = unsent.finish("cancelled")
            raise

    def _encode(self, request: CanonicalRequest, spec: ModelSpec, memory: Memory | None = None, *, stream: bool) -> Encoded:
        """A request in its wire's bytes; where the model has no tools of its own, with tools as text."""
        if spec.quirks.tool_dialect == "native":
            return self._link.wire.encode(request, spec, stream=stream, memory=memory)
        from .dialects import in_dialect

        request, warnings = in_dialect(request, spec)
        encoded = self._link.wire.encode(request, spec, stream=stream)
        encoded.warnings = [*warnings, *encoded.warnings]
        return encoded

    @staticmethod
    def _finished(call: Call, run: Attempt) -> CanonicalResponse:
        response = run.finish(run.assembler.stop_reason or "end_turn")
        call.trace(run.completed(response))
        return response

    async def _sleep(self, call: Call, run: Attempt, wait_s: float) -> None:
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            call.partial = run.finish("cancelled")
            raise

    def _retry_wait_s(self, failure: ProviderFailure, attempt: int, left_s: float) -> float | None:
        """How long to wait before the next attempt, None for no further one: none begins after the call's time."""
        if not failure.retryable or attempt >= self._link.endpoint.max_retries:
            return None
        if failure.retry_after_seconds is not None:
            wait_s = min(failure.retry_after_seconds, limits.MAX_RETRY_WAIT_S)
        else:
            wait_s = backoff_s(attempt, self._link.clock.chance(), limits.BACKOFF_BASE_S, limits.BACKOFF_CAP_S)
        return wait_s if wait_s < left_s else None


def _told(slot: Slot, failure: ProviderFailure, wait_s: float | None) -> float | None:
    """Tell the key's queue where the provider throttles it; who tries again then waits there, and not by itself.

    A call that doesn't try again holds nobody up: its client heard of the limit, and may be the only one who waits for it.
    """
    if failure.error_class != "rate_limit" or wait_s is None:
        return wait_s
    asked_s = failure.retry_after_seconds if failure.retry_after_seconds is not None else wait_s
    slot.refused(asked_s)
    return 0.0 if asked_s <= limits.MAX_RETRY_WAIT_S else wait_s


def _forget_cancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
