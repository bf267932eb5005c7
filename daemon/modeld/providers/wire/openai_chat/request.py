"""A canonical request as Chat Completions bytes.

https://developers.openai.com/api/reference/resources/chat/subresources/completions/methods/create (2026-11-20). What a
model refuses is left out with a warning where the answer stays what was asked for, and refused where it would not.
"""

from typing import Any

import msgspec

from modeld_protocol.request import CanonicalRequest, ResponseFormat

from ...failure import ProviderFailure
from ...spec import ModelSpec, Quirks
from ..contract import Encoded
from ..memory import Memory, filled, with_place
from ..notes import Notes
from ..openai_shared.parameters import (
    check_tools,
    encode_metadata,
    named_schema,
    plan_cache_key,
    plan_sampling,
    settle_tool_choice,
)
from ..openai_shared.schemas import tool_schema
from ..openai_shared.thinking import settle_thinking
from .cache_markers import Marked, mark, takes_markers
from .members import Members, merged
from .messages import History, encode_messages
from .options import ChatOptions, parse_options
from .replay import Replay, related
from .thinking import plan_chat_thinking
from .types import ChatMessage, ChatRequest, StreamOptions

PATH = "/chat/completions"
_encode_body = msgspec.json.Encoder().encode


def encode_request(request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
    """Raises ProviderFailure (`capability_mismatch`, `invalid_request`), each with a next step."""
    notes = Notes()
    try:
        body, marked = _encode(request, model, notes, memory, stream=stream)
    except UnicodeEncodeError:
        raise ProviderFailure("invalid_request", "a text holds half of a surrogate pair; send valid Unicode") from None
    except (TypeError, OverflowError, RecursionError) as error:
        raise ProviderFailure("invalid_request", f"a value can't be written as JSON ({error}); send plain JSON values") from None
    return Encoded(PATH, body, warnings=notes.warnings(), cache_breakpoints=marked.markers, cache_ttl=marked.ttl)


def _encode(
    request: CanonicalRequest, model: ModelSpec, notes: Notes, memory: Memory | None, *, stream: bool
) -> tuple[bytes, Marked]:
    quirks = model.quirks
    options = parse_options(request, model)
    request = settle_thinking(request, model, notes)
    plan = plan_chat_thinking(request, model, notes)
    replay = Replay(model, notes, active=plan.active, off=plan.off)
    history = encode_messages(request, quirks, notes, replay, None if _may_be_marked(request, model) else memory)
    messages = [*history.system, *history.messages]
    if messages and messages[-1].role == "assistant":
        messages[-1] = _prefill(messages[-1], model)
    built = ChatRequest(model.wire_name, messages)
    if plan.effort is not None:
        built.reasoning_effort = plan.effort
    _add_tools(built, request, model, thinking=plan.active)
    members = merged(_standing_members(request, quirks, built, stream=stream), plan.members)
    members = merged(members, _add_sampling(built, request, model, notes, thinking=plan.active))
    _add_format(built, request, model)
    _add_limit(built, request, quirks, notes)
    marked = _add_cache(built, history, request, model, notes)
    _add_options(built, options.plain, request)
    if stream:
        built.stream = True
        if quirks.stream_usage:
            built.stream_options = StreamOptions()
    members = merged(members, options.further)
    if history.beginning:
        built.messages = [*history.system, *with_place(history.beginning, messages[len(history.system) :])]
    body = _encode_body(built)
    if members:
        body = b"%b,%b" % (body[:-1], _encode_body(members)[1:])
    return filled(body, history.beginning), marked


def _may_be_marked(request: CanonicalRequest, model: ModelSpec) -> bool:
    """Whether messages of the history may get cache markers, which move on with every turn."""
    return request.cache is not None and request.cache.mode == "explicit" and takes_markers(request.cache, model)


def _prefill(last: ChatMessage, model: ModelSpec) -> ChatMessage:
    """The assistant's message that is to be continued, with the flag that says so."""
    if not model.quirks.prefill:
        raise ProviderFailure("capability_mismatch", f"{model.id} can't go on with its own message; end with the user's")
    if model.quirks.prefill_mark is None:
        return last
    marked = related(last)
    setattr(marked, model.quirks.prefill_mark, True)
    return marked


def _standing_members(request: CanonicalRequest, quirks: Quirks, built: ChatRequest, *, stream: bool) -> Members:
    """What the provider's quirks put into every request of this kind."""
    members = quirks.body
    asks_for_schema = request.response_format is not None and request.response_format.type != "text"
    if built.tools or asks_for_schema:
        members = merged(members, quirks.body_with_tools)
    if built.tools and stream:
        members = merged(members, quirks.body_with_streamed_tools)
    return members


# ---- tools


def _add_tools(built: ChatRequest, request: CanonicalRequest, model: ModelSpec, *, thinking: bool) -> None:
    if not check_tools(request, model):
        return
    quirks, choice = model.quirks, request.tool_choice
    settled = None if choice is None else settle_tool_choice(choice, request, model, thinking=thinking)
    if settled == "none" and "none" not in quirks.tool_choices:
        return  # without the word for it, no tools are the way not to have one called
    built.tools = [_tool(tool.name, tool.description, tool.input_schema, quirks) for tool in request.tools]
    if quirks.parallel_tool_calls is not None:
        built.parallel_tool_calls = quirks.parallel_tool_calls
    if choice is None:
        return
    name = choice.name or request.tools[0].name
    built.tool_choice = {"type": "function", "function": {"name": name}} if settled == "tool" else settled or "auto"
    if choice.parallel is not None:
        built.parallel_tool_calls = choice.parallel


def _tool(name: str, description: str | None, schema: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if description is not None:
        function["description"] = description
    if quirks.ignored_schema_keywords:
        schema = {keyword: value for keyword, value in schema.items() if keyword not in quirks.ignored_schema_keywords}
    function["parameters"] = tool_schema(schema)
    return {"type": "function", "function": function}


# ---- parameters


def _add_sampling(built: ChatRequest, request: CanonicalRequest, model: ModelSpec, notes: Notes, *, thinking: bool) -> Members:
    """Sets what the model takes, and returns what says the rest."""
    quirks = model.quirks
    sampling = plan_sampling(request, model, notes, thinking=thinking)
    if sampling.temperature is not None:
        built.temperature = _within(sampling.temperature, quirks.temperature_range, "temperature", notes)
    if sampling.top_p is not None:
        built.top_p = _within(sampling.top_p, quirks.top_p_range, "top_p", notes)
    if request.stop_sequences:
        _add_stop(built, request.stop_sequences, quirks, notes)
    is_greedy = sampling.temperature is not None and sampling.temperature <= 0 < quirks.temperature_range[0]
    return quirks.greedy if is_greedy else {}


def _within(value: float, bounds: tuple[float, float], name: str, notes: Notes) -> float:
    nearest = min(max(value, bounds[0]), bounds[1])
    if nearest == value:
        return value
    notes.add("parameter_adjusted", f"this model takes {name} from {bounds[0]:g} to {bounds[1]:g}; {nearest:g} was sent", name)
    return nearest


def _add_stop(built: ChatRequest, stops: list[str], quirks: Quirks, notes: Notes) -> None:
    if not quirks.stop:
        notes.add("parameter_ignored", "this model takes no stop sequences; they were left out", "stop_sequences")
        return
    longest, most = quirks.max_stop_bytes, quirks.max_stop_sequences
    taken = [stop for stop in stops if longest is None or len(stop.encode()) <= longest][:most]
    if len(taken) < len(stops):
        limits = [f"{most} stop sequences" if most else "", f"of up to {longest} bytes" if longest else ""]
        words = " ".join(filter(None, limits))
        notes.add("parameter_adjusted", f"this model takes {words}; {len(stops) - len(taken)} were left out", "stop_sequences")
    if taken:
        built.stop = taken


def _add_limit(built: ChatRequest, request: CanonicalRequest, quirks: Quirks, notes: Notes) -> None:
    limit = request.max_output_tokens
    if limit is None:
        return
    if limit < quirks.min_output_tokens:
        limit = quirks.min_output_tokens
        notes.add("parameter_adjusted", f"this model's output can't be limited below {limit} tokens", "max_output_tokens")
    setattr(built, quirks.max_tokens_field, limit)


def _add_format(built: ChatRequest, request: CanonicalRequest, model: ModelSpec) -> None:
    asked = request.response_format
    if asked is None or asked.type == "text":
        return
    if asked.type == "json_schema" and request.tools and not model.quirks.schema_with_tools:
        raise ProviderFailure(
            "capability_mismatch", f"{model.id} takes tools or a schema of the answer, not both; make two requests of it"
        )
    built.response_format = _response_format(asked)


def _response_format(asked: ResponseFormat) -> dict[str, Any]:
    if asked.type == "json_object":
        return {"type": "json_object"}
    found = named_schema(asked)
    named: dict[str, Any] = {"name": found.name, "schema": found.schema}
    if found.strict:
        named["strict"] = True
    return {"type": "json_schema", "json_schema": named}


def _add_cache(built: ChatRequest, history: History, request: CanonicalRequest, model: ModelSpec, notes: Notes) -> Marked:
    if takes_markers(request.cache, model):
        explicit = request.cache is not None and request.cache.mode == "explicit"
        tools_chars = len(_encode_body(built.tools)) if built.tools else 0
        if request.cache is not None and request.cache.key is not None:
            built.prompt_cache_key = request.cache.key
        return mark(built.messages, history.marked if explicit else [], tools_chars, request.cache, model, notes)
    key = plan_cache_key(request, notes)
    if key is not None:
        built.prompt_cache_key = key
    return Marked()


def _add_options(built: ChatRequest, options: ChatOptions, request: CanonicalRequest) -> None:
    for name in ChatOptions.__struct_fields__:
        value = getattr(options, name)
        if value is not None:
            setattr(built, name, value)
    if options.store and request.metadata:
        built.metadata = encode_metadata(request.metadata)
