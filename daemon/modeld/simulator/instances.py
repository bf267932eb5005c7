"""Plausible values from a JSON Schema: arguments for a tool, an answer for a structured request. Pure and repeatable."""

from collections.abc import Callable
from math import ceil, floor, inf
from typing import Any, cast

_MAX_DEPTH = 12
_FORMATS = {
    "date-time": "2026-01-15T09:30:00Z",
    "date": "2026-01-15",
    "time": "09:30:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "uri": "https://example.com/",
}
# What a reader expects under a well-known name; anything else is called after itself.
_NAMES = {
    "city": "Paris",
    "location": "Paris",
    "country": "France",
    "path": "README.md",
    "file_path": "README.md",
    "filename": "README.md",
    "command": "ls",
    "query": "weather in Paris",
    "url": "https://example.com/",
    "email": "ada@example.com",
    "name": "Ada",
    "language": "en",
    "unit": "celsius",
    "date": "2026-01-15",
}

Schema = dict[str, Any]


def instance_of(schema: Any) -> Any:
    """A value that the schema accepts, for the common keywords (type, enum, const, properties, items, bounds, formats,
    `$ref` within the document, anyOf, oneOf, allOf). `pattern` and `not` are not solved."""
    return _value(schema, schema, "", 0)


def object_of(schema: Any) -> dict[str, Any]:
    """The same for a tool's arguments, which are always an object."""
    value = instance_of(schema)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _value(schema: Any, root: Any, name: str, depth: int) -> Any:
    if not isinstance(schema, dict):
        return name or "value"
    node = _resolved(cast("Schema", schema), root)
    for keyword in ("const", "default"):
        if keyword in node:
            return node[keyword]
    for keyword in ("enum", "examples"):
        if node.get(keyword):
            return node[keyword][0]
    for keyword in ("anyOf", "oneOf"):
        if node.get(keyword):
            base = {key: value for key, value in node.items() if key != keyword}
            return _value(_merged(base, _resolved(_first_real(node[keyword]), root)), root, name, depth)
    return _MAKERS[_type_of(node)](node, root, name, depth)


def _first_real(options: list[Any]) -> Any:
    """The first alternative that isn't null: null is valid and says nothing."""
    for one in options:
        if not isinstance(one, dict) or cast("Schema", one).get("type") != "null":
            return cast(Any, one)
    return options[0]


def _resolved(schema: Any, root: Any) -> Schema:
    """The schema behind its `$ref`, with `allOf` folded in."""
    node: Schema = cast("Schema", schema) if isinstance(schema, dict) else {}
    for _ in range(_MAX_DEPTH):
        if "$ref" not in node:
            break
        rest = {key: value for key, value in node.items() if key != "$ref"}
        node = _merged(_pointed(root, str(node["$ref"])), rest)
    for part in node.get("allOf", []):
        node = _merged({key: value for key, value in node.items() if key != "allOf"}, _resolved(part, root))
    return node


def _pointed(root: Any, reference: str) -> Schema:
    node: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            key = part.replace("~1", "/").replace("~0", "~")
            node = cast("Schema", node).get(key, {}) if isinstance(node, dict) else {}
    return cast("Schema", node) if isinstance(node, dict) else {}


def _merged(base: Schema, extra: Schema) -> Schema:
    both = {**base, **extra}
    if "properties" in base and "properties" in extra:
        both["properties"] = {**base["properties"], **extra["properties"]}
    if "required" in base and "required" in extra:
        both["required"] = list(dict.fromkeys([*base["required"], *extra["required"]]))
    return both


def _type_of(node: Schema) -> str:
    kind = node.get("type")
    if isinstance(kind, list):
        kind = next((one for one in cast("list[Any]", kind) if one != "null"), "null")
    if kind in _MAKERS:
        return str(kind)
    if "properties" in node or "additionalProperties" in node:
        return "object"
    return "array" if "items" in node or "prefixItems" in node else "string"


def _object(node: Schema, root: Any, _name: str, depth: int) -> dict[str, Any]:
    properties: Schema = node.get("properties", {})
    required = node.get("required", [])
    # Deep down only what must be there, so that a schema that contains itself comes to an end.
    names = list(properties) if depth < 3 else [name for name in properties if name in required]
    if depth >= _MAX_DEPTH:
        names = []
    made = {name: _value(properties[name], root, name, depth + 1) for name in names}
    made.update({name: _value(node.get("additionalProperties"), root, name, depth + 1) for name in required if name not in made})
    return made


def _array(node: Schema, root: Any, name: str, depth: int) -> list[Any]:
    if depth >= _MAX_DEPTH:
        return []
    made = [_value(item, root, name, depth + 1) for item in node.get("prefixItems", [])]
    wanted = max(int(node.get("minItems", 0)), 1 if depth < 3 else 0)
    if isinstance(node.get("maxItems"), int):
        wanted = min(wanted, node["maxItems"])
    items = node.get("items")
    while len(made) < wanted and items is not False:
        made.append(_value(items, root, name.removesuffix("s"), depth + 1))
        if node.get("uniqueItems") and made[-1] in made[:-1]:
            made[-1] = f"{made[-1]}{len(made)}" if isinstance(made[-1], str) else len(made)
    return made


def _string(node: Schema, _root: Any, name: str, _depth: int) -> str:
    text = _FORMATS.get(str(node.get("format"))) or _NAMES.get(name.lower()) or name or "value"
    shortest = int(node.get("minLength", 0))
    if len(text) < shortest:
        text += "x" * (shortest - len(text))
    return text[: int(node["maxLength"])] if "maxLength" in node else text


def _integer(node: Schema, _root: Any, _name: str, _depth: int) -> int:
    return int(_on_grid(node, node.get("multipleOf", 1), 1))


def _number(node: Schema, _root: Any, _name: str, _depth: int) -> float:
    if "multipleOf" in node:
        return _on_grid(node, node["multipleOf"], 1)
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return (low + high) / 2
    return max(1.5, low + 1) if low is not None else min(1.5, high - 1) if high is not None else 1.5


def _on_grid(node: Schema, step: float, wish: float) -> float:
    """The multiple of `step` inside the schema's bounds that is nearest to the wish."""
    first = ceil(node["minimum"] / step) if "minimum" in node else -inf
    last = floor(node["maximum"] / step) if "maximum" in node else inf
    if "exclusiveMinimum" in node:
        first = max(first, floor(node["exclusiveMinimum"] / step) + 1)
    if "exclusiveMaximum" in node:
        last = min(last, ceil(node["exclusiveMaximum"] / step) - 1)
    return max(first, min(last, ceil(wish / step))) * step


def _boolean(_node: Schema, _root: Any, _name: str, _depth: int) -> bool:
    return True


def _null(_node: Schema, _root: Any, _name: str, _depth: int) -> None:
    return None


_MAKERS: dict[str, Callable[[Schema, Any, str, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
}
