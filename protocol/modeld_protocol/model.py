"""Models and providers as clients see them: capabilities, limits, prices, availability."""

from typing import Any, Literal

import msgspec

from .content import Message
from .request import Tool

AvailabilityState = Literal["available", "degraded", "unavailable", "probing", "not_configured"]
Tier = Literal["fast", "balanced", "deep"]


class Capabilities(msgspec.Struct, omit_defaults=False):
    """What a model can do through modeld, honestly: what is declared works, what isn't is refused before it is sent."""

    streaming: bool = True
    system_prompt: bool = True
    tools: bool = True
    parallel_tools: bool = True
    forced_tool_choice: bool = True
    tool_result_media: bool = False
    thinking: bool = False
    thinking_off: bool = True
    thinking_modes: list[str] = []
    efforts: list[str] = []
    structured_output: bool = True
    json_object: bool = False
    images: bool = False
    image_media_types: list[str] = []
    audio: bool = False
    files: bool = False
    file_ids: bool = False
    sampling: bool = True
    stop_sequences: bool = True
    prompt_cache: Literal["none", "automatic", "explicit"] = "none"
    count_tokens: bool = False
    discover: bool = True


class ModelLimits(msgspec.Struct):
    """Limits in tokens; null where unknown."""

    max_context_tokens: int | None = None
    max_output_tokens: int | None = None
    min_cache_tokens: int | None = None


class Pricing(msgspec.Struct):
    """Prices in `currency` per million tokens; null where unknown. `above` holds higher tiers by input size."""

    currency: str = "USD"
    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    version: str | None = None
    above: list["PriceTier"] = []


class PriceTier(msgspec.Struct):
    """Prices that hold for a whole request once its input exceeds `input_tokens`."""

    input_tokens: int
    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None


class ModelInfo(msgspec.Struct):
    """One model of `model/list`. `id` is `provider:name`."""

    id: str
    provider: str
    wire_name: str
    wire: str
    aliases: list[str]
    tier: str | None
    can_delegate: bool
    capabilities: Capabilities
    limits: ModelLimits
    pricing: Pricing | None
    availability: AvailabilityState
    default: bool = False
    fallbacks: list[str] = []
    reason: str | None = None


class ModelList(msgspec.Struct):
    """Every configured model, in config order."""

    models: list[ModelInfo]


class DiscoverParams(msgspec.Struct, omit_defaults=True):
    """Which providers to ask; all of them without a list."""

    providers: list[str] | None = None
    refresh: bool = False


class DiscoveredModel(msgspec.Struct, omit_defaults=True):
    """A model that a provider says it has; `configured` where this config offers it."""

    id: str
    provider: str
    wire_name: str
    display_name: str | None = None
    limits: ModelLimits | None = None
    configured: bool = False


class DiscoverFailure(msgspec.Struct):
    """A provider that could not be asked."""

    provider: str
    error_class: str
    message: str


class DiscoverResult(msgspec.Struct):
    """What was found, and who failed."""

    models: list[DiscoveredModel]
    failures: list[DiscoverFailure] = []


class TokenCountParams(msgspec.Struct, omit_defaults=True):
    """The part of a request that counts; unknown fields of a whole CanonicalRequest are ignored."""

    messages: str | list[Message]
    model: str | None = None
    provider: str | None = None
    system_prompt: str | None = None
    tools: list[Tool] = []


class TokenCount(msgspec.Struct):
    """Input tokens; `estimated` where they were counted locally."""

    input_tokens: int
    estimated: bool


class ProviderInfo(msgspec.Struct):
    """One configured provider: where it is, what it can do, how it does. `capabilities` is the row of the provider;
    a model may have less. Never holds a key."""

    name: str
    type: str
    wire: str
    base_url: str
    availability: AvailabilityState
    capabilities: Capabilities
    models: list[str]
    key_source: str | None = None
    reason: str | None = None
    documentation: str | None = None


class ProviderList(msgspec.Struct):
    """Every configured provider."""

    providers: list[ProviderInfo]


ProviderOptions = dict[str, dict[str, Any]]
