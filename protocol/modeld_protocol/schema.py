"""JSON Schemas, an OpenRPC document and TypeScript types, generated from the protocol's types: what `schemas/` holds.

Generated for readers of other languages, so unions have names, objects stay open for fields that a newer daemon adds, and
nothing is used that a common validator or generator refuses.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from . import PROTOCOL_VERSION, typescript
from .content import Block, ResultBlock, Source
from .errors import ErrorData
from .events import Event, TraceEvent
from .lifecycle import ModeldOptions
from .methods import METHODS, NOTIFICATIONS

Schema = dict[str, Any]

_UNIONS: dict[str, Any] = {"Block": Block, "ResultBlock": ResultBlock, "Source": Source, "Event": Event, "TraceEvent": TraceEvent}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/"


def documents() -> dict[str, Schema]:
    """Every JSON file of `schemas/` by its path there."""
    schemas, definitions = _components()
    files: dict[str, Schema] = {}
    for name, method in METHODS.items():
        files[f"methods/{_file(name)}.params.json"] = _document(f"{name} params", schemas[id(method.params)], definitions)
        result = schemas[id(method.result)] if method.result is not None else {"type": "null"}
        files[f"methods/{_file(name)}.result.json"] = _document(f"{name} result", result, definitions)
    for name, notification in NOTIFICATIONS.items():
        schema = schemas[id(notification.params)]
        files[f"notifications/{_file(name)}.json"] = _document(f"{name} params", schema, definitions)
    title = "initializationOptions.modeld of initialize"
    files["methods/initialize.options.json"] = _document(title, schemas[id(ModeldOptions)], definitions)
    files["errors/data.json"] = _document("data of error -32803", schemas[id(ErrorData)], definitions)
    files["openrpc.json"] = _openrpc(schemas, definitions)
    return files


def write(folder: Path, more: dict[str, Schema] | None = None) -> list[Path]:
    """Write every file below `folder`, remove JSON files there that are no longer generated; returns what changed. `more` are
    further schemas that belong there, by their paths."""
    files = {folder / path: text for path, text in _texts(more).items()}
    changed = [path for path in folder.rglob("*.json") if path not in files]
    for path in changed:
        path.unlink()
    for path, text in files.items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def drift(folder: Path, more: dict[str, Schema] | None = None) -> list[str]:
    """Paths below `folder` that differ from what would be generated."""
    files = {folder / path: text for path, text in _texts(more).items()}
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    stale += [path for path in folder.rglob("*.json") if path not in files]
    return sorted(str(path.relative_to(folder)) for path in stale)


def types() -> str:
    """The protocol's types in TypeScript."""
    schemas, definitions = _components()
    nothing: Schema = {"type": "null"}
    methods = {
        name: (schemas[id(method.params)], schemas[id(method.result)] if method.result is not None else nothing)
        for name, method in METHODS.items()
    }
    return typescript.module(definitions, methods, {name: schemas[id(one.params)] for name, one in NOTIFICATIONS.items()})


def _texts(more: dict[str, Schema] | None) -> dict[str, str]:
    rendered = {path: _render(schema) for path, schema in {**documents(), **(more or {})}.items()}
    return {**rendered, "protocol.ts": types()}


def _render(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _file(name: str) -> str:
    return name.replace("$/", "_").replace("/", ".")


def _components() -> tuple[dict[int, Schema], Schema]:
    """The schema of each type by the type's identity, and the definitions that they refer to."""
    types: list[Any] = [ErrorData, ModeldOptions]
    types += [kind for method in METHODS.values() for kind in (method.params, method.result) if kind is not None]
    types += [notification.params for notification in NOTIFICATIONS.values()]
    raw, components = msgspec.json.schema_components([*_UNIONS.values(), *types], ref_template=_REF + "{name}")
    unions = dict(zip(_UNIONS, raw, strict=False))
    plain = {name: _plain(schema, unions) for name, schema in components.items()}
    for name, union in unions.items():
        plain[name] = _plain_parts(union, unions)
    schemas = {id(kind): _plain(schema, unions) for kind, schema in zip(types, raw[len(unions) :], strict=True)}
    return schemas, plain


def _plain(node: Any, unions: dict[str, Any]) -> Any:
    """A schema that validators and generators agree on: unions by name, constants as `const`, objects open."""
    if isinstance(node, dict):
        for name, union in unions.items():
            if node == union:
                return {"$ref": _REF + name}
        return _plain_parts(node, unions)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(node, list):
        return [_plain(item, unions) for item in node]  # pyright: ignore[reportUnknownVariableType]
    return node


def _plain_parts(node: Schema, unions: dict[str, Any]) -> Schema:
    plain: Schema = {key: _plain(value, unions) for key, value in node.items() if key != "discriminator"}
    choices = plain.get("enum")
    if isinstance(choices, list) and len(choices) == 1:  # pyright: ignore[reportUnknownArgumentType]
        plain["const"] = plain.pop("enum")[0]
    if plain.get("type") == "object" and "properties" not in plain and "additionalProperties" not in plain:
        plain["additionalProperties"] = True
    return plain


def _document(title: str, schema: Schema, definitions: Schema) -> Schema:
    """A self-contained schema: the definitions that it needs, and no others."""
    needed: dict[str, Schema] = {}
    _collect(schema, definitions, needed)
    document: Schema = {"$schema": _DIALECT, "title": title, **schema}
    if needed:
        document["$defs"] = {name: needed[name] for name in sorted(needed)}
    return document


def _collect(node: Any, definitions: Schema, needed: dict[str, Schema]) -> None:
    if isinstance(node, list):
        for item in node:  # pyright: ignore[reportUnknownVariableType]
            _collect(item, definitions, needed)
    elif isinstance(node, dict):
        reference: Any = node.get("$ref")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(reference, str):
            name = reference.removeprefix(_REF)
            if name not in needed:
                needed[name] = definitions[name]
                _collect(definitions[name], definitions, needed)
        for value in node.values():  # pyright: ignore[reportUnknownVariableType]
            _collect(value, definitions, needed)


def _openrpc(schemas: dict[int, Schema], definitions: Schema) -> Schema:
    methods = [
        {
            "name": name,
            "summary": method.summary,
            "paramStructure": "by-name",
            "params": [{"name": "params", "required": False, "schema": _moved(schemas[id(method.params)])}],
            "result": {
                "name": "result",
                "schema": _moved(schemas[id(method.result)]) if method.result is not None else {"type": "null"},
            },
        }
        for name, method in METHODS.items()
    ]
    notifications = [
        {
            "name": name,
            "summary": notification.summary,
            "direction": notification.direction,
            "params": _moved(schemas[id(notification.params)]),
        }
        for name, notification in NOTIFICATIONS.items()
    ]
    return {
        "openrpc": "1.3.2",
        "info": {"title": "modeld", "version": str(PROTOCOL_VERSION)},
        "methods": methods,
        "x-notifications": notifications,
        "components": {"schemas": {name: _moved(definitions[name]) for name in sorted(definitions)}},
    }


def _moved(node: Any) -> Any:
    """The same schema with its references where OpenRPC keeps components."""
    if isinstance(node, dict):
        return {
            key: value.replace(_REF, "#/components/schemas/") if key == "$ref" else _moved(value)  # pyright: ignore
            for key, value in node.items()  # pyright: ignore[reportUnknownVariableType]
        }
    if isinstance(node, list):
        return [_moved(item) for item in node]  # pyright: ignore[reportUnknownVariableType]
    return node
