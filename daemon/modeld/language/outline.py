"""What a models.yaml defines and what it refers to: adapters, models and aliases, each with its places."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from ..config.yaml_nodes import Document, Mapping, Node, Scalar, Sequence

Kind = Literal["adapter", "model"]


class Entry(msgspec.Struct):
    """One entry of `adapters` or `models`: its name, and its fields with their places."""

    name: str
    key: Scalar
    value: Node
    fields: dict[str, tuple[Scalar, Node]]

    def text(self, field: str) -> str | None:
        """A field that holds text."""
        found = self.fields.get(field)
        value = found[1].value() if found and isinstance(found[1], Scalar) else None
        return value if isinstance(value, str) and value else None


class Mention(msgspec.Struct):
    """A place that names an adapter, or a model by its id or alias. `defines` where the name comes from there; `model_id` is
    the model that an alias belongs to, or that the place stands in."""

    kind: Kind
    name: str
    node: Scalar
    defines: bool
    model_id: str | None = None


class Outline(msgspec.Struct):
    """A document by what it says. `aliases` maps each to the ids that have it, in the order of the text."""

    sections: dict[str, tuple[Scalar, Node]] = {}
    adapters: dict[str, Entry] = {}
    models: dict[str, Entry] = {}
    aliases: dict[str, list[str]] = {}
    mentions: list[Mention] = []

    def mention_at(self, index: int) -> Mention | None:
        """The mention that an index is in, or right behind."""
        return next((one for one in self.mentions if one.node.start <= index <= one.node.end), None)

    def definitions(self, mention: Mention) -> list[Scalar]:
        """Where what is mentioned comes from."""
        return [one.node for one in self.mentions if one.defines and (one.kind, one.name) == (mention.kind, mention.name)]

    def references(self, mention: Mention, *, declaration: bool) -> list[Scalar]:
        """Every place that names what is mentioned. A model is also named by its aliases."""
        names = {mention.name}
        if mention.kind == "model" and mention.name in self.models:
            names |= {alias for alias, owners in self.aliases.items() if owners[0] == mention.name and alias not in self.models}
        return [
            one.node
            for one in self.mentions
            if one.kind == mention.kind and one.name in names and (declaration or not one.defines)
        ]

    def model_of(self, name: str) -> str | None:
        """The id of this file that a name stands for."""
        return name if name in self.models else next(iter(self.aliases.get(name, ())), None)

    def model_names(self) -> list[str]:
        """Ids, then aliases."""
        return [*self.models, *(alias for alias in self.aliases if alias not in self.models)]


def outline_of(document: Document | None) -> Outline:
    """The outline of a tree."""
    outline = Outline({}, {}, {}, {}, [])
    if document is None:
        return outline
    outline.sections = _fields(document.root)
    for key, node in _pairs(_section(outline, "adapters")):
        outline.adapters.setdefault(key.text, Entry(key.text, key, node, _fields(node)))
        outline.mentions.append(Mention("adapter", key.text, key, True))
    for key, node in _pairs(_section(outline, "models")):
        _add_model(outline, Entry(key.text, key, node, _fields(node)))
    if isinstance(default := _section(outline, "default_model"), Scalar) and default.text:
        outline.mentions.append(Mention("model", default.text, default, False))
    outline.mentions.sort(key=lambda one: one.node.start)
    return outline


def _add_model(outline: Outline, entry: Entry) -> None:
    outline.models.setdefault(entry.name, entry)
    outline.mentions.append(Mention("model", entry.name, entry.key, True, entry.name))
    adapter = entry.fields.get("adapter")
    if adapter and isinstance(adapter[1], Scalar) and adapter[1].text:
        outline.mentions.append(Mention("adapter", adapter[1].text, adapter[1], False, entry.name))
    for item in _items(entry, "aliases"):
        owners = outline.aliases.setdefault(item.text, [])
        owners.append(entry.name)
        outline.mentions.append(Mention("model", item.text, item, True, entry.name))
    for item in _items(entry, "fallbacks"):
        outline.mentions.append(Mention("model", item.text, item, False, entry.name))


def _section(outline: Outline, name: str) -> Node | None:
    found = outline.sections.get(name)
    return found[1] if found else None


def _pairs(node: Node | None) -> Iterator[tuple[Scalar, Node]]:
    if isinstance(node, Mapping):
        yield from ((key, value) for key, value in node.pairs if isinstance(key, Scalar))


def _fields(node: Node | None) -> dict[str, tuple[Scalar, Node]]:
    found: dict[str, tuple[Scalar, Node]] = {}
    for key, value in _pairs(node):
        found.setdefault(key.text, (key, value))
    return found


def _items(entry: Entry, field: str) -> Iterator[Scalar]:
    found = entry.fields.get(field)
    if found and isinstance(found[1], Sequence):
        yield from (item for item in found[1].items if isinstance(item, Scalar) and item.text)
