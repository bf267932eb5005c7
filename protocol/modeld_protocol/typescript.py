"""TypeScript types of the protocol, from the same schemas as `schemas/`: what `schemas/protocol.ts` holds. Pure.

Interfaces for every type, unions by their names, and two tables by which a client types its calls: `Methods` and
`Notifications`. Optional is what the sender may leave out.
"""

import json
import re
from typing import Any

Schema = dict[str, Any]

_HEADER = """\
// The types of modeld's protocol. Generated from the daemon's own by `modeld schema`; changes belong there.
/* eslint-disable */
"""
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def module(definitions: Schema, methods: dict[str, tuple[Schema, Schema]], notifications: dict[str, Schema]) -> str:
    """The module's text. `methods` has the schemas of params and result by method, `notifications` those of params."""
    parts = [_HEADER, *(_declaration(name, definitions[name]) for name in sorted(definitions))]
    calls = [
        f"  {json.dumps(name)}: {{ params: {_type(params)}; result: {_type(result)} }};"
        for name, (params, result) in methods.items()
    ]
    parts.append(
        "\n".join(["/** Every request, with the types of its params and its result. */", _open("Methods"), *calls, "}\n"])
    )
    told = [f"  {json.dumps(name)}: {_type(params)};" for name, params in notifications.items()]
    parts.append("\n".join(["/** Every notification, with the type of its params. */", _open("Notifications"), *told, "}\n"]))
    return "\n".join(parts)


def _open(name: str) -> str:
    return f"export interface {name} {{"


def _declaration(name: str, schema: Schema) -> str:
    words = _comment(schema.get("description"), "")
    if schema.get("type") != "object" or "properties" not in schema:
        return f"{words}export type {name} = {_type(schema)};\n"
    return f"{words}{_open(name)}\n{_members(schema, '  ')}}}\n"


def _members(schema: Schema, indent: str) -> str:
    required = set(schema.get("required", ()))
    lines = [
        f"{indent}{_key(name)}{'' if name in required else '?'}: {_type(member)};\n"
        for name, member in schema["properties"].items()
    ]
    return "".join(lines)


def _key(name: str) -> str:
    return name if _IDENTIFIER.match(name) else json.dumps(name)


def _comment(words: str | None, indent: str) -> str:
    if not words:
        return ""
    lines = [line.strip() for line in words.replace("*/", "* /").strip().splitlines()]
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines) + f"{indent} */\n"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    choices = _choices(schema)
    return " | ".join(dict.fromkeys(choices)) if choices else _of_kind(schema)


def _choices(schema: Schema) -> list[str]:
    """What a schema that leaves a choice, or none at all, may be; empty for every other."""
    if "const" in schema:
        return [json.dumps(schema["const"], ensure_ascii=False)]
    if "enum" in schema:
        return [json.dumps(choice, ensure_ascii=False) for choice in schema["enum"]]
    if isinstance(schema.get("type"), list):
        return [_type({**schema, "type": kind}) for kind in schema["type"]]
    return [_type(choice) for choice in schema.get("anyOf", schema.get("oneOf", ()))]


def _of_kind(schema: Schema) -> str:
    kind = schema.get("type", "")
    if kind == "array":
        return f"Array<{_type(schema.get('items') or {})}>"
    return _object(schema) if kind == "object" else _PLAIN.get(kind, "unknown")


def _object(schema: Schema) -> str:
    if schema.get("properties"):
        return "{ " + _members(schema, "").replace("\n", " ") + "}"
    values = schema.get("additionalProperties")
    return f"Record<string, {_type(values)}>" if isinstance(values, dict) else "Record<string, unknown>"  # pyright: ignore
