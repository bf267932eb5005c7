"""`turn/*` and `handoff/*`: turns of sessions, and what a switch of models would mean."""

import asyncio
from collections.abc import Callable

from modeld_protocol.errors import REQUEST_CANCELLED
from modeld_protocol.events import TraceEvent
from modeld_protocol.session import (
    HandoffPreviewParams,
    HandoffReport,
    TurnCancelParams,
    TurnCancelResult,
    TurnResult,
    TurnStartParams,
)

from ...runtime import Runtime
from ...sessions.as_sent import decode_turn_start
from ...sessions.turn import Starter, TurnCancelled, Turns
from ..errors import RpcError
from ..requests import CallContext
from ..router import Router
from .session import failing


class _Slot:
    """One of the calls that a client may run at once; the others wait in order."""

    __slots__ = ("_runtime", "_slots")

    def __init__(self, runtime: Runtime, slots: asyncio.Semaphore) -> None:
        self._runtime = runtime
        self._slots = slots

    async def __aenter__(self) -> None:
        self._runtime.calls_waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._runtime.calls_waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()


def _tracer(context: CallContext) -> Callable[[TraceEvent], None]:
    return lambda event: context.notify("trace/event", event)


class TurnHandlers:
    """The handlers of `turn/*` and `handoff/*`."""

    def __init__(self, turns: Turns, runtime: Runtime) -> None:
        self._turns = turns
        self._runtime = runtime

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add("turn/start", self.start, decode=decode_turn_start)
        router.add("turn/cancel", self.cancel)
        router.add("handoff/preview", self.preview)

    @failing
    async def start(self, context: CallContext, params: TurnStartParams) -> TurnResult:
        """Run a turn; its events go out before this returns."""
        client = context.client
        trace = _tracer(context) if client.trace else None
        slot = _Slot(self._runtime, client.call_slots)
        starter = Starter(context.connection, client.client_id, lambda: slot, client.env, trace)
        try:
            return await self._turns.start(params, starter)
        except TurnCancelled as cancelled:
            raise RpcError(REQUEST_CANCELLED, cancelled.data.message, cancelled.data) from None

    @failing
    async def cancel(self, context: CallContext, params: TurnCancelParams) -> TurnCancelResult:
        """Cancel a turn, whoever started it."""
        return TurnCancelResult(await self._turns.cancel(params))

    @failing
    async def preview(self, context: CallContext, params: HandoffPreviewParams) -> HandoffReport:
        """What a switch of models would change and cost."""
        return await self._turns.preview(params.session_id, params.model)
