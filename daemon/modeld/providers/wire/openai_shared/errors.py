"""Failures of the OpenAI wires and of compatible servers: any status, any bytes, one class.

https://developers.openai.com/api/docs/guides/error-codes (2026-11-20). What a status says is overruled by what the body
says, because servers send exhausted balances as 429, token-per-minute limits as 413, and errors of all kinds in a 200.
The rules are one table; the first that matches wins.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from modeld_protocol.errors import ErrorClass

from ...failure import ProviderFailure
from .error_body import ErrorBody, parse_error_body, positive_number, read_error

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "cerebras-request-id", "msh-request-id", "trace-id", "apim-request-id")


class Rule(NamedTuple):
    """Matches where the status is among `statuses` (None: any) and `pattern` is found in the evidence."""

    error_class: ErrorClass
    pattern: re.Pattern[str]
    statuses: frozenset[int] | None = None


def _rule(error_class: ErrorClass, pattern: str, *statuses: int) -> Rule:
    return Rule(error_class, re.compile(pattern, re.IGNORECASE), frozenset(statuses) or None)


OVERFLOW = _rule(
    "context_overflow",
    r"context_length_exceeded|model_context_window_exceeded|request_too_large|prompt is too long|prompt too long"
    r"|exceeds? the (?:available )?context (?:window|size|length)|maximum context length (?:is|of)"
    r"|context window exceeds limit|reduce the length of the (?:messages|prompt|input)|exceeded model token limit"
    r"|input token length too long|range of input length should be|prompt exceeds max length"
    r"|input token count\W.{0,80}exceeds the maximum|longer than the model's context length"
    r"|larger than the maximum context|maximum (?:prompt|input|allowed) (?:token )?length|input is too long",
)

RULES: tuple[Rule, ...] = (
    # A limit per minute or day talks of lengths and tokens too: it goes before the overflow of a window.
    _rule("rate_limit", r"(?:tokens|requests) per (?:min(?:ute)?|day|second)\b|rate_limit_exceeded|rate limit exceeded"),
    OVERFLOW,
    # The model made a call or an answer that does not fit its schema: nobody's request is wrong, a second try may do.
    _rule("server_error", r"\b(?:tool_use_failed|json_validate_failed)\b"),
    _rule(
        "quota_exceeded",
        r"insufficient_quota|billing_hard_limit|exceeded_current_quota|insufficient[ _](?:account )?balance|spend_limit"
        r"|credit balance is too low|payment_required|arrearage|exceeded your current quota|out of credits",
    ),
    _rule("server_error", r"engine_overloaded|provider_overloaded|overloaded_error|\bslow_down\b|model is overloaded"),
    _rule(
        "rate_limit",
        r"rate_limit_error|rate_limit_reached|throttling|too many requests|-per-(?:min|day)\b|concurrency limit"
        r"|rate.?limited|just a moment|error 1015",
    ),
    _rule(
        "content_filter",
        r"content_filter|content_policy|content exists risk|invalid_prompt|(?:misalignment|bio|cyber)_policy"
        r"|data_inspection_failed|moderation|flagged"
        r"|violates (?:our )?usage (?:guidelines|polic)|safety_check|safety system|responsibleaipolicy|\brefusal\b",
        400, 403, 422, 451,
    ),
    _rule(
        "auth",
        r"invalid_api_key|incorrect api key|api key not valid|api_key_invalid|authentication_error|authentication fails"
        r"|permission_denied|you didn't provide an api key|invalid_authentication",
        400, 401, 403, 422,
    ),
    _rule(
        "model_not_found",
        r"model_not_found|deploymentnotfound|model_decommissioned|model not (?:exist|found)"
        r"|\bmodel[:'\"` ]+[\w./:@-]+['\"`]* (?:is |was )?(?:does not exist|not found|has been (?:deprecated|decommissioned))"
        r"|not a valid model|no endpoints found for|unknown model|invalid model\b",
        400, 404, 410, 422,
    ),
    _rule(
        "thinking_signature_invalid",
        r"invalid `?(?:thinking )?signature|thought_?signature|thinking.{0,40}signature|invalid_encrypted_content"
        r"|encrypted content .{0,300}could not be|\bitem (?:with id )?'[a-z]+_[^']*' (?:not found|of type)",
        400, 404,
    ),
    _rule(
        "invalid_request", r"no such file|previous_response_not_found|previous response with id|conversation with id", 400, 404
    ),
    _rule("capability_mismatch", r"not support(?:ed)?\b|unsupported|no endpoints found that support", 404),
)  # fmt: skip

BY_STATUS: dict[int, ErrorClass] = {
    400: "invalid_request",
    401: "auth",
    402: "quota_exceeded",
    403: "auth",
    404: "model_not_found",
    408: "server_error",
    409: "server_error",  # a lock at the provider: the official clients retry it
    413: "context_overflow",
    422: "invalid_request",
    429: "rate_limit",
    451: "content_filter",
    498: "rate_limit",  # flex capacity exceeded
    499: "other",
}

BY_TYPE: tuple[Rule, ...] = (  # for errors inside a 200, which name no status
    _rule(
        "invalid_request",
        r"invalid_request|unprocessable|bad_?request|precondition_failed|payload_too_large|data_residency"
        r"|(?:invalid|empty|unsupported|failed_to_download)_(?:base64_)?image|image_(?:too|parse|file)",
    ),
    _rule("auth", r"authentication|permission"),
    _rule("model_not_found", r"not_found"),
    _rule("content_filter", r"content_filter|content_policy|sensitive|moderation|refusal"),
    _rule("rate_limit", r"rate_limit"),
)


def _codes(error_class: ErrorClass, *codes: str) -> dict[str, ErrorClass]:
    return dict.fromkeys(codes, error_class)


# `error.code` as text of four digits: https://docs.z.ai/api-reference/api-code (2026-11-20).
BUSINESS_CODES: dict[str, ErrorClass] = {
    **_codes("auth", "1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1121", "1220"),
    **_codes("quota_exceeded", "1113", "1304", "1308", "1309", "1310", "1311"),
    **_codes("invalid_request", "1210", "1213", "1214", "1215"),
    **_codes("model_not_found", "1211", "1221", "1222"),
    **_codes("server_error", "1230", "1234"),
    "1261": "context_overflow",
    **_codes("content_filter", "1300", "1301"),
    **_codes("rate_limit", "1302", "1303", "1305"),
}

# `base_resp.status_code`: https://platform.minimax.io/docs/api-reference/errorcode (2026-11-20).
BASE_RESP_CODES: dict[str, ErrorClass] = {
    **_codes("server_error", "1000", "1001", "1013", "1024", "1033"),
    **_codes("rate_limit", "1002", "1039", "1041"),
    **_codes("auth", "1004", "2049"),
    **_codes("quota_exceeded", "1008", "2056"),
    **_codes("content_filter", "1026", "1027"),
    **_codes("invalid_request", "1042", "2013"),
}

# What happened, and what to do about it.
WORDS: dict[ErrorClass, tuple[str, str]] = {
    "rate_limit": ("the provider limits the rate of requests", "wait, or spread the calls over more time or models"),
    "auth": ("the provider refused the key", "check the adapter's key, and that it is for this base_url and model"),
    "server_error": ("the provider failed", "try again, or use a fallback model"),
    "network": ("the connection to the provider broke", "try again"),
    "context_overflow": ("the request is longer than the model takes", "shorten the history or use a model with a larger window"),
    "invalid_request": ("the provider refused the request", "change what its message names"),
    "content_filter": ("the provider's content filter stopped the request", "change the input"),
    "model_not_found": (
        "the provider does not know the model or the address",
        "check wire_name and base_url; model/discover lists models",
    ),
    "quota_exceeded": ("the provider's quota or balance is used up", "top it up, or use another adapter"),
    "thinking_signature_invalid": ("the provider refused the reasoning in the history", "start the turn again without it"),
    "capability_mismatch": ("the model cannot do what the request asks for", "use another model or leave it out"),
    "other": ("the provider did not answer the request", "check base_url, or try again"),
}


def decode_failure(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    """The failure that an answer stands for; `status` below 400 for a body that is no answer. Never raises."""
    found = parse_error_body(body)
    effective = status if status >= 300 else found.status
    failure = _failure(classify(effective, found), found, status)
    failure.retry_after_seconds = retry_after_s(headers, found)
    failure.provider_request_id = _request_id(headers) or found.request_id
    return failure


def failure_in_answer(value: Any) -> ProviderFailure:
    """The failure in an answer with status 200: `value` is the parsed frame or body, or its error member."""
    found = read_error(value)
    failure = _failure(classify(found.status, found), found, found.status)
    failure.retry_after_seconds = retry_after_s({}, found)
    failure.provider_request_id = found.request_id
    return failure


def _failure(error_class: ErrorClass, found: ErrorBody, status: int | None) -> ProviderFailure:
    what, next_step = WORDS.get(error_class, WORDS["other"])
    where = f" (HTTP {status})" if status else ""
    said = f": {found.message[:300]}" if found.message else ""
    return ProviderFailure(
        error_class,
        f"{what}{where}{said}; {next_step}",
        provider_status=status,
        provider_message=found.message or None,
    )


def classify(status: int | None, found: ErrorBody) -> ErrorClass:
    """The class of an error. `status` is None where neither HTTP nor the body names one."""
    known = _class_of_code(found.business_code)
    if known is not None and known != "invalid_request":
        return known
    for rule in RULES:  # a code that says no more than that the request is wrong leaves the rest to the words
        if (rule.statuses is None or status is None or status in rule.statuses) and rule.pattern.search(found.evidence):
            return rule.error_class
    if known is not None:
        return known
    return _class_of_type(found.codes) if status is None else _class_of_status(status)


def _class_of_code(code: str | None) -> ErrorClass | None:
    table, _, number = (code or "").partition(":")
    return (BASE_RESP_CODES if table == "base_resp" else BUSINESS_CODES).get(number)


def _class_of_type(codes: str) -> ErrorClass:
    for rule in BY_TYPE:
        if rule.pattern.search(codes):
            return rule.error_class
    return "server_error"


def _class_of_status(status: int) -> ErrorClass:
    if status >= 500 or status < 300:
        return "server_error"
    return BY_STATUS.get(status, "invalid_request" if status >= 400 else "other")


# ---- retry-after and request ids

_WAIT = re.compile(
    r"(?:try again|retry|available) (?:in|after) (?:about )?((?:\d+(?:\.\d+)?\s*(?:ms|h|m|s)[a-z]*\s*)+)", re.IGNORECASE
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def retry_after_s(headers: Mapping[str, str], found: ErrorBody) -> float | None:
    """How long the provider asks to wait: numbers in headers, then what the body says. Dates are the adapter's business,
    which has a clock; a moment in the body counts from the answer's own Date."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        number = positive_number(headers.get(name))
        if number is not None:
            return number * unit_s
    if headers.get("retry-after"):
        return None
    if found.reset_epoch_ms is not None:
        return _until(found.reset_epoch_ms / 1000, headers.get("date"))
    told = _WAIT.search(found.message)
    if told is None:
        return None
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in _SPAN.findall(told.group(1))) or None


def _until(moment_s: float, date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        wait_s = moment_s - parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return wait_s if wait_s > 0 else None


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)
