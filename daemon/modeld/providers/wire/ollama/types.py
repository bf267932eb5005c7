"""The wire of Ollama's own API as Structs: what is read of an answer, and what a request is made of.

Answers hold only the fields that are read. A line that does not fit is read once more by `loose`, so these types can be
strict and fast. https://docs.ollama.com/api/chat and api/types.go of github.com/ollama/ollama at fb307609 (2026-08-21)
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

# ---- answers


class FunctionPart(msgspec.Struct, gc=False):
    """A call's name and its arguments, which are an object on this wire, kept as it was written; `index` is not needed."""

    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw(b"")


class ToolCallPart(msgspec.Struct, gc=False):
    """A whole call. Servers before 0.12 send no id."""

    id: str | None = None
    function: FunctionPart | None = None


class AnswerMessage(msgspec.Struct, gc=False):
    """What one line adds to the message; an answer that isn't streamed has the same fields."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCallPart] | None = None


class Line(msgspec.Struct, gc=False):
    """One line of a stream, or a whole answer. The counts stand in the last line."""

    message: AnswerMessage | None = None
    done: bool | None = None
    done_reason: str | None = None
    model: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


# ---- requests


class CallFunction(msgspec.Struct):
    """`index` counts the calls of one message."""

    index: int
    name: str
    arguments: dict[str, Any]


class Call(msgspec.Struct):
    """A call that the model made, in the history."""

    id: str
    function: CallFunction


class ChatMessage(msgspec.Struct):
    """One message of a request; `images` are base64 without a data: prefix."""

    role: str
    content: str
    thinking: str | UnsetType = UNSET
    images: list[str] | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    tool_name: str | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class ChatRequest(msgspec.Struct):
    """A request body; fields go out in this order, those that are UNSET don't go out. `stream` is true where it is left out."""

    model: str
    messages: list[ChatMessage | msgspec.Raw]
    tools: list[dict[str, Any]] | UnsetType = UNSET
    format: Literal["json"] | dict[str, Any] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    think: bool | str | UnsetType = UNSET
    keep_alive: str | int | float | UnsetType = UNSET
    truncate: bool | UnsetType = UNSET
    shift: bool | UnsetType = UNSET
    stream: bool = True
