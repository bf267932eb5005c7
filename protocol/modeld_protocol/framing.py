"""LSP base-protocol framing, without IO: bytes in, message bodies out.

Invariant: any split of any bytes gives the same bodies, then at most one FramingError, after which the stream is dead.
"""

from collections.abc import Iterator

MAX_HEADER_BYTES = 4 * 1024
MAX_MESSAGE_BYTES = 32 * 1024 * 1024

_SEPARATOR = b"\r\n\r\n"
_KNOWN = (b"content-length", b"content-type")
_NOT_OURS = "not a known header line; this socket speaks JSON-RPC with Content-Length framing"


class FramingError(Exception):
    """The byte stream cannot be resynchronised; the connection must be closed."""


def frame(body: bytes) -> bytes:
    """One message on the wire: its header, then `body`."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class FrameDecoder:
    """Splits a byte stream into message bodies.

    A first line that is no known header fails at once, before its line end has come: a browser never gets further.
    A body announced above `max_message_bytes` is refused at its header. Bodies are collected in pieces, so that a large
    message costs one copy.
    """

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES, max_header_bytes: int = MAX_HEADER_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_header_bytes = max_header_bytes
        self._header = b""
        self._pieces: list[bytes] = []
        self._missing = 0

    @property
    def idle(self) -> bool:
        """True between messages: an end of the stream here cuts nothing."""
        return not self._missing and not self._header

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Bodies completed by `data`, in order; raises FramingError after the good ones."""
        while data:
            if self._missing:
                piece = data[: self._missing]
                self._pieces.append(piece)
                self._missing -= len(piece)
                data = data[len(piece) :]
                if self._missing:
                    return
                body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces = []
                yield body
                continue
            header = self._header + data if self._header else data
            end = header.find(_SEPARATOR)
            if end < 0:
                self._check_unfinished(header)
                self._header = header
                return
            if end > self._max_header_bytes:
                raise FramingError(f"header block longer than {self._max_header_bytes} bytes")
            self._header = b""
            self._missing = self._content_length(header[:end])
            data = header[end + 4 :]
            if not self._missing:
                yield b""

    def _check_unfinished(self, header: bytes) -> None:
        start = header[:15].partition(b":")[0].strip().lower()
        if not any(name.startswith(start) if b":" not in header[:15] else name == start for name in _KNOWN):
            raise FramingError(_NOT_OURS)
        if b"\n\n" in header:
            raise FramingError("header lines must end in CRLF")
        if len(header) > self._max_header_bytes:
            raise FramingError(f"header block longer than {self._max_header_bytes} bytes")

    def _content_length(self, block: bytes) -> int:
        length: int | None = None
        for number, line in enumerate(block.split(b"\r\n")):
            name, colon, value = line.partition(b":")
            key = name.strip().lower()
            if not colon or (number == 0 and key not in _KNOWN):
                raise FramingError(_NOT_OURS)
            if key != b"content-length":
                continue
            digits = value.strip()
            if length is not None or not digits.isdigit() or len(digits) > 18:
                raise FramingError("Content-Length must be given once, as a decimal number")
            length = int(digits)
        if length is None:
            raise FramingError("Content-Length is missing")
        if length > self._max_message_bytes:
            raise FramingError(f"message of {length} bytes announced; the limit is {self._max_message_bytes}")
        return length
