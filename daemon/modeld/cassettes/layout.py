"""JSON for people: what fits on a line stands on one, the rest is indented. Pure."""

import json
from typing import Any, cast

WIDTH = 120


def lay_out_json(value: Any) -> str:
    """The value as text that ends in a line end. Keys keep their order."""
    return _lay_out(value, 0, 0) + "\n"


def _lay_out(value: Any, depth: int, taken: int) -> str:
    """`value` at that depth, behind `taken` characters of its line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return line
    if isinstance(value, list) and _are_numbers(cast("list[Any]", value)):
        return _lay_out_numbers(cast("list[Any]", value), depth)
    if depth and len(line) + depth * 2 + taken < WIDTH:
        return line
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        members = [
            f"{pad}{json.dumps(key, ensure_ascii=False)}: {_lay_out(held, depth + 1, len(str(key)) + 5)}"
            for key, held in cast("dict[str, Any]", value).items()
        ]
        return "{\n" + ",\n".join(members) + "\n" + pad[2:] + "}"
    items = [pad + _lay_out(held, depth + 1, 1) for held in cast("list[Any]", value)]
    return "[\n" + ",\n".join(items) + "\n" + pad[2:] + "]"


def _are_numbers(items: list[Any]) -> bool:
    """Pairs of numbers: the chunks of a body."""
    return all(isinstance(item, list) and all(isinstance(n, int | float) for n in cast("list[Any]", item)) for item in items)


def _lay_out_numbers(pairs: list[Any], depth: int) -> str:
    """As many pairs on a line as fit: a stream has hundreds."""
    pad = "  " * (depth + 1)
    lines = [pad]
    for place, pair in enumerate(pairs):
        word = json.dumps(pair) + ("" if place == len(pairs) - 1 else ", ")
        if len(lines[-1]) + len(word) > WIDTH:
            lines.append(pad)
        lines[-1] += word
    if len(lines) == 1:
        return "[" + lines[0].strip() + "]"
    return "[\n" + "\n".join(line.rstrip() for line in lines) + "\n" + pad[2:] + "]"
