"""What an answer says of its reasoning: text in one of several fields, and state that only its provider can read.

Where the model's provider wants it back, each block of reasoning says where it came from (`provider_raw`: `field`,
`reasoning_details`, `encrypted_content`), and `replay` puts it there again.
https://openrouter.ai/docs/use-cases/reasoning-tokens, https://api-docs.deepseek.com/guides/thinking_mode,
https://platform.minimax.io/docs/api-reference/text-openai-api (2026-11-20)
"""

from typing import Any, cast

from modeld_protocol.content import ProviderRaw

from ...assembler import Assembler
from .types import Delta

_TEXT_MEMBERS = {"reasoning.text": "text", "reasoning.summary": "summary"}
_MIN_SNAPSHOT_CHARS = 8  # a fragment that repeats less than that may well be the model's own stammer


class Thoughts:
    """The reasoning of one answer; `whole` for one that is not streamed."""

    __slots__ = ("_assembler", "_details", "_encrypted", "_kept", "_live", "_marked", "_so_far", "_told", "_whole", "plain")

    def __init__(self, assembler: Assembler, *, whole: bool) -> None:
        quirks = assembler.quirks
        self._assembler = assembler
        self._whole = whole
        self._kept = quirks.reasoning_history == "provider"
        self._so_far: dict[str, str] | None = {} if quirks.reasoning_snapshots and not whole else None
        self._marked: tuple[int, str] | None = None
        self._details: list[dict[str, Any]] = []
        self._encrypted = ""
        self._live = False
        self._told = True
        self.plain = False
        """Whether a field of its own has held reasoning."""

    def take(self, delta: Delta) -> bool:
        """The reasoning of one delta, or of a whole message. Returns whether there is state that `settle` has to tell."""
        thought = delta.reasoning_content or delta.reasoning or delta.thinking
        if thought:
            self.plain = True
            if self._so_far is not None:
                thought = self._fresh("plain", thought)
            if self._kept:
                self.add(thought, "reasoning_content" if delta.reasoning_content else "reasoning")
            else:
                self._assembler.thinking(thought)
        if delta.reasoning_details:
            self._take_details(delta.reasoning_details)
        if delta.encrypted_content and self._kept:
            self._encrypted += delta.encrypted_content
            self._told = False
        return not self._told

    def add(self, thought: str, field: str) -> None:
        """Text of reasoning that `field` held. The first piece of a block says so, for the way back."""
        if not thought:
            return
        content = self._assembler.content
        raw: ProviderRaw | None = None
        if self._kept and self._marked != (len(content), field):
            raw = {**self._assembler.origin, "field": field}
        self._assembler.thinking(thought, raw=raw)
        self._marked = (len(content), field)

    def _fresh(self, source: str, thought: str) -> str:
        """What a fragment adds, where it may be everything so far and a bit more."""
        assert self._so_far is not None
        known = self._so_far.get(source, "")
        if len(thought) >= len(known) >= _MIN_SNAPSHOT_CHARS and thought.startswith(known):
            thought = thought[len(known) :]
        self._so_far[source] = known + thought
        return thought

    def _take_details(self, details: list[Any]) -> None:
        """`reasoning_details` repeat the plain field in most frames: their text counts where that one is missing."""
        for detail in details:
            entry = cast("dict[str, Any]", detail) if isinstance(detail, dict) else {}
            member = "text" if entry.get("text") else "summary"
            text = entry.get(member)
            if isinstance(text, str) and self._so_far is not None:
                text = self._fresh(f"{entry.get('type')} {entry.get('index')}", text)
                entry = {**entry, member: text}
            if self._kept and entry:
                self._keep(entry)
            if not self.plain and isinstance(text, str):
                self.add(text, "reasoning_details")

    def _keep(self, entry: dict[str, Any]) -> None:
        if self._whole:
            self._details.append(entry)
        else:
            merge_detail(self._details, entry)
        self._told = self._live

    def settle(self, *, last: bool = False) -> None:
        """Tell the state that has come while the block of reasoning is open, or at the answer's end. The list stays the same
        object, so that what comes after is in it too."""
        assembler = self._assembler
        if self._told or not (last or assembler.open_kind == "thinking" or not (assembler.open_kind or assembler.content)):
            return
        self._told = True
        raw = assembler.origin
        if self._details:
            raw["reasoning_details"] = self._details
            self._live = True
        if self._encrypted:
            raw["encrypted_content"] = self._encrypted
        assembler.thinking("", raw=raw)


def merge_detail(details: list[dict[str, Any]], fragment: dict[str, Any]) -> None:
    """Add a fragment to the list: text goes on with the entry of its type, index and id, anything else is an entry."""
    member = _TEXT_MEMBERS.get(str(fragment.get("type")))
    known = next((entry for entry in reversed(details) if _goes_on(entry, fragment)), None) if member else None
    if known is None or member is None:
        if fragment not in details or member is not None:
            details.append(dict(fragment))
        return
    for name, value in fragment.items():
        if name == member and isinstance(value, str):
            known[name] = (known.get(name) or "") + value
        elif value is not None:
            known[name] = value


def _goes_on(entry: dict[str, Any], fragment: dict[str, Any]) -> bool:
    same = entry.get("type") == fragment.get("type") and entry.get("index") == fragment.get("index")
    ids = entry.get("id"), fragment.get("id")
    return same and (not all(ids) or ids[0] == ids[1])
