"""Reads whole answers of the Chat Completions wire."""

import msgspec

from ...assembler import Assembler
from ..openai_shared.errors import decode_failure, failure_in_answer
from .events import AnswerReader, parse_chunk
from .types import Chunk

_decode_answer = msgspec.json.Decoder(Chunk).decode


def decode_answer(body: bytes, assembler: Assembler) -> None:
    """A whole answer into the assembler. Raises ProviderFailure for an error in a 200 and for what is no answer; content
    that came beside an error has been taken by then."""
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            answer = parse_chunk(body, assembler)
        except ValueError:
            raise decode_failure(200, {}, body) from None
    reader = AnswerReader(assembler, whole=True)
    reader.take_chunk(answer)
    if reader.error is not None:
        reader.cut()
        raise failure_in_answer(reader.error)
    if not reader.said and reader.finish_reason is None and not _has_message(answer):
        raise decode_failure(200, {}, body)
    reader.complete()


def _has_message(answer: Chunk) -> bool:
    return any(choice.message is not None for choice in answer.choices or () if not choice.index)
