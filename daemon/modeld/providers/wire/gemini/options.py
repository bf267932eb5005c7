"""`provider_options` of the Gemini wire: what the API takes and the canonical request has no word for.

https://ai.google.dev/api/generate-content, …/api/caching (2026-11-20).
"""

from typing import Annotated, Any, Literal

import msgspec

from modeld_protocol.request import CanonicalRequest

from ...spec import ModelSpec
from ..provider_options import parse_provider_options

_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class SafetySetting(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """From which probability of harm on an answer is blocked; names as the API spells them (`HARM_CATEGORY_…`)."""

    category: _Name
    threshold: _Name


class GeminiOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Keyed by the adapter's type in `provider_options`.

    `cached_content` names an explicit cache, which holds system prompt and tools of its own; `server_tools` are tools that the
    provider runs, in its own form (`{"googleSearch": {}}`); `tool_config` is merged into the request's own.
    """

    safety_settings: list[SafetySetting] = []
    cached_content: _Name | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seed: int | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    response_modalities: list[Literal["TEXT", "IMAGE", "AUDIO"]] | None = None
    media_resolution: _Name | None = None
    speech_config: dict[str, Any] | None = None
    image_config: dict[str, Any] | None = None
    server_tools: list[dict[str, Any]] = []
    tool_config: dict[str, Any] | None = None
    service_tier: _Name | None = None
    store: bool | None = None


NONE = GeminiOptions()


def parse_options(request: CanonicalRequest, model: ModelSpec) -> GeminiOptions:
    """The options meant for this adapter type; those of other types are none of ours. Raises ProviderFailure."""
    return parse_provider_options(request, model, GeminiOptions) or NONE
