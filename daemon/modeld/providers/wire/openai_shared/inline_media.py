"""Media inside a request, as the OpenAI wires take them: data: URLs of standard base64.

https://developers.openai.com/api/docs/guides/images-vision, …/pdf-files (2026-11-20).
"""

from modeld_protocol.content import Base64Source, MediaBlock

from ...failure import ProviderFailure
from ..media import build_data_url, plain_media_type, sniff_media_type

DETAILS = frozenset(("auto", "low", "high", "original"))
_FILENAMES = {"application/pdf": "document.pdf", "text/plain": "document.txt", "text/markdown": "document.md"}
_BASE64URL = str.maketrans("-_", "+/", " \t\r\n")


def inline_data_url(block: MediaBlock, source: Base64Source, path: str) -> str:
    """What the client says of the type counts: this wire does not check it against the bytes."""
    media_type = plain_media_type(block.media_type) or sniff_media_type(source.data)
    if media_type is None:
        raise ProviderFailure("invalid_request", f"{path}: media_type is missing, and the data do not tell it; name it")
    return build_data_url(media_type, standard_base64(source.data))


def standard_base64(data: str) -> str:
    """The standard alphabet with padding and without white space, which data: URLs need."""
    if "-" in data or "_" in data or "\n" in data or " " in data or "\r" in data or "\t" in data:
        data = data.translate(_BASE64URL)
    return data + "=" * (-len(data) % 4)


def default_filename(data_url: str) -> str:
    """A name for a file that has none; the API takes no file data without one."""
    return _FILENAMES.get(data_url[5 : data_url.index(";")], "document")
