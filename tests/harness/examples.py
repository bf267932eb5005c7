"""Values made from the protocol's JSON Schemas: valid ones, and valid ones with a single fault at a known place."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

Schema = dict[str, Any]
Path = tuple[Any, ...]

CANARY = "canary-8c1f4e"
CANARY_NUMBER = 918273645
_KINDS: dict[str, Any] = {
    "string": CANARY,
    "integer": CANARY_NUMBER,
    "number": CANARY_NUMBER + 0.5,
    "boolean": True,
    "array": [CANARY],
    "object": {CANARY: CANARY},
    "null": None,
}


class Fault(NamedTuple):
    """`value` is valid but for one place; `path` is that place, as `$.messages[0].role`."""

    what: str
    path: str
    value: Any


class Examples:
    """The examples of one self-contained schema document."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._definitions = document.get("$defs", {})

    def valid(self) -> list[Any]:
        """Values that fit: every property is there, every alternative of every union in one of them at least."""
        found: list[Any] = []
        for turn in range(12):
            value = self._make(self._document, turn, full=True)
            if value not in found:
                found.append(value)
        smallest = self._make(self._document, 0, full=False)
        return [*found, smallest] if smallest not in found else found

    def faulty(self, value: Any) -> Iterator[Fault]:
        """Every single fault that the schema can tell in a valid value."""
        for what, path, change in self._faults(self._document, value, ()):
            root = deepcopy({"root": value})
            _apply(root, ("root", *path), change)
            yield Fault(what, _written(path), root["root"])

    # ---- valid values

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = {**self._definitions[schema["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
        return schema

    def _branches(self, schema: Schema) -> list[Schema]:
        schema = self._resolve(schema)
        if "anyOf" in schema:
            return [branch for one in schema["anyOf"] for branch in self._branches(one)]
        kinds = schema.get("type")
        return [{**schema, "type": kind} for kind in kinds] if isinstance(kinds, list) else [schema]

    def _make(self, schema: Schema, turn: int, *, full: bool) -> Any:
        branches = self._branches(schema)
        schema = branches[turn % len(branches)] if full else branches[0]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][turn % len(schema["enum"])]
        kind = schema.get("type")
        if kind == "object":
            return self._make_object(schema, turn, full=full)
        if kind == "array":
            items = schema.get("items", {})
            return [self._make(item, turn, full=full) for item in self._branches(items)] if full else []
        return _make_plain(schema, kind)

    def _make_object(self, schema: Schema, turn: int, *, full: bool) -> Any:
        required = schema.get("required", ())
        value = {
            name: self._make(inner, turn, full=full)
            for name, inner in schema.get("properties", {}).items()
            if full or name in required
        }
        rest = schema.get("additionalProperties")
        if full and isinstance(rest, dict):
            value["some-key"] = self._make(rest, turn, full=full)
        return value

    # ---- faults

    def _faults(self, schema: Schema, value: Any, path: Path) -> Iterator[tuple[str, Path, Any]]:
        branches = self._branches(schema)
        if any(not branch.keys() & {"type", "const", "enum"} for branch in branches):
            return  # anything goes here
        kinds = {kind for branch in branches for kind in _kinds_of(branch)}
        for kind, wrong in _KINDS.items():
            if kind not in kinds and not (kind == "integer" and "number" in kinds):
                yield f"{kind} instead of {'/'.join(sorted(kinds))}", path, wrong
        branch = next(branch for branch in branches if _fits(branch, value))
        yield from _bounds(branch, path)
        if all("enum" in one for one in branches if _kinds_of(one) == {"string"}) and isinstance(value, str):
            yield "unknown enum value", path, CANARY
        if isinstance(value, dict):
            yield from self._object_faults(branch, value, path)
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._faults(branch.get("items", {}), item, (*path, index))

    def _object_faults(self, schema: Schema, value: Any, path: Path) -> Iterator[tuple[str, Path, Any]]:
        for name in schema.get("required", ()):
            yield "dropped", (*path, name), _DROP
        for name, inner in schema.get("properties", {}).items():
            if name not in value:
                continue
            if "const" in inner:
                yield "unknown tag", (*path, name), CANARY
                yield "number as tag", (*path, name), CANARY_NUMBER
            else:
                yield from self._faults(inner, value[name], (*path, name))
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict) and "some-key" in value:
            yield from self._faults(rest, value["some-key"], (*path, "some-key"))


_DROP = object()


def _make_plain(schema: Schema, kind: Any) -> Any:
    if kind == "string":
        return "text"
    if kind in ("integer", "number"):
        return max(1, schema.get("minimum", 1)) if kind == "integer" else max(0.5, schema.get("minimum", 0))
    return {"boolean": False, "null": None}.get(kind, {"any": ["thing", 1]})


def _kinds_of(branch: Schema) -> set[str]:
    kind = branch.get("type")
    if kind is None:
        return {"string" if isinstance(one, str) else "integer" for one in branch.get("enum", [branch.get("const")])}
    return {kind}


def _fits(branch: Schema, value: Any) -> bool:
    tags = {name: inner["const"] for name, inner in branch.get("properties", {}).items() if "const" in inner}
    if tags:
        return isinstance(value, dict) and all(value.get(name) == tag for name, tag in tags.items())
    shapes = {"string": str, "integer": int, "number": int | float, "boolean": bool, "array": list, "object": dict}
    kind = next(iter(_kinds_of(branch)))
    if kind == "null":
        return value is None
    return isinstance(value, shapes[kind]) and (kind == "boolean") == isinstance(value, bool)


def _bounds(branch: Schema, path: Path) -> Iterator[tuple[str, Path, Any]]:
    if branch.get("type") == "integer":
        yield "fraction", path, CANARY_NUMBER + 0.5
    if "minimum" in branch or "exclusiveMinimum" in branch:
        yield "below the minimum", path, -CANARY_NUMBER
    if "exclusiveMinimum" in branch:
        yield "at the exclusive minimum", path, branch["exclusiveMinimum"]
    if "maximum" in branch:
        yield "above the maximum", path, CANARY_NUMBER
    if branch.get("minLength"):
        yield "too short", path, ""
    if "maxLength" in branch:
        yield "too long", path, CANARY * branch["maxLength"]


def _apply(root: Any, path: Path, change: Any) -> None:
    for step in path[:-1]:
        root = root[step]
    if change is _DROP:
        del root[path[-1]]
    else:
        root[path[-1]] = change


def _written(path: Path) -> str:
    """`$.a[0].b`; an entry of an open mapping is `[...]`, because its name is the client's own."""
    steps = ("[...]" if step == "some-key" else f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "$" + "".join(steps)
