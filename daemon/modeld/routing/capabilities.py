"""Refuses, before anything is sent, what a model can't do or no provider would take. Pure.

What a wire mends with a warning passes: a limit above the model's, sampling parameters, an effort level that the model lacks (the
nearest is sent), a budget in place of an effort, adaptive thinking where there is none, a switch for thinking that the provider
ignores, a choice of tools that is put into words.
"""

from collections.abc import Iterator, Sequence
from typing import NoReturn

from modeld_protocol.content import (
    AudioBlock,
    Base64Source,
    Block,
    FileBlock,
    FileIdSource,
    ImageBlock,
    Message,
    ResultBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from modeld_protocol.request import CanonicalRequest, Thinking, ToolChoice

from ..providers.failure import ProviderFailure
from ..providers.spec import ModelSpec
from ..providers.tool_ids import PREFIX

_MEDIA: dict[type, tuple[str, str]] = {
    ImageBlock: ("images", "an image"),
    AudioBlock: ("audio", "audio"),
    FileBlock: ("files", "a file"),
}
_TOOL_BLOCKS = (ToolUseBlock, ToolResultBlock)


def check(request: CanonicalRequest, spec: ModelSpec, *, stream: bool = False) -> None:
    """Raises ProviderFailure: `invalid_request` where the request contradicts itself, `capability_mismatch` where the model
    lacks what it asks for; the message names the capability, the model and what to do."""
    if request.tools:
        _check_tools(spec)
    if request.tool_choice is not None:
        _check_tool_choice(request, request.tool_choice, spec)
    if request.response_format is not None:
        _check_format(request, spec)
    if request.thinking is not None:
        _check_thinking(request.thinking, spec)
    if stream and not spec.capabilities.streaming:
        _mismatch(spec, "streaming", "it doesn't stream; use model/complete")
    messages = request.messages
    if not spec.capabilities.system_prompt and _has_system(request):
        _mismatch(spec, "system_prompt", "it takes no system prompt; put the instructions into the first user message")
    if not isinstance(messages, str):
        _check_content(messages, spec)


_HELD_BY_PROVIDER = ("previous_response_id", "conversation")  # options that say where the earlier history is


def validate_history(request: CanonicalRequest) -> None:
    """Raises ProviderFailure (`invalid_request`) where a tool result answers no call that comes before it; a history that the
    provider holds in part is the provider's to judge."""
    options = request.provider_options or {}
    if any(given.get(name) for given in options.values() for name in _HELD_BY_PROVIDER):
        return
    messages = request.messages
    if isinstance(messages, str) or ToolResultBlock not in _kinds(messages):
        return
    calls: set[str] = set()
    for number, index, block in _blocks_but_text(messages):
        if type(block) is ToolUseBlock:
            calls.add(block.id.removeprefix(PREFIX))
        elif type(block) is ToolResultBlock and block.tool_use_id.removeprefix(PREFIX) not in calls:
            raise ProviderFailure(
                "invalid_request",
                f"{_path(number, index)}: the tool result answers {block.tool_use_id[:100]}, and no call before it has that id; "
                "send the assistant's message with the call too",
            )


# ---- tools


def _check_tools(spec: ModelSpec) -> None:
    if not spec.capabilities.tools:
        _mismatch(spec, "tools", "it has no tools; leave `tools` out, or choose a model that has them")


def _check_tool_choice(request: CanonicalRequest, choice: ToolChoice, spec: ModelSpec) -> None:
    if choice.type in ("none", "auto"):
        return
    if choice.type == "tool" and not choice.name:
        _invalid("tool_choice", "type tool needs the `name` of a tool")
    if not request.tools:
        _invalid("tool_choice", f"type {choice.type} needs `tools`")
    if choice.type == "tool" and all(tool.name != choice.name for tool in request.tools):
        names = ", ".join(tool.name for tool in request.tools[:8])
        _invalid("tool_choice", f"no tool is called {choice.name}; there are: {names}")
    if not spec.capabilities.forced_tool_choice and spec.quirks.tool_dialect == "native":
        _mismatch(spec, "forced_tool_choice", "it can't be made to call a tool; use tool_choice auto and say so in the prompt")


# ---- output format


def _check_format(request: CanonicalRequest, spec: ModelSpec) -> None:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return
    if wanted.type == "json_object":
        if not spec.capabilities.json_object:
            _mismatch(spec, "json_object", "it has no such mode; use json_schema, or ask for JSON in the prompt")
        return
    if wanted.schema is None:
        _invalid("response_format", "type json_schema needs a `schema`")
    if not spec.capabilities.structured_output:
        _mismatch(spec, "structured_output", "it follows no schema; ask for JSON in the prompt, or choose a model that does")


# ---- thinking


def _check_thinking(thinking: Thinking, spec: ModelSpec) -> None:
    if thinking.mode == "off" or thinking.effort == "none":
        if not (spec.capabilities.thinking_off or spec.quirks.thinking_off_ignored):
            _mismatch(spec, "thinking_off", "its thinking can't be turned off; leave `thinking` out, or lower its effort")
    elif thinking.mode == "on" and not spec.capabilities.thinking:
        _mismatch(spec, "thinking", "it doesn't think; leave `thinking` out, or choose a model that does")


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


# ---- content


def _has_system(request: CanonicalRequest) -> bool:
    if request.system_prompt:
        return True
    return not isinstance(request.messages, str) and any(message.role == "system" for message in request.messages)


def _kinds(messages: Sequence[Message]) -> set[type]:
    """The types of block in a history; one pass without a function call per block, as histories are long."""
    return {block.__class__ for message in messages if message.content.__class__ is not str for block in message.content}


def _check_content(messages: Sequence[Message], spec: ModelSpec) -> None:
    kinds = _kinds(messages)
    if kinds <= {TextBlock}:
        return
    if not spec.capabilities.tools and not kinds.isdisjoint(_TOOL_BLOCKS):
        _mismatch(spec, "tools", "it has no tools, and the history holds tool calls; choose a model that has them")
    if ToolResultBlock not in kinds and kinds.isdisjoint(_MEDIA):
        return
    for number, index, block in _blocks_but_text(messages):
        if type(block) is ToolResultBlock:
            if not isinstance(block.content, str):
                _check_result(_path(number, index), block.content, spec)
        elif type(block) in _MEDIA:
            _check_media(_path(number, index), block, spec)


def _check_result(path: str, content: Sequence[ResultBlock], spec: ModelSpec) -> None:
    for number, block in enumerate(content):
        if type(block) not in _MEDIA:
            continue
        if not spec.capabilities.tool_result_media:
            _, what = _MEDIA[type(block)]
            _mismatch(spec, "tool_result_media", f"{path} holds {what}, and its tool results are text; describe it in words")
        _check_media(f"{path}.content[{number}]", block, spec)


def _check_media(path: str, block: Block | ResultBlock, spec: ModelSpec) -> None:
    assert isinstance(block, ImageBlock | AudioBlock | FileBlock)
    capability, what = _MEDIA[type(block)]
    if not getattr(spec.capabilities, capability):
        _mismatch(spec, capability, f"{path} holds {what}, which it doesn't take; leave it out, or choose a model that does")
    if isinstance(block.source, FileIdSource) and not spec.capabilities.file_ids:
        _mismatch(spec, "file_ids", f"{path} names an uploaded file, which it can't read; send the content as base64")
    types = spec.capabilities.image_media_types
    inline = isinstance(block, ImageBlock) and isinstance(block.source, Base64Source)
    if inline and types and block.media_type is not None and block.media_type not in types:
        _mismatch(spec, "image_media_types", f"{path} is {block.media_type[:60]}; it reads {_either(types)}")


def _blocks_but_text(messages: Sequence[Message]) -> Iterator[tuple[int, int, Block]]:
    for number, message in enumerate(messages):
        if not isinstance(message.content, str):
            for index, block in enumerate(message.content):
                if type(block) is not TextBlock:
                    yield number, index, block


def _path(number: int, index: int) -> str:
    return f"messages[{number}].content[{index}]"


# ---- the two refusals


def _invalid(field: str, problem: str) -> NoReturn:
    raise ProviderFailure("invalid_request", f"{field}: {problem}")


def _mismatch(spec: ModelSpec, capability: str, problem: str) -> NoReturn:
    raise ProviderFailure("capability_mismatch", f"{spec.id} ({capability}): {problem}")
