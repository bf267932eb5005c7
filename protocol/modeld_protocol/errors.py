"""Error codes, error classes and the `data` of a failed request."""

from typing import Literal

import msgspec

from .response import CanonicalResponse

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
OVERLOADED = -32001
NOT_INITIALIZED = -32002
REQUEST_CANCELLED = -32800
REQUEST_FAILED = -32803

ErrorClass = Literal[
    "rate_limit",
    "auth",
    "server_error",
    "network",
    "context_overflow",
    "invalid_request",
    "content_filter",
    "model_not_found",
    "quota_exceeded",
    "thinking_signature_invalid",
    "capability_mismatch",
    "not_configured",
    "cancelled",
    "other",
]

RETRYABLE: frozenset[ErrorClass] = frozenset(("rate_limit", "server_error", "network"))


class ErrorData(msgspec.Struct):
    """`data` of -32803 (and of -32800 for a cancelled call): every field is present, null where unknown."""

    error_class: ErrorClass
    message: str
    provider: str | None = None
    model: str | None = None
    provider_status: int | None = None
    provider_message: str | None = None
    retryable: bool = False
    retry_after_seconds: float | None = None
    request_id: str | None = None
    provider_request_id: str | None = None
    partial: CanonicalResponse | None = None
