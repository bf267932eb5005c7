"""Characters that a provider cut in two: the first half of a surrogate pair ends one frame's text, the other begins the next's.

Servers that count in UTF-16 do that (`"…\\ud83d"`, then `"\\ude00…"`). Either half alone is no character, and a decoder could
only replace it; so the first half moves over into the frame of the second before any decoder sees them. Pure.
"""

import re

Frame = tuple[str, bytes]

MARK = b"\\u"
"""A frame without it can be passed by."""
_MAX_WAITING = 4  # pings may stand between; what stays alone is for the decoder to replace
_FIRST = re.compile(rb'(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2})(?=")')
_SECOND = re.compile(rb'(?<=[:,\[{\s])"(?=\\u[dD][c-fC-F][0-9a-fA-F]{2})')


class Halves:
    """Frames in, the same frames out, with halves joined. A frame that ends with a half waits for the next ones."""

    __slots__ = ("_firsts", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Frame] = []
        self._firsts: list[bytes] = []

    def take(self, frame: Frame) -> list[Frame]:
        """The frames that may be read now."""
        ready: list[Frame] = []
        waiting = self.waiting
        if waiting:
            joined = self._joined(frame[1])
            if joined is not None:
                event, data = waiting[0]
                ready = [(event, _FIRST.sub(rb"\1", data)), *waiting[1:]]
                self.waiting, frame = [], (frame[0], joined)
            elif len(waiting) < _MAX_WAITING and not _FIRST.search(frame[1]):
                waiting.append(frame)
                return []
            else:
                ready = self.rest()
        self._firsts = [found[2] for found in _FIRST.finditer(frame[1])]
        if not self._firsts:
            return [*ready, frame]
        self.waiting = [frame]
        return ready

    def rest(self) -> list[Frame]:
        """What still waits, as it came."""
        rest, self.waiting = self.waiting, []
        return rest

    def _joined(self, data: bytes) -> bytes | None:
        """`data` with the first halves before the second ones; None where they do not pair. A text may stand in a frame twice."""
        pieces = _SECOND.split(data)
        if len(pieces) != len(self._firsts) + 1:
            return None
        return b"".join([pieces[0], *(b'"' + first + piece for first, piece in zip(self._firsts, pieces[1:], strict=True))])
