"""Server-sent events: bytes in, frames out. Pure.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream (read 2026-11-20), with two
differences: `id` and `retry` mean nothing here, and an event that the end of the body cuts off before its blank line still
counts, since some providers leave that line out.
"""

from typing import Final

from ..limits import MAX_EVENT_BYTES, MAX_LINE_BYTES
from .contract import UpstreamError

Frame = tuple[str, bytes]

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10  # looking for a number in bytes costs a sixth of looking for a one-byte string
_CR: Final = 13
_MAX_NAMES: Final = 256
_MAX_NAME_BYTES: Final = 80
_names: dict[bytes, str] = {}


class SseDecoder:
    """Feed the body's pieces, get (event name or "", data) of every event that is complete.

    The frames do not depend on where the pieces are cut. A line or an event over its limit raises
    UpstreamError("too_large"), after the frames before it have been returned.
    """

    __slots__ = (
        "_after_cr",
        "_head",
        "_line_bytes",
        "_max_event_bytes",
        "_max_line_bytes",
        "_rare",
        "_safe_bytes",
        "_tail",
        "_too_large",
    )

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._max_event_bytes = max_event_bytes
        self._safe_bytes = min(max_line_bytes, max_event_bytes)  # what is no longer than this breaks neither limit
        self._rare = True  # whether one of the next three needs a look
        self._head: bytes | None = b""  # what may be the start of a byte order mark; None once that is settled
        self._after_cr = False  # the last piece ended in CR: an LF at the start of the next belongs to it
        self._too_large: str | None = None
        self._tail = bytearray()  # the event that isn't complete yet, line ends already LF
        self._line_bytes = 0  # of the tail's last line

    def feed(self, data: bytes) -> list[Frame]:
        """The events that this piece completes."""
        if self._rare or _CR in data:
            data = self._normalise(data)
        if data[-2:] == b"\n\n" and not self._tail and len(data) <= self._safe_bytes:
            if data[:6] == b"data: ":
                frames = _split_plain(data[6:-2])
            elif data[:7] == b"event: ":
                frames = _split_named(data[7:-2])
            else:
                frames = None
            if frames:
                return frames
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> list[Frame]:
        if self._tail:
            # Only the seam and the new piece can hold the blank line; the tail is copied once, when its event is complete.
            if b"\n\n" not in data and not (self._tail[-1] == _LF and data[:1] == b"\n"):
                return [] if self._append(data) else self._last_before_refusal([])
            data = bytes(self._tail) + data
            self._tail = bytearray()
            self._line_bytes = 0
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        frames: list[Frame] = []
        for block in blocks:
            if len(block) > self._safe_bytes and not self._fits(block):
                return self._last_before_refusal(frames)
            if block[:6] == b"data: " and _LF not in block:
                frames.append(("", block[6:]))
            elif frame := _parse_block(block):
                frames.append(frame)
        if rest and not self._append(rest):
            return self._last_before_refusal(frames)
        return frames

    def end(self) -> list[Frame]:
        """The event that the end of the body left unfinished, if it has data."""
        if self._head:
            self._append(self._head)
        self._head = None
        block = bytes(self._tail.removesuffix(b"\n"))
        self._tail.clear()
        self._fits(block)
        self._raise_refusal()
        frame = _parse_block(block)
        return [frame] if frame else []

    def _normalise(self, data: bytes) -> bytes:
        """The piece without byte order mark and with LF for every line end."""
        self._raise_refusal()
        if self._head is not None:
            data = self._head + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._head = data
                return b""
            self._head = None
            data = data.removeprefix(_BOM)
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._rare = self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _append(self, data: bytes) -> bool:
        """Keep the piece of an event that isn't complete. Returns whether it is within the limits so far."""
        self._tail += data
        newline = data.rfind(b"\n")
        self._line_bytes = self._line_bytes + len(data) if newline < 0 else len(data) - newline - 1
        if self._line_bytes > self._max_line_bytes:
            return self._refuse("a line", self._max_line_bytes)
        # A line end at its end may be the first half of the blank line, which isn't part of the event.
        if len(self._tail) - self._tail.endswith(b"\n") > self._max_event_bytes:
            return self._refuse("an event", self._max_event_bytes)
        return True

    def _fits(self, block: bytes) -> bool:
        if len(block) > self._max_event_bytes:
            return self._refuse("an event", self._max_event_bytes)
        if max(map(len, block.split(b"\n"))) > self._max_line_bytes:
            return self._refuse("a line", self._max_line_bytes)
        return True

    def _refuse(self, what: str, max_bytes: int) -> bool:
        self._rare = True
        self._too_large = f"{what} of the stream is longer than {max_bytes} bytes; try again or use another model"
        self._tail.clear()
        return False

    def _last_before_refusal(self, frames: list[Frame]) -> list[Frame]:
        if not frames:
            self._raise_refusal()
        return frames

    def _raise_refusal(self) -> None:
        if self._too_large:
            raise UpstreamError("too_large", self._too_large, answered=True)


def _split_plain(text: bytes) -> list[Frame] | None:
    """The events of a piece where each is one data line, the usual case; None where that isn't so."""
    if _LF not in text:
        return [("", text)]
    values = text.split(b"\n\ndata: ")
    frames = [("", value) for value in values if _LF not in value]
    return frames if len(frames) == len(values) else None


def _split_named(text: bytes) -> list[Frame] | None:
    """The events of a piece where each is a name and one data line; None where that isn't so."""
    frames: list[Frame] = []
    for block in text.split(b"\n\nevent: "):
        name, found, value = block.partition(b"\ndata: ")
        if not found or _LF in value or _LF in name:
            return None
        frames.append((_names.get(name) or _parse_name(name), value))
    return frames


def _parse_block(block: bytes) -> Frame | None:
    """The event of the lines between two blank lines; None for comments and events without data."""
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return (_names.get(name) or _parse_name(name), b"\n".join(data)) if data else None


def _parse_name(raw: bytes) -> str:
    """The event name as text; a provider has a dozen, so that most look-ups find theirs."""
    name = str(raw, "utf-8", "replace")
    if len(_names) < _MAX_NAMES and len(raw) < _MAX_NAME_BYTES:
        _names[raw] = name
    return name
