"""What the fields of a Struct mean, read from the sentence under each of them, so that it is written in one place."""

import ast
import inspect
import re
import textwrap
from functools import cache

import msgspec

_BLANKS = re.compile(r"\s+")


@cache
def field_docs(shape: type[msgspec.Struct]) -> dict[str, str]:
    """The docstrings of a Struct's fields by name, each on one line. Empty where there is no source to read."""
    try:
        source = textwrap.dedent(inspect.getsource(shape))
    except (OSError, TypeError):
        return {}
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, words in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and (text := _text_of(words)):
            found[field.target.id] = _BLANKS.sub(" ", text).strip()
    return found


def _text_of(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None
