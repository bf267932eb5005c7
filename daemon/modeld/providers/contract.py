"""The one contract of every provider adapter."""

from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from modeld_protocol.model import Capabilities, DiscoveredModel, TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.usage import Warning

from .call import Call
from .extras import ProviderExtras
from .spec import ModelSpec, Quirks


class ProviderAdapter(Protocol):
    """Adapters are substitutable: the same content, stop reason and usage give the same response.

    `stream` hands its events to `call.consumer` in direct calls instead of an async iterator: a queue or a task between
    costs 3 to 7 µs an event. Cancelling the awaiting task cancels the call: it closes the provider connection, ends the
    stream with `stop_reason: cancelled`, and leaves what had come in `call.partial`.
    """

    name: str

    def complete(self, call: Call) -> Coroutine[Any, Any, CanonicalResponse]:
        """One answer, whole. Raises ProviderFailure."""
        ...

    def stream(self, call: Call) -> Coroutine[Any, Any, CanonicalResponse]:
        """One answer as events, then whole. Raises ProviderFailure, after the terminal event where events had been sent."""
        ...

    def estimate_input_tokens(self, params: TokenCountParams) -> int:
        """Local estimate, within about 10 %."""
        ...

    def encoding_warnings(self, request: CanonicalRequest, spec: ModelSpec) -> list[Warning]:
        """What sending `request` as a stream would warn of. Raises ProviderFailure where it can't be sent."""
        ...

    async def count_tokens(self, params: TokenCountParams, spec: ModelSpec, env: Mapping[str, str]) -> int:
        """The provider's own count. Raises ProviderFailure (`capability_mismatch` where it has no such endpoint)."""
        ...

    async def discover_models(self, env: Mapping[str, str]) -> list[DiscoveredModel]:
        """The provider's own list. Raises ProviderFailure."""
        ...

    def extras(self, able: Capabilities, quirks: Quirks) -> ProviderExtras:
        """Files and caches at the provider, as far as `able` says that it has them."""
        ...

    def cancel(self, request_id: str) -> bool:
        """Cancel a running call by its request id; False where there is none. Idempotent."""
        ...

    async def close(self) -> None:
        """Cancel what runs and close the connections."""
        ...
