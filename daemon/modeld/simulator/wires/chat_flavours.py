"""The relatives of Chat Completions as their servers speak it: one row each for what they do otherwise.

A flavour answers below `/<name>/v1` of the simulator. Seen in recorded traffic and documented by each (links in the catalog's
rows; 2026-11-20): where reasoning sits, where usage sits, what is left out, how ids look, how they say no, what they refuse.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import msgspec

from ..ask import Ask, Call, Refused
from ..script import Script
from .contract import Failure, Frame, Kind, Operation, Peek, Rendered, Stamp, encode_json, estimate_tokens
from .openai_chat import WIRE as PLAIN
from .openai_shared import failure_error

Json = dict[str, Any]
Check = Callable[[Json], str | None]
"""What this provider refuses in a body that is well formed elsewhere, None for nothing."""


class Flavour(NamedTuple):
    """How one provider departs from the plain wire. `split_on_request`: reasoning stands in the content, between tags, unless
    the request asks for it apart. `sparse`: keys without a value are left out. `business_codes` are numbers as text."""

    name: str
    reasoning: Literal["reasoning_content", "reasoning", "details", "tags", "split_on_request"] = "reasoning_content"
    usage: Literal["own_frame", "finish", "choice", "everywhere"] = "own_frame"
    end_marker: bool = True
    sparse: bool = False
    whole_calls: bool = False
    call_id: str = "call_{stamp}{index:02d}"
    keep_alive: bytes = b": keep-alive\n\n"
    padding: bytes = b""
    cost_per_token: float | None = None
    errors: Literal["openai", "flat", "router", "business_codes", "base_resp", "typed"] = "openai"
    check: Check = lambda _body: None
    counts: Literal["", "/tokenizers/estimate-token-count", "/tokenizer"] = ""
    context_field: str | None = None


# ---- what they refuse


_THOUGHTLESS = re.compile(r"deepseek-(chat|v[23])|moonshot-v1|kimi-k2(?![.\d]|-thinking)")
_FORGETFUL = re.compile(r"deepseek-(reasoner|r1)")


def _needs_reasoning(body: Json) -> str | None:
    """Calls in the history without their reasoning; at some of the older models, reasoning in the history at all."""
    model = str(body["model"])
    if _FORGETFUL.search(model):
        held = any("reasoning_content" in message for message in cast("list[Json]", body["messages"]))
        return "The reasoning_content is an intermediate result for display purposes only, it must not be sent" if held else None
    if _THOUGHTLESS.search(model):
        return None
    if cast(Json, body.get("thinking") or {}).get("type") == "disabled":
        return None
    for message in cast("list[Json]", body["messages"]):
        if message.get("tool_calls") and not message.get("reasoning_content"):
            return "The reasoning_content in the thinking mode must be passed back to the API."
    return None


def _open_interval(body: Json) -> str | None:
    if body.get("tool_choice") not in (None, "auto"):
        return "tool_choice only supports auto"
    outside = [name for name in ("temperature", "top_p") if name in body and not 0 < body[name] < 1]
    return f"{outside[0]} must be between 0 and 1, both excluded" if outside else None


def _one_kind_of_thinking(body: Json) -> str | None:
    return (
        "reasoning_effort and thinking_budget are exclusive" if {"reasoning_effort", "thinking_budget"} <= body.keys() else None
    )


def _fixed_sampling(body: Json) -> str | None:
    schemas = [cast(Json, tool["function"]).get("parameters", {}) for tool in cast("list[Json]", body.get("tools") or [])]
    if any("$schema" in schema for schema in schemas):
        return "tools.function.parameters is not a valid moonshot flavored json schema"
    if "temperature" in body and not re.match(r"moonshot-v1|kimi-k2(?![.\d])", str(body["model"])):
        return "invalid temperature: only 1 is allowed for this model"
    return _needs_reasoning(body)


def _above_zero(body: Json) -> str | None:
    return "invalid params, temperature must be above 0" if body.get("temperature") == 0 else None


def _tools_or_schema(body: Json) -> str | None:
    form = cast(Json, body.get("response_format") or {}).get("type")
    return "json_schema response format can't be combined with tools" if body.get("tools") and form == "json_schema" else None


FLAVOURS = (
    Flavour("deepseek", usage="finish", check=_needs_reasoning),
    Flavour("qwen", sparse=True, check=_one_kind_of_thinking),
    Flavour(
        "glm",
        usage="finish",
        sparse=True,
        whole_calls=True,
        errors="business_codes",
        check=_open_interval,
        counts="/tokenizer",
    ),
    Flavour(
        "kimi",
        usage="choice",
        call_id="functions.{name}:{index}",
        errors="typed",
        check=_fixed_sampling,
        counts="/tokenizers/estimate-token-count",
        context_field="context_length",
    ),
    Flavour(
        "minimax", reasoning="split_on_request", end_marker=False, sparse=True, errors="base_resp", check=_above_zero
    ),
    Flavour(
        "openrouter",
        reasoning="details",
        keep_alive=b": OPENROUTER PROCESSING\n\n",
        padding=b"\n         \n\n         \n",
        cost_per_token=2e-6,
        errors="router",
        context_field="context_length",
    ),
    Flavour("groq", reasoning="reasoning", usage="everywhere", check=_tools_or_schema, context_field="context_window"),
    Flavour("cerebras", reasoning="reasoning", usage="finish", end_marker=False, sparse=True, errors="flat"),
)  # fmt: skip


class FlavouredChat:
    """The plain wire, with a flavour. See SimWire."""

    framing = "sse"

    def __init__(self, flavour: Flavour) -> None:
        self.flavour = flavour
        self.name = f"openai-chat-{flavour.name}"
        self.title = f"Chat Completions as {flavour.name} speaks it"
        self.example_base_path = f"/{flavour.name}/v1"
        self.adapter_type = flavour.name

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
        """See SimWire."""
        if not path.startswith(self.example_base_path):
            return None
        if self.flavour.counts and path.endswith(self.flavour.counts):
            return "count_tokens"
        return PLAIN.match(method, self._plain_path(path), headers)

    def _plain_path(self, path: str) -> str:
        return path.removeprefix(f"/{self.flavour.name}")

    def peek(self, call: Call) -> Peek | None:
        """See SimWire."""
        return PLAIN.peek(call)

    def read(self, call: Call, *, require_key: bool, refuse: Mapping[str, Sequence[str]]) -> Ask:
        """See SimWire."""
        ask = PLAIN.read(call, require_key=require_key, refuse=refuse)
        body = msgspec.json.decode(call.body, type=Json)
        fault = self.flavour.check(body)
        if fault is not None:
            raise Refused("bad_request", fault)
        return ask

    def noise(self) -> Frame:
        """See SimWire."""
        return PLAIN.noise()

    def keep_alive(self) -> bytes:
        """See SimWire."""
        return self.flavour.keep_alive

    def head(self, request_id: str) -> list[tuple[str, str]]:
        """See SimWire."""
        return [("x-request-id", request_id)]

    def count(self, call: Call, *, require_key: bool) -> Rendered:
        """See SimWire."""
        ask = PLAIN.read(call, require_key=require_key, refuse={})
        tokens = {"total_tokens": estimate_tokens(ask.user_text)}
        estimated = self.flavour.counts == "/tokenizers/estimate-token-count"
        return Rendered(200, encode_json({"code": 0, "data": tokens} if estimated else {"id": "1", "usage": tokens}))

    def models(self, call: Call, names: Sequence[str]) -> Rendered:
        """See SimWire."""
        found = PLAIN.models(msgspec.structs.replace(call, path=self._plain_path(call.path)), names)
        field = self.flavour.context_field
        if field is None:
            return found
        listed = msgspec.json.decode(found.body, type=Json)
        for row in cast("list[Json]", listed.get("data", [])):
            row[field] = 131_072
        return Rendered(found.status, encode_json(listed))

    # ---- answers

    def frames(self, script: Script, ask: Ask, stamp: Stamp) -> list[Frame]:
        """See SimWire."""
        plain = [frame for frame in PLAIN.frames(script, ask, stamp) if not frame.end]
        chunks = self._usage_placed([msgspec.json.decode(frame.data, type=Json) for frame in plain])
        split = "reasoning_split" in ask.fields
        chunks = list(_spoken(chunks, self._field(split=split)))
        if self.flavour.whole_calls:
            chunks = list(_joined_calls(chunks))
        for chunk in chunks:
            self._trim(chunk, stamp)
        frames = [Frame("", encode_json(chunk), _has_content(chunk)) for chunk in chunks]
        marked = self.flavour.end_marker and "no_end_marker" not in script.irregular
        return [*frames, Frame("", b"[DONE]", end=True)] if marked else frames

    def whole(self, script: Script, ask: Ask, stamp: Stamp) -> bytes:
        """See SimWire."""
        body = msgspec.json.decode(PLAIN.whole(script, ask, stamp), type=Json)
        message = body["choices"][0]["message"]
        thought = message.pop("reasoning_content", None)
        if thought:
            field = self._field(split="reasoning_split" in ask.fields)
            if field == "tags":
                message["content"] = f"<think>\n{thought}\n</think>\n\n{message['content'] or ''}"
            else:
                message |= _reasoning(field, thought)
        self._priced(body.get("usage"))
        self._trim(body, stamp)
        return self.flavour.padding + encode_json(body)

    def _field(self, *, split: bool) -> str:
        kind = self.flavour.reasoning
        if kind != "split_on_request":
            return kind
        return "details" if split else "tags"

    def _priced(self, usage: Json | None) -> None:
        if usage is not None and self.flavour.cost_per_token is not None:
            usage |= {"cost": usage["total_tokens"] * self.flavour.cost_per_token, "is_byok": False}

    def _usage_placed(self, chunks: list[Json]) -> list[Json]:
        """The counts where this provider puts them."""
        if not chunks or not chunks[-1].get("usage"):
            return chunks
        usage = chunks[-1]["usage"]
        self._priced(usage)
        where = self.flavour.usage
        if where == "own_frame":
            return chunks
        finish = chunks[-2]
        if where == "choice":
            finish["choices"][0]["usage"] = usage
        else:
            finish["usage"] = usage
        if where != "everywhere":
            return chunks[:-1]
        finish["x_groq"] = {"id": finish["id"], "usage": usage}
        return chunks

    def _trim(self, chunk: Json, stamp: Stamp) -> None:
        """Ids as this provider makes them, and nothing that it leaves out."""
        for choice in cast("list[Json]", chunk.get("choices") or []):
            said = cast(Json, choice.get("delta") or choice.get("message") or {})
            for place, call in enumerate(cast("list[Json]", said.get("tool_calls") or [])):
                if call.get("id"):
                    names = {"stamp": stamp.id, "index": call.get("index", place), "name": call["function"]["name"]}
                    call["id"] = self.flavour.call_id.format(**names)
            if self.flavour.sparse:
                for part in (choice, said):
                    for name in [name for name, value in part.items() if value is None]:
                        del part[name]
        if self.flavour.sparse and chunk.get("usage", 0) is None:
            del chunk["usage"]

    # ---- refusals

    def failure(self, failure: Failure, ask: Ask | None, request_id: str) -> Rendered:
        """See SimWire."""
        status, error = failure_error(failure, ask)
        headers = [("x-request-id", request_id)]
        return Rendered(status, encode_json(self._failed(failure.kind, status, error)), headers)

    def failure_frame(self, failure: Failure, request_id: str) -> Frame:
        """See SimWire."""
        status, error = failure_error(failure, None)
        # A flat body is one of an answer that is nothing else; in a stream even this provider wraps it.
        flat = self.flavour.errors == "flat"
        body = {"error": error, "status_code": status} if flat else self._failed(failure.kind, status, error)
        if self.flavour.errors == "router":
            body |= {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}
        return Frame("", encode_json(body))

    def _failed(self, kind: Kind, status: int, error: Json) -> Json:
        shape, message = self.flavour.errors, error["message"]
        if shape == "flat":
            return error
        if shape == "business_codes":
            return {"error": {"code": _BUSINESS_CODES.get(kind, "500"), "message": message}}
        if shape == "base_resp":
            return {"base_resp": {"status_code": _BASE_RESP_CODES.get(kind, 1000), "status_msg": message}}
        if shape == "typed":
            return {"error": {"message": message, "type": _TYPES.get(kind, "invalid_request_error")}}
        if shape == "router":
            return {"error": {"code": status, "message": message}, "user_id": "user_simulated"}
        return {"error": error}


_BUSINESS_CODES: dict[Kind, str] = {
    **{"rate_limit": "1302", "overloaded": "500", "bad_request": "1210", "unprocessable": "1214", "auth": "1000"},
    **{"forbidden": "1220", "not_found": "1211", "quota": "1113", "context_overflow": "1261", "server_error": "1234"},
    **{"content_filter": "1301"},
}
_BASE_RESP_CODES: dict[Kind, int] = {
    **{"rate_limit": 1002, "overloaded": 1013, "bad_request": 2013, "unprocessable": 2013, "auth": 1004, "not_found": 2013},
    **{"forbidden": 2049, "content_filter": 1026, "quota": 1008, "server_error": 1013, "context_overflow": 2013},
}
_TYPES: dict[Kind, str] = {
    **{"rate_limit": "rate_limit_reached_error", "overloaded": "engine_overloaded_error", "auth": "invalid_authentication_error"},
    **{"quota": "exceeded_current_quota_error", "not_found": "resource_not_found_error", "server_error": "server_error"},
    **{"content_filter": "content_filter"},
}


def _reasoning(field: str, thought: str) -> Json:
    if field != "details":
        return {field: thought}
    detail = {"type": "reasoning.text", "text": thought, "format": "unknown", "index": 0}
    return {"reasoning": thought, "reasoning_details": [detail]}


def _spoken(chunks: Sequence[Json], field: str) -> Iterator[Json]:
    """Reasoning where this provider puts it; between tags, the first piece opens them and what follows closes them."""
    opened = False
    for chunk in chunks:
        delta = _delta(chunk)
        thought = delta.pop("reasoning_content", None)
        if thought is not None:
            tagged = {"content": thought if opened else f"<think>\n{thought}"}
            delta |= tagged if field == "tags" else _reasoning(field, thought)
            opened = True
        elif opened and field == "tags" and delta:
            opened = False
            delta["content"] = f"\n</think>\n\n{delta.get('content') or ''}"
        yield chunk


def _joined_calls(chunks: Sequence[Json]) -> Iterator[Json]:
    """Every call in one piece."""
    held: Json | None = None
    for chunk in chunks:
        calls = _delta(chunk).get("tool_calls")
        if calls and not calls[0].get("id") and held is not None:
            _delta(held)["tool_calls"][0]["function"]["arguments"] += calls[0]["function"]["arguments"]
            continue
        if held is not None:
            yield held
        held = chunk
    if held is not None:
        yield held


def _delta(chunk: Json) -> Json:
    choices = chunk.get("choices")
    return cast(Json, choices[0].get("delta") or {}) if choices else {}


def _has_content(chunk: Json) -> bool:
    delta = _delta(chunk)
    return any(delta.get(name) for name in ("content", "reasoning_content", "reasoning", "reasoning_details", "tool_calls"))


WIRES = tuple(FlavouredChat(flavour) for flavour in FLAVOURS)
