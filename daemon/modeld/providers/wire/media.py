"""Media types and data: URLs: what wires need to know of the bytes that they pass on."""

import base64
import binascii
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
)
_HEAD_CHARS = 64  # of base64: 48 bytes hold every magic number above
_SYNONYMS = {"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav"}


class DataUrl(NamedTuple):
    """The parts of a data: URL. `data` is base64 text; `media_type` is None where the URL names none."""

    media_type: str | None
    data: str


def sniff_media_type(data: str) -> str | None:
    """The media type of base64 text by its first bytes, None where they are unknown or no base64."""
    head = decode_base64(data[:_HEAD_CHARS])
    if not head:
        return None
    for offset, magic, media_type in _MAGIC:
        if head.startswith(magic, offset):
            return media_type
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # an MPEG frame: sync bits, layer III
        return "audio/mpeg"
    return None


def plain_media_type(media_type: str | None) -> str | None:
    """A media type in lower case, without parameters, by its registered name; None for nothing."""
    if not media_type:
        return None
    bare = media_type.partition(";")[0].strip().lower()
    return _SYNONYMS.get(bare, bare) or None


def media_type_of(declared: str | None, data: str) -> str | None:
    """What base64 text is: its own first bytes win over what was declared, for providers check them and refuse a mismatch.

    Container formats that hold other types (zip for office files, mp4) never overrule a declaration.
    """
    stated = plain_media_type(declared)
    found = sniff_media_type(data)
    if stated is None:
        return found
    if found is None or found in ("application/zip", "video/mp4", "video/webm", "audio/ogg") or stated.startswith("text/"):
        return stated
    return found


def decode_base64(text: str) -> bytes | None:
    """The bytes of base64 text in either alphabet, with or without padding and line breaks; None where it is none."""
    compact = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def decode_text(data: str) -> str | None:
    """The text in base64 of UTF-8, None where it is something else."""
    raw = decode_base64(data)
    if raw is None:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def build_data_url(media_type: str, data: str) -> str:
    """`data:<media_type>;base64,<data>`; `data` is base64 text."""
    return f"data:{media_type};base64,{data}"


def parse_data_url(url: str) -> DataUrl | None:
    """The parts of a data: URL (RFC 2397), None where it is another kind of URL or broken.

    Percent-encoded data come back as base64.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    media_type, *parameters = head.split(";")
    if any(parameter.strip().lower() == "base64" for parameter in parameters):
        return DataUrl(plain_media_type(media_type), data)
    return DataUrl(plain_media_type(media_type), base64.b64encode(unquote_to_bytes(data)).decode("ascii"))
