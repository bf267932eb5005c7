"""Reads chunks whose members have other types than the documentation says, into the same Structs.

Slow, and only reached where the strict decoder gave up: text that is no UTF-8, halves of characters, counts as text.
"""

from typing import Any, TypeGuard, cast

import msgspec

from ...assembler import repair_surrogates
from ..loose_json import whole_number
from .types import (
    NOTHING,
    Candidate,
    Chunk,
    Content,
    FunctionCall,
    Part,
    PartialArgument,
    PromptFeedback,
    WireUsage,
)


def parse_json(data: bytes) -> tuple[Any, bool]:
    """The JSON value in `data`, and whether it had to be repaired. Raises ValueError for anything that is no JSON."""
    try:
        return msgspec.json.decode(data), False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return msgspec.json.decode(repair_surrogates(data.decode("utf-8-sig", "replace"))), True
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("no JSON, or nested too deeply") from error


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, nothing of anything else."""
    return [item for item in cast("list[Any]", value) if is_object(item)] if isinstance(value, list) else []


def read_chunk(value: dict[str, Any]) -> Chunk:
    """A chunk or whole answer from parsed JSON; members that make no sense count as absent."""
    feedback = value.get("promptFeedback")
    return Chunk(
        [_candidate(item) for item in objects(value.get("candidates"))] if value.get("candidates") is not None else None,
        _usage(value.get("usageMetadata")),
        _text(value.get("modelVersion")),
        PromptFeedback(_reason(feedback.get("blockReason")), _text(feedback.get("blockReasonMessage")))
        if is_object(feedback)
        else None,
        value.get("error"),
    )


def _candidate(value: dict[str, Any]) -> Candidate:
    content = value.get("content")
    return Candidate(
        Content([_part(part) for part in objects(content.get("parts"))]) if is_object(content) else None,
        _reason(value.get("finishReason")),
        whole_number(value.get("index")),
        _text(value.get("finishMessage")),
        _text(value.get("continuationToken")),
    )


def _part(value: dict[str, Any]) -> Part:
    call = value.get("functionCall")
    return Part(
        _text(value.get("text")),
        value.get("thought") is True,
        _text(value.get("thoughtSignature")),
        _call(call) if is_object(call) else None,
    )


def _call(value: dict[str, Any]) -> FunctionCall:
    args = value.get("args")
    pieces = [_piece(piece) for piece in objects(value.get("partialArgs"))]
    name, id = _text(value.get("name")), _text(value.get("id"))
    return FunctionCall(name, NOTHING if args is None else _raw(args), id, pieces or None, value.get("willContinue") is True)


def _raw(value: Any) -> msgspec.Raw:
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except (OverflowError, RecursionError, UnicodeEncodeError):
        return msgspec.Raw(b"{}")


def _piece(value: dict[str, Any]) -> PartialArgument:
    number, flag = value.get("numberValue"), value.get("boolValue")
    return PartialArgument(
        _text(value.get("jsonPath")) or "",
        _text(value.get("stringValue")),
        number if isinstance(number, int | float) and not isinstance(number, bool) else None,
        flag if isinstance(flag, bool) else None,
    )


def _usage(value: Any) -> WireUsage | None:
    if not is_object(value):
        return None
    names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount")
    return WireUsage(*(whole_number(value.get(name)) for name in (*names, "toolUsePromptTokenCount")))


def _reason(value: Any) -> str | int | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
