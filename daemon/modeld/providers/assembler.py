"""Assembles one answer: wires say what came, this makes the canonical events and the final content.

Invariants, whatever a wire says in whatever order: `message.start` first, one `message.complete` last, one end for every
tool start, `content_block_index` never falls, deltas together are the content. Blocks that a provider interleaves are put
in order by holding the later one back until the earlier one is whole.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from modeld_protocol.content import (
    Block,
    JsonBlock,
    OpaqueBlock,
    ProviderRaw,
    RedactedThinkingBlock,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from modeld_protocol.events import (
    Event,
    MessageComplete,
    MessageStart,
    TextDelta,
    ThinkingDelta,
    ToolUseEnd,
    ToolUseInputDelta,
    ToolUseStart,
)
from modeld_protocol.response import StopReason
from modeld_protocol.usage import Usage, Warning

from .tool_ids import canonical_tool_id

_Kind = Literal["text", "refusal", "thinking", "tool"]


class _Open:
    """The block that is being streamed."""

    __slots__ = ("explicit", "index", "key", "kind", "name", "parts", "raw", "tool_id")

    def __init__(self, kind: _Kind, key: object, index: int, explicit: bool) -> None:
        self.kind: _Kind = kind
        self.key = key
        self.index = index
        self.explicit = explicit
        self.parts: list[str] = []
        self.raw: ProviderRaw | None = None
        self.tool_id = ""
        self.name = ""


class Assembler:
    """One answer in the making. Wires call the verbs; the adapter takes `events` after every read.

    `key` names the provider's block: verbs with the same kind and key go on with the same block. `explicit` says that the
    wire ends this block with `close(key)`; without it a block ends when another begins (a tool call: once its arguments
    parse).
    """

    __slots__ = (
        "_cut_tool",
        "_held",
        "_open",
        "_tool_count",
        "completed",
        "content",
        "events",
        "message_id",
        "model_id",
        "provider",
        "raw",
        "served_model",
        "started",
        "stop_reason",
        "stop_sequence",
        "usage",
        "warnings",
    )

    def __init__(self, message_id: str, model_id: str, provider: str) -> None:
        self.message_id = message_id
        self.model_id = model_id
        self.provider = provider
        self.events: list[Event] = []
        self.content: list[Block] = []
        self.warnings: list[Warning] = []
        self.usage: Usage | None = None
        self.stop_reason: StopReason | None = None
        self.stop_sequence: str | None = None
        self.served_model: str | None = None
        self.raw: Any = None
        self.started = False
        self.completed = False
        self._open: _Open | None = None
        self._held: list[tuple[object, Callable[[], None]]] = []
        self._tool_count = 0
        self._cut_tool: ToolUseBlock | None = None

    # ---- verbs of the wire

    def text(self, text: str, key: object = None, *, explicit: bool = False) -> None:
        """Text came; "" only makes sure that the block exists."""
        block = self._open
        if block is None or block.kind != "text" or block.key != key:
            if not (text or explicit):
                return
            block = self._enter("text", key, explicit, lambda: self.text(text, key, explicit=explicit))
            if block is None:
                return
        if text:
            block.parts.append(text)
            self.events.append(TextDelta(self.message_id, block.index, text))

    def refusal(self, text: str, key: object = None) -> None:
        """Words of refusal: streamed as text, kept as a refusal block."""
        if not text:
            return
        block = self._enter("refusal", key, False, lambda: self.refusal(text, key))
        if block is not None:
            block.parts.append(text)
            self.events.append(TextDelta(self.message_id, block.index, text))

    def thinking(self, text: str, key: object = None, raw: ProviderRaw | None = None, *, explicit: bool = False) -> None:
        """Reasoning came; `raw` is merged into the block's opaque state and carried by the delta."""
        block = self._open
        if block is None or block.kind != "thinking" or block.key != key:
            if not (text or raw or explicit):
                return
            block = self._enter("thinking", key, explicit, lambda: self.thinking(text, key, raw, explicit=explicit))
            if block is None:
                return
        if raw:
            block.raw = {**(block.raw or {}), **raw}
        if text or raw:
            if text:
                block.parts.append(text)
            self.events.append(ThinkingDelta(self.message_id, block.index, text, block.raw if raw else None))

    def tool(
        self, key: object, provider_id: str | None, name: str, *, raw: ProviderRaw | None = None, explicit: bool = False
    ) -> None:
        """A tool call begins."""
        block = self._enter("tool", key, explicit, lambda: self.tool(key, provider_id, name, raw=raw, explicit=explicit))
        if block is None or block.tool_id:
            return
        block.tool_id = canonical_tool_id(provider_id, self.message_id, self._tool_count)
        block.name = name
        block.raw = raw
        self._tool_count += 1
        self.events.append(ToolUseStart(self.message_id, block.index, block.tool_id, name, self._group()))

    def tool_arguments(self, key: object, fragment: str) -> None:
        """A literal fragment of a call's arguments."""
        block = self._open
        if block is None or block.kind != "tool" or block.key != key:
            if any(held == ("tool", key) for held, _ in self._held):
                self._held.append((("tool", key), lambda: self.tool_arguments(key, fragment)))
            elif fragment.strip():
                self.warn("stream_repaired", "arguments came for a tool call that is not open; they were left out", raw=fragment)
            return
        if fragment:
            block.parts.append(fragment)
            self.events.append(ToolUseInputDelta(self.message_id, block.index, block.tool_id, fragment))

    def whole(self, block: RedactedThinkingBlock | OpaqueBlock | JsonBlock) -> None:
        """A block without deltas."""
        if self._open is not None and not self._closable(self._open):
            self._held.append((("whole", id(block)), lambda: self.whole(block)))
            return
        self._close_open()
        self._start()
        if isinstance(block, RedactedThinkingBlock):
            self.events.append(ThinkingDelta(self.message_id, len(self.content), "", block.provider_raw))
        self.content.append(block)

    def close(self, key: object) -> None:
        """The wire's own end of a block."""
        if self._open is not None and self._open.key == key:
            self._close_open()
            self._release()
        elif self._held:
            self._held.append((("close", key), lambda: self.close(key)))

    def complete(self, stop_reason: StopReason) -> None:
        """The answer is whole, or was ended: closes what is open and emits the terminal event, once."""
        if self.completed:
            return
        self._start()
        self._finish_blocks()
        self.completed = True
        self.stop_reason = self._settled(stop_reason)
        if self.usage is None:
            self.usage = Usage(estimated=True)

    def terminal_event(self) -> MessageComplete:
        """The terminal event, made by the adapter once usage is final; only after `complete`."""
        assert self.stop_reason is not None and self.usage is not None
        return MessageComplete(self.message_id, self.stop_reason, self.content, self.usage)

    def warn(self, code: str, message: str, path: str | None = None, **detail: Any) -> None:
        """Something the client should know."""
        self.warnings.append(Warning(code, message, path, detail or None))

    def take(self) -> list[Event]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events

    # ---- inside

    def _group(self) -> str:
        return "grp_" + self.message_id.removeprefix("msg_")

    def _start(self) -> None:
        if not self.started:
            self.started = True
            self.events.append(MessageStart(self.message_id, self.model_id, self.provider))

    def _enter(self, kind: _Kind, key: object, explicit: bool, again: Callable[[], None]) -> _Open | None:
        """The open block of this kind and key, opened where need be; None where it has to wait for an earlier one."""
        block = self._open
        if block is not None:
            if block.kind == kind and block.key == key:
                return block
            if not self._closable(block):
                self._held.append(((kind, key), again))
                return None
            self._close_open()
        self._start()
        self._open = block = _Open(kind, key, len(self.content), explicit)
        return block

    @staticmethod
    def _closable(block: _Open) -> bool:
        if block.explicit:
            return False
        return block.kind != "tool" or _parse_arguments("".join(block.parts)) is not None

    def _close_open(self) -> None:
        block, self._open = self._open, None
        if block is None:
            return
        text = "".join(block.parts)
        if block.kind == "tool":
            self._close_tool(block, text)
        elif not (text or block.raw):
            return  # a block that the wire opened and left empty: nothing was shown of it, nothing is kept
        elif block.kind == "text":
            self.content.append(TextBlock(text, block.raw))
        elif block.kind == "refusal":
            self.content.append(RefusalBlock(text))
        else:
            self.content.append(ThinkingBlock(text, block.raw))

    def _close_tool(self, block: _Open, text: str) -> None:
        parsed = _parse_arguments(text) if text.strip() else {}
        call = ToolUseBlock(block.tool_id, block.name, parsed or {}, self._group(), block.raw)
        self._cut_tool = call if parsed is None or not text.strip() else None
        if parsed is None:
            self.warn(
                "tool_arguments_invalid", f"the arguments of {block.name} are no JSON object", tool_use_id=block.tool_id, raw=text
            )
        self.content.append(call)
        self.events.append(ToolUseEnd(self.message_id, block.index, block.tool_id, call.input))

    def _release(self) -> None:
        """Play what had to wait, in order; what has to wait still is held again."""
        while self._held and self._open is None:
            held, self._held = self._held, []
            first = held[0][0]
            mine = [play for key, play in held if key == first or key == ("close", first[1])]  # type: ignore[index]
            rest = [(key, play) for key, play in held if not (key == first or key == ("close", first[1]))]  # type: ignore[index]
            for play in mine:
                play()
            self._held = rest + self._held

    def _finish_blocks(self) -> None:
        self._close_open()
        while self._held:
            self._release()
            self._close_open()

    def _settled(self, stop: StopReason) -> StopReason:
        """Providers contradict themselves: a forced call ends with `stop`, a refusal too, and a cut call looks whole."""
        if stop == "max_tokens" and self._cut_tool is not None and self.content[-1] is self._cut_tool:
            self.content.pop()
            self.warn(
                "tool_call_truncated",
                f"the token limit cut the call of {self._cut_tool.name}; it is not part of the content",
                tool_use_id=self._cut_tool.id,
            )
        if stop == "end_turn" and any(isinstance(block, ToolUseBlock) for block in self.content):
            return "tool_use"
        if stop == "end_turn" and any(isinstance(block, RefusalBlock) for block in self.content):
            return "refusal"
        return stop


def _parse_arguments(text: str) -> dict[str, Any] | None:
    """The arguments as an object, None where they are none."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None
