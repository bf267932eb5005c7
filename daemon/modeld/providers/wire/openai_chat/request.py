"""A canonical request as Chat Completions bytes.

https://developers.openai.com/api/reference/resources/chat/subresources/completions/methods/create (2026-11-20). What a
model refuses is left out with a warning where the answer stays what was asked for, and refused where it would not.
"""

import re
from typing import Any

import msgspec

from modeld_protocol.request import CanonicalRequest, ResponseFormat, ToolChoice

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import Encoded
from .messages import encode_messages
from .notes import Notes
from .options import ChatOptions, parse_options
from .schemas import is_strict_schema, tool_schema
from .thinking import plan_thinking
from .types import ChatRequest, StreamOptions

PATH = "/chat/completions"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME_CHARS = 64
_encode_body = msgspec.json.Encoder().encode


def encode_request(request: CanonicalRequest, model: ModelSpec, *, stream: bool) -> Encoded:
    """Raises ProviderFailure (`capability_mismatch`, `invalid_request`), each with a next step."""
    notes = Notes()
    try:
        body = _encode_body(_build(request, model, notes, stream=stream))
    except UnicodeEncodeError:
        raise ProviderFailure("invalid_request", "a text holds half of a surrogate pair; send valid Unicode") from None
    except (TypeError, OverflowError, RecursionError) as error:
        raise ProviderFailure("invalid_request", f"a value can't be written as JSON ({error}); send plain JSON values") from None
    return Encoded(PATH, body, warnings=notes.warnings())


def _build(request: CanonicalRequest, model: ModelSpec, notes: Notes, *, stream: bool) -> ChatRequest:
    quirks = model.quirks
    options = parse_options(request, model)
    built = ChatRequest(model.wire_name, encode_messages(request, quirks, notes))
    if not quirks.prefill and built.messages and built.messages[-1].role == "assistant":
        raise ProviderFailure("capability_mismatch", f"{model.id} can't go on with its own message; end with the user's")
    plan = plan_thinking(request, model, notes)
    if plan.effort is not None:
        built.reasoning_effort = plan.effort
    _add_tools(built, request, model, notes, thinking=plan.active)
    _add_sampling(built, request, model, notes, thinking=plan.active)
    if request.response_format is not None and request.response_format.type != "text":
        built.response_format = _response_format(request.response_format)
    if request.max_output_tokens is not None:
        setattr(built, quirks.max_tokens_field, request.max_output_tokens)
    _add_cache(built, request, notes)
    _add_options(built, options, request)
    if stream:
        built.stream = True
        if quirks.stream_usage:
            built.stream_options = StreamOptions()
    return built


# ---- tools


def _add_tools(built: ChatRequest, request: CanonicalRequest, model: ModelSpec, notes: Notes, *, thinking: bool) -> None:
    choice = request.tool_choice
    if not request.tools:
        if choice is not None and choice.type in ("required", "tool"):
            raise ProviderFailure("invalid_request", f"tool_choice {choice.type} needs tools; give tools or leave it out")
        return
    most = model.quirks.max_function_count
    if most is not None and len(request.tools) > most:
        raise ProviderFailure("capability_mismatch", f"{model.id} takes {most} tools, not {len(request.tools)}; give fewer")
    built.tools = [_tool(tool.name, tool.description, tool.input_schema) for tool in request.tools]
    if choice is None:
        return
    built.tool_choice = _tool_choice(choice, request, model, notes, thinking=thinking)
    if choice.parallel is not None:
        built.parallel_tool_calls = choice.parallel


def _tool(name: str, description: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if description is not None:
        function["description"] = description
    function["parameters"] = tool_schema(schema)
    return {"type": "function", "function": function}


def _tool_choice(
    choice: ToolChoice, request: CanonicalRequest, model: ModelSpec, notes: Notes, *, thinking: bool
) -> str | dict[str, Any]:
    if choice.type in ("none", "auto"):
        return choice.type
    if choice.type == "tool" and not any(tool.name == choice.name for tool in request.tools):
        raise ProviderFailure("invalid_request", "tool_choice.name names none of the tools; name one of them")
    quirks = model.quirks
    if not quirks.forced_tool_choice or (thinking and not quirks.forced_tool_choice_with_thinking):
        notes.add("parameter_adjusted", "this model can't be made to call a tool; it is free to choose", "tool_choice")
        return "auto"
    return "required" if choice.type == "required" else {"type": "function", "function": {"name": choice.name}}


# ---- parameters


def _add_sampling(built: ChatRequest, request: CanonicalRequest, model: ModelSpec, notes: Notes, *, thinking: bool) -> None:
    quirks = model.quirks
    sampling = quirks.sampling
    refused = sampling == "none" or (thinking and (sampling == "without_reasoning" or not quirks.sampling_with_thinking))
    if request.temperature is not None:
        if refused:
            notes.add("parameter_ignored", "this model takes no temperature here; it was left out", "temperature")
        else:
            built.temperature = request.temperature
    if request.top_p is not None:
        if refused or (sampling == "one_of_two" and request.temperature is not None):
            notes.add("parameter_ignored", "this model takes no top_p here; it was left out", "top_p")
        else:
            built.top_p = request.top_p
    if request.stop_sequences:
        if quirks.stop:
            built.stop = request.stop_sequences
        else:
            notes.add("parameter_ignored", "this model takes no stop sequences; they were left out", "stop_sequences")


def _response_format(asked: ResponseFormat) -> dict[str, Any]:
    if asked.type == "json_object":
        return {"type": "json_object"}
    if asked.schema is None:
        raise ProviderFailure("invalid_request", "response_format.schema is missing; json_schema needs one")
    name = _NOT_IN_NAMES.sub("_", asked.name or "")[:_MAX_NAME_CHARS] or "output"
    named: dict[str, Any] = {"name": name, "schema": asked.schema}
    if is_strict_schema(asked.schema):
        named["strict"] = True
    return {"type": "json_schema", "json_schema": named}


def _add_cache(built: ChatRequest, request: CanonicalRequest, notes: Notes) -> None:
    """Prefixes are cached without being asked; a key keeps related requests together. There are no lifetimes to choose that
    match ours, and on most models no switch."""
    cache = request.cache
    if cache is None:
        return
    if cache.mode == "off":
        notes.add("parameter_ignored", "the provider caches by itself; this wire has no switch for it", "cache.mode")
    elif cache.key is not None:
        built.prompt_cache_key = cache.key
    if cache.ttl is not None:
        notes.add("parameter_ignored", "this wire has no such cache lifetimes", "cache.ttl")


def _add_options(built: ChatRequest, options: ChatOptions, request: CanonicalRequest) -> None:
    for name in ChatOptions.__struct_fields__:
        value = getattr(options, name)
        if value is not None:
            setattr(built, name, value)
    if options.store and request.metadata:
        built.metadata = {key: _metadata_text(value) for key, value in request.metadata.items()}


def _metadata_text(value: Any) -> str:
    """Values are text on this wire."""
    return value if isinstance(value, str) else _encode_body(value).decode()
