"""The dialect of tags: a call is JSON between `<tool_call>` and `</tool_call>`, which many open models were trained to write."""

from typing import Any, Final

from modeld_protocol.request import Tool

from .contract import json_text, tool_lines

_RULES: Final = """\
# Tools

You can call these tools. Each line describes one; `parameters` is the JSON Schema of its arguments.
<tools>
{tools}
</tools>

To call a tool, write its name and its arguments as one JSON object between tags, and nothing else between them:
<tool_call>
{{"name": "the tool's name", "arguments": {{"argument": "value"}}}}
</tool_call>

Write one <tool_call> for each call. After your calls, stop: the results come in the next message, each between \
<tool_response> and </tool_response>. Never write a result yourself."""


class Tagged:
    """See Dialect."""

    name = "tagged"
    opening = "<tool_call>"
    closing = "</tool_call>"
    breaking = "</tool_call>"

    def describe(self, tools: list[Tool]) -> str:
        """See Dialect."""
        return _RULES.format(tools=tool_lines(tools))

    def write_call(self, name: str, arguments: dict[str, Any]) -> str:
        """See Dialect."""
        return f"{self.opening}\n{json_text({'name': name, 'arguments': arguments})}\n{self.closing}"

    def write_result(self, name: str, text: str, *, is_error: bool) -> str:
        """See Dialect."""
        error = ' error="true"' if is_error else ""
        return f"<tool_response name={json_text(name)}{error}>\n{text}\n</tool_response>"


DIALECT = Tagged()
