"""The Gemini wire as Structs: what is read of an answer, and what a request is made of.

Answers hold only the fields that are read; all others are skipped undecoded. A chunk that does not fit is read once more by
`loose`, so these types can be strict and fast. https://ai.google.dev/api/generate-content (2026-11-20)
"""

from typing import Any

import msgspec

NOTHING = msgspec.Raw()

# ---- answers


class PartialArgument(msgspec.Struct, gc=False, rename="camel"):
    """A piece of a call's arguments, which Vertex can stream: where it belongs, and one value."""

    json_path: str = ""
    string_value: str | None = None
    number_value: float | None = None
    bool_value: bool | None = None


class FunctionCall(msgspec.Struct, gc=False, rename="camel"):
    """A call, whole unless `will_continue`. `id` and `args` may be absent."""

    name: str | None = None
    args: msgspec.Raw = NOTHING
    id: str | None = None
    partial_args: list[PartialArgument] | None = None
    will_continue: bool | None = None


class Part(msgspec.Struct, gc=False, rename="camel"):
    """One part, as far as it is text or a call. All other kinds are read from the chunk's own JSON."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None


class Content(msgspec.Struct, gc=False):
    """What one chunk adds."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    """One of the answers; `finish_reason` is a number where a client asks for numbers."""

    content: Content | None = None
    finish_reason: str | int | None = None
    index: int | None = None
    finish_message: str | None = None
    continuation_token: str | None = None


class WireUsage(msgspec.Struct, gc=False, rename="camel"):
    """Counts so far; the last ones count. The prompt includes what a cache gave, the candidates exclude thoughts."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class PromptFeedback(msgspec.Struct, gc=False, rename="camel"):
    """Why a prompt was blocked."""

    block_reason: str | int | None = None
    block_reason_message: str | None = None


class Chunk(msgspec.Struct, gc=False, rename="camel"):
    """One frame of a stream, or a whole answer."""

    candidates: list[Candidate] | None = None
    usage_metadata: WireUsage | None = None
    model_version: str | None = None
    prompt_feedback: PromptFeedback | None = None
    error: Any = None


# ---- requests

PartParam = dict[str, Any]
"""A part in the wire's own spelling; some are the provider's own, sent back as they came."""


class ContentParam(msgspec.Struct):
    """One turn, `user` or `model`."""

    role: str
    parts: list[PartParam]


class SystemParam(msgspec.Struct):
    """The system prompt."""

    parts: list[PartParam]


class GenerationConfig(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Parameters of the answer."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] = []
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_mime_type: str | None = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: list[str] | None = None
    media_resolution: str | None = None
    speech_config: dict[str, Any] | None = None
    image_config: dict[str, Any] | None = None
    thinking_config: dict[str, Any] | None = None


class RequestBody(msgspec.Struct, omit_defaults=True, rename="camel"):
    """The body of `generateContent`; with `model`, what `countTokens` counts. Fields go out in this order."""

    model: str | None = None
    cached_content: str | None = None
    system_instruction: SystemParam | None = None
    tools: list[dict[str, Any]] = []
    tool_config: dict[str, Any] | None = None
    contents: list[ContentParam | msgspec.Raw] = []
    generation_config: GenerationConfig | None = None
    safety_settings: list[dict[str, Any]] = []
    service_tier: str | None = None
    store: bool | None = None
    continuation_token: str | None = None
