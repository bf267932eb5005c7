"""Failures of this wire: any status, any bytes, one class.

An error is `{"error": "text"}`, also in a line of a stream; the text is all there is to go by besides the status.
https://docs.ollama.com/api/errors (2026-11-20), server/routes.go and server/sched.go of github.com/ollama/ollama at fb307609.
The rules are one table; the first that matches wins.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from modeld_protocol.errors import ErrorClass

from ...failure import ProviderFailure
from ..loose_json import parse_json, whole_number

_MAX_TEXT_CHARS = 2_000


class Rule(NamedTuple):
    """Matches where the status is among `statuses` (None: any) and `pattern` is found in the text."""

    error_class: ErrorClass
    pattern: re.Pattern[str]
    statuses: frozenset[int | None] | None = None


def _rule(error_class: ErrorClass, pattern: str, *statuses: int | None) -> Rule:
    return Rule(error_class, re.compile(pattern, re.IGNORECASE), frozenset(statuses) or None)


RULES: Final[tuple[Rule, ...]] = (
    _rule("rate_limit", r"too many (?:concurrent )?requests|rate limit|usage limit", 429, None),
    _rule(
        "context_overflow",
        r"prompt too long|prompt is too long|prompt is longer than the context|exceeds the available context"
        r"|exceed(?:s|ed)? (?:the |its |max(?:imum)? )*(?:model's )?(?:max(?:imum)? )?context (?:length|size|window)"
        r"|input (?:length|tokens?) exceeds?|maximum context length",
    ),
    _rule("capability_mismatch", r"does not support|not supported by|missing data required for image input|does not have vision"),
    _rule(
        "model_not_found",
        r"\bmodel [`'\"]?[\w./:@-]+[`'\"]? (?:was |is )?not found|not found, try pulling|model not found|no such model"
        r"|pull model manifest|manifest.{0,80}file does not exist|page not found",
        400, 404, None,
    ),
    _rule("quota_exceeded", r"payment[ _]required|insufficient[ _](?:quota|balance|credits)|subscription", 402, 403, 429, None),
    _rule("auth", r"\bunauthori[sz]ed\b|invalid api key|not signed in|signin", 400, 401, 403, None),
    _rule("content_filter", r"content[ _]policy|safety system|moderation", 400, 403, 451, None),
    _rule(
        "invalid_request",
        r"invalid (?:think value|format|image|option|message|role|json|model name|character)|unknown (?:role|format)"
        r"|failed to (?:process|decode|load) image|cannot unmarshal",
        400, 422, 500, None,
    ),
)  # fmt: skip

_USELESS_TO_RETRY: Final = re.compile(
    r"requires more system memory|no longer compatible|unsupported (?:model|architecture)|unknown model architecture"
    r"|unable to load model|invalid file magic",
    re.IGNORECASE,
)

BY_STATUS: Final[dict[int, ErrorClass]] = {
    400: "invalid_request",
    401: "auth",
    402: "quota_exceeded",
    403: "auth",
    404: "model_not_found",
    405: "model_not_found",  # the address is another service's
    408: "server_error",
    413: "context_overflow",
    422: "invalid_request",
    429: "rate_limit",
    451: "content_filter",
    499: "other",
}

# What happened, and what to do about it.
WORDS: Final[dict[ErrorClass, tuple[str, str]]] = {
    "rate_limit": ("the provider limits the rate of requests", "wait, or use another model"),
    "auth": ("the provider wants a key, or refused it", "set the adapter's key, or sign in at the server with `ollama signin`"),
    "server_error": ("the model's server failed", "try again, or look into the server's log"),
    "context_overflow": (
        "the prompt is longer than the context window",
        "shorten the history, or raise num_ctx (provider_options, or limits.max_context_tokens of the model)",
    ),
    "invalid_request": ("the provider refused the request", "change what its message names"),
    "content_filter": ("the provider's content filter stopped the request", "change the input"),
    "model_not_found": (
        "the server does not have the model, or is another kind of server",
        "pull the model with `ollama pull`, or check wire_name and base_url; model/discover lists what there is",
    ),
    "quota_exceeded": ("the account's quota is used up", "raise it, or use another adapter"),
    "capability_mismatch": (
        "the model cannot do what the request asks for",
        "use another model or leave it out; for tools, the option tool_dialect puts them into the prompt",
    ),
    "other": ("the provider did not answer the request", "check base_url, or try again"),
}


class Report(NamedTuple):
    """What an error says: its text, and an HTTP status that it names."""

    text: str = ""
    status: int | None = None


def decode_failure(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    """The failure that an answer stands for; `status` below 400 for a body that is no answer. Never raises."""
    report = _read_body(body)
    failure = _failure(classify(status if status >= 300 else report.status, report.text), report.text, status)
    failure.retry_after_seconds = _retry_after_s(headers)
    failure.provider_request_id = headers.get("x-request-id") or headers.get("cf-ray")
    return failure


def failure_in_answer(data: bytes) -> ProviderFailure:
    """The failure in a line of a stream, or in a body with status 200, that has an error."""
    report = _read_body(data)
    return _failure(classify(report.status, report.text), report.text, report.status)


def classify(status: int | None, text: str) -> ErrorClass:
    """The class of an error. `status` is None where neither HTTP nor the body names one."""
    for rule in RULES:
        if (rule.statuses is None or status in rule.statuses) and rule.pattern.search(text):
            return rule.error_class
    if status is None or status >= 500 or status < 300:
        return "server_error"
    return BY_STATUS.get(status, "invalid_request" if status >= 400 else "other")


def _failure(error_class: ErrorClass, text: str, status: int | None) -> ProviderFailure:
    what, next_step = WORDS.get(error_class, WORDS["other"])
    where = f" (HTTP {status})" if status else ""
    said = f": {text[:300]}" if text else ""
    failure = ProviderFailure(
        error_class, f"{what}{where}{said}; {next_step}", provider_status=status, provider_message=text or None
    )
    if error_class == "server_error" and _USELESS_TO_RETRY.search(text):
        failure.retryable = False
    return failure


def _read_body(body: bytes) -> Report:
    if not body.strip():
        return Report()
    try:
        value, _ = parse_json(body)
    except ValueError:
        return Report(_plain(body[: 4 * _MAX_TEXT_CHARS].decode("utf-8", "replace")))
    return _read_error(value)


def _read_error(value: Any) -> Report:
    if isinstance(value, str):
        return Report(_plain(value))
    if not isinstance(value, dict):
        return Report()
    outer = cast("dict[str, Any]", value)
    inner = outer.get("error", outer.get("message", outer.get("detail")))
    status = _status(outer)
    if isinstance(inner, dict):
        held = cast("dict[str, Any]", inner)
        status = status or _status(held)
        inner = held.get("message") or held.get("error")
    text = _plain(inner) if isinstance(inner, str) else ""
    url = outer.get("signin_url")
    return Report(f"{text} ({url})" if isinstance(url, str) and url.startswith("https://") else text, status)


def _status(source: dict[str, Any]) -> int | None:
    numbers = (whole_number(source.get(name)) for name in ("StatusCode", "status_code", "status", "code"))
    return next((number for number in numbers if number is not None and 400 <= number < 600), None)


def _plain(text: str) -> str:
    """A text on one line; of a page only the title."""
    if "<html" in text[:_MAX_TEXT_CHARS].lower() or text.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
        text = title.group(1) if title else ""
    printable = "".join(char if char.isprintable() else " " for char in text[:_MAX_TEXT_CHARS])
    return " ".join(printable.split())


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, where the headers say them as a number; dates need a clock, which the adapter has."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
