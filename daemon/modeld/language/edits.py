"""Edits that keep a file's style: a scalar's quotes, a list on one line or on many, a mapping in brackets or in lines."""

import re
from typing import NamedTuple

from ..config.yaml_nodes import Mapping, Node, Scalar
from .analysis import Analysis
from .outline import Entry
from .tree import content_end, node_at

_NEEDS_QUOTES = re.compile(r":(?=\s|$)|(?:^|\s)#|[\[\]{},\"]|^[-?&*!|>'%@`\s]|\s$|^$")


class Edit(NamedTuple):
    """What takes the place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


def replace(analysis: Analysis, node: Scalar, text: str) -> Edit:
    """Another text in a scalar's place, in the quotes that it has."""
    quote = analysis.text.content[node.start : node.start + 1]
    end = node.start + len(analysis.text.content[node.start : node.end].rstrip())
    if quote == '"':
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    elif quote == "'" or _NEEDS_QUOTES.search(text):
        text = "'" + text.replace("'", "''") + "'"
    return Edit(node.start, end, text)


def remove_pair(analysis: Analysis, key: Node, value: Node) -> Edit:
    """Without a name and its value."""
    return _remove(analysis, key.start, max(key.end, content_end(analysis.text, value)))


def remove_item(analysis: Analysis, node: Node) -> Edit:
    """Without an item of a list."""
    return _remove(analysis, node.start, content_end(analysis.text, node))


def _remove(analysis: Analysis, start: int, end: int) -> Edit:
    text, content = analysis.text, analysis.text.content
    line = text.line_of(start)
    before = content[text.line_starts[line] : start]
    if not before.strip(" -"):  # it has lines of its own
        last = text.line_of(end)
        after = text.line_starts[last + 1] if last + 1 < len(text.line_starts) else len(content)
        return Edit(text.line_starts[line], after, "")
    if comma := re.compile(r"[ \t]*(?:null|~)?[ \t]*,\s*").match(content, end):
        return Edit(start, comma.end(), "")
    if comma := re.search(r",\s*$", content[:start]):
        return Edit(comma.start(), end, "")
    return Edit(start, end, "")


def add_field(analysis: Analysis, entry: Entry, name: str, value: str) -> Edit | None:
    """With one field more, as the first of an entry; None where its style leaves no room."""
    content = analysis.text.content
    node = entry.value
    if isinstance(node, Mapping) and content[node.start : node.start + 1] == "{":
        quoted = bool(node.pairs) and content[node.pairs[0][0].start] == '"'
        field = f'"{name}": "{value}"' if quoted else f"{name}: {value}"
        return Edit(node.start + 1, node.start + 1, field + (", " if node.pairs else ""))
    line = analysis.text.line_starts[analysis.text.line_of(entry.key.start)]
    indent = content[line : entry.key.start]
    if indent.strip():
        return None  # inside brackets
    if isinstance(node, Mapping) and node.pairs:
        first = node.pairs[0][0].start
        own = content[analysis.text.line_starts[analysis.text.line_of(first)] : first]
        return Edit(first, first, f"{name}: {value}\n{own}") if not own.strip() else None
    colon = content.find(":", entry.key.end)
    empty = isinstance(node, Scalar) and node.value() is None and node.start == node.end
    return Edit(colon + 1, colon + 1, f"\n{indent}  {name}: {value}") if empty and colon >= 0 else None


def pair_at(analysis: Analysis, path: tuple[str | None, ...], start: int) -> tuple[Scalar, Node] | None:
    """The name that begins at an index, and its value."""
    root = analysis.document.root if analysis.document else None
    parent = node_at(root, path[:-1])
    if not isinstance(parent, Mapping):
        return None
    return next(((key, value) for key, value in parent.pairs if isinstance(key, Scalar) and key.start == start), None)


def as_list(analysis: Analysis, node: Scalar) -> Edit:
    """A scalar as a list of one."""
    end = node.start + len(analysis.text.content[node.start : node.end].rstrip())
    return Edit(node.start, end, f"[{analysis.text.content[node.start : end]}]")
