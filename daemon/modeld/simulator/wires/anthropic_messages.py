"""Anthropic Messages as its server speaks it (platform.claude.com/docs/en/api/messages, read 2026-11-20)."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast
from urllib.parse import parse_qs, unquote

import msgspec

from ..ask import Ask, Call, OfferedTool, Refused
from ..script import (
    RedactedThinkingStep,
    RefusalStep,
    Script,
    Step,
    Stop,
    TextStep,
    ThinkingStep,
    ToolCallStep,
)
from .contract import (
    Failure,
    Frame,
    Kind,
    Operation,
    Peek,
    Rendered,
    Stamp,
    credential_of,
    encode_json,
    estimate_tokens,
    peek_body,
    refused_fields,
)

_STATUS: dict[Kind, tuple[int, str]] = {
    "rate_limit": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "server_error": (500, "api_error"),
    "bad_request": (400, "invalid_request_error"),
    "auth": (401, "authentication_error"),
    "forbidden": (403, "permission_error"),
    "not_found": (404, "not_found_error"),
    "route_not_found": (404, "not_found_error"),
    "unprocessable": (422, "invalid_request_error"),
    "too_large": (413, "request_too_large"),
    "quota": (400, "invalid_request_error"),
    "context_overflow": (400, "invalid_request_error"),
    "content_filter": (400, "invalid_request_error"),
}
_WORDING: dict[Kind, str] = {
    "rate_limit": "This request would exceed your organization's rate limit. Please try again later.",
    "overloaded": "Overloaded",
    "server_error": "Internal server error",
    "bad_request": "messages: Input should be a valid list",
    "auth": "invalid x-api-key",
    "forbidden": "Your API key does not have permission to use the specified resource.",
    "not_found": "model: {model}",
    "route_not_found": "Not Found",
    "unprocessable": "The request is well formed but cannot be processed.",
    "too_large": "Request exceeds the maximum size",
    "quota": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to purchase credits.",
    "context_overflow": "prompt is too long: 250000 tokens > 200000 maximum",
    "content_filter": "Output blocked by content filtering policy",
}
_STOPS: dict[Stop, str] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}
# Everything the endpoint knows in either API version; anything else is refused as an extra input.
_FIELDS = frozenset(
    (
        *("max_tokens", "messages", "model", "stop_sequences", "stream", "system", "temperature", "thinking", "tool_choice"),
        *("tools", "top_k", "top_p", "cache_control", "container", "diagnostics", "inference_geo", "metadata"),
        *("output_config", "output_format", "service_tier", "speed", "user_profile_id", "workspace_id", "billing_policy"),
        *("compaction", "context_management", "fallback_credit_token", "fallbacks", "mcp_servers", "thread"),
    )
)
_CHOICES = {"any": "required", "tool": "required", "none": "none", "auto": "auto"}
_SAMPLING = ("temperature", "top_p", "top_k")
_TOOL_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
_OWN_SIGNATURE = b"modeld-sim:"

Json = dict[str, Any]


def sign_thinking(text: str) -> str:
    """A signature that the simulator can check when the block comes back, as the real API does with its own."""
    return base64.b64encode(_OWN_SIGNATURE + hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()).decode()


class _AnthropicMessages:
    name = "anthropic-messages"
    title = "Anthropic Messages"
    framing = "sse"
    example_base_path = ""
    adapter_type = "anthropic"

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
        if path == "/v1/messages" and method == "POST":
            return "generate"
        if path == "/v1/messages/count_tokens" and method == "POST":
            return "count_tokens"
        # The path is also OpenAI's: the version header tells them apart.
        if "anthropic-version" in headers and method == "GET" and path.startswith("/v1/models"):
            return "list_models" if path == "/v1/models" else "get_model"
        return None

    def peek(self, call: Call) -> Peek | None:
        return peek_body(call.body)

    def read(self, call: Call, *, require_key: bool, refuse: Mapping[str, Sequence[str]]) -> Ask:
        body = _checked_body(call, require_key=require_key)
        model = str(body["model"])
        if not isinstance(body.get("max_tokens"), int):
            raise Refused("bad_request", "max_tokens: Field required")
        _check_fields(body, call.headers, refused_fields(refuse, model) - {"max_tokens"})
        _check_thinking(body)
        return _ask_of(body)

    def frames(self, script: Script, ask: Ask, stamp: Stamp) -> list[Frame]:
        frames = [_event("message_start", {"message": _message_head(script, ask, stamp)})]
        for index, step in enumerate(_blocks(script)):
            frames += _block_frames(step, index, stamp)
            if index == 0:
                frames.append(_event("ping", {}))
        delta = {"delta": _ending(script), "usage": _usage(script, ask, script.output_tokens())}
        if "no_usage" in script.irregular:
            del delta["usage"]
        frames += [_event("message_delta", delta)] * (2 if "duplicate_finish" in script.irregular else 1)
        if "no_end_marker" not in script.irregular:
            frames.append(_event("message_stop", {})._replace(end=True))
        return frames

    def whole(self, script: Script, ask: Ask, stamp: Stamp) -> bytes:
        message = _message_head(script, ask, stamp)
        message["content"] = [_whole_block(step, index, stamp) for index, step in enumerate(_blocks(script))]
        message.update(_ending(script))
        if "no_usage" not in script.irregular:
            message["usage"] = _usage(script, ask, script.output_tokens())
        return encode_json(message)

    def failure(self, failure: Failure, ask: Ask | None, request_id: str) -> Rendered:
        status, body = _failure_body(failure, ask, request_id)
        retry = status in (408, 409, 429) or status >= 500
        headers = [("request-id", request_id), ("x-should-retry", "true" if retry else "false")]
        return Rendered(status, encode_json(body), headers)

    def failure_frame(self, failure: Failure, request_id: str) -> Frame:
        return Frame("error", encode_json(_failure_body(failure, None, request_id)[1]))

    def noise(self) -> Frame:
        return _event("simulated_unknown", {"index": 0, "delta": {"type": "simulated_delta", "x": 1}})

    def keep_alive(self) -> bytes:
        return b'event: ping\ndata: {"type": "ping"}\n\n'

    def head(self, request_id: str) -> list[tuple[str, str]]:
        return [("request-id", request_id), ("anthropic-ratelimit-requests-remaining", "999")]

    def count(self, call: Call, *, require_key: bool) -> Rendered:
        body = _checked_body(call, require_key=require_key)
        return Rendered(200, encode_json({"input_tokens": _input_tokens(body)}))

    def models(self, call: Call, names: Sequence[str]) -> Rendered:
        one = unquote(call.path.removeprefix("/v1/models").strip("/"))
        if one:
            if one not in names:
                raise Refused("not_found", f"model: {one}")
            return Rendered(200, encode_json(_model_info(one)))
        query = parse_qs(call.query)
        start = names.index(query["after_id"][0]) + 1 if query.get("after_id", [""])[0] in names else 0
        limit = query.get("limit", ["20"])[0]
        page = names[start : start + (int(limit) if limit.isdigit() else 20)]
        first, last = (page[0], page[-1]) if page else (None, None)
        more = bool(page) and page[-1] != names[-1]
        listed = {"data": [_model_info(name) for name in page], "has_more": more, "first_id": first, "last_id": last}
        return Rendered(200, encode_json(listed))


WIRE = _AnthropicMessages()


# ---- answers


def _event(kind: str, fields: Json, *, content: bool = False) -> Frame:
    return Frame(kind, encode_json({"type": kind, **fields}), content)


def _blocks(script: Script) -> list[Step]:
    """The steps that become content blocks; a refusal is a way to stop here."""
    return [step for step in script.plain_steps() if not isinstance(step, RefusalStep)]


def _message_head(script: Script, ask: Ask, stamp: Stamp) -> Json:
    head: Json = {
        "model": ask.model,
        "id": f"msg_{stamp.id}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }
    if "no_usage" not in script.irregular:
        head["usage"] = _usage(script, ask, 1)
    return head


def _usage(script: Script, ask: Ask, output: int) -> Json:
    usage = script.usage
    reported: Json = {
        "input_tokens": ask.input_tokens if usage.input is None else usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }
    reasoning = script.reasoning_tokens()
    if reasoning and output > 1:
        reported["output_tokens_details"] = {"thinking_tokens": reasoning}
    return reported


def _ending(script: Script) -> Json:
    stop = script.stop_reason()
    ending: Json = {"stop_reason": _STOPS[stop], "stop_sequence": None}
    if stop == "stop_sequence":
        ending["stop_sequence"] = script.stop_sequence
    if stop in ("refusal", "content_filter"):
        step = next((one for one in script.plain_steps() if isinstance(one, RefusalStep)), RefusalStep())
        ending["stop_details"] = {"type": "refusal", "category": step.category, "explanation": step.text}
    return ending


def _call_id(step: ToolCallStep, index: int, stamp: Stamp) -> str:
    return step.id or stamp.numbered("toolu_", index)


def _start_block(step: Step, index: int, stamp: Stamp) -> Json:
    match step:
        case TextStep():
            return {"type": "text", "text": ""}
        case ThinkingStep():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case RedactedThinkingStep():
            return {"type": "redacted_thinking", "data": step.data}
        case ToolCallStep():
            return {"type": "tool_use", "id": _call_id(step, index, stamp), "name": step.name, "input": {}}
        case RefusalStep():
            return {}


def _whole_block(step: Step, index: int, stamp: Stamp) -> Json:
    block = _start_block(step, index, stamp)
    match step:
        case TextStep():
            block["text"] = "".join(step.chunks())
        case ThinkingStep():
            block["thinking"] = "".join(step.chunks())
            block["signature"] = step.signature or sign_thinking(block["thinking"])
        case ToolCallStep():
            block["input"] = _object_or_empty(step)
        case _:
            pass
    return block


def _object_or_empty(step: ToolCallStep) -> Json:
    """The arguments as the object that this wire demands; what doesn't parse is an empty one."""
    try:
        return msgspec.json.decode(step.arguments() or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _block_frames(step: Step, index: int, stamp: Stamp) -> list[Frame]:
    start = _event("content_block_start", {"index": index, "content_block": _start_block(step, index, stamp)})
    stop = _event("content_block_stop", {"index": index})
    match step:
        case TextStep():
            deltas = _delta_frames(index, "text_delta", "text", step.chunks())
        case ThinkingStep():
            signature = step.signature or sign_thinking("".join(step.chunks()))
            deltas = _delta_frames(index, "thinking_delta", "thinking", step.chunks())
            deltas += _delta_frames(index, "signature_delta", "signature", [signature])
        case ToolCallStep():
            deltas = _delta_frames(index, "input_json_delta", "partial_json", ["", *step.pieces()])
        case _:
            deltas = []
    return [start, *deltas, stop]


def _delta_frames(index: int, kind: str, field: str, pieces: Sequence[str]) -> list[Frame]:
    """One frame for each piece, from a template: long answers are mostly these."""
    before = b'{"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":' % (index, kind.encode(), field.encode())
    encode = msgspec.json.encode
    return [Frame("content_block_delta", before + encode(piece) + b"}}", content=True) for piece in pieces]


def _failure_body(failure: Failure, ask: Ask | None, request_id: str) -> tuple[int, Json]:
    status, kind = _STATUS[failure.kind]
    message = failure.message or _WORDING[failure.kind].replace("{model}", ask.model if ask else "unknown")
    error = {"type": kind, "message": message}
    return failure.status or status, {"type": "error", "error": error, "request_id": request_id}


def _model_info(name: str) -> Json:
    return {
        "type": "model",
        "id": name,
        "display_name": f"Simulated {name}",
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


# ---- requests


def _checked_body(call: Call, *, require_key: bool) -> Json:
    """What every operation demands: a key, a version, JSON, a model, messages that pair up."""
    if require_key and credential_of(call.headers) is None:
        raise Refused("auth", "x-api-key header is required")
    if "anthropic-version" not in call.headers:
        raise Refused("bad_request", "anthropic-version: header is required")
    try:
        body = msgspec.json.decode(call.body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused("bad_request", f"The request body is not valid JSON: {error}") from None
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refused("bad_request", "model: Field required")
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refused("bad_request", "messages: Field required")
    if not messages:
        raise Refused("bad_request", "messages: at least one message is required")
    _check_messages(cast("list[Any]", messages))
    _check_tools(body)
    return body


def _content(message: Json) -> list[Json]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else cast("list[Json]", content or [])


def _ids(message: Json, kind: str, field: str) -> list[str]:
    return [str(block.get(field)) for block in _content(message) if block.get("type") == kind]


def _check_messages(messages: list[Any]) -> None:
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or cast(Json, message).get("role") not in ("user", "assistant", "system"):
            raise Refused("bad_request", f"messages.{index}.role: Input should be 'user' or 'assistant'")
        _check_content(cast(Json, message), index)
        role = cast(Json, message)["role"]
        results = _ids(cast(Json, message), "tool_result", "tool_use_id") if role == "user" else []
        unexpected = [one for one in results if one not in open_calls]
        if unexpected:
            raise Refused(
                "bad_request",
                f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {unexpected[0]}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
            )
        missing = [one for one in open_calls if one not in results]
        if missing:
            _refuse_unanswered(index - 1, missing)
        open_calls = _ids(cast(Json, message), "tool_use", "id") if role == "assistant" else []
    if open_calls:
        _refuse_unanswered(len(messages) - 1, open_calls)


def _refuse_unanswered(index: int, missing: list[str]) -> NoReturn:
    raise Refused(
        "bad_request",
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. "
        "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
    )


def _check_content(message: Json, index: int) -> None:
    content = message.get("content")
    if content is None or content == "" or (content == [] and message["role"] == "user"):
        raise Refused("bad_request", f"messages.{index}: user messages must have non-empty content")
    if not isinstance(content, str | list):
        raise Refused("bad_request", f"messages.{index}.content: Input should be a valid list")
    for place, block in enumerate(_content(message)):
        where = f"messages.{index}.content.{place}"
        problem = _block_problem(block)
        if problem is not None:
            raise Refused("bad_request", f"{where}{problem}")


def _block_problem(block: Any) -> str | None:  # noqa: PLR0911 - a table of block types
    """What is wrong with one block, as the end of a sentence that begins with its place."""
    if not isinstance(block, dict) or not isinstance(cast(Json, block).get("type"), str):
        return ".type: Field required"
    one = cast(Json, block)
    match one["type"]:
        case "text":
            return ": text content blocks must be non-empty" if not one.get("text") else None
        case "tool_use":
            if not _TOOL_ID.match(str(one.get("id", ""))):
                return ".tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
            return None if isinstance(one.get("input"), dict) else ".tool_use.input: Input should be a valid dictionary"
        case "tool_result":
            return None if one.get("tool_use_id") else ".tool_result.tool_use_id: Field required"
        case "thinking":
            return _signature_problem(one)
        case _:
            return None


def _signature_problem(block: Json) -> str | None:
    signature = block.get("signature")
    if not isinstance(signature, str) or not signature:
        return ".thinking.signature: Field required"
    try:
        own = base64.b64decode(signature, validate=True).startswith(_OWN_SIGNATURE)
    except ValueError:
        return ": Invalid `signature` in `thinking` block"
    # A signature that the simulator didn't make comes from somebody's script and is taken as it is.
    if own and signature != sign_thinking(str(block.get("thinking", ""))):
        return ": Invalid `signature` in `thinking` block"
    return None


def _check_tools(body: Json) -> None:
    tools = cast("list[Json]", body.get("tools") or [])
    names: list[str] = []
    for index, tool in enumerate(tools):
        if not isinstance(tool.get("name"), str):
            raise Refused("bad_request", f"tools.{index}.name: Field required")
        if tool.get("type", "custom") == "custom" and not isinstance(tool.get("input_schema"), dict):
            raise Refused("bad_request", f"tools.{index}.custom.input_schema: Field required")
        names.append(tool["name"])
    if len(set(names)) != len(names):
        raise Refused("bad_request", "tools: Tool names must be unique.")
    choice = cast(Json, body.get("tool_choice") or {})
    if choice.get("type") in ("any", "tool") and not tools:
        raise Refused("bad_request", "tool_choice may only be specified while providing tools")
    if choice.get("type") == "tool" and choice.get("name") not in names:
        raise Refused("bad_request", f"Tool '{choice.get('name')}' not found in provided tools")


def _check_fields(body: Json, headers: Mapping[str, str], refused: frozenset[str]) -> None:
    for name in body:
        if name not in _FIELDS or (name in _SAMPLING and headers.get("anthropic-version", "") >= "2026-10-21"):
            raise Refused("bad_request", f"{name}: Extra inputs are not permitted", param=name)
        if name in refused:
            raise Refused("bad_request", f"`{name}` is not supported by this model.", param=name)
    temperature = body.get("temperature")
    if isinstance(temperature, int | float) and not 0 <= temperature <= 1:
        raise Refused("bad_request", "temperature: range: 0..1")
    marks = _cache_marks(body)
    if marks > 4:
        raise Refused("bad_request", f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")


def _cache_marks(body: Json) -> int:
    blocks: list[Any] = [*cast("list[Any]", body.get("tools") or [])]
    if isinstance(body.get("system"), list):
        blocks += body["system"]
    for message in cast("list[Json]", body["messages"]):
        blocks += _content(message)
    return sum(1 for block in blocks if isinstance(block, dict) and cast(Json, block).get("cache_control"))


def _check_thinking(body: Json) -> None:
    thinking = cast(Json, body.get("thinking") or {})
    if thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < 1024:
        raise Refused("bad_request", "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= body["max_tokens"]:
        raise Refused("bad_request", "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _input_tokens(body: Json) -> int:
    return estimate_tokens(body.get("system"), body["messages"], body.get("tools"))


def _ask_of(body: Json) -> Ask:
    messages = cast("list[Json]", body["messages"])
    choice = cast(Json, body.get("tool_choice") or {})
    output = cast(Json, body.get("output_config") or {})
    schema: Any = cast(Json, output.get("format") or body.get("output_format") or {}).get("schema")
    last = _content(messages[-1])
    return Ask(
        model=body["model"],
        stream=bool(body.get("stream")),
        user_text=_user_text(messages),
        tools=[OfferedTool(tool["name"], tool.get("input_schema") or {}) for tool in cast("list[Json]", body.get("tools") or [])],
        tool_choice=_CHOICES.get(choice.get("type", "auto"), "auto"),
        forced_tool=choice.get("name"),
        parallel=not choice.get("disable_parallel_tool_use"),
        answered=messages[-1]["role"] == "user" and any(block.get("type") == "tool_result" for block in last),
        tool_rounds=_tool_rounds(messages),
        schema=cast(Json, schema) if isinstance(schema, dict) else None,
        max_tokens=body["max_tokens"],
        stop_sequences=list(body.get("stop_sequences") or []),
        input_tokens=_input_tokens(body),
        fields=frozenset(body),
    )


def _text_of(message: Json) -> str:
    return "".join(str(block.get("text", "")) for block in _content(message) if block.get("type") == "text")


def _user_text(messages: list[Json]) -> str:
    """The text of the last message of the user's that has any."""
    return next((text for one in reversed(messages) if one["role"] == "user" and (text := _text_of(one))), "")


def _tool_rounds(messages: list[Json]) -> int:
    rounds = 0
    for message in reversed(messages):
        if message["role"] == "user" and not _ids(message, "tool_result", "tool_use_id"):
            break
        rounds += 1 if message["role"] == "assistant" and _ids(message, "tool_use", "id") else 0
    return rounds
