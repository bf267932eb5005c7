"""Reads lines whose members have other types than the documentation says, into the same Structs.

Slow, and only reached where the strict decoder gave up: arguments as text or list, counts as fractions, lone surrogates, bytes
that are no UTF-8.
"""

import json
import re
from typing import Any, NoReturn, TypeGuard, cast

import msgspec

from .types import AnswerMessage, FunctionPart, Line, ToolCallPart

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(data: bytes) -> tuple[Any, bool]:
    """The JSON value in `data` and whether it had to be repaired. Raises ValueError for anything that is no JSON."""
    try:
        return msgspec.json.decode(data), False
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse_constant)
        return _without_surrogates(value), True
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in cast("dict[Any, Any]", value).items()}
    return value


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


def whole_number(value: Any) -> int | None:
    """A whole number, also where it came as text or as a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = value if isinstance(value, int) else int(float(value))
    except (ValueError, OverflowError):
        return None
    return number if -(2**53) < number < 2**53 else None


def _text(value: Any) -> str | None:
    """Text as it is; a number as text (ids and models that are numbers)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
