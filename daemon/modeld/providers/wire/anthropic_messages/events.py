"""The stream of this wire: named events, blocks by index, `message_stop` at the end.

Grammar: https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11-20). Pings may come anywhere, unknown events
are ignored, an error may take the place of any event, usage in `message_delta` is cumulative.
"""

import msgspec

from ...assembler import Assembler
from ...failure import ProviderFailure
from ...spec import ModelSpec
from .errors import failure_in_band
from .response import BlockReader, decode_json, map_stop_reason
from .types import Delta, Frame, IncomingMessage
from .usage import UsageCounter

_FRAME = msgspec.json.Decoder(Frame)
_MESSAGE = msgspec.json.Decoder(IncomingMessage)
_decode_frame = _FRAME.decode
_NEXT_MESSAGE = 10_000_000
_START_KEYS = -1_000_000  # blocks that message_start holds already: before those of the stream, apart from their indexes


class MessagesStreamDecoder:
    """Turns the events of one stream into calls of one Assembler. A malformed event is a `server_error`, once and for all."""

    __slots__ = (
        "_assembler",
        "_base",
        "_begun",
        "_blocks",
        "_end_marker",
        "_stop_reason",
        "_text",
        "_usage",
        "_usage_final",
        "done",
    )

    def __init__(self, assembler: Assembler, model: ModelSpec) -> None:
        self.done = False
        self._assembler = assembler
        self._text = assembler.text
        self._blocks = BlockReader(assembler, {"provider": model.provider_type, "model": model.wire_name})
        self._base = 0  # added to indexes, so that those of a message that is begun again are new
        self._begun = False
        self._end_marker = model.quirks.end_marker
        self._stop_reason: str | None = None
        self._usage = UsageCounter()
        self._usage_final = False

    def feed(self, event: str, data: bytes) -> bool:
        """See StreamDecoder."""
        if self.done:
            return False
        try:
            frame = _decode_frame(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if data.strip() in (b"", b"[DONE]"):
                return False
            frame = decode_json(_FRAME, data, self._assembler, "a stream event")
        delta = frame.delta
        if delta is not None and delta.type == "text_delta":  # most of every stream
            if delta.text:
                self._text(delta.text, frame.index + self._base, explicit=True)
            return True
        return self._feed_other(frame, frame.type or event)

    def end(self) -> None:
        """See StreamDecoder."""
        if self.done:
            return
        if self._stop_reason is None or self._end_marker:
            raise ProviderFailure("network", "the provider's stream ended before its message did; try again")
        self._finish()

    def _feed_other(self, frame: Frame, kind: str) -> bool:
        match kind:
            case "content_block_delta":
                if frame.delta is not None:
                    self._feed_delta(frame.index + self._base, frame.delta)
            case "content_block_start":
                self._blocks.open(frame.index + self._base, frame.content_block)
            case "content_block_stop":
                self._blocks.close(frame.index + self._base)
            case "message_start":
                self._begin(frame)
            case "message_delta":
                self._feed_message_delta(frame)
            case "message_stop":
                self._finish()
            case "error":
                raise failure_in_band(frame.error)
            case _:
                if bytes(frame.error) not in (b"", b"null"):
                    raise failure_in_band(frame.error)
                return False
        return True

    def _feed_delta(self, index: int, delta: Delta) -> None:
        match delta.type:
            case "input_json_delta":
                self._blocks.tool_input(index, delta.partial_json or "")
            case "thinking_delta":
                self._assembler.thinking(delta.thinking or "", index, explicit=True)
            case "signature_delta":
                if delta.signature:
                    self._blocks.sign(index, delta.signature)
            case "citations_delta":
                self._blocks.cite(index, delta.citation)
            case _:
                self._blocks.fill(index, delta)

    def _begin(self, frame: Frame) -> None:
        message = decode_json(_MESSAGE, frame.message, self._assembler, "message_start")
        if self._begun:
            self._blocks.close_all()
            self._assembler.restart()
            self._base += _NEXT_MESSAGE
        self._begun = True
        self._assembler.served_model = message.model
        self._blocks.read(message.content or [], _START_KEYS + self._base)
        self._stop_reason = message.stop_reason
        self._count(message.usage, final=False)

    def _feed_message_delta(self, frame: Frame) -> None:
        if frame.delta is not None:
            self._stop_reason = frame.delta.stop_reason or self._stop_reason
            self._assembler.stop_sequence = frame.delta.stop_sequence or self._assembler.stop_sequence
        self._count(frame.usage, final=True)

    def _count(self, raw: msgspec.Raw, *, final: bool) -> None:
        if self._usage.update(raw):
            self._usage_final = self._usage_final or final
            self._assembler.usage = self._usage.usage(final=self._usage_final)

    def _finish(self) -> None:
        if self._stop_reason is None:
            raise ProviderFailure("server_error", "the provider's stream ended without a stop reason; try again")
        self._blocks.close_all()
        self.done = True
        self._assembler.complete(map_stop_reason(self._stop_reason))
