"""Gemini generateContent as its server speaks it (ai.google.dev/api/generate-content, read 2026-11-20).

Every model here behaves like Gemini 3: it signs its calls and its last words, and wants the signatures back.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast
from urllib.parse import parse_qs

import msgspec

from ..ask import Ask, Call, OfferedTool, Refused
from ..script import RedactedThinkingStep, RefusalStep, Script, Step, Stop, TextStep, ThinkingStep, ToolCallStep
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
    refused_fields,
)

_ROUTE = re.compile(r"/v1(?:beta|alpha)?/(?:models|tunedModels)/(?P<model>[^:]+):(?P<method>\w+)")
_MODELS = re.compile(r"/v1(?:beta|alpha)?/models(?:/(?P<model>[^:]+))?")
_METHODS: dict[str, Operation] = {
    "generateContent": "generate",
    "streamGenerateContent": "generate",
    "countTokens": "count_tokens",
}
_STATUS: dict[Kind, tuple[int, str]] = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "overloaded": (503, "UNAVAILABLE"),
    "server_error": (500, "INTERNAL"),
    "bad_request": (400, "INVALID_ARGUMENT"),
    "auth": (401, "UNAUTHENTICATED"),
    "forbidden": (403, "PERMISSION_DENIED"),
    "not_found": (404, "NOT_FOUND"),
    "route_not_found": (404, "NOT_FOUND"),
    "unprocessable": (422, "INVALID_ARGUMENT"),
    "too_large": (413, "INVALID_ARGUMENT"),
    "quota": (429, "RESOURCE_EXHAUSTED"),
    "context_overflow": (400, "INVALID_ARGUMENT"),
    "content_filter": (400, "INVALID_ARGUMENT"),
}
_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_WORDING: dict[Kind, str] = {
    "rate_limit": _QUOTA,
    "overloaded": "The model is overloaded. Please try again later.",
    "server_error": "An internal error has occurred. Please retry or report in the developers' forum.",
    "bad_request": "Invalid JSON payload received.",
    "auth": "API key not valid. Please pass a valid API key.",
    "forbidden": "Permission denied on the resource.",
    "not_found": "models/{model} is not found for API version v1beta, or is not supported for generateContent. "
    "Call ListModels to see the list of available models and their supported methods.",
    "route_not_found": "The requested URL was not found on this server.",
    "unprocessable": "The request is well formed but cannot be processed.",
    "too_large": "Request payload size exceeds the limit: 20971520 bytes.",
    "quota": _QUOTA,
    "context_overflow": "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).",
    "content_filter": "The request was blocked for safety: PROHIBITED_CONTENT.",
}
_QUOTA_IDS: dict[Kind, str] = {
    "rate_limit": "GenerateRequestsPerMinutePerProjectPerModel",
    "quota": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
}
_FINISHES: dict[Stop, str] = {
    "end_turn": "STOP",
    "max_tokens": "MAX_TOKENS",
    "stop_sequence": "STOP",
    "tool_use": "STOP",
    "content_filter": "SAFETY",
    "refusal": "PROHIBITED_CONTENT",
    "pause": "CONTINUATION",
}
_MODES = {"NONE": "none", "AUTO": "auto", "ANY": "required", "VALIDATED": "auto"}
# Everything the method knows; anything else is refused as a name without a field.
_FIELDS = frozenset(
    (
        *("model", "contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig"),
        *("cachedContent", "serviceTier", "store", "continuationToken", "labels"),
    )
)
_CONFIG_FIELDS = frozenset(
    (
        *("candidateCount", "stopSequences", "maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty"),
        *("frequencyPenalty", "responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities"),
        *("responseLogprobs", "logprobs", "thinkingConfig", "mediaResolution", "speechConfig", "imageConfig"),
        *("enableEnhancedCivicAnswers", "audioTranscriptionConfig", "responseFormat", "translationConfig"),
    )
)
_PART_KINDS = (
    *("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"),
    *("toolCall", "toolResponse"),
)
_STAND_IN = "skip_thought_signature_validator"
_OWN_SIGNATURE = b"modeld-sim:"
_ARRAY = "as one JSON array"

Json = dict[str, Any]


def sign(value: Any) -> str:
    """A signature that the simulator can check when the part comes back, as the real API does with its own."""
    return base64.b64encode(_OWN_SIGNATURE + hashlib.sha256(encode_json(value)).digest()).decode()


class _Gemini:
    name = "gemini"
    title = "Gemini generateContent"
    framing = "sse"
    example_base_path = "/v1beta"
    adapter_type = "gemini"

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
        route = _ROUTE.fullmatch(path)
        if route is not None:
            return _METHODS.get(route["method"]) if method == "POST" else None
        # `/v1/models` is others' path too: the key's header tells them apart.
        if method != "GET" or (path.startswith("/v1/") and "x-goog-api-key" not in headers):
            return None
        listed = _MODELS.fullmatch(path)
        return None if listed is None else "get_model" if listed["model"] else "list_models"

    def peek(self, call: Call) -> Peek | None:
        route = _ROUTE.fullmatch(call.path)
        stream = route is not None and route["method"] == "streamGenerateContent"
        return None if route is None or (stream and not _as_sse(call)) else Peek(route["model"], stream, True)

    def read(self, call: Call, *, require_key: bool, refuse: Mapping[str, Sequence[str]]) -> Ask:
        model, stream = _route(call)
        body = _checked_body(call, require_key=require_key)
        config = cast(Json, body.get("generationConfig") or {})
        _check_fields(body, _FIELDS, "")
        _check_fields(config, _CONFIG_FIELDS, "generation_config.")
        for name in refused_fields(refuse, model) & (body.keys() | config.keys()):
            _refuse(f"{name} is not supported by this model.")
        _check_contents(body)
        _check_tools(body)
        _check_config(config)
        return _ask_of(body, config, model, stream=stream and _as_sse(call), as_array=stream and not _as_sse(call))

    def frames(self, script: Script, ask: Ask, stamp: Stamp) -> list[Frame]:
        frames: list[Frame] = []
        signed = False
        for index, step in enumerate(script.plain_steps()):
            frames += _step_frames(step, index, ask, script, stamp, signed=signed)
            signed = signed or isinstance(step, ToolCallStep)
        # The last words carry the signature of what was said, on an empty text.
        last: Json = {"text": ""} if signed or not frames else {"text": "", "thoughtSignature": _signature_of_words(script)}
        candidate = {"content": {"parts": [last], "role": "model"}, "index": 0, **_ending(script, stamp)}
        finish = Frame("", encode_json(_chunk([candidate], ask, stamp, _usage(script, ask))), end=True)
        if "no_end_marker" in script.irregular:
            return frames
        return [*frames, *[finish] * (2 if "duplicate_finish" in script.irregular else 1)]

    def whole(self, script: Script, ask: Ask, stamp: Stamp) -> bytes:
        if _ARRAY in ask.fields:
            return b"[" + b",\r\n".join(frame.data for frame in self.frames(script, ask, stamp)) + b"]\n"
        parts: list[Json] = []
        signed = False
        for index, step in enumerate(script.plain_steps()):
            parts += _whole_parts(step, index, stamp, signed=signed)
            signed = signed or isinstance(step, ToolCallStep)
        if parts and not signed and "thought" not in parts[-1]:
            parts[-1]["thoughtSignature"] = _signature_of_words(script)
        content: Json = {"parts": parts, "role": "model"} if parts else {"role": "model"}
        candidate = {"content": content, "index": 0, **_ending(script, stamp)}
        return encode_json(_chunk([candidate], ask, stamp, _usage(script, ask)))

    def failure(self, failure: Failure, ask: Ask | None, request_id: str) -> Rendered:
        status, body = _failure_body(failure, ask)
        return Rendered(status, encode_json(body), content_type="application/json; charset=UTF-8")

    def failure_frame(self, failure: Failure, request_id: str) -> Frame:
        return Frame("", encode_json(_failure_body(failure, None)[1]))

    def noise(self) -> Frame:
        return Frame("", encode_json({"modelStatus": {"modelStage": "STABLE"}, "simulatedUnknown": {"x": [1]}}))

    def keep_alive(self) -> bytes:
        return b": keep-alive\n\n"

    def head(self, request_id: str) -> list[tuple[str, str]]:
        return [("server-timing", "gfet4t7; dur=1"), ("x-frame-options", "SAMEORIGIN")]

    def count(self, call: Call, *, require_key: bool) -> Rendered:
        body = _checked_body(call, require_key=require_key)
        whole = body.get("generateContentRequest")
        if isinstance(whole, dict):
            _check_fields(cast(Json, whole), _FIELDS, "generate_content_request.")
            _check_contents(cast(Json, whole))
        elif not body.get("contents"):
            _refuse("* CountTokensRequest.contents: contents is not specified")
        tokens = _input_tokens(cast(Json, whole) if isinstance(whole, dict) else body)
        details = [{"modality": "TEXT", "tokenCount": tokens}]
        return Rendered(200, encode_json({"totalTokens": tokens, "promptTokensDetails": details}))

    def models(self, call: Call, names: Sequence[str]) -> Rendered:
        found = _MODELS.fullmatch(call.path)
        one = found["model"] if found else None
        if one:
            if one not in names:
                raise Refused("not_found", "")
            return Rendered(200, encode_json(_model_info(one)))
        query = parse_qs(call.query)
        token, size = query.get("pageToken", ["0"])[0], query.get("pageSize", ["50"])[0]
        start = int(token) if token.isdigit() else 0
        end = start + (int(size) if size.isdigit() else 50)
        listed: Json = {"models": [_model_info(name) for name in names[start:end]]}
        if end < len(names):
            listed["nextPageToken"] = str(end)
        return Rendered(200, encode_json(listed))


WIRE = _Gemini()


# ---- answers


def _chunk(candidates: list[Json], ask: Ask, stamp: Stamp, usage: Json | None) -> Json:
    head: Json = {"candidates": candidates}
    if usage is not None:
        head["usageMetadata"] = usage
    return {**head, "modelVersion": ask.model, "responseId": stamp.id}


def _part_frames(before: str, pieces: Sequence[str], after: str, ask: Ask, script: Script, stamp: Stamp) -> list[Frame]:
    """One frame for each piece, from a template: long answers are mostly these."""
    usage = _usage(script, ask, so_far=True)
    tail = encode_json(_chunk([], ask, stamp, usage)).replace(b'{"candidates":[]', b"", 1)
    start = b'{"candidates":[{"content":{"parts":[{' + before.encode()
    end = after.encode() + b'}],"role":"model"},"index":0}]' + tail
    return [Frame("", start + encode_json(piece) + end, content=True) for piece in pieces]


def _step_frames(step: Step, index: int, ask: Ask, script: Script, stamp: Stamp, *, signed: bool) -> list[Frame]:
    match step:
        case TextStep():
            return _part_frames('"text":', step.chunks(), "", ask, script, stamp)
        case ThinkingStep():
            return _part_frames('"text":', step.chunks(), ',"thought":true', ask, script, stamp)
        case ToolCallStep():
            part = _call_part(step, index, stamp, signed=signed)
            candidate = {"content": {"parts": [part], "role": "model"}, "index": 0}
            return [Frame("", encode_json(_chunk([candidate], ask, stamp, _usage(script, ask, so_far=True))), content=True)]
        case RefusalStep() | RedactedThinkingStep():
            return []  # a refusal is a way to stop here, and encrypted reasoning is the signature itself


def _whole_parts(step: Step, index: int, stamp: Stamp, *, signed: bool) -> list[Json]:
    match step:
        case TextStep():
            return [{"text": "".join(step.chunks())}]
        case ThinkingStep():
            return [{"text": "".join(step.chunks()), "thought": True}]
        case ToolCallStep():
            return [_call_part(step, index, stamp, signed=signed)]
        case RefusalStep() | RedactedThinkingStep():
            return []


def _call_part(step: ToolCallStep, index: int, stamp: Stamp, *, signed: bool) -> Json:
    """Only the first of parallel calls is signed. Arguments are an object here: what doesn't parse is an empty one."""
    try:
        args = msgspec.json.decode(step.arguments() or "{}", type=Json)
    except msgspec.DecodeError:
        args = {}
    part: Json = {"functionCall": {"name": step.name, "args": args, "id": step.id or stamp.numbered("fc_", index)}}
    if not signed:
        part["thoughtSignature"] = sign([step.name, args])
    return part


def _signature_of_words(script: Script) -> str:
    given = [step.signature for step in script.plain_steps() if isinstance(step, ThinkingStep) and step.signature]
    return given[0] if given else sign(["words"])


def _ending(script: Script, stamp: Stamp) -> Json:
    ending: Json = {"finishReason": _FINISHES[script.stop_reason()]}
    refusals = [step.text for step in script.plain_steps() if isinstance(step, RefusalStep)]
    if refusals:
        ending["finishMessage"] = "".join(refusals)
    if ending["finishReason"] == "CONTINUATION":
        ending["continuationToken"] = base64.b64encode(stamp.id.encode()).decode()
    return ending


def _usage(script: Script, ask: Ask, *, so_far: bool = False) -> Json | None:
    """The counts; while the answer is under way only the prompt's."""
    if "no_usage" in script.irregular:
        return None
    usage = script.usage
    prompt = (ask.input_tokens if usage.input is None else usage.input) + usage.cached + usage.cache_write
    details = [{"modality": "TEXT", "tokenCount": prompt}]
    if so_far:
        return {"promptTokenCount": prompt, "totalTokenCount": prompt, "promptTokensDetails": details}
    thoughts = script.reasoning_tokens()
    answer = max(script.output_tokens() - thoughts, 0)
    reported: Json = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": answer,
        "totalTokenCount": prompt + answer + thoughts,
        "promptTokensDetails": details,
    }
    if usage.cached:
        reported["cachedContentTokenCount"] = usage.cached
    if thoughts:
        reported["thoughtsTokenCount"] = thoughts
    return {**reported, "serviceTier": "standard"}


def _failure_body(failure: Failure, ask: Ask | None) -> tuple[int, Json]:
    status, name = _STATUS[failure.kind]
    message = failure.message or _WORDING[failure.kind].replace("{model}", ask.model if ask else "unknown")
    error: Json = {"code": failure.status or status, "message": message, "status": name}
    details: list[Json] = []
    if failure.kind in _QUOTA_IDS:
        violation = {"quotaMetric": "generativelanguage.googleapis.com/requests", "quotaId": _QUOTA_IDS[failure.kind]}
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]})
    if failure.kind == "auth":
        info = {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info})
    if details:
        error["details"] = details
    return failure.status or status, {"error": error}


def _model_info(name: str) -> Json:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A simulated model",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "maxTemperature": 2,
        "topP": 0.95,
        "topK": 64,
        "thinking": True,
    }


# ---- requests


def _refuse(message: str) -> NoReturn:
    raise Refused("bad_request", message)


def _route(call: Call) -> tuple[str, bool]:
    route = _ROUTE.fullmatch(call.path)
    assert route is not None
    return route["model"], route["method"] == "streamGenerateContent"


def _as_sse(call: Call) -> bool:
    return parse_qs(call.query).get("alt") == ["sse"]


def _checked_body(call: Call, *, require_key: bool) -> Json:
    if require_key and credential_of(call.headers) is None and not parse_qs(call.query).get("key"):
        message = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
        raise Refused("forbidden", message + "other form of API consumer identity to call this API.")
    try:
        return msgspec.json.decode(call.body, type=Json)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Refused("bad_request", _WORDING["bad_request"]) from None


def _check_fields(held: Json, known: frozenset[str], where: str) -> None:
    for name in held:
        camel = re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
        if camel not in known:
            _refuse(f"Invalid JSON payload received. Unknown name \"{name}\" at '{where.rstrip('.')}': Cannot find field.")


def _contents(body: Json) -> list[Json]:
    return cast("list[Json]", body.get("contents") or [])


def _parts(content: Json) -> list[Json]:
    return cast("list[Json]", content.get("parts") or [])


def _check_contents(body: Json) -> None:
    contents = _contents(body)
    if not contents:
        _refuse("* GenerateContentRequest.contents: contents is not specified")
    open_calls: list[Json] = []
    for place, content in enumerate(contents):
        if content.get("role") not in (None, "user", "model"):
            _refuse("Please use a valid role: user, model.")
        if not _parts(content):
            _refuse(f"* GenerateContentRequest.contents[{place}].parts: contents.parts must not be empty.")
        for number, part in enumerate(_parts(content)):
            _check_part(part, f"contents[{place}].parts[{number}]")
        results = [cast(Json, part["functionResponse"]) for part in _parts(content) if "functionResponse" in part]
        if open_calls or results:
            _check_results(open_calls, results)
        open_calls = [cast(Json, part["functionCall"]) for part in _parts(content) if "functionCall" in part]
        _check_signatures(_parts(content), place)
    if open_calls:
        _refuse("Please ensure that function call turns are followed by a function response turn.")


def _check_part(part: Json, where: str) -> None:
    if sum(kind in part for kind in _PART_KINDS) != 1:
        _refuse(f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized field")
    result = part.get("functionResponse")
    if isinstance(result, dict) and not isinstance(cast(Json, result).get("response"), dict):
        _refuse(f"* GenerateContentRequest.{where}.function_response.response: must be an object")


def _check_results(calls: list[Json], results: list[Json]) -> None:
    """Results stand right behind their calls, as many of them, with their ids where both have one, else in their order."""
    if len(calls) != len(results):
        _refuse(
            "Please ensure that the number of function response parts is equal to the number of function call parts of the "
            "function call turn."
        )
    ids = {call.get("id") for call in calls}
    for call, result in zip(calls, results, strict=True):
        if result.get("id") is not None and result["id"] not in ids:
            _refuse(f"Function response id {result['id']} is that of no call.")
        if result.get("id") is None and result.get("name") != call.get("name"):
            _refuse(f"Function response {result.get('name')} does not match the call {call.get('name')}.")


def _check_signatures(parts: list[Json], place: int) -> None:
    calls = [part for part in parts if "functionCall" in part]
    if calls and not calls[0].get("thoughtSignature"):
        name = cast(Json, calls[0]["functionCall"]).get("name")
        _refuse(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. "
            f"Additional data, function call `{name}`, position {place}."
        )
    for part in parts:
        signature = part.get("thoughtSignature")
        if signature is not None and signature != _STAND_IN and not _is_ours(signature, part):
            _refuse("Thought signature is not valid.")


def _is_ours(signature: Any, part: Json) -> bool:
    """Both alphabets of base64 are one here: the official SDK sends the other one than it was given."""
    call = part.get("functionCall")
    given = str(signature).replace("-", "+").replace("_", "/")
    if isinstance(call, dict):
        held = cast(Json, call)
        return given == sign([held.get("name"), held.get("args") or {}])
    try:
        return base64.b64decode(given, validate=True) != b""
    except (binascii.Error, ValueError):
        return False


def _check_tools(body: Json) -> None:
    declared = _declarations(body)
    names = [str(one.get("name", "")) for one in declared]
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", name):
            _refuse(f"* GenerateContentRequest.tools[0].function_declarations: Invalid function name {name}.")
    if len(set(names)) != len(names):
        _refuse("Duplicate function declaration found.")
    calling = _calling(body)
    if calling.get("mode") not in (None, *_MODES):
        _refuse("Invalid value at 'tool_config.function_calling_config.mode'")
    if calling.get("mode") == "ANY" and not names:
        _refuse("Function calling mode is set to ANY but no function declarations are given.")
    for name in cast("list[str]", calling.get("allowedFunctionNames") or []):
        if name not in names:
            _refuse(f"allowed_function_names: {name} is not declared.")
    if body.get("cachedContent") and (declared or body.get("systemInstruction") or body.get("toolConfig")):
        _refuse("CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.")


def _check_config(config: Json) -> None:
    thinking = cast(Json, config.get("thinkingConfig") or {})
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        _refuse("You can only set only one of thinking budget and thinking level.")
    if thinking.get("thinkingLevel") not in (None, "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"):
        _refuse("Invalid value at 'generation_config.thinking_config.thinking_level'")
    if config.get("responseSchema") and config.get("responseJsonSchema"):
        _refuse("response_schema and response_json_schema are mutually exclusive.")
    if (config.get("responseSchema") or config.get("responseJsonSchema")) and not config.get("responseMimeType"):
        _refuse("response_schema requires response_mime_type application/json.")
    for name, low, high in (("temperature", 0, 2), ("topP", 0, 1)):
        value = config.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            _refuse(f"* GenerateContentRequest.generation_config.{name}: must be in the range [{low}, {high}].")
    if len(cast("list[str]", config.get("stopSequences") or [])) > 5:
        _refuse("* GenerateContentRequest.generation_config.stop_sequences: at most 5.")


def _declarations(body: Json) -> list[Json]:
    tools = cast("list[Json]", body.get("tools") or [])
    return [one for tool in tools for one in cast("list[Json]", tool.get("functionDeclarations") or [])]


def _calling(body: Json) -> Json:
    return cast(Json, cast(Json, body.get("toolConfig") or {}).get("functionCallingConfig") or {})


def _ask_of(body: Json, config: Json, model: str, *, stream: bool, as_array: bool) -> Ask:
    contents = _contents(body)
    allowed = cast("list[str]", _calling(body).get("allowedFunctionNames") or [])
    schema: Any = config.get("responseJsonSchema") or config.get("responseSchema")
    return Ask(
        model=model,
        stream=stream,
        user_text=_user_text(contents),
        tools=[_tool(one) for one in _declarations(body)],
        tool_choice=_MODES[_calling(body).get("mode") or "AUTO"],
        forced_tool=allowed[0] if len(allowed) == 1 else None,
        answered=any("functionResponse" in part for part in _parts(contents[-1])),
        tool_rounds=_tool_rounds(contents),
        schema=cast(Json, schema) if isinstance(schema, dict) else None,
        json_only=config.get("responseMimeType") == "application/json" and not schema,
        max_tokens=config.get("maxOutputTokens"),
        stop_sequences=cast("list[str]", config.get("stopSequences") or []),
        input_tokens=_input_tokens(body),
        fields=frozenset((*body, *config, *((_ARRAY,) if as_array else ()))),
    )


def _tool(declaration: Json) -> OfferedTool:
    schema: Any = declaration.get("parametersJsonSchema") or declaration.get("parameters") or {}
    return OfferedTool(declaration.get("name", ""), schema)


def _input_tokens(body: Json) -> int:
    return estimate_tokens(body.get("contents"), body.get("systemInstruction"), body.get("tools"))


def _user_text(contents: list[Json]) -> str:
    """The text of the last turn of the user's that has any."""
    for content in reversed(contents):
        if content.get("role") != "model":
            text = "".join(str(part["text"]) for part in _parts(content) if "text" in part)
            if text:
                return text
    return ""


def _tool_rounds(contents: list[Json]) -> int:
    rounds = 0
    for content in reversed(contents):
        parts = _parts(content)
        if content.get("role") != "model" and not any("functionResponse" in part for part in parts):
            break
        rounds += content.get("role") == "model" and any("functionCall" in part for part in parts)
    return rounds
