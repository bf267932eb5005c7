"""A canonical request as Responses bytes.

https://developers.openai.com/api/reference/resources/responses/methods/create (2026-11-20). What a model refuses is left out
with a warning where the answer stays what was asked for, and refused where it would not.
"""

from typing import Any

from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest, ResponseFormat, Tool

from ...failure import ProviderFailure
from ...spec import ModelSpec
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
from ..openai_shared.schemas import is_strict_schema, tool_schema
from ..openai_shared.thinking import plan_thinking, settle_thinking
from .body import dump_body
from .history import InputEncoder
from .options import ResponsesOptions, parse_options
from .types import MessageItem, ResponsesRequest

PATH = "/responses"
COUNT_PATH = "/responses/input_tokens"
MIN_OUTPUT_TOKENS = 16  # less is refused
_ENCRYPTED_REASONING = "reasoning.encrypted_content"
_PLAIN_OPTIONS = (
    *("previous_response_id", "conversation", "service_tier", "truncation", "max_tool_calls", "context_management"),
    *("user", "safety_identifier"),
)


def encode_request(request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
    """Raises ProviderFailure (`capability_mismatch`, `invalid_request`), each with a next step."""
    notes = Notes()
    built, beginning = _build(request, model, notes, memory, stream=stream)
    return Encoded(PATH, filled(dump_body(built), beginning), warnings=notes.warnings())


def encode_count(params: TokenCountParams, model: ModelSpec) -> Encoded:
    """The token count of a prompt. Raises ProviderFailure as above."""
    notes = Notes()
    instructions, _, items = InputEncoder(model, notes).encode(params.system_prompt, params.messages)
    built = ResponsesRequest(model.wire_name, items)
    if instructions:
        built.instructions = instructions
    if params.tools:
        built.tools = [_tool(tool, strict=False) for tool in params.tools]
    return Encoded(COUNT_PATH, dump_body(built), warnings=notes.warnings())


def _build(
    request: CanonicalRequest, model: ModelSpec, notes: Notes, memory: Memory | None, *, stream: bool
) -> tuple[ResponsesRequest, list[bytes]]:
    """The body, and what is to be filled in at its place."""
    options = parse_options(request, model)
    request = settle_thinking(request, model, notes)
    encoder = InputEncoder(model, notes, stored=options.store)
    instructions, beginning, items = encoder.encode(request.system_prompt, request.messages, memory)
    built = ResponsesRequest(model.wire_name, with_place(beginning, items))
    _add_instructions(built, instructions, request, model)
    if not model.quirks.prefill and items and isinstance(items[-1], MessageItem) and items[-1].role == "assistant":
        raise ProviderFailure("capability_mismatch", f"{model.id} can't go on with its own message; end with the user's")
    thinking = _add_reasoning(built, request, options, model, notes)
    _add_tools(built, request, options, model, thinking=thinking)
    _add_sampling(built, request, model, notes, thinking=thinking)
    _add_text(built, request.response_format, options)
    _add_limit(built, request.max_output_tokens, notes)
    key = plan_cache_key(request, notes)
    if key is not None:
        built.prompt_cache_key = key
    _add_options(built, request, options, model)
    if stream:
        built.stream = True
    return built, beginning


def _add_instructions(built: ResponsesRequest, instructions: str, request: CanonicalRequest, model: ModelSpec) -> None:
    """JSON mode wants the word JSON within the input, and an input must not be empty: there the system prompt is an item."""
    if not instructions:
        return
    json_mode = request.response_format is not None and request.response_format.type == "json_object"
    if json_mode or not built.input:
        built.input.insert(0, MessageItem(model.quirks.system_role, instructions))
    else:
        built.instructions = instructions


# ---- reasoning


def _add_reasoning(
    built: ResponsesRequest, request: CanonicalRequest, options: ResponsesOptions, model: ModelSpec, notes: Notes
) -> bool:
    """Effort and summary, and with them the state that a provider without a memory needs. Returns whether the model will
    think. Summaries come only where they are asked for: some models give them to verified organisations alone, and refuse
    the whole request otherwise."""
    plan = plan_thinking(request, model, notes)
    display = request.thinking.display if request.thinking is not None else None
    summary = options.reasoning_summary or ("auto" if (display or model.quirks.display) == "summarized" else None)
    wanted = {
        "effort": plan.effort,
        "summary": summary if plan.active else None,
        "context": options.reasoning_context,
        "mode": options.reasoning_mode,
    }
    reasoning = {name: value for name, value in wanted.items() if value is not None}
    if reasoning:
        built.reasoning = reasoning
    return plan.active


# ---- tools


def _add_tools(
    built: ResponsesRequest,
    request: CanonicalRequest,
    options: ResponsesOptions,
    model: ModelSpec,
    *,
    thinking: bool,
) -> None:
    offered = check_tools(request, model)
    tools = [*options.server_tools, *(_tool(tool, strict=options.strict_tools) for tool in request.tools)]
    if tools:
        built.tools = tools
    choice = request.tool_choice
    if choice is None or not offered:
        return
    settled = settle_tool_choice(choice, request, model, thinking=thinking)
    name = choice.name or request.tools[0].name
    built.tool_choice = {"type": "function", "name": name} if settled == "tool" else settled
    if choice.parallel is not None:
        built.parallel_tool_calls = choice.parallel


def _tool(tool: Tool, *, strict: bool) -> dict[str, Any]:
    """`strict` is always said: left out, the provider would rewrite the schema to be strict where it can."""
    schema = tool_schema(tool.input_schema)
    described: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        described["description"] = tool.description
    return {**described, "parameters": schema, "strict": strict and is_strict_schema(schema)}


# ---- parameters


def _add_sampling(built: ResponsesRequest, request: CanonicalRequest, model: ModelSpec, notes: Notes, *, thinking: bool) -> None:
    sampling = plan_sampling(request, model, notes, thinking=thinking)
    if sampling.temperature is not None:
        built.temperature = sampling.temperature
    if sampling.top_p is not None:
        built.top_p = sampling.top_p
    if request.stop_sequences:
        notes.add("parameter_ignored", "this wire has no stop sequences; they were left out", "stop_sequences")


def _add_text(built: ResponsesRequest, asked: ResponseFormat | None, options: ResponsesOptions) -> None:
    text: dict[str, Any] = {}
    if asked is not None and asked.type == "json_object":
        text["format"] = {"type": "json_object"}
    elif asked is not None and asked.type == "json_schema":
        text["format"] = {"type": "json_schema", **named_schema(asked)._asdict()}
    if options.verbosity is not None:
        text["verbosity"] = options.verbosity
    if text:
        built.text = text


def _add_limit(built: ResponsesRequest, limit: int | None, notes: Notes) -> None:
    if limit is None:
        return
    if limit < MIN_OUTPUT_TOKENS:
        message = f"this wire takes no limit below {MIN_OUTPUT_TOKENS}; {MIN_OUTPUT_TOKENS} is sent"
        notes.add("parameter_adjusted", message, "max_output_tokens")
    built.max_output_tokens = max(limit, MIN_OUTPUT_TOKENS)


def _add_options(built: ResponsesRequest, request: CanonicalRequest, options: ResponsesOptions, model: ModelSpec) -> None:
    built.store = options.store
    # Models that don't reason refuse to be asked for their reasoning.
    include = [_ENCRYPTED_REASONING] if model.quirks.thinking != "none" else []
    include += [name for name in options.include if name not in include]
    if include:
        built.include = include
    for name in _PLAIN_OPTIONS:
        value = getattr(options, name)
        if value is not None:
            setattr(built, name, value)
    if options.store and request.metadata:
        built.metadata = encode_metadata(request.metadata)
