"""What changed from one config to the next, in words for logs."""

from collections.abc import Mapping

from .schema import AdapterConfig, Config, ModelConfig


def describe_change(old: Config, new: Config) -> str:
    """What differs, by the names of adapters, models and fields, without values; `nothing changed` where nothing does."""
    parts = _differences("adapter", old.adapters, new.adapters) + _differences("model", old.models, new.models)
    if old.default_model != new.default_model:
        parts.append("default_model changed")
    if old.models_given != new.models_given:
        parts.append("models come from the " + ("file" if new.models_given else "catalog"))
    return "; ".join(parts) or "nothing changed"


def _differences(
    what: str, old: Mapping[str, AdapterConfig | ModelConfig], new: Mapping[str, AdapterConfig | ModelConfig]
) -> list[str]:
    parts: list[str] = []
    if added := [name for name in new if name not in old]:
        parts.append(f"{what} added: {', '.join(added)}")
    if removed := [name for name in old if name not in new]:
        parts.append(f"{what} removed: {', '.join(removed)}")
    for name, before in old.items():
        after = new.get(name, before)
        if fields := [field for field in before.__struct_fields__ if getattr(before, field) != getattr(after, field)]:
            parts.append(f"{what} {name} changed: {', '.join(fields)}")
    return parts
