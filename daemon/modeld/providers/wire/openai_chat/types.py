"""The Chat Completions wire as Structs: what is read of an answer, and what a request is made of.

Answers hold only the fields that are read; all others are skipped undecoded. A frame that does not fit (numbers as text,
content as parts) is read once more by `loose`, so these types can be strict and fast.
https://developers.openai.com/api/reference/resources/chat (2026-11-20)
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

# ---- answers


class PromptDetails(msgspec.Struct, gc=False):
    """What of the prompt a cache gave or took."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """What of the completion nobody sees."""

    reasoning_tokens: int | None = None


class CostDetails(msgspec.Struct, gc=False):
    """What the provider behind a router charged, where that goes to the user's own account."""

    upstream_inference_cost: float | None = None


class WireUsage(msgspec.Struct, gc=False):
    """Counts as compatible servers spell them. `prompt_tokens` includes what a cache gave."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cost: float | None = None
    is_byok: bool | None = None
    cost_details: CostDetails | None = None


class FunctionPart(msgspec.Struct, gc=False):
    """Name and arguments (JSON text) of a call, or fragments of them."""

    name: str | None = None
    arguments: str | None = None


class ToolCallPart(msgspec.Struct, gc=False):
    """A tool call or a fragment of one. Only OpenAI itself always sends `index`."""

    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None


class Delta(msgspec.Struct, gc=False):
    """What one frame adds to the message; the whole message of an answer that isn't streamed has the same fields."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    reasoning_details: list[Any] | None = None
    encrypted_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallPart] | None = None
    function_call: FunctionPart | None = None
    audio: Any = None
    images: Any = None


class Choice(msgspec.Struct, gc=False):
    """One of the answers of a chunk: `delta` in streams, `message` otherwise."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    message: Delta | None = None
    usage: WireUsage | None = None
    error: Any = None


class Extension(msgspec.Struct, gc=False):
    """`x_groq`: usage and errors beside the chunk proper."""

    usage: WireUsage | None = None
    error: Any = None


class Chunk(msgspec.Struct, gc=False):
    """One frame of a stream, or a whole answer."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: WireUsage | None = None
    error: Any = None
    x_groq: Extension | None = None
    base_resp: Any = None


# ---- requests


class ToolCallFunction(msgspec.Struct):
    """`arguments` is JSON text."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    """A call that the model made, in the history."""

    id: str
    function: ToolCallFunction
    type: Literal["function"] = "function"


class ChatMessage(msgspec.Struct):
    """One message of a request; content parts are plain dicts in the wire's own spelling."""

    role: str
    content: str | list[dict[str, Any]] | None
    refusal: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class RelatedMessage(ChatMessage):
    """A message with what only relatives of the wire have: kept apart, since every field costs in every message."""

    reasoning_content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_details: list[Any] | UnsetType = UNSET
    encrypted_content: str | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    prefix: bool | UnsetType = UNSET


class StreamOptions(msgspec.Struct):
    """Usage comes in streams only where it is asked for."""

    include_usage: bool = True


class ChatRequest(msgspec.Struct):
    """A request body; fields go out in this order, those that are UNSET don't go out."""

    model: str
    messages: list[ChatMessage]  # one of them may be Raw, for several
    tools: list[dict[str, Any]] | UnsetType = UNSET
    tool_choice: str | dict[str, Any] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    response_format: dict[str, Any] | UnsetType = UNSET
    max_completion_tokens: int | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    stop: list[str] | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    prompt_cache_key: str | UnsetType = UNSET
    prompt_cache_options: dict[str, Any] | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    logit_bias: dict[str, int] | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    verbosity: str | UnsetType = UNSET
    user: str | UnsetType = UNSET
    safety_identifier: str | UnsetType = UNSET
    store: bool | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    stream: Literal[True] | UnsetType = UNSET
    stream_options: StreamOptions | UnsetType = UNSET
