"""Files of the Messages wire: `/v1/files`, on the API version that has them without a beta.

https://platform.claude.com/docs/en/api/files-create (2026-11-20). Files outlive versions: what is uploaded here may be named
in requests of either.
"""

from urllib.parse import quote

import msgspec

from modeld_protocol.session import ProviderFile

from ...spec import Quirks
from ..contract import Encoded
from ..multipart import FileContent, encode_form
from .reasoning import NO_SAMPLING_VERSION
from .response import decode_json

PATH = "/v1/files"
_PAGE_SIZE = 1_000
_HEADERS = {"anthropic-version": NO_SAMPLING_VERSION}


class _File(msgspec.Struct):
    id: str
    filename: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None

    def named(self, provider: str) -> ProviderFile:
        return ProviderFile(self.id, provider, self.filename, self.size_bytes, self.mime_type)


class _Page(msgspec.Struct):
    data: list[_File]
    next_page: str | None = None


_FILE = msgspec.json.Decoder(_File)
_PAGE = msgspec.json.Decoder(_Page)


class MessagesFiles:
    """See FileWire."""

    def encode_upload(self, file: FileContent, quirks: Quirks) -> Encoded:
        """See FileWire."""
        form = encode_form({}, file)
        return Encoded(PATH, form.body, {**_HEADERS, "content-type": form.content_type})

    def decode_file(self, body: bytes, provider: str) -> ProviderFile:
        """See FileWire."""
        return decode_json(_FILE, body, None, "a file's description").named(provider)

    def encode_list(self, page: str | None, quirks: Quirks) -> Encoded:
        """See FileWire."""
        more = f"&page={quote(page, safe='')}" if page else ""
        return Encoded(f"{PATH}?limit={_PAGE_SIZE}{more}", b"", _HEADERS, method="GET")

    def decode_list(self, body: bytes, provider: str) -> tuple[list[ProviderFile], str | None]:
        """See FileWire."""
        page = decode_json(_PAGE, body, None, "a list of files")
        return [file.named(provider) for file in page.data], page.next_page or None

    def encode_delete(self, file_id: str) -> Encoded:
        """See FileWire."""
        return Encoded(f"{PATH}/{quote(file_id, safe='')}", b"", _HEADERS, method="DELETE")
