"""From a name to where it comes from and to where it is used, to another name, and the outline of a document."""

from ..config.adapter_checks import NAME
from ..config.yaml_nodes import Mapping, Node, Scalar
from . import CannotRename, lsp
from .analysis import Analysis
from .facts import shown
from .outline import Entry, Mention
from .text import Position
from .tree import content_end

_ALIAS_OR_ID = "\"'{}[],#&*!|>%@` \t\r\n"


def definition(analysis: Analysis, uri: str, position: Position) -> list[lsp.Location]:
    """Where the adapter, model or alias at a position is defined."""
    mention = _mention(analysis, position)
    return [_location(analysis, uri, node) for node in analysis.outline.definitions(mention)] if mention else []


def references(analysis: Analysis, uri: str, position: Position, *, declaration: bool) -> list[lsp.Location]:
    """Where the adapter, model or alias at a position is named."""
    mention = _mention(analysis, position)
    if mention is None:
        return []
    return [_location(analysis, uri, node) for node in analysis.outline.references(mention, declaration=declaration)]


def prepare_rename(analysis: Analysis, position: Position) -> lsp.PreparedRename | None:
    """The name at a position, None where nothing can be renamed."""
    mention = _mention(analysis, position)
    if mention is None or not analysis.outline.definitions(mention):
        return None
    return lsp.PreparedRename(analysis.range(*_inside(analysis, mention.node)), mention.name)


def rename(analysis: Analysis, uri: str, position: Position, new_name: str) -> lsp.WorkspaceEdit | None:
    """The edits that give an adapter, model or alias another name. Raises CannotRename for a name that it can't have."""
    mention = _mention(analysis, position)
    if mention is None or not analysis.outline.definitions(mention):
        return None
    _check_name(analysis, mention, new_name)
    places = [one.node for one in analysis.outline.mentions if (one.kind, one.name) == (mention.kind, mention.name)]
    edits = [lsp.TextEdit(analysis.range(*_inside(analysis, node)), new_name) for node in places]
    return lsp.WorkspaceEdit({uri: edits})


def symbols(analysis: Analysis) -> list[lsp.DocumentSymbol]:
    """Sections, with adapters, models and aliases below them."""
    outline = analysis.outline
    found: list[lsp.DocumentSymbol] = []
    for name, (key, node) in outline.sections.items():
        below: list[lsp.DocumentSymbol] = []
        if name == "adapters":
            below = [_entry(analysis, one, lsp.SYMBOL_MODULE, one.text("type") or one.name) for one in outline.adapters.values()]
        elif name == "models":
            below = [_model(analysis, one) for one in outline.models.values()]
        detail = node.text if name == "default_model" and isinstance(node, Scalar) else None
        found.append(_symbol(analysis, key, node, lsp.SYMBOL_NAMESPACE, detail, below))
    return found


def _model(analysis: Analysis, entry: Entry) -> lsp.DocumentSymbol:
    symbol = _entry(analysis, entry, lsp.SYMBOL_CLASS, entry.text("adapter"))
    owned = [one for one in analysis.outline.mentions if one.defines and one.model_id == entry.name and one.node is not entry.key]
    symbol.children = [
        _symbol(analysis, one.node, one.node, lsp.SYMBOL_CONSTANT, "alias", [])
        for one in owned
        if entry.key.start <= one.node.start <= entry.value.end
    ]
    return symbol


def _entry(analysis: Analysis, entry: Entry, kind: int, detail: str | None) -> lsp.DocumentSymbol:
    return _symbol(analysis, entry.key, entry.value, kind, detail, [])


def _symbol(
    analysis: Analysis, key: Scalar, value: Node, kind: int, detail: str | None, below: list[lsp.DocumentSymbol]
) -> lsp.DocumentSymbol:
    end = max(key.end, content_end(analysis.text, value) if isinstance(value, Mapping) or value.end > value.start else key.end)
    name = shown(key.text) or "(no name)"
    more = shown(detail) if detail else None
    return lsp.DocumentSymbol(name, kind, analysis.range(key.start, end), analysis.range(key.start, key.end), more, below)


def _mention(analysis: Analysis, position: Position) -> Mention | None:
    return analysis.outline.mention_at(analysis.index(position))


def _location(analysis: Analysis, uri: str, node: Scalar) -> lsp.Location:
    return lsp.Location(uri, analysis.range(node.start, node.end))


def _inside(analysis: Analysis, node: Scalar) -> tuple[int, int]:
    """A scalar without its quotes."""
    quoted = analysis.text.content[node.start : node.start + 1] in ("'", '"')
    return (node.start + 1, node.end - 1) if quoted else (node.start, node.end)


def _check_name(analysis: Analysis, mention: Mention, new_name: str) -> None:
    outline = analysis.outline
    if mention.kind == "adapter":
        if not NAME.fullmatch(new_name):
            raise CannotRename("the name of an adapter is letters, digits, '.', '_' and '-'; choose another")
        taken = new_name in outline.adapters
    else:
        if not new_name or any(letter in _ALIAS_OR_ID for letter in new_name) or new_name.endswith(":"):
            raise CannotRename("a model's name holds no spaces, quotes or brackets; choose another")
        if mention.name in outline.models and not all(new_name.partition(":")):
            raise CannotRename("the id of a model is 'provider:name'; choose another")
        taken = outline.model_of(new_name) is not None
    if taken and new_name != mention.name:
        raise CannotRename("this name is taken already; choose another")
