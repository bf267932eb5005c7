"""Rewrites a request for a model without tools: definitions go into the system prompt, calls and results of the
history into texts. Pure; an unchanged history gives unchanged texts.
"""

import msgspec

from modeld_protocol.content import (
    Block,
    JsonBlock,
    Message,
    ResultBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.usage import Warning

from ..tool_ids import PREFIX
from .contract import Dialect, json_text


def render_request(request: CanonicalRequest, dialect: Dialect) -> tuple[CanonicalRequest, list[Warning]]:
    """The request without tools, and what the client should know."""
    warnings: list[Warning] = []
    changes: dict[str, object] = {"tools": [], "tool_choice": None}
    if not isinstance(request.messages, str):
        changes["messages"] = _History(dialect).render(request.messages)
    if offers_tools(request):
        changes["system_prompt"] = _with_tools(request, dialect)
        message = f"this model has no tools of its own: they stand in its prompt, and its calls in its text ({dialect.name})"
        warnings.append(Warning("content_projected", message, "tools"))
        if request.response_format is not None and request.response_format.type != "text":
            message = "an answer in this format can hold no call: calls are text here"
            warnings.append(Warning("parameter_adjusted", message, "response_format"))
    return msgspec.structs.replace(request, **changes), warnings


def offers_tools(request: CanonicalRequest) -> bool:
    """Whether the model may call tools in its answer."""
    return bool(request.tools) and not (request.tool_choice is not None and request.tool_choice.type == "none")


def _with_tools(request: CanonicalRequest, dialect: Dialect) -> str:
    """What is forced was refused before: nothing can be forced on a text."""
    choice = request.tool_choice
    one_at_a_time = "Call at most one tool in each answer." if choice is not None and choice.parallel is False else None
    parts = [request.system_prompt, dialect.describe(request.tools), one_at_a_time]
    return "\n\n".join(part for part in parts if part)


class _History:
    """`names` holds the tool of each call that came before, by the bare id."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._names: dict[str, str] = {}

    def render(self, messages: list[Message]) -> list[Message]:
        return [message if isinstance(message.content, str) else self._message(message, message.content) for message in messages]

    def _message(self, message: Message, content: list[Block]) -> Message:
        if not any(isinstance(block, ToolUseBlock | ToolResultBlock) for block in content):
            return message
        blocks = self._answer(content) if message.role == "assistant" else self._input(content)
        return msgspec.structs.replace(message, role="user" if message.role == "tool" else message.role, content=blocks)

    def _answer(self, content: list[Block]) -> list[Block]:
        """Calls become text at their place, on lines of their own, as the model is to write them."""
        blocks: list[Block] = []
        for block in content:
            if not isinstance(block, ToolUseBlock):
                after_call = isinstance(block, TextBlock) and bool(blocks) and _ends_in_call(blocks[-1], self._dialect)
                blocks.append(TextBlock("\n" + block.text) if isinstance(block, TextBlock) and after_call else block)
                continue
            self._names[block.id.removeprefix(PREFIX)] = block.name
            text = self._dialect.write_call(block.name, block.input)
            last = blocks[-1] if blocks else None
            if isinstance(last, TextBlock):
                blocks[-1] = TextBlock(f"{last.text}\n{text}" if last.text else text)
            else:
                blocks.append(TextBlock(text))
        return blocks

    def _input(self, content: list[Block]) -> list[Block]:
        blocks: list[Block] = []
        for block in content:
            if isinstance(block, ToolResultBlock):
                blocks += self._result(block)
            else:
                blocks.append(block)
        return blocks

    def _result(self, block: ToolResultBlock) -> list[Block]:
        """The text of a result, then the media that it holds."""
        name = self._names.get(block.tool_use_id.removeprefix(PREFIX), "tool")
        texts: list[str] = []
        media: list[Block] = []
        inner: list[ResultBlock] = [TextBlock(block.content)] if isinstance(block.content, str) else block.content
        for part in inner:
            if isinstance(part, TextBlock):
                texts.append(part.text)
            elif isinstance(part, JsonBlock):
                texts.append(json_text(part.value))
            else:
                media.append(part)
        if media:
            texts.append(f"[{len(media)} attached]")
        return [TextBlock(self._dialect.write_result(name, "\n\n".join(texts), is_error=block.is_error)), *media]


def _ends_in_call(block: Block, dialect: Dialect) -> bool:
    return isinstance(block, TextBlock) and block.text.endswith(dialect.closing)
