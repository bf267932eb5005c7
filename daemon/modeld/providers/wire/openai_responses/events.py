"""Reads the Responses stream: frames in, verbs of one Assembler out.

Items have an output index, their parts an index within; an item is announced, grows by deltas, and comes once more when it is
whole; the last event holds the whole answer. Events that nobody knows are ignored, an error may take the place of any event.
https://developers.openai.com/api/reference/resources/responses/streaming-events (2026-11-20)
"""

from typing import Any, Final

import msgspec

from ...assembler import Assembler
from ...failure import ProviderFailure
from ..loose_json import whole_number
from ..openai_shared.errors import decode_failure, failure_in_answer
from .items import ItemReader
from .response import end_answer, note_answer, parse_answer, parse_object
from .types import Frame

_TEXT = "response.output_text.delta"
_PLAIN_EVENTS = ("", "message", "data", "error")
_decode_frame = msgspec.json.Decoder(Frame).decode


class ResponsesStreamDecoder:
    """Frames of one stream. `end_marker`: whether this provider ends a good stream with the whole answer."""

    __slots__ = ("_assembler", "_end_marker", "_items", "_text", "done")

    def __init__(self, assembler: Assembler, *, end_marker: bool) -> None:
        self._assembler = assembler
        self._end_marker = end_marker
        self._items = ItemReader(assembler)
        self._text = self._items.text
        self.done = False

    def feed(self, event: str, data: bytes) -> bool:
        """See StreamDecoder."""
        if self.done:
            return False
        try:
            frame = _decode_frame(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            odd = self._odd(event, data)
            if odd is None:
                return False
            frame = odd
        if frame.type == _TEXT:  # most of every stream
            if not frame.delta:
                return False
            self._text(frame.output_index, frame.content_index, frame.delta)
            return True
        kind = frame.type or event
        try:
            handle = self._HANDLERS.get(kind)
            return self._feed_other(frame, kind, data) if handle is None else handle(self, frame)
        except ValueError:
            self.done = True
            raise decode_failure(200, {}, data) from None
        except ProviderFailure:
            self.done = True
            raise

    def end(self) -> None:
        """See StreamDecoder."""
        if self.done:
            return
        self.done = True
        if self._end_marker or not self._items.finished:
            raise ProviderFailure("network", "the stream ended before the answer did; try again")
        self._assembler.complete("end_turn")

    def _odd(self, event: str, data: bytes) -> Frame | None:
        """A frame that the strict decoder refused; None for what may be ignored, as the end marker of other wires is."""
        text = data.strip()
        if text == b"[DONE]" or (text in (b"", b"null", b"[]") and event != "error"):
            return None
        try:
            return _read_frame(parse_object(data, self._assembler))
        except (ValueError, RecursionError, OverflowError):
            if event not in _PLAIN_EVENTS and not event.startswith("response."):
                return None  # events of other names are extensions; nobody has to know them
            self.done = True
            raise decode_failure(200, {}, data) from None

    def _feed_other(self, frame: Frame, kind: str, data: bytes) -> bool:
        if kind == "error":
            raise failure_in_answer(parse_object(data))
        if frame.error:
            raise failure_in_answer({"error": frame.error})
        # A tool that the provider runs tells how far it is; anything else is no part of an answer.
        return kind.startswith("response.") and self._items.is_open(frame.output_index)

    def _feed_text(self, frame: Frame) -> bool:
        if frame.delta:
            self._text(frame.output_index, frame.content_index, frame.delta)
        return bool(frame.delta)

    def _feed_refusal(self, frame: Frame) -> bool:
        if frame.delta:
            self._items.refusal(frame.output_index, frame.content_index, frame.delta)
        return bool(frame.delta)

    def _feed_summary(self, frame: Frame) -> bool:
        if frame.delta:
            self._items.thought(frame.output_index, "summary", frame.summary_index, frame.delta)
        return bool(frame.delta)

    def _feed_reasoning(self, frame: Frame) -> bool:
        if frame.delta:
            self._items.thought(frame.output_index, "content", frame.content_index, frame.delta)
        return bool(frame.delta)

    def _feed_arguments(self, frame: Frame) -> bool:
        if frame.delta:
            self._items.arguments(frame.output_index, frame.delta)
        return bool(frame.delta)

    def _begin(self, frame: Frame) -> bool:
        note_answer(parse_answer(frame.response, self._assembler), self._items, self._assembler)
        return True

    def _begin_item(self, frame: Frame) -> bool:
        self._items.begin(frame.output_index, parse_object(frame.item, self._assembler))
        return True

    def _begin_part(self, frame: Frame) -> bool:
        self._items.next_part(frame.output_index, frame.content_index)
        return True

    def _finish_item(self, frame: Frame) -> bool:
        self._items.finish(frame.output_index, parse_object(frame.item, self._assembler))
        return True

    def _finish(self, frame: Frame) -> bool:
        ending = end_answer(parse_answer(frame.response, self._assembler), self._items, self._assembler)
        self.done = True
        if ending.failure is not None:
            raise ending.failure
        self._assembler.complete(ending.stop_reason)
        return True

    # What an event of each name does.
    _HANDLERS: Final = {
        _TEXT: _feed_text,
        "response.function_call_arguments.delta": _feed_arguments,
        "response.reasoning_summary_text.delta": _feed_summary,
        "response.reasoning_text.delta": _feed_reasoning,
        "response.refusal.delta": _feed_refusal,
        "response.created": _begin,
        "response.output_item.added": _begin_item,
        "response.content_part.added": _begin_part,
        "response.output_item.done": _finish_item,
        "response.completed": _finish,
        "response.incomplete": _finish,
        "response.failed": _finish,
        "response.cancelled": _finish,
    }


def _read_frame(value: dict[str, Any]) -> Frame:
    """A frame whose members have other types than the documentation says; what makes no sense counts as absent."""
    kind, delta = value.get("type"), value.get("delta")
    frame = Frame(kind if isinstance(kind, str) else "", delta if isinstance(delta, str) else None, error=value.get("error"))
    for name in ("output_index", "content_index", "summary_index"):
        number = whole_number(value.get(name))
        if number is not None:
            setattr(frame, name, number)
    for name in ("item", "response"):
        if name in value:
            setattr(frame, name, msgspec.Raw(msgspec.json.encode(value[name])))
    return frame
