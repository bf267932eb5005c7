"""From what a client calls a model to the model: pure, and the same answer every time."""

from collections.abc import Collection, Mapping, Sequence

from ..providers.failure import ProviderFailure
from ..providers.spec import ModelSpec
from .registry import Registry

_LISTED = 8  # candidates named in an error
_NEXT_STEP = "`modeld models` lists what is configured"


def resolve(registry: Registry, model: str | None = None, provider: str | None = None) -> ModelSpec:
    """The model that is meant.

    `provider` wins: `model` is then a wire name, alias or id at that provider, and may be left out. Without it `model` is, in
    this order, an id, an alias, `provider:` and a name there, a wire name that one model alone has; and without either the
    default is meant. Raises ProviderFailure: `model_not_found` where nothing goes by the name, `invalid_request` where
    several models do, where the provider is unknown, or where nothing is named and there is no default.
    """
    if provider:
        return _at_provider(registry, _provider_name(registry, provider), model)
    if not model:
        return _default(registry)
    spec = registry.specs.get(model)
    if spec is not None:
        return spec
    prefix, colon, rest = model.partition(":")
    qualified = registry.names.get(prefix, {}).get(rest, ()) if colon else ()
    meant = registry.aliases.get(model) or qualified or registry.wire_names.get(model, ())
    return _only(registry, model, meant, registry.specs)


def _provider_name(registry: Registry, hint: str) -> str:
    """A provider by its name, or by its type where one provider alone has it."""
    if hint in registry.adapters:
        return hint
    of_type = [name for name, adapter in registry.adapters.items() if adapter.type == hint]
    if len(of_type) == 1:
        return of_type[0]
    if of_type:
        raise ProviderFailure("invalid_request", f"{hint} may be any of the providers {', '.join(of_type)}; name one of them")
    known = ", ".join(registry.adapters) or "none"
    raise ProviderFailure("invalid_request", f"no provider is called {_quoted(hint)}; configured are: {known}")


def _at_provider(registry: Registry, provider: str, model: str | None) -> ModelSpec:
    names = registry.names.get(provider, {})
    if model:
        return _only(registry, model, names.get(model, ()), names, f" at the provider {provider}")
    default = registry.specs.get(registry.default or "")
    if default is not None and default.provider == provider:
        return default
    own = registry.defaults.get(provider)
    if own is None:
        some = _listed([spec.id for spec in registry.specs.values() if spec.provider == provider])
        raise ProviderFailure("invalid_request", f"the provider {provider} has no default model; name one of its models: {some}")
    return registry.specs[own]


def _default(registry: Registry) -> ModelSpec:
    if registry.default is None:
        raise ProviderFailure(
            "invalid_request", f"no model is named and there is no default; name one, or set default_model. {_NEXT_STEP}"
        )
    return registry.specs[registry.default]


def _only(registry: Registry, model: str, meant: Sequence[str], names: Mapping[str, object], where: str = "") -> ModelSpec:
    if len(meant) == 1:
        return registry.specs[meant[0]]
    if meant:
        raise ProviderFailure("invalid_request", f"{_quoted(model)} may be any of {_listed(meant)}{where}; use the id of one")
    near = _near(model, {*names, *registry.aliases, *registry.wire_names} if not where else names)
    hint = f"; did you mean {near}?" if near else "."
    raise ProviderFailure("model_not_found", f"no model is called {_quoted(model)}{where}{hint} {_NEXT_STEP}")


def _near(model: str, names: Collection[str]) -> str:
    from difflib import get_close_matches

    return " or ".join(get_close_matches(model[:200], sorted(names), n=3, cutoff=0.6))


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return (", ".join(ids[:_LISTED]) or "none is configured") + more


def _quoted(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:200]}…"
