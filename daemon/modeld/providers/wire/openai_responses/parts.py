"""Content parts of the Responses wire: text, images and files, of user messages and of tool results alike.

https://developers.openai.com/api/docs/guides/images-vision, …/pdf-files (2026-11-20).
"""

from typing import Any

from modeld_protocol.content import AudioBlock, Base64Source, FileBlock, FileIdSource, ImageBlock, MediaBlock, UrlSource

from ...failure import ProviderFailure
from ..media import parse_data_url
from ..notes import Notes
from ..openai_shared.inline_media import DETAILS, default_filename, inline_data_url

Part = dict[str, Any]

_FILE_DETAILS = frozenset(("auto", "low", "high"))


def encode_text(text: str) -> Part:
    """Text that a client wrote."""
    return {"type": "input_text", "text": text}


def encode_media(block: MediaBlock, path: str, notes: Notes) -> Part:
    """One media block as a part. Raises ProviderFailure for what this wire does not take."""
    if isinstance(block, AudioBlock):
        raise ProviderFailure(
            "capability_mismatch", f"{path}: this wire takes no audio; send a transcript, or use an adapter whose wire does"
        )
    known = DETAILS if isinstance(block, ImageBlock) else _FILE_DETAILS
    if block.detail is not None and block.detail not in known:
        notes.add("parameter_ignored", "this detail is unknown to this wire; it was left out", path)
    detail = block.detail if block.detail in known else None
    return _encode_image(block, detail, path) if isinstance(block, ImageBlock) else _encode_file(block, detail, path)


def _encode_image(block: ImageBlock, detail: str | None, path: str) -> Part:
    source = block.source
    part: Part = {"type": "input_image", "detail": detail or "auto"}
    if isinstance(source, FileIdSource):
        part["file_id"] = source.file_id
    else:
        part["image_url"] = source.url if isinstance(source, UrlSource) else inline_data_url(block, source, path)
    return part


def _encode_file(block: FileBlock, detail: str | None, path: str) -> Part:
    source, part = block.source, {"type": "input_file"}
    if detail is not None:
        part["detail"] = detail
    if isinstance(source, FileIdSource):
        return {**part, "file_id": source.file_id}
    if isinstance(source, UrlSource):
        inline = parse_data_url(source.url)
        if inline is None:
            return {**part, "file_url": source.url}
        source = Base64Source(inline.data)
        block = FileBlock(source, inline.media_type or block.media_type, block.filename)
    url = inline_data_url(block, source, path)
    return {**part, "filename": block.filename or default_filename(url), "file_data": url}
