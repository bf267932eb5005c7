"""The own API of Ollama as its server speaks it (docs.ollama.com/api, ollama/ollama at fb307609; read 2026-11-20)."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import msgspec

from ..ask import Ask, Call, OfferedTool, Refused
from ..script import RefusalStep, Script, Step, TextStep, ThinkingStep, ToolCallStep
from .contract import Failure, Frame, Kind, Operation, Peek, Rendered, Stamp, encode_json, estimate_tokens, refused_fields

_STATUS: dict[Kind, int] = {
    "rate_limit": 429,
    "overloaded": 503,
    "server_error": 500,
    "bad_request": 400,
    "auth": 401,
    "forbidden": 403,
    "not_found": 404,
    "route_not_found": 404,
    "unprocessable": 422,
    "too_large": 413,
    "quota": 402,
    "context_overflow": 400,
    "content_filter": 403,
}
_WORDING: dict[Kind, str] = {
    "rate_limit": "too many concurrent requests",
    "overloaded": "server busy, please try again.  maximum pending requests exceeded",
    "server_error": "llama runner process has terminated: exit status 2",
    "bad_request": "missing request body",
    "auth": "unauthorized",
    "forbidden": "this model requires a subscription, upgrade for access: https://ollama.com/upgrade",
    "not_found": "model '{model}' not found",
    "route_not_found": "404 page not found",
    "unprocessable": "the request is well formed but cannot be processed",
    "too_large": "http: request body too large",
    "quota": "payment required: your plan's usage is used up",
    "context_overflow": "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length",
    "content_filter": "the prompt was refused under the content policy",
}
_ROLES = ("system", "user", "assistant", "tool")
_LEVELS = ("high", "medium", "low", "max")
_NOT_AN_OBJECT = "json: cannot unmarshal {what} into Go struct field ChatRequest.{field} of type {kind}"

Json = dict[str, Any]


class _PeekedBody(msgspec.Struct):
    model: str = ""
    stream: bool | None = None


class _Ollama:
    name = "ollama"
    title = "Ollama"
    framing = "ndjson"
    example_base_path = ""
    adapter_type = "ollama"

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
        known: dict[tuple[str, str], Operation] = {
            ("POST", "/api/chat"): "generate",
            ("GET", "/api/tags"): "list_models",
            ("POST", "/api/show"): "get_model",
        }
        return known.get((method, path))

    def peek(self, call: Call) -> Peek | None:
        try:
            seen = msgspec.json.decode(call.body, type=_PeekedBody)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return Peek(seen.model, seen.stream is not False, True)

    def read(self, call: Call, *, require_key: bool, refuse: Mapping[str, Sequence[str]]) -> Ask:
        """Keys are neither asked for nor looked at, as on a user's own machine."""
        body = _body_of(call)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            _refuse("model is required")
        _check_messages(body)
        _check_parameters(body)
        refused = refused_fields(refuse, model)
        if "tools" in refused and body.get("tools"):
            _refuse(f"registry.ollama.ai/library/{model} does not support tools")
        if "think" in refused and body.get("think"):
            _refuse(f'"{model}" does not support thinking')
        return _ask_of(body)

    def frames(self, script: Script, ask: Ask, stamp: Stamp) -> list[Frame]:
        head = _head(ask, stamp)
        frames: list[Frame] = []
        calls = 0
        for step in script.plain_steps():
            frames += _step_frames(head, step, calls, stamp)
            calls += isinstance(step, ToolCallStep)
        if "no_end_marker" in script.irregular:
            return frames
        last = Frame("", _go_json({**head, "message": {"role": "assistant", "content": ""}, **_end(script, ask)}), end=True)
        return [*frames, *[last] * (2 if "duplicate_finish" in script.irregular else 1)]

    def whole(self, script: Script, ask: Ask, stamp: Stamp) -> bytes:
        return _go_json({**_head(ask, stamp), "message": _message(script, stamp), **_end(script, ask)})

    def failure(self, failure: Failure, ask: Ask | None, request_id: str) -> Rendered:
        return Rendered(failure.status or _STATUS[failure.kind], _go_json(_failure_body(failure, ask)))

    def failure_frame(self, failure: Failure, request_id: str) -> Frame:
        return Frame("", _go_json(_failure_body(failure, None)))

    def noise(self) -> Frame:
        return Frame("", _go_json({"model": "", "x_simulated": {"unknown": True}, "done": False}))

    def keep_alive(self) -> bytes:
        return b"\n"

    def head(self, request_id: str) -> list[tuple[str, str]]:
        return []

    def count(self, call: Call, *, require_key: bool) -> Rendered:
        raise Refused("route_not_found", "404 page not found")

    def models(self, call: Call, names: Sequence[str]) -> Rendered:
        if call.path == "/api/show":
            name = _body_of(call).get("model")
            if name not in names:
                raise Refused("not_found", f"model '{name}' not found")
            return Rendered(200, _go_json({"details": _DETAILS, "model_info": _INFO, "capabilities": _CAPABILITIES}))
        return Rendered(200, _go_json({"models": [_listed(name) for name in names]}))


WIRE = _Ollama()


# ---- answers

# What Go's encoder writes as escapes; the separators would end a line for many readers.
_ESCAPED = [(char.encode(), f"\\u{ord(char):04x}".encode()) for char in "<>&\u2028\u2029"]


def _go_json(value: Any) -> bytes:
    data = encode_json(value)
    for char, escape in _ESCAPED:
        data = data.replace(char, escape)
    return data


_DETAILS: Json = {
    "parent_model": "",
    "format": "gguf",
    "family": "simulated",
    "families": ["simulated"],
    "parameter_size": "0B",
    "quantization_level": "Q4_K_M",
    "context_length": 131_072,
}
_INFO: Json = {"general.architecture": "simulated", "simulated.context_length": 131_072}
_CAPABILITIES = ["completion", "tools", "thinking", "vision"]


def _listed(name: str) -> Json:
    moment = "2026-01-01T00:00:00Z"
    return {
        "name": name,
        "model": name,
        "modified_at": moment,
        "size": 1,
        "digest": "0" * 64,
        "details": _DETAILS,
        "capabilities": _CAPABILITIES,
    }


def _head(ask: Ask, stamp: Stamp) -> Json:
    return {"model": ask.model, "created_at": datetime.fromtimestamp(stamp.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _step_frames(head: Json, step: Step, calls: int, stamp: Stamp) -> list[Frame]:
    match step:
        case TextStep():
            return _piece_frames(head, '{"role":"assistant","content":', step.chunks())
        case ThinkingStep():
            return _piece_frames(head, '{"role":"assistant","content":"","thinking":', step.chunks())
        case RefusalStep():
            return _piece_frames(head, '{"role":"assistant","content":', [step.text])
        case ToolCallStep():
            message = {"role": "assistant", "content": "", "tool_calls": [_call(step, calls, stamp)]}
            return [Frame("", _go_json({**head, "message": message, "done": False}), content=True)]
        case _:
            return []


def _piece_frames(head: Json, before: str, pieces: Sequence[str]) -> list[Frame]:
    """One frame for each piece, from a template: long answers are mostly these."""
    start = _go_json(head)[:-1] + b',"message":' + before.encode()
    return [Frame("", start + _go_json(piece) + b'},"done":false}', content=True) for piece in pieces]


def _call(step: ToolCallStep, index: int, stamp: Stamp) -> Json:
    """Arguments are an object; those of a script that are none go out as the text that they are."""
    arguments: Any = step.arguments()
    try:
        arguments = msgspec.json.decode(arguments) if arguments else {}
    except msgspec.DecodeError:
        pass
    return {
        "id": step.id or stamp.numbered("call_", index),
        "function": {"index": index, "name": step.name, "arguments": arguments},
    }


def _message(script: Script, stamp: Stamp) -> Json:
    steps = list(script.plain_steps())
    texts = [
        step.chunks() if isinstance(step, TextStep) else [step.text] for step in steps if isinstance(step, TextStep | RefusalStep)
    ]
    message: Json = {"role": "assistant", "content": "".join(piece for text in texts for piece in text)}
    thinking = "".join(piece for step in steps if isinstance(step, ThinkingStep) for piece in step.chunks())
    if thinking:
        message["thinking"] = thinking
    calls = [step for step in steps if isinstance(step, ToolCallStep)]
    if calls:
        message["tool_calls"] = [_call(call, index, stamp) for index, call in enumerate(calls)]
    return message


def _end(script: Script, ask: Ask) -> Json:
    """The members of the last line. A count of 0 is left out, as the server leaves it."""
    end: Json = {"done": True, "done_reason": "length" if script.stop_reason() == "max_tokens" else "stop"}
    if "no_usage" in script.irregular:
        return end
    usage = script.usage
    prompt = (ask.input_tokens if usage.input is None else usage.input) + usage.cached + usage.cache_write
    counts = {"prompt_eval_count": prompt, "eval_count": script.output_tokens()}
    return {
        **end,
        "total_duration": 1_000_000,
        "load_duration": 1_000,
        **{name: count for name, count in counts.items() if count},
    }


def _failure_body(failure: Failure, ask: Ask | None) -> Json:
    return {"error": failure.message or _WORDING[failure.kind].replace("{model}", ask.model if ask else "unknown")}


# ---- requests


def _refuse(message: str) -> NoReturn:
    raise Refused("bad_request", message)


def _body_of(call: Call) -> Json:
    if not call.body:
        _refuse(_WORDING["bad_request"])
    try:
        return msgspec.json.decode(call.body, type=Json)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        _refuse("invalid character in the request body")


def _must_be(value: Any, kind: type, field: str, go_kind: str) -> None:
    if value is not None and not isinstance(value, kind):
        what = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else type(value).__name__
        _refuse(_NOT_AN_OBJECT.format(what=what, field=field, kind=go_kind))


def _check_messages(body: Json) -> None:
    messages = body.get("messages")
    _must_be(messages, list, "messages", "[]api.Message")
    for message in cast("list[Any]", messages or []):
        _must_be(message, dict, "messages", "api.Message")
        _check_message(cast(Json, message))


def _check_message(message: Json) -> None:
    _must_be(message.get("content"), str, "messages.content", "string")
    if message.get("role") not in _ROLES:
        _refuse(f"invalid role: {message.get('role')}")
    for image in cast("list[Any]", message.get("images") or []):
        _check_image(image)
    for call in cast("list[Json]", message.get("tool_calls") or []):
        function = cast(Json, call.get("function") or {})
        _must_be(function.get("arguments"), dict, "messages.tool_calls.function.arguments", "map[string]interface {}")


def _check_image(image: Any) -> None:
    """Bytes in standard base64: anything before them, a data: prefix too, is an error of the decoder."""
    _must_be(image, str, "messages.images", "api.ImageData")
    try:
        base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        _refuse("illegal base64 data at input byte 4")


def _check_parameters(body: Json) -> None:
    _must_be(body.get("options"), dict, "options", "map[string]interface {}")
    _must_be(body.get("stream"), bool, "stream", "bool")
    think = body.get("think")
    if think is not None and not isinstance(think, bool) and think not in _LEVELS:
        _refuse(f'invalid think value: "{think}" (must be "high", "medium", "low", "max", true, or false)')
    form = body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        _refuse(f'invalid format: "{form}"; expected "json" or a valid JSON Schema object')
    _must_be(body.get("tools"), list, "tools", "api.Tools")
    for tool in cast("list[Any]", body.get("tools") or []):
        function: Any = cast(Json, tool).get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not cast(Json, function).get("name"):
            _refuse(_NOT_AN_OBJECT.format(what="value", field="tools.function", kind="api.ToolFunction"))


def _ask_of(body: Json) -> Ask:
    messages = cast("list[Json]", body.get("messages") or [])
    options = cast(Json, body.get("options") or {})
    form = body.get("format")
    stop: Any = options.get("stop") or []
    limit = options.get("num_predict")
    return Ask(
        model=body["model"],
        stream=body.get("stream") is not False,
        user_text=next((text for one in reversed(messages) if one["role"] == "user" and (text := one.get("content") or "")), ""),
        tools=[_tool(tool) for tool in cast("list[Json]", body.get("tools") or [])],
        answered=bool(messages) and messages[-1]["role"] == "tool",
        tool_rounds=_tool_rounds(messages),
        schema=cast(Json, form) if isinstance(form, dict) else None,
        json_only=form == "json",
        max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
        stop_sequences=[stop] if isinstance(stop, str) else cast("list[str]", stop),
        input_tokens=estimate_tokens(messages, body.get("tools")),
        fields=frozenset(body) | {f"options.{name}" for name in options},
    )


def _tool(tool: Json) -> OfferedTool:
    function = cast(Json, tool["function"])
    return OfferedTool(function["name"], function.get("parameters") or {})


def _tool_rounds(messages: list[Json]) -> int:
    rounds = 0
    for message in reversed(messages):
        if message["role"] == "user":
            break
        rounds += 1 if message.get("tool_calls") else 0
    return rounds
