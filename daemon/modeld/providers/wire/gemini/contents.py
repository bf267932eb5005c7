"""The conversation as Gemini contents: the user's turns and the model's, each one after the other.

Results of calls stand alone in the turn behind them, in the order of the calls, since the API pairs those without an id by
name and place; what the user says follows in a turn of its own. System words in the middle are said by the user, in place:
what was sent before stays as it was. https://ai.google.dev/gemini-api/docs/function-calling (2026-11-20)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from modeld_protocol.content import (
    AudioBlock,
    Block,
    FileBlock,
    ImageBlock,
    JsonBlock,
    MediaBlock,
    Message,
    OpaqueBlock,
    ProviderRaw,
    RedactedThinkingBlock,
    RefusalBlock,
    ResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ...tool_ids import PREFIX
from ..memory import Memory, encode_history
from ..notes import Notes
from .body import dump_body
from .parts import encode_media, takes_in_results
from .types import ContentParam, PartParam

_BETWEEN = "\n\n"
_encode_json = msgspec.json.Encoder().encode


class _Call(NamedTuple):
    """A call of the history: what its result has to name."""

    order: int
    name: str
    wire_id: str | None


class _State(NamedTuple):
    """Behind an answer, which is `last`: how the encoding goes on."""

    last: ContentParam
    system: list[str]
    calls: dict[str, _Call]
    notes: Notes


def _again(content: ContentParam) -> ContentParam:
    """The same with a list of its own."""
    return ContentParam(content.role, list(content.parts))


class Conversation:
    """Contents in the making. `system` is what was said as system before anything else, `continuation_token` that of an answer
    which the provider is to go on with, `beginning` what goes before `contents`, as JSON already (see `..memory`)."""

    def __init__(self, model: ModelSpec, notes: Notes) -> None:
        self.system: list[str] = []
        self.contents: list[ContentParam] = []
        self.beginning: list[bytes] = []
        self.continuation_token: str | None = None
        self._owners = (model.provider_type, model.provider)
        self._quirks = model.quirks
        self._notes = notes
        self._calls: dict[str, _Call] = {}
        self._results: list[tuple[int, PartParam]] = []
        self._attached: list[PartParam] = []
        self._words: list[PartParam] = []
        self._of_model: dict[type, Callable[[Any, str], list[PartParam]]] = {
            TextBlock: self._said,
            RefusalBlock: self._refusal,
            JsonBlock: self._json,
            ThinkingBlock: self._thinking,
            RedactedThinkingBlock: self._redacted_thinking,
            OpaqueBlock: self._opaque,
            ToolUseBlock: self._call,
            ToolResultBlock: self._misplaced_result,
            ImageBlock: self._media,
            AudioBlock: self._media,
            FileBlock: self._media,
        }

    def add_all(self, messages: str | list[Message], memory: Memory | None = None) -> None:
        """Encode a whole conversation. Raises ProviderFailure."""
        if isinstance(messages, str):
            messages = [Message("user", messages)]
        notes, self._notes = self._notes, Notes()
        self.beginning = encode_history(self, messages, 0, memory)
        notes.extend(self._notes)
        self._notes = notes

    def freeze(self) -> tuple[bytes, Any] | None:
        """See HistoryEncoder. The last answer stays: another one right behind it becomes part of it. The calls are shared: only
        answers add to them."""
        if not self.contents or self.contents[-1].role != "model":
            return None
        last = self.contents.pop()
        frozen, self.contents = dump_body(self.contents), [last]
        return frozen, _State(_again(last), list(self.system), self._calls, self._notes.copy())

    def go_on(self, state: Any) -> None:
        """See HistoryEncoder."""
        self.contents, self.system, self._calls = [_again(state.last)], list(state.system), state.calls
        self._notes.extend(state.notes)

    def add(self, messages: list[Message], start: int, end: int) -> None:
        """See HistoryEncoder."""
        for number in range(start, end):
            message = messages[number]
            if message.role == "assistant":
                self._end_user_turn()
                self._add_answer(message, number, last=number == len(messages) - 1)
            elif message.role == "system":
                self._add_system(message, number)
            elif isinstance(message.content, str):
                self._add_words(message.content)
            else:
                for place, block in enumerate(message.content):
                    self._add_input(block, f"messages[{number}].content[{place}]")
        self._end_user_turn()

    def say_first(self, text: str) -> None:
        """Words before the first of the user's, for models that take no system prompt."""
        if self.contents and self.contents[0].role == "user":
            self.contents[0].parts.insert(0, {"text": text})
        else:
            self.contents.insert(0, ContentParam("user", [{"text": text}]))

    # ---- the user's side

    def _end_user_turn(self) -> None:
        if self._results:
            self._results.sort(key=lambda result: result[0])
            self.contents.append(ContentParam("user", [part for _, part in self._results]))
        if self._attached or self._words:
            self.contents.append(ContentParam("user", [*self._attached, *self._words]))
        self._results, self._attached, self._words = [], [], []

    def _add_words(self, text: str) -> None:
        if text:
            self._words.append({"text": text})

    def _add_system(self, message: Message, number: int) -> None:
        texts = [text for place, block in enumerate(message.blocks()) if (text := self._system_text(block, number, place))]
        if not self.contents and not self._words and not self._results:
            self.system += texts
        elif texts:
            told = "a system message in the middle of the conversation is sent as the user's words"
            self._notes.add("content_projected", told, f"messages[{number}]")
            self._words += [{"text": text} for text in texts]

    def _system_text(self, block: Block, number: int, place: int) -> str:
        if isinstance(block, TextBlock | RefusalBlock):
            return block.text
        if isinstance(block, JsonBlock):
            return _encode_json(block.value).decode()
        self._drop(block, f"messages[{number}].content[{place}]")
        return ""

    def _add_input(self, block: Block, path: str) -> None:
        if isinstance(block, TextBlock | RefusalBlock):
            self._add_words(block.text)
        elif isinstance(block, ToolResultBlock):
            self._add_result(block, path)
        elif isinstance(block, JsonBlock):
            self._add_words(_encode_json(block.value).decode())
        elif isinstance(block, ImageBlock | AudioBlock | FileBlock):
            self._words.append(encode_media(block, path, self._notes))
        elif isinstance(block, ToolUseBlock):
            raise ProviderFailure("invalid_request", f"{path}: tool_use belongs into an assistant message; move it there")
        else:
            self._drop(block, path)

    def _drop(self, block: Block, path: str) -> None:
        kind = str(getattr(block, "__struct_config__").tag)  # noqa: B009  # the type checker knows no such attribute
        self._notes.add("content_dropped", f"{kind} has no place here on this wire; it was left out", path)

    # ---- results of calls

    def _add_result(self, block: ToolResultBlock, path: str) -> None:
        call = self._calls.get(block.tool_use_id.removeprefix(PREFIX))
        if call is None:
            raise ProviderFailure(
                "invalid_request", f"{path}: no call before this result has its tool_use_id; send the assistant's message too"
            )
        held: list[PartParam] = []
        content = block.content
        value: Any = content if isinstance(content, str) else self._result_value(content, path, held)
        result: dict[str, Any] = {} if call.wire_id is None else {"id": call.wire_id}
        result["name"] = call.name
        # The response must be an object; these two names are the convention (api/caching#FunctionResponse, 2026-11-20).
        result["response"] = {"error" if block.is_error else "output": value}
        if held:
            result["parts"] = held
        self._results.append((call.order, {"functionResponse": result}))

    def _result_value(self, blocks: list[ResultBlock], path: str, held: list[PartParam]) -> Any:
        """A single value as it is, several as text; media go into `held`, or behind the results where they must."""
        values: list[Any] = []
        for place, block in enumerate(blocks):
            if isinstance(block, TextBlock):
                values.append(block.text)
            elif isinstance(block, JsonBlock):
                values.append(block.value)
            else:
                note = self._hold(block, f"{path}.content[{place}]", held)
                if note:
                    values.append(note)
        if len(values) == 1:
            return values[0]
        return _BETWEEN.join(value if isinstance(value, str) else _encode_json(value).decode() for value in values)

    def _hold(self, block: MediaBlock, path: str, held: list[PartParam]) -> str | None:
        part = encode_media(block, path, self._notes)
        if self._quirks.media_in_tool_results and takes_in_results(part):
            held.append(part)
            return None
        self._attached.append(part)
        self._notes.add("content_projected", "this model takes no such media in tool results; they follow them", path)
        return f"[attachment {len(self._attached)} of the next user message]"

    # ---- the model's side

    def _add_answer(self, message: Message, number: int, *, last: bool) -> None:
        if isinstance(message.content, str):
            parts = [{"text": message.content}] if message.content else []
        else:
            parts = self._answer_parts(message.content, number, last=last)
        if parts is None or not parts:
            return
        if self.contents and self.contents[-1].role == "model":
            self.contents[-1].parts += parts
        else:
            self.contents.append(ContentParam("model", parts))
        self._sign_first_call(self.contents[-1].parts)

    def _answer_parts(self, blocks: list[Block], number: int, *, last: bool) -> list[PartParam] | None:
        """None where the answer is asked for again, to be continued."""
        parts: list[PartParam] = []
        for place, block in enumerate(blocks):
            if isinstance(block, OpaqueBlock) and self._is_own(block.provider_raw):
                token = block.provider_raw.get("continuationToken")
                if isinstance(token, str):
                    if last and place == len(blocks) - 1:
                        self.continuation_token = token
                        return None
                    continue
                signature = block.provider_raw.get("thoughtSignature")
                if isinstance(signature, str):
                    if parts:
                        parts[-1]["thoughtSignature"] = signature
                    continue
            parts += self._of_model[type(block)](block, f"messages[{number}].content[{place}]")
        return parts

    def _sign_first_call(self, parts: list[PartParam]) -> None:
        """Only the first of parallel calls carries a signature; the others must stay without."""
        stand_in = self._quirks.stand_in_signature
        if stand_in is None:
            return
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            first["thoughtSignature"] = stand_in

    def _is_own(self, raw: ProviderRaw | None) -> bool:
        return raw is not None and raw.get("provider") in self._owners

    def _own_text(self, raw: ProviderRaw | None, key: str) -> str | None:
        found = raw.get(key) if raw is not None and self._is_own(raw) else None
        return found if isinstance(found, str) and found else None

    def _said(self, block: TextBlock, path: str) -> list[PartParam]:
        signature = self._own_text(block.provider_raw, "thoughtSignature")
        if signature is None:
            return [{"text": block.text}] if block.text else []
        signed_from = (block.provider_raw or {}).get("signed_from")
        start = signed_from if isinstance(signed_from, int) and signed_from > 0 else 0
        before: list[PartParam] = [{"text": block.text[:start]}] if block.text[:start] else []
        return [*before, {"text": block.text[start:], "thoughtSignature": signature}]

    def _refusal(self, block: RefusalBlock, path: str) -> list[PartParam]:
        return [{"text": block.text}] if block.text else []

    def _json(self, block: JsonBlock, path: str) -> list[PartParam]:
        return [{"text": _encode_json(block.value).decode()}]

    def _thinking(self, block: ThinkingBlock, path: str) -> list[PartParam]:
        signature = self._own_text(block.provider_raw, "thoughtSignature")
        if signature is not None:
            return [{"text": block.text, "thought": True, "thoughtSignature": signature}]
        if not self._is_own(block.provider_raw):  # its own, unsigned, need not go back, which loses nothing
            self._notes.add("content_dropped", "thinking of another provider isn't sent to this one", path)
        return []

    def _redacted_thinking(self, block: RedactedThinkingBlock, path: str) -> list[PartParam]:
        self._notes.add("content_dropped", "redacted thinking of another provider isn't sent to this one", path)
        return []

    def _opaque(self, block: OpaqueBlock, path: str) -> list[PartParam]:
        part = block.provider_raw.get("part")
        if self._is_own(block.provider_raw) and isinstance(part, dict) and part:
            return [part]
        self._notes.add("content_dropped", "another provider's own block isn't sent to this one", path)
        return []

    def _call(self, block: ToolUseBlock, path: str) -> list[PartParam]:
        # Only ids that the provider gave go back: it pairs all others by name and order.
        wire_id = self._own_text(block.provider_raw, "id")
        self._calls[block.id.removeprefix(PREFIX)] = _Call(len(self._calls), block.name, wire_id)
        call: dict[str, Any] = {} if wire_id is None else {"id": wire_id}
        part: PartParam = {"functionCall": {**call, "name": block.name, "args": block.input}}
        signature = self._own_text(block.provider_raw, "thoughtSignature")
        return [part if signature is None else {**part, "thoughtSignature": signature}]

    def _media(self, block: MediaBlock, path: str) -> list[PartParam]:
        return [encode_media(block, path, self._notes)]

    def _misplaced_result(self, block: ToolResultBlock, path: str) -> list[PartParam]:
        raise ProviderFailure("invalid_request", f"{path}: tool_result belongs into a tool or user message; move it there")
