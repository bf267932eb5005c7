"""Assembles one answer: wires say what came, this makes the canonical events and the final content.

Invariants, whatever a wire says in whatever order: `message.start` first, one `message.complete` last, one end for every
tool start, `content_block_index` never falls, deltas together are the content. Blocks that a provider interleaves are put
in order by holding the later one back until the earlier one is whole.
"""

import re
from collections.abc import Callable, Container
from typing import Any, Literal, cast

import msgspec

from modeld_protocol.content import (
    Block,
    JsonBlock,
    MediaBlock,
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

from .failure import ProviderFailure
from .spec import PLAIN, Quirks
from .tool_ids import canonical_tool_id

_Kind = Literal["text", "refusal", "thinking", "tool", "whole"]
WholeBlock = RedactedThinkingBlock | OpaqueBlock | JsonBlock | MediaBlock


class _Open:
    """The block that is being streamed."""

    __slots__ = ("explicit", "index", "key", "kind", "name", "parts", "raw", "retry_at", "tool_id", "whole")

    def __init__(self, kind: _Kind, key: object, index: int, explicit: bool) -> None:
        self.kind: _Kind = kind
        self.key = key
        self.index = index
        self.explicit = explicit
        self.parts: list[str] = []
        self.raw: ProviderRaw | None = None
        self.tool_id = ""
        self.name = ""
        self.whole: WholeBlock | None = None
        self.retry_at = 0

    def closable(self) -> bool:
        """Whether another block may end this one: not while the wire still has to end it, or arguments don't parse yet."""
        if self.explicit:
            return False
        if self.kind != "tool":
            return True
        count = len(self.parts)
        if count < self.retry_at:
            return False
        if parse_arguments("".join(self.parts)) is not None:
            return True
        # Parsing again after every fragment would be quadratic in a long call: past a thousand, only as it grows.
        self.retry_at = count + 1 + (count // 8 if count > 1_000 else 0)
        return False


class Assembler:
    """One answer in the making. Wires call the verbs; the adapter takes `events` after every read.

    `key` names the provider's block: verbs with the same kind and key go on with the same block. `explicit` says that the
    wire ends this block with `close(key)`; without it a block ends when another begins (a tool call: once its arguments
    parse). Verbs after `complete` do nothing.

    `provider_type`, `wire_name` and `quirks` are those of the ModelSpec; `origin` marks opaque state with the first two.
    `failure` is an error that the provider told of while it may still say what the call cost; `usage_is_final`, that it has said
    so of an answer that isn't whole. `reported_cost` is what the provider says that the call cost, in USD. `late_usage` reads
    counts that a wire kept as they came, where they come with every event: it is asked once, at the end.
    """

    __slots__ = (
        "_cut_tool",
        "_held",
        "_open",
        "_replaying",
        "_tool_count",
        "_tool_ids",
        "completed",
        "content",
        "events",
        "failure",
        "late_usage",
        "message_id",
        "model_id",
        "provider",
        "provider_type",
        "quirks",
        "raw",
        "reported_cost",
        "served_model",
        "started",
        "stop_reason",
        "stop_sequence",
        "taken_tool_ids",
        "usage",
        "usage_is_final",
        "warnings",
        "wire_name",
    )

    def __init__(
        self,
        message_id: str,
        model_id: str,
        provider: str,
        *,
        provider_type: str | None = None,
        wire_name: str | None = None,
        quirks: Quirks = PLAIN,
    ) -> None:
        self.message_id = message_id
        self.model_id = model_id
        self.provider = provider
        self.provider_type = provider_type or provider
        self.wire_name = wire_name or model_id.partition(":")[2] or model_id
        self.events: list[Event] = []
        self.content: list[Block] = []
        self.warnings: list[Warning] = []
        self.usage: Usage | None = None
        self.usage_is_final = False
        self.failure: ProviderFailure | None = None
        self.late_usage: Callable[[], Usage | None] | None = None
        self.stop_reason: StopReason | None = None
        self.stop_sequence: str | None = None
        self.served_model: str | None = None
        self.quirks = quirks
        self.reported_cost: float | None = None
        self.raw: Any = None
        self.started = False
        self.completed = False
        self._open: _Open | None = None
        # What has to wait, by block in order of first arrival; each block's verbs in order of arrival.
        self._held: dict[tuple[_Kind, object], list[Callable[[], None]]] = {}
        self._replaying = False
        self._tool_count = 0
        self._tool_ids: set[str] | None = None  # most answers call no tool
        self.taken_tool_ids: Container[str] = ()
        self._cut_tool: ToolUseBlock | None = None

    @property
    def origin(self) -> ProviderRaw:
        """A fresh `provider_raw` that says where opaque state comes from; wires add their own keys."""
        return {"provider": self.provider_type, "model": self.wire_name}

    @property
    def open_text_chars(self) -> int:
        """How much has come of the text block that is open, 0 where none is."""
        block = self._open
        return sum(map(len, block.parts)) if block is not None and block.kind == "text" else 0

    def so_far(self) -> list[Block]:
        """The content that events have told of until now; a call that is not whole is no part of it."""
        block = self._open
        if block is None or block.kind not in ("text", "refusal", "thinking") or not block.parts:
            return list(self.content)
        text = "".join(block.parts)
        return [*self.content, ThinkingBlock(text) if block.kind == "thinking" else TextBlock(text)]

    @property
    def open_kind(self) -> str | None:
        """The kind of the block that is being streamed, None where there is none."""
        return None if self._open is None else self._open.kind

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
        """A tool call begins. Said again of a call that is open, it changes nothing."""
        block = self._enter("tool", key, explicit, lambda: self.tool(key, provider_id, name, raw=raw, explicit=explicit))
        if block is None or block.tool_id:
            return
        block.tool_id = self._new_tool_id(provider_id)
        block.name = name
        block.raw = raw
        self.events.append(ToolUseStart(self.message_id, block.index, block.tool_id, name, self._group()))

    def tool_arguments(self, key: object, fragment: str) -> None:
        """A literal fragment of a call's arguments."""
        block = self._open
        if block is None or block.kind != "tool" or block.key != key:
            waiting = self._held.get(("tool", key))
            if waiting is not None:
                waiting.append(lambda: self.tool_arguments(key, fragment))
            elif fragment.strip() and not self.completed:
                self.warn("stream_repaired", "arguments came for a tool call that is not open; they were left out", raw=fragment)
            return
        if fragment:
            block.parts.append(fragment)
            self.events.append(ToolUseInputDelta(self.message_id, block.index, block.tool_id, fragment))
            if self._held and fragment.rstrip().endswith("}"):
                self._release()

    def whole(self, block: WholeBlock, key: object = None, *, explicit: bool = False) -> None:
        """A block without deltas. With `explicit` it keeps its place until `close(key)`, and may be filled in until then."""
        key = object() if key is None else key
        place = self._enter("whole", key, explicit, lambda: self.whole(block, key, explicit=explicit))
        if place is None or place.whole is not None:
            return
        place.whole = block
        if isinstance(block, RedactedThinkingBlock):
            self.events.append(ThinkingDelta(self.message_id, place.index, "", block.provider_raw))
        if not explicit:
            self._close_open()

    def attach(self, raw: ProviderRaw, key: object = None, kind: Literal["text", "tool"] = "text") -> None:
        """Opaque state of the text block or call that is open or waiting under `key`, without an event."""
        block = self._open
        if block is not None and block.kind == kind and block.key == key:
            block.raw = {**(block.raw or {}), **raw}
        elif (kind, key) in self._held:
            self._held[kind, key].append(lambda: self.attach(raw, key, kind))

    def close(self, key: object) -> None:
        """The wire's own end of a block."""
        if self._held and not self._replaying:
            for (_, waiting), verbs in self._held.items():
                if waiting == key:
                    verbs.append(lambda: self.close(key))
        if self._open is not None and self._open.key == key:
            self._close_open()
            self._release()

    def restart(self) -> None:
        """The provider begins its answer again: what is open ends here, and a call that is not whole is no part of it."""
        self._finish_blocks()
        self._drop_cut_call("the provider began again within")

    def complete(self, stop_reason: StopReason) -> None:
        """The answer is whole, or was ended: closes what is open and emits the terminal event, once."""
        if self.completed:
            return
        self._start()
        self._finish_blocks()
        self.completed = True
        self.stop_reason = self._settled(stop_reason)
        if self.usage is None and self.late_usage is not None:
            self.usage = self.late_usage()
        if self.usage is None:
            self.usage = Usage(estimated=True)

    def terminal_event(self) -> MessageComplete:
        """The terminal event, made by the adapter once usage is final; only after `complete`."""
        assert self.stop_reason is not None
        assert self.usage is not None
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

    def _new_tool_id(self, provider_id: str | None) -> str:
        """A canonical id that no other call of this message or conversation has, even where a provider gives one twice."""
        ordinal = self._tool_count
        self._tool_count += 1
        tool_id = canonical_tool_id(provider_id, self.message_id, ordinal)
        if tool_id in self.taken_tool_ids:
            tool_id = canonical_tool_id(None, self.message_id, ordinal)
        if self._tool_ids is None:
            self._tool_ids = set()
        while tool_id in self._tool_ids:
            tool_id = f"{tool_id}_{ordinal}"
        self._tool_ids.add(tool_id)
        return tool_id

    def _start(self) -> None:
        if not self.started:
            self.started = True
            self.events.append(MessageStart(self.message_id, self.model_id, self.provider))

    def _enter(self, kind: _Kind, key: object, explicit: bool, again: Callable[[], None]) -> _Open | None:
        """The open block of this kind and key, opened where need be; None where it has to wait behind earlier ones."""
        block = self._open
        if block is not None and block.kind == kind and block.key == key:
            return block
        if self.completed:
            return None
        if not self._replaying and (self._held or not self._vacant()):
            self._held.setdefault((kind, key), []).append(again)
            self._release()
            return None
        self._start()
        self._open = block = _Open(kind, key, len(self.content), explicit)
        return block

    def _vacant(self) -> bool:
        """Whether nothing is open, after ending what may be ended."""
        block = self._open
        if block is None:
            return True
        if not block.closable():
            return False
        self._close_open()
        return True

    def _release(self) -> None:
        """Play what had to wait, block by block, as far as it goes."""
        if self._replaying:
            return
        self._replaying = True
        while self._held and self._vacant():
            for play in self._held.pop(next(iter(self._held))):
                play()
        self._replaying = False

    def _finish_blocks(self) -> None:
        self._close_open()
        while self._held:
            self._release()
            self._close_open()

    def _close_open(self) -> None:
        block, self._open = self._open, None
        if block is None:
            return
        text = "".join(block.parts)
        if block.kind == "tool":
            self._close_tool(block, text)
        elif block.whole is not None:
            self.content.append(block.whole)
        elif not (text or block.raw):
            return  # a block that the wire opened and left empty: nothing was shown of it, nothing is kept
        elif block.kind == "text":
            self.content.append(TextBlock(text, block.raw))
        elif block.kind == "refusal":
            self.content.append(RefusalBlock(text))
        else:
            self.content.append(ThinkingBlock(text, block.raw))

    def _close_tool(self, block: _Open, text: str) -> None:
        parsed = parse_arguments(text) if text.strip() else {}
        call = ToolUseBlock(block.tool_id, block.name, parsed or {}, self._group(), block.raw)
        self._cut_tool = call if parsed is None or not text.strip() else None
        if parsed is None:
            self.warn(
                "tool_arguments_invalid", f"the arguments of {block.name} are no JSON object", tool_use_id=block.tool_id, raw=text
            )
        self.content.append(call)
        self.events.append(ToolUseEnd(self.message_id, block.index, block.tool_id, call.input))

    def _drop_cut_call(self, why: str) -> None:
        call = self._cut_tool
        if call is not None and self.content[-1] is call:
            self.content.pop()
            message = f"{why} the call of {call.name}; it is not part of the content"
            self.warn("tool_call_truncated", message, tool_use_id=call.id)

    def _settled(self, stop: StopReason) -> StopReason:
        """Providers contradict themselves: a forced call ends with `stop`, a refusal too, and a cut call looks whole."""
        if stop == "max_tokens":
            self._drop_cut_call("the token limit cut")
        if stop == "end_turn" and any(isinstance(block, ToolUseBlock) for block in self.content):
            return "tool_use"
        if stop == "end_turn" and any(isinstance(block, RefusalBlock) for block in self.content):
            return "refusal"
        return stop


_SURROGATE = re.compile(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def repair_surrogates(text: str) -> str:
    """JSON text in which escapes of half a character, which models write and parsers refuse, became U+FFFD."""
    return _SURROGATE.sub(lambda found: "\\ufffd" if len(found[0]) == 6 else found[0], text)


def parse_arguments(text: str) -> dict[str, Any] | None:
    """A call's arguments as an object (`null` is an empty one), None where they are none."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        repaired = repair_surrogates(text)
        return parse_arguments(repaired) if repaired != text else None
    if value is None:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
