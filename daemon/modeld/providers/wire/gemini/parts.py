"""Media as parts of the Gemini wire. https://ai.google.dev/gemini-api/docs/file-input-methods (2026-11-20)"""

from urllib.parse import urlsplit

from modeld_protocol.content import Base64Source, FileIdSource, MediaBlock

from ...failure import ProviderFailure
from ..media import media_type_of, parse_data_url, plain_media_type
from ..notes import Notes
from .types import PartParam

FILES = "https://generativelanguage.googleapis.com/v1beta/"
"""Uploaded files are named by their URI: https://ai.google.dev/api/files (2026-11-20)."""

# What a URL's path tells where a client doesn't: the API does not look for itself.
_BY_SUFFIX = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown",
    "csv": "text/csv", "html": "text/html", "json": "application/json", "mp3": "audio/mpeg", "wav": "audio/wav",
    "ogg": "audio/ogg", "flac": "audio/flac", "aac": "audio/aac", "m4a": "audio/mp4", "mp4": "video/mp4",
    "webm": "video/webm", "mov": "video/quicktime", "mpeg": "video/mpeg",
}  # fmt: skip

# https://ai.google.dev/gemini-api/docs/function-calling#multimodal (2026-11-20)
RESULT_TYPES = ("image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain")


def encode_media(block: MediaBlock, path: str, notes: Notes) -> PartParam:
    """`inlineData` for bytes, `fileData` for a URL or an uploaded file. Raises ProviderFailure for data of no known kind."""
    if block.detail not in (None, "auto"):
        notes.add("parameter_ignored", "this wire has no detail of a single image; see media_resolution", f"{path}.detail")
    source = block.source
    if isinstance(source, FileIdSource):
        uri = source.file_id if "://" in source.file_id else f"{FILES}files/{source.file_id.removeprefix('files/')}"
        return _file(uri, plain_media_type(block.media_type))
    if isinstance(source, Base64Source):
        return _inline(source.data, block.media_type, path)
    inline = parse_data_url(source.url)
    if inline is not None:
        return _inline(inline.data, inline.media_type or block.media_type, path)
    return _file(source.url, plain_media_type(block.media_type) or _guessed(source.url))


def takes_in_results(part: PartParam) -> bool:
    """Whether a media part may stand in a tool's result."""
    held = part.get("inlineData") or part["fileData"]
    return held.get("mimeType") in RESULT_TYPES


def _inline(data: str, declared: str | None, path: str) -> PartParam:
    media_type = media_type_of(declared, data)
    if media_type is None:
        raise ProviderFailure("invalid_request", f"{path}: media_type is missing, and the data do not tell it; name it")
    return {"inlineData": {"mimeType": media_type, "data": "".join(data.split())}}


def _file(uri: str, media_type: str | None) -> PartParam:
    held = {"fileUri": uri} if media_type is None else {"mimeType": media_type, "fileUri": uri}
    return {"fileData": held}


def _guessed(url: str) -> str | None:
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return _BY_SUFFIX.get(path.rpartition(".")[2].lower())
