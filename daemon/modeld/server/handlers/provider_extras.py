"""`file/*` and `cache/*`: what only some providers have. Through modeld none has it yet, and a client is told so in the same
typed way as of any other capability: media go along in the request, prompt caches are asked for with `cache`."""

from typing import Any, NoReturn, Protocol

from modeld_protocol.errors import REQUEST_FAILED

from ...providers.failure import ProviderFailure
from ...runtime import Runtime
from ..errors import RpcError
from ..requests import CallContext
from ..router import Router

_INSTEAD = {
    "file": "send the file in the message, as base64 or by its URL",
    "cache": "ask for prompt caching with the request's `cache`",
}
_METHODS = ("file/upload", "file/list", "file/delete", "cache/create", "cache/list", "cache/delete")


class _OfProvider(Protocol):
    provider: str


class ProviderExtraHandlers:
    """The handlers of `file/*` and `cache/*` over one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def register(self, router: Router) -> None:
        """Add every method to the router."""
        for method in _METHODS:
            router.add(method, self._refusal_of(method))

    def _refusal_of(self, method: str) -> Any:
        def refuse(context: CallContext, params: _OfProvider) -> NoReturn:
            failure = self._refused(method, params.provider)
            failure.provider = params.provider
            raise RpcError(REQUEST_FAILED, failure.message, failure.data())

        return refuse

    def _refused(self, method: str, provider: str) -> ProviderFailure:
        known = self._runtime.snapshot.config.adapters
        if provider not in known:
            names = ", ".join(known) or "none"
            return ProviderFailure("invalid_request", f"no provider is called {provider[:100]}; configured are: {names}")
        instead = _INSTEAD[method.partition("/")[0]]
        return ProviderFailure("capability_mismatch", f"{provider} has no {method} through modeld; {instead}")
