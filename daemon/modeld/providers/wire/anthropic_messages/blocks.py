"""Content blocks on their way to the provider: canonical in, the wire's own out."""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    Block,
    FileBlock,
    FileIdSource,
    ImageBlock,
    JsonBlock,
    MediaBlock,
    OpaqueBlock,
    ProviderRaw,
    RedactedThinkingBlock,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from modeld_protocol.usage import Warning

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ...tool_ids import wire_tool_id
from ..media import decode_text, media_type_of, parse_data_url, plain_media_type
from .types import (
    Base64Data,
    BlockParam,
    DocumentParam,
    Enabled,
    FileId,
    ImageParam,
    PlainText,
    RedactedThinkingParam,
    TextParam,
    ThinkingParam,
    ToolResultParam,
    ToolUseParam,
    Url,
)

# https://platform.claude.com/docs/en/build-with-claude/vision (2026-11-20)
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TEXT_LIKE = ("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript")


class BlockEncoder:
    """Encodes the blocks of one request, and keeps what has to be said about them."""

    def __init__(self, model: ModelSpec, *, citations: bool = False) -> None:
        self.warnings: list[Warning] = []
        self.uses_file_ids = False
        self._owners = (model.provider_type, model.provider)
        self._citations = Enabled(True) if citations else None
        self._encoders: dict[type, Callable[[Any, str, str], BlockParam | None]] = {
            TextBlock: self._text,
            JsonBlock: self._json,
            RefusalBlock: self._refusal,
            ThinkingBlock: self._thinking,
            RedactedThinkingBlock: self._redacted_thinking,
            OpaqueBlock: self._opaque,
            ToolUseBlock: self._tool_use,
            ToolResultBlock: self._tool_result,
            ImageBlock: self._media,
            AudioBlock: self._media,
            FileBlock: self._media,
        }

    def encode(self, block: Block, role: str, path: str) -> BlockParam | None:
        """One block of a user's or an assistant's message, None where nothing of it is sent. Raises ProviderFailure."""
        return self._encoders[type(block)](block, role, path)

    def drop(self, path: str, message: str) -> None:
        """Say that something was left out."""
        self.warnings.append(Warning("content_dropped", message, path))

    # ---- words

    def _text(self, block: TextBlock, role: str, path: str) -> TextParam | None:
        if not block.text or block.text.isspace():
            return None  # the API refuses text without a visible character
        citations = self._state(block.provider_raw, "citations", role)
        return TextParam(block.text, cast("list[Any]", citations) if isinstance(citations, list) and citations else None)

    def _json(self, block: JsonBlock, role: str, path: str) -> TextParam:
        return TextParam(msgspec.json.encode(block.value).decode())

    def _refusal(self, block: RefusalBlock, role: str, path: str) -> TextParam | None:
        return self._text(TextBlock(block.text), role, path)

    # ---- opaque state: byte for byte to where it came from, to nobody else

    def _thinking(self, block: ThinkingBlock, role: str, path: str) -> ThinkingParam | None:
        signature = self._state(block.provider_raw, "signature", role)
        if isinstance(signature, str) and signature:
            return ThinkingParam(block.text, signature)
        self.drop(path, "thinking that this provider did not sign isn't sent to it")
        return None

    def _redacted_thinking(self, block: RedactedThinkingBlock, role: str, path: str) -> RedactedThinkingParam | None:
        data = self._state(block.provider_raw, "data", role)
        if isinstance(data, str) and data:
            return RedactedThinkingParam(data)
        self.drop(path, "redacted thinking of another provider isn't sent to this one")
        return None

    def _opaque(self, block: OpaqueBlock, role: str, path: str) -> dict[str, Any] | None:
        found = self._state(block.provider_raw, "block", role)
        if isinstance(found, dict) and found:
            return cast("dict[str, Any]", found)
        self.drop(path, "another provider's own block isn't sent to this one")
        return None

    def _own(self, raw: ProviderRaw | None) -> bool:
        return raw is not None and raw.get("provider") in self._owners

    def _state(self, raw: ProviderRaw | None, key: str, role: str) -> Any:
        return raw.get(key) if raw is not None and role == "assistant" and self._own(raw) else None

    # ---- tools

    def _tool_use(self, block: ToolUseBlock, role: str, path: str) -> ToolUseParam:
        if role != "assistant":
            raise ProviderFailure("invalid_request", f"{path}: a tool_use belongs in an assistant message")
        param = ToolUseParam(wire_tool_id(block.id), block.name, block.input)
        if block.provider_raw is not None and self._own(block.provider_raw):
            param.caller = block.provider_raw.get("caller")
            param.toolset_name = block.provider_raw.get("toolset_name")
        return param

    def _tool_result(self, block: ToolResultBlock, role: str, path: str) -> ToolResultParam:
        if role == "assistant":
            raise ProviderFailure("invalid_request", f"{path}: a tool_result belongs in a tool or user message")
        content = block.content
        if not isinstance(content, str):
            parts = [self.encode(part, "user", f"{path}.content[{number}]") for number, part in enumerate(content)]
            content = cast("list[TextParam | ImageParam | DocumentParam]", [part for part in parts if part is not None])
        if not content and block.is_error:
            content = "The tool failed and said nothing."  # an error without content is refused
        return ToolResultParam(wire_tool_id(block.tool_use_id), content or None, block.is_error)

    # ---- media

    def _media(self, block: MediaBlock, role: str, path: str) -> ImageParam | DocumentParam | None:
        if role == "assistant":
            self.drop(path, "this provider takes no media in an assistant message")
            return None
        if isinstance(block, AudioBlock):
            raise ProviderFailure(
                "capability_mismatch", f"{path}: this provider takes no audio; send a transcript, or choose a model that listens"
            )
        if block.detail not in (None, "auto"):
            self.warnings.append(Warning("parameter_ignored", "this provider has no image detail levels", f"{path}.detail"))
        source = block.source
        if isinstance(source, FileIdSource):
            self.uses_file_ids = True
            return self._placed(block, FileId(source.file_id), plain_media_type(block.media_type))
        if isinstance(source, Base64Source):
            return self._inline(block, source.data, block.media_type, path)
        inline = parse_data_url(source.url)
        if inline is not None:
            return self._inline(block, inline.data, inline.media_type or block.media_type, path)
        return self._placed(block, Url(source.url), plain_media_type(block.media_type))

    def _placed(
        self, block: ImageBlock | FileBlock, source: Base64Data | Url | FileId, media_type: str | None
    ) -> ImageParam | DocumentParam:
        """An image or a document, by media type where there is one, by kind of block where there is none."""
        image = media_type.startswith("image/") if media_type else isinstance(block, ImageBlock)
        return ImageParam(source) if image else self._document(block, source)

    def _document(self, block: ImageBlock | FileBlock, source: Base64Data | PlainText | Url | FileId) -> DocumentParam:
        return DocumentParam(source, block.filename or None, self._citations)

    def _inline(self, block: ImageBlock | FileBlock, data: str, declared: str | None, path: str) -> ImageParam | DocumentParam:
        media_type = media_type_of(declared, data)
        if media_type in IMAGE_TYPES or media_type == "application/pdf":
            return self._placed(block, Base64Data(media_type, data), media_type)
        if isinstance(block, FileBlock) and (media_type is None or media_type.startswith("text/") or media_type in _TEXT_LIKE):
            text = decode_text(data)
            if text is not None:
                return self._document(block, PlainText("text/plain", text))
        if media_type is None:
            raise ProviderFailure("invalid_request", f"{path}: the kind of this data is unknown; give its media_type")
        raise ProviderFailure(
            "capability_mismatch", f"{path}: this provider takes no {media_type}; send JPEG, PNG, GIF, WebP, PDF or UTF-8 text"
        )
