"""The generated schemas: complete, valid, up to date, open for newer fields, and one with what the daemon decodes."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from tests.harness.examples import CANARY, Examples
from tests.strategies import requests

from modeld.cli.schema import config_schema
from modeld_protocol.errors import ErrorData
from modeld_protocol.lifecycle import ModeldOptions
from modeld_protocol.methods import METHODS, NOTIFICATIONS
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.schema import documents, drift

SCHEMAS = Path(__file__).parents[2] / "schemas"
DOCUMENTS = documents()

# What clients were promised, written out: a name that goes missing from the table fails here.
PROMISED_METHODS = [
    *("initialize", "shutdown"),
    *("model/list", "model/discover", "model/estimateTokens", "model/countTokens", "model/complete", "model/stream"),
    *("session/create", "session/get", "session/list", "session/update", "session/delete", "session/append", "session/fork"),
    *("session/forkPoints", "session/validate", "session/export", "session/import"),
    *("session/subscribe", "session/unsubscribe", "turn/start", "turn/cancel", "handoff/preview"),
    *("usage/query", "usage/aggregate", "provider/list"),
    *("file/upload", "file/list", "file/delete", "cache/create", "cache/list", "cache/delete"),
    *("config/check", "config/reload", "config/get", "daemon/status", "daemon/stop"),
]
PROMISED_NOTIFICATIONS = [
    *("$/cancelRequest", "$/progress", "window/logMessage"),
    *("stream/event", "trace/event", "session/changed", "config/changed", "availability/changed", "stream/gap"),
]
SHAPES = {
    "model.complete.params": "request_id model provider system_prompt messages tools tool_choice response_format "
    "max_output_tokens temperature top_p stop_sequences thinking cache metadata provider_options timeout_seconds include_raw",
    "model.complete.result": "request_id model provider content stop_reason usage cost metrics warnings raw_provider_response",
    "turn.start.params": "session_id input model detach",
    "turn.start.result": "turn_id message stop_reason usage cost warnings handoff",
}


def _name(name: str) -> str:
    return name.replace("$/", "_").replace("/", ".")


def _types() -> Iterator[tuple[str, Any]]:
    for name, method in METHODS.items():
        yield f"methods/{_name(name)}.params.json", method.params
        if method.result is not None:
            yield f"methods/{_name(name)}.result.json", method.result
    for name, notification in NOTIFICATIONS.items():
        yield f"notifications/{_name(name)}.json", notification.params
    yield "methods/initialize.options.json", ModeldOptions
    yield "errors/data.json", ErrorData


TYPES = dict(_types())
DISTINCT = list({id(kind): file for file, kind in reversed(TYPES.items())}.values())
READ_BY_THE_DAEMON = [
    *(f"methods/{_name(name)}.params.json" for name in METHODS),
    *(f"notifications/{_name(name)}.json" for name, one in NOTIFICATIONS.items() if one.direction == "client"),
    "methods/initialize.options.json",
]


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _nodes(inner)


def test_the_files_are_what_is_generated() -> None:
    assert drift(SCHEMAS, config_schema()) == [], "run `make schemas` and commit what it writes"


def test_every_promised_name_has_its_files() -> None:
    for name in PROMISED_METHODS:
        for part in ("params", "result"):
            assert (SCHEMAS / f"methods/{_name(name)}.{part}.json").is_file(), name
    for name in PROMISED_NOTIFICATIONS:
        assert (SCHEMAS / f"notifications/{_name(name)}.json").is_file(), name
    assert (SCHEMAS / "errors/data.json").is_file()


@pytest.mark.parametrize(("file", "fields"), SHAPES.items())
def test_promised_fields_are_there(file: str, fields: str) -> None:
    assert set(fields.split()) <= set(_resolved(DOCUMENTS[f"methods/{file}.json"])["properties"])


def _resolved(document: dict[str, Any]) -> dict[str, Any]:
    return document["$defs"][document["$ref"].rpartition("/")[2]] if "$ref" in document else document


@pytest.mark.parametrize("file", [name for name in DOCUMENTS if name != "openrpc.json"])
def test_each_is_a_valid_self_contained_schema(file: str) -> None:
    document = json.loads((SCHEMAS / file).read_text("utf-8"))
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(document)
    used = {node["$ref"] for node in _nodes(document) if isinstance(node.get("$ref"), str)}
    assert used == {f"#/$defs/{name}" for name in document.get("$defs", {})}, "every definition is used, every reference is there"


@pytest.mark.parametrize("file", DOCUMENTS)
def test_no_object_is_closed(file: str) -> None:
    assert all(node.get("additionalProperties") is not False for node in _nodes(DOCUMENTS[file]))
    assert all("unevaluatedProperties" not in node for node in _nodes(DOCUMENTS[file]))


def test_the_openrpc_document_is_whole() -> None:
    document = json.loads((SCHEMAS / "openrpc.json").read_text("utf-8"))
    assert document["openrpc"].startswith("1.")
    assert document["info"]["title"] == "modeld"
    assert document["info"]["version"]
    assert [method["name"] for method in document["methods"]] == list(METHODS)
    assert [one["name"] for one in document["x-notifications"]] == list(NOTIFICATIONS)
    for method in document["methods"]:
        assert method["summary"]
        assert method["result"]["schema"]
        assert all({"name", "schema"} <= param.keys() for param in method["params"])
        assert len({param["name"] for param in method["params"]}) == len(method["params"])
    for node in _nodes(document):
        if isinstance(reference := node.get("$ref"), str):
            at: Any = document
            for step in reference.removeprefix("#/").split("/"):
                at = at[step]
            assert isinstance(at, dict)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


# ---- schemas and types say the same


def _decode(kind: Any, value: Any) -> Any:
    return msgspec.json.decode(json.dumps(value).encode(), type=kind)


@pytest.mark.parametrize("file", DISTINCT)
def test_examples_go_round(file: str) -> None:
    kind, validator = TYPES[file], jsonschema.Draft202012Validator(DOCUMENTS[file])
    for value in Examples(DOCUMENTS[file]).valid():
        validator.validate(value)
        decoded = _decode(kind, value)
        encoded = msgspec.json.encode(decoded)
        validator.validate(json.loads(encoded))
        assert msgspec.json.decode(encoded, type=kind) == decoded


@pytest.mark.parametrize("file", [file for file in DISTINCT if file in READ_BY_THE_DAEMON])
def test_faults_of_the_schema_are_faults_of_the_type(file: str) -> None:
    examples, kind = Examples(DOCUMENTS[file]), TYPES[file]
    validator = jsonschema.Draft202012Validator(DOCUMENTS[file])
    seen: set[tuple[str, str]] = set()
    for value in examples.valid():
        for fault in examples.faulty(value):
            place = fault.what, re.sub(r"\d+", "", fault.path)  # the items of a list are alike
            if place in seen:
                continue
            seen.add(place)
            assert not validator.is_valid(fault.value), fault
            with pytest.raises(msgspec.ValidationError):
                _decode(kind, fault.value)
    assert seen


@pytest.mark.parametrize("file", DISTINCT)
def test_unknown_fields_are_accepted_everywhere(file: str) -> None:
    kind, validator = TYPES[file], jsonschema.Draft202012Validator(DOCUMENTS[file])
    for value in Examples(DOCUMENTS[file]).valid():
        newer = deepcopy(value)
        for node in list(_nodes(newer)):
            if CANARY not in node and not _is_free(node):
                node[CANARY] = {"from": ["a newer client"]}
        validator.validate(newer)
        assert _shape(_decode(kind, newer)) == _shape(_decode(kind, value))


def _is_free(node: dict[str, Any]) -> bool:
    """Whether the protocol leaves this object's content to others: it would keep what is put there."""
    return "any" in node or "some-key" in node or not node


def _shape(value: Any) -> Any:
    """A decoded value without what the test put in."""
    plain = msgspec.to_builtins(value)
    for node in list(_nodes(plain)):
        node.pop(CANARY, None)
    return plain


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests())
def test_whatever_the_types_allow_fits_the_schema(request: CanonicalRequest) -> None:
    COMPLETE.validate(json.loads(msgspec.json.encode(request)))


COMPLETE = jsonschema.Draft202012Validator(DOCUMENTS["methods/model.complete.params.json"])
