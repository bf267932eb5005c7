"""The tree of a text that may be half-written: lines that don't parse are left out, everything else keeps its place."""

import re

from ..config.yaml_nodes import Document, Mapping, Node, Scalar, Sequence, YamlError, compose
from ..limits import LARGE_DOCUMENT_CHARS
from .text import Text

_TRIES = 8
_TRIES_WHEN_LARGE = 2
_WHOLE_LINE = re.compile(r"\s*(?:-\s|[\]}]|.*?:(?:\s|$))")  # an item, the end of brackets, or a name with its colon
_CONTENT = re.compile(r"[^\r\n]")

Path = tuple[str | None, ...]
"""The names on the way from the top of a document; None for an item of a list."""


def read_tree(text: Text) -> Document | None:
    """The tree of `text`, without the lines that keep it from being one; None where it can't be had."""
    content = text.content
    blanked: set[int] = set()
    for _ in range(_TRIES if len(content) <= LARGE_DOCUMENT_CHARS else _TRIES_WHEN_LARGE):
        try:
            return compose(content)
        except YamlError as error:
            line = _line_to_blank(text, error, blanked) if error.code == "syntax" else None
        if line is None:
            return None
        blanked.add(line)
        start, end = text.line_starts[line], text.line_end(line)
        content = content[:start] + _CONTENT.sub(" ", content[start:end]) + content[end:]
    return None


def _line_to_blank(text: Text, error: YamlError, blanked: set[int]) -> int | None:
    """The line to leave out: where what is open began; else where the parser stumbled, or the line before that where only that
    one is no whole line: the parser takes a lone word for the beginning of the next line's name."""
    if error.opened is not None and (opened := text.line_of(error.opened)) not in blanked:
        return opened
    line = _with_words(text, text.line_of(min(error.index, len(text.content))), blanked)
    if line is not None and _WHOLE_LINE.match(_line(text, line)):
        before = _with_words(text, line - 1, blanked)
        if before is not None and not _WHOLE_LINE.match(_line(text, before)):
            return before
    return line


def _with_words(text: Text, line: int, blanked: set[int]) -> int | None:
    """The nearest line from `line` upwards that has words."""
    while line >= 0:
        words = _line(text, line).lstrip()
        if line not in blanked and words and not words.startswith("#"):
            return line
        line -= 1
    return None


def _line(text: Text, line: int) -> str:
    return text.content[text.line_starts[line] : text.line_end(line)]


def path_to(root: Node | None, index: int) -> tuple[Path, Node, bool] | None:
    """What stands at an index: the path, the scalar, and whether it is a name; None between scalars. A name's path is that of
    its value."""
    node, path = root, ()
    while node is not None and not isinstance(node, Scalar):
        if isinstance(node, Mapping):
            step = _in_mapping(node, index)
        elif isinstance(node, Sequence):
            step = next(((None, item, False) for item in node.items if item.start <= index <= item.end), None)
        else:
            return None
        if step is None:
            return None
        name, node, is_name = step
        path = (*path, name)
        if is_name:
            return path, node, True
    if node is None or not node.start <= index <= node.end or node.start == node.end:
        return None
    return path, node, False


def _in_mapping(node: Mapping, index: int) -> tuple[str, Node, bool] | None:
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            continue
        if key.start <= index <= key.end:
            return key.text, key, True
        if value.start <= index <= value.end and (value.start, value.end) != (key.end, key.end):
            return key.text, value, False
    return None


def node_at(root: Node | None, path: Path) -> Node | None:
    """The value at a path of names; None where there is none, and for an item of a list, of which a path doesn't tell which."""
    node = root
    for name in path:
        if not isinstance(node, Mapping) or name is None:
            return None
        node = next((value for key, value in node.pairs if isinstance(key, Scalar) and key.text == name), None)
    return node


def content_end(text: Text, node: Node) -> int:
    """Where a node's text ends, without the blanks and comments that the parser counts to a mapping or list."""
    if isinstance(node, Mapping) and node.pairs and text.content[node.end - 1 : node.end] != "}":
        key, value = node.pairs[-1]
        return max(key.end, content_end(text, value))
    if isinstance(node, Sequence) and node.items and text.content[node.end - 1 : node.end] != "]":
        return content_end(text, node.items[-1])
    return node.start + len(text.content[node.start : node.end].rstrip())
