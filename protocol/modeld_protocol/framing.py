"""LSP base-protocol framing, without IO: bytes in, message bodies out.

Invariant: any split of any bytes gives the same bodies, then at most one FramingError, after which the stream is dead.
"""

from collections.abc import Iterator

MAX_HEADER_BYTES = 4 * 1024
MAX_MESSAGE_BYTES = 32 * 1024 * 1024

_SEPARATOR = b"\r\n\r\n"
_USUAL = b"Content-Length: "
_KNOWN = (b"content-length", b"content-type")
_BROWSER = (b"host", b"origin", b"cookie", b"sec-")


class FramingError(Exception):
    """The byte stream cannot be resynchronised; the connection must be closed."""


class ForeignProtocol(FramingError):
    """The other end speaks something else, such as HTTP: close without an answer."""

    def __init__(self) -> None:
        super().__init__("not a known header line; this socket speaks JSON-RPC with Content-Length framing")


def frame(body: bytes) -> bytes:
    """One message on the wire: its header, then `body`."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class FrameDecoder:
    """Splits a byte stream into message bodies.

    A first line that is no known header fails at once, before its line end has come: a browser never gets further.
    A body announced above `max_message_bytes` is refused at its header. A body in many pieces is collected in one buffer,
    so that it costs its own size however small the pieces are.
    """

    __slots__ = ("_body", "_header", "_max_header_bytes", "_max_message_bytes", "_missing")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES, max_header_bytes: int = MAX_HEADER_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_header_bytes = max_header_bytes
        self._header = b""
        self._body = bytearray()
        self._missing = 0

    @property
    def idle(self) -> bool:
        """True between messages: an end of the stream here cuts nothing."""
        return not self._missing and not self._header

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Bodies completed by `data`, in order; raises FramingError after the good ones.

        Take every body before the next `feed`.
        """
        start = 0
        if self._missing:
            start = self._collect(data)
            if self._missing:
                return
            body, self._body = bytes(self._body), bytearray()
            yield body
        elif self._header:
            data, self._header = self._header + data, b""
        size = len(data)
        while start < size:
            end = data.find(_SEPARATOR, start, start + self._max_header_bytes + 4)
            if end < 0:
                self._header = self._unfinished_header(data, start)
                return
            start, stop = end + 4, end + 4 + self._content_length(data[start:end])
            if stop > size:
                self._body += memoryview(data)[start:]
                self._missing = stop - size
                return
            yield data[start:stop]
            start = stop

    def _collect(self, data: bytes) -> int:
        """Add to the body; returns how much of `data` that took."""
        used = min(self._missing, len(data))
        self._body += data if used == len(data) else memoryview(data)[:used]
        self._missing -= used
        return used

    def _unfinished_header(self, data: bytes, start: int) -> bytes:
        header = data[start : start + self._max_header_bytes + 4]
        name, colon, _ = header[:32].partition(b":")
        key = name.strip().lower()
        if key not in _KNOWN if colon else not any(known.startswith(key) for known in _KNOWN):
            raise ForeignProtocol
        if header.count(b"\n") != header.count(b"\r\n"):
            raise FramingError("header lines must end in CRLF")
        if len(header) > self._max_header_bytes + 3:
            raise FramingError(f"header block longer than {self._max_header_bytes} bytes")
        return header

    def _content_length(self, block: bytes) -> int:
        digits = block[16:] if block.startswith(_USUAL) else b""
        if not digits.isdigit():
            digits = _parse_headers(block)
        if len(digits) > 18 or (length := int(digits)) > self._max_message_bytes:
            raise FramingError(f"message of {digits[:20].decode()} bytes announced; the limit is {self._max_message_bytes}")
        return length


def _parse_headers(block: bytes) -> bytes:
    """The digits of Content-Length."""
    digits: bytes | None = None
    for number, line in enumerate(block.split(b"\r\n")):
        name, colon, value = line.partition(b":")
        key = name.strip().lower()
        if not colon or (number == 0 and key not in _KNOWN) or key.startswith(_BROWSER):
            raise ForeignProtocol
        if b"\n" in line or b"\r" in line:
            raise FramingError("header lines must end in CRLF")
        if key != b"content-length":
            continue
        if digits is not None:
            raise FramingError("Content-Length is given twice")
        digits = value.strip()
        if not digits.isdigit():
            raise FramingError("Content-Length must be a decimal number of bytes")
    if digits is None:
        raise FramingError("Content-Length is missing")
    return digits
