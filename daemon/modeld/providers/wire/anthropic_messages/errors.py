"""Failures of this wire: from any status and any bytes to one class.

Branches on `details.error_code`, then on what the message says of the few things that have no code, then on `type`, then on
the status; wording is not stable, so it only ever refines. https://platform.claude.com/docs/en/api/errors (2026-11-20)
"""

import html
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from modeld_protocol.errors import ErrorClass

from .... import limits
from ...failure import ProviderFailure

_CODES: Final[dict[str, ErrorClass]] = {
    "ramp_limit_exceeded": "rate_limit",
    "organization_on_hold": "quota_exceeded",
    "storage_quota_exceeded": "quota_exceeded",
    "request_body_too_large_after_decoding": "context_overflow",
    "available_tools_limit_exceeded": "invalid_request",
    "tool_name_conflict": "invalid_request",
    "tool_reference_unresolved": "invalid_request",
    "unsupported_charset": "invalid_request",
    "file_expired": "invalid_request",
    "compaction_signature_invalid": "thinking_signature_invalid",
}

# What a 4xx of no distinctive type says in words. The first that fits decides; never asked of a rate limit.
_WORDS: Final[tuple[tuple[re.Pattern[str], ErrorClass], ...]] = (
    (
        re.compile(
            r"prompt is too long|exceeds? (?:the )?(?:model's )?(?:context (?:window|limit)|maximum context)"
            r"|maximum context length|context_length_exceeded|request_too_large|input is too long",
            re.I,
        ),
        "context_overflow",
    ),
    (
        re.compile(
            r"credit balance is too low|spend[ _]limit|usage limits?\b|insufficient[_ ](?:quota|balance|credits)"
            r"|payment[_ ]required|exceeded_current_quota",
            re.I,
        ),
        "quota_exceeded",
    ),
    (
        re.compile(
            r"signature.{0,40}thinking|thinking.{0,60}signature|thinking.{0,80}cannot be modified|thought_signature", re.I | re.S
        ),
        "thinking_signature_invalid",
    ),
    (
        re.compile(r"content[ _]?filter|content[ _]policy|usage (?:guidelines|policy)|moderation|safety_check|flagged", re.I),
        "content_filter",
    ),
    (
        re.compile(
            r"\Amodel: |model[_ ]not[_ ]found|model [`'\"]?[\w./:@-]+[`'\"]? (?:does not exist|(?:was |is )?not found)", re.I
        ),
        "model_not_found",
    ),
    (
        re.compile(r"(?:does not|doesn't|do not) support|not supported|unsupported|not available (?:for|on) this model", re.I),
        "capability_mismatch",
    ),
)
# What else than the model a call may name that is not there.
_OTHER_THINGS: Final = re.compile(r"\b(?:file|container|skill|batch|session|agent|url|path|endpoint|page|resource)", re.I)
_CLASSES_OF_WORDS: Final = frozenset((400, 402, 403, 404, 413, 422))

_TYPES: Final[dict[str, ErrorClass]] = {
    "invalid_request_error": "invalid_request",
    "authentication_error": "auth",
    "billing_error": "quota_exceeded",
    "permission_error": "auth",
    "conflict_error": "server_error",
    "request_too_large": "context_overflow",
    "rate_limit_error": "rate_limit",
    "api_error": "server_error",
    "timeout_error": "server_error",
    "overloaded_error": "server_error",
}

_STATUSES: Final[dict[int, ErrorClass]] = {
    401: "auth",
    402: "quota_exceeded",
    403: "auth",
    408: "server_error",
    409: "server_error",
    413: "context_overflow",
    425: "server_error",
    429: "rate_limit",
    499: "cancelled",
}

_NEXT_STEPS: Final[dict[ErrorClass, str]] = {
    "rate_limit": "the provider limits the rate of requests; wait, or use another model",
    "auth": "the provider refused the key; check the adapter's key and what it may use",
    "server_error": "the provider is in trouble; try again later, or use another model",
    "network": "the provider could not be reached; try again",
    "context_overflow": "the request is longer than the model takes; shorten the conversation, or use a model with more context",
    "invalid_request": "the provider refused the request; its own message says what to change",
    "content_filter": "the provider's content policy blocked this; rephrase it",
    "model_not_found": "the provider does not know this model; model/discover lists those there are",
    "quota_exceeded": "the account's quota or credit is used up; raise it at the provider, or use another provider",
    "thinking_signature_invalid": "the provider refused replayed thinking; send the conversation without its thinking blocks",
    "capability_mismatch": "the model does not support something in this request; the provider's own message says what",
    "cancelled": "the provider says that the call was cancelled; try again",
    "other": "the provider failed in a way that is not known; its own message may say more",
}


class _Report(msgspec.Struct):
    """What an error body says."""

    message: str = ""
    type: str = ""
    code: str = ""
    status: int | None = None
    request_id: str | None = None


def decode_failure(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    """The failure that an HTTP answer stands for, whatever its bytes are."""
    report = _read_body(body)
    failure = _failure(report, status, headers.get("request-id") or headers.get("x-request-id"))
    failure.retry_after_seconds = _numeric_retry_after(headers)
    return failure


def failure_in_band(error: msgspec.Raw | bytes) -> ProviderFailure:
    """The failure that an `error` member in an answer with status 200 stands for."""
    report = _read_error(_loads(bytes(error)), "", None)
    return _failure(report, report.status, None)


def _failure(report: _Report, status: int | None, request_id: str | None) -> ProviderFailure:
    error_class = classify(report.code, report.type, report.message, status)
    return ProviderFailure(
        error_class,
        _NEXT_STEPS.get(error_class, _NEXT_STEPS["other"]),
        provider_status=status,
        provider_message=report.message or None,
        provider_request_id=request_id or report.request_id,
    )


def classify(code: str, kind: str, message: str, status: int | None) -> ErrorClass:
    """The class of a failure by its code, its wording, its type and its status, in that order."""
    if code.endswith("spend_limit_reached"):
        return "quota_exceeded"
    if code in _CODES:
        return _CODES[code]
    worded = kind in ("", "error", "invalid_request_error", "not_found_error") or status in _CLASSES_OF_WORDS
    if worded and kind not in ("authentication_error", "rate_limit_error") and status not in (401, 429):
        for pattern, error_class in _WORDS:
            if pattern.search(message):
                return error_class
    if kind == "not_found_error" or status == 404:
        named = kind == "not_found_error" and not _OTHER_THINGS.search(message)
        return "model_not_found" if named or "model" in message.lower() else "invalid_request"
    if kind in _TYPES:
        return _TYPES[kind]
    return _by_status(status)


def _by_status(status: int | None) -> ErrorClass:
    if status is None or status >= 500:
        return "server_error"
    if status in _STATUSES:
        return _STATUSES[status]
    if 400 <= status < 500:
        return "invalid_request"
    return "server_error" if status == 200 else "other"


# ---- reading bodies


def _read_body(body: bytes) -> _Report:
    value = _loads(body)
    if not isinstance(value, dict):
        return _Report(plain_text(value if isinstance(value, str) else body.decode("utf-8", "replace")))
    found = cast("dict[str, Any]", value)
    fallback = next((found[name] for name in ("message", "detail", "error_description") if isinstance(found.get(name), str)), "")
    return _read_error(found.get("error"), fallback, _text(found.get("request_id")) or None)


def _read_error(error: Any, fallback: str, request_id: str | None) -> _Report:
    if isinstance(error, str):
        return _Report(plain_text(error), request_id=request_id)
    if not isinstance(error, dict):
        return _Report(plain_text(fallback), request_id=request_id)
    found = cast("dict[str, Any]", error)
    details = found.get("details")
    code: Any = cast("dict[str, Any]", details).get("error_code") if isinstance(details, dict) else None
    number = found.get("code")
    return _Report(
        plain_text(_text(found.get("message")) or fallback),
        _text(found.get("type")),
        _text(code) or _text(number),
        _status_in(number),
        request_id,
    )


def _status_in(code: Any) -> int | None:
    """An HTTP status that gateways put into `code`."""
    text = str(code)
    return int(text) if len(text) == 3 and text.isdecimal() and text.isascii() and 400 <= int(text) < 600 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _loads(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_PAGE = re.compile(r"<(?:!doctype|html|head|body)\b", re.I)
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.I | re.S)
_TITLE = re.compile(r"<title[^<>]*>([^<>]*)</title", re.I)
_TAG = re.compile(r"<[^<>]*>")
_MAX_PAGE_CHARS = 8_192


def plain_text(text: str) -> str:
    """A provider's words without markup, on one line where they were a page, bounded."""
    if _PAGE.search(text[:_MAX_PAGE_CHARS]):
        page = text[:_MAX_PAGE_CHARS]
        title = _TITLE.search(page)
        words = f"{title[1] if title else ''} {_TAG.sub(' ', _UNSEEN.sub(' ', page))}"
        text = " ".join(html.unescape(words).replace("<", " ").replace(">", " ").split())
    text = "".join(char if char.isprintable() or char in "\n\t" else " " for char in text[: limits.MAX_PROVIDER_MESSAGE_CHARS])
    return text.strip()


def _numeric_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, where the headers say them as a number; dates need a clock, which the adapter has."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None
