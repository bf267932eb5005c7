"""What may stand where in models.yaml, and what it means: the JSON Schema of the config, walked by path."""

from collections.abc import Mapping
from typing import Any, cast

from .tree import Path

Schema = dict[str, Any]

_WORDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "nothing"}


class Shape:
    """The schema of one place, references and nulls resolved."""

    def __init__(self, root: Schema, schema: Schema) -> None:
        self._root = root
        self._schema = _resolved(root, schema)

    @property
    def description(self) -> str:
        """What it means; empty where nothing is said."""
        return self._schema.get("description", "")

    @property
    def is_mapping(self) -> bool:
        """Whether names and values belong here."""
        return "object" in _kinds(self._schema)

    @property
    def is_list(self) -> bool:
        """Whether items belong here."""
        return "array" in _kinds(self._schema)

    @property
    def fields(self) -> "dict[str, Shape]":
        """The names that may stand here, where these are given."""
        properties: dict[str, Schema] = self._schema.get("properties", {})
        return {name: Shape(self._root, schema) for name, schema in properties.items()}

    @property
    def choices(self) -> list[str]:
        """The values that may stand here, where these are few."""
        if self._schema.get("type") == "boolean":
            return ["true", "false"]
        return [value for value in self._schema.get("enum", ()) if isinstance(value, str)]

    def inner(self, name: str | None) -> "Shape | None":
        """What belongs under a name, or into a list where the name is None."""
        if name is None:
            found = self._schema.get("items")
        else:
            found = self._schema.get("properties", {}).get(name) or self._schema.get("additionalProperties")
        return Shape(self._root, cast("Schema", found)) if isinstance(found, dict) else None

    def words(self) -> str:
        """What it takes, in words; empty where the description has to do."""
        schema = self._schema
        if self.choices and schema.get("type") != "boolean":
            return "one of " + ", ".join(self.choices)
        kinds = [kind for kind in _kinds(schema) if kind != "null"]
        words = " or ".join(_WORDS.get(kind, "a list" if kind == "array" else "a mapping") for kind in kinds)
        if self.is_list and (inner := self.inner(None)) and (of := inner.words()):
            words = words.replace("a list", f"a list of {of.removeprefix('a ')}")
        return words + _bounds(schema) + _default(schema)


def shape_at(root: Schema, path: Path) -> Shape | None:
    """The shape of the place at a path, None where the schema has none."""
    shape: Shape | None = Shape(root, root)
    for name in path:
        if shape is None:
            return None
        shape = shape.inner(name)
    return shape


def _resolved(root: Schema, schema: Schema) -> Schema:
    """A schema without references; of alternatives the one with the most structure, and the description that stands outside."""
    while "$ref" in schema or "anyOf" in schema:
        outside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
        if "$ref" in schema:
            inside = cast("Schema", root["$defs"][schema["$ref"].rpartition("/")[2]])
        else:
            inside = _joined([_resolved(root, option) for option in schema["anyOf"]])
        schema = {**inside, **outside}
    return schema


def _joined(options: list[Schema]) -> Schema:
    """Alternatives as one schema."""
    joined: Schema = {}
    for option in options:
        joined |= {key: value for key, value in option.items() if key != "type"}
    kinds = [kind for option in options for kind in (_kinds(option) if "enum" not in option else [])]
    if joined.get("enum") and "string" in kinds:
        kinds.remove("string")
    return {**joined, "type": list(dict.fromkeys(kinds))} if kinds else joined


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']}"
    return f", at least {low}" if low is not None else ""


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None or isinstance(default, dict | list):
        return ""
    shown = str(default).lower() if isinstance(default, bool) else f"{default:g}" if isinstance(default, float) else default
    return f"; {shown} unless given"
