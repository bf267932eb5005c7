"""Files of the OpenAI wires: `/files`. https://developers.openai.com/api/reference/resources/files (2026-11-20)"""

from typing import Any, cast
from urllib.parse import quote

from modeld_protocol.session import ProviderFile

from ...failure import ProviderFailure
from ..contract import Encoded
from ..multipart import FileContent, encode_form
from .errors import decode_failure
from .loose_json import parse_json, whole_number

PATH = "/files"
_PAGE_SIZE = 1_000
_PURPOSE = "user_data"  # what is meant for prompts


class OpenAIFiles:
    """See FileWire."""

    def encode_upload(self, file: FileContent) -> Encoded:
        """See FileWire."""
        form = encode_form({"purpose": _PURPOSE}, file)
        return Encoded(PATH, form.body, {"content-type": form.content_type})

    def decode_file(self, body: bytes, provider: str) -> ProviderFile:
        """See FileWire."""
        found = _file(_object(body), provider)
        if found is None:
            raise ProviderFailure("server_error", "the provider's answer names no file; list the files to see if it is there")
        return found

    def encode_list(self, page: str | None) -> Encoded:
        """See FileWire."""
        after = f"&after={quote(page, safe='')}" if page else ""
        return Encoded(f"{PATH}?limit={_PAGE_SIZE}{after}", b"", method="GET")

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


def _file(entry: dict[str, Any], provider: str) -> ProviderFile | None:
    """The provider tells no media type."""
    id, name = entry.get("id"), entry.get("filename")
    if not isinstance(id, str) or not id:
        return None
    return ProviderFile(id, provider, name if isinstance(name, str) else None, whole_number(entry.get("bytes")))
