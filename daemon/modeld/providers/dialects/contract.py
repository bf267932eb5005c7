"""What every text dialect offers: how tools, calls and results are written, and what marks a call in a model's text."""

from typing import Any, Protocol

import msgspec

from modeld_protocol.request import Tool

_encode_json = msgspec.json.Encoder().encode


class Dialect(Protocol):
    """One way to write calls as text. A call is one JSON object `{"name": …, "arguments": {…}}` between two marks.

    `opening` begins a call and `closing` ends it; `breaking` ends one whose JSON is broken, inside of a string too.
    """

    name: str
    opening: str
    closing: str
    breaking: str

    def describe(self, tools: list[Tool]) -> str:
        """The tools, and how to call them, for the system prompt."""
        ...

    def write_call(self, name: str, arguments: dict[str, Any]) -> str:
        """A call as the model is to write it."""
        ...

    def write_result(self, name: str, text: str, *, is_error: bool) -> str:
        """What a call gave, as the model is to read it."""
        ...


class Sink(Protocol):
    """Takes what a scanner finds, in order. Every `on_call` is followed by its arguments and one `on_call_end`."""

    def on_text(self, text: str) -> None:
        """Text that belongs to no call."""
        ...

    def on_call(self, name: str) -> None:
        """A call begins."""
        ...

    def on_arguments(self, fragment: str) -> None:
        """A literal fragment of the arguments."""
        ...

    def on_call_end(self) -> None:
        """The call that began last ends."""
        ...

    def on_warning(self, code: str, message: str, raw: str) -> None:
        """Something the client should know of `raw`."""
        ...


def json_text(value: Any) -> str:
    """Compact JSON. Raises TypeError and its like for what can't be written, as wires do."""
    return _encode_json(value).decode()


def tool_lines(tools: list[Tool]) -> str:
    """One JSON object a line for each tool."""
    return "\n".join(json_text(_described(tool)) for tool in tools)


def _described(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    found["parameters"] = tool.input_schema
    return found
