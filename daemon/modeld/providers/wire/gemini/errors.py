"""Failures of the Gemini wire: google.rpc errors and anything else, one class.

https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193 (2026-11-20). A key that is not valid comes
as 400, an exhausted day as the same 429 as a full minute, and how long to wait stands in the body. What the body says
overrules the status; the rules are one table, the first that matches wins.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from modeld_protocol.errors import ErrorClass

from ...failure import ProviderFailure
from .loose import is_object, objects, parse_json

_MAX_TEXT_CHARS = 2_000
_MAX_EVIDENCE_CHARS = 16_384


class Report(NamedTuple):
    """What an error says. `message` is for people, `evidence` all of its words for the rules, `status` google.rpc's code."""

    message: str = ""
    status: str = ""
    evidence: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None


class _Rule(NamedTuple):
    error_class: ErrorClass
    pattern: re.Pattern[str]
    statuses: frozenset[int]


def _rule(error_class: ErrorClass, pattern: str, *statuses: int) -> _Rule:
    return _Rule(error_class, re.compile(pattern, re.IGNORECASE | re.DOTALL), frozenset(statuses))


_RULES: Final = (
    _rule(
        "context_overflow",
        r"input token count.{0,40}exceeds the maximum|exceeds? the (?:maximum )?(?:context|number of tokens)"
        r"|maximum context length|token limit (?:was |is )?exceeded",
        400, 413, 500,
    ),
    # Of the limits of a day or a month, no wait of seconds helps.
    _rule(
        "quota_exceeded",
        r"per_?(?:day|month)|spending (?:cap|limit)|credits? (?:are|is) depleted|insufficient (?:quota|funds)",
        429,
    ),
    _rule(
        "auth",
        r"api_?key_?(?:invalid|expired|service_blocked)|api key (?:not (?:valid|found)|expired)|invalid authentication"
        r"|user location is not supported",
        400,
    ),
    _rule("quota_exceeded", r"billing (?:is not enabled|must be enabled|account)|enable billing", 400),
    _rule("thinking_signature_invalid", r"thought[_ ]?signature", 400),
    _rule("invalid_request", r"\b(?:file|cached_?content)s?\b.{0,120}(?:not exist|not found)", 400, 403, 404),
    _rule(
        "content_filter",
        r"prohibited_content|violat\w+ .{0,40}(?:polic|guidelines)|blocked (?:by|for|due to) safety",
        400, 403,
    ),
    _rule("capability_mismatch", r"not enabled for|not support(?:ed)?\b|unsupported", 400),
)  # fmt: skip

_BY_RPC_STATUS: Final[dict[str, ErrorClass]] = {
    "INVALID_ARGUMENT": "invalid_request",
    "FAILED_PRECONDITION": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    "UNAUTHENTICATED": "auth",
    "PERMISSION_DENIED": "auth",
    "NOT_FOUND": "model_not_found",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "CANCELLED": "cancelled",
    "ABORTED": "server_error",
    "INTERNAL": "server_error",
    "UNAVAILABLE": "server_error",
    "DEADLINE_EXCEEDED": "server_error",
    "UNKNOWN": "server_error",
}
_BY_STATUS: Final[dict[int, ErrorClass]] = {
    401: "auth",
    402: "quota_exceeded",
    403: "auth",
    404: "model_not_found",
    408: "server_error",
    409: "server_error",
    413: "context_overflow",
    429: "rate_limit",
    499: "cancelled",
}

# What happened, and what to do about it.
_WORDS: Final[dict[ErrorClass, tuple[str, str]]] = {
    "rate_limit": ("the provider limits the rate of requests", "wait, or use another model"),
    "auth": ("the provider refused the key", "check the adapter's key, what it may use, and where it may be used"),
    "server_error": ("the provider failed", "try again, or use a fallback model"),
    "context_overflow": ("the request is longer than the model takes", "shorten the history or use a model with a larger window"),
    "invalid_request": ("the provider refused the request", "change what its message names"),
    "content_filter": ("the provider's content filter stopped the request", "change the input"),
    "model_not_found": ("the provider does not know the model", "check wire_name and base_url; model/discover lists models"),
    "quota_exceeded": ("the provider's quota or balance is used up", "raise it, or use another adapter"),
    "thinking_signature_invalid": ("the provider refused the reasoning in the history", "start the turn again without it"),
    "capability_mismatch": ("the model cannot do what the request asks for", "use another model or leave it out"),
    "cancelled": ("the provider says that the call was cancelled", "try again"),
}  # fmt: skip


def decode_failure(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    """The failure that an answer stands for; `status` below 400 for a body that is no answer. Never raises."""
    try:
        report = read_error(parse_json(body)[0])
    except ValueError:
        report = _read_text(body[:_MAX_EVIDENCE_CHARS].decode("utf-8", "replace"))
    failure = _failure(report, status if status >= 300 else report.http_status, status)
    failure.retry_after_seconds = _header_wait_s(headers) or report.retry_after_s
    failure.provider_request_id = headers.get("x-request-id") or headers.get("x-goog-request-id")
    return failure


def failure_in_answer(value: Any) -> ProviderFailure:
    """The failure in an answer with status 200; `value` is the chunk, parsed, or its `error` member."""
    report = read_error(value)
    failure = _failure(report, report.http_status, report.http_status)
    failure.retry_after_seconds = report.retry_after_s
    return failure


def _failure(report: Report, status: int | None, told_status: int | None) -> ProviderFailure:
    error_class = classify(report, status)
    what, next_step = _WORDS.get(error_class, _WORDS["server_error"])
    where = f" (HTTP {told_status})" if told_status else ""
    said = f": {report.message[:300]}" if report.message else ""
    return ProviderFailure(
        error_class, f"{what}{where}{said}; {next_step}", provider_status=told_status, provider_message=report.message or None
    )


def classify(report: Report, status: int | None) -> ErrorClass:
    """The class of an error; `status` is None where neither HTTP nor the body names one."""
    for rule in _RULES:
        if (status is None or status in rule.statuses) and rule.pattern.search(report.evidence):
            return rule.error_class
    if status is None or status < 300:
        return _BY_RPC_STATUS.get(report.status, "server_error")
    if status >= 500:
        return "server_error"
    return _BY_STATUS.get(status) or _BY_RPC_STATUS.get(report.status, "invalid_request")


# ---- reading bodies


def read_error(value: Any) -> Report:
    """What parsed JSON says: `{"error": {…}}`, a list of one of these, the inner object alone, a string."""
    if isinstance(value, list) and objects(value):
        value = objects(value)[0]
    if is_object(value) and "error" in value:
        value = value["error"]
    if isinstance(value, str):
        return _read_text(value)
    if not is_object(value):
        return Report()
    details = objects(value.get("details"))
    message, status = _one_line(value.get("message")), value.get("status")
    status = status if isinstance(status, str) else ""
    said = [message, status, *(text for detail in details for text in _words_of(detail))]
    code = value.get("code")
    http_status = code if isinstance(code, int) and 400 <= code < 600 else None
    return Report(message, status, "\n".join(said)[:_MAX_EVIDENCE_CHARS], http_status, _body_wait_s(details, message))


def _words_of(detail: dict[str, Any]) -> list[str]:
    """Reasons and the names of limits; documentation links prove nothing."""
    if "Help" in str(detail.get("@type", "")):
        return []
    found = [detail.get("reason")]
    for violation in objects(detail.get("violations")):
        found += [violation.get("quotaId"), violation.get("quotaMetric"), violation.get("subject")]
    return [text for text in found if isinstance(text, str)]


def _read_text(text: str) -> Report:
    """Plain text speaks for itself; of a page only the title is kept, and it proves nothing."""
    if text.lstrip()[:1] == "<" or "<html" in text[:2_000].lower():
        title = re.search(r"<title[^<>]*>([^<]{1,200})", text, re.IGNORECASE)
        return Report(_one_line(title[1]) if title else "")
    message = _one_line(text)
    return Report(message, "", message)


def _one_line(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in value[:_MAX_TEXT_CHARS]).strip()


# ---- how long to wait

_TOLD = re.compile(r"retry in (\d+(?:\.\d+)?)\s*(ms|s|m|h)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _header_wait_s(headers: Mapping[str, str]) -> float | None:
    return _seconds(headers.get("retry-after", ""))


def _body_wait_s(details: list[dict[str, Any]], message: str) -> float | None:
    """RetryInfo, as JSON writes a google.protobuf.Duration ("48s") or as an object; else what the message says."""
    for detail in details:
        delay = detail.get("retryDelay")
        if is_object(delay):
            delay = delay.get("seconds")
        found = _seconds(str(delay).removesuffix("s")) if delay is not None else None
        if found is not None:
            return found
    told = _TOLD.search(message)
    return float(told[1]) * _SECONDS[(told[2] or "s").lower()] or None if told else None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
