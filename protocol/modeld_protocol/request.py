"""The canonical request: what a client asks of any model."""

from typing import Annotated, Any, Literal

import msgspec

from .content import Message

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Tool(msgspec.Struct, omit_defaults=True):
    """A tool the model may call. `input_schema` is a JSON Schema of type object."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    description: str | None = None
    input_schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})


class ToolChoice(msgspec.Struct, omit_defaults=True):
    """`tool` needs a `name`; `parallel: false` asks for at most one call."""

    type: Literal["none", "auto", "required", "tool"]
    name: str | None = None
    parallel: bool | None = None


class ResponseFormat(msgspec.Struct, omit_defaults=True):
    """`json_schema` needs a `schema`."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None


class Thinking(msgspec.Struct, omit_defaults=True):
    """Reasoning: `off`, `on` (with a budget or an effort), or `adaptive` where the model decides; `display` asks for its text."""

    mode: Literal["off", "on", "adaptive"]
    budget_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    effort: Effort | None = None
    display: Literal["summarized", "omitted"] | None = None


class Cache(msgspec.Struct, omit_defaults=True):
    """Prompt caching. `auto`: markers on tools and system; `explicit`: also where a message asks for one
    (`metadata: {"cache": true}`); `off`: none."""

    mode: Literal["auto", "off", "explicit"] = "auto"
    ttl: Literal["5m", "1h"] | None = None
    key: str | None = None


class CanonicalRequest(msgspec.Struct, omit_defaults=True):
    """The parameters of `model/complete` and `model/stream`.

    `model` is an id (`provider:name`), an alias, or a bare name; `provider` is a hint that wins over both.
    `messages` may be a string, which stands for one user message.
    `provider_options` is keyed by adapter type; each wire documents and checks its own.
    `initiator` names the program inside the client for which it calls, such as an editor's extension: the config may allow or
    refuse it, and the ledger and the budgets know it as the client `client/initiator`.
    """

    messages: str | list[Message]
    model: str | None = None
    provider: str | None = None
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    system_prompt: str | None = None
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=0)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    stop_sequences: list[str] = []
    thinking: Thinking | None = None
    cache: Cache | None = None
    metadata: dict[str, Any] | None = None
    provider_options: dict[str, dict[str, Any]] | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    include_raw: bool = False
    initiator: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
