"""JSON from servers that write it badly: lone surrogates, bytes that are no UTF-8, numbers as text. Slow, for what the strict
decoder refused."""

import json
import re
from typing import Any, NoReturn, cast

import msgspec

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


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
        return _LONE_SURROGATE.sub(_REPLACEMENT, value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in cast("dict[Any, Any]", value).items()}
    return value


def whole_number(value: Any) -> int | None:
    """A whole number, also where it came as text or as a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(float(value)) if not isinstance(value, int) else value
    except (ValueError, OverflowError):
        return None
    return number if -(2**53) < number < 2**53 else None
