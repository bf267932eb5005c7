"""Reads the bodies of failed answers: JSON in any of its shapes, pages, plain text, nothing."""

import math
import re
from typing import Any, NamedTuple, cast

from ..loose_json import parse_json

_MAX_TEXT_CHARS = 2_000
_MAX_EVIDENCE_CHARS = 16_384
_THROTTLED = re.compile(r"too many requests|rate.?limit|just a moment|\b1015\b", re.IGNORECASE)
_MAX_RELAYS = 2  # a router behind a router; more is somebody's joke


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
    """Plain text speaks for itself; of a page only the title is kept, and it proves nothing but that a guard in front of the
    provider slows clients down, which is said with any status."""
    if "<html" in text[:2_000].lower() or text.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
        told = " ".join(title.group(1).split()) if title else ""
        return ErrorBody(told, "", told if _THROTTLED.search(told) else "")
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


def _reset_epoch_ms(metadata: dict[str, Any]) -> float | None:
    reset = positive_number(_object(metadata.get("headers")).get("X-RateLimit-Reset"))
    return reset if reset is not None and reset > 1e12 else None


def positive_number(text: Any) -> float | None:
    """A finite number above zero, from text or as it is."""
    try:
        number = float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number > 0 and math.isfinite(number) else None
