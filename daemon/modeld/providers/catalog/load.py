"""Reads the catalog: what a row and its rules say of a model, which models there are, what they cost.

The two JSON files are read when first asked for and kept. Pure apart from that.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits, PriceTier, Pricing

from ..spec import Quirks
from .rows import PLANNED_TYPES, ROWS, ModelRule, ProviderRow

if TYPE_CHECKING:  # a row can be read without the wires
    from ..wire.contract import Wire

_FREE_CHOICES = ("none", "auto")  # where there is no word for none, no tools are sent
_FORCED_CHOICES = ("required", "tool")
_SNAPSHOT = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|\d{3})\Z")


class CatalogModel(msgspec.Struct, frozen=True):
    """One known model of a provider type. Where `offered` is false it is known but not listed unless a config names it."""

    name: str
    context: int | None = None
    output: int | None = None
    tier: str | None = None
    aliases: tuple[str, ...] = ()
    can_delegate: bool = False
    default: bool = False
    offered: bool = True


class ModelFacts(msgspec.Struct, frozen=True):
    """What the catalog knows of one wire name at one provider type."""

    capabilities: Capabilities
    quirks: Quirks
    limits: ModelLimits


class _PriceRow(msgspec.Struct, array_like=True, frozen=True):
    """Names (exact), prefixes, prices [input, output, cache read, cache write, cache write 1 h], tiers [above, the same]."""

    names: list[str]
    prefixes: list[str]
    prices: list[float | None]
    tiers: list[list[float | None]] = []


class _PriceFile(msgspec.Struct, frozen=True):
    version: str
    currency: str
    providers: dict[str, list[_PriceRow]]


class _ModelFile(msgspec.Struct, frozen=True):
    date: str
    models: dict[str, list[CatalogModel]]


# ---- rows


def all_rows() -> tuple[ProviderRow, ...]:
    """Every row, by type name."""
    return tuple(ROWS[name] for name in known_types())


def telemetry_name(type_name: str) -> str:
    """The value of `gen_ai.provider.name` for a provider type: which flavour of API it is."""
    row = ROWS.get(type_name)
    return (row and row.telemetry_name) or type_name


def known_types() -> tuple[str, ...]:
    """The adapter types that a config may name, sorted."""
    return tuple(sorted(ROWS))


def unknown_type(name: str) -> str:
    """Why `name` is no type that a config may use, and what is."""
    problem = "is not available in this version" if name in PLANNED_TYPES else "is not a known adapter type"
    return f"{name} {problem}; use one of: {', '.join(known_types())}"


def row_of(name: str) -> ProviderRow:
    """The row of a type. Raises KeyError with a sentence for people."""
    row = ROWS.get(name)
    if row is None:
        raise KeyError(unknown_type(name))
    return row


def default_key_env() -> dict[str, str | None]:
    """For each type the variable that holds its key unless the config says otherwise, None where it needs no key."""
    return {row.type: row.key_env if row.needs_key else None for row in all_rows()}


def base_url_of(row: ProviderRow, given: str | None, options: Mapping[str, Any]) -> str:
    """Where an adapter sends: what its config gives, the base URL of the region that its options name, else the row's own.
    Raises ValueError for a region that the row does not have."""
    region = options.get("region")
    if region is not None and region not in row.regions:
        there_are = f"use one of: {', '.join(row.regions)}" if row.regions else "remove it, or give base_url"
        raise ValueError(f"{row.type} has no region {region!r}; {there_are}")
    return given or row.regions.get(str(region)) or row.base_url


def wire_of(name: str) -> "Wire":
    """The wire of that name; its module is imported when first asked for."""
    return import_module(f"modeld.providers.wire.{name}").WIRE


# ---- what a model can do


def facts_of(row: ProviderRow, wire_name: str) -> ModelFacts:
    """The row's base, changed by every rule that knows the name, with the limits of the model list where it has them."""
    quirks: dict[str, Any] = {}
    capabilities: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for rule in _rules_for(row, wire_name):
        quirks |= rule.quirks
        capabilities |= rule.capabilities
        limits |= rule.limits
    model = model_of(row.type, wire_name)
    if model is not None:
        known = {"max_context_tokens": model.context, "max_output_tokens": model.output}
        limits |= {name: value for name, value in known.items() if value is not None}
    settled = msgspec.structs.replace(row.quirks, **quirks)
    able = msgspec.structs.replace(row.capabilities, **{**capabilities, **_derived(settled)})
    return ModelFacts(_with_sources(able, row.capabilities, settled), settled, msgspec.structs.replace(row.limits, **limits))


def _rules_for(row: ProviderRow, wire_name: str) -> Iterable[ModelRule]:
    return (rule for rule in row.rules if re.search(rule.pattern, wire_name, re.IGNORECASE))


def _derived(quirks: Quirks) -> dict[str, Any]:
    """The capabilities that are the quirks in other words."""
    thinks = quirks.thinking != "none"
    by_hand = quirks.thinking == "budget" and quirks.thinking_budget is None
    modes = ["on"] if by_hand else ["on", "adaptive"]
    takes_off = quirks.thinking_can_be_off or quirks.thinking_off_ignored
    if takes_off:
        modes = ["off", *modes]
    # A dialect gives tools to models without, and calls may stand beside each other.
    as_text = {"tools": True, "parallel_tools": True} if quirks.tool_dialect != "native" else {}
    choices = _choices(quirks)
    return {
        "thinking": thinks,
        "thinking_off": not thinks or takes_off,
        "thinking_with_tools": thinks and quirks.tools_with_reasoning,
        "thinking_modes": modes if thinks else [],
        "efforts": list(quirks.efforts) if thinks else [],
        "tool_choices": choices,
        "forced_tool_choice": len(choices) > len(_FREE_CHOICES),
        "structured_output_with_tools": quirks.schema_with_tools and quirks.tool_dialect == "native",
        "sampling": quirks.sampling != "none",
        "stop_sequences": quirks.stop,
        **as_text,
    }


def _choices(quirks: Quirks) -> list[str]:
    """The types of tool_choice that hold: nothing can be forced on a text, nor on a model that thinks always and not then."""
    thinks_always = quirks.thinking != "none" and not quirks.thinking_can_be_off
    forced = quirks.forced_tool_choice and quirks.tool_dialect == "native"
    forced = forced and (quirks.forced_tool_choice_with_thinking or not thinks_always)
    return [*_FREE_CHOICES, *(choice for choice in _FORCED_CHOICES if forced and choice in quirks.tool_choices)]


_MEDIA = (("images", "image"), ("audio", "audio"), ("files", "file"))


def _with_sources(able: Capabilities, known: Capabilities, quirks: Quirks) -> Capabilities:
    """Capabilities whose lists of sources and media types fit their flags: what is `known` of what the model takes, nothing of
    the rest."""
    changes: dict[str, Any] = {}
    for kind, medium in _MEDIA:
        types, sources = f"{medium}_media_types", f"{medium}_sources"
        taken: list[str] = getattr(known, sources) if getattr(able, kind) else []
        changes[sources] = [source for source in taken if source != "url" or medium != "image" or quirks.image_urls]
        if not getattr(able, kind):
            changes[types] = []
    told = {source for _, medium in _MEDIA for source in changes[f"{medium}_sources"]}
    takes_media = able.images or able.audio or able.files
    changes["file_ids"] = "file_id" in told if told else able.file_ids and takes_media
    changes["tool_result_media"] = able.tool_result_media and takes_media
    return msgspec.structs.replace(able, **changes)


def with_quirks(facts: ModelFacts, given: Mapping[str, Any]) -> ModelFacts:
    """`facts` with quirks of a user's own, for an endpoint that nobody knows, and the capabilities that follow from them. Raises
    msgspec.ValidationError for a value that is none of the quirk's."""
    quirks = msgspec.convert({**msgspec.structs.asdict(facts.quirks), **given}, Quirks)
    able = msgspec.structs.replace(facts.capabilities, **_derived(quirks))
    return ModelFacts(_with_sources(able, facts.capabilities, quirks), quirks, facts.limits)


def with_capabilities(facts: ModelFacts, row: ProviderRow, changes: Mapping[str, Any]) -> ModelFacts:
    """`facts` with a user's corrections of capabilities, which reach the quirks that say the same: what a user declares,
    the wire sends. Raises msgspec.ValidationError for a name or value that is none of a capability's."""
    if not changes:
        return facts
    unknown = set(changes) - set(Capabilities.__struct_fields__)
    if unknown:
        raise msgspec.ValidationError(f"no capability is called {', '.join(sorted(unknown))}")
    quirks = msgspec.structs.replace(facts.quirks, **_corrected(facts.quirks, row.quirks, changes))
    able = msgspec.convert({**msgspec.structs.asdict(facts.capabilities), **_derived(quirks), **changes}, Capabilities)
    able = msgspec.structs.replace(_with_sources(able, row.capabilities, quirks), **changes)
    return ModelFacts(able, quirks, facts.limits)


def _corrected(quirks: Quirks, base: Quirks, changes: Mapping[str, Any]) -> dict[str, Any]:
    corrected: dict[str, Any] = {}
    for capability, quirk in (
        ("forced_tool_choice", "forced_tool_choice"),
        ("thinking_off", "thinking_can_be_off"),
        ("stop_sequences", "stop"),
    ):
        if capability in changes:
            corrected[quirk] = changes[capability]
    for capability, quirk in (("efforts", "efforts"), ("tool_choices", "tool_choices")):
        if capability in changes:
            corrected[quirk] = tuple(changes[capability])
    if changes.get("sampling") is False or (changes.get("sampling") and quirks.sampling == "none"):
        corrected["sampling"] = "any" if changes["sampling"] else "none"
    if changes.get("thinking") is False:
        corrected["thinking"] = "none"
    elif changes.get("thinking") and quirks.thinking == "none":
        corrected["thinking"] = base.thinking
    return corrected


# ---- which models there are


def models_of(type_name: str) -> list[CatalogModel]:
    """The models of a type that are offered where a config lists none."""
    return [model for model in _model_file().models.get(type_name, []) if model.offered]


def model_of(type_name: str, wire_name: str) -> CatalogModel | None:
    """The entry of a wire name; a dated snapshot has its model's."""
    known = _models_by_name().get(type_name, {})
    return known.get(wire_name) or known.get(_SNAPSHOT.sub("", wire_name))


@cache
def _model_file() -> _ModelFile:
    return msgspec.json.decode(Path(__file__).with_name("models.json").read_bytes(), type=_ModelFile)


@cache
def _models_by_name() -> dict[str, dict[str, CatalogModel]]:
    return {name: {model.name: model for model in models} for name, models in _model_file().models.items()}


# ---- what they cost


def prices_version() -> str:
    """The version of the price table, as it stands in every cost."""
    return _price_file().version


def price_of(row: ProviderRow, wire_name: str) -> Pricing | None:
    """The catalog's price of a model, None where it has none: the exact name, else the name without its snapshot date, else
    the longest prefix."""
    if row.free:
        return Pricing(input=0.0, output=0.0, cache_read=0.0, cache_write=0.0, cache_write_1h=0.0, version="free")
    return None if row.prices is None else price_in(row.prices, wire_name)


def price_in(table: str, wire_name: str) -> Pricing | None:
    """The same, by the provider's name in prices.json."""
    names, prefixes = _price_index(table)
    name = wire_name.lower()
    found = names.get(name) or names.get(_SNAPSHOT.sub("", name))
    if found is None:
        found = next((price for prefix, price in prefixes if name.startswith(prefix)), None)
    return None if found is None else _pricing(found)


def _pricing(row: _PriceRow) -> Pricing:
    base = [*row.prices, None, None, None, None, None]
    tiers = [_tier([*tier, None, None, None, None]) for tier in row.tiers]
    file = _price_file()
    return Pricing(file.currency, base[0], base[1], base[2], base[3], base[4], file.version, tiers)


def _tier(fields: list[float | None]) -> PriceTier:
    return PriceTier(int(fields[0] or 0), fields[1], fields[2], fields[3], fields[4])


@cache
def _price_file() -> _PriceFile:
    return msgspec.json.decode(Path(__file__).with_name("prices.json").read_bytes(), type=_PriceFile)


@cache
def _price_index(provider: str) -> tuple[dict[str, _PriceRow], list[tuple[str, _PriceRow]]]:
    """Prices by exact name, and by prefix with the longest first."""
    table = _price_file().providers.get(provider, [])
    names = {name: row for row in table for name in row.names}
    prefixes = sorted(((prefix, row) for row in table for prefix in row.prefixes), key=lambda item: (-len(item[0]), item[0]))
    return names, prefixes
