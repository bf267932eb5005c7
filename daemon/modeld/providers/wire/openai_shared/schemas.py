"""JSON Schemas of tools and answers as the OpenAI wires want them.

https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas (2026-11-20).
"""

from typing import Any, cast

_STRICT_KEYWORDS = frozenset(
    (
        "$defs", "$ref", "additionalProperties", "anyOf", "const", "definitions", "description", "enum", "exclusiveMaximum",
        "exclusiveMinimum", "format", "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern",
        "properties", "required", "title", "type",
    )
)  # fmt: skip
_STRICT_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_MAX_STRICT_DEPTH = 10
_MAX_STRICT_PROPERTIES = 5_000


def tool_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A tool's schema; the API refuses parameters that are no object with properties."""
    if not any(keyword in schema for keyword in ("type", "anyOf", "oneOf", "allOf", "$ref")):
        schema = {"type": "object", **schema}
    if schema.get("type") == "object" and "properties" not in schema:
        schema = {**schema, "properties": {}}
    return schema


def is_strict_schema(schema: dict[str, Any]) -> bool:
    """Whether a schema keeps to the subset that `strict: true` takes. Where it does, the answer is sure to match; where it
    does not, the flag would be an error. Only keywords known to be in the subset count."""
    count = [0]
    return schema.get("type") == "object" and "anyOf" not in schema and _is_strict(schema, 0, count)


def _is_strict(schema: Any, depth: int, count: list[int]) -> bool:
    if not isinstance(schema, dict) or depth > _MAX_STRICT_DEPTH:
        return False
    given = cast("dict[str, Any]", schema)
    if not _STRICT_KEYWORDS.issuperset(given) or given.get("format", "date") not in _STRICT_FORMATS:
        return False
    properties = _members(given, "properties")
    count[0] += len(properties)
    if count[0] > _MAX_STRICT_PROPERTIES:
        return False
    if (properties or _may_be_object(given)) and not _is_closed(given, properties):
        return False
    inner = [*properties.values(), *_members(given, "$defs").values(), *_members(given, "definitions").values()]
    any_of = given.get("anyOf", [])
    inner += cast("list[Any]", any_of) if isinstance(any_of, list) else [None]
    if "items" in given:
        inner.append(given["items"])
    return all(_is_strict(item, depth + 1, count) for item in inner)


def _may_be_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _is_closed(schema: dict[str, Any], properties: dict[str, Any]) -> bool:
    required = schema.get("required", [])
    if schema.get("additionalProperties") is not False or not isinstance(required, list):
        return False
    return sorted(map(str, cast("list[Any]", required))) == sorted(properties)


def _members(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    found = schema.get(keyword)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
