"""Multipart bodies: a form with one file in it (RFC 7578), and a file behind what is said of it (RFC 2387)."""

import hashlib
from typing import NamedTuple

_UNNAMED = "file"
_ANY_TYPE = "application/octet-stream"


class FileContent(NamedTuple):
    """A file to be uploaded."""

    filename: str
    data: bytes
    media_type: str | None = None


class Multipart(NamedTuple):
    """A body and the content type that tells its boundary."""

    content_type: str
    body: bytes


def encode_form(fields: dict[str, str], file: FileContent) -> Multipart:
    """`multipart/form-data` of plain fields and the file, as `file`."""
    boundary = _boundary(file.data)
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary, name.encode(), value.encode())
        for name, value in fields.items()
    ]
    named = b'form-data; name="file"; filename="%b"' % _quoted(file.filename)
    head = b"--%b\r\nContent-Disposition: %b\r\nContent-Type: %b\r\n\r\n" % (boundary, named, _type_of(file))
    body = b"".join([*parts, head, file.data, b"\r\n--%b--\r\n" % boundary])
    return Multipart(f"multipart/form-data; boundary={boundary.decode()}", body)


def encode_related(said: bytes, file: FileContent) -> Multipart:
    """`multipart/related`: JSON that describes the file, then the file."""
    boundary = _boundary(file.data)
    first = b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b\r\n" % (boundary, said)
    second = b"--%b\r\nContent-Type: %b\r\n\r\n" % (boundary, _type_of(file))
    body = b"".join([first, second, file.data, b"\r\n--%b--\r\n" % boundary])
    return Multipart(f"multipart/related; boundary={boundary.decode()}", body)


def _boundary(data: bytes) -> bytes:
    """A line that the data can't hold, short of a broken hash; the same for the same data."""
    return b"modeld-" + hashlib.sha256(data).hexdigest()[:40].encode()


def _type_of(file: FileContent) -> bytes:
    """The media type, where it can stand in a header."""
    given = (file.media_type or "").strip()
    fits = given.isascii() and given.isprintable() and "/" in given
    return (given if fits else _ANY_TYPE).encode()


def _quoted(name: str) -> bytes:
    """A file name inside quotes, with what would end them percent-encoded, as browsers do."""
    plain = name.encode("utf-8", "replace") or _UNNAMED.encode()
    return plain.replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
