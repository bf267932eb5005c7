"""Splits reasoning off content that begins with <think>…</think>, as it streams: a tag may be cut anywhere.

Seen of open models behind servers that don't parse them, and of platform.minimax.io/docs/api-reference/text-openai-api
(2026-11-20). Only the beginning of an answer counts: later on the tag is what somebody writes about.
"""

from typing import Literal

OPEN, CLOSE = "<think>", "</think>"


class ThinkTags:
    """The beginning of one answer's content. `done` once all that follows is plain text."""

    __slots__ = ("_pending", "_shown", "_state")

    def __init__(self) -> None:
        self._state: Literal["before", "inside", "after"] = "before"
        self._pending = ""
        self._shown = False

    @property
    def done(self) -> bool:
        """Whether nothing more will be split off."""
        return self._state == "after"

    def feed(self, text: str) -> tuple[str, str]:
        """Reasoning and text in a piece of content; what may still turn out to be a tag is held back."""
        self._pending += text
        if self._state == "before":
            begun = self._pending.lstrip()
            if OPEN.startswith(begun):
                if begun != OPEN:
                    return "", ""
            elif not begun.startswith(OPEN):
                return "", self._rest()
            self._state = "inside"
            self._pending = begun[len(OPEN) :]
        return self._inside() if self._state == "inside" else ("", self._rest())

    def end(self) -> tuple[str, str]:
        """What was held back, as the reasoning or text that it is."""
        inside = self._state == "inside"
        held = self._rest()
        if inside:
            return (held if self._shown or held.strip() else ""), ""
        return "", held

    def _inside(self) -> tuple[str, str]:
        thought, tag, text = self._pending.partition(CLOSE)
        if tag:
            self._state, self._pending = "after", ""
            return (thought if self._shown or thought.strip() else ""), text
        held = next((size for size in range(len(CLOSE) - 1, 0, -1) if thought.endswith(CLOSE[:size])), 0)
        told = thought[: len(thought) - held]
        if not self._shown and not told.strip():
            return "", ""  # an empty pair of tags says that the model did not think
        self._shown = True
        self._pending = thought[len(told) :]
        return told, ""

    def _rest(self) -> str:
        self._state = "after"
        rest, self._pending = self._pending, ""
        return rest
