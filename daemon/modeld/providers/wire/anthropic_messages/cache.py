"""Where cache markers go: automatically on tools and system, on messages where a client asks for it.

At most four in a request, in the order tools, system, messages; a prefix below the model's minimum is silently not cached,
so none is spent there. https://platform.claude.com/docs/en/build-with-claude/prompt-caching (2026-11-20)
"""

from bisect import bisect_left
from typing import Literal, NamedTuple

import msgspec

from modeld_protocol.request import Cache
from modeld_protocol.usage import Warning

from ...spec import ModelSpec
from .types import BlockParam, CacheControl, DocumentParam, ImageParam, MarkableParam, MessageParam, TextParam, ToolResultParam

MAX_MARKERS = 4
BYTES_PER_TOKEN = 4  # an estimate that errs towards marking: a marker too many costs nothing
DEFAULT_MIN_TOKENS = 1_024


class Unmarked(NamedTuple):
    """What of a history gets no marker any more: its size, and at which of its bytes the blocks end that asked for one."""

    size_bytes: int
    wanted_at: tuple[int, ...]

    def and_then(self, messages: list[MessageParam], wanted: list[MarkableParam]) -> "Unmarked":
        """With `messages` behind it, in which `wanted` are."""
        asked = {id(block) for block in wanted}
        size_bytes, wanted_at = self.size_bytes, list(self.wanted_at)
        for message in messages:
            for block in [message.content] if isinstance(message.content, str) else message.content:
                size_bytes += _size(block)
                if id(block) in asked:
                    wanted_at.append(size_bytes)
        return Unmarked(size_bytes, tuple(wanted_at))

    def worthy(self, from_bytes: int) -> int:
        """How many of the blocks that asked end at `from_bytes` or behind."""
        return len(self.wanted_at) - bisect_left(self.wanted_at, from_bytes)


class CachePlan:
    """Counts the markers of one request and knows when a prefix is worth one."""

    def __init__(self, cache: Cache | None, model: ModelSpec) -> None:
        able = model.capabilities.prompt_cache == "explicit"
        mode = cache.mode if cache else "auto"
        minimum = model.limits.min_cache_tokens
        self.markers = 0
        self.enabled = able and mode != "off"
        self.warnings: list[Warning] = []
        self.ttl: Literal["5m", "1h"] = (cache.ttl if cache else None) or "5m"
        self._explicit = self.enabled and mode == "explicit"
        self._control = CacheControl("1h" if self.ttl == "1h" else None)
        self._min_bytes = (DEFAULT_MIN_TOKENS if minimum is None else minimum) * BYTES_PER_TOKEN
        self._bytes = 0
        if mode == "explicit" and not able:
            self._warn("parameter_ignored", "this model takes no cache markers", "cache.mode")
        if cache and cache.key is not None:
            self._warn("parameter_ignored", "this provider has no cache keys; prefixes are found by their content", "cache.key")

    def mark_tools(self, tools_json: bytes) -> bytes:
        """The encoded tool list, with a marker on its last tool where that pays."""
        self._bytes += len(tools_json)
        if not self._pays():
            return tools_json
        self.markers += 1
        return b'%b,"cache_control":%b}]' % (tools_json[:-2], msgspec.json.encode(self._control))

    def mark_system(self, text: str) -> str | list[TextParam]:
        """The system prompt, with a marker where that pays."""
        self._bytes += len(text)
        if not self._pays():
            return text
        self.markers += 1
        return [TextParam(text, cache_control=self._control)]

    def mark_messages(self, messages: list[MessageParam], wanted: list[MarkableParam], before: "Unmarked") -> None:
        """Marks the blocks that clients asked for, the last ones where there are too many; none of what went `before`."""
        if not wanted or not self._explicit:
            return
        asked = {id(block) for block in wanted}
        worthy: list[MarkableParam] = []
        passed_over = before.worthy(self._min_bytes - self._bytes)
        self._bytes += before.size_bytes
        for message in messages:
            for block in [message.content] if isinstance(message.content, str) else message.content:
                self._bytes += _size(block)
                if id(block) in asked and self._bytes >= self._min_bytes:
                    worthy.append(block)  # pyright: ignore[reportArgumentType]  # only markable blocks are asked for
        room = MAX_MARKERS - self.markers
        for block in worthy[-room:]:
            block.cache_control = self._control
        self.markers += min(room, len(worthy))
        asking = passed_over + len(worthy)
        if asking > room:
            self._warn("parameter_adjusted", f"{asking} messages ask for a cache marker, the last {room} got one", "messages")

    def _pays(self) -> bool:
        return self.enabled and self._bytes >= self._min_bytes

    def _warn(self, code: str, message: str, path: str) -> None:
        self.warnings.append(Warning(code, message, path))


def _size(block: str | BlockParam) -> int:
    """About how many bytes a block is, without encoding what is large."""
    match block:
        case str():
            return len(block)
        case TextParam():
            return len(block.text)
        case ImageParam() | DocumentParam():
            return len(getattr(block.source, "data", ""))
        case ToolResultParam(content=content):
            return len(content) if isinstance(content, str) else sum(_size(part) for part in content or [])
        case _:
            return len(msgspec.json.encode(block))
