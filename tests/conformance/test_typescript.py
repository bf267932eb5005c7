"""The TypeScript types: one for everything that the schemas define, every method and notification, nothing undefined."""

import re

from modeld_protocol.methods import METHODS, NOTIFICATIONS
from modeld_protocol.schema import documents, types
from modeld_protocol.typescript import module

TEXT = types()
DECLARED = set(re.findall(r"^export (?:interface|type) (\w+)", TEXT, re.MULTILINE))
BUILT_IN = {"Array", "Record"}


def test_every_definition_is_declared() -> None:
    assert set(documents()["openrpc.json"]["components"]["schemas"]) <= DECLARED


def test_every_method_and_notification_is_typed() -> None:
    for name in METHODS:
        assert f'"{name}": {{ params: ' in TEXT
    for name in NOTIFICATIONS:
        assert f'  "{name}": ' in TEXT


def test_every_name_that_is_used_is_declared() -> None:
    code = re.sub(r"/\*.*?\*/|//.*|\"[^\"]*\"", "", TEXT, flags=re.DOTALL)
    used = set(re.findall(r"\b[A-Z]\w+\b", code))
    assert used <= DECLARED | BUILT_IN | {"Methods", "Notifications"}


def test_shapes() -> None:
    definitions = {
        "Thing": {
            "type": "object",
            "description": "One line.\n\nAnd */ more.",
            "properties": {
                "kind": {"const": "a b"},
                "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "names": {"type": "array", "items": {"type": "string"}},
                "any": {},
                "by-name": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Thing"}},
                "open": {"type": "object", "additionalProperties": True},
                "level": {"enum": ["low", "high"]},
                "mixed": {"type": ["string", "null"]},
            },
            "required": ["kind"],
        },
        "Either": {"anyOf": [{"$ref": "#/$defs/Thing"}, {"type": "string"}]},
    }
    text = module(definitions, {"a/b": ({"$ref": "#/$defs/Thing"}, {"type": "null"})}, {"c": {"$ref": "#/$defs/Either"}})
    for line in (
        " * And * / more.",
        '  kind: "a b";',
        "  size?: number | null;",
        "  names?: Array<string>;",
        "  any?: unknown;",
        '  "by-name"?: Record<string, Thing>;',
        "  open?: Record<string, unknown>;",
        '  level?: "low" | "high";',
        "  mixed?: string | null;",
        "export type Either = Thing | string;",
        '  "a/b": { params: Thing; result: null };',
        '  "c": Either;',
    ):
        assert f"{line}\n" in text, line
