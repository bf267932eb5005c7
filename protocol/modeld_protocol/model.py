"""Models and providers as clients see them: capabilities, limits, prices, availability."""

from typing import Any, Literal

import msgspec

from .content import Message
from .request import Tool

AvailabilityState = Literal["available", "degraded", "unavailable", "probing", "not_configured"]
Tier = Literal["fast", "balanced", "deep"]


class Capabilities(msgspec.Struct, omit_defaults=False):
    """What a model can do through modeld, honestly: what is declared works; what isn't is refused with `capability_mismatch`
    before anything is sent. An empty list says that nothing narrower than its flag is known.

    Of what only tunes an answer nothing is refused: where `sampling` is false, or `prompt_cache` is none, the parameters are left
    out with a `parameter_ignored` warning; an effort that is not in `efforts` becomes the nearest one that is.
    """

    streaming: bool = True
    """Answers can come piece by piece."""
    system_prompt: bool = True
    """Instructions apart from the conversation."""
    tools: bool = True
    """Tools in the request, and calls and results in the history."""
    parallel_tools: bool = True
    """Several calls in one answer."""
    forced_tool_choice: bool = True
    """At least one of `required` and `tool` is among `tool_choices`."""
    tool_choices: list[str] = []
    """The types of `tool_choice` that hold. `required` of a single tool is that `tool`. Where a model can't be forced while it
    thinks, thinking is turned off with a warning, or the choice is refused where the request insists on thinking."""
    tool_result_media: bool = False
    """Images, audio and files in tool results reach the model, as far as it takes them at all: within the result where the wire
    can say that, else in a user message right behind the results, with a mark in the result's text and a `content_projected`
    warning."""
    thinking: bool = False
    """The model can reason before it answers."""
    thinking_off: bool = True
    """Thinking can be turned off, or there is none. A model that takes the switch and thinks all the same is told about with a
    `parameter_ignored` warning."""
    thinking_with_tools: bool = False
    """A model that thinks does so beside tools too. Where it can't, tools turn thinking off with a warning, or are refused where
    the request insists on thinking."""
    thinking_modes: list[str] = []
    """The values of `thinking.mode` that hold."""
    efforts: list[str] = []
    """The levels of effort that the model knows, least first."""
    structured_output: bool = True
    """Answers follow a JSON Schema (`json_schema`)."""
    structured_output_with_tools: bool = True
    """Also beside tools."""
    json_object: bool = False
    """A mode for any JSON. Most providers want the word JSON in the prompt besides."""
    images: bool = False
    """Images in the conversation."""
    image_media_types: list[str] = []
    """The kinds of image that are taken, like image/png."""
    image_sources: list[str] = []
    """How an image may be given: `base64` (also as a `data:` URL), `url`, `file_id`."""
    audio: bool = False
    """Audio in the conversation."""
    audio_media_types: list[str] = []
    """The kinds of audio that are taken, like audio/wav."""
    audio_sources: list[str] = []
    """How audio may be given: `base64`, `url`, `file_id`."""
    files: bool = False
    """Documents in the conversation."""
    file_media_types: list[str] = []
    """As the others; `text/*` stands for every kind of text."""
    file_sources: list[str] = []
    """How a document may be given: `base64`, `url`, `file_id`."""
    file_ids: bool = False
    """Some kind of media may be given as the id of an uploaded file; the sources say which."""
    sampling: bool = True
    """`temperature` or `top_p` has an effect, at least while the model doesn't think."""
    stop_sequences: bool = True
    """Texts at which the model stops."""
    prompt_cache: Literal["none", "automatic", "explicit"] = "none"
    """Prompts are cached by themselves, or up to markers; how much was read from the cache is told in every answer's usage."""
    count_tokens: bool = False
    """`model/countTokens` asks the provider."""
    discover: bool = True
    """`model/discover` asks the provider."""
    file_uploads: bool = False
    """`file/upload`, `file/list` and `file/delete`. Whether a request to a model may name them is its `file_ids`."""
    explicit_caches: bool = False
    """`cache/create`, `cache/list` and `cache/delete`."""


class ModelLimits(msgspec.Struct):
    """Limits in tokens; null where unknown."""

    max_context_tokens: int | None = None
    """The most that a prompt and its answer may have together."""
    max_output_tokens: int | None = None
    """The most that an answer may have, its reasoning included."""
    min_cache_tokens: int | None = None
    """The least that a prompt must have to be cached."""


class Pricing(msgspec.Struct):
    """Prices in `currency` per million tokens; null where unknown. `above` holds higher tiers by input size."""

    currency: str = "USD"
    """What the prices are in, as a code of three letters."""
    input: float | None = None
    """Per million tokens of input that is neither read from a cache nor written to one."""
    output: float | None = None
    """Per million tokens of output, reasoning included."""
    cache_read: float | None = None
    """Per million tokens of input that the provider's cache had."""
    cache_write: float | None = None
    """Per million tokens of input that go into the cache."""
    cache_write_1h: float | None = None
    """The same for a cache that lasts an hour."""
    version: str | None = None
    """A name for these prices, told with every cost."""
    above: list["PriceTier"] = []
    """Higher prices from a size of the input on."""


class PriceTier(msgspec.Struct):
    """Prices that hold for a whole request once its input exceeds `input_tokens`."""

    input_tokens: int
    """The size of the input above which these prices hold."""
    input: float | None = None
    """Per million tokens of input, as in `pricing`."""
    output: float | None = None
    """Per million tokens of output."""
    cache_read: float | None = None
    """Per million tokens of input that the provider's cache had."""
    cache_write: float | None = None
    """Per million tokens of input that go into the cache."""


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


KeyBlock = Literal["throttled", "recovering", "request_budget", "max_concurrent_calls"]


class KeyStatus(msgspec.Struct):
    """The calls with one key at one address, of all clients together. `providers` are the adapters that use it; the key itself
    never shows. `blocked_by` is why calls would wait now: the provider throttles the key until `opens_in_seconds` are over
    (`throttled`), it did and calls are let in one by one (`recovering`), its budget of requests is used up and refills
    (`request_budget`), or as many calls run as may (`max_concurrent_calls`). `reason` says it in words."""

    providers: list[str]
    running: int
    waiting: int
    waiting_clients: int
    max_concurrent_calls: int
    blocked_by: KeyBlock | None = None
    opens_in_seconds: float | None = None
    reason: str | None = None


class ProviderInfo(msgspec.Struct):
    """One configured provider: where it is, what it can do, how it does. `capabilities` is the row of the provider;
    a model may have less. `keys` are those that are in use at the moment, by how calls with them do. Never holds a key."""

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
    keys: list[KeyStatus] = []


class ProviderList(msgspec.Struct):
    """Every configured provider."""

    providers: list[ProviderInfo]


ProviderOptions = dict[str, dict[str, Any]]
