"""The history as input items of the Responses wire.

Every block is an item of its own, in its order: reasoning, what was said, calls, and what the provider's own tools did. What
the provider made goes back unchanged, to the model that made it and to nobody else; reasoning stands directly before the item
that it led to, for alone it is refused. Ids of messages and calls are not sent: calls pair by `call_id`, and an id without the
reasoning before it would be refused too. https://developers.openai.com/api/docs/guides/reasoning (2026-11-20)
"""

from typing import Any, cast

from modeld_protocol.content import (
    AudioBlock,
    Block,
    FileBlock,
    ImageBlock,
    JsonBlock,
    Message,
    OpaqueBlock,
    ProviderRaw,
    RedactedThinkingBlock,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

from ...assembler import parse_arguments
from ...failure import ProviderFailure
from ...spec import ModelSpec
from ...tool_ids import wire_tool_id
from ..memory import Memory, encode_history
from ..notes import Notes
from ..openai_shared.words import BETWEEN, drop_block, json_text, system_words, text_of
from .body import dump_body
from .parts import Part, encode_media, encode_text
from .types import CallItem, InputItem, MessageItem, ResultItem

_MEDIA = (ImageBlock, AudioBlock, FileBlock)


class InputEncoder:
    """Encodes the messages of one request. `stored`: the provider keeps what it says, so that ids alone are enough."""

    def __init__(self, model: ModelSpec, notes: Notes, *, stored: bool = False) -> None:
        self._model = model
        self._notes = notes
        self._stored = stored
        self._owners = (model.provider_type, model.provider)
        self._items: list[InputItem] = []

    def encode(
        self, system_prompt: str | None, given: str | list[Message], memory: Memory | None = None
    ) -> tuple[str, list[bytes], list[InputItem]]:
        """Instructions ("" for none), the first input items as JSON already (see `..memory`), and the others. Raises
        ProviderFailure for blocks where this wire can't have them."""
        messages = [Message("user", given)] if isinstance(given, str) else given
        anywhere = self._model.quirks.mid_conversation_system
        notes = self._notes
        instructions, start = system_words(system_prompt, messages, notes, anywhere=anywhere)
        self._notes = Notes()
        beginning = encode_history(self, messages, start, memory, (self._stored,))
        notes.extend(self._notes)
        return instructions, beginning, self._items

    def freeze(self) -> tuple[bytes, Any] | None:
        """See HistoryEncoder. The last item stays: it may be what the model is to go on with."""
        if not self._items:
            return None
        frozen, self._items = dump_body(self._items[:-1]), self._items[-1:]
        return frozen, (self._items[-1], self._notes.copy())

    def go_on(self, state: Any) -> None:
        """See HistoryEncoder."""
        last, notes = state
        self._items = [last]
        self._notes.extend(notes)

    def add(self, messages: list[Message], start: int, end: int) -> None:
        """See HistoryEncoder."""
        items = self._items
        run = _Run()
        for number in range(start, end):
            message = messages[number]
            if message.role != "assistant":
                self._encode_input(message, number, run)
                continue
            run.move_to(items)
            self._encode_answer(message, number, items)
        run.move_to(items)

    def _own(self, raw: ProviderRaw | None) -> ProviderRaw:
        """Opaque state that this provider made; empty where it is another's."""
        return raw if raw is not None and raw.get("provider") in self._owners else {}

    def _own_item(self, raw: ProviderRaw | None) -> dict[str, Any]:
        """The output item in opaque state; empty where it is another provider's, or another model's and bound to it."""
        state = self._own(raw)
        item = state.get("item")
        if not isinstance(item, dict):
            return {}
        if self._model.quirks.reasoning_bound_to_model and state.get("model") not in (None, self._model.wire_name):
            return {}
        return cast("dict[str, Any]", item)

    # ---- user, tool and later system messages

    def _encode_input(self, message: Message, number: int, run: "_Run") -> None:
        content = message.content
        if message.role == "system":
            if self._model.quirks.mid_conversation_system:
                text = text_of(message, number, self._notes)
                run.others.append(MessageItem(self._model.quirks.system_role, text))
        elif isinstance(content, str):
            if message.role == "tool":
                raise ProviderFailure(
                    "invalid_request", f"messages[{number}]: a tool message holds tool_result blocks, not text; put it into one"
                )
            run.others.append(MessageItem("user", content))
        elif len(content) == 1 and isinstance(content[0], TextBlock):
            run.others.append(MessageItem("user", content[0].text))
        else:
            self._encode_parts(content, number, run)

    def _encode_parts(self, blocks: list[Block], number: int, run: "_Run") -> None:
        parts: list[Part] = []
        results = len(run.results)
        for place, block in enumerate(blocks):
            path = f"messages[{number}].content[{place}]"
            if isinstance(block, ToolResultBlock):
                run.results.append(self._encode_result(block, path))
            elif isinstance(block, ToolUseBlock):
                raise ProviderFailure("invalid_request", f"{path}: tool_use belongs into an assistant message; move it there")
            else:
                part = self._encode_part(block, path)
                if part is not None:
                    parts.append(part)
        if parts:
            run.others.append(MessageItem("user", parts))
        elif len(run.results) == results:
            run.others.append(MessageItem("user", ""))

    def _encode_part(self, block: Block, path: str) -> Part | None:
        if isinstance(block, TextBlock | RefusalBlock):
            return encode_text(block.text)
        if isinstance(block, JsonBlock):
            return encode_text(json_text(block.value))
        if isinstance(block, _MEDIA):
            return encode_media(block, path, self._notes)
        drop_block(block, path, self._notes)
        return None

    def _encode_result(self, block: ToolResultBlock, path: str) -> ResultItem:
        content = block.content
        output = content if isinstance(content, str) else self._result_output(content, path)
        if block.is_error:
            self._notes.add("content_projected", "this wire has no is_error; the result's text says so", path)
            output = f"Error: {output}".removesuffix(": ") if isinstance(output, str) else [encode_text("Error:"), *output]
        return ResultItem(wire_tool_id(block.tool_use_id), output)

    def _result_output(self, blocks: Any, path: str) -> str | list[Part]:
        """Text where there is nothing but text."""
        parts: list[Part] = []
        for place, block in enumerate(blocks):
            part = self._encode_part(block, f"{path}.content[{place}]")
            if part is not None:
                parts.append(part)
        if all(part["type"] == "input_text" for part in parts):
            return BETWEEN.join(part["text"] for part in parts)
        return parts

    # ---- assistant messages

    def _encode_answer(self, message: Message, number: int, items: list[InputItem]) -> None:
        content = message.content
        if isinstance(content, str):
            if content:
                items.append(MessageItem("assistant", content))
            return
        turn = _Turn(items)
        for place, block in enumerate(content):
            path = f"messages[{number}].content[{place}]"
            if isinstance(block, TextBlock):
                self._encode_text(block, turn)
            elif isinstance(block, ToolUseBlock):
                turn.add(self._encode_call(block))
            elif isinstance(block, ThinkingBlock):
                self._encode_reasoning(block, path, turn)
            else:
                self._encode_other(block, path, turn)
        if turn.reasoning:
            path = f"messages[{number}]"
            self._notes.add("content_dropped", "reasoning that led to nothing can't be sent; it was left out", path)

    def _encode_text(self, block: TextBlock, turn: "_Turn") -> None:
        phase = self._own(block.provider_raw).get("phase")
        turn.say(block.text, phase if isinstance(phase, str) else None)

    def _encode_call(self, block: ToolUseBlock) -> InputItem:
        state = self._own(block.provider_raw)
        literal = state.get("arguments")
        if not isinstance(literal, str) or parse_arguments(literal) != block.input:
            literal = json_text(block.input)  # a client that changed the input means what it says
        call = CallItem(wire_tool_id(block.id), block.name, literal)
        more = state.get("item")
        if not isinstance(more, dict) or not more:
            return call
        plain = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        return {**cast("dict[str, Any]", more), **plain}

    def _encode_reasoning(self, block: ThinkingBlock, path: str, turn: "_Turn") -> None:
        item = self._own_item(block.provider_raw)
        if item.get("encrypted_content") or item.get("content") or (item and self._stored):
            turn.reasoning.append(item)
            return
        turn.incomplete = turn.incomplete or bool(item)
        self._notes.add("content_dropped", "reasoning is sent back only to the model that made it, with its state", path)

    def _encode_other(self, block: Block, path: str, turn: "_Turn") -> None:
        if isinstance(block, RefusalBlock):
            if block.text:
                turn.add(MessageItem("assistant", [{"type": "refusal", "refusal": block.text}]))
        elif isinstance(block, JsonBlock):
            turn.say(json_text(block.value), None)
        elif isinstance(block, OpaqueBlock):
            item = self._own_item(block.provider_raw)
            if item and item.get("status") != "in_progress" and not turn.incomplete:
                turn.add(item)
            else:
                message = "a provider's own block is sent back whole and to the model that made it, or not at all"
                self._notes.add("content_dropped", message, path)
        elif isinstance(block, RedactedThinkingBlock):
            self._notes.add("content_dropped", "redacted thinking of another provider isn't sent to this one", path)
        elif isinstance(block, ToolResultBlock):
            raise ProviderFailure("invalid_request", f"{path}: tool_result belongs into a tool or user message; move it there")
        else:
            drop_block(block, path, self._notes)


class _Run:
    """What stands between two assistant messages: results first, as they answer the calls before them, then everything else
    in its order."""

    __slots__ = ("others", "results")

    def __init__(self) -> None:
        self.results: list[InputItem] = []
        self.others: list[InputItem] = []

    def move_to(self, items: list[InputItem]) -> None:
        if self.results or self.others:
            items += self.results
            items += self.others
            self.results, self.others = [], []


class _Turn:
    """The items of one assistant message. `reasoning` waits for the item that it led to; `incomplete` once some of it could not
    be sent, for then the provider's own items that follow would be refused."""

    __slots__ = ("_items", "_open_text", "incomplete", "reasoning")

    def __init__(self, items: list[InputItem]) -> None:
        self._items = items
        self._open_text: MessageItem | None = None
        self.reasoning: list[InputItem] = []
        self.incomplete = False

    def add(self, item: InputItem) -> None:
        """An item, behind the reasoning that led to it."""
        if self.reasoning:
            self._items += self.reasoning
            self.reasoning = []
        self._items.append(item)
        self._open_text = None

    def say(self, text: str, phase: str | None) -> None:
        """Text. Without a phase it goes on with the text right before it, which was one text that was interrupted."""
        if not text:
            return
        before = self._open_text
        if before is not None and phase is None and not self.reasoning:
            before.content = f"{before.content}{text}"
            return
        item = MessageItem("assistant", text)
        self.add(item)
        if phase is None:
            self._open_text = item
        else:
            item.phase = phase
