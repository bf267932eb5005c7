"""A canonical request as Chat Completions bytes.

https://developers.openai.com/api/reference/resources/chat/subresources/completions/methods/create (2026-11-20). What a
model refuses is left out with a warning where the answer stays what was asked for, and refused where it would not.
"""

from typing import Any

import msgspec

from modeld_protocol.request import CanonicalRequest, ResponseFormat

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import Encoded
from ..openai_shared.notes import Notes
from ..openai_shared.parameters import (
    check_tools,
    encode_metadata,
    named_schema,
    plan_cache_key,
    plan_sampling,
    settle_tool_choice,
)
from ..openai_shared.schemas import tool_schema
from ..openai_shared.thinking import plan_thinking
from .messages import encode_messages
from .options import ChatOptions, parse_options
from .types import ChatRequest, StreamOptions

PATH = "/chat/completions"
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
    if request.thinking is not None and request.thinking.display is not None and quirks.thinking == "effort":
        notes.add("parameter_ignored", "this wire has no switch for the display of reasoning", "thinking.display")
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
    if not check_tools(request, model):
        return
    built.tools = [_tool(tool.name, tool.description, tool.input_schema) for tool in request.tools]
    choice = request.tool_choice
    if choice is None:
        return
    settled = settle_tool_choice(choice, request, model, notes, thinking=thinking)
    built.tool_choice = {"type": "function", "function": {"name": choice.name}} if settled == "tool" else settled
    if choice.parallel is not None:
        built.parallel_tool_calls = choice.parallel


def _tool(name: str, description: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if description is not None:
        function["description"] = description
    function["parameters"] = tool_schema(schema)
    return {"type": "function", "function": function}


# ---- parameters


def _add_sampling(built: ChatRequest, request: CanonicalRequest, model: ModelSpec, notes: Notes, *, thinking: bool) -> None:
    sampling = plan_sampling(request, model, notes, thinking=thinking)
    if sampling.temperature is not None:
        built.temperature = sampling.temperature
    if sampling.top_p is not None:
        built.top_p = sampling.top_p
    if request.stop_sequences:
        if model.quirks.stop:
            built.stop = request.stop_sequences
        else:
            notes.add("parameter_ignored", "this model takes no stop sequences; they were left out", "stop_sequences")


def _response_format(asked: ResponseFormat) -> dict[str, Any]:
    if asked.type == "json_object":
        return {"type": "json_object"}
    found = named_schema(asked)
    named: dict[str, Any] = {"name": found.name, "schema": found.schema}
    if found.strict:
        named["strict"] = True
    return {"type": "json_schema", "json_schema": named}


def _add_cache(built: ChatRequest, request: CanonicalRequest, notes: Notes) -> None:
    key = plan_cache_key(request, notes)
    if key is not None:
        built.prompt_cache_key = key


def _add_options(built: ChatRequest, options: ChatOptions, request: CanonicalRequest) -> None:
    for name in ChatOptions.__struct_fields__:
        value = getattr(options, name)
        if value is not None:
            setattr(built, name, value)
    if options.store and request.metadata:
        built.metadata = encode_metadata(request.metadata)
