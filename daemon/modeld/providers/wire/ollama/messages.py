"""The history as messages of this wire.

A message is a role, one text and its images. Results are messages of the role `tool` that name their tool; an error is a word
at their beginning. Reasoning goes back to where it came from, and nowhere else.
https://docs.ollama.com/api/chat, https://docs.ollama.com/capabilities/tool-calling (2026-11-20)
"""

from typing import Any, NoReturn

import msgspec

from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    FileBlock,
    ImageBlock,
    JsonBlock,
    MediaBlock,
    Message,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from modeld_protocol.request import CanonicalRequest

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ...tool_ids import PREFIX, wire_tool_id
from ..media import parse_data_url
from ..memory import Memory, encode_history, with_place
from ..notes import Notes
from .types import Call, CallFunction, ChatMessage

_BETWEEN = "\n\n"  # of blocks that a client wrote apart; an assistant's own text blocks are one text that was interrupted
_MEDIA = (ImageBlock, AudioBlock, FileBlock)
_BASE64URL = str.maketrans("-_", "+/", " \t\r\n")
_encode_json = msgspec.json.Encoder().encode


def encode_messages(
    request: CanonicalRequest, model: ModelSpec, notes: Notes, memory: Memory | None = None
) -> tuple[list[ChatMessage | msgspec.Raw], list[bytes]]:
    """The system prompt and the history, with a place for its beginning, and that, as JSON already (see `..memory`). Raises
    ProviderFailure for blocks that this wire can't have."""
    return _History(model, notes).encode(request, memory)


class _History:
    def __init__(self, model: ModelSpec, notes: Notes) -> None:
        self._owners = (model.provider_type, model.provider) if model.quirks.reasoning_history == "provider" else ()
        self._notes = notes
        self._tool_names: dict[str, str] = {}
        # What stands between two assistant messages: results must follow their calls at once, so they go first.
        self._results: list[ChatMessage] = []
        self._others: list[ChatMessage] = []
        self._encoded: list[ChatMessage] = []

    def encode(self, request: CanonicalRequest, memory: Memory | None) -> tuple[list[ChatMessage | msgspec.Raw], list[bytes]]:
        given, notes = request.messages, self._notes
        messages = [Message("user", given)] if isinstance(given, str) else given
        system: list[ChatMessage] = []
        start = self._encode_system(request.system_prompt, messages, system)
        self._notes = Notes()
        beginning = encode_history(self, messages, start, memory)
        notes.extend(self._notes)
        return [*system, *with_place(beginning, self._encoded)], beginning

    def freeze(self) -> tuple[bytes, Any] | None:
        """See HistoryEncoder. The names of tools are shared: only answers add to them."""
        frozen, self._encoded = _encode_json(self._encoded), []
        return frozen, (self._tool_names, self._notes.copy())

    def go_on(self, state: Any) -> None:
        """See HistoryEncoder."""
        self._tool_names, notes = state
        self._notes.extend(notes)

    def add(self, messages: list[Message], start: int, end: int) -> None:
        """See HistoryEncoder."""
        encoded = self._encoded
        for number in range(start, end):
            message = messages[number]
            if message.role != "assistant":
                self._encode_input(message, number)
                continue
            self._move_to(encoded)
            answer = self._encode_answer(message, number)
            if answer is not None:
                encoded.append(answer)
        self._move_to(encoded)

    def _move_to(self, encoded: list[ChatMessage]) -> None:
        if self._results or self._others:
            encoded += self._results
            encoded += self._others
            self._results, self._others = [], []

    def _encode_system(self, prompt: str | None, messages: list[Message], encoded: list[ChatMessage]) -> int:
        """The system prompt and leading system messages as one message; returns where the rest begins."""
        texts = [prompt] if prompt else []
        start = 0
        while start < len(messages) and messages[start].role == "system":
            texts.append(self._text_of(messages[start], start))
            start += 1
        text = _BETWEEN.join(text for text in texts if text)
        if text:
            encoded.append(ChatMessage("system", text))
        return start

    def _text_of(self, message: Message, number: int) -> str:
        """The text of a message that can hold nothing else."""
        if isinstance(message.content, str):
            return message.content
        texts: list[str] = []
        for place, block in enumerate(message.content):
            if isinstance(block, TextBlock | RefusalBlock | JsonBlock):
                texts.append(_plain(block))
            else:
                self._drop(block, f"messages[{number}].content[{place}]")
        return _BETWEEN.join(texts)

    def _drop(self, block: object, path: str) -> None:
        kind = str(getattr(block, "__struct_config__").tag)  # noqa: B009  # the type checker knows no such attribute
        self._notes.add("content_dropped", f"{kind} has no place here on this wire; it was left out", path)

    # ---- user, tool and later system messages

    def _encode_input(self, message: Message, number: int) -> None:
        content = message.content
        if message.role == "system":
            self._others.append(ChatMessage("system", self._text_of(message, number)))
        elif isinstance(content, str):
            if message.role == "tool":
                _invalid(f"messages[{number}]", "a tool message holds tool_result blocks, not text; send one")
            self._others.append(ChatMessage("user", content))
        else:
            self._encode_blocks(message, number)

    def _encode_blocks(self, message: Message, number: int) -> None:
        texts: list[str] = []
        images: list[str] = []
        results = len(self._results)
        for place, block in enumerate(message.blocks()):
            path = f"messages[{number}].content[{place}]"
            if isinstance(block, ToolResultBlock):
                self._results.append(self._encode_result(block, path))
            elif isinstance(block, _MEDIA):
                images.append(_encode_image(block, path))
            elif isinstance(block, TextBlock | RefusalBlock | JsonBlock):
                texts.append(_plain(block))
            elif isinstance(block, ToolUseBlock):
                _invalid(path, "tool_use belongs into an assistant message; move it there")
            else:
                self._drop(block, path)
        if texts or images or len(self._results) == results:
            self._others.append(_message("user", _BETWEEN.join(texts), images))

    def _encode_result(self, block: ToolResultBlock, path: str) -> ChatMessage:
        texts = [block.content] if isinstance(block.content, str) else []
        images: list[str] = []
        for place, inner in enumerate(() if isinstance(block.content, str) else block.content):
            if isinstance(inner, TextBlock | JsonBlock):
                texts.append(_plain(inner))
            else:
                images.append(_encode_image(inner, f"{path}.content[{place}]"))
        text = _BETWEEN.join(texts)
        if block.is_error:
            text = f"Error: {text}" if text else "Error"
            self._notes.add("content_projected", "this wire has no is_error; the result's text says so", path)
        message = _message("tool", text, images)
        name = self._tool_names.get(block.tool_use_id.removeprefix(PREFIX))
        if name is not None:
            message.tool_name = name
        message.tool_call_id = wire_tool_id(block.tool_use_id)
        return message

    # ---- assistant messages

    def _encode_answer(self, message: Message, number: int) -> ChatMessage | None:
        """None where nothing is left to say."""
        content = message.content
        if isinstance(content, str):
            return ChatMessage("assistant", content) if content else None
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[Call] = []
        for place, block in enumerate(content):
            if isinstance(block, TextBlock | RefusalBlock | JsonBlock):
                texts.append(_plain(block))
            elif isinstance(block, ToolUseBlock):
                self._tool_names[block.id.removeprefix(PREFIX)] = block.name
                calls.append(Call(wire_tool_id(block.id), CallFunction(len(calls), block.name, block.input)))
            elif isinstance(block, ThinkingBlock) and self._is_own(block):
                thoughts.append(block.text)
            else:
                self._leave_out(block, f"messages[{number}].content[{place}]")
        text, thought = "".join(texts), "".join(thoughts)
        if not (text or calls or thought):
            return None
        answer = ChatMessage("assistant", text)
        if thought:
            answer.thinking = thought
        if calls:
            answer.tool_calls = calls
        return answer

    def _is_own(self, block: ThinkingBlock) -> bool:
        return block.provider_raw is not None and block.provider_raw.get("provider") in self._owners

    def _leave_out(self, block: object, path: str) -> None:
        if isinstance(block, ToolResultBlock):
            _invalid(path, "tool_result belongs into a tool or user message; move it there")
        if isinstance(block, ThinkingBlock):
            self._notes.add("content_dropped", "reasoning of another provider is not sent to this one; it was left out", path)
        else:
            self._drop(block, path)


def _plain(block: TextBlock | RefusalBlock | JsonBlock) -> str:
    return _encode_json(block.value).decode() if isinstance(block, JsonBlock) else block.text


def _message(role: str, text: str, images: list[str]) -> ChatMessage:
    message = ChatMessage(role, text)
    if images:
        message.images = images
    return message


def _encode_image(block: MediaBlock, path: str) -> str:
    """The bytes of an image as base64 text: this wire fetches nothing and knows no other media."""
    if not isinstance(block, ImageBlock):
        _refuse(path, "this wire takes images only; put the content of files into the text")
    source = block.source
    if isinstance(source, UrlSource):
        inline = parse_data_url(source.url)
        if inline is None:
            _refuse(path, "this wire takes no images by URL; give the image as base64")
        source = Base64Source(inline.data)
    if not isinstance(source, Base64Source):
        _refuse(path, "this wire takes no images by file id; give the image as base64")
    data = source.data
    if "-" in data or "_" in data or "\n" in data or " " in data or "\r" in data or "\t" in data:
        data = data.translate(_BASE64URL)
    return data + "=" * (-len(data) % 4)


def _invalid(path: str, message: str) -> NoReturn:
    raise ProviderFailure("invalid_request", f"{path}: {message}")


def _refuse(path: str, message: str) -> NoReturn:
    raise ProviderFailure("capability_mismatch", f"{path}: {message}")
