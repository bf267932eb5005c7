"""Reasoning on its way back to the provider that made it, where that wants it: as it came, in the field that it came in.

Never to another provider (or, where it is bound to one, another model): what a foreign model thought is left out with a
warning. What the provider's own rules leave out (turns without tool calls, thinking turned off) goes without one.
"""

from typing import Any, cast

from modeld_protocol.content import ProviderRaw, RedactedThinkingBlock, ThinkingBlock

from ...spec import ModelSpec
from ..notes import Notes
from .think_tags import CLOSE, OPEN
from .types import ChatMessage, RelatedMessage

FILLER = " "  # what clients send where the field is required and nothing is known; the empty text is refused by some
_FIELDS = ("reasoning_content", "reasoning")
_ReasoningBlock = ThinkingBlock | RedactedThinkingBlock


class Replay:
    """What becomes of the reasoning of one history. `active`: the model will think; `off`: it was told not to. All that it does
    depends on the model, on these `conditions`, and on whether the turn of the user that runs has called tools."""

    def __init__(self, model: ModelSpec, notes: Notes, *, active: bool, off: bool) -> None:
        quirks = model.quirks
        self._model = model
        self.notes = notes
        self._as_text = quirks.reasoning_history == "text"
        self._as_state = quirks.reasoning_history == "provider"
        self._goes = self._as_state and not off
        self._tools_only = quirks.reasoning_turns == "tools"
        self._required = quirks.reasoning_required if active else None
        self.in_tool_turn = False
        self.conditions = (active, off)

    def next_turn(self) -> None:
        """The user speaks: the turn before is closed."""
        self.in_tool_turn = False

    def lead(self, blocks: list[tuple[_ReasoningBlock, str]], message: ChatMessage | None, *, calls: bool) -> ChatMessage | None:
        """An assistant's message with its reasoning (each block with its path); None where it says nothing at all."""
        self.in_tool_turn = self.in_tool_turn or calls
        if not blocks and self._required is None:
            return message
        states = [raw for block, path in blocks if (raw := self._own(block, path)) is not None]
        if self._as_text:
            return _with_prefix(message, "".join(_quoted(block) for block, _ in blocks))
        if states and self._goes and (self.in_tool_turn or not self._tools_only):
            message = _with_states(message, states)
        if message is not None and self._required is not None and self.in_tool_turn and not _has_reasoning(message):
            message = related(message)
            setattr(message, self._required, FILLER)
        return message

    def _own(self, block: _ReasoningBlock, path: str) -> tuple[str, ProviderRaw] | None:
        """The block's text and state, None where it is not for this provider and model."""
        if self._as_text:
            return None
        if not self._as_state:
            self.notes.add("content_dropped", "this wire has no field for reasoning; it was left out", path)
            return None
        raw = block.provider_raw or {}
        model, quirks = self._model, self._model.quirks
        if raw.get("provider") != model.provider_type:
            self.notes.add("content_dropped", "another provider's reasoning can't be sent here; it was left out", path)
            return None
        if quirks.reasoning_bound_to_model and raw.get("model") != model.wire_name:
            self.notes.add("content_dropped", "another model's reasoning can't be sent to this one; it was left out", path)
            return None
        return (block.text if isinstance(block, ThinkingBlock) else ""), raw


def related(message: ChatMessage) -> RelatedMessage:
    """The message, with room for what only relatives of the wire have."""
    if isinstance(message, RelatedMessage):
        return message
    return RelatedMessage(message.role, message.content, message.refusal, message.tool_calls, message.tool_call_id)


def _with_states(message: ChatMessage | None, states: list[tuple[str, ProviderRaw]]) -> ChatMessage | None:
    """Details where there are any, since they hold the text too; else each text in its field."""
    details = [entry for _, raw in states for entry in _entries(raw)]
    if not details:
        tagged = "".join(text for text, raw in states if raw.get("field") == "content")
        message = _with_prefix(message, f"{OPEN}{tagged}{CLOSE}" if tagged else "")
    if message is None:
        return None
    message = related(message)
    encrypted = [raw["encrypted_content"] for _, raw in states if isinstance(raw.get("encrypted_content"), str)]
    if encrypted:
        message.encrypted_content = encrypted[-1]
    if details:
        message.reasoning_details = details
        return message
    for field in _FIELDS:
        text = "".join(text for text, raw in states if raw.get("field") == field)
        if text:
            setattr(message, field, text)
    return message


def _entries(raw: ProviderRaw) -> list[Any]:
    entries = raw.get("reasoning_details")
    return cast("list[Any]", entries) if isinstance(entries, list) else []


def _with_prefix(message: ChatMessage | None, prefix: str) -> ChatMessage | None:
    if not prefix:
        return message
    if message is None:
        return ChatMessage("assistant", prefix)
    message.content = prefix + (message.content if isinstance(message.content, str) else "")
    return message


def _quoted(block: _ReasoningBlock) -> str:
    return f"<thinking>\n{block.text}\n</thinking>\n\n" if isinstance(block, ThinkingBlock) and block.text else ""


def _has_reasoning(message: ChatMessage) -> bool:
    return isinstance(message, RelatedMessage) and any(isinstance(getattr(message, field), str) for field in _FIELDS)
