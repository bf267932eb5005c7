"""Reads whole answers of this wire, and the list of the models that a server has.

https://docs.ollama.com/api/tags (2026-11-20)
"""

from typing import Any, cast

import msgspec

from modeld_protocol.model import DiscoveredModel, ModelLimits

from ...assembler import Assembler
from ...failure import ProviderFailure
from ..loose_json import parse_json, whole_number
from .errors import decode_failure, failure_in_answer
from .events import LineReader, LineStreamDecoder, parse_line
from .types import Line

_decode_line = msgspec.json.Decoder(Line).decode


def decode_answer(body: bytes, assembler: Assembler) -> None:
    """A whole answer into the assembler. Raises ProviderFailure for an error in a 200 and for what is no answer."""
    try:
        line = _decode_line(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            line = parse_line(body, assembler)
        except ValueError:
            _decode_lines(body, assembler)
            return
    reader = LineReader(assembler)
    if line.done is None and line.message is not None:
        line.done = True  # gateways leave it out
    reader.take(line)
    if line.error:
        raise failure_in_answer(body)
    if reader.done:
        return
    if reader.said:
        raise ProviderFailure("network", "the answer ended before it was whole; try again")
    raise decode_failure(200, {}, body)


def _decode_lines(body: bytes, assembler: Assembler) -> None:
    """A stream that was not called one."""
    if not body.strip():
        raise decode_failure(200, {}, body)
    decoder = LineStreamDecoder(assembler)
    for data in body.split(b"\n"):
        if data := data.strip(b" \t\r"):
            decoder.feed("", data)
    decoder.end()


def decode_models(body: bytes, provider: str) -> list[DiscoveredModel]:
    """The models of `GET /api/tags`, with the window that each was trained for where the server says it."""
    try:
        value, _ = parse_json(body)
    except ValueError:
        raise decode_failure(200, {}, body) from None
    listed: Any = cast("dict[str, Any]", value).get("models") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise decode_failure(200, {}, body)
    entries = [cast("dict[str, Any]", entry) for entry in cast("list[Any]", listed) if isinstance(entry, dict)]
    return [model for entry in entries if (model := _model(entry, provider)) is not None]


def _model(entry: dict[str, Any], provider: str) -> DiscoveredModel | None:
    name = entry.get("model") or entry.get("name")
    if not isinstance(name, str) or not name:
        return None
    details = entry.get("details")
    context = whole_number(cast("dict[str, Any]", details).get("context_length")) if isinstance(details, dict) else None
    return DiscoveredModel(f"{provider}:{name}", provider, name, None, ModelLimits(context) if context else None)
