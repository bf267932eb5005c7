"""Answers of this wire: content blocks, stop reasons, whole messages, token counts, model lists."""

from typing import Any, Final, TypeVar

import msgspec

from modeld_protocol.content import OpaqueBlock, ProviderRaw, RedactedThinkingBlock
from modeld_protocol.model import DiscoveredModel, ModelLimits
from modeld_protocol.response import StopReason

from ...assembler import Assembler, repair_surrogates
from ...failure import ProviderFailure
from .errors import failure_in_band
from .types import Delta, IncomingBlock, IncomingMessage
from .usage import UsageCounter

_T = TypeVar("_T")

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons (2026-11-20); `compaction` is a beta.
_STOPS: Final[dict[str, StopReason]] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "max_tokens",
    "compaction": "pause",
}

_BLOCK = msgspec.json.Decoder(IncomingBlock)
_MESSAGE = msgspec.json.Decoder(IncomingMessage)


def map_stop_reason(reason: str) -> StopReason:
    """The canonical stop reason; one that isn't known yet counts as an ordinary end."""
    return _STOPS.get(reason, "end_turn")


def decode_json(decoder: "msgspec.json.Decoder[_T]", data: bytes | msgspec.Raw, assembler: Assembler | None, what: str) -> _T:
    """`data` decoded; text that no parser takes (halves of characters, bad UTF-8) is repaired with a warning.

    Raises ProviderFailure (`server_error`).
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        found = decoder.decode(repair_surrogates(bytes(data).decode("utf-8-sig", "replace")))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProviderFailure(
            "server_error", f"the provider sent {what} that can't be read; try again, or check base_url"
        ) from error
    if assembler is not None:
        assembler.warn("stream_repaired", f"{what} held broken text; it was replaced by U+FFFD")
    return found


class BlockReader:
    """Takes the content blocks of one answer into the assembler: a block opens, grows, closes.

    Blocks without a canonical form (hosted tools, compaction) are kept whole, to be sent back as they came.
    """

    __slots__ = ("_assembler", "_citations", "_inputs", "_opaque", "_origin")

    def __init__(self, assembler: Assembler, origin: ProviderRaw) -> None:
        self._assembler = assembler
        self._origin = origin
        self._inputs: dict[int, str] = {}
        self._opaque: dict[int, tuple[dict[str, Any], list[str]]] = {}
        self._citations: dict[int, list[Any]] = {}

    def open(self, key: int, raw: msgspec.Raw, *, whole: bool = False) -> None:
        """A block (`whole`), or its beginning. Raises ProviderFailure where it can't be read."""
        assembler = self._assembler
        block = decode_json(_BLOCK, raw, assembler, "a content block")
        match block.type:
            case "text":
                assembler.text(block.text or "", key, explicit=True)
                self._citations[key] = list(block.citations or [])
            case "thinking":
                assembler.thinking(block.thinking or "", key, explicit=True)
                if block.signature:
                    self.sign(key, block.signature)
            case "redacted_thinking":
                assembler.whole(RedactedThinkingBlock({**self._origin, "data": block.data or ""}), key, explicit=True)
            case "tool_use":
                self._open_tool(key, block, whole=whole)
            case "":
                return
            case _:
                self._open_opaque(key, raw)

    def read(self, blocks: list[msgspec.Raw], first_key: int = 0) -> None:
        """Whole blocks, one after the other. Raises ProviderFailure."""
        for key, raw in enumerate(blocks, first_key):
            self.open(key, raw, whole=True)
            self.close(key)

    def sign(self, key: int, signature: str) -> None:
        """The signature of a thinking block."""
        self._assembler.thinking("", key, {**self._origin, "signature": signature}, explicit=True)

    def tool_input(self, key: int, fragment: str) -> None:
        """A fragment of a call's input."""
        if key in self._opaque:
            self._opaque[key][1].append(fragment)
            return
        if fragment:
            self._inputs.pop(key, None)  # what the start held is said again
        self._assembler.tool_arguments(key, fragment)

    def cite(self, key: int, citation: Any) -> None:
        """A citation of a text block; it goes back with the block's text."""
        if citation is not None:
            self._citations.setdefault(key, []).append(citation)

    def fill(self, key: int, delta: Delta) -> None:
        """A delta of a block that is kept whole."""
        if key not in self._opaque:
            return
        block = self._opaque[key][0]
        if isinstance(delta.content, str):
            block["content"] = (block.get("content") or "") + delta.content
        if delta.encrypted_content is not None:
            block["encrypted_content"] = delta.encrypted_content

    def close(self, key: int) -> None:
        """The end of a block."""
        if key in self._inputs:
            self._assembler.tool_arguments(key, self._inputs.pop(key))
        if key in self._opaque:
            self._close_opaque(*self._opaque.pop(key))
        citations = self._citations.pop(key, None)
        if citations:
            self._assembler.attach({**self._origin, "citations": citations}, key)
        self._assembler.close(key)

    def close_all(self) -> None:
        """The end of the message: ends what the provider left open."""
        for key in sorted(self._inputs.keys() | self._opaque.keys() | self._citations.keys()):
            self.close(key)

    def _open_tool(self, key: int, block: IncomingBlock, *, whole: bool) -> None:
        raw: ProviderRaw = {}
        if block.caller and block.caller.get("type") != "direct":
            raw["caller"] = block.caller
        if block.toolset_name:
            raw["toolset_name"] = block.toolset_name
        self._assembler.tool(key, block.id, block.name or "", raw={**self._origin, **raw} if raw else None, explicit=True)
        text = bytes(block.input).decode("utf-8", "replace")
        # A stream announces `{}` and sends the input in fragments; some servers send it all at the start.
        if whole or "".join(text.split()) not in ("", "null", "{}"):
            self._inputs[key] = text

    def _open_opaque(self, key: int, raw: msgspec.Raw) -> None:
        block = decode_json(_ANY, raw, self._assembler, "a content block")
        self._opaque[key] = (block, [])
        self._assembler.whole(OpaqueBlock({**self._origin, "block": block}), key, explicit=True)

    @staticmethod
    def _close_opaque(block: dict[str, Any], fragments: list[str]) -> None:
        text = "".join(fragments)
        if text.strip():
            try:
                block["input"] = msgspec.json.decode(repair_surrogates(text))
            except (msgspec.DecodeError, RecursionError):
                return


_ANY = msgspec.json.Decoder(dict[str, Any])


def decode_message(body: bytes, assembler: Assembler) -> None:
    """A whole answer into the assembler, through to `complete`. Raises ProviderFailure."""
    message = decode_json(_MESSAGE, body, assembler, "an answer")
    if message.type == "error" or bytes(message.error) not in (b"", b"null"):
        raise failure_in_band(message.error)
    if message.content is None or message.stop_reason is None:
        raise ProviderFailure("server_error", "the provider's answer is no finished message; try again, or check base_url")
    BlockReader(assembler, assembler.origin).read(message.content)
    assembler.served_model = message.model
    assembler.stop_sequence = message.stop_sequence
    counter = UsageCounter()
    if counter.update(message.usage):
        assembler.usage = counter.usage(final=True)
    assembler.complete(map_stop_reason(message.stop_reason))


class _Count(msgspec.Struct):
    input_tokens: int


class _Model(msgspec.Struct):
    id: str
    display_name: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class _ModelPage(msgspec.Struct):
    data: list[_Model]
    has_more: bool = False
    last_id: str | None = None


_COUNT = msgspec.json.Decoder(_Count)
_PAGE = msgspec.json.Decoder(_ModelPage)


def decode_count(body: bytes) -> int:
    """The answer of the token-count endpoint. Raises ProviderFailure."""
    return decode_json(_COUNT, body, None, "a token count").input_tokens


def decode_models(body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
    """A page of the model list, and the next page's token. Raises ProviderFailure."""
    page = decode_json(_PAGE, body, None, "a model list")
    models = [
        DiscoveredModel(
            f"{provider}:{model.id}",
            provider,
            model.id,
            model.display_name,
            ModelLimits(model.max_input_tokens, model.max_tokens) if model.max_input_tokens or model.max_tokens else None,
        )
        for model in page.data
    ]
    return models, page.last_id if page.has_more else None
