"""The Responses wire as Structs: what is read of an answer, and what a request is made of.

Answers hold only the fields that are read; members whose shape varies are read from plain values, by need.
https://developers.openai.com/api/reference/resources/responses (2026-11-20)
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

# ---- answers


class Frame(msgspec.Struct, gc=False):
    """One event of a stream. `output_index` -1: the event names no item."""

    type: str = ""
    delta: str | None = None
    output_index: int = -1
    content_index: int = 0
    summary_index: int = 0
    item: Raw = Raw()
    response: Raw = Raw()
    error: Any = None


class Answer(msgspec.Struct):
    """A whole answer: the body where nothing is streamed, else what the first and the last event carry."""

    status: Any = None
    model: Any = None
    id: Any = None
    store: Any = None
    output: Raw = Raw()
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    input_transformations: Any = None


# ---- requests


class MessageItem(msgspec.Struct):
    """One message of the input; content parts are plain dicts in the wire's own spelling."""

    role: str
    content: str | list[dict[str, Any]]
    phase: str | UnsetType = UNSET


class CallItem(msgspec.Struct, tag_field="type", tag="function_call"):
    """A call that the model made; `arguments` is JSON text."""

    call_id: str
    name: str
    arguments: str


class ResultItem(msgspec.Struct, tag_field="type", tag="function_call_output"):
    """What a call gave; found by `call_id`."""

    call_id: str
    output: str | list[dict[str, Any]]


InputItem = MessageItem | CallItem | ResultItem | dict[str, Any]
"""Items that the provider made itself go back as the dicts that they came as."""


class ResponsesRequest(msgspec.Struct):
    """A request body; fields go out in this order, those that are UNSET don't go out."""

    model: str
    input: list[InputItem]
    instructions: str | UnsetType = UNSET
    tools: list[dict[str, Any]] | UnsetType = UNSET
    tool_choice: str | dict[str, Any] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    text: dict[str, Any] | UnsetType = UNSET
    reasoning: dict[str, Any] | UnsetType = UNSET
    max_output_tokens: int | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    include: list[str] | UnsetType = UNSET
    store: bool | UnsetType = UNSET
    previous_response_id: str | UnsetType = UNSET
    conversation: str | UnsetType = UNSET
    prompt_cache_key: str | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    truncation: str | UnsetType = UNSET
    max_tool_calls: int | UnsetType = UNSET
    context_management: list[dict[str, Any]] | UnsetType = UNSET
    user: str | UnsetType = UNSET
    safety_identifier: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    stream: Literal[True] | UnsetType = UNSET
