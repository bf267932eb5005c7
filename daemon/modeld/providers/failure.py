"""How a call fails: one exception for everything a provider or the way to it can do wrong."""

from modeld_protocol.errors import RETRYABLE, ErrorClass, ErrorData
from modeld_protocol.response import CanonicalResponse


class ProviderFailure(Exception):
    """A failed call, classified. `provider_message` is the provider's own text, redacted and bounded by the adapter.

    `retry_after_seconds` is what the provider asked for, None where it asked for nothing usable.
    `partial` is what had come before the failure, `raw` the tail of a body, kept for logs that are opted in to.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        provider_status: int | None = None,
        provider_message: str | None = None,
        retry_after_seconds: float | None = None,
        provider_request_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.error_class: ErrorClass = error_class
        self.message = message
        self.provider_status = provider_status
        self.provider_message = provider_message
        self.retry_after_seconds = retry_after_seconds
        self.provider_request_id = provider_request_id
        self.retryable = error_class in RETRYABLE if retryable is None else retryable
        self.provider: str | None = None
        self.model: str | None = None
        self.request_id: str | None = None
        self.partial: CanonicalResponse | None = None

    def __str__(self) -> str:
        """The message as it is now: it may have been redacted since."""
        return self.message

    def data(self) -> ErrorData:
        """The `data` of the JSON-RPC error."""
        return ErrorData(
            error_class=self.error_class,
            message=self.message,
            provider=self.provider,
            model=self.model,
            provider_status=self.provider_status,
            provider_message=self.provider_message,
            retryable=self.retryable,
            retry_after_seconds=self.retry_after_seconds,
            request_id=self.request_id,
            provider_request_id=self.provider_request_id,
            partial=self.partial,
        )
