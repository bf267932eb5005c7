"""Mending the common mistakes: each problem of the checker that has an obvious cure, with the edit that makes it."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from modeld_protocol.config import Problem

from ..config.schema import TIERS
from ..config.wording import looks_like_key, nearest, quote_name
from ..config.yaml_nodes import Node, Scalar
from ..providers.catalog import all_rows
from . import lsp
from .analysis import Analysis
from .edits import Edit, add_field, as_list, pair_at, remove_item, remove_pair, replace
from .facts import catalog_models, type_of
from .shape import shape_at
from .text import Range
from .tree import Path, path_to

MAX_CANDIDATES = 5  # beyond it completion is the better way to choose
MAX_PROBLEMS = 50
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)|%([A-Za-z_][A-Za-z0-9_]*)%")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ON_THIS_MACHINE = re.compile(r"(?:localhost|127\.|\[::1\])")


class Cure(NamedTuple):
    """One way to mend a problem."""

    title: str
    edits: list[Edit]
    preferred: bool = False


class Place(NamedTuple):
    """Where a problem is: the scalar there, its path, and whether it is a name."""

    analysis: Analysis
    path: Path
    node: Scalar
    is_name: bool


def actions(analysis: Analysis, uri: str, where: Range) -> list[lsp.CodeAction]:
    """The cures for the problems in a range, those of the first problem first."""
    start, end = analysis.index(where.start), analysis.index(where.end)
    found: list[lsp.CodeAction] = []
    touched = [one for one in analysis.problems if (span := analysis.span(one))[0] <= end and span[1] >= start]
    for problem in touched[:MAX_PROBLEMS]:
        for cure in _cures(analysis, problem):
            edits = [lsp.TextEdit(analysis.range(edit.start, edit.end), edit.text) for edit in cure.edits]
            change = lsp.WorkspaceEdit({uri: edits})
            found.append(lsp.CodeAction(cure.title, lsp.QUICK_FIX, change, [analysis.diagnostic(problem)], cure.preferred))
    return found


def _cures(analysis: Analysis, problem: Problem) -> Iterator[Cure]:
    start, _ = analysis.span(problem)
    if problem.code == "syntax":
        yield from _tabs(analysis, start)
        return
    root = analysis.document.root if analysis.document else None
    found = path_to(root, start)
    if found is None or not isinstance(found[1], Scalar) or problem.code not in _CURES:
        return
    yield from _CURES[problem.code](Place(analysis, found[0], found[1], found[2]))


# ---- another word


def _instead(place: Place, names: Iterable[str], *, all_of_few: bool = True) -> Iterator[Cure]:
    """The nearest of `names`, else each of them where they are few."""
    names = [name for name in dict.fromkeys(names) if not looks_like_key(name) and name != place.node.text]
    near = nearest(place.node.text, names)
    if near is not None:
        names = [near]
    elif not all_of_few or len(names) > MAX_CANDIDATES:
        return
    for name in names:
        yield Cure(f"Change to {quote_name(name)}", [replace(place.analysis, place.node, name)], name == near)


def _unknown_field(place: Place) -> Iterator[Cure]:
    shape = shape_at(place.analysis.knowledge.schema, place.path[:-1])
    yield from _instead(place, shape.fields if shape else (), all_of_few=False)
    yield from _removal(place)


def _unknown_type(place: Place) -> Iterator[Cure]:
    yield from _instead(place, place.analysis.knowledge.surroundings.known_types, all_of_few=False)
    anywhere = [row.type for row in all_rows() if not row.base_url]
    for name in anywhere:
        title = f"Change to {quote_name(name)}, for any server that speaks its wire"
        yield Cure(title, [replace(place.analysis, place.node, name)])


def _unknown_adapter(place: Place) -> Iterator[Cure]:
    analysis, name = place.analysis, place.node.text
    yield from _instead(place, analysis.outline.adapters)
    first = next(iter(analysis.outline.adapters.values()), None)
    if first is None or name not in analysis.knowledge.surroundings.known_types:
        return
    line = analysis.text.line_starts[analysis.text.line_of(first.key.start)]
    indent = analysis.text.content[line : first.key.start]
    if not indent.strip():
        yield Cure(f"Add adapter {quote_name(name)}", [Edit(line, line, f"{indent}{name}:\n")])


def _unknown_model(place: Place) -> Iterator[Cure]:
    analysis = place.analysis
    outline = analysis.outline
    if "models" not in outline.sections:
        offered = [(f"{adapter}:{model.name}", model.aliases) for adapter, model in catalog_models(analysis)]
        yield from _instead(place, [name for model_id, aliases in offered for name in (model_id, *aliases)])
        return
    by_wire_name = [model_id for model_id in outline.models if model_id.partition(":")[2] == place.node.text]
    yield from _instead(place, by_wire_name or outline.model_names())


def _unknown_tier(place: Place) -> Iterator[Cure]:
    yield from _instead(place, TIERS)


def _bad_model_id(place: Place) -> Iterator[Cure]:
    outline = place.analysis.outline
    entry = outline.models.get(place.node.text)
    adapter = (entry.text("adapter") if entry else None) or next(iter(outline.adapters), None)
    name = re.sub(r"\s+", "-", place.node.text.strip(": "))
    if adapter and name and not looks_like_key(name):
        new = name if ":" in name else f"{adapter}:{name}"
        yield Cure(f"Change to {quote_name(new)}", [replace(place.analysis, place.node, new)], True)


def _bad_alias(place: Place) -> Iterator[Cure]:
    new = re.sub(r"\s+", "-", place.node.text.strip())
    if new and not looks_like_key(new):
        yield Cure(f"Change to {quote_name(new)}", [replace(place.analysis, place.node, new)], True)


# ---- what is missing


def _missing_field(place: Place) -> Iterator[Cure]:
    if len(place.path) != 2 or not place.is_name:
        return
    analysis, (section, name) = place.analysis, place.path
    if section == "models" and (model := analysis.outline.models.get(name or "")):
        prefix = (name or "").partition(":")[0]
        adapters = [prefix] if prefix in analysis.outline.adapters else list(analysis.outline.adapters)[:MAX_CANDIDATES]
        for adapter in adapters:
            if edit := add_field(analysis, model, "adapter", adapter):
                yield Cure(f"Add 'adapter: {adapter}'", [edit], len(adapters) == 1)
    elif section == "adapters" and (entry := analysis.outline.adapters.get(name or "")) and not entry.text("type"):
        types = analysis.knowledge.surroundings.known_types
        near = nearest(entry.name, types)
        kinds = [near] if near else []
        kinds += [row.type for row in all_rows() if not row.base_url and row.type != near]
        for kind in kinds:
            if edit := add_field(analysis, entry, "type", kind):
                yield Cure(f"Add 'type: {kind}'", [edit], kind == near)


# ---- keys


def _plaintext_key(place: Place) -> Iterator[Cure]:
    if place.path[-1:] != ("api_key",):
        return
    entry = place.analysis.outline.adapters.get(place.path[1] or "")
    pair = pair_at(place.analysis, place.path, place.node.start)
    if pair is None or entry is None or not isinstance(pair[1], Scalar):
        return
    if "api_key_env" in entry.fields:
        yield Cure("Remove the key; api_key_env names where it comes from", [remove_pair(place.analysis, *pair)], True)
        return
    variable = _variable_for(place)
    title = f"Take the key from the environment variable {variable} (set it before the daemon starts)"
    yield Cure(title, _by_variable(place, pair[0], pair[1], variable), True)


def _key_is_reference(place: Place) -> Iterator[Cure]:
    key = place.analysis.outline.adapters[place.path[1] or ""].fields.get("api_key") if len(place.path) > 1 else None
    found = _REFERENCE.search(place.node.text)
    if key is None or found is None or (name := found[1] or found[2]) != name.upper():
        return
    yield Cure(f"Write api_key_env: {name}", _by_variable(place, key[0], place.node, name), True)


def _bad_variable(place: Place) -> Iterator[Cure]:
    found = _REFERENCE.search(place.node.text)
    name = (found[1] or found[2]) if found else None
    variable = name if name and name == name.upper() else _variable_for(place)
    yield Cure(f"Change to {variable}", [replace(place.analysis, place.node, variable)], name is not None)


def _by_variable(place: Place, key: Scalar, value: Scalar, variable: str) -> list[Edit]:
    content = place.analysis.text.content
    quoted = content[value.start : value.start + 1] == '"' and content[key.start : key.start + 1] == '"'
    end = value.start + len(content[value.start : value.end].rstrip())
    return [replace(place.analysis, key, "api_key_env"), Edit(value.start, end, f'"{variable}"' if quoted else variable)]


def _variable_for(place: Place) -> str:
    """The variable that usually holds the key of an adapter's type, else one by the adapter's name."""
    name = place.path[1] or ""
    kind = type_of(place.analysis, name)
    usual = place.analysis.knowledge.surroundings.default_key_env(kind) if kind else None
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return usual or (f"{plain}_API_KEY" if re.match(r"[A-Z]", plain) and not looks_like_key(name) else "PROVIDER_API_KEY")


# ---- another form


def _wrong_type(place: Place) -> Iterator[Cure]:
    """Quotes too many or too few, and one value where a list belongs."""
    shape = shape_at(place.analysis.knowledge.schema, place.path)
    if shape is None or place.is_name:
        return
    node, value = place.node, place.node.value()
    if shape.is_list and value is not None:
        yield Cure("Write it as a list", [as_list(place.analysis, node)], True)
        return
    bare = Scalar(node.text, True, None, node.start, node.end).value()
    end = node.start + len(place.analysis.text.content[node.start : node.end].rstrip())
    wants_text = shape.words().startswith(("text", "one of"))
    if not node.plain and isinstance(bare, bool | int | float) and not wants_text:
        yield Cure("Remove the quotes", [Edit(node.start, end, node.text)], True)
    elif node.plain and isinstance(value, bool | int | float) and wants_text:
        yield Cure("Put it in quotes", [Edit(node.start, end, f'"{node.text}"')], True)


def _insecure_http(place: Place) -> Iterator[Cure]:
    if place.node.text.startswith("http://"):
        yield Cure("Use https", [replace(place.analysis, place.node, "https://" + place.node.text[7:])], True)


def _bad_base_url(place: Place) -> Iterator[Cure]:
    if _SCHEME.match(place.node.text) or not re.fullmatch(r"[A-Za-z0-9.\[\]:/_-]+", place.node.text):
        return
    scheme = "http://" if _ON_THIS_MACHINE.match(place.node.text) else "https://"
    yield Cure(f"Put {scheme} before it", [replace(place.analysis, place.node, scheme + place.node.text.lstrip("/"))], True)


def _shell_syntax(place: Place) -> Iterator[Cure]:
    words = place.node.text.replace("'", "''")
    end = place.node.start + len(place.analysis.text.content[place.node.start : place.node.end].rstrip())
    yield Cure("Run it with a shell", [Edit(place.node.start, end, f"[sh, -c, '{words}']")], True)


def _tabs(analysis: Analysis, start: int) -> Iterator[Cure]:
    line = analysis.text.line_of(start)
    begin = analysis.text.line_starts[line]
    blanks = re.compile(r"[ \t]*").match(analysis.text.content, begin)
    if blanks and "\t" in blanks[0]:
        yield Cure("Indent with spaces", [Edit(begin, blanks.end(), blanks[0].replace("\t", "  "))], True)


# ---- less


def _removal(place: Place) -> Iterator[Cure]:
    pair = pair_at(place.analysis, place.path, place.node.start) if place.is_name else None
    if pair is not None:
        yield Cure(f"Remove {quote_name(place.node.text)}", [remove_pair(place.analysis, *pair)])


def _item_removal(place: Place) -> Iterator[Cure]:
    node: Node = place.node
    if place.path[-1:] == (None,):
        yield Cure(f"Remove {quote_name(place.node.text)}", [remove_item(place.analysis, node)], True)


_CURES: dict[str, Callable[[Place], Iterator[Cure]]] = {
    "unknown_field": _unknown_field,
    "unknown_type": _unknown_type,
    "unknown_adapter": _unknown_adapter,
    "unknown_model": _unknown_model,
    "unknown_tier": _unknown_tier,
    "bad_model_id": _bad_model_id,
    "bad_alias": _bad_alias,
    "missing_field": _missing_field,
    "plaintext_key": _plaintext_key,
    "key_is_reference": _key_is_reference,
    "bad_variable": _bad_variable,
    "wrong_type": _wrong_type,
    "insecure_http": _insecure_http,
    "bad_base_url": _bad_base_url,
    "shell_syntax": _shell_syntax,
    "duplicate_key": _removal,
    "several_key_sources": _removal,
    "auth_header": _removal,
    "bad_header": _removal,
    "duplicate_alias": _item_removal,
    "alias_is_id": _item_removal,
    "fallback_cycle": _item_removal,
}
