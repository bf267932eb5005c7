"""Which models there are: config and catalog merged into one immutable table.

Every order in it is that of the config, or of names: the same config gives the same registry.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits, Pricing

from ..config.schema import AdapterConfig, Config, ModelConfig
from ..ledger.pricing import CONFIGURED
from ..providers.catalog import (
    CatalogModel,
    ModelFacts,
    ProviderRow,
    all_rows,
    base_url_of,
    facts_of,
    model_of,
    models_of,
    price_of,
    row_of,
    with_capabilities,
    with_quirks,
)
from ..providers.spec import ModelSpec, Quirks


class Registry(msgspec.Struct, frozen=True):
    """Models and the names they go by.

    `specs` by id, in config order. `aliases` and `wire_names` hold every id that a name may mean. `names` has for each
    provider what its models are called there: wire names, aliases, and ids without the provider. `defaults` is the model of
    a request that names a provider alone, `default` of one that names nothing.
    """

    specs: dict[str, ModelSpec]
    adapters: dict[str, AdapterConfig]
    aliases: dict[str, tuple[str, ...]] = {}
    wire_names: dict[str, tuple[str, ...]] = {}
    names: dict[str, dict[str, tuple[str, ...]]] = {}
    defaults: dict[str, str] = {}
    default: str | None = None


def build_registry(config: Config) -> Registry:
    """The registry of a checked config. Raises ValueError, naming the model or adapter, where a config that was not checked has
    capabilities or limits that are none, a region that there isn't, or a model without its adapter."""
    for adapter in config.adapters.values():
        _check_region(adapter)
    sharing = _sharing_files(config)
    specs = _configured(config) if config.models_given else _offered(config)
    specs = [
        msgspec.structs.replace(spec, files_with=sharing[spec.provider]) if sharing[spec.provider] else spec for spec in specs
    ]
    table = {spec.id: spec for spec in specs}
    aliases = _ids_by_name((alias, spec.id) for spec in specs for alias in spec.aliases)
    names = {provider: _ids_by_name(_names_at(specs, provider)) for provider in config.adapters}
    defaults = {name: default for name in config.adapters if (default := _default_of(specs, config.adapters[name]))}
    return Registry(
        specs=table,
        adapters=dict(config.adapters),
        aliases=aliases,
        wire_names=_ids_by_name((spec.wire_name, spec.id) for spec in specs),
        names=names,
        defaults=defaults,
        default=_default(config, table, aliases, defaults),
    )


def _check_region(adapter: AdapterConfig) -> None:
    try:
        base_url_of(row_of(adapter.type), adapter.base_url, adapter.options)
    except ValueError as error:
        raise ValueError(f"{adapter.name}: {error}; correct the adapter's `options`") from None


def builtin_config(env: Mapping[str, str]) -> Config:
    """The config where there is no file: an adapter for every provider that has an address and needs a key, so that one
    without its key is listed as not configured, with the reason. Of types with the same key the first by name: the others
    have the same models, and a model's name alone would no longer tell which is meant. The default model is the first
    provider's that has a key."""
    by_key = {row.key_env: row for row in reversed(all_rows()) if row.needs_key and row.base_url and row.key_env}
    keyed = sorted(by_key.values(), key=lambda row: row.type)
    adapters = {row.type: AdapterConfig(row.type, row.type, api_key_env=row.key_env) for row in keyed}
    ready = next((row.type for row in keyed if env.get(row.key_env or "")), None)
    default = next((f"{ready}:{model.name}" for model in models_of(ready) if model.default), None) if ready else None
    return Config(adapters, {}, default, models_given=False)


# ---- specs


def _configured(config: Config) -> list[ModelSpec]:
    return [_from_config(model, config) for model in config.models.values()]


def _from_config(model: ModelConfig, config: Config) -> ModelSpec:
    adapter = config.adapters.get(model.adapter)
    if adapter is None:
        raise ValueError(f"{model.id}: no adapter is called {model.adapter}; add it to `adapters`")
    row = row_of(adapter.type)
    wire_name = model.wire_name or model.id.partition(":")[2]
    known = model_of(row.type, wire_name)
    facts = _with_overrides(_with_options(_facts(row, adapter, wire_name), model), row, model)
    return ModelSpec(
        id=model.id,
        provider=adapter.name,
        provider_type=row.type,
        wire=row.wire,
        wire_name=wire_name,
        capabilities=facts.capabilities,
        limits=facts.limits,
        quirks=facts.quirks,
        pricing=_with_prices(price_of(row, wire_name), model.pricing),
        aliases=model.aliases,
        tier=model.tier or (known.tier if known else None),
        can_delegate=model.can_delegate,
        fallbacks=model.fallbacks,
    )


def _with_options(facts: ModelFacts, model: ModelConfig) -> ModelFacts:
    """The model's own quirks, over those of its adapter."""
    unknown = sorted(model.options.keys() - set(Quirks.__struct_fields__))
    if unknown:
        known = ", ".join(sorted(Quirks.__struct_fields__))
        raise ValueError(f"{model.id}: no option of a model is called {unknown[0]}; there are {known}")
    try:
        return with_quirks(facts, model.options) if model.options else facts
    except msgspec.ValidationError as error:
        raise ValueError(f"{model.id}: {error}; correct the model's `options`") from None


def _with_overrides(facts: ModelFacts, row: ProviderRow, model: ModelConfig) -> ModelFacts:
    try:
        corrected = with_capabilities(facts, row, model.capabilities)
        limits = msgspec.convert({**msgspec.structs.asdict(facts.limits), **model.limits}, ModelLimits)
    except msgspec.ValidationError as error:
        raise ValueError(f"{model.id}: {error}; correct `capabilities` or `limits`") from None
    return msgspec.structs.replace(corrected, limits=limits)


def _offered(config: Config) -> list[ModelSpec]:
    """Every catalog model of every adapter's type. An alias goes to the first adapter by name that has it."""
    takers: dict[str, str] = {}
    for name in sorted(config.adapters):
        for model in models_of(config.adapters[name].type):
            for alias in model.aliases:
                takers.setdefault(alias, name)
    return [
        _from_catalog(model, adapter, tuple(alias for alias in model.aliases if takers[alias] == adapter.name))
        for adapter in config.adapters.values()
        for model in models_of(adapter.type)
    ]


def _from_catalog(model: CatalogModel, adapter: AdapterConfig, aliases: tuple[str, ...]) -> ModelSpec:
    row = row_of(adapter.type)
    facts = _facts(row, adapter, model.name)
    return ModelSpec(
        id=f"{adapter.name}:{model.name}",
        provider=adapter.name,
        provider_type=row.type,
        wire=row.wire,
        wire_name=model.name,
        capabilities=facts.capabilities,
        limits=facts.limits,
        quirks=facts.quirks,
        pricing=price_of(row, model.name),
        aliases=aliases,
        tier=model.tier,
        can_delegate=model.can_delegate,
    )


def capabilities_of(adapter: AdapterConfig) -> Capabilities:
    """What a model of which nothing else is known can do at this adapter: the provider's line of the capability matrix. Raises
    ValueError as `build_registry`."""
    return facts_at(adapter).capabilities


def facts_at(adapter: AdapterConfig) -> ModelFacts:
    """The same, with the quirks. Raises ValueError as `build_registry`."""
    return _facts(row_of(adapter.type), adapter, "")


def _facts(row: ProviderRow, adapter: AdapterConfig, wire_name: str) -> ModelFacts:
    """The catalog's facts, with quirks that the adapter's `options` set by name: what makes an endpoint that nobody knows
    usable by config alone. Raises ValueError for a value that is none of the quirk's."""
    facts = facts_of(row, wire_name)
    given = {name: value for name, value in adapter.options.items() if name in Quirks.__struct_fields__}
    try:
        return with_quirks(facts, given) if given else facts
    except msgspec.ValidationError as error:
        raise ValueError(f"{adapter.name}: {error}; correct the adapter's `options`") from None


def _with_prices(known: Pricing | None, given: Pricing | None) -> Pricing | None:
    """The config's prices. What it leaves out is the catalog's, in the same currency; but not the catalog's tiers, which
    would undo the config's price for a long input."""
    if given is None:
        return known
    version = f"{CONFIGURED}:{given.version}" if given.version else CONFIGURED
    if known is None or known.currency != given.currency:
        return msgspec.structs.replace(given, version=version)
    parts: dict[str, Any] = {
        name: getattr(known, name) if getattr(given, name) is None else getattr(given, name)
        for name in ("input", "output", "cache_read", "cache_write", "cache_write_1h")
    }
    return msgspec.structs.replace(given, version=version, **parts)


def account_of(adapter: AdapterConfig) -> tuple[Any, ...]:
    """Where an adapter's files are: its address and where its key comes from. Raises ValueError as `build_registry`."""
    address = base_url_of(row_of(adapter.type), adapter.base_url, adapter.options)
    keys = (adapter.api_key, adapter.api_key_env, adapter.api_key_command, adapter.api_key_keyring)
    return ((address or adapter.name).rstrip("/"), *keys)


def _sharing_files(config: Config) -> dict[str, tuple[str, ...]]:
    """For each adapter the others of the same account."""
    names: dict[tuple[Any, ...], list[str]] = {}
    accounts = {name: account_of(adapter) for name, adapter in config.adapters.items()}
    for name, account in accounts.items():
        names.setdefault(account, []).append(name)
    return {name: tuple(other for other in names[account] if other != name) for name, account in accounts.items()}


# ---- names


def _names_at(specs: Iterable[ModelSpec], provider: str) -> Iterable[tuple[str, str]]:
    for spec in specs:
        if spec.provider == provider:
            yield from ((name, spec.id) for name in (spec.wire_name, spec.id, spec.id.partition(":")[2], *spec.aliases))


def _ids_by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for name, model_id in pairs:
        found.setdefault(name, {})[model_id] = None
    return {name: tuple(ids) for name, ids in found.items()}


def _default_of(specs: Iterable[ModelSpec], adapter: AdapterConfig) -> str | None:
    """The catalog's default model of the adapter's type, else its only model."""
    own = [spec for spec in specs if spec.provider == adapter.name]
    preferred = [spec.id for spec in own if (known := model_of(spec.provider_type, spec.wire_name)) and known.default]
    return preferred[0] if preferred else own[0].id if len(own) == 1 else None


def _default(
    config: Config, table: Mapping[str, ModelSpec], aliases: Mapping[str, tuple[str, ...]], defaults: Mapping[str, str]
) -> str | None:
    """The config's default model; without one the only model, or in a config without models the first provider's."""
    given = config.default_model
    if given is not None:
        meant = (given,) if given in table else aliases.get(given, ())
        return meant[0] if len(meant) == 1 else None
    if config.models_given:
        return next(iter(table)) if len(table) == 1 else None
    return defaults[min(defaults)] if defaults else None
