"""Puts a call together that comes in pieces: JSON paths and values, which Vertex streams where it is asked to.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc (2026-11-20)
"""

import re
from itertools import pairwise
from typing import Any, cast

import msgspec

from .types import PartialArgument

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_MAX_INDEX = 10_000  # of a list that grows piece by piece; more is a fault of the server


class PartialCall:
    """One call. `args` is its JSON where it came whole."""

    __slots__ = ("_built", "args", "id", "name", "signature")

    def __init__(self, name: str, id: str | None, signature: str | None) -> None:
        self.name = name
        self.id = id
        self.signature = signature
        self.args = b""
        self._built: dict[str, Any] = {}

    def put(self, piece: PartialArgument) -> None:
        """Add a value at its path; text goes on where there is text already."""
        value: Any = next((v for v in (piece.string_value, piece.number_value, piece.bool_value) if v is not None), None)
        steps = _steps(piece.json_path)
        if not steps:
            return
        target: Any = self._built
        for step, following in pairwise(steps):
            target = _slot(target, step, [] if isinstance(following, int) else {})
            if target is None:
                return
        _store(target, steps[-1], value)

    def arguments(self) -> str:
        """The arguments as JSON text without white space, however the answer was laid out."""
        if self._built:
            return msgspec.json.encode(self._built).decode()
        if not self.args:
            return "{}"
        try:
            return msgspec.json.format(self.args, indent=-1).decode("utf-8", "replace")
        except (msgspec.DecodeError, RecursionError):
            return self.args.decode("utf-8", "replace")


def _steps(path: str) -> list[str | int]:
    found: list[str | int] = []
    for name, index, quoted, double in _STEP.findall(path):
        found.append(int(index[:9]) if index else name or quoted or double)
    return found


def _slot(target: Any, step: str | int, fresh: Any) -> Any:
    """The container at a step, made where there is none; None where the path leads through something else."""
    held = _get(target, step)
    if held is None:
        held = fresh if _store(target, step, fresh) else None
    return cast("Any", held) if isinstance(held, dict | list) else None


def _get(target: Any, step: str | int) -> Any:
    if isinstance(target, dict):
        return cast("dict[Any, Any]", target).get(str(step))
    items = cast("list[Any]", target)
    return items[step] if isinstance(step, int) and step < len(items) else None


def _store(target: Any, step: str | int, value: Any) -> bool:
    old = _get(target, step)
    if isinstance(old, str) and isinstance(value, str):
        value = old + value
    if isinstance(target, dict):
        cast("dict[str, Any]", target)[str(step)] = value
        return True
    if not isinstance(step, int) or step > _MAX_INDEX:
        return False
    items = cast("list[Any]", target)
    items.extend([None] * (step + 1 - len(items)))
    items[step] = value
    return True
