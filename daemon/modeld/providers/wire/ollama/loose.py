"""Reads lines whose members have other types than the documentation says, into the same Structs.

Slow, and only reached where the strict decoder gave up: arguments as text or list, counts as fractions.
"""

from typing import Any, TypeGuard, cast

import msgspec

from ..loose_json import whole_number
from .types import AnswerMessage, FunctionPart, Line, ToolCallPart


def read_line(value: dict[str, Any]) -> Line:
    """A line or whole answer from parsed JSON; members that make no sense count as absent."""
    done = value.get("done")
    return Line(
        message=_message(value.get("message")),
        done=done if isinstance(done, bool) else None,
        done_reason=_text(value.get("done_reason")),
        model=_text(value.get("model")),
        prompt_eval_count=whole_number(value.get("prompt_eval_count")),
        eval_count=whole_number(value.get("eval_count")),
        error=value.get("error"),
    )


def _message(value: Any) -> AnswerMessage | None:
    if not _is_object(value):
        return None
    calls: Any = value.get("tool_calls")
    found = [_call(item) for item in cast("list[Any]", calls) if _is_object(item)] if isinstance(calls, list) else None
    return AnswerMessage(_text(value.get("content")), _text(value.get("thinking")), found)


def _call(value: dict[str, Any]) -> ToolCallPart:
    function = value.get("function")
    if not _is_object(function):
        return ToolCallPart(_text(value.get("id")))
    arguments = function.get("arguments")
    raw = msgspec.Raw(b"" if arguments is None else msgspec.json.encode(arguments))
    return ToolCallPart(_text(value.get("id")), FunctionPart(_text(function.get("name")), raw))


def _text(value: Any) -> str | None:
    """Text as it is; a number as text (ids and models that are numbers)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
