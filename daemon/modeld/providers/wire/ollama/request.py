"""A canonical request as a body of `POST /api/chat`.

https://docs.ollama.com/api/chat (2026-11-20). What a model refuses is left out with a warning where the answer stays what was
asked for, and refused where it would not.
"""

from typing import Any

import msgspec

from modeld_protocol.request import CanonicalRequest, ResponseFormat, Tool, ToolChoice

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import Encoded
from ..memory import Memory, filled
from ..notes import Notes
from .messages import encode_messages
from .options import BESIDE, OllamaOptions, parse_options
from .thinking import encode_think
from .types import ChatRequest

PATH = "/api/chat"
_encode_body = msgspec.json.Encoder().encode


def encode_request(request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
    """Raises ProviderFailure (`capability_mismatch`, `invalid_request`), each with a next step."""
    notes = Notes()
    options = parse_options(request, model)
    try:
        built, beginning = _build(request, model, options, notes, memory, stream=stream)
        body = filled(_encode_body(built), beginning)
    except UnicodeEncodeError:
        raise ProviderFailure("invalid_request", "a text holds half of a surrogate pair; send valid Unicode") from None
    except (TypeError, OverflowError, RecursionError) as error:
        raise ProviderFailure("invalid_request", f"a value can't be written as JSON ({error}); send plain JSON values") from None
    return Encoded(PATH, body, warnings=notes.warnings(), window_tokens=_window(options, model))


def _window(options: OllamaOptions, model: ModelSpec) -> int | None:
    """The window that longer prompts are cut to; 0 where the server chooses it; None where it refuses them, as it was told to."""
    if options.truncate is False and options.shift is False:
        return None
    return options.num_ctx or model.limits.max_context_tokens or 0


def _build(
    request: CanonicalRequest, model: ModelSpec, options: OllamaOptions, notes: Notes, memory: Memory | None, *, stream: bool
) -> tuple[ChatRequest, list[bytes]]:
    """The body, and what is to be filled in at its place."""
    messages, beginning = encode_messages(request, model, notes, memory)
    built = ChatRequest(model.wire_name, messages)
    tools = _tools(request.tools, request.tool_choice, notes)
    if tools:
        built.tools = tools
    if request.response_format is not None and request.response_format.type != "text":
        built.format = _format(request.response_format)
    parameters = _parameters(request, model, options, notes)
    if parameters:
        built.options = parameters
    built.think = encode_think(request.thinking, model, notes)
    for name in BESIDE:
        value = getattr(options, name)
        if value is not None:
            setattr(built, name, value)
    built.stream = stream
    _note_cache(request, notes)
    return built, beginning


# ---- tools


def _tools(tools: list[Tool], choice: ToolChoice | None, notes: Notes) -> list[dict[str, Any]]:
    """The tools in the form of functions. There is no choice on this wire: `none` sends no tools."""
    if choice is not None:
        if choice.type in ("required", "tool"):
            if not tools:
                raise ProviderFailure("invalid_request", f"tool_choice {choice.type} needs tools; give tools or leave it out")
            raise ProviderFailure("capability_mismatch", "this wire can't make a model call a tool; use tool_choice auto")
        if choice.type == "none":
            return []
        if choice.parallel is False and tools:
            notes.add("parameter_ignored", "this wire has no switch for parallel calls", "tool_choice.parallel")
    return [_tool(tool) for tool in tools]


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    schema: dict[str, Any] = tool.input_schema
    if "type" not in schema:
        schema = {"type": "object", **schema}
    if "properties" not in schema:
        schema = {**schema, "properties": {}}  # the server writes null into the prompt for what is missing
    function["parameters"] = schema
    return {"type": "function", "function": function}


# ---- parameters


def _format(asked: ResponseFormat) -> Any:
    if asked.type == "json_object":
        return "json"
    if asked.schema is None:
        raise ProviderFailure("invalid_request", "response_format.schema is missing; json_schema needs one")
    return asked.schema


def _parameters(request: CanonicalRequest, model: ModelSpec, options: OllamaOptions, notes: Notes) -> dict[str, Any]:
    """`options` of the body. A context limit that the config sets is made true; the server has its own default otherwise."""
    found: dict[str, Any] = {}
    if model.limits.max_context_tokens is not None:
        found["num_ctx"] = model.limits.max_context_tokens
    for name in OllamaOptions.__struct_fields__:
        value = getattr(options, name)
        if value is not None and name not in BESIDE:
            found[name] = value
    if request.max_output_tokens is not None:
        found["num_predict"] = request.max_output_tokens
    if model.quirks.sampling == "none":
        _note_sampling(request, notes)
    else:
        if request.temperature is not None:
            found["temperature"] = request.temperature
        if request.top_p is not None:
            found["top_p"] = request.top_p
    if request.stop_sequences:
        if model.quirks.stop:
            found["stop"] = request.stop_sequences
        else:
            notes.add("parameter_ignored", "this model takes no stop sequences; they were left out", "stop_sequences")
    return found


def _note_sampling(request: CanonicalRequest, notes: Notes) -> None:
    for name in ("temperature", "top_p"):
        if getattr(request, name) is not None:
            notes.add("parameter_ignored", f"this model takes no {name}; it was left out", name)


def _note_cache(request: CanonicalRequest, notes: Notes) -> None:
    """The server keeps the prompt of each slot in memory by itself."""
    cache = request.cache
    if cache is None:
        return
    if cache.mode == "off":
        notes.add("parameter_ignored", "the server keeps prompts in memory by itself; it has no switch for it", "cache.mode")
    if cache.ttl is not None:
        notes.add("parameter_ignored", "the server has no such lifetimes; keep_alive is the model's own", "cache.ttl")
    if cache.key is not None:
        notes.add("parameter_ignored", "the server has no keys of prompts", "cache.key")
