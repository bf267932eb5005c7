"""From the canonical request to the bytes of `/v1/messages`: the same request gives the same bytes.

What this wire can't say is refused before it is sent (`capability_mismatch`, with what to do instead), or left out with a
warning where the answer doesn't depend on it. `json_object` is refused: the API has no such mode, and an instruction in the
prompt would promise what it can't keep.
"""

from typing import Any, Final, cast

import msgspec

from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest, ResponseFormat, Tool
from modeld_protocol.usage import Warning

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import Encoded
from ..memory import Memory, filled, with_place
from .blocks import BlockEncoder
from .body import dump_body
from .cache import CachePlan
from .history import History
from .options import NONE, MessagesOptions, parse_options
from .reasoning import NO_SAMPLING_VERSION, PLAIN_VERSION, Reasoning, plan_reasoning, plan_sampling
from .types import OutputConfig, OutputFormat, RequestBody, RequestMetadata, ToolChoiceParam, ToolParam

MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
FILES_BETA = "files-api-2025-04-14"  # file ids before API 2026-10-21

_CHOICES: Final = {"none": "none", "auto": "auto", "required": "any", "tool": "tool"}


def encode(request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
    """A request for an answer. Raises ProviderFailure (`capability_mismatch`, `invalid_request`)."""
    options = parse_options(request, model)
    blocks = BlockEncoder(model, citations=options.citations)
    warnings = blocks.warnings
    history = _history(request, model, blocks, memory, citations=options.citations)
    reasoning = plan_reasoning(request, model, warnings)
    if reasoning.config and reasoning.config.type == "enabled" and history.open_call_without_thinking():
        # With a budget, a turn that waits for tool results must begin with thinking; this one was made without, or elsewhere.
        warnings.append(Warning("parameter_adjusted", "no thinking within a tool loop that began without it", "thinking"))
        reasoning.config, reasoning.active = None, False
    sampling = plan_sampling(request, options.top_k, model, reasoning, warnings)
    body = RequestBody(
        model.wire_name,
        reasoning.max_tokens,
        stream,
        tool_choice=_tool_choice(request, model, reasoning, options),
        thinking=reasoning.config,
        output_config=_output_config(request.response_format, reasoning.effort, warnings),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        stop_sequences=_stop_sequences(request, model, warnings),
        metadata=RequestMetadata(options.user_id) if options.user_id is not None else None,
        service_tier=options.service_tier,
        speed=options.speed,
        inference_geo=options.inference_geo,
        container=options.container,
        context_management=options.context_management,
        messages=history.messages,
    )
    plan = _fill_prefix(body, request, model, options, history)
    body.messages = with_place(history.beginning, history.messages)
    return Encoded(
        MESSAGES_PATH,
        filled(dump_body(body), history.beginning),
        _headers(model, options, blocks),
        [*warnings, *plan.warnings],
        cache_breakpoints=plan.markers,
        cache_ttl=plan.ttl if plan.markers else None,
    )


def encode_count(params: TokenCountParams, model: ModelSpec) -> Encoded:
    """A request for the number of input tokens. Raises as `encode`."""
    request = CanonicalRequest(params.messages, system_prompt=params.system_prompt, tools=params.tools)
    blocks = BlockEncoder(model)
    history = _history(request, model, blocks, prefill_matters=False)
    body = RequestBody(model.wire_name, messages=history.messages)
    _fill_prefix(body, request, model, NONE, history)
    return Encoded(COUNT_PATH, dump_body(body), _headers(model, NONE, blocks), blocks.warnings)


def api_headers(version: str | None = None) -> dict[str, str]:
    """The version header that every request needs."""
    return {"anthropic-version": version or PLAIN_VERSION}


# ---- messages, tools, system


def _history(
    request: CanonicalRequest,
    model: ModelSpec,
    blocks: BlockEncoder,
    memory: Memory | None = None,
    *,
    citations: bool = False,
    prefill_matters: bool = True,
) -> History:
    takes_marks = request.cache is not None and request.cache.mode == "explicit"
    history = History(blocks, takes_system=model.quirks.mid_conversation_system, takes_marks=takes_marks)
    history.add_all(request.messages, memory, citations=citations)
    if not history.messages:
        raise ProviderFailure("invalid_request", "messages: nothing to send is left; give at least one user message with content")
    if prefill_matters and not model.quirks.prefill and history.ends_with_prefill():
        raise ProviderFailure(
            "capability_mismatch",
            f"messages: {model.id} takes no beginning of its own answer; end with a user message, or use response_format",
        )
    return history


def _fill_prefix(
    body: RequestBody, request: CanonicalRequest, model: ModelSpec, options: MessagesOptions, history: History
) -> CachePlan:
    """Tools and system, which come before the messages, and the cache markers of all three."""
    plan = CachePlan(request.cache, model)
    tools = _tools_json(request.tools, model, options)
    if tools is not None:
        body.tools = msgspec.Raw(plan.mark_tools(tools))
    texts = [request.system_prompt, *history.system] if request.system_prompt else history.system
    system = "\n\n".join(texts)
    if system and not system.isspace():
        body.system = plan.mark_system(system)
    plan.mark_messages(history.messages, history.wanted_marks, history.before)
    return plan


def _tools_json(tools: list[Tool], model: ModelSpec, options: MessagesOptions) -> bytes | None:
    most = model.quirks.max_function_count
    if most is not None and len(tools) > most:
        raise ProviderFailure("capability_mismatch", f"tools: {model.id} takes {most} at most, not {len(tools)}; send fewer")
    if not tools and not options.server_tools:
        return None
    params: list[Any] = list(options.server_tools)
    for tool in tools:
        schema = tool.input_schema if "type" in tool.input_schema else {"type": "object", **tool.input_schema}
        params.append(ToolParam(tool.name, tool.description or None, schema, options.strict_tools))
    return dump_body(params)


def _tool_choice(
    request: CanonicalRequest, model: ModelSpec, reasoning: Reasoning, options: MessagesOptions
) -> ToolChoiceParam | None:
    choice = request.tool_choice
    if choice is None:
        return None
    forced = choice.type in ("required", "tool")
    if not request.tools and not options.server_tools:
        if forced:
            raise ProviderFailure("invalid_request", f"tool_choice: {choice.type} needs tools; give some, or leave it out")
        return None  # the API refuses a choice among nothing
    if choice.type == "tool" and not choice.name:
        raise ProviderFailure("invalid_request", "tool_choice.name: type tool needs the name of one of the tools")
    if forced and not model.quirks.forced_tool_choice:
        raise ProviderFailure(
            "capability_mismatch",
            f"tool_choice: {model.id} can't be forced to call a tool; use auto and ask for it in the prompt",
        )
    if forced and reasoning.active and not model.quirks.forced_tool_choice_with_thinking:
        raise ProviderFailure(
            "capability_mismatch", f"tool_choice: {model.id} can't be forced while it thinks; use auto, or turn thinking off"
        )
    param = ToolChoiceParam(cast("Any", _CHOICES[choice.type]), choice.name if choice.type == "tool" else None)
    param.disable_parallel_tool_use = choice.parallel is False and choice.type != "none"
    return param


# ---- output


def _output_config(form: ResponseFormat | None, effort: str | None, warnings: list[Warning]) -> OutputConfig | None:
    wanted: OutputFormat | None = None
    if form is not None and form.type == "json_object":
        raise ProviderFailure(
            "capability_mismatch", "response_format: this provider has no json_object mode; use json_schema with a schema"
        )
    if form is not None and form.type == "json_schema":
        if not form.schema:
            raise ProviderFailure("invalid_request", "response_format.schema: json_schema needs a schema; give one")
        closed = closed_schema(form.schema)
        if closed != form.schema:
            message = "objects were closed (additionalProperties: false), as structured output here requires"
            warnings.append(Warning("parameter_adjusted", message, "response_format.schema"))
        wanted = OutputFormat(cast("dict[str, Any]", closed))
    return OutputConfig(effort, wanted) if wanted or effort else None


_SCHEMA_MAPS = ("properties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf")


def closed_schema(schema: Any) -> Any:
    """A JSON Schema whose objects say `additionalProperties: false` unless they say something of their own.

    https://platform.claude.com/docs/en/build-with-claude/structured-outputs (2026-11-20)
    """
    if not isinstance(schema, dict):
        return schema
    found = dict(cast("dict[str, Any]", schema))
    for key in _SCHEMA_MAPS:
        if isinstance(found.get(key), dict):
            found[key] = {name: closed_schema(inner) for name, inner in found[key].items()}
    for key in _SCHEMA_LISTS:
        if isinstance(found.get(key), list):
            found[key] = [closed_schema(inner) for inner in found[key]]
    if "items" in found:
        found["items"] = closed_schema(found["items"])
    if found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


def _stop_sequences(request: CanonicalRequest, model: ModelSpec, warnings: list[Warning]) -> list[str]:
    if request.stop_sequences and not model.quirks.stop:
        warnings.append(Warning("parameter_ignored", "this model takes no stop sequences", "stop_sequences"))
        return []
    return request.stop_sequences


def _headers(model: ModelSpec, options: MessagesOptions, blocks: BlockEncoder) -> dict[str, str]:
    headers = api_headers(model.quirks.api_version)
    betas = [*options.betas, *options.required_betas()]
    if blocks.uses_file_ids and headers["anthropic-version"] < NO_SAMPLING_VERSION:
        betas.append(FILES_BETA)
    if betas:
        headers["anthropic-beta"] = ",".join(dict.fromkeys(betas))
    return headers
