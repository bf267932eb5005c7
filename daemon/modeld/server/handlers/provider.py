"""`provider/list`: the capability matrix and how every provider does."""

from modeld_protocol.jsonrpc import Empty
from modeld_protocol.model import ProviderList

from ...runtime import Runtime
from ..requests import CallContext
from ..router import Router


class ProviderHandlers:
    """The handlers of `provider/*` over one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        router.add("provider/list", self.list)

    def list(self, context: CallContext, params: Empty) -> ProviderList:
        """Every configured provider."""
        return ProviderList(self._runtime.providers(context.client.env))
