"""Refuses, before anything is sent, what a model can't do or no provider would take. Pure.

What a wire mends with a warning passes: a limit above the model's, sampling parameters, an effort level that the model lacks (the
nearest is sent), a budget in place of an effort, adaptive thinking where there is none, wishes for the cache. `Capabilities` says
which of its fields refuse.
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
    Source,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from modeld_protocol.request import CanonicalRequest, Thinking, ToolChoice

from ..providers.failure import ProviderFailure
from ..providers.file_owners import NOBODY, Owners, owner_elsewhere
from ..providers.spec import ModelSpec
from ..providers.tool_ids import PREFIX
from ..providers.wire.media import parse_data_url, plain_media_type

_MEDIA: dict[type, tuple[str, str, str]] = {
    ImageBlock: ("images", "image", "an image"),
    AudioBlock: ("audio", "audio", "audio"),
    FileBlock: ("files", "file", "a file"),
}
_TOOL_BLOCKS = (ToolUseBlock, ToolResultBlock)


def check(request: CanonicalRequest, spec: ModelSpec, *, stream: bool = False, checked: int = 0, files: Owners = NOBODY) -> None:
    """Raises ProviderFailure: `invalid_request` where the request contradicts itself, `capability_mismatch` where the model
    lacks what it asks for; the message names the capability, the model and what to do. So many first messages were `checked`
    for this model before; `files` says whose the files are that it may name."""
    if request.tools:
        _check_tools(spec)
    if request.tool_choice is not None:
        _check_tool_choice(request, request.tool_choice, spec)
    if request.response_format is not None:
        _check_format(request, spec)
    if request.thinking is not None:
        _check_thinking(request.thinking, spec)
    if request.stop_sequences and not spec.capabilities.stop_sequences:
        _mismatch(spec, "stop_sequences", "it stops at none; leave them out, or cut its answer yourself")
    if stream and not spec.capabilities.streaming:
        _mismatch(spec, "streaming", "it doesn't stream; use model/complete")
    messages = request.messages
    if not spec.capabilities.system_prompt and _has_system(request):
        _mismatch(spec, "system_prompt", "it takes no system prompt; put the instructions into the first user message")
    if not isinstance(messages, str):
        _check_content(messages, spec, checked, files)


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
    able = spec.capabilities
    if not able.forced_tool_choice:
        _mismatch(spec, "forced_tool_choice", "it can't be made to call a tool; use tool_choice auto and say so in the prompt")
    if able.tool_choices and choice.type not in able.tool_choices and (len(request.tools) > 1 or "tool" not in able.tool_choices):
        words = _either([word for word in able.tool_choices if word != "none"])
        _mismatch(spec, "tool_choices", f"it has no tool_choice {choice.type}; use {words}, or give a single tool")


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
    if request.tools and not spec.capabilities.structured_output_with_tools:
        _mismatch(spec, "structured_output_with_tools", "it takes tools or a schema, not both; make two requests of it")


# ---- thinking


def _check_thinking(thinking: Thinking, spec: ModelSpec) -> None:
    if thinking.mode == "off" or thinking.effort == "none":
        if not spec.capabilities.thinking_off:
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


def _check_content(messages: Sequence[Message], spec: ModelSpec, checked: int, files: Owners) -> None:
    kinds = _kinds(messages[checked:] if checked else messages)
    if kinds <= {TextBlock}:
        return
    if not spec.capabilities.tools and not kinds.isdisjoint(_TOOL_BLOCKS):
        _mismatch(spec, "tools", "it has no tools, and the history holds tool calls; choose a model that has them")
    if ToolResultBlock not in kinds and kinds.isdisjoint(_MEDIA):
        return
    for number, index, block in _blocks_but_text(messages, checked):
        if type(block) is ToolResultBlock:
            if not isinstance(block.content, str):
                _check_result(_path(number, index), block.content, spec, files)
        elif type(block) in _MEDIA:
            _check_media(_path(number, index), block, spec, files)


def _check_result(path: str, content: Sequence[ResultBlock], spec: ModelSpec, files: Owners) -> None:
    for number, block in enumerate(content):
        if type(block) not in _MEDIA:
            continue
        if not spec.capabilities.tool_result_media:
            what = _MEDIA[type(block)][2]
            _mismatch(spec, "tool_result_media", f"{path} holds {what}, and its tool results are text; describe it in words")
        _check_media(f"{path}.content[{number}]", block, spec, files)


def _check_media(path: str, block: Block | ResultBlock, spec: ModelSpec, files: Owners) -> None:
    assert isinstance(block, ImageBlock | AudioBlock | FileBlock)
    able = spec.capabilities
    capability, medium, what = _MEDIA[type(block)]
    if not getattr(able, capability):
        _mismatch(spec, capability, f"{path} holds {what}, which it doesn't take; leave it out, or choose a model that does")
    given, media_type = _given(block.source, block.media_type)
    if given == "file_id" and not able.file_ids:
        _mismatch(spec, "file_ids", f"{path} names an uploaded file, which it can't read; send the content as base64")
    if isinstance(block.source, FileIdSource) and (owner := owner_elsewhere(block.source, files, spec)) is not None:
        told = f"{path} names a file that {owner[:100]} keeps, and no other provider can read it"
        _mismatch(
            spec, "file_ids", f"{told}; give the file to {spec.provider} too with file/upload, or send its content as base64"
        )
    sources: list[str] = getattr(able, f"{medium}_sources")
    if sources and given not in sources:
        _mismatch(spec, f"{medium}_sources", f"{path} is given as {given}; it takes {what} as {_either(sources)}")
    types: list[str] = getattr(able, f"{medium}_media_types")
    if given == "base64" and types and media_type is not None and not _is_among(media_type, types):
        _mismatch(spec, f"{medium}_media_types", f"{path} is {media_type[:60]}; it takes {_either(types)}")


def _given(source: Source, media_type: str | None) -> tuple[str, str | None]:
    """How media are given, and what they are said to be. A data: URL holds its content, and its type."""
    if isinstance(source, FileIdSource):
        return "file_id", plain_media_type(media_type)
    if isinstance(source, Base64Source):
        return "base64", plain_media_type(media_type)
    inline = parse_data_url(source.url) if source.url[:5].lower() == "data:" else None
    return (
        ("url", plain_media_type(media_type)) if inline is None else ("base64", inline.media_type or plain_media_type(media_type))
    )


def _is_among(media_type: str, types: Sequence[str]) -> bool:
    return media_type in types or f"{media_type.partition('/')[0]}/*" in types


def _blocks_but_text(messages: Sequence[Message], start: int = 0) -> Iterator[tuple[int, int, Block]]:
    for number in range(start, len(messages)):
        message = messages[number]
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
