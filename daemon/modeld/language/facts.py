"""What is known of adapters, types and models that a text names, in words: limits, prices, abilities, where a key comes from."""

from collections.abc import Iterator

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits, Pricing

from ..config.adapter_checks import KEY_SOURCES
from ..config.wording import quote_name, quote_variable
from ..config.yaml_nodes import Scalar
from ..providers.catalog import CatalogModel, ProviderRow, facts_of, model_of, models_of, price_of, row_of
from .analysis import Analysis
from .outline import Entry

_ABILITIES = (
    *("tools", "parallel_tools", "thinking", "structured_output", "images", "audio", "files", "streaming", "sampling"),
    *("stop_sequences", "count_tokens", "file_uploads", "explicit_caches"),
)


class ModelFacts(msgspec.Struct, frozen=True):
    """What a model is, as far as it is known."""

    id: str
    adapter: str
    type: str
    wire_name: str
    capabilities: Capabilities
    limits: ModelLimits
    pricing: Pricing | None
    tier: str | None
    aliases: tuple[str, ...]


def type_of(analysis: Analysis, adapter: str | None) -> str | None:
    """The type of an adapter of this text; None where it has none that is known."""
    entry = analysis.outline.adapters.get(adapter or "")
    if entry is None:
        return None
    kind = entry.text("type") or entry.name
    return kind if kind in analysis.knowledge.surroundings.known_types else None


def catalog_models(analysis: Analysis) -> Iterator[tuple[str, CatalogModel]]:
    """Every model that the catalog has for the adapters of this text, each with its adapter's name."""
    for name in analysis.outline.adapters:
        kind = type_of(analysis, name)
        yield from ((name, model) for model in (models_of(kind) if kind else ()))


def model_facts(analysis: Analysis, name: str) -> ModelFacts | None:
    """The model that a name stands for. Where the text has errors: what the catalog says of it alone."""
    registry = analysis.registry()
    if registry is not None:
        spec = registry.specs.get(name) or next((registry.specs[one] for one in registry.aliases.get(name, ())), None)
        if spec is None:
            return None
        kind = registry.adapters[spec.provider].type
        return ModelFacts(
            spec.id,
            spec.provider,
            kind,
            spec.wire_name,
            spec.capabilities,
            spec.limits,
            spec.pricing,
            spec.tier,
            tuple(spec.aliases),
        )
    model_id = analysis.outline.model_of(name) or name
    entry = analysis.outline.models.get(model_id)
    if entry is not None:
        adapter, wire_name = entry.text("adapter"), entry.text("wire_name") or model_id.partition(":")[2]
    else:
        adapter, _, wire_name = model_id.partition(":")
    kind = type_of(analysis, adapter)
    return _from_catalog(model_id, adapter or "", kind, wire_name) if kind else None


def _from_catalog(model_id: str, adapter: str, kind: str, wire_name: str) -> ModelFacts:
    row = row_of(kind)
    facts, known = facts_of(row, wire_name), model_of(kind, wire_name)
    tier, aliases = (known.tier, known.aliases) if known else (None, ())
    return ModelFacts(
        model_id, adapter, kind, wire_name, facts.capabilities, facts.limits, price_of(row, wire_name), tier, aliases
    )


# ---- in words


def shown(name: str) -> str:
    """A name that the text gives, unless it may be a key."""
    return quote_name(name).strip("'").replace("`", "'")


def describe_model(facts: ModelFacts) -> str:
    """A model in Markdown."""
    where = f"`{shown(facts.wire_name)}` at adapter `{shown(facts.adapter)}` (type {facts.type})"
    lines = [f"**{shown(facts.id)}**", where]
    if facts.tier:
        lines.append(f"Tier: {facts.tier}")
    if facts.aliases:
        lines.append("Aliases: " + ", ".join(f"`{shown(alias)}`" for alias in facts.aliases))
    lines += [describe_limits(facts.limits), describe_price(facts.pricing), f"Can: {describe_abilities(facts.capabilities)}"]
    return "\n\n".join(lines)


def describe_limits(limits: ModelLimits) -> str:
    """Limits in one line."""
    known = (
        ("context", limits.max_context_tokens),
        ("output", limits.max_output_tokens),
        ("cached from", limits.min_cache_tokens),
    )
    parts = [f"{what} {tokens:,}" for what, tokens in known if tokens is not None]
    return f"Limits in tokens: {', '.join(parts)}" if parts else "Limits: not known"


def describe_price(pricing: Pricing | None) -> str:
    """Prices in one line."""
    if pricing is None:
        return "Prices: not known"
    fields = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
    parts = [f"{name.replace('_', ' ')} {price:g}" for name in fields if (price := getattr(pricing, name)) is not None]
    if not any(getattr(pricing, name) for name in fields):
        return "Prices: free" if parts else "Prices: not known"
    above = f"; higher above {pricing.above[0].input_tokens:,} tokens of input" if pricing.above else ""
    version = f" (prices of {pricing.version})" if pricing.version else ""
    return f"{pricing.currency} per million tokens: {', '.join(parts)}{above}{version}"


def describe_abilities(able: Capabilities) -> str:
    """What a model can do, by the names of its capabilities."""
    names = [name.replace("_", " ") for name in _ABILITIES if getattr(able, name)]
    if able.thinking and able.efforts:
        names[names.index("thinking")] = f"thinking ({', '.join(able.efforts)})"
    if able.prompt_cache != "none":
        names.append(f"{able.prompt_cache} prompt cache")
    return ", ".join(names)


def describe_row(row: ProviderRow) -> str:
    """An adapter type in Markdown."""
    where = f"Base URL: {row.base_url}" if row.base_url else "Base URL: to be given as base_url"
    key = f"Key: from `{row.key_env}` unless told" if row.needs_key and row.key_env else "Key: only where the server wants one"
    count = len(models_of(row.type))
    known = [f"Known models: {count}"] if count else []
    regions = [f"Regions (options.region): {', '.join(row.regions)}"] if row.regions else []
    return "\n\n".join((f"**{row.type}** speaks the wire {row.wire}", where, *regions, key, *known, row.documentation))


def describe_adapter(analysis: Analysis, entry: Entry) -> str:
    """An adapter in Markdown."""
    kind = type_of(analysis, entry.name)
    if kind is None:
        return f"Adapter `{shown(entry.name)}`, whose type isn't known"
    row = row_of(kind)
    models = sum(model.text("adapter") == entry.name for model in analysis.outline.models.values())
    given = "models" in analysis.outline.sections
    offered = f"Models in this file: {models}" if given else f"Models from the catalog: {len(models_of(kind))}"
    where = [] if entry.text("base_url") or not row.base_url else [f"Base URL: {row.base_url}"]
    return "\n\n".join((f"Adapter `{shown(entry.name)}` of type **{kind}**", *where, key_source(analysis, entry, row), offered))


def key_source(analysis: Analysis, entry: Entry, row: ProviderRow) -> str:
    """Where an adapter's key comes from; never the key."""
    source = next((name for name in KEY_SOURCES if name in entry.fields and not _is_empty(entry, name)), None)
    if source == "api_key":
        return "Key: stands in this file in plain text; rather use api_key_env or api_key_command"
    if source == "api_key_command":
        return "Key: printed by a command (api_key_command)"
    if source == "api_key_keyring":
        return "Key: in the system's keyring (api_key_keyring)"
    variable = entry.text("api_key_env") if source else analysis.knowledge.surroundings.default_key_env(row.type)
    return f"Key: {describe_variable(analysis, variable)}" if variable else "Key: none is needed"


def describe_variable(analysis: Analysis, name: str) -> str:
    """An environment variable and whether it has a value, which isn't told."""
    state = "is set" if analysis.knowledge.surroundings.env.get(name, "").strip() else "isn't set"
    return f"from the environment variable {quote_variable(name)}, which {state} where the daemon runs"


def _is_empty(entry: Entry, name: str) -> bool:
    node = entry.fields[name][1]
    return isinstance(node, Scalar) and node.value() is None
