"""Reads the answer of `GET /models`, as everybody spells it who speaks an OpenAI wire."""

from typing import Any, cast

from modeld_protocol.model import DiscoveredModel, ModelLimits

from ...failure import ProviderFailure
from ..loose_json import parse_json, whole_number
from .errors import decode_failure


def decode_models(body: bytes, provider: str) -> list[DiscoveredModel]:
    """The models of `GET /models`: `{"data": [{"id"}]}`, or the bare list. Sizes are read where a server adds them."""
    try:
        value, _ = parse_json(body)
    except ValueError:
        raise decode_failure(200, {}, body) from None
    listed: Any = value
    if isinstance(value, dict):
        listed = cast("dict[str, Any]", value).get("data")
    if not isinstance(listed, list):
        raise decode_failure(200, {}, body)
    models = [_model(cast("dict[str, Any]", entry), provider) for entry in cast("list[Any]", listed) if isinstance(entry, dict)]
    found = [model for model in models if model is not None]
    if not found and listed:
        raise ProviderFailure("server_error", "the provider's model list names no model; configure the models by hand")
    return found


def _model(entry: dict[str, Any], provider: str) -> DiscoveredModel | None:
    id = entry.get("id")
    if not isinstance(id, str) or not id:
        return None
    top = entry.get("top_provider")
    top = cast("dict[str, Any]", top) if isinstance(top, dict) else {}
    context = _first(entry, "context_length", "context_window", "max_context_length", "max_model_len")
    output = _first(entry, "max_completion_tokens", "max_output_tokens") or _first(top, "max_completion_tokens")
    limits = ModelLimits(context, output) if context or output else None
    name = entry.get("name") or entry.get("display_name")
    return DiscoveredModel(f"{provider}:{id}", provider, id, name if isinstance(name, str) else None, limits)


def _first(entry: dict[str, Any], *names: str) -> int | None:
    return next((number for name in names if (number := whole_number(entry.get(name)))), None)
