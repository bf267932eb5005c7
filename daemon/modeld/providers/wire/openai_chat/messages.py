"""The history as Chat Completions messages.

What this wire can't say is projected or left out with a warning: tool results are text, their media follow in a user
message, an error is a word at their beginning. What becomes of reasoning is `replay`'s.
https://developers.openai.com/api/reference/resources/chat/subresources/completions/methods/create (2026-11-20)
"""

from typing import Any, NamedTuple

from msgspec import UNSET
from msgspec.json import Encoder
from msgspec.structs import replace

from modeld_protocol.content import (
    AudioBlock,
    FileBlock,
    FileIdSource,
    ImageBlock,
    JsonBlock,
    Message,
    OpaqueBlock,
    RedactedThinkingBlock,
    RefusalBlock,
    ResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from modeld_protocol.request import CanonicalRequest

from ...failure import ProviderFailure
from ...spec import Quirks
from ...tool_ids import PREFIX, wire_tool_id
from ..memory import Memory, encode_history
from ..notes import Notes
from ..openai_shared.inline_media import DETAILS
from ..openai_shared.words import BETWEEN, drop_block, json_text, system_words, text_of
from .parts import Part, encode_media
from .replay import Replay
from .types import ChatMessage, ToolCall, ToolCallFunction

_MEDIA = (ImageBlock, AudioBlock, FileBlock)
_encode_json = Encoder().encode


class History(NamedTuple):
    """The system message, if there is one, and the others; `beginning` are those between, as JSON already (see `..memory`).
    `marked` are those which clients asked for a cache marker."""

    system: list[ChatMessage]
    beginning: list[bytes]
    messages: list[ChatMessage]
    marked: list[ChatMessage]


def encode_messages(
    request: CanonicalRequest, quirks: Quirks, notes: Notes, replay: Replay, memory: Memory | None = None
) -> History:
    """The system prompt and the history. Raises ProviderFailure for blocks where this wire can't have them."""
    return _History(quirks, notes, replay).encode(request, memory)


class _State(NamedTuple):
    """Behind an answer, which is `last`: how the encoding goes on."""

    last: ChatMessage
    in_tool_turn: bool
    notes: Notes


class _Run:
    """What stands between two assistant messages. The results of a group must follow their calls at once and together, so
    they go first, then the media that they held, then everything else in its order."""

    __slots__ = ("attached", "others", "results")

    def __init__(self) -> None:
        self.results: list[ChatMessage] = []
        self.attached: list[Part] = []
        self.others: list[ChatMessage] = []

    def move_to(self, messages: list[ChatMessage]) -> None:
        messages += self.results
        if self.attached:
            messages.append(ChatMessage("user", self.attached))
        messages += self.others


class _History:
    def __init__(self, quirks: Quirks, notes: Notes, replay: Replay) -> None:
        self._system_role = quirks.system_role
        self._system_anywhere = quirks.mid_conversation_system
        self._tool_id = _verbatim_tool_id if quirks.tool_ids == "verbatim" else wire_tool_id
        self._replays = quirks.reasoning_history == "provider" or quirks.reasoning_required is not None
        self._quirks = quirks
        self._notes = notes
        self._replay = replay
        self._marked: list[ChatMessage] = []
        self._encoded: list[ChatMessage] = []

    def encode(self, request: CanonicalRequest, memory: Memory | None) -> History:
        given, notes = request.messages, self._notes
        messages = [Message("user", given)] if isinstance(given, str) else given
        system, start = system_words(request.system_prompt, messages, notes, anywhere=self._system_anywhere)
        self._notes = self._replay.notes = Notes()
        beginning = encode_history(self, messages, start, memory, self._replay.conditions)
        notes.extend(self._notes)
        return History([ChatMessage(self._system_role, system)] if system else [], beginning, self._encoded, self._marked)

    def freeze(self) -> tuple[bytes, Any] | None:
        """See HistoryEncoder. The last message stays: it may be continued."""
        if not self._encoded:
            return None
        last = self._encoded.pop()
        frozen, self._encoded = _encode_json(self._encoded), [last]
        return frozen, _State(replace(last), self._replay.in_tool_turn, self._notes.copy())

    def go_on(self, state: Any) -> None:
        """See HistoryEncoder."""
        self._encoded = [replace(state.last)]
        self._replay.in_tool_turn = state.in_tool_turn
        self._notes.extend(state.notes)

    def add(self, messages: list[Message], start: int, end: int) -> None:
        """See HistoryEncoder."""
        encoded = self._encoded
        run = _Run()
        for number in range(start, end):
            message = messages[number]
            if message.role != "assistant":
                if message.metadata is None:
                    self._encode_input(message, number, run)
                else:
                    self._encode_marked(message, number, run)
                continue
            if run.results or run.others:
                if self._replays and any(one.role == "user" for one in run.others):
                    self._replay.next_turn()
                run.move_to(encoded)
                run = _Run()
            answer = self._encode_answer(message, number)
            if answer is not None:
                encoded.append(answer)
                if message.metadata is not None and _asks_for_marker(message):
                    self._marked.append(answer)
        run.move_to(encoded)

    # ---- user, tool and later system messages

    def _encode_marked(self, message: Message, number: int, run: _Run) -> None:
        """A message that may ask for a cache marker, which goes onto the last of what it becomes."""
        others, results = len(run.others), len(run.results)
        self._encode_input(message, number, run)
        if _asks_for_marker(message):
            self._marked += (run.others[others:] or run.results[results:])[-1:]

    def _encode_input(self, message: Message, number: int, run: _Run) -> None:
        content = message.content
        if message.role == "system":
            if self._system_anywhere:
                run.others.append(ChatMessage(self._system_role, text_of(message, number, self._notes)))
        elif isinstance(content, str):
            if message.role == "tool":
                raise ProviderFailure("invalid_request", f"messages[{number}]: a tool message holds tool_result blocks, not text")
            run.others.append(ChatMessage("user", content))
        elif len(content) == 1 and isinstance(content[0], TextBlock):
            run.others.append(ChatMessage("user", content[0].text))
        else:
            self._encode_parts(message, number, run)

    def _encode_parts(self, message: Message, number: int, run: _Run) -> None:
        parts: list[Part] = []
        texts: list[str] = []
        named: list[str] = []
        results = len(run.results)
        for place, block in enumerate(message.blocks()):
            path = f"messages[{number}].content[{place}]"
            if isinstance(block, ToolResultBlock):
                run.results.append(self._encode_result(block, path, run))
            elif isinstance(block, _MEDIA):
                self._check_media(block, path)
                if not self._named_in_system(block, named):
                    parts.append(encode_media(block, path, self._quirks))
            elif isinstance(block, TextBlock | RefusalBlock | JsonBlock):
                text = json_text(block.value) if isinstance(block, JsonBlock) else block.text
                texts.append(text)
                parts.append({"type": "text", "text": text})
            elif isinstance(block, ToolUseBlock):
                raise ProviderFailure("invalid_request", f"{path}: tool_use belongs into an assistant message; move it there")
            else:
                drop_block(block, path, self._notes)
        if named:
            run.others.append(ChatMessage(self._system_role, ",".join(named)))
        if len(texts) == len(parts):
            if parts or not (named or len(run.results) > results):
                run.others.append(ChatMessage("user", BETWEEN.join(texts)))
        else:
            run.others.append(ChatMessage("user", parts))

    def _named_in_system(self, block: ImageBlock | AudioBlock | FileBlock, named: list[str]) -> bool:
        """Whether the block is a file that this provider wants named in a system message, to which it is added."""
        prefix, source = self._quirks.file_ids_in_system, block.source
        if prefix is None or not isinstance(block, FileBlock) or not isinstance(source, FileIdSource):
            return False
        named.append(prefix + source.file_id.removeprefix(prefix))
        return True

    def _check_media(self, block: ImageBlock | AudioBlock | FileBlock, path: str) -> None:
        source = block.source
        if not self._quirks.image_urls and isinstance(source, UrlSource) and source.url[:4].lower() == "http":
            raise ProviderFailure("capability_mismatch", f"{path}: this provider fetches no URLs; give the image as base64")
        if block.detail is not None and not (isinstance(block, ImageBlock) and block.detail in DETAILS):
            self._notes.add("parameter_ignored", "this detail is unknown to this wire; it was left out", path)

    def _encode_result(self, block: ToolResultBlock, path: str, run: _Run) -> ChatMessage:
        content = block.content
        text = content if isinstance(content, str) else self._result_text(content, path, run)
        if block.is_error:
            text = f"Error: {text}" if text else "Error"
            self._notes.add("content_projected", "this wire has no is_error; the result's text says so", path)
        return ChatMessage("tool", text, tool_call_id=self._tool_id(block.tool_use_id))

    def _result_text(self, blocks: list[ResultBlock], path: str, run: _Run) -> str:
        texts: list[str] = []
        for place, block in enumerate(blocks):
            if isinstance(block, TextBlock):
                texts.append(block.text)
            elif isinstance(block, JsonBlock):
                texts.append(json_text(block.value))
            else:
                inner = f"{path}.content[{place}]"
                self._check_media(block, inner)
                run.attached.append(encode_media(block, inner, self._quirks))
                texts.append(f"[attachment {len(run.attached)} of the next user message]")
                self._notes.add("content_projected", "tool results are text on this wire; media follow in a user message", inner)
        return BETWEEN.join(texts)

    # ---- assistant messages

    def _encode_answer(self, message: Message, number: int) -> ChatMessage | None:
        """None where nothing is left to say: this wire refuses an assistant message without content and calls."""
        content = message.content
        if isinstance(content, str) or (len(content) == 1 and isinstance(content[0], TextBlock)):
            text = text_of(message, number, self._notes)
            answer = ChatMessage("assistant", text) if text else None
            return self._replay.lead([], answer, calls=False) if self._replays else answer
        texts: list[str] = []
        calls: list[ToolCall] = []
        thoughts: list[tuple[ThinkingBlock | RedactedThinkingBlock, str]] = []
        for place, block in enumerate(content):
            if isinstance(block, TextBlock | RefusalBlock):
                texts.append(block.text)
            elif isinstance(block, ToolUseBlock):
                calls.append(ToolCall(self._tool_id(block.id), ToolCallFunction(block.name, json_text(block.input))))
            elif isinstance(block, ThinkingBlock | RedactedThinkingBlock):
                thoughts.append((block, f"messages[{number}].content[{place}]"))
            elif isinstance(block, JsonBlock):
                texts.append(json_text(block.value))
            else:
                self._leave_out(block, f"messages[{number}].content[{place}]")
        text = "".join(texts)
        answer = ChatMessage("assistant", text or None, tool_calls=calls or UNSET) if text or calls else None
        return self._replay.lead(thoughts, answer, calls=bool(calls)) if self._replays or thoughts else answer

    def _leave_out(self, block: object, path: str) -> None:
        if isinstance(block, OpaqueBlock):
            self._notes.add("content_dropped", "another provider's own block can't be sent on this wire; it was left out", path)
        elif isinstance(block, ToolResultBlock):
            raise ProviderFailure("invalid_request", f"{path}: tool_result belongs into a tool or user message; move it there")
        else:
            drop_block(block, path, self._notes)


def _verbatim_tool_id(canonical_id: str) -> str:
    return canonical_id.removeprefix(PREFIX) or canonical_id


def _asks_for_marker(message: Message) -> bool:
    return message.metadata is not None and message.metadata.get("cache") is True
