"""The dialect of fences: a call is JSON in a fenced block named `tool_call`, for models that are at home in Markdown."""

from typing import Any, Final

from modeld_protocol.request import Tool

from .contract import json_text, tool_lines

_RULES: Final = """\
# Tools

You can call these tools. Each line describes one; `parameters` is the JSON Schema of its arguments.
```tools
{tools}
```

To call a tool, write a fenced block with the language `tool_call` that holds one JSON object, and nothing else:
```tool_call
{{"name": "the tool's name", "arguments": {{"argument": "value"}}}}
```

Write one block for each call. After your calls, stop: the results come in the next message, each in a block with the language \
`tool_response`. Never write a result yourself."""


class Fenced:
    """See Dialect. Results are JSON, because text may hold fences of its own."""

    name = "fenced"
    opening = "```tool_call"
    closing = "```"
    breaking = "\n```"

    def describe(self, tools: list[Tool]) -> str:
        """See Dialect."""
        return _RULES.format(tools=tool_lines(tools))

    def write_call(self, name: str, arguments: dict[str, Any]) -> str:
        """See Dialect."""
        return f"{self.opening}\n{json_text({'name': name, 'arguments': arguments})}\n{self.closing}"

    def write_result(self, name: str, text: str, *, is_error: bool) -> str:
        """See Dialect."""
        result: dict[str, Any] = {"name": name, "content": text}
        if is_error:
            result["is_error"] = True
        return f"```tool_response\n{json_text(result)}\n```"


DIALECT = Fenced()
