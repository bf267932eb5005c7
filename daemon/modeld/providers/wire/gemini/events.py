"""Reads answers of the Gemini wire: the chunks of a stream, a whole answer, and a whole stream as one JSON array.

A stream has neither event names nor an end marker, each chunk is an answer in part, and a finishReason may come before the
last of them: the end of the body is the end. https://ai.google.dev/api/generate-content (2026-11-20)
"""

from typing import Any, cast

import msgspec

from modeld_protocol.content import ProviderRaw

from ...assembler import Assembler
from ...failure import ProviderFailure
from .answer import AnswerReader
from .errors import decode_failure, failure_in_answer
from .loose import is_object, parse_json, read_chunk
from .types import Chunk

_decode_chunk = msgspec.json.Decoder(Chunk).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


class GeminiStreamDecoder:
    """Chunks of one answer into one Assembler. `origin` says where opaque state comes from."""

    __slots__ = ("_assembler", "_reader", "done")

    def __init__(self, assembler: Assembler, origin: ProviderRaw) -> None:
        self._assembler = assembler
        self._reader = AnswerReader(assembler, origin)
        self.done = False

    def feed(self, event: str, data: bytes) -> bool:
        """See StreamDecoder. Content of a chunk counts before the error that stands beside it."""
        if self.done:
            return False
        try:
            chunk = _decode_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._feed_odd(event, data)
        alive = self._reader.take(chunk, data)
        if chunk.error:
            self.done = True
            raise failure_in_answer(chunk.error)
        return alive

    def _feed_odd(self, event: str, data: bytes) -> bool:
        """A chunk that the strict decoder refused: an array of chunks (errors come so), or members of other types."""
        if data.strip() in (b"", b"[DONE]", b"null", b"[]"):
            return False  # gateways that translate to other protocols leave such behind
        try:
            value, repaired = parse_json(data)
        except ValueError:
            self.done = True
            raise decode_failure(200, {}, data) from None
        if repaired:
            self._assembler.warn("stream_repaired", "the provider sent broken text; what could not be read was replaced")
        if event == "error":
            self.done = True
            raise failure_in_answer(value)
        chunks = cast("list[Any]", value) if isinstance(value, list) else [value]
        alive = False
        for item in chunks:
            if not is_object(item):
                self.done = True
                raise decode_failure(200, {}, data)
            chunk = read_chunk(item)
            alive = self._reader.take(chunk, item) or alive
            if chunk.error:
                self.done = True
                raise failure_in_answer(chunk.error)
        return alive

    def end(self) -> None:
        """See StreamDecoder."""
        if self.done:
            return
        self.done = True
        if not self._reader.ended:
            raise ProviderFailure("network", "the stream ended before the answer did; try again")
        self._reader.complete()

    def end_whole(self, body: bytes) -> None:
        """The end of a body that is whole by itself, since it parses. Raises ProviderFailure where it is no answer."""
        self.done = True
        if not self._reader.ended:
            if not self._reader.said:
                raise decode_failure(200, {}, body)
            self._assembler.warn("stream_repaired", "the answer has no finishReason; taken as the end of the turn")
        self._reader.complete()


def decode_answer(body: bytes, assembler: Assembler) -> None:
    """A whole answer, or a whole stream in an array, into the assembler. Raises ProviderFailure."""
    decoder = GeminiStreamDecoder(assembler, assembler.origin)
    for chunk in _chunks(body):
        decoder.feed("", chunk)
    decoder.end_whole(body)


def _chunks(body: bytes) -> list[bytes]:
    if body.lstrip()[:1] != b"[":
        return [body] if body.strip() else []
    try:
        return [bytes(chunk) for chunk in _split(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [body]  # broken text: the odd way reads arrays too
