"""Answers of the small endpoints: token counts and the model list. https://ai.google.dev/api/models (2026-11-20)"""

from typing import Any

from modeld_protocol.model import DiscoveredModel, ModelLimits

from ...failure import ProviderFailure
from ..loose_json import whole_number
from .errors import decode_failure
from .loose import is_object, objects, parse_json


def decode_count(body: bytes) -> int:
    """The answer of `countTokens`. Raises ProviderFailure."""
    count = whole_number(read_object(body).get("totalTokens", 0))  # a count of nothing is left out, as all zeros are
    if count is None or count < 0:
        raise ProviderFailure("server_error", "the provider's token count is no number; try again, or check base_url")
    return count


def decode_models(body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
    """A page of the models that can answer, and the next page's token. Raises ProviderFailure."""
    page = read_object(body)
    if "models" not in page and page:
        raise decode_failure(200, {}, body)
    models = [model for entry in objects(page.get("models")) if (model := _model(entry, provider)) is not None]
    token = page.get("nextPageToken")
    return models, token if isinstance(token, str) and token else None


def read_object(body: bytes) -> dict[str, Any]:
    """A body that is an object and no error. Raises ProviderFailure."""
    try:
        value, _ = parse_json(body)
    except ValueError:
        raise decode_failure(200, {}, body) from None
    if not is_object(value) or "error" in value:
        raise decode_failure(200, {}, body)
    return value


def _model(entry: dict[str, Any], provider: str) -> DiscoveredModel | None:
    """None for what is no model that generates content (embeddings, images by another method)."""
    name, methods = entry.get("name"), entry.get("supportedGenerationMethods")
    if not isinstance(name, str) or not name or (isinstance(methods, list) and "generateContent" not in methods):
        return None
    id = name.removeprefix("models/")
    context, output = whole_number(entry.get("inputTokenLimit")), whole_number(entry.get("outputTokenLimit"))
    title = entry.get("displayName")
    return DiscoveredModel(
        f"{provider}:{id}",
        provider,
        id,
        title if isinstance(title, str) else None,
        ModelLimits(context, output) if context or output else None,
    )
