"""From the canonical request to the bytes of `generateContent`: the same request gives the same bytes.

https://ai.google.dev/api/generate-content (2026-11-20). Schemas go out as JSON Schema (`parametersJsonSchema`,
`responseJsonSchema`): the older `parameters` is a subset that refuses a request for one keyword it does not know.
"""

from typing import Any
from urllib.parse import quote

from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest, ResponseFormat, Tool, ToolChoice

from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import Encoded
from ..memory import Memory, filled, with_place
from ..notes import Notes
from .body import dump_body
from .contents import Conversation
from .options import NONE, GeminiOptions, parse_options
from .thinking import plan_thinking
from .types import ContentParam, GenerationConfig, RequestBody, SystemParam

_MODES = {"none": "NONE", "auto": "AUTO", "required": "ANY", "tool": "ANY"}


def encode_request(request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
    """A request for an answer. Raises ProviderFailure (`capability_mismatch`, `invalid_request`), each with a next step."""
    notes = Notes()
    options = parse_options(request, model)
    body, beginning = _prompt(request, model, notes, options, memory)
    if not model.quirks.prefill and _ends_with_answer(body):
        raise ProviderFailure("capability_mismatch", f"{model.id} can't go on with its own message; end with the user's")
    body.tool_config = _tool_config(request, options, model, notes)
    body.generation_config = _generation_config(request, options, model, notes)
    body.safety_settings = [{"category": one.category, "threshold": one.threshold} for one in options.safety_settings]
    body.service_tier, body.store = options.service_tier, options.store
    if options.cached_content is not None:
        _leave_to_cache(body, options.cached_content, notes)
    _note_cache(request, notes)
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return Encoded(f"{_resource(model)}:{method}", filled(dump_body(body), beginning), warnings=notes.warnings())


def encode_count(params: TokenCountParams, model: ModelSpec) -> Encoded:
    """A request for the number of input tokens. Raises as `encode_request`."""
    notes = Notes()
    request = CanonicalRequest(params.messages, system_prompt=params.system_prompt, tools=params.tools)
    body = encode_prompt(request, model, notes)
    body.model = model.wire_name if "/" in model.wire_name else f"models/{model.wire_name}"
    return Encoded(f"{_resource(model)}:countTokens", dump_body({"generateContentRequest": body}), warnings=notes.warnings())


def _resource(model: ModelSpec) -> str:
    """The path of a model; names that hold their collection (`tunedModels/x`) stay as they are."""
    name = quote(model.wire_name, safe="/@.-_~")
    return f"/{name}" if "/" in name else f"/models/{name}"


def encode_prompt(request: CanonicalRequest, model: ModelSpec, notes: Notes, *, may_be_empty: bool = False) -> RequestBody:
    """System prompt, tools and contents. Raises ProviderFailure as `encode_request`."""
    return _prompt(request, model, notes, may_be_empty=may_be_empty)[0]


def _prompt(
    request: CanonicalRequest,
    model: ModelSpec,
    notes: Notes,
    options: GeminiOptions = NONE,
    memory: Memory | None = None,
    *,
    may_be_empty: bool = False,
) -> tuple[RequestBody, list[bytes]]:
    """The body, and what is to be filled in at its place."""
    conversation = Conversation(model, notes)
    moves_system = model.quirks.system_role == "user"  # into the first words of the user
    conversation.add_all(request.messages, None if moves_system else memory)
    texts = [request.system_prompt, *conversation.system] if request.system_prompt else conversation.system
    system = "\n\n".join(text for text in texts if text)
    if system and moves_system:
        conversation.say_first(system)
    if not conversation.contents and not may_be_empty:
        raise ProviderFailure("invalid_request", "messages: nothing to send is left; give at least one user message with content")
    body = RequestBody(
        system_instruction=SystemParam([{"text": system}]) if system and not moves_system else None,
        tools=_tools(request.tools, options, model),
        contents=with_place(conversation.beginning, conversation.contents),
        continuation_token=conversation.continuation_token,
    )
    return body, conversation.beginning


def _ends_with_answer(body: RequestBody) -> bool:
    last = body.contents[-1] if body.contents else None
    return isinstance(last, ContentParam) and last.role == "model"


# ---- tools


def _tools(tools: list[Tool], options: GeminiOptions, model: ModelSpec) -> list[dict[str, Any]]:
    most = model.quirks.max_function_count
    if most is not None and len(tools) > most:
        raise ProviderFailure("capability_mismatch", f"tools: {model.id} takes {most} at most, not {len(tools)}; send fewer")
    declared = [_declaration(tool) for tool in tools]
    return [*options.server_tools, *([{"functionDeclarations": declared}] if declared else [])]


def _declaration(tool: Tool) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.description:
        declaration["description"] = tool.description
    schema = {key: value for key, value in tool.input_schema.items() if key != "$schema"}
    if "type" not in schema and not schema.keys() & {"anyOf", "oneOf", "allOf", "$ref"}:
        schema = {"type": "object", **schema}
    declaration["parametersJsonSchema"] = schema
    return declaration


def _tool_config(request: CanonicalRequest, options: GeminiOptions, model: ModelSpec, notes: Notes) -> dict[str, Any] | None:
    choice = request.tool_choice
    config = dict(options.tool_config or {})
    calling = _calling_config(choice, request, model) if choice is not None else None
    if choice is not None and choice.parallel is False and request.tools:
        notes.add("parameter_ignored", "this wire has no switch for parallel calls", "tool_choice.parallel")
    if calling is not None:
        config["functionCallingConfig"] = calling
    return config or None


def _calling_config(choice: ToolChoice, request: CanonicalRequest, model: ModelSpec) -> dict[str, Any] | None:
    forced = choice.type in ("required", "tool")
    if not request.tools:
        if forced:
            raise ProviderFailure("invalid_request", f"tool_choice: {choice.type} needs tools; give some, or leave it out")
        return None
    if choice.type == "tool" and all(tool.name != choice.name for tool in request.tools):
        raise ProviderFailure("invalid_request", "tool_choice.name names none of the tools; name one of them")
    if forced and not model.quirks.forced_tool_choice:
        raise ProviderFailure(
            "capability_mismatch",
            f"tool_choice: {model.id} can't be forced to call a tool; use auto and ask for it in the prompt",
        )
    config: dict[str, Any] = {"mode": _MODES[choice.type]}
    if choice.type == "tool":
        config["allowedFunctionNames"] = [choice.name]
    return config


# ---- parameters


def _generation_config(
    request: CanonicalRequest, options: GeminiOptions, model: ModelSpec, notes: Notes
) -> GenerationConfig | None:
    config = GenerationConfig(
        max_output_tokens=request.max_output_tokens,
        top_k=options.top_k,
        seed=options.seed,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        response_modalities=list(options.response_modalities) if options.response_modalities else None,
        media_resolution=options.media_resolution,
        speech_config=options.speech_config,
        image_config=options.image_config,
        thinking_config=plan_thinking(request, model, notes),
    )
    _add_sampling(config, request, model, notes)
    form = request.response_format
    if form is not None and form.type != "text":
        _add_format(config, form, request, model)
    return None if config == GenerationConfig() else config


def _add_sampling(config: GenerationConfig, request: CanonicalRequest, model: ModelSpec, notes: Notes) -> None:
    refused = model.quirks.sampling == "none"
    for name in ("temperature", "top_p"):
        if getattr(request, name) is not None and refused:
            notes.add("parameter_ignored", f"this model takes no {name}; it was left out", name)
    if not refused:
        config.temperature, config.top_p = request.temperature, request.top_p
    if request.stop_sequences and not model.quirks.stop:
        notes.add("parameter_ignored", "this model takes no stop sequences; they were left out", "stop_sequences")
    elif request.stop_sequences:
        config.stop_sequences = request.stop_sequences


def _add_format(config: GenerationConfig, form: ResponseFormat, request: CanonicalRequest, model: ModelSpec) -> None:
    if request.tools and not model.quirks.schema_with_tools:
        raise ProviderFailure(
            "capability_mismatch",
            f"response_format: {model.id} takes no tools beside it; leave one of them out, or use a newer model",
        )
    config.response_mime_type = "application/json"
    if form.type == "json_schema":
        if form.schema is None:
            raise ProviderFailure("invalid_request", "response_format.schema is missing; json_schema needs one")
        config.response_json_schema = {key: value for key, value in form.schema.items() if key != "$schema"}


# ---- caches


def _leave_to_cache(body: RequestBody, name: str, notes: Notes) -> None:
    """An explicit cache holds these already, and the API refuses them beside it."""
    body.cached_content = name
    for field, path in (("system_instruction", "system_prompt"), ("tools", "tools"), ("tool_config", "tool_choice")):
        if getattr(body, field):
            notes.add("parameter_ignored", "the named cache has system prompt, tools and tool choice of its own", path)
    body.system_instruction, body.tools, body.tool_config = None, [], None


def _note_cache(request: CanonicalRequest, notes: Notes) -> None:
    """Prefixes are cached without being asked; what can be chosen belongs to a cache that is made for itself."""
    cache = request.cache
    if cache is None:
        return
    if cache.mode == "off":
        notes.add("parameter_ignored", "the provider caches by itself; this wire has no switch for it", "cache.mode")
    elif cache.mode == "explicit":
        notes.add("parameter_ignored", "explicit caches are made apart and named in cached_content", "cache.mode")
    for name in ("ttl", "key"):
        if getattr(cache, name) is not None:
            notes.add("parameter_ignored", f"automatic caching has no {name}", f"cache.{name}")
