"""`usage/*`: the ledger, row by row and summed."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from modeld_protocol.model import Pricing
from modeld_protocol.session import (
    UsageAggregateParams,
    UsageAggregateResult,
    UsageQueryParams,
    UsageQueryResult,
    UsageRepriceParams,
    UsageRepriceResult,
)

from ...ledger.audit import Audit
from ..errors import invalid_params
from ..requests import CallContext
from ..router import Router
from .session import failing

T = TypeVar("T")


class UsageHandlers:
    """The handlers of `usage/*` over one ledger; `price_of` gives the prices of now."""

    def __init__(self, audit: Audit, price_of: Callable[[str], Pricing | None]) -> None:
        self._audit = audit
        self._price_of = price_of

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add("usage/query", self.query)
        router.add("usage/aggregate", self.aggregate)
        router.add("usage/reprice", self.reprice)

    @failing
    async def query(self, context: CallContext, params: UsageQueryParams) -> UsageQueryResult:
        """A row per call, newest first."""
        return await _checked(self._audit.query(params))

    @failing
    async def aggregate(self, context: CallContext, params: UsageAggregateParams) -> UsageAggregateResult:
        """Calls, summed."""
        return await _checked(self._audit.aggregate(params))

    @failing
    async def reprice(self, context: CallContext, params: UsageRepriceParams) -> UsageRepriceResult:
        """Stored calls at the prices of now."""
        return await _checked(self._audit.reprice(params, self._price_of))


async def _checked(asked: Awaitable[T]) -> T:
    """The result, or what is wrong with the params."""
    try:
        return await asked
    except ValueError as error:
        raise invalid_params(str(error)) from None
