"""Validates every frame of a test, in both directions, against the generated schemas."""

import functools
from typing import Any

import jsonschema

from modeld_protocol.methods import METHODS, NOTIFICATIONS
from modeld_protocol.schema import documents

_DOCUMENTS = documents()


def _name(method: str) -> str:
    return method.replace("$/", "_").replace("/", ".")


@functools.cache
def validator(path: str) -> Any:
    """The validator of one schema file."""
    return jsonschema.Draft202012Validator(_DOCUMENTS[path])


def check(path: str, value: Any) -> None:
    """Raise AssertionError naming the fault where `value` does not fit the schema file."""
    error = jsonschema.exceptions.best_match(validator(path).iter_errors(value))
    assert error is None, f"{path}: {error.json_path}: {error.message[:300]}"


def check_params(method: str, params: Any) -> None:
    """The params of a request or notification that the protocol knows; LSP's own are not ours to check."""
    if method in METHODS:
        check(f"methods/{_name(method)}.params.json", {} if params is None else params)
    elif method in NOTIFICATIONS:
        check(f"notifications/{_name(method)}.json", {} if params is None else params)


def check_reply(method: str, reply: dict[str, Any]) -> None:
    """The reply to `method`: a result of its type, or an error whose data is complete where the protocol says so."""
    assert reply["jsonrpc"] == "2.0"
    assert ("result" in reply) != ("error" in reply), "a reply has a result or an error"
    if "result" in reply:
        if method in METHODS:
            check(f"methods/{_name(method)}.result.json", reply["result"])
        return
    error = reply["error"]
    assert isinstance(error["code"], int)
    assert isinstance(error["message"], str)
    if error["code"] == -32803:
        check("errors/data.json", error["data"])
