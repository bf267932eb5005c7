"""The Messages wire's own shapes: what goes out, in the order in which it is written, and what comes in, as far as it is read.

Documentation: https://platform.claude.com/docs/en/api/messages (2026-11-20).
"""

from typing import Any, Literal

import msgspec

# ---- out


class CacheControl(msgspec.Struct, tag_field="type", tag="ephemeral", omit_defaults=True, gc=False):
    """A cache marker; without `ttl` five minutes."""

    ttl: Literal["5m", "1h"] | None = None


class _Param(msgspec.Struct, tag_field="type", omit_defaults=True, gc=False):
    """Base of every block that is sent."""


class _Markable(_Param):
    """A block that may carry a cache marker."""


class Base64Data(_Param, tag="base64"):
    """Media in the request itself."""

    media_type: str
    data: str


class PlainText(_Param, tag="text"):
    """A text document in the request itself."""

    media_type: str
    data: str


class Url(_Param, tag="url"):
    """Media that the provider fetches."""

    url: str


class FileId(_Param, tag="file"):
    """Media uploaded before."""

    file_id: str


class TextParam(_Markable, tag="text"):
    """Text; `citations` in assistant messages only."""

    text: str
    citations: list[Any] | None = None
    cache_control: CacheControl | None = None


class ImageParam(_Markable, tag="image"):
    """An image."""

    source: Base64Data | Url | FileId
    cache_control: CacheControl | None = None


class Enabled(msgspec.Struct, gc=False):
    """A switch."""

    enabled: bool


class DocumentParam(_Markable, tag="document"):
    """A PDF or a text."""

    source: Base64Data | PlainText | Url | FileId
    title: str | None = None
    citations: Enabled | None = None
    cache_control: CacheControl | None = None


class ToolUseParam(_Markable, tag="tool_use"):
    """A call that the model made."""

    id: str
    name: str
    input: dict[str, Any]
    caller: Any = None
    toolset_name: str | None = None
    cache_control: CacheControl | None = None


class ToolResultParam(_Markable, tag="tool_result"):
    """What a call gave."""

    tool_use_id: str
    content: str | list[TextParam | ImageParam | DocumentParam] | None = None
    is_error: bool = False
    cache_control: CacheControl | None = None


class ThinkingParam(_Param, tag="thinking"):
    """Signed reasoning, as it came."""

    thinking: str
    signature: str


class RedactedThinkingParam(_Param, tag="redacted_thinking"):
    """Encrypted reasoning, as it came."""

    data: str


MarkableParam = TextParam | ImageParam | DocumentParam | ToolUseParam | ToolResultParam
MARKABLE = (TextParam, ImageParam, DocumentParam, ToolUseParam, ToolResultParam)
BlockParam = MarkableParam | ThinkingParam | RedactedThinkingParam | dict[str, Any]
"""Dicts are the provider's own blocks, sent back as they came."""


class MessageParam(msgspec.Struct, gc=False):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[BlockParam]


class ToolParam(msgspec.Struct, omit_defaults=True, gc=False):
    """A tool of the client."""

    name: str
    description: str | None = None
    input_schema: dict[str, Any] = {}
    strict: bool = False


class ToolChoiceParam(msgspec.Struct, omit_defaults=True, gc=False):
    """Which tools the model may or must call."""

    type: Literal["none", "auto", "any", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(msgspec.Struct, omit_defaults=True, gc=False):
    """How the model is to think."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(msgspec.Struct, tag_field="type", tag="json_schema", gc=False):
    """A schema that the answer has to match."""

    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, omit_defaults=True, gc=False):
    """How hard to try, and in which form to answer."""

    effort: str | None = None
    format: OutputFormat | None = None


class RequestMetadata(msgspec.Struct, gc=False):
    """Whom the request is made for."""

    user_id: str


class RequestBody(msgspec.Struct, omit_defaults=True):
    """The body of `/v1/messages`, and, with fewer fields, of `/v1/messages/count_tokens`."""

    model: str
    max_tokens: int | None = None
    stream: bool = False
    system: str | list[TextParam] | None = None
    tools: msgspec.Raw | None = None
    tool_choice: ToolChoiceParam | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] = []
    metadata: RequestMetadata | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    container: Any = None
    context_management: Any = None
    messages: list[MessageParam] = []


# ---- in

NOTHING = msgspec.Raw()


class Delta(msgspec.Struct, gc=False):
    """`delta` of content_block_delta and of message_delta; which fields are there depends on `type`."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Any = None
    content: Any = None
    encrypted_content: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Frame(msgspec.Struct, gc=False):
    """Any stream event. What is rare or may be malformed without harm is left undecoded."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: msgspec.Raw = NOTHING
    message: msgspec.Raw = NOTHING
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class IncomingBlock(msgspec.Struct):
    """A content block of an answer, or the beginning of one."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = NOTHING
    citations: list[Any] | None = None
    caller: dict[str, Any] | None = None
    toolset_name: str | None = None


class IncomingMessage(msgspec.Struct):
    """An answer, whole or as `message_start` begins it."""

    type: str = ""
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class CacheCreation(msgspec.Struct):
    """Cache writes by time to live."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    """What the output tokens were spent on."""

    thinking_tokens: int | None = None


class IncomingUsage(msgspec.Struct):
    """Token counts; streams give them in part."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
