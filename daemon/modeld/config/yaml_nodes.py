"""YAML as a tree of nodes with positions, composed from parser events without recursion and within bounds.

The library's own composer recurses in C and takes the process with it on 100 KB of brackets; this one keeps a stack, counts
depth and nodes, and leaves aliases as leaves, so that a tree has no cycles and is never larger than its text.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec

from ..limits import MAX_CONFIG_DEPTH, MAX_CONFIG_NODES

Index = int  # characters from the start of the text

_LINE_BREAK = re.compile(r"\r\n|\r|\n")  # an editor's idea of a line: U+0085, U+2028 and U+2029 end none
_INT = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_FLAGS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_CORE = "tag:yaml.org,2002:"
_CORE_TAGS = frozenset({"!", *(_CORE + name for name in ("null", "bool", "int", "float", "str", "map", "seq"))})
_OTHER_BREAKS = "\x85\u2028\u2029"  # break lines in YAML 1.1, which the parser reads, and are letters like others in 1.2
_PRIVATE_USE = range(0xE000, 0xF900)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

_HINTS = {
    "mapping values are not allowed in this context": "check the indentation, and put a value that holds ': ' in quotes",
    "could not find expected ':'": "each line of a mapping is 'name: value', with a space after the colon",
    "did not find expected '-' indicator": "the items of one list start with '- ' in the same column",
    "did not find expected key": "the names of one mapping start in the same column",
    "did not find expected ',' or ']'": "close the list with ']' and put ',' between its items",
    "did not find expected ',' or '}'": "close the mapping with '}' and put ',' between its entries",
    "did not find expected node content": "a value is missing here, or a bracket is open",
    "found unexpected end of stream": "a quote or bracket is open",
    "found unknown escape character": "write a backslash twice, or use single quotes",
    "found character that cannot start any token": "put the value in quotes",
}


class YamlError(ValueError):
    """Text that is no YAML, or more of it than is accepted. `index` and `end` in characters; `opened` is where the bracket,
    quote or name begins that the parser was in the middle of, None where that says nothing."""

    def __init__(self, code: str, message: str, index: Index, end: Index | None = None, opened: Index | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.index = index
        self.end = index if end is None else end
        self.opened = opened


class Scalar(msgspec.Struct):
    """`text` as the parser read it; `plain` without quotes or tag, so that it may stand for a number, a flag or null."""

    text: str
    plain: bool
    tag: str | None
    start: Index
    end: Index

    def value(self) -> bool | int | float | str | None:
        """What the scalar stands for in YAML 1.2's core schema."""
        kind = self.tag.removeprefix(_CORE) if self.tag else ""
        if not self.plain and kind in ("", "!", "str"):
            return self.text
        return _resolve(self.text)


class Alias(msgspec.Struct):
    """`*name`, a leaf."""

    name: str
    start: Index
    end: Index


class Sequence(msgspec.Struct):
    """A list."""

    items: "list[Node]"
    start: Index
    end: Index


class Mapping(msgspec.Struct):
    """Names and values in the order of the text, doubles and all."""

    pairs: "list[tuple[Node, Node]]"
    start: Index
    end: Index


Node = Scalar | Alias | Sequence | Mapping


class Document(msgspec.Struct):
    """A text and its tree. `root` is None where there is nothing but comments. `aliases`, `tagged` (tags outside the core
    schema) and `second` (where a second document starts) are what a reader may want to refuse."""

    text: str
    root: Node | None
    aliases: list[Alias]
    tagged: list[Node]
    second: Index | None
    line_starts: list[Index]

    def position(self, index: Index) -> tuple[int, int]:
        """Line and column, both from 1, the column in characters."""
        line = bisect_right(self.line_starts, index)
        return line, index - self.line_starts[line - 1] + 1

    def line_end(self, index: Index) -> Index:
        """Where the line that holds `index` ends, without its line break."""
        found = _LINE_BREAK.search(self.text, index)
        return found.start() if found else len(self.text)


def compose(text: str) -> Document:
    """The tree of the first document in `text`, which has no byte order mark. Raises YamlError with one of the codes `binary`,
    `syntax` and `too_complex`."""
    if found := _FORBIDDEN.search(text):
        code_point = f"U+{ord(found.group()):04X}"
        message = f"this is no text file: it holds the control character {code_point}; save it as plain UTF-8 text"
        raise YamlError("binary", message, found.start(), found.end())
    composer = _Composer(text)
    for event in _Events(text):
        if not composer.take(event):
            break
    return composer.document


def empty_document(text: str = "") -> Document:
    """A document without a tree, for positions in text that doesn't compose."""
    starts = [0, *(found.end() for found in _LINE_BREAK.finditer(text))]
    return Document(text=text, root=None, aliases=[], tagged=[], second=None, line_starts=starts)


class _Composer:
    """Builds the tree event by event; `_open` is the path from the root, keys waiting for their value beside it."""

    def __init__(self, text: str) -> None:
        self.document = empty_document(text)
        self._open: list[tuple[Mapping | Sequence, list[Node]]] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> bool:
        """False as soon as the rest of the events doesn't matter."""
        kind = type(event).__name__
        if kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._close(event.end_mark.index)
        elif kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                self.document.second = event.start_mark.index
                return False
        elif node := self._node(kind, event):
            self._add(node)
        return True

    def _node(self, kind: str, event: Any) -> Node | None:
        start, end = event.start_mark.index, event.end_mark.index
        if kind == "ScalarEvent":
            plain = not event.style and event.tag is None
            return self._tagged(event.tag, Scalar(event.value, plain, event.tag, start, end))
        if kind == "AliasEvent":
            alias = Alias(event.anchor, start, end)
            self.document.aliases.append(alias)
            return alias
        if kind == "MappingStartEvent":
            return self._tagged(event.tag, Mapping([], start, end))
        if kind == "SequenceStartEvent":
            return self._tagged(event.tag, Sequence([], start, end))
        return None

    def _tagged(self, tag: str | None, node: Node) -> Node:
        if tag is not None and tag not in _CORE_TAGS:
            self.document.tagged.append(node)
        return node

    def _add(self, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_CONFIG_NODES:
            raise YamlError("too_complex", f"the file holds more than {MAX_CONFIG_NODES} values; make it smaller", node.start)
        if self._open:
            self._open[-1][1].append(node)
        else:
            self.document.root = node
        if isinstance(node, Mapping | Sequence):
            if len(self._open) >= MAX_CONFIG_DEPTH:
                message = f"nested more than {MAX_CONFIG_DEPTH} levels deep; models.yaml needs five"
                raise YamlError("too_complex", message, node.start, node.start + 1)
            self._open.append((node, []))

    def _close(self, end: Index) -> None:
        node, children = self._open.pop()
        node.end = end
        if isinstance(node, Mapping):
            node.pairs = list(zip(children[::2], children[1::2], strict=True))
        else:
            node.items = children


class _Events(Iterator[Any]):
    """The parser's events, its errors as YamlError. Imports PyYAML, which costs start-up time, only now."""

    def __init__(self, text: str) -> None:
        import yaml

        self._yaml = yaml
        self._text = text
        stand_ins = _stand_ins(text)
        self._restored = {ord(stand_in): one for one, stand_in in stand_ins.items()}
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._parser: Any = loader(text.translate({ord(one): stand_in for one, stand_in in stand_ins.items()}))

    def __next__(self) -> Any:
        try:
            if self._parser.check_event():
                return self._restore(self._parser.get_event())
        except self._yaml.MarkedYAMLError as error:
            raise _syntax_error(error, self._text) from None
        except (self._yaml.YAMLError, RecursionError, ValueError) as error:
            reason = getattr(error, "reason", None) or "it can't be read"
            raise YamlError("syntax", f"not valid YAML: {reason}; save the file as plain UTF-8 text", 0) from None
        raise StopIteration

    def _restore(self, event: Any) -> Any:
        for name in ("value", "tag") if self._restored else ():
            if found := getattr(event, name, None):
                setattr(event, name, found.translate(self._restored))
        return event


def _stand_ins(text: str) -> dict[str, str]:
    """For each character that only the parser takes for the end of a line, one that the text doesn't hold and that ends none."""
    found = [one for one in _OTHER_BREAKS if one in text]
    unused = (chr(point) for point in _PRIVATE_USE if chr(point) not in text)
    return dict(zip(found, unused, strict=False))


def _syntax_error(error: Any, text: str) -> YamlError:
    """Words for a parser's error. The parser's own say what it expected and never repeat the text."""
    mark = error.problem_mark or error.context_mark
    index = min(mark.index, len(text)) if mark else 0
    problem = error.problem or "it can't be read"
    if text[index : index + 1] == "\t":
        return YamlError("syntax", "not valid YAML: a tab indents this line; use spaces", index, index + 1)
    hint = _HINTS.get(problem)
    context = f" {error.context}" if error.context else ""
    began = error.context_mark if any(word in context for word in ("flow", "quoted", "simple key")) else None
    opened = began.index if began else None
    return YamlError("syntax", f"not valid YAML: {problem}{context}" + (f"; {hint}" if hint else ""), index, opened=opened)


def _resolve(text: str) -> bool | int | float | str | None:
    if text in _NULLS:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if len(text) <= 400 and _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
