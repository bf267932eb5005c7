"""Failures of the Chat Completions wire and of its compatible servers: any status, any bytes, one class.

https://developers.openai.com/api/docs/guides/error-codes (2026-11-20). What a status says is overruled by what the body
says, because servers send exhausted balances as 429, token-per-minute limits as 413, and errors of all kinds in a 200.
The rules are one table; the first that matches wins.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from modeld_protocol.errors import ErrorClass

from ...failure import ProviderFailure
from .loose import parse_json

_MAX_TEXT_CHARS = 2_000
_MAX_EVIDENCE_CHARS = 16_384
_MAX_RELAYS = 2  # a router behind a router; more is somebody's joke
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "cerebras-request-id", "msh-request-id", "trace-id", "apim-request-id")


class ErrorBody(NamedTuple):
    """What an error body says. `message` is for people; `evidence` is all of its text, for the rules; `codes` are its
    codes and types alone; `status` is an HTTP status that the body names."""

    message: str = ""
    codes: str = ""
    evidence: str = ""
    status: int | None = None
    business_code: str | None = None
    request_id: str | None = None
    reset_epoch_ms: float | None = None


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
    _rule("rate_limit", r"tokens per (?:minute|day)|requests per (?:minute|day|second)|rate_limit_exceeded|rate limit exceeded"),
    OVERFLOW,
    # The model made a call or an answer that does not fit its schema: nobody's request is wrong, a second try may do.
    _rule("server_error", r"\b(?:tool_use_failed|json_validate_failed)\b"),
    _rule(
        "quota_exceeded",
        r"insufficient_quota|billing_hard_limit|exceeded_current_quota|insufficient[ _](?:account )?balance|spend_limit"
        r"|credit balance is too low|payment_required|arrearage|exceeded your current quota|out of credits",
    ),
    _rule("server_error", r"engine_overloaded|provider_overloaded|overloaded_error|\bslow_down\b|model is overloaded"),
    _rule("rate_limit", r"rate_limit_error|rate_limit_reached|throttling|too many requests|-per-(?:min|day)\b|concurrency limit"),
    _rule(
        "content_filter",
        r"content_filter|content_policy|invalid_prompt|misalignment_policy|data_inspection_failed|moderation|flagged"
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
    _rule("capability_mismatch", r"not support(?:ed)?\b|unsupported|no endpoints found that support", 404),
    _rule("thinking_signature_invalid", r"invalid `?(?:thinking )?signature|thought_?signature|thinking.{0,40}signature", 400),
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
    _rule("invalid_request", r"invalid_request|unprocessable|bad_?request|precondition_failed|payload_too_large"),
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
    if found.business_code is not None:
        table, _, code = found.business_code.partition(":")
        codes = BASE_RESP_CODES if table == "base_resp" else BUSINESS_CODES
        known = codes.get(code)
        if known is not None and not (known == "invalid_request" and OVERFLOW.pattern.search(found.evidence)):
            return known
    for rule in RULES:
        if (rule.statuses is None or status is None or status in rule.statuses) and rule.pattern.search(found.evidence):
            return rule.error_class
    return _class_of_type(found.codes) if status is None else _class_of_status(status)


def _class_of_type(codes: str) -> ErrorClass:
    for rule in BY_TYPE:
        if rule.pattern.search(codes):
            return rule.error_class
    return "server_error"


def _class_of_status(status: int) -> ErrorClass:
    if status >= 500 or status < 300:
        return "server_error"
    return BY_STATUS.get(status, "invalid_request" if status >= 400 else "other")


# ---- reading bodies


def parse_error_body(body: bytes) -> ErrorBody:
    """Whatever a failed answer's body says: JSON in any of its shapes, a page, plain text, nothing."""
    if not body.strip():
        return ErrorBody()
    try:
        value, _ = parse_json(body)
    except ValueError:
        return _read_text(body[:_MAX_EVIDENCE_CHARS].decode("utf-8", "replace"))
    return read_error(value)


def _read_text(text: str) -> ErrorBody:
    """Plain text speaks for itself; of a page only the title is kept, and it proves nothing."""
    if "<html" in text[:2_000].lower() or text.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
        return ErrorBody(" ".join(title.group(1).split()) if title else "")
    text = " ".join(text.split())[:_MAX_TEXT_CHARS]
    return ErrorBody(text, "", text)


def read_error(value: Any, depth: int = 0) -> ErrorBody:
    """An error from parsed JSON: `{"error": …}`, flat, `{"detail": …}`, `{"base_resp": …}`, a list of one, a string.
    `depth` counts the providers behind providers whose errors were unwrapped."""
    if isinstance(value, list) and value:
        value = cast("list[Any]", value)[0]
    if not isinstance(value, dict):
        text = value[:_MAX_TEXT_CHARS] if isinstance(value, str) else ""
        return ErrorBody(text, "", text)
    outer = cast("dict[str, Any]", value)
    inner = _inner(outer)
    metadata = _object(inner.get("metadata"))
    raw = _raw(metadata.get("raw"), depth + 1)
    names = ("code", "type", "status", "param")
    codes = "\n".join(str(v) for v in [*(inner.get(n) for n in names), metadata.get("error_type"), raw.codes] if v is not None)
    message = _message(inner)
    if raw.message:
        message = f"{message}: {raw.message}" if message else raw.message
    return ErrorBody(
        message[:_MAX_TEXT_CHARS],
        codes,
        f"{codes}\n{message}\n{raw.evidence}"[:_MAX_EVIDENCE_CHARS],
        _status(inner) or _status(outer),
        _business_code(inner, outer),
        _text(outer.get("request_id")) or _text(inner.get("request_id")),
        _reset_epoch_ms(metadata),
    )


def _inner(outer: dict[str, Any]) -> dict[str, Any]:
    """The object that holds message and codes, whatever it is wrapped in."""
    for name in ("error", "detail", "errors", "base_resp"):
        held = outer.get(name)
        if isinstance(held, list) and held:
            held = cast("list[Any]", held)[0]
        if isinstance(held, dict) and held:
            return {**cast("dict[str, Any]", held), **({"type": outer["type"]} if "type" in outer and "type" not in held else {})}
        if isinstance(held, str) and held:
            return {"code": outer.get("code"), "type": outer.get("type"), "message": _told(held, outer.get("message"))}
    return outer


def _told(held: str, message: Any) -> str:
    return f"{held}: {message}" if isinstance(message, str) and message and message != held else held


def _message(inner: dict[str, Any]) -> str:
    for name in ("message", "msg", "status_msg", "error_msg", "error", "detail", "title", "reason"):
        text = inner.get(name)
        text = _object(text).get("message", text)
        if isinstance(text, str) and text.strip():
            return text.strip()
    return ""


def _raw(raw: Any, depth: int) -> ErrorBody:
    """A router's copy of what the provider behind it said, as text or as JSON."""
    if depth > _MAX_RELAYS or not raw:
        return ErrorBody()
    if not isinstance(raw, str):
        return read_error(raw, depth)
    if raw.lstrip()[:1] == "{":
        try:
            return read_error(parse_json(raw.encode("utf-8", "replace"))[0], depth)
        except ValueError:
            pass
    return _read_text(raw)


def _status(source: dict[str, Any]) -> int | None:
    """A number like an HTTP status among an error's codes."""
    for name in ("code", "status_code", "status"):
        text = str(source.get(name))
        if len(text) == 3 and text.isascii() and text.isdigit() and 400 <= int(text) < 600:
            return int(text)
    return None


def _business_code(inner: dict[str, Any], outer: dict[str, Any]) -> str | None:
    if isinstance(outer.get("base_resp"), dict):
        return f"base_resp:{inner.get('status_code')}"
    code = inner.get("code")
    return f"code:{code}" if isinstance(code, str) and len(code) == 4 and code.isdigit() else None


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


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
        number = _positive(headers.get(name))
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


def _positive(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if number > 0 and math.isfinite(number) else None


def _until(moment_s: float, date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        wait_s = moment_s - parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return wait_s if wait_s > 0 else None


def _reset_epoch_ms(metadata: dict[str, Any]) -> float | None:
    reset = _positive(_object(metadata.get("headers")).get("X-RateLimit-Reset"))
    return reset if reset is not None and reset > 1e12 else None


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)
