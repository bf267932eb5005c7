"""Markers for the prompt cache on content parts, as some relatives of the wire take them.

`{"cache_control": {"type": "ephemeral"}}` on a text part: at most four in a request, of which the last count; a prefix below
the model's minimum isn't cached, so none is spent there. On the system message, which comes after the tools, and where a
client asks for one. https://www.alibabacloud.com/help/en/model-studio/context-cache,
https://openrouter.ai/docs/guides/features/prompt-caching (2026-11-20)
"""

from typing import Any, Literal, NamedTuple

from modeld_protocol.request import Cache

from ...spec import ModelSpec
from ..notes import Notes
from .types import ChatMessage

MAX_MARKERS = 4
_CHARS_PER_TOKEN = 4  # errs towards marking: a marker too many costs nothing
_DEFAULT_MIN_TOKENS = 1_024


class Marked(NamedTuple):
    """How many markers were set, and their lifetime."""

    markers: int = 0
    ttl: Literal["5m", "1h"] | None = None


def takes_markers(cache: Cache | None, model: ModelSpec) -> bool:
    """Whether this request gets markers at all."""
    wanted = model.quirks.cache_markers
    mode = cache.mode if cache is not None else "auto"
    return mode != "off" and (wanted == "always" or (wanted == "asked" and mode == "explicit"))


def mark(messages: list[ChatMessage], asked: list[ChatMessage], tools_chars: int, request: Cache | None, model: ModelSpec,
         notes: Notes) -> Marked:  # fmt: skip
    """Mark the system message and those that clients asked for; `tools_chars` is the size of the tools before them."""
    ttl = request.ttl if request is not None else None
    if ttl is not None and ttl not in model.quirks.cache_ttls:
        notes.add("parameter_ignored", "this model has no such cache lifetime; its own holds", "cache.ttl")
        ttl = None
    minimum = model.limits.min_cache_tokens
    min_chars = (_DEFAULT_MIN_TOKENS if minimum is None else minimum) * _CHARS_PER_TOKEN
    wanted = {id(message) for message in asked}
    worthy: list[ChatMessage] = []
    chars = tools_chars
    for place, message in enumerate(messages):
        chars += _size(message)
        is_system = place == 0 and message.role in ("system", "developer")
        if chars >= min_chars and (is_system or id(message) in wanted) and _last_text(message) is not None:
            worthy.append(message)
    if len(worthy) > MAX_MARKERS:
        notes.add(
            "parameter_adjusted", f"the last {MAX_MARKERS} of the cache markers count; the others were left out", "messages"
        )
    control: dict[str, Any] = {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}
    for message in worthy[-MAX_MARKERS:]:
        _mark(message, control)
    markers = min(len(worthy), MAX_MARKERS)
    return Marked(markers, (ttl or "5m") if markers else None)


def _last_text(message: ChatMessage) -> int | None:
    """Where the marker goes: the place of the last text part, 0 for plain text."""
    content = message.content
    if isinstance(content, list):
        return next((place for place in range(len(content) - 1, -1, -1) if content[place].get("type") == "text"), None)
    return 0 if content else None


def _mark(message: ChatMessage, control: dict[str, Any]) -> None:
    content, place = message.content, _last_text(message)
    parts: list[dict[str, Any]] = list(content) if isinstance(content, list) else [{"type": "text", "text": content}]
    if place is not None:
        parts[place] = {**parts[place], "cache_control": control}
    message.content = parts


def _size(message: ChatMessage) -> int:
    content = message.content
    if isinstance(content, list):
        return sum(len(str(part.get("text", ""))) for part in content)
    return len(content or "")
