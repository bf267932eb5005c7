"""Reads whole answers of the Chat Completions wire, and the model list."""

from typing import Any, cast

import msgspec

from modeld_protocol.model import DiscoveredModel, ModelLimits

from ...assembler import Assembler
from ...failure import ProviderFailure
from .errors import decode_failure, failure_in_answer
from .events import AnswerReader, parse_chunk
from .loose import parse_json, whole_number
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
    reader = AnswerReader(assembler)
    reader.take_chunk(answer)
    if reader.error is not None:
        raise failure_in_answer(reader.error)
    if not reader.said and reader.finish_reason is None and not _has_message(answer):
        raise decode_failure(200, {}, body)
    reader.complete()


def _has_message(answer: Chunk) -> bool:
    return any(choice.message is not None for choice in answer.choices or () if not choice.index)


def decode_models(body: bytes, provider: str) -> list[DiscoveredModel]:
    """The models of `GET /models`: `{"data": [{"id"}]}`, or the bare list. Sizes are read where a server adds them."""
    try:
        value, _ = parse_json(body)
    except ValueError:
        raise decode_failure(200, {}, body) from None
    listed: Any = value
    if isinstance(value, dict):
        listed = cast("dict[str, Any]", value).get("data")
    if not isinstance(listed, list):
        raise decode_failure(200, {}, body)
    models = [_model(cast("dict[str, Any]", entry), provider) for entry in cast("list[Any]", listed) if isinstance(entry, dict)]
    found = [model for model in models if model is not None]
    if not found and listed:
        raise ProviderFailure("server_error", "the provider's model list names no model; configure the models by hand")
    return found


def _model(entry: dict[str, Any], provider: str) -> DiscoveredModel | None:
    id = entry.get("id")
    if not isinstance(id, str) or not id:
        return None
    top = entry.get("top_provider")
    top = cast("dict[str, Any]", top) if isinstance(top, dict) else {}
    context = _first(entry, "context_length", "context_window", "max_context_length", "max_model_len")
    output = _first(entry, "max_completion_tokens", "max_output_tokens") or _first(top, "max_completion_tokens")
    limits = ModelLimits(context, output) if context or output else None
    name = entry.get("name") or entry.get("display_name")
    return DiscoveredModel(f"{provider}:{id}", provider, id, name if isinstance(name, str) else None, limits)


def _first(entry: dict[str, Any], *names: str) -> int | None:
    return next((number for name in names if (number := whole_number(entry.get(name)))), None)
