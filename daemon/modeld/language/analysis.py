"""One text, looked at once: its tree, what it defines, and what the checker of `--check-config` says of it."""

import msgspec

from modeld_protocol.config import Problem

from ..config.field_docs import field_docs
from ..config.layers import ConfigSurroundings
from ..config.schema import Config, json_schema
from ..config.yaml_nodes import Document
from ..limits import MAX_CONFIG_BYTES
from ..providers.spec import Quirks
from ..routing.registry import Registry, build_registry
from .lsp import ERROR, WARNING, Diagnostic
from .outline import Outline, outline_of
from .shape import Schema
from .text import Encoding, Position, Range, Text, text_of
from .tree import read_tree

SOURCE = "modeld"
FILE = "models.yaml"
_MARK = "\ufeff"  # a byte order mark, which is no part of YAML's text


class Knowledge(msgspec.Struct, frozen=True):
    """What is known beside the text: what a config is read against, and the schema of one."""

    surroundings: ConfigSurroundings
    schema: Schema


class Analysis(msgspec.Struct, eq=False):
    """What there is to know of one text in one client's encoding. `config` is None where there is an error. Indices count in
    `text`, which has no byte order mark; `margin` is how many units one takes in the first line."""

    text: Text
    encoding: Encoding
    margin: int
    document: Document | None
    outline: Outline
    problems: list[Problem]
    config: Config | None
    knowledge: Knowledge
    _registry: Registry | None = None

    def index(self, position: Position) -> int:
        """The index of a client's position."""
        if position.line == 0 and self.margin:
            position = Position(0, max(position.character - self.margin, 0))
        return self.text.index(position, self.encoding)

    def range(self, start: int, end: int) -> Range:
        """The client's range between two indices."""
        return Range(self._position(start), self._position(end))

    def span(self, problem: Problem) -> tuple[int, int]:
        """Where a problem is, in indices."""
        return self._problem_index(problem.line, problem.column), self._problem_index(problem.end_line, problem.end_column)

    def registry(self) -> Registry | None:
        """The models of a config without errors, as the daemon would serve them."""
        if self._registry is None and self.config is not None:
            self._registry = build_registry(self.config)
        return self._registry

    def diagnostic(self, problem: Problem) -> Diagnostic:
        """A problem as an editor draws it."""
        severity = ERROR if problem.severity == "error" else WARNING
        return Diagnostic(self.range(*self.span(problem)), severity, problem.code, SOURCE, problem.message)

    def diagnostics(self) -> list[Diagnostic]:
        """Every problem as an editor draws it."""
        return [self.diagnostic(problem) for problem in self.problems]

    def _problem_index(self, line: int, column: int) -> int:
        starts = self.text.line_starts
        return starts[min(line, len(starts)) - 1] + column - 1

    def _position(self, index: int) -> Position:
        found = self.text.position(index, self.encoding)
        return Position(0, found.character + self.margin) if found.line == 0 and self.margin else found


def knowledge_of(surroundings: ConfigSurroundings) -> Knowledge:
    """What is known where a config is read against `surroundings`."""
    schema = json_schema(tuple(surroundings.known_types))
    quirks = _quirks()
    for owner in ("Adapter", "Model"):
        options = schema["$defs"][owner]["properties"]["options"]
        options["properties"] = {**quirks, **options.get("properties", {})}
    return Knowledge(surroundings, schema)


def _quirks() -> dict[str, Schema]:
    """The options of adapters and models that are quirks of theirs, as far as they say what they are."""
    _, shapes = msgspec.json.schema_components((Quirks,), ref_template="#/$defs/{name}")
    words = field_docs(Quirks)
    properties: dict[str, Schema] = shapes["Quirks"]["properties"]
    return {name: {**properties[name], "description": words[name]} for name in properties if name in words}


def analyse(text: Text, encoding: Encoding, knowledge: Knowledge) -> Analysis:
    """Look at a text. Takes a millisecond for each 20 lines; never raises for anything in it."""
    body = text.content.lstrip(_MARK)
    marks = len(text.content) - len(body)
    margin = marks * (3 if encoding == "utf-8" else 1)
    data = body.encode("utf-8", "replace")
    config, problems = knowledge.surroundings.check(data, FILE)
    text = text_of(body) if marks else text
    document = read_tree(text) if len(data) <= MAX_CONFIG_BYTES else None
    return Analysis(text, encoding, margin, document, outline_of(document), problems, config, knowledge)
