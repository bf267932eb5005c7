"""What a request asks for, in the words of no wire: all that a script may depend on."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Call(msgspec.Struct):
    """One HTTP request. Header names are in lower case; `path` comes without its query; `number` counts them
    from 1, the simulator's own pages aside."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    number: int = 0


class OfferedTool(msgspec.Struct):
    """A tool that the request offers, with the JSON Schema of its arguments."""

    name: str
    schema: dict[str, Any] = {}


class Ask(msgspec.Struct):
    """A request, read. `tool_rounds` counts the assistant's turns with calls since the user last spoke; `answered` tells
    whether the request ends in tool results; `schema` is the JSON Schema that the answer's text has to follow."""

    model: str
    stream: bool = False
    user_text: str = ""
    tools: list[OfferedTool] = []
    tool_choice: str = "auto"
    forced_tool: str | None = None
    parallel: bool = True
    answered: bool = False
    tool_rounds: int = 0
    schema: dict[str, Any] | None = None
    json_only: bool = False
    max_tokens: int | None = None
    stop_sequences: list[str] = []
    input_tokens: int = 1
    include_usage: bool = True
    fields: frozenset[str] = frozenset()


class Refused(Exception):
    """A request that the real provider would refuse. `kind` is one of the failure kinds of `wires.contract`."""

    def __init__(self, kind: str, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code
