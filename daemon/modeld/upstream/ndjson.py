"""Newline-delimited JSON: bytes in, one frame a line out. Pure."""

from ..limits import MAX_LINE_BYTES
from .contract import UpstreamError
from .sse import Frame


class NdjsonDecoder:
    """The SseDecoder's counterpart for bodies of one JSON value a line; frames have no name, blank lines are skipped.

    A line over the limit raises UpstreamError("too_large"), after the lines before it have been returned.
    """

    __slots__ = ("_max_line_bytes", "_started", "_tail", "_too_large")

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._tail = bytearray()  # the line that isn't complete yet
        self._started = False  # past the place where a byte order mark may stand
        self._too_large = False

    def feed(self, data: bytes) -> list[Frame]:
        """The lines that this piece completes."""
        self._raise_refusal()
        lines = data.split(b"\n")
        rest = lines.pop()
        if self._tail and lines:
            lines[0] = bytes(self._tail) + lines[0]
            self._tail = bytearray()
        frames: list[Frame] = []
        for line in lines:
            if len(line) > self._max_line_bytes:
                return self._refuse(frames)
            if value := self._strip(line):
                frames.append(("", value))
        self._tail += rest
        return frames if len(self._tail) <= self._max_line_bytes else self._refuse(frames)

    def end(self) -> list[Frame]:
        """The last line, if the body doesn't end in a line end."""
        self._raise_refusal()
        value = self._strip(bytes(self._tail))
        self._tail.clear()
        return [("", value)] if value else []

    def _strip(self, line: bytes) -> bytes:
        if not self._started:
            self._started = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.strip(b" \t\r")

    def _refuse(self, frames: list[Frame]) -> list[Frame]:
        self._too_large = True
        self._tail.clear()
        if not frames:
            self._raise_refusal()
        return frames

    def _raise_refusal(self) -> None:
        if self._too_large:
            message = f"a line of the stream is longer than {self._max_line_bytes} bytes; try again or use another model"
            raise UpstreamError("too_large", message, answered=True)
