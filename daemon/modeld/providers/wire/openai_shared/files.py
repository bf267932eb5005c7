"""Files of the OpenAI wires: `/files`. https://developers.openai.com/api/reference/resources/files (2026-11-20)

Relatives have the same addresses; what their forms and pages hold otherwise stands in their rows.
"""

from typing import Any, cast
from urllib.parse import quote

from modeld_protocol.session import ProviderFile

from ...failure import ProviderFailure
from ...spec import Quirks
from ..contract import Encoded
from ..loose_json import parse_json, whole_number
from ..multipart import FileContent, encode_form
from .errors import decode_failure

PATH = "/files"


class OpenAIFiles:
    """See FileWire."""

    def encode_upload(self, file: FileContent, quirks: Quirks) -> Encoded:
        """See FileWire."""
        purpose = _purpose_of(file, quirks)
        form = encode_form({} if purpose is None else {"purpose": purpose}, file)
        return Encoded(PATH, form.body, {"content-type": form.content_type})

    def decode_file(self, body: bytes, provider: str) -> ProviderFile:
        """See FileWire."""
        found = _file(_object(body), provider)
        if found is None:
            raise ProviderFailure("server_error", "the provider's answer names no file; list the files to see if it is there")
        return found

    def encode_list(self, page: str | None, quirks: Quirks) -> Encoded:
        """See FileWire."""
        size = quirks.file_page_size
        asked = [*([f"limit={size}"] if size is not None else []), *([f"after={quote(page, safe='')}"] if page else [])]
        return Encoded(f"{PATH}?{'&'.join(asked)}" if asked else PATH, b"", method="GET")

    def decode_list(self, body: bytes, provider: str) -> tuple[list[ProviderFile], str | None]:
        """See FileWire."""
        listed = _object(body)
        entries = listed.get("data")
        if not isinstance(entries, list):
            raise decode_failure(200, {}, body)
        found = [
            _file(cast("dict[str, Any]", entry), provider) for entry in cast("list[Any]", entries) if isinstance(entry, dict)
        ]
        files = [file for file in found if file is not None]
        return files, files[-1].file_id if files and listed.get("has_more") is True else None

    def encode_delete(self, file_id: str) -> Encoded:
        """See FileWire."""
        return Encoded(f"{PATH}/{quote(file_id, safe='')}", b"", method="DELETE")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value, _ = parse_json(body)
    except ValueError:
        raise decode_failure(200, {}, body) from None
    if not isinstance(value, dict) or cast("dict[str, Any]", value).get("error"):
        raise decode_failure(200, {}, body)
    return cast("dict[str, Any]", value)


def _purpose_of(file: FileContent, quirks: Quirks) -> str | None:
    media_type = file.media_type or ""
    return next((purpose for kind, purpose in quirks.file_purposes if media_type.startswith(kind)), None)


def _file(entry: dict[str, Any], provider: str) -> ProviderFile | None:
    """Size and media type stand where the provider puts them; most tell no media type."""
    id, name, media_type = entry.get("id"), entry.get("filename"), entry.get("mime_type")
    if not isinstance(id, str) or not id:
        return None
    size = whole_number(entry.get("bytes", entry.get("size_bytes")))
    named = name if isinstance(name, str) else None
    return ProviderFile(id, provider, named, size, media_type if isinstance(media_type, str) else None)
