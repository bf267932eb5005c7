"""What is told about the word under the pointer: fields, types, adapters, models."""

from ..config.yaml_nodes import Scalar
from ..providers.catalog import row_of
from .analysis import Analysis
from .facts import describe_adapter, describe_model, describe_row, describe_variable, model_facts
from .lsp import MARKDOWN, Hover, Markup
from .shape import shape_at
from .text import Position
from .tree import Path, path_to

_RATHER = "Rather use api_key_env or api_key_command."


def hover(analysis: Analysis, position: Position) -> Hover | None:
    """What there is to say about a position; None where there is nothing."""
    index = analysis.index(position)
    found = path_to(analysis.document.root if analysis.document else None, index)
    if found is None or not isinstance(found[1], Scalar):
        return None
    path, node, is_name = found[0], found[1], found[2]
    words = _about_name(analysis, path) if is_name else _about_value(analysis, path, node)
    if not words:
        return None
    return Hover(Markup(MARKDOWN, words), analysis.range(node.start, node.end))


def _about_name(analysis: Analysis, path: Path) -> str | None:
    if len(path) == 2 and path[0] == "adapters":
        entry = analysis.outline.adapters.get(path[1] or "")
        return describe_adapter(analysis, entry) if entry else None
    if len(path) == 2 and path[0] == "models":
        return _about_model(analysis, path[1] or "")
    return about_field(analysis, path)


def about_field(analysis: Analysis, path: Path) -> str | None:
    """A field in Markdown: what it is, what it takes, what holds without it."""
    shape = shape_at(analysis.knowledge.schema, path)
    if shape is None or not path or not path[-1]:
        return None
    takes = shape.words()
    heading = f"**{path[-1]}**" + (f": {takes}" if takes else "")
    return f"{heading}\n\n{shape.description}" if shape.description else heading


def _about_value(analysis: Analysis, path: Path, node: Scalar) -> str | None:
    words: str | None = None
    match path:
        case ("adapters", _, "type") if node.text in analysis.knowledge.surroundings.known_types:
            words = describe_row(row_of(node.text))
        case ("adapters", _, "api_key_env"):
            words = f"The key comes {describe_variable(analysis, node.text)}"
        case ("adapters", _, "api_key"):
            words = f"The key itself, in plain text: anyone who reads this file reads it. {_RATHER}"
        case ("models", _, "adapter") if node.text in analysis.outline.adapters:
            words = describe_adapter(analysis, analysis.outline.adapters[node.text])
        case ("models", _, "aliases" | "fallbacks", None) | ("default_model",):
            words = _about_model(analysis, node.text)
        case ("models", str(model), "wire_name"):
            words = _about_model(analysis, model)
        case _:
            pass
    return words


def _about_model(analysis: Analysis, name: str) -> str | None:
    facts = model_facts(analysis, name)
    return describe_model(facts) if facts else None
