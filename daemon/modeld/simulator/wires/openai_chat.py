"""OpenAI Chat Completions as its server speaks it (platform.openai.com/docs/api-reference/chat, read 2026-11-20)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote

import msgspec

from ..ask import Ask, Call, OfferedTool, Refused
from ..script import RefusalStep, Script, Step, Stop, TextStep, ThinkingStep, ToolCallStep
from .contract import (
    Failure,
    Frame,
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
from .openai_shared import WORDING, failure_error, refuse

_FINISHES: dict[Stop, str] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "stop",
}
_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_FUNCTION_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_ONLY_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")

Json = dict[str, Any]


class _OpenAiChat:
    name = "openai-chat"
    title = "OpenAI Chat Completions"
    framing = "sse"
    example_base_path = "/v1"
    adapter_type = "openai"

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
        if path == "/v1/chat/completions" and method == "POST":
            return "generate"
        if method == "GET" and (path == "/v1/models" or path.startswith("/v1/models/")):
            return "list_models" if path == "/v1/models" else "get_model"
        return None

    def peek(self, call: Call) -> Peek | None:
        return peek_body(call.body)

    def read(self, call: Call, *, require_key: bool, refuse: Mapping[str, Sequence[str]]) -> Ask:
        if require_key and credential_of(call.headers) is None:
            raise Refused("auth", "You didn't provide an API key. Send one as `Authorization: Bearer KEY`.", code="")
        try:
            body = msgspec.json.decode(call.body, type=Json)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Refused("bad_request", WORDING["bad_request"]) from None
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise Refused("bad_request", "you must provide a model parameter")
        _check_messages(body)
        _check_tools(body)
        _check_parameters(body, refused_fields(refuse, body["model"]))
        return _ask_of(body)

    def frames(self, script: Script, ask: Ask, stamp: Stamp) -> list[Frame]:
        head = _chunk_head(ask, stamp)
        frames = [_chunk(head, {"role": "assistant", "content": "", "refusal": None})]
        calls = 0
        for step in script.plain_steps():
            frames += _step_frames(head, step, calls, stamp)
            calls += isinstance(step, ToolCallStep)
        finish = _chunk(head, {}, _FINISHES[script.stop_reason()])
        frames += [finish] * (2 if "duplicate_finish" in script.irregular else 1)
        if ask.include_usage and "no_usage" not in script.irregular:
            frames.append(Frame("", encode_json({**head, "choices": [], "usage": _usage(script, ask)})))
        if "no_end_marker" not in script.irregular:
            frames.append(Frame("", b"[DONE]", end=True))
        return frames

    def whole(self, script: Script, ask: Ask, stamp: Stamp) -> bytes:
        choice: Json = {"index": 0, "message": _message(script, stamp), "logprobs": None}
        body: Json = {**_chunk_head(ask, stamp), "object": "chat.completion", "choices": [choice]}
        choice["finish_reason"] = _FINISHES[script.stop_reason()]
        if "no_usage" not in script.irregular:
            body["usage"] = _usage(script, ask)
        return encode_json(body)

    def failure(self, failure: Failure, ask: Ask | None, request_id: str) -> Rendered:
        status, error = failure_error(failure, ask)
        return Rendered(status, encode_json({"error": error}), [("x-request-id", request_id)])

    def failure_frame(self, failure: Failure, request_id: str) -> Frame:
        return Frame("", encode_json({"error": failure_error(failure, None)[1]}))

    def noise(self) -> Frame:
        head: Json = {"id": "chatcmpl-noise", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": []}
        return Frame("", encode_json({**head, "x_simulated": {"unknown": True}}))

    def keep_alive(self) -> bytes:
        return b": keep-alive\n\n"

    def head(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-request-id", request_id), ("openai-processing-ms", "1"), ("x-ratelimit-remaining-requests", "999")]

    def count(self, call: Call, *, require_key: bool) -> Rendered:
        raise Refused("route_not_found", "Chat Completions has no token count")

    def models(self, call: Call, names: Sequence[str]) -> Rendered:
        one = unquote(call.path.removeprefix("/v1/models").strip("/"))
        if one and one not in names:
            raise Refused("not_found", f"The model '{one}' does not exist", param="model")
        rows = [{"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "simulator"} for name in names]
        if one:
            return Rendered(200, encode_json(next(row for row in rows if row["id"] == one)))
        return Rendered(200, encode_json({"object": "list", "data": rows}))


WIRE = _OpenAiChat()


# ---- answers


def _chunk_head(ask: Ask, stamp: Stamp) -> Json:
    return {
        "id": f"chatcmpl-{stamp.id}",
        "object": "chat.completion.chunk",
        "created": stamp.created,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _chunk(head: Json, delta: Json, finish: str | None = None, *, content: bool = False) -> Frame:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return Frame("", encode_json({**head, "choices": [choice], "usage": None}), content)


def _call_id(step: ToolCallStep, index: int, stamp: Stamp) -> str:
    return step.id or stamp.numbered("call_", index)


def _step_frames(head: Json, step: Step, calls: int, stamp: Stamp) -> list[Frame]:
    match step:
        case TextStep():
            return _piece_frames(head, '{"content":', step.chunks(), "}")
        case ThinkingStep():
            # No field of OpenAI's own: `reasoning_content` is what compatible servers call it.
            return _piece_frames(head, '{"reasoning_content":', step.chunks(), "}")
        case RefusalStep():
            return _piece_frames(head, '{"refusal":', [step.text], "}")
        case ToolCallStep():
            function = {"name": step.name, "arguments": ""}
            call = {"index": calls, "id": _call_id(step, calls, stamp), "type": "function", "function": function}
            pieces = _piece_frames(head, f'{{"tool_calls":[{{"index":{calls},"function":{{"arguments":', step.pieces(), "}}]}")
            return [_chunk(head, {"tool_calls": [call]}, content=True), *pieces]
        case _:
            return []


def _piece_frames(head: Json, before: str, pieces: Sequence[str], after: str) -> list[Frame]:
    """One frame for each piece, from a template: long answers are mostly these."""
    start = encode_json(head)[:-1] + b',"choices":[{"index":0,"delta":' + before.encode()
    end = after.encode() + b',"logprobs":null,"finish_reason":null}],"usage":null}'
    encode = msgspec.json.encode
    return [Frame("", start + encode(piece) + end, content=True) for piece in pieces]


def _message(script: Script, stamp: Stamp) -> Json:
    steps = list(script.plain_steps())
    text = "".join(piece for step in steps if isinstance(step, TextStep) for piece in step.chunks())
    message: Json = {"role": "assistant", "content": text or None, "refusal": None, "annotations": []}
    thinking = "".join(piece for step in steps if isinstance(step, ThinkingStep) for piece in step.chunks())
    if thinking:
        message["reasoning_content"] = thinking
    refusals = [step.text for step in steps if isinstance(step, RefusalStep)]
    if refusals:
        message["refusal"] = "".join(refusals)
    calls = [step for step in steps if isinstance(step, ToolCallStep)]
    if calls:
        message["tool_calls"] = [
            {
                "id": _call_id(call, index, stamp),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments()},
            }
            for index, call in enumerate(calls)
        ]
    elif not refusals and message["content"] is None:
        message["content"] = ""
    return message


def _usage(script: Script, ask: Ask) -> Json:
    usage = script.usage
    output = script.output_tokens()
    prompt = (ask.input_tokens if usage.input is None else usage.input) + usage.cached + usage.cache_write
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": script.reasoning_tokens(),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


# ---- requests


def _check_messages(body: Json) -> None:
    messages = body.get("messages")
    if messages is None:
        refuse("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list):
        refuse("Invalid type for 'messages': expected an array of objects.", "messages", "invalid_type")
    if not messages:
        refuse("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages", "empty_array")
    open_calls: list[str] = []
    for index, message in enumerate(cast("list[Json]", messages)):
        _check_message(message, index)
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                refuse(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                    f"messages.[{index}].role",
                )
            open_calls.remove(message["tool_call_id"])
            continue
        _check_answered(open_calls, index)
        open_calls = [str(call.get("id")) for call in cast("list[Json]", message.get("tool_calls") or [])]
    _check_answered(open_calls, len(cast("list[Json]", messages)))


def _check_answered(open_calls: list[str], index: int) -> None:
    if open_calls:
        refuse(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            f"The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            f"messages.[{index}].role",
        )


def _check_message(message: Any, index: int) -> None:
    where = f"messages[{index}]"
    if not isinstance(message, dict) or cast(Json, message).get("role") not in _ROLES:
        refuse(f"Invalid value for '{where}.role'. Supported values are: {', '.join(_ROLES)}.", f"{where}.role", "invalid_value")
    one = cast(Json, message)
    content = one.get("content")
    calls = one.get("tool_calls")
    if content is None and not calls and not one.get("refusal") and not one.get("function_call"):
        refuse("Invalid value for 'content': expected a string, got null.", f"{where}.content", "invalid_type")
    if content is not None and not isinstance(content, str | list):
        refuse(f"Invalid type for '{where}.content': expected a string or an array.", f"{where}.content", "invalid_type")
    if calls == []:
        refuse(f"Invalid '{where}.tool_calls': empty array.", f"{where}.tool_calls", "empty_array")
    for place, call in enumerate(cast("list[Json]", calls or [])):
        if not isinstance(cast(Json, call.get("function") or {}).get("arguments"), str):
            param = f"{where}.tool_calls[{place}].function.arguments"
            refuse(f"Invalid type for '{param}': expected a string.", param, "invalid_type")


def _check_tools(body: Json) -> None:
    tools = body.get("tools")
    if tools == []:
        refuse("Invalid 'tools': empty array. Expected an array with minimum length 1.", "tools", "empty_array")
    if not tools:
        for name in _ONLY_WITH_TOOLS:
            if body.get(name) not in (None, "none"):
                refuse(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)
    for index, tool in enumerate(cast("list[Json]", tools or [])):
        function = cast(Json, tool.get("function") or {})
        if tool.get("type") == "function" and not _FUNCTION_NAME.match(str(function.get("name", ""))):
            param = f"tools[{index}].function.name"
            refuse(f"Invalid '{param}': string does not match pattern '^[a-zA-Z0-9_-]+$'.", param, "invalid_value")


def _check_parameters(body: Json, refused: frozenset[str]) -> None:
    for name in refused & body.keys():
        if name == "max_tokens":
            refuse(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                name,
                "unsupported_parameter",
            )
        if name == "temperature" and body[name] == 1:
            continue
        refuse(f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        refuse(message, "max_tokens", "invalid_parameter_combination")
    if body.get("stream_options") is not None and not body.get("stream"):
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if isinstance(value, int | float) and not 0 <= value <= high:
            refuse(f"Invalid '{name}': expected a value between 0 and {high}, but got {value} instead.", name)
    if isinstance(body.get("stop"), list) and len(body["stop"]) > 4:
        refuse("Invalid 'stop': array too long. Expected an array with maximum length 4.", "stop", "array_above_max_length")
    if _format_of(body).get("type") == "json_object" and b"json" not in encode_json(body["messages"]).lower():
        refuse(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", "messages"
        )


def _format_of(body: Json) -> Json:
    return cast(Json, body.get("response_format") or {})


def _ask_of(body: Json) -> Ask:
    messages = cast("list[Json]", body["messages"])
    choice = body.get("tool_choice") or "auto"
    forced = cast(Json, cast(Json, choice).get("function") or {}).get("name") if isinstance(choice, dict) else None
    schema: Any = cast(Json, _format_of(body).get("json_schema") or {}).get("schema")
    stop: Any = body.get("stop") or []
    return Ask(
        model=body["model"],
        stream=bool(body.get("stream")),
        user_text=_user_text(messages),
        tools=[_tool(tool) for tool in cast("list[Json]", body.get("tools") or []) if tool.get("type") == "function"],
        tool_choice="required" if forced or choice == "required" else "none" if choice == "none" else "auto",
        forced_tool=forced,
        parallel=body.get("parallel_tool_calls") is not False,
        answered=messages[-1]["role"] == "tool",
        tool_rounds=_tool_rounds(messages),
        schema=cast(Json, schema) if isinstance(schema, dict) else None,
        json_only=_format_of(body).get("type") == "json_object",
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop_sequences=[stop] if isinstance(stop, str) else cast("list[str]", stop),
        input_tokens=estimate_tokens(messages, body.get("tools")),
        include_usage=bool(cast(Json, body.get("stream_options") or {}).get("include_usage")),
        fields=frozenset(body),
    )


def _tool(tool: Json) -> OfferedTool:
    function = cast(Json, tool.get("function") or {})
    return OfferedTool(function.get("name", ""), function.get("parameters") or {})


def _text_of(message: Json) -> str:
    content = message.get("content")
    if not isinstance(content, list):
        return content or ""
    return "".join(str(part.get("text", "")) for part in cast("list[Json]", content) if part.get("type") == "text")


def _user_text(messages: list[Json]) -> str:
    """The text of the last message of the user's that has any."""
    return next((text for one in reversed(messages) if one["role"] == "user" and (text := _text_of(one))), "")


def _tool_rounds(messages: list[Json]) -> int:
    rounds = 0
    for message in reversed(messages):
        if message["role"] == "user":
            break
        rounds += 1 if message.get("tool_calls") else 0
    return rounds
