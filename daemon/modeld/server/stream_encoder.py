"""Canonical events to `stream/event` frames: text deltas from a template, the rest through their Structs. Pure."""

import msgspec

from modeld_protocol.events import Event, StreamEvent, TextDelta
from modeld_protocol.framing import frame
from modeld_protocol.jsonrpc import Notification

_encode = msgspec.json.Encoder().encode


class StreamEncoder:
    """Encodes one stream's events, numbering them from `cursor` on.

    Nine of ten events are text deltas whose frames differ in cursor and text alone: those are filled into bytes that were
    encoded once for their block. The result is the same as that of the Structs.
    """

    __slots__ = ("_block", "_ids", "_size", "_template", "cursor")

    def __init__(
        self, request_id: str, epoch: str, session_id: str | None = None, turn_id: str | None = None, cursor: int = 0
    ) -> None:
        self.cursor = cursor
        self._ids = (request_id, epoch, session_id, turn_id)
        self._block: tuple[str, int] | None = None
        self._template = b""
        self._size = 0

    def encode(self, events: list[Event]) -> bytes:
        """All frames joined; the cursor rises by one with each event."""
        if len(events) == 1:
            return self._encode_frame(events[0])
        return b"".join([self._encode_frame(event) for event in events])

    def _encode_frame(self, event: Event) -> bytes:
        number = self.cursor
        self.cursor = number + 1
        if type(event) is not TextDelta:
            return frame(self._encode_body(event, number))
        if self._block != (event.message_id, event.content_block_index):
            self._use_block(event.message_id, event.content_block_index)
        text = _encode(event.text)
        cursor = b"%d" % number
        return self._template % (self._size + len(cursor) + len(text), cursor, text)

    def _encode_body(self, event: Event, number: int) -> bytes:
        request_id, epoch, session_id, turn_id = self._ids
        return _encode(Notification("stream/event", StreamEvent(request_id, epoch, number, event, session_id, turn_id)))

    def _use_block(self, message_id: str, index: int) -> None:
        self._block = (message_id, index)
        request_id, epoch, session_id, turn_id = self._ids
        before = b'{"method":"stream/event","params":{"request_id":%b,"epoch":%b,"cursor":' % (
            _encode(request_id),
            _encode(epoch),
        )
        after = b',"event":{"type":"text.delta","message_id":%b,"content_block_index":%d,"text":' % (_encode(message_id), index)
        session = b"" if session_id is None else b',"session_id":%b' % _encode(session_id)
        turn = b"" if turn_id is None else b',"turn_id":%b' % _encode(turn_id)
        end = b'}%b%b},"jsonrpc":"2.0"}' % (session, turn)
        self._size = len(before) + len(after) + len(end)
        before, after, end = (part.replace(b"%", b"%%") for part in (before, after, end))
        self._template = b"Content-Length: %d\r\n\r\n" + before + b"%b" + after + b"%b" + end
