"""Calls on the books: a row before the request leaves, its completion before the client hears the end, budgets kept."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

from modeld_protocol.errors import ErrorClass
from modeld_protocol.model import TokenCountParams
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.usage import Cost, Usage

from . import __version__
from .clock import Clock
from .config.schema import Config
from .ledger.audit import Audit, Begun, CallFacts
from .ledger.budgets import ASSUMED_OUTPUT_TOKENS, Account, BudgetExceeded, Budgets
from .ledger.pricing import cost_of
from .ledger.store import StoreError
from .observe.log import logger
from .providers.call import Call
from .providers.estimate import estimate_input_tokens
from .providers.failure import ProviderFailure
from .providers.spec import ModelSpec

Dispatch = Callable[[Call], Awaitable[CanonicalResponse]]

_log = logger("ledger")


class Books:
    """Runs calls so that none is sent, and no end is told, without its row."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self.audit = audit
        self.budgets = Budgets(audit.store, audit.first_seq)
        self._clock = clock

    def follow(self, config: Config) -> None:
        """Keep the budgets of `config` from now on, and rows for as long as it says."""
        self.budgets.limits = config.budgets
        self.audit.keep_days = config.retention.calls_days

    def refused(
        self,
        failure: ProviderFailure,
        spec: ModelSpec | None,
        *,
        stream: bool,
        client_id: str | None,
        session_id: str | None,
        turn_id: str | None,
    ) -> None:
        """A call that is refused before it has begun leaves its row too; one that names no model of ours names none there."""
        named = (spec.provider, spec.id) if spec is not None else ("", "")
        facts = CallFacts(failure.request_id or "", *named, stream, client_id, session_id, turn_id)
        self.audit.refuse(facts, failure.error_class)

    def withdrawn(self, call: Call) -> None:
        """A call that was cancelled before its turn came leaves its row too."""
        self.audit.refuse(_facts(call), "cancelled", "cancelled")

    async def run(self, call: Call, dispatch: Dispatch) -> CanonicalResponse:
        """Begin the row, run the call, finish the row, then let the terminal event and the answer go.

        Raises ProviderFailure: the call's own, `quota_exceeded` where a budget doesn't allow it, `other` where the store
        can't be read or written; in these two cases nothing was sent.
        """
        account = self._open(call)
        row, begun = self.audit.begin(_facts(call))
        if begun is not None:
            await self._begun(call, account, row, begun)
        call.holds_end = call.consumer is not None
        try:
            response = await dispatch(call)
        except ProviderFailure as failure:
            status = "cancelled" if failure.error_class == "cancelled" else "failed"
            answered = call.outcome is not None and bool(call.outcome.content)  # else the cost is unknown, most likely none
            self.budgets.close(account, call.outcome.cost if call.outcome and answered else None)
            await self._finished(call, self.audit.finish(row, status, call.outcome, failure.error_class, charged=answered))
            raise
        except BaseException as error:
            await self._broken_off(call, account, row, error)
            raise
        if account.warnings:
            response.warnings += account.warnings
        self.budgets.close(account, response.cost)
        finished = self.audit.finish(row, "completed", response)
        if finished is None:
            call.release()
        else:
            await self._finished(call, finished, whole=True)
        return response

    async def _begun(self, call: Call, account: Account, row: Begun, begun: "asyncio.Future[None]") -> None:
        try:
            await begun
        except StoreError as error:
            self.budgets.close(account, None)
            raise _failure(call, "other", f"nothing was sent: {error.message}", retryable=True) from None
        except BaseException as error:
            await self._broken_off(call, account, row, error)
            raise

    async def _broken_off(self, call: Call, account: Account, row: Begun, error: BaseException) -> None:
        """A call that was cancelled, or went wrong in a way that nobody foresaw."""
        self.budgets.close(account, call.outcome.cost if call.outcome else None)
        ending = ("cancelled", "cancelled") if isinstance(error, asyncio.CancelledError) else ("failed", "other")
        await self._finished(call, self.audit.finish(row, ending[0], call.outcome, ending[1]))

    def _open(self, call: Call) -> Account:
        estimate = self._most(call) if self.budgets.limits else None
        try:
            return self.budgets.open(self._clock.wall(), call.client_id, call.session_id, estimate)
        except BudgetExceeded as exceeded:
            self.audit.refuse(_facts(call), "quota_exceeded")
            raise _failure(call, "quota_exceeded", exceeded.message) from None
        except StoreError as error:
            raise _failure(call, "other", f"nothing was sent: {error.message}", retryable=True) from None

    @staticmethod
    def _most(call: Call) -> Cost | None:
        """What a call may cost: its whole input uncached, and as much output as it asks for."""
        request, spec = call.request, call.spec
        params = TokenCountParams(request.messages, system_prompt=request.system_prompt, tools=request.tools)
        output_tokens = request.max_output_tokens or ASSUMED_OUTPUT_TOKENS
        if spec.limits.max_output_tokens is not None:
            output_tokens = min(output_tokens, spec.limits.max_output_tokens)
        usage = Usage(estimate_input_tokens(params, spec.quirks.token_scale, call.tally), output_tokens)
        return cost_of(usage, spec.pricing)[0]

    async def _finished(self, call: Call, finished: "asyncio.Future[None] | None", *, whole: bool = False) -> None:
        """Wait for the commit, then send what was held. A cancel that comes meanwhile changes nothing of a whole answer."""
        try:
            if finished is not None:
                await finished
        except asyncio.CancelledError:
            await self._barrier()
            if not whole:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        except StoreError:
            _log.error("a finished call has no row yet", request_id=call.request_id)
        finally:
            call.release()

    async def _barrier(self) -> None:
        """Wait until everything queued is committed: commits are made in their order."""
        try:
            await self.audit.store.write_many(())
        except StoreError:
            _log.error("a finished call has no row")


def _facts(call: Call) -> CallFacts:
    spec = call.spec
    return CallFacts(
        call.request_id,
        spec.provider,
        spec.id,
        call.consumer is not None,
        call.client_id,
        call.session_id,
        call.turn_id,
        _adapter_version(spec.wire),
    )


@lru_cache(64)
def _adapter_version(wire: str) -> str:
    """One text for all calls of a wire: their rows hold it for as long as they run."""
    return f"{wire}/{__version__}"


def _failure(call: Call, error_class: ErrorClass, message: str, *, retryable: bool = False) -> ProviderFailure:
    failure = ProviderFailure(error_class, message, retryable=retryable)
    failure.provider, failure.model, failure.request_id = call.spec.provider, call.spec.id, call.request_id
    return failure
