"""Members of a request body beyond the plain wire's: put at a path, merged object by object."""

from collections.abc import Mapping
from typing import Any, cast

Members = dict[str, Any]


def placed(path: str, value: Any) -> Members:
    """`value` at a path with dots between members: `reasoning.effort` is `{"reasoning": {"effort": value}}`."""
    name, dot, rest = path.partition(".")
    return {name: placed(rest, value) if dot else value}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Members:
    """Both; where both have a member that is an object, the objects are merged, else `over` wins. Neither is changed."""
    if not over:
        return dict(base)
    result = dict(base)
    for name, value in over.items():
        known = result.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            result[name] = merged(cast("Members", known), cast("Members", value))
        else:
            result[name] = value
    return result
