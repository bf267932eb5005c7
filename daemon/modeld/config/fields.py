"""Reading YAML nodes as typed fields: every mistake becomes a problem at its place, and reading goes on."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from modeld_protocol.config import Problem, Severity

from . import yaml_nodes
from .wording import listed, quote_name, suggest
from .yaml_nodes import Node, Scalar

MAX_PROBLEMS = 500  # of each severity; nobody reads on to the next, and an editor's client would have to
MAX_SUGGESTIONS = 20


class Field(NamedTuple):
    """One entry of a mapping. `owner` says in words whose it is (`adapter 'local'`)."""

    name: str
    key: Scalar
    node: Node
    owner: str


class Fields(NamedTuple):
    """A mapping that was read: `values` of the entries that are right, `entries` for the places of them all."""

    values: dict[str, Any]
    entries: dict[str, Field]


class Invalid(NamedTuple):
    """What a reader returns for a value that is wrong; the problem has been reported."""


INVALID = Invalid()

Reader = Callable[["Report", Field], Any]


class Report:
    """Collects the problems of one document."""

    def __init__(self, document: yaml_nodes.Document, file: str) -> None:
        self._document = document
        self._file = file
        self.problems: list[Problem] = []
        self._suggestions = 0
        self._counts: dict[Severity, int] = {"error": 0, "warning": 0}

    @property
    def errors(self) -> int:
        """How many errors were reported."""
        return self._counts["error"]

    def error(self, node: Node, code: str, message: str) -> Invalid:
        """Report an error at `node`."""
        return self.error_at(node.start, node.end, code, message)

    def warning(self, node: Node, code: str, message: str) -> Invalid:
        """Report a warning at `node`."""
        return self._add("warning", node.start, node.end, code, message)

    def error_at(self, start: int, end: int, code: str, message: str) -> Invalid:
        """Report an error between two indices, the end exclusive."""
        return self._add("error", start, end, code, message)

    def wrong_type(self, field: Field, expected: str) -> Invalid:
        """Report that a field's value is none of what it takes. The value itself isn't repeated: it may be a key."""
        place = field.key if field.node.start == field.node.end else field.node
        return self.error(place, "wrong_type", f"{field.name} of {field.owner} must be {expected}, not {_kind(field.node)}")

    def line_of(self, node: Node) -> int:
        """The line where `node` starts, from 1."""
        return self._document.position(node.start)[0]

    def suggest(self, text: str, candidates: Collection[str]) -> str:
        """`; did you mean 'x'?` or nothing. Only for the first few: to compare takes long in a large file."""
        self._suggestions += 1
        return suggest(text, candidates) if self._suggestions <= MAX_SUGGESTIONS else ""

    def sorted(self) -> list[Problem]:
        """The problems in the order of the file."""
        return sorted(self.problems, key=lambda problem: (problem.line, problem.column))

    def _add(self, severity: Severity, start: int, end: int, code: str, message: str) -> Invalid:
        self._counts[severity] += 1
        if self._counts[severity] <= MAX_PROBLEMS:
            # A range that spans lines underlines half the file; the first line shows where.
            end = max(start, min(end, self._document.line_end(start)))
            line, column = self._document.position(start)
            end_line, end_column = self._document.position(end)
            self.problems.append(Problem(self._file, line, column, severity, code, message, end_line, end_column))
        return INVALID


def read_entries(report: Report, node: Node, owner: str, what: str) -> list[Field]:
    """The entries of a mapping, each name once. `what` says what its names are (`adapter names`)."""
    if isinstance(node, yaml_nodes.Alias):
        return []
    if not isinstance(node, yaml_nodes.Mapping):
        report.error(node, "not_a_mapping", f"{owner} must be a mapping of {what}, written 'name: value', not {_kind(node)}")
        return []
    seen: dict[str, Field] = {}
    for key, value in node.pairs:
        if isinstance(key, yaml_nodes.Alias):
            continue
        if not isinstance(key, Scalar):
            report.error(key, "bad_name", f"the names in {owner} must be plain text, not {_kind(key)}")
        elif key.text == "<<" and key.plain:
            report.error(key, "alias", "merging with '<<' isn't supported in models.yaml; write the fields out")
        elif key.text in seen:
            message = (
                f"{quote_name(key.text)} stands twice in {owner}, first in line {report.line_of(seen[key.text].key)}; remove one"
            )
            report.error(key, "duplicate_key", message)
        else:
            seen[key.text] = Field(key.text, key, value, owner)
    return list(seen.values())


def read_fields(report: Report, node: Node, owner: str, readers: Mapping[str, Reader]) -> Fields:
    """The known fields of a mapping; unknown ones are reported, null ones count as left out."""
    fields = Fields({}, {})
    for field in read_entries(report, node, owner, "fields"):
        reader = readers.get(field.name)
        if reader is None:
            _report_unknown(report, field, readers)
            continue
        fields.entries[field.name] = field
        if is_null(field.node) or isinstance(field.node, yaml_nodes.Alias):
            continue
        value = reader(report, field)
        if value is not INVALID:
            fields.values[field.name] = value
    return fields


def is_null(node: Node) -> bool:
    """Whether nothing was written, or null."""
    return isinstance(node, Scalar) and node.value() is None


def read_text(report: Report, field: Field) -> Any:
    """A text that isn't empty."""
    value = field.node.value() if isinstance(field.node, Scalar) else None
    if isinstance(value, str):
        return value or report.error(field.node, "wrong_type", f"{field.name} of {field.owner} must not be empty")
    hint = "" if value is None else f' (put it in quotes if it is meant as text: {field.name}: "…")'
    return report.wrong_type(field, "text" + hint)


def read_flag(report: Report, field: Field) -> Any:
    """true or false; YAML 1.1's yes, no, on and off too."""
    value = field.node.value() if isinstance(field.node, Scalar) else None
    if isinstance(value, bool):
        return value
    if isinstance(field.node, Scalar) and field.node.plain and field.node.text.lower() in _OLD_FLAGS:
        return _OLD_FLAGS[field.node.text.lower()]
    return report.wrong_type(field, "true or false")


_OLD_FLAGS = {"yes": True, "on": True, "no": False, "off": False}


def read_texts(report: Report, field: Field) -> Any:
    """A list of texts, as `[(text, node)]`."""
    if not isinstance(field.node, yaml_nodes.Sequence):
        return report.wrong_type(field, "a list of text, written [a, b]")
    found: list[tuple[str, Node]] = []
    for item in field.node.items:
        if isinstance(item, yaml_nodes.Alias):
            continue
        value = read_text(report, Field(f"each of {field.name}", field.key, item, field.owner))
        if value is not INVALID:
            found.append((value, item))
    return found


def number_reader(expected: str, accepts: Callable[[float], bool], *, whole: bool = False) -> Reader:
    """A reader of numbers that `accepts` takes; `expected` says in words which these are."""

    def read(report: Report, field: Field) -> Any:
        value = field.node.value() if isinstance(field.node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return report.wrong_type(field, expected)
        if not accepts(value):
            return report.error(field.node, "out_of_range", f"{field.name} of {field.owner} must be {expected}")
        return value

    return read


read_price = number_reader("a price of 0 or more", lambda value: value >= 0 and math.isfinite(value))
read_tokens = number_reader("a whole number of tokens above 0", lambda value: 0 < value < 1e12, whole=True)


def struct_reader(shape: type[msgspec.Struct], what: str) -> Reader:
    """A reader of a mapping whose fields are those of `shape`; gives the dict of what is set."""
    infos = msgspec.structs.fields(shape)
    readers = {info.name: _reader_of(info.type) for info in infos}
    required = [info.name for info in infos if info.required]

    def read(report: Report, field: Field) -> Any:
        owner = f"{what} of {field.owner}"
        values, entries = read_fields(report, field.node, owner, readers)
        for name in required:
            if name not in entries or is_null(entries[name].node):
                report.error(field.node, "missing_field", f"{owner} needs {name}; write '{name}: …'")
        return values

    return read


def _reader_of(kind: Any) -> Reader:
    """The reader for a field of a protocol Struct, by its annotation."""
    if kind is bool:
        return read_flag
    if get_origin(kind) is Literal:
        return _choice_reader(get_args(kind))
    if get_origin(kind) is list:
        return _list_reader(get_args(kind)[0])
    if float in get_args(kind):
        return read_price
    if kind is int or int in get_args(kind):
        return read_tokens
    return read_text


def _choice_reader(choices: tuple[str, ...]) -> Reader:
    def read(report: Report, field: Field) -> Any:
        value = field.node.value() if isinstance(field.node, Scalar) else None
        return value if value in choices else report.wrong_type(field, f"one of {listed(choices)}")

    return read


def _list_reader(item: Any) -> Reader:
    if item is str:
        return lambda report, field: _plain_texts(read_texts(report, field))
    read_item = struct_reader(item, "each entry")  # a mapping

    def read(report: Report, field: Field) -> Any:
        if not isinstance(field.node, yaml_nodes.Sequence):
            return report.wrong_type(field, "a list")
        owner = f"{field.name} of {field.owner}"
        items = [node for node in field.node.items if not isinstance(node, yaml_nodes.Alias)]
        return [read_item(report, Field(field.name, field.key, node, owner)) for node in items]

    return read


def _plain_texts(found: Any) -> Any:
    return found if found is INVALID else [text for text, _ in found]


def read_plain(node: Node) -> Any:
    """A node as plain JSON-like data, for fields whose shape isn't fixed. The composer bounds the depth."""
    if isinstance(node, Scalar):
        return node.value()
    if isinstance(node, yaml_nodes.Sequence):
        return [read_plain(item) for item in node.items]
    if isinstance(node, yaml_nodes.Mapping):
        return {key.text: read_plain(value) for key, value in node.pairs if isinstance(key, Scalar)}
    return None


def _report_unknown(report: Report, field: Field, known: Collection[str]) -> None:
    near = report.suggest(field.name, known) or f"; the fields are: {listed(known)}"
    report.error(field.key, "unknown_field", f"unknown field {quote_name(field.name)} in {field.owner}{near}")


def _kind(node: Node) -> str:
    if isinstance(node, yaml_nodes.Mapping):
        return "a mapping"
    if isinstance(node, yaml_nodes.Sequence):
        return "a list"
    if isinstance(node, yaml_nodes.Alias):
        return "an alias"
    value = node.value()
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a number"
