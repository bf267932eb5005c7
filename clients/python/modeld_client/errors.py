"""Everything that can go wrong, as exceptions. Importing this file costs nothing but the standard library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modeld_protocol.errors import ErrorClass, ErrorData
    from modeld_protocol.response import CanonicalResponse


class ModeldError(Exception):
    """Base of every error this library raises."""


class DaemonUnavailable(ModeldError):
    """There is no daemon to talk to, none could be started, or the one there must not be trusted."""


class ConnectionLost(ModeldError):
    """The connection ended while the call ran. The call is not repeated: the provider may have charged for it.

    The next call connects again.
    """


class HandshakeFailed(ModeldError):
    """The daemon refused `initialize`: no common protocol version, a missing feature, a wrong token."""


class UnreadableReply(ModeldError):
    """The daemon sent what this version of the library can't read."""


class StreamOverrun(ModeldError):
    """A stream's events were taken too slowly and the buffer ran over; `response()` still gives the whole answer."""


class RpcError(ModeldError):
    """The daemon answered with an error. `code` is JSON-RPC's, `data` what came with it."""

    def __init__(self, message: str, code: int, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class InvalidParams(RpcError):
    """-32602: the message names the path of what is wrong."""


class MethodNotFound(RpcError):
    """-32601: this daemon does not know the method; it may be older than the client."""


class Overloaded(RpcError):
    """-32001: too much in flight; try again later."""


class RequestFailed(RpcError):
    """-32803: the call could not be served. `retryable` says whether the same call may succeed later; `partial` is what
    the model had said until then, with its usage."""

    def __init__(self, message: str, code: int, data: ErrorData) -> None:
        super().__init__(message, code, data)
        self.error_class: ErrorClass = data.error_class
        self.provider = data.provider
        self.model = data.model
        self.provider_status = data.provider_status
        self.provider_message = data.provider_message
        self.retryable = data.retryable
        self.retry_after_seconds = data.retry_after_seconds
        self.request_id = data.request_id
        self.provider_request_id = data.provider_request_id
        self.partial: CanonicalResponse | None = data.partial


class RateLimited(RequestFailed):
    """The provider asks for patience: see `retry_after_seconds`."""


class AuthFailed(RequestFailed):
    """The provider refused the key."""


class ServerFailed(RequestFailed):
    """The provider failed on its side."""


class NetworkFailed(RequestFailed):
    """The provider could not be reached, or went silent."""


class ContextOverflow(RequestFailed):
    """The conversation is longer than the model can read."""


class InvalidRequest(RequestFailed):
    """The provider refused the request as it was."""


class ContentFiltered(RequestFailed):
    """The provider's policy stopped the call."""


class ModelNotFound(RequestFailed):
    """No such model, in the configuration or at the provider."""


class QuotaExceeded(RequestFailed):
    """The account's credit or quota is used up."""


class ThinkingSignatureInvalid(RequestFailed):
    """The provider does not accept the reasoning blocks it was given back."""


class CapabilityMismatch(RequestFailed):
    """The model can't do what was asked; nothing was sent."""


class NotConfigured(RequestFailed):
    """A key or setting is missing; the message names it. Nothing was sent."""


class Cancelled(RequestFailed):
    """The call was cancelled, by this client or another."""


BY_CLASS: dict[str, type[RequestFailed]] = {
    "rate_limit": RateLimited,
    "auth": AuthFailed,
    "server_error": ServerFailed,
    "network": NetworkFailed,
    "context_overflow": ContextOverflow,
    "invalid_request": InvalidRequest,
    "content_filter": ContentFiltered,
    "model_not_found": ModelNotFound,
    "quota_exceeded": QuotaExceeded,
    "thinking_signature_invalid": ThinkingSignatureInvalid,
    "capability_mismatch": CapabilityMismatch,
    "not_configured": NotConfigured,
    "cancelled": Cancelled,
}
"""The exception of each error class; what is not here, `other` and classes of a later daemon, is RequestFailed itself."""
