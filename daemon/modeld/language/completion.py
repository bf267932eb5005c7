"""What may be written at a position: fields, types, adapters, models, aliases, tiers, each where it belongs."""

import re
from collections.abc import Iterator

import msgspec

from ..config.wording import looks_like_key
from ..config.yaml_nodes import Mapping, Scalar
from ..providers.catalog import CatalogModel, model_of, models_of, price_of, row_of
from . import lsp
from .analysis import Analysis
from .cursor import Cursor, cursor_at
from .facts import catalog_models, describe_limits, describe_price, describe_row, model_facts, shown, type_of
from .hover import about_field
from .shape import Shape, shape_at
from .text import Position
from .tree import Path, node_at

MAX_ITEMS = 500
_KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_(?:API_KEY|KEY|TOKEN)")
_STEP = 2  # blanks of an indent where the file shows none


class Offer(msgspec.Struct):
    """One thing that may be written. `text` is what is inserted, the label unless given."""

    label: str
    kind: int
    detail: str | None = None
    documentation: str | None = None
    text: str | None = None


def complete(analysis: Analysis, position: Position) -> lsp.CompletionList:
    """What may be written at a position, in the order in which it is most likely meant."""
    index = analysis.index(position)
    cursor = cursor_at(analysis.text, index)
    if cursor is None:
        return lsp.CompletionList([])
    shape = shape_at(analysis.knowledge.schema, cursor.path)
    if shape is None:
        return lsp.CompletionList([])
    offers = [offer for offer in _offers(analysis, cursor, shape) if not looks_like_key(offer.label)][:MAX_ITEMS]
    return lsp.CompletionList([_item(analysis, cursor, offer, number) for number, offer in enumerate(offers)])


def _offers(analysis: Analysis, cursor: Cursor, shape: Shape) -> Iterator[Offer]:
    starts_mapping = not cursor.is_name and cursor.path[-1:] == (None,) and shape.is_mapping
    if (cursor.is_name or starts_mapping) and shape.is_mapping:
        yield from _names(analysis, cursor, shape)
    elif cursor.is_name and shape.is_list and (inner := shape.inner(None)):
        for offer in _values(analysis, (*cursor.path, None), inner):
            offer.text = f"- {offer.label}"
            yield offer
    elif not cursor.is_name and shape.is_list and (inner := shape.inner(None)) and not cursor.flow:
        for offer in _values(analysis, (*cursor.path, None), inner):
            offer.text = f"[{offer.label}]"
            yield offer
    else:
        yield from _values(analysis, cursor.path, shape)


def _item(analysis: Analysis, cursor: Cursor, offer: Offer, number: int) -> lsp.CompletionItem:
    text = offer.label if offer.text is None else offer.text
    if cursor.quoted:
        text = offer.label
    elif not cursor.is_name and analysis.text.content[cursor.start - 1 : cursor.start] == ":":
        text = f" {text}"
    words = lsp.Markup(lsp.MARKDOWN, offer.documentation) if offer.documentation else None
    edit = lsp.TextEdit(analysis.range(cursor.start, cursor.end), text)
    mode = lsp.AS_IS if "\n" in text else None
    return lsp.CompletionItem(offer.label, offer.kind, edit, offer.detail, words, f"{number:04d}", offer.label, mode)


# ---- names


def _names(analysis: Analysis, cursor: Cursor, shape: Shape) -> Iterator[Offer]:
    there = _there_already(analysis, cursor)
    if cursor.path == ("adapters",):
        found = _adapter_names(analysis, cursor)
    elif cursor.path == ("models",):
        found = _model_ids(analysis, cursor)
    else:
        found = _field_names(analysis, cursor, shape)
    has_colon = analysis.text.content[cursor.end : cursor.end + 1] == ":"
    for offer in found:
        if offer.label not in there:
            offer.text = offer.label if has_colon else offer.text
            yield offer


def _there_already(analysis: Analysis, cursor: Cursor) -> set[str]:
    """The names beside the one that is being written."""
    node = node_at(analysis.document.root if analysis.document else None, cursor.path)
    if not isinstance(node, Mapping):
        return set()
    keys = [key for key, _ in node.pairs if isinstance(key, Scalar)]
    return {key.text for key in keys if not key.start <= cursor.start <= key.end}


def _field_names(analysis: Analysis, cursor: Cursor, shape: Shape) -> Iterator[Offer]:
    for name, field in shape.fields.items():
        opens = field.is_mapping and not cursor.flow
        after = f"\n{_indent(analysis, cursor)}" if opens else " "
        yield Offer(name, lsp.PROPERTY, field.words(), about_field(analysis, (*cursor.path, name)), f"{name}:{after}")


def _adapter_names(analysis: Analysis, cursor: Cursor) -> Iterator[Offer]:
    for kind in analysis.knowledge.surroundings.known_types:
        row = row_of(kind)
        inside = "" if row.base_url else f"\n{_indent(analysis, cursor)}base_url: "
        yield Offer(kind, lsp.MODULE, row.wire, describe_row(row), f"{kind}:{inside}")


def _model_ids(analysis: Analysis, cursor: Cursor) -> Iterator[Offer]:
    for adapter, model in catalog_models(analysis):
        name = f"{adapter}:{model.name}"
        inside = f" {{adapter: {adapter}}}" if cursor.flow else f"\n{_indent(analysis, cursor)}adapter: {adapter}"
        yield _of_catalog(analysis, name, adapter, model, f"{name}:{inside}")


def _indent(analysis: Analysis, cursor: Cursor) -> str:
    """The blanks before what stands one level deeper than the cursor."""
    line = analysis.text.line_starts[analysis.text.line_of(cursor.start)]
    before = analysis.text.content[line : cursor.start]
    step = next((len(found) for found in re.findall(r"(?m)^( +)\S", analysis.text.content[:4096])), _STEP)
    return " " * (len(before) - len(before.lstrip(" -")) + step)


# ---- values


def _values(analysis: Analysis, path: Path, shape: Shape) -> Iterator[Offer]:
    match path:
        case ("adapters", _, "type"):
            for kind in analysis.knowledge.surroundings.known_types:
                yield Offer(kind, lsp.ENUM_MEMBER, row_of(kind).wire, describe_row(row_of(kind)))
        case ("adapters", name, "api_key_env"):
            yield from _variables(analysis, name)
        case ("adapters", name, "options", "region"):
            kind = type_of(analysis, name)
            yield from (Offer(region, lsp.ENUM_MEMBER) for region in (row_of(kind).regions if kind else ()))
        case ("models", _, "adapter"):
            for name in analysis.outline.adapters:
                yield Offer(name, lsp.REFERENCE, type_of(analysis, name))
        case ("models", model, "wire_name"):
            yield from _wire_names(analysis, model or "")
        case ("models", model, "aliases", None):
            yield from _aliases(analysis, model or "")
        case ("models", model, "fallbacks", None):
            yield from _models(analysis, without=model)
        case ("default_model",):
            yield from _models(analysis)
        case _:
            yield from (Offer(choice, lsp.ENUM_MEMBER) for choice in shape.choices)


def _variables(analysis: Analysis, adapter: str | None) -> Iterator[Offer]:
    surroundings = analysis.knowledge.surroundings
    kind = type_of(analysis, adapter)
    usual = surroundings.default_key_env(kind) if kind else None
    is_set = {name for name in surroundings.env if _KEY_VARIABLE.fullmatch(name)}
    names: list[str] = [usual] if usual else []
    for name in dict.fromkeys([*names, *sorted(is_set)]):
        yield Offer(name, lsp.CONSTANT, "is set where the daemon runs" if name in is_set else "isn't set where the daemon runs")


def _models(analysis: Analysis, without: str | None = None) -> Iterator[Offer]:
    """Every name of a model: the file's, or the catalog's where the file gives none."""
    outline = analysis.outline
    if "models" in outline.sections:
        aliases = [alias for alias in outline.aliases if alias not in outline.models]
        for name in (*aliases, *outline.models):
            model_id = outline.model_of(name)
            if model_id != without:
                detail = f"alias of {shown(model_id or '')}" if name != model_id else None
                yield Offer(name, lsp.REFERENCE, detail, _about(analysis, name))
        return
    for adapter, model in catalog_models(analysis):
        yield from (Offer(alias, lsp.REFERENCE, f"alias of {shown(adapter)}:{model.name}") for alias in model.aliases)
        yield _of_catalog(analysis, f"{adapter}:{model.name}", adapter, model)


def _wire_names(analysis: Analysis, model_id: str) -> Iterator[Offer]:
    entry = analysis.outline.models.get(model_id)
    kind = type_of(analysis, entry.text("adapter") if entry else None)
    for model in models_of(kind) if kind else ():
        yield _of_catalog(analysis, model.name, entry.text("adapter") or "" if entry else "", model)


def _aliases(analysis: Analysis, model_id: str) -> Iterator[Offer]:
    entry = analysis.outline.models.get(model_id)
    kind = type_of(analysis, entry.text("adapter") if entry else None)
    wire_name = (entry.text("wire_name") if entry else None) or model_id.partition(":")[2]
    known = model_of(kind, wire_name) if kind else None
    for alias in known.aliases if known else ():
        if alias not in analysis.outline.aliases:
            yield Offer(alias, lsp.VALUE, "the catalog's name for this model")


def _of_catalog(analysis: Analysis, label: str, adapter: str, model: CatalogModel, text: str | None = None) -> Offer:
    kind = type_of(analysis, adapter)
    price = describe_price(price_of(row_of(kind), model.name)) if kind else ""
    words = f"context {model.context:,}\n\n{price}" if model.context else price
    return Offer(label, lsp.VALUE, model.tier, words, text)


def _about(analysis: Analysis, name: str) -> str | None:
    facts = model_facts(analysis, name)
    return f"{describe_limits(facts.limits)}\n\n{describe_price(facts.pricing)}" if facts else None
