"""OpenAI Responses as its server speaks it (platform.openai.com/docs/api-reference/responses, read 2026-11-20)."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from ..ask import Ask, Call, OfferedTool, Refused
from ..script import RedactedThinkingStep, RefusalStep, Script, Step, Stop, TextStep, ThinkingStep, ToolCallStep
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

Json = dict[str, Any]

_PATH = "/v1/responses"
_COUNT_PATH = "/v1/responses/input_tokens"
# Everything the endpoint knows; anything else is an unknown parameter.
_FIELDS = frozenset(
    (
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "stream"),
        *("max_output_tokens", "temperature", "top_p", "include", "store", "previous_response_id", "conversation", "metadata"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier", "truncation", "user"),
        *("max_tool_calls", "context_management", "safety_identifier", "stream_options", "background", "top_logprobs"),
        *("prompt", "moderation", "access_programs"),
    )
)
_INPUT_PARTS = ("input_text", "input_image", "input_file")
_OUTPUT_PARTS = ("output_text", "refusal")
_FUNCTION_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_MIN_OUTPUT_TOKENS = 16
_INCOMPLETE: dict[Stop, str] = {"max_tokens": "max_output_tokens", "content_filter": "content_filter", "pause": "max_messages"}
_OWN_SEAL = b"modeld-sim:"


def seal_reasoning(summary: str) -> str:
    """Encrypted reasoning that the simulator can check when it comes back, as the real API does with its own."""
    return base64.b64encode(_OWN_SEAL + hashlib.sha256(summary.encode("utf-8", "surrogatepass")).digest()).decode()


class _OpenAiResponses:
    name = "openai-responses"
    title = "OpenAI Responses"
    framing = "sse"
    example_base_path = "/v1"
    adapter_type = "openai-responses"

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
        if method != "POST":
            return None  # the list of models is that of the chat wire
        return "generate" if path == _PATH else "count_tokens" if path == _COUNT_PATH else None

    def peek(self, call: Call) -> Peek | None:
        return peek_body(call.body)

    def read(self, call: Call, *, require_key: bool, refuse: Mapping[str, Sequence[str]]) -> Ask:
        body = _checked_body(call, require_key=require_key)
        _check_parameters(body, refused_fields(refuse, body["model"]))
        return _ask_of(body)

    def frames(self, script: Script, ask: Ask, stamp: Stamp) -> list[Frame]:
        stream = _Stream()
        head = _response(ask, stamp)
        stream.add("response.created", {"response": head})
        stream.add("response.in_progress", {"response": head})
        for index, item in enumerate(_items(script, stamp)):
            stream.add_item(index, item)
        body = _answer(script, ask, stamp)
        for _ in range(0 if "no_end_marker" in script.irregular else 2 if "duplicate_finish" in script.irregular else 1):
            stream.add(f"response.{body['status']}", {"response": body}, end=True)
        return stream.frames

    def whole(self, script: Script, ask: Ask, stamp: Stamp) -> bytes:
        return encode_json(_answer(script, ask, stamp))

    def failure(self, failure: Failure, ask: Ask | None, request_id: str) -> Rendered:
        status, error = failure_error(failure, ask)
        if failure.kind == "not_found" and failure.status is None:
            status = 400  # unlike the chat wire
        return Rendered(status, encode_json({"error": error}), [("x-request-id", request_id)])

    def failure_frame(self, failure: Failure, request_id: str) -> Frame:
        _, error = failure_error(failure, None)
        flat = {"code": error["code"] or error["type"], "message": error["message"], "param": error["param"]}
        return Frame("error", encode_json({"type": "error", **flat, "sequence_number": 0}))

    def noise(self) -> Frame:
        return Frame("response.simulated_unknown", encode_json({"type": "response.simulated_unknown", "sequence_number": 0}))

    def keep_alive(self) -> bytes:
        return b": keep-alive\n\n"

    def head(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-request-id", request_id), ("openai-processing-ms", "1"), ("x-ratelimit-remaining-requests", "999")]

    def count(self, call: Call, *, require_key: bool) -> Rendered:
        body = _checked_body(call, require_key=require_key)
        return Rendered(200, encode_json({"object": "response.input_tokens", "input_tokens": _input_tokens(body)}))

    def models(self, call: Call, names: Sequence[str]) -> Rendered:
        raise Refused("route_not_found", "models are listed at /v1/models")


WIRE = _OpenAiResponses()


# ---- answers


def _response(ask: Ask, stamp: Stamp) -> Json:
    return {
        "id": f"resp_{stamp.id}",
        "object": "response",
        "created_at": stamp.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": ask.max_tokens,
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": ask.parallel,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": "store" in ask.fields,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


def _answer(script: Script, ask: Ask, stamp: Stamp) -> Json:
    body = _response(ask, stamp)
    reason = _INCOMPLETE.get(script.stop_reason())
    body["status"] = "incomplete" if reason else "completed"
    body["incomplete_details"] = {"reason": reason} if reason else None
    body["output"] = [item for item, _ in _items(script, stamp)]
    if "no_usage" not in script.irregular:
        body["usage"] = _usage(script, ask)
    return body


def _usage(script: Script, ask: Ask) -> Json:
    usage = script.usage
    output = script.output_tokens()
    prompt = (ask.input_tokens if usage.input is None else usage.input) + usage.cached + usage.cache_write
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": script.reasoning_tokens()},
        "total_tokens": prompt + output,
    }


def _items(script: Script, stamp: Stamp) -> list[tuple[Json, list[str]]]:
    """The items of the answer as they stay, each with the pieces that it is streamed in."""
    steps = list(script.plain_steps())
    calls = any(isinstance(step, ToolCallStep) for step in steps)
    items = [_item(step, index, stamp, "commentary" if calls else "final_answer") for index, step in enumerate(steps)]
    if script.stop_reason() == "max_tokens" and items and items[-1][0]["type"] != "reasoning":
        items[-1][0]["status"] = "incomplete"
    return items


def _item(step: Step, index: int, stamp: Stamp, phase: str) -> tuple[Json, list[str]]:
    match step:
        case TextStep():
            pieces = step.chunks()
            part: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(pieces)}
            return _message(part, index, stamp, phase), pieces
        case RefusalStep():
            return _message({"type": "refusal", "refusal": step.text}, index, stamp, phase), [step.text]
        case ThinkingStep():
            text = "".join(step.chunks())
            summary = [{"type": "summary_text", "text": text}]
            return _reasoning(step.signature or seal_reasoning(text), summary, index, stamp), step.chunks()
        case RedactedThinkingStep():
            return _reasoning(step.data, [], index, stamp), []
        case ToolCallStep():
            call = {
                "id": stamp.numbered("fc_", index),
                "type": "function_call",
                "status": "completed",
                "arguments": step.arguments(),
            }
            return {**call, "call_id": step.id or stamp.numbered("call_", index), "name": step.name}, step.pieces()


def _message(part: Json, index: int, stamp: Stamp, phase: str) -> Json:
    message: Json = {"id": stamp.numbered("msg_", index), "type": "message", "status": "completed", "content": [part]}
    return {**message, "phase": phase, "role": "assistant"}


def _reasoning(sealed: str, summary: list[Json], index: int, stamp: Stamp) -> Json:
    return {"id": stamp.numbered("rs_", index), "type": "reasoning", "encrypted_content": sealed, "summary": summary}


class _Stream:
    """The events of one answer, numbered as they are made."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def add(self, kind: str, fields: Json, *, end: bool = False) -> None:
        event = {"type": kind, "sequence_number": len(self.frames), **fields}
        self.frames.append(Frame(kind, encode_json(event), end=end))

    def add_item(self, index: int, item: tuple[Json, list[str]]) -> None:
        """An item: announced, grown, whole."""
        whole, pieces = item
        kind = whole["type"]
        place = {"item_id": whole["id"], "output_index": index}
        if kind == "message":
            self.add(
                "response.output_item.added", {"output_index": index, "item": {**whole, "status": "in_progress", "content": []}}
            )
            self._add_part(place, whole["content"][0], pieces)
        elif kind == "reasoning":
            # What is sealed may still grow: the finished item has all of it.
            begun: Json = {**whole, "summary": [], "encrypted_content": whole["encrypted_content"][:8]}
            self.add("response.output_item.added", {"output_index": index, "item": begun})
            self._add_summary(place, whole["summary"], pieces)
        else:
            begun = {**whole, "status": "in_progress", "arguments": ""}
            self.add("response.output_item.added", {"output_index": index, "item": begun})
            self._add_pieces("response.function_call_arguments.delta", place, pieces)
            self.add("response.function_call_arguments.done", {**place, "arguments": whole["arguments"]})
        self.add("response.output_item.done", {"output_index": index, "item": whole})

    def _add_part(self, place: Json, part: Json, pieces: Sequence[str]) -> None:
        place = {**place, "content_index": 0}
        kind, field = ("output_text", "text") if part["type"] == "output_text" else ("refusal", "refusal")
        self.add("response.content_part.added", {**place, "part": {**part, field: ""}})
        more: Json = {"logprobs": []} if kind == "output_text" else {}
        self._add_pieces(f"response.{kind}.delta", {**place, **more}, pieces)
        self.add(f"response.{kind}.done", {**place, **more, field: part[field]})
        self.add("response.content_part.done", {**place, "part": part})

    def _add_summary(self, place: Json, summary: list[Json], pieces: Sequence[str]) -> None:
        for number, part in enumerate(summary):
            at = {**place, "summary_index": number}
            self.add("response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}})
            self._add_pieces("response.reasoning_summary_text.delta", at, pieces)
            self.add("response.reasoning_summary_text.done", {**at, "text": part["text"]})
            self.add("response.reasoning_summary_part.done", {**at, "part": part})

    def _add_pieces(self, kind: str, place: Json, pieces: Sequence[str]) -> None:
        """One frame for each piece, from a template: long answers are mostly these."""
        start = encode_json({"type": kind, **place})[:-1] + b',"delta":'
        encode = msgspec.json.encode
        count = len(self.frames)
        self.frames += [
            Frame(kind, b'%b%b,"sequence_number":%d}' % (start, encode(piece), number), content=True)
            for number, piece in enumerate(pieces, count)
        ]


# ---- requests


def _checked_body(call: Call, *, require_key: bool) -> Json:
    """What every operation demands: a key, JSON, a model, known fields, items that pair up."""
    if require_key and credential_of(call.headers) is None:
        raise Refused("auth", "You didn't provide an API key. Send one as `Authorization: Bearer KEY`.", code="")
    try:
        body = msgspec.json.decode(call.body, type=Json)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Refused("bad_request", WORDING["bad_request"]) from None
    if not isinstance(body.get("model"), str) or not body["model"]:
        refuse("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    for name in sorted(body.keys() - _FIELDS):
        refuse(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    _check_input(body)
    _check_tools(body)
    return body


def _input_items(body: Json) -> list[Json]:
    given = body.get("input")
    return [{"role": "user", "content": given}] if isinstance(given, str) else cast("list[Json]", given or [])


def _check_input(body: Json) -> None:
    given = body.get("input")
    if given is None:
        refuse("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if not isinstance(given, str | list):
        refuse("Invalid type for 'input': expected a string or an array.", "input", "invalid_type")
    earlier = body.get("previous_response_id")
    if earlier is not None and not str(earlier).startswith("resp_"):
        message = f"Previous response with id '{earlier}' not found."
        refuse(message, "previous_response_id", "previous_response_not_found")
    items = _input_items(body)
    for index, item in enumerate(items):
        _check_item(item, index)
    _check_pairs(items, remembered=earlier is not None or body.get("conversation") is not None)
    _check_reasoning(items, stored=body.get("store") is not False)


def _check_item(item: Any, index: int) -> None:
    where = f"input[{index}]"
    if not isinstance(item, dict):
        refuse(f"Invalid type for '{where}': expected an object.", where, "invalid_type")
    one = cast(Json, item)
    kind = one.get("type", "message")
    if kind == "message":
        _check_message(one, where)
    elif kind == "function_call" and not isinstance(one.get("arguments"), str):
        refuse(f"Invalid type for '{where}.arguments': expected a string.", f"{where}.arguments", "invalid_type")
    elif kind == "function_call_output" and not isinstance(one.get("output"), str | list):
        refuse(f"Missing required parameter: '{where}.output'.", f"{where}.output", "missing_required_parameter")
    elif not isinstance(kind, str) or not kind:
        refuse(f"Invalid value: '{kind}'.", where, "invalid_value")


def _check_message(message: Json, where: str) -> None:
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        supported = "'assistant', 'system', 'developer', and 'user'"
        refuse(f"Invalid value: '{role}'. Supported values are: {supported}.", where, "invalid_value")
    if not isinstance(content, str | list):
        refuse(f"Invalid type for '{where}.content': expected a string or an array.", f"{where}.content", "invalid_type")
    known = _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS
    for place, part in enumerate(cast("list[Json]", content) if isinstance(content, list) else []):
        if part.get("type") not in known:
            param = f"{where}.content[{place}]"
            supported = ", ".join(f"'{name}'" for name in known)
            refuse(f"Invalid value: '{part.get('type')}'. Supported values are: {supported}.", param, "invalid_value")


def _check_pairs(items: list[Json], *, remembered: bool) -> None:
    """Every call has its output, every output its call, found by call_id."""
    calls = [str(item.get("call_id")) for item in items if item.get("type") == "function_call"]
    outputs = [str(item.get("call_id")) for item in items if item.get("type") == "function_call_output"]
    for call_id in outputs:
        if call_id not in calls and not remembered:
            refuse(f"No tool call found for function call output with call_id {call_id}.", "input")
    for call_id in calls:
        if call_id not in outputs:
            refuse(f"No tool output found for function call {call_id}.", "input")


def _check_reasoning(items: list[Json], *, stored: bool) -> None:
    for index, item in enumerate(items):
        if item.get("type") != "reasoning":
            continue
        identity = item.get("id")
        if not item.get("encrypted_content") and not item.get("content") and not stored:
            message = f"Item with id '{identity}' not found. Items are not persisted when `store` is set to false."
            refuse(f"{message} Try again with `store` set to true, or remove this item from your input.", "input")
        _check_seal(item)
        if not _led_to(items[index + 1 :]):
            refuse(f"Item '{identity}' of type 'reasoning' was provided without its required following item.", "input")


def _check_seal(item: Json) -> None:
    sealed = item.get("encrypted_content")
    try:
        own = isinstance(sealed, str) and base64.b64decode(sealed, validate=True).startswith(_OWN_SEAL)
    except ValueError:
        own = False
    summary = "".join(str(part.get("text", "")) for part in cast("list[Json]", item.get("summary") or []))
    # What the simulator didn't seal comes from somebody's script and is taken as it is.
    if own and sealed != seal_reasoning(summary):
        message = f"The encrypted content {str(sealed)[:8]}... could not be verified."
        refuse(message, "input", "invalid_encrypted_content")


def _led_to(rest: list[Json]) -> bool:
    """Whether an item of the model's own comes next, behind further reasoning."""
    following = next((item for item in rest if item.get("type") != "reasoning"), None)
    if following is None or following.get("type") == "function_call_output":
        return False
    return following.get("role", "assistant") == "assistant"


def _check_tools(body: Json) -> None:
    tools = cast("list[Json]", body.get("tools") or [])
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if tool.get("type") != "function":
            continue
        if not isinstance(tool.get("name"), str):
            refuse(f"Missing required parameter: '{where}.name'.", f"{where}.name", "missing_required_parameter")
        if not _FUNCTION_NAME.match(tool["name"]):
            message = f"Invalid '{where}.name': string does not match pattern. Expected a string that matches '^[a-zA-Z0-9_-]+$'."
            refuse(message, f"{where}.name", "invalid_value")
        if tool.get("strict") is True:
            _check_strict(tool, where)
    choice = body.get("tool_choice")
    if not tools and (choice == "required" or isinstance(choice, dict)):
        refuse("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")


def _check_strict(tool: Json, where: str) -> None:
    schema = cast(Json, tool.get("parameters") or {})
    missing = sorted(set(schema.get("properties") or {}) - set(schema.get("required") or []))
    problem = f"Missing '{missing[0]}'." if missing else None
    if schema.get("additionalProperties") is not False:
        problem = "'additionalProperties' is required to be supplied and to be false."
    if problem:
        message = f"Invalid schema for function '{tool['name']}': In context=(), {problem}"
        refuse(message, f"{where}.parameters", "invalid_function_parameters")


def _check_parameters(body: Json, refused: frozenset[str]) -> None:
    for name in refused & body.keys():
        if name != "temperature" or body[name] != 1:
            refuse(f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter")
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and limit < _MIN_OUTPUT_TOKENS:
        message = f"Expected a value >= {_MIN_OUTPUT_TOKENS}, but got {limit} instead."
        refuse(
            f"Invalid 'max_output_tokens': integer below minimum value. {message}", "max_output_tokens", "integer_below_min_value"
        )
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if isinstance(value, int | float) and not 0 <= value <= high:
            refuse(f"Invalid '{name}': expected a value between 0 and {high}, but got {value} instead.", name)
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        refuse("Mutually exclusive parameters: 'previous_response_id' and 'conversation'.", "previous_response_id")
    if _format_of(body).get("type") == "json_object" and b"json" not in encode_json(body.get("input")).lower():
        message = "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
        refuse(message, "input")


def _format_of(body: Json) -> Json:
    return cast(Json, cast(Json, body.get("text") or {}).get("format") or {})


def _input_tokens(body: Json) -> int:
    return estimate_tokens(body.get("input"), body.get("instructions"), body.get("tools"))


def _ask_of(body: Json) -> Ask:
    items = _input_items(body)
    choice = body.get("tool_choice") or "auto"
    forced = cast(Json, choice).get("name") if isinstance(choice, dict) else None
    asked = _format_of(body)
    schema: Any = asked.get("schema")
    tools = [tool for tool in cast("list[Json]", body.get("tools") or []) if tool.get("type") == "function"]
    # Stored unless the request says otherwise: the answer repeats it.
    fields = frozenset(body) - {"store"} | ({"store"} if body.get("store") is not False else frozenset[str]())
    return Ask(
        model=body["model"],
        stream=bool(body.get("stream")),
        user_text=next((text for item in reversed(items) if item.get("role") == "user" and (text := _text_of(item))), ""),
        tools=[OfferedTool(tool["name"], tool.get("parameters") or {}) for tool in tools],
        tool_choice="required" if forced or choice == "required" else "none" if choice == "none" else "auto",
        forced_tool=forced,
        parallel=body.get("parallel_tool_calls") is not False,
        answered=bool(items) and items[-1].get("type") == "function_call_output",
        tool_rounds=_tool_rounds(items),
        schema=cast(Json, schema) if isinstance(schema, dict) else None,
        json_only=asked.get("type") == "json_object",
        max_tokens=body.get("max_output_tokens"),
        input_tokens=_input_tokens(body),
        fields=fields,
    )


def _text_of(item: Json) -> str:
    content = item.get("content")
    if not isinstance(content, list):
        return content or ""
    return "".join(str(part.get("text", "")) for part in cast("list[Json]", content) if part.get("type") == "input_text")


def _tool_rounds(items: list[Json]) -> int:
    """How often calls were answered since the user last spoke: a round's calls stand together, then their outputs."""
    rounds, answered = 0, False
    for item in reversed(items):
        if item.get("role") == "user":
            break
        kind = item.get("type")
        if kind == "function_call" and answered:
            rounds += 1
        answered = kind == "function_call_output" or (answered and kind != "function_call")
    return rounds
