"""`model/*`: what there is, what it counts, and the calls themselves."""

import asyncio
from collections.abc import Callable
from functools import partial

from modeld_protocol.errors import REQUEST_CANCELLED, REQUEST_FAILED, ErrorData
from modeld_protocol.events import Event, TraceEvent
from modeld_protocol.jsonrpc import Empty
from modeld_protocol.model import DiscoverParams, DiscoverResult, ModelList, TokenCount, TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from ...providers.call import Call
from ...providers.failure import ProviderFailure
from ...runtime import Runtime
from ..errors import RpcError
from ..requests import CallContext
from ..router import Router
from ..stream_encoder import StreamEncoder


class _ConnectionConsumer:
    """Writes a stream's events to the connection that asked, encoded once. The first ones leave at once: where a whole answer
    comes in one piece, its end and its cost aren't waited for."""

    __slots__ = ("_begun", "_context", "_encoder")

    def __init__(self, context: CallContext, request_id: str, epoch: str) -> None:
        self._context = context
        self._encoder = StreamEncoder(request_id, epoch)
        self._begun = False

    @property
    def writable(self) -> bool:
        return self._context.writable

    def emit(self, events: list[Event]) -> None:
        self._context.send(self._encoder.encode(events))
        if not self._begun:
            self._begun = True
            self._context.flush()

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        return self._context.on_writable_change(callback)


def _failed(failure: ProviderFailure) -> RpcError:
    return RpcError(REQUEST_FAILED, failure.message, failure.data())


class ModelHandlers:
    """The handlers of `model/*` over one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add("model/list", self.list)
        router.add("model/complete", partial(self._run, stream=False))
        router.add("model/stream", partial(self._run, stream=True))
        router.add("model/estimateTokens", self.estimate_tokens)
        router.add("model/countTokens", self.count_tokens)
        router.add("model/discover", self.discover)

    def list(self, context: CallContext, params: Empty) -> ModelList:
        """Every configured model."""
        return ModelList(self._runtime.models(context.client.env))

    async def _run(self, context: CallContext, request: CanonicalRequest, *, stream: bool) -> CanonicalResponse:
        """One call and its answer; the events of a streamed one go out before this returns."""
        call: Call | None = None
        try:
            client = context.client
            call = self._runtime.prepare(
                request, env=client.env, trace=self._tracer(context), stream=stream, client_id=client.client_id
            )
            if stream:
                call.consumer = _ConnectionConsumer(context, call.request_id, self._runtime.epoch)
            await self._turn(client.call_slots, call)
            try:
                return await self._runtime.run(call)
            finally:
                client.call_slots.release()
        except ProviderFailure as failure:
            raise _failed(failure) from failure
        except asyncio.CancelledError:
            if call is None or call.partial is None:
                raise
            message = "the request was cancelled; what had come is in data.partial"
            data = ErrorData(
                "cancelled",
                message,
                provider=call.spec.provider,
                model=call.spec.id,
                request_id=call.request_id,
                partial=call.partial,
            )
            raise RpcError(REQUEST_CANCELLED, message, data) from None

    async def _turn(self, slots: asyncio.Semaphore, call: Call) -> None:
        """Become one of the calls that this client may run at once; they come in order, and may be cancelled meanwhile."""
        self._runtime.calls_waiting += 1
        try:
            await slots.acquire()
        except asyncio.CancelledError:
            self._runtime.withdraw(call)
            raise
        finally:
            self._runtime.calls_waiting -= 1

    def _tracer(self, context: CallContext) -> Callable[[TraceEvent], None] | None:
        if not context.client.trace:
            return None
        return lambda event: context.notify("trace/event", event)

    def estimate_tokens(self, context: CallContext, params: TokenCountParams) -> TokenCount:
        """A local estimate."""
        try:
            return TokenCount(self._runtime.estimate_tokens(params), estimated=True)
        except ProviderFailure as failure:
            raise _failed(failure) from failure

    async def count_tokens(self, context: CallContext, params: TokenCountParams) -> TokenCount:
        """The provider's own count."""
        try:
            return TokenCount(await self._runtime.count_tokens(params, context.client.env), estimated=False)
        except ProviderFailure as failure:
            raise _failed(failure) from failure

    async def discover(self, context: CallContext, params: DiscoverParams) -> DiscoverResult:
        """What the providers say they have."""
        try:
            return await self._runtime.discover(params, context.client.env)
        except ProviderFailure as failure:
            raise _failed(failure) from failure
