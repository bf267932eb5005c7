"""Checks of `models`: each entry, then what they say of each other (aliases, fallbacks, the default)."""

import re
from collections.abc import Collection
from typing import Any

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits, Pricing

from .fields import (
    INVALID,
    Field,
    Fields,
    Reader,
    Report,
    is_null,
    read_entries,
    read_fields,
    read_flag,
    read_plain,
    read_text,
    read_texts,
    struct_reader,
)
from .schema import TIERS, ModelConfig
from .wording import listed, quote
from .yaml_nodes import Alias, Node

_ID = re.compile(r"[^:\s]+:\S+")
_ALIAS = re.compile(r"\S+")


class Draft(msgspec.Struct):
    """A model that was read, with what is still to be checked against the other models."""

    entry: Field
    fields: Fields
    fallbacks: list[tuple[str, Node]] = []


class Names:
    """What a model may be called by: ids and aliases."""

    def __init__(self, drafts: Collection[Draft]) -> None:
        self._ids = {draft.entry.name for draft in drafts}
        self._every = [draft.entry.name for draft in drafts]
        self._aliases: dict[str, str] = {}
        self._by_wire_name: dict[str, str] = {draft.entry.name.partition(":")[2]: draft.entry.name for draft in drafts}

    def add_alias(self, alias: str, model_id: str) -> str | None:
        """The id that has the alias already, None where it was free."""
        if alias in self._ids:
            return alias
        self._every.append(alias)
        owner = self._aliases.setdefault(alias, model_id)
        return None if owner == model_id else owner

    def resolve(self, name: str) -> str | None:
        """The id that `name` stands for."""
        return name if name in self._ids else self._aliases.get(name)

    def suggest(self, report: Report, name: str) -> str:
        """`; did you mean 'x'?`, or what there is."""
        if name in self._by_wire_name:
            return f"; did you mean {quote(self._by_wire_name[name])}?"
        return report.suggest(name, self._every) or f"; the models are: {listed(self._every)}"


def check_models(report: Report, entries: list[Field], adapters: Collection[str]) -> tuple[dict[str, ModelConfig], Names]:
    """The models, none where there are errors, and what they are called. `adapters` are the names that the file defines."""
    drafts = [_read_model(report, entry, adapters) for entry in entries]
    names = Names(drafts)
    for draft in drafts:
        _check_aliases(report, draft, names)
    fallbacks = {draft.entry.name: _check_fallbacks(report, draft, names) for draft in drafts}
    models = [] if report.errors else [_model(draft, fallbacks[draft.entry.name]) for draft in drafts]
    return {model.id: model for model in models}, names


def check_default(report: Report, field: Field, names: Names | None) -> str | None:
    """The id that `default_model` stands for; as written where the file gives no models."""
    name = read_text(report, field)
    if name is INVALID:
        return None
    if names is None:
        return name
    model_id = names.resolve(name)
    if model_id is None:
        message = f"default_model {quote(name)} is no model or alias of this file{names.suggest(report, name)}"
        report.error(field.node, "unknown_model", message)
    return model_id


def _read_model(report: Report, entry: Field, adapters: Collection[str]) -> Draft:
    owner = f"model {quote(entry.name)}"
    if not _ID.fullmatch(entry.name):
        example = f"{next(iter(adapters), 'provider')}:{entry.name.strip(': ') or 'name'}"
        report.error(entry.key, "bad_model_id", f"the id of a model is 'provider:name' without spaces; write {quote(example)}")
    fields = Fields({}, {}) if is_null(entry.node) else read_fields(report, entry.node, owner, _READERS)
    _check_adapter_name(report, entry, fields, adapters)
    tier = fields.values.get("tier")
    if tier is not None and tier not in TIERS:
        message = (
            f"tier {quote(tier)} is none of {listed(TIERS)}; routing by tier won't find this model{report.suggest(tier, TIERS)}"
        )
        report.warning(fields.entries["tier"].node, "unknown_tier", message)
    return Draft(entry, fields, fields.values.get("fallbacks", []))


def _check_adapter_name(report: Report, entry: Field, fields: Fields, adapters: Collection[str]) -> None:
    field = fields.entries.get("adapter")
    if field is None or is_null(field.node):
        if not isinstance(entry.node, Alias):
            prefix = entry.name.partition(":")[0]
            name = prefix if prefix in adapters else next(iter(adapters), "…")
            message = f"model {quote(entry.name)} needs an adapter: write 'adapter: {name}'"
            report.error(entry.key, "missing_field", message)
        return
    name = fields.values.get("adapter")
    if name is not None and name not in adapters:
        near = report.suggest(name, adapters) or (f"; the adapters are: {listed(adapters)}" if adapters else "")
        report.error(field.node, "unknown_adapter", f"adapter {quote(name)} isn't defined under adapters{near}")


def _check_aliases(report: Report, draft: Draft, names: Names) -> None:
    seen: set[str] = set()
    for alias, node in draft.fields.values.get("aliases", []):
        model_id = draft.entry.name
        if not _ALIAS.fullmatch(alias):
            report.error(node, "bad_alias", "an alias holds no spaces; write it as one word")
        elif (owner := names.add_alias(alias, model_id)) == alias:
            report.error(node, "alias_is_id", f"alias {quote(alias)} is the id of a model already; choose another name")
        elif owner is not None or alias in seen:
            whose = "this model" if owner is None else quote(owner)
            report.error(node, "duplicate_alias", f"alias {quote(alias)} belongs to {whose} already; remove one of the two")
        seen.add(alias)


def _check_fallbacks(report: Report, draft: Draft, names: Names) -> list[tuple[str, Node]]:
    """The fallbacks that exist, as ids."""
    found: list[tuple[str, Node]] = []
    for name, node in draft.fallbacks:
        model_id = names.resolve(name)
        if model_id is None:
            report.error(
                node, "unknown_model", f"fallback {quote(name)} is no model or alias of this file{names.suggest(report, name)}"
            )
        elif model_id == draft.entry.name:
            message = f"model {quote(draft.entry.name)} can't be its own fallback; remove it from the list"
            report.error(node, "fallback_cycle", message)
        else:
            found.append((model_id, node))
    return found


def _model(draft: Draft, fallbacks: list[tuple[str, Node]]) -> ModelConfig:
    values = draft.fields.values
    pricing = values.get("pricing")
    return ModelConfig(
        id=draft.entry.name,
        adapter=values["adapter"],
        wire_name=values.get("wire_name") or draft.entry.name.partition(":")[2],
        tier=values.get("tier"),
        can_delegate=values.get("can_delegate", False),
        aliases=tuple(alias for alias, _ in values.get("aliases", [])),
        fallbacks=tuple(dict.fromkeys(model_id for model_id, _ in fallbacks)),
        capabilities=values.get("capabilities", {}),
        limits=values.get("limits", {}),
        pricing=msgspec.convert(pricing, Pricing) if pricing is not None else None,
        options=values.get("options", {}),
    )


def _read_options(report: Report, field: Field) -> Any:
    return {
        entry.name: read_plain(entry.node) for entry in read_entries(report, field.node, f"options of {field.owner}", "options")
    }


_READERS: dict[str, Reader] = {
    "adapter": read_text,
    "wire_name": read_text,
    "tier": read_text,
    "can_delegate": read_flag,
    "aliases": read_texts,
    "fallbacks": read_texts,
    "capabilities": struct_reader(Capabilities, "capabilities"),
    "limits": struct_reader(ModelLimits, "limits"),
    "pricing": struct_reader(Pricing, "pricing"),
    "options": _read_options,
}
