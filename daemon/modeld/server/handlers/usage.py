"""`usage/*`: the ledger, row by row and summed."""

from collections.abc import Callable

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
from ...ledger.store import StoreError
from ..errors import RpcError, invalid_params, overloaded
from ..requests import CallContext
from ..router import Router


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

    async def query(self, context: CallContext, params: UsageQueryParams) -> UsageQueryResult:
        """A row per call, newest first."""
        try:
            return await self._audit.query(params)
        except ValueError as error:
            raise invalid_params(str(error)) from None

    async def aggregate(self, context: CallContext, params: UsageAggregateParams) -> UsageAggregateResult:
        """Calls, summed."""
        try:
            return await self._audit.aggregate(params)
        except ValueError as error:
            raise invalid_params(str(error)) from None

    async def reprice(self, context: CallContext, params: UsageRepriceParams) -> UsageRepriceResult:
        """Stored calls at the prices of now."""
        try:
            return await self._audit.reprice(params, self._price_of)
        except ValueError as error:
            raise invalid_params(str(error)) from None
        except StoreError as error:
            raise _unavailable(error) from None


def _unavailable(error: StoreError) -> RpcError:
    return overloaded(error.message)
