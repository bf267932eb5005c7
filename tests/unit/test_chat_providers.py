"""The relatives of the chat wire: what each provider's row sends for what was asked, and how its answers are read and go back."""

import json
from typing import Any

import msgspec
import pytest

from modeld.config.schema import AdapterConfig
from modeld.providers.assembler import Assembler
from modeld.providers.catalog import facts_of, models_of, price_of, row_of
from modeld.providers.endpoint import endpoint_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.content import Message, ToolResultBlock, ToolUseBlock
from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest

PROVIDERS = ("deepseek", "qwen", "glm", "kimi", "minimax", "openrouter", "groq", "cerebras")
WEATHER = {"name": "weather", "input_schema": {"$schema": "x", "type": "object", "properties": {"city": {"type": "string"}}}}
TIME = {"name": "time", "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}}}


def spec(type_name: str, wire_name: str) -> ModelSpec:
    row = row_of(type_name)
    facts = facts_of(row, wire_name)
    return ModelSpec(
        f"{type_name}:{wire_name}", type_name, type_name, row.wire, wire_name, facts.capabilities, facts.limits, facts.quirks
    )


def encode(type_name: str, wire_name: str, *, stream: bool = False, **asked: Any) -> Encoded:
    request = msgspec.convert({"messages": "Hi", **asked}, CanonicalRequest)
    first = WIRE.encode(request, spec(type_name, wire_name), stream=stream)
    assert WIRE.encode(request, spec(type_name, wire_name), stream=stream) == first
    return first


def body_of(type_name: str, wire_name: str, *, stream: bool = False, **asked: Any) -> dict[str, Any]:
    return json.loads(encode(type_name, wire_name, stream=stream, **asked).body)


def sent(type_name: str, wire_name: str, **asked: Any) -> dict[str, Any]:
    """What goes out beside model, messages and tools."""
    body = body_of(type_name, wire_name, **asked)
    return {name: value for name, value in body.items() if name not in ("model", "messages", "tools")}


# ---- rows


@pytest.mark.parametrize("type_name", PROVIDERS)
def test_what_is_offered_has_a_price_and_limits(type_name: str) -> None:
    row, offered = row_of(type_name), models_of(type_name)
    assert row.wire == "openai_chat"
    assert row.base_url.startswith("https://") and row.needs_key and row.key_env
    assert all(url.startswith("https://") for url in row.regions.values())
    assert not row.regions or row.base_url in row.regions.values()
    assert sum(model.default for model in offered) == 1
    for model in offered:
        limits, price = facts_of(row, model.name).limits, price_of(row, model.name)
        assert limits.max_context_tokens and (limits.max_output_tokens or 0) < limits.max_context_tokens
        assert price and price.input is not None and price.output is not None and 0 < price.input < price.output


# (type, model): thinking, on by default, can be off, levels, what becomes of reasoning in the history
THINKS: dict[tuple[str, str], tuple[str, bool, bool, tuple[str, ...], str]] = {
    ("deepseek", "deepseek-v4-pro"): ("effort", True, True, ("low", "high", "xhigh", "max"), "provider tools reasoning_content"),
    ("deepseek", "deepseek-reasoner"): ("switch", True, False, (), "omit"),
    ("deepseek", "deepseek-chat"): ("none", False, True, (), "omit"),
    ("qwen", "qwen-turbo"): ("budget", False, True, (), "omit"),
    ("qwen", "qwen3-coder-plus"): ("none", False, True, (), "omit"),
    ("qwen", "qwen3-235b-a22b-thinking-2507"): ("budget", True, False, (), "omit"),
    ("qwen", "qwen3-32b"): ("budget", True, True, (), "omit"),
    ("qwen", "qwen3.7-plus"): ("budget", False, True, (), "provider tools"),
    ("qwen", "qwen4-max"): (
        *("effort", True, True),
        ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
        "provider all model",
    ),
    ("glm", "glm-4.7-flash"): ("effort", True, True, (), "provider all"),
    ("glm", "glm-5.2"): (
        *("effort", True, True),
        ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
        "provider all",
    ),
    ("glm", "glm-5.3-flash"): ("effort", True, False, ("low", "high", "max"), "provider all"),
    ("glm", "glm-4-plus"): ("none", False, True, (), "provider all"),
    ("kimi", "kimi-k2.6"): ("switch", True, True, (), "provider all reasoning_content"),
    ("kimi", "kimi-k2.7-code"): ("switch", True, False, (), "provider all reasoning_content"),
    ("kimi", "kimi-k3.1-pro"): ("effort", True, False, ("low", "high", "max"), "provider all reasoning_content"),
    ("kimi", "moonshot-v1-8k"): ("none", False, True, (), "omit"),
    ("minimax", "MiniMax-M3"): ("switch", True, True, (), "provider all"),
    ("minimax", "MiniMax-M2.7"): ("switch", True, False, (), "provider all"),
    ("openrouter", "anthropic/claude-opus-5.5"): (
        *("effort", False, True),
        ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
        "provider all model",
    ),
    ("openrouter", "openai/gpt-4o"): ("none", False, True, (), "provider all model"),
    ("groq", "openai/gpt-oss-120b"): ("effort", True, False, ("low", "medium", "high"), "provider tools"),
    ("groq", "qwen/qwen3-32b"): ("effort", True, True, ("none", "default"), "provider tools"),
    ("groq", "llama-3.3-70b-versatile"): ("none", False, True, (), "omit"),
    ("cerebras", "gpt-oss-120b"): ("effort", True, False, ("low", "medium", "high"), "provider all"),
    ("cerebras", "zai-glm-4.7"): ("switch", True, True, (), "provider all"),
}


@pytest.mark.parametrize(("type_name", "name"), THINKS)
def test_how_models_think(type_name: str, name: str) -> None:
    q = spec(type_name, name).quirks
    turns = q.reasoning_turns if q.reasoning_history == "provider" else None
    bound = "model" if q.reasoning_bound_to_model and turns else None
    history = " ".join(filter(None, (q.reasoning_history, turns, bound, q.reasoning_required)))
    assert THINKS[type_name, name] == (q.thinking, q.thinking_default_on, q.thinking_can_be_off, q.efforts, history)


CAPABLE = [
    ("deepseek", "deepseek-v4-pro", "images structured_output audio files", "json_object thinking thinking_off tools"),
    ("deepseek", "deepseek-flash", "structured_output", "images"),
    ("qwen", "qwen-turbo", "images structured_output audio", "json_object thinking"),
    ("qwen", "qwen3-vl-plus", "structured_output", "images"),
    ("qwen", "qwen4-max", "files", "structured_output images thinking"),
    ("glm", "glm-4.7", "images structured_output forced_tool_choice", "json_object thinking"),
    ("glm", "glm-4.6v", "structured_output", "images"),
    ("glm", "glm-5.3", "thinking_off images", "thinking"),
    ("kimi", "kimi-k3", "sampling thinking_off", "images structured_output count_tokens json_object"),
    ("kimi", "moonshot-v1-8k", "images thinking", "sampling"),
    ("minimax", "MiniMax-M3", "structured_output json_object forced_tool_choice", "images thinking thinking_off"),
    ("minimax", "MiniMax-M2.5", "images thinking_off", "thinking"),
    ("openrouter", "anthropic/claude-opus-5.5", "count_tokens", "images files audio structured_output thinking"),
    ("openrouter", "openai/gpt-5.6-sol", "sampling stop_sequences", "thinking"),
    ("groq", "openai/gpt-oss-20b", "images thinking_off", "structured_output thinking"),
    ("groq", "llama-3.3-70b-versatile", "structured_output thinking images", "json_object tools"),
    ("groq", "qwen/qwen3.8-27b", "", "structured_output images thinking_off"),
    ("cerebras", "gemma-4-31b", "", "images structured_output"),
    ("cerebras", "gpt-oss-120b", "images thinking_off", "structured_output"),
]


@pytest.mark.parametrize(("type_name", "name", "lacks", "has"), CAPABLE)
def test_capabilities_are_honest(type_name: str, name: str, lacks: str, has: str) -> None:
    able = spec(type_name, name).capabilities
    assert [field for field in lacks.split() if getattr(able, field)] == []
    assert [field for field in has.split() if not getattr(able, field)] == []


@pytest.mark.parametrize(
    ("type_name", "options", "address", "headers"),
    [
        ("qwen", {"region": "beijing"}, "https://dashscope.aliyuncs.com/compatible-mode/v1", {}),
        ("qwen", {}, "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", {}),
        ("glm", {"region": "china-coding"}, "https://open.bigmodel.cn/api/coding/paas/v4", {"accept-language": "en-US,en"}),
        ("minimax", {"region": "china"}, "https://api.minimaxi.com/v1", {}),
        (
            *("openrouter", {"site_url": "https://acme.example", "app_name": "Acme"}, "https://openrouter.ai/api/v1"),
            {"http-referer": "https://acme.example", "x-openrouter-title": "Acme", "x-title": "Acme"},
        ),
        ("openrouter", {}, "https://openrouter.ai/api/v1", {}),
        ("cerebras", {"app_name": "Acme"}, "https://api.cerebras.ai/v1", {"x-cerebras-3rd-party-integration": "Acme"}),
    ],
)
def test_options_pick_region_and_attribution(type_name: str, options: Any, address: str, headers: dict[str, str]) -> None:
    endpoint = endpoint_of(AdapterConfig("mine", type_name, options=options), row_of(type_name))
    assert f"{endpoint.origin}{endpoint.base_path}".replace(":443", "") == address
    assert dict(endpoint.headers) == headers


def test_a_region_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"qwen has no region 'mars'; use one of: singapore, beijing"):
        endpoint_of(AdapterConfig("mine", "qwen", options={"region": "mars"}), row_of("qwen"))


# ---- requests

ON, OFF = {"mode": "on"}, {"mode": "off"}
TOOLS = {"tools": [WEATHER, TIME]}
REQUIRED = {**TOOLS, "tool_choice": {"type": "required"}}
SPLIT = {"reasoning_split": True}
ROUTED = {"provider": {"require_parameters": True}}
REQUESTS: list[tuple[str, str, dict[str, Any], dict[str, Any], list[str]]] = [
    # thinking
    ("deepseek", "deepseek-v4-pro", {"thinking": ON}, {"thinking": {"type": "enabled"}}, []),
    ("deepseek", "deepseek-v4-pro", {"thinking": OFF}, {"thinking": {"type": "disabled"}}, []),
    (
        *("deepseek", "deepseek-v4-pro", {"thinking": {"mode": "on", "effort": "medium"}}),
        {"reasoning_effort": "high", "thinking": {"type": "enabled"}},
        ["parameter_adjusted thinking.effort"],
    ),
    (
        *("deepseek", "deepseek-v4-pro", {"thinking": {"mode": "on", "budget_tokens": 2000}}),
        {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        ["parameter_adjusted thinking.budget_tokens"],
    ),
    ("qwen", "qwen-plus", {"thinking": ON}, {"enable_thinking": True}, []),
    ("qwen", "qwen-plus", {"thinking": OFF}, {"enable_thinking": False}, []),
    (
        *("qwen", "qwen-plus", {"thinking": {"mode": "on", "budget_tokens": 500}}),
        {"enable_thinking": True, "thinking_budget": 500},
        [],
    ),
    (
        *("qwen", "qwen-plus", {"thinking": {"mode": "on", "effort": "low"}}),
        {"enable_thinking": True, "thinking_budget": 4096},
        ["parameter_adjusted thinking"],
    ),
    (
        *("qwen", "qwen4-max", {"thinking": {"mode": "on", "effort": "high", "display": "summarized"}}),
        {
            "reasoning_effort": "high",
            "enable_thinking": True,
            "preserve_thinking": True,
            "thinking_display": "summarized",
        },
        [],
    ),
    (
        *("qwen", "qwen4-max", {"thinking": {"mode": "on", "effort": "high", "budget_tokens": 900}}),
        {"enable_thinking": True, "preserve_thinking": True, "thinking_budget": 900},
        ["parameter_ignored thinking.effort"],
    ),
    ("glm", "glm-4.7", {"thinking": OFF}, {"thinking": {"type": "disabled"}}, []),
    (
        *("glm", "glm-5.3", {"thinking": {"mode": "on", "effort": "minimal"}}),
        {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        ["parameter_adjusted thinking.effort"],
    ),
    ("kimi", "kimi-k2.6", {"thinking": OFF}, {"thinking": {"type": "disabled"}}, []),
    (
        *("kimi", "kimi-k2.6", {"thinking": {"mode": "on", "effort": "high"}}),
        {"thinking": {"type": "enabled"}},
        ["parameter_ignored thinking.effort"],
    ),
    ("kimi", "kimi-k3", {"thinking": {"mode": "on", "effort": "max"}}, {"reasoning_effort": "max"}, []),
    ("minimax", "MiniMax-M3", {"thinking": OFF}, {**SPLIT, "thinking": {"type": "disabled"}}, []),
    ("minimax", "MiniMax-M2.7", {"thinking": ON}, SPLIT, []),
    ("openrouter", "x/y", {"thinking": OFF}, {"reasoning": {"enabled": False}}, []),
    (
        *("openrouter", "x/y", {"thinking": {"mode": "on", "effort": "low", "display": "omitted"}}),
        {"reasoning": {"enabled": True, "effort": "low", "exclude": True}},
        [],
    ),
    (
        *("openrouter", "x/y", {"thinking": {"mode": "on", "budget_tokens": 2000}}),
        {"reasoning": {"enabled": True, "max_tokens": 2000}},
        [],
    ),
    ("groq", "openai/gpt-oss-20b", {"thinking": {"mode": "on", "effort": "low"}}, {"reasoning_effort": "low"}, []),
    (
        *("groq", "qwen/qwen3-32b", {"thinking": OFF}),
        {"reasoning_effort": "none", "reasoning_format": "parsed"},
        [],
    ),
    ("cerebras", "zai-glm-4.7", {"thinking": OFF}, {"reasoning_effort": "none"}, []),
    # tools and structured output
    ("deepseek", "deepseek-v4-pro", REQUIRED, {"tool_choice": "auto"}, ["parameter_adjusted tool_choice"]),
    (
        *("deepseek", "deepseek-v4-pro", {**REQUIRED, "thinking": OFF}),
        {"tool_choice": "required", "thinking": {"type": "disabled"}},
        [],
    ),
    ("qwen", "qwen-plus", TOOLS, {"parallel_tool_calls": True}, []),
    (
        *("qwen", "qwen-plus", {**TOOLS, "tool_choice": {"type": "auto", "parallel": False}}),
        {"tool_choice": "auto", "parallel_tool_calls": False},
        [],
    ),
    ("glm", "glm-4.5", {**TOOLS, "tool_choice": {"type": "none"}}, {}, []),
    ("kimi", "kimi-k2.6", REQUIRED, {"tool_choice": "auto"}, ["parameter_adjusted tool_choice"]),
    (
        *("kimi", "kimi-k2.6", {"tools": [TIME], "tool_choice": {"type": "required"}}),
        {"tool_choice": {"type": "function", "function": {"name": "time"}}},
        [],
    ),
    ("kimi", "kimi-k3", REQUIRED, {"tool_choice": "required"}, []),
    ("openrouter", "x/y", TOOLS, ROUTED, []),
    (
        *("openrouter", "x/y", {"response_format": {"type": "json_object"}}),
        {"response_format": {"type": "json_object"}, **ROUTED},
        [],
    ),
    (
        *("openrouter", "x/y", {**TOOLS, "provider_options": {"openrouter": {"provider": {"order": ["a"]}, "top_k": 5}}}),
        {"provider": {"require_parameters": True, "order": ["a"]}, "top_k": 5},
        [],
    ),
    # limits
    ("deepseek", "deepseek-v4-pro", {"max_output_tokens": 9}, {"max_tokens": 9}, []),
    ("openrouter", "x/y", {"max_output_tokens": 9}, {"max_tokens": 9}, []),
    ("openrouter", "openai/o3", {"max_output_tokens": 9}, {"max_tokens": 16}, ["parameter_adjusted max_output_tokens"]),
    ("groq", "llama-3.1-8b-instant", {"max_output_tokens": 9}, {"max_completion_tokens": 9}, []),
    ("deepseek", "deepseek-v4-pro", {"temperature": 1}, {}, ["parameter_ignored temperature"]),
    (
        *("deepseek", "deepseek-v4-pro", {"temperature": 1, "thinking": OFF}),
        {"temperature": 1.0, "thinking": {"type": "disabled"}},
        [],
    ),
    ("qwen", "qwen-plus", {"temperature": 2}, {"temperature": 1.99}, ["parameter_adjusted temperature"]),
    ("glm", "glm-4.7", {"temperature": 0}, {"temperature": 0.01, "do_sample": False}, ["parameter_adjusted temperature"]),
    (
        *("glm", "glm-4.7", {"temperature": 1, "top_p": 1}),
        {"temperature": 0.99, "top_p": 0.99},
        ["parameter_adjusted temperature", "parameter_adjusted top_p"],
    ),
    ("glm", "glm-4.7", {"stop_sequences": ["a", "b"]}, {"stop": ["a"]}, ["parameter_adjusted stop_sequences"]),
    ("kimi", "kimi-k3", {"temperature": 0.5}, {}, ["parameter_ignored temperature"]),
    ("kimi", "kimi-k3", {"stop_sequences": ["x" * 33, "é"]}, {"stop": ["é"]}, ["parameter_adjusted stop_sequences"]),
    (
        *("minimax", "MiniMax-M3", {"temperature": 2}),
        {**SPLIT, "temperature": 1.0},
        ["parameter_adjusted temperature"],
    ),
]


@pytest.mark.parametrize(("type_name", "name", "asked", "members", "warned"), REQUESTS)
def test_requests(type_name: str, name: str, asked: dict[str, Any], members: dict[str, Any], warned: list[str]) -> None:
    assert sent(type_name, name, **asked) == members
    assert [f"{warning.code} {warning.path}" for warning in encode(type_name, name, **asked).warnings] == warned


REFUSED = [
    ("glm", "glm-5.3", {"thinking": OFF}, "can't stop thinking; ask for effort low"),
    ("minimax", "MiniMax-M2.7", {"thinking": OFF}, "can't stop thinking; leave thinking out"),
    ("deepseek", "deepseek-chat", {"thinking": ON}, "can't think"),
    ("groq", "openai/gpt-oss-20b", {**TOOLS, "response_format": SCHEMA}, "tools or a schema of the answer, not both"),
    ("glm", "glm-4.7", {"tools": [{**TIME, "name": f"t{n}"} for n in range(129)]}, "takes 128 tools, not 129"),
    (
        *("kimi", "kimi-k3"),
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"kind": "url", "url": "https://a/b.png"}}]}]},
        "fetches no URLs; give the image as base64",
    ),
]


@pytest.mark.parametrize(("type_name", "name", "asked", "words"), REFUSED)
def test_what_can_not_be_done_is_refused_with_a_next_step(type_name: str, name: str, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ProviderFailure, match=words) as caught:
        encode(type_name, name, **asked)
    assert caught.value.error_class == "capability_mismatch"


def test_unknown_options_are_refused_and_those_of_the_provider_are_named() -> None:
    with pytest.raises(ProviderFailure, match=r"options here are seed, .*, reasoning_format"):
        encode("groq", "openai/gpt-oss-20b", provider_options={"groq": {"top_k": 1}})


@pytest.mark.parametrize("type_name", PROVIDERS)
def test_usage_is_asked_for_in_streams(type_name: str) -> None:
    body = body_of(type_name, models_of(type_name)[0].name, stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_arguments_are_streamed_where_that_is_asked_for() -> None:
    assert body_of("glm", "glm-4.7", stream=True, **TOOLS)["tool_stream"] is True
    assert "tool_stream" not in body_of("glm", "glm-4.7", **TOOLS)
    assert "tool_stream" not in body_of("glm", "glm-4.5v", stream=True, **TOOLS)


def test_schemas_and_ids_as_the_provider_takes_them() -> None:
    history = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "tu_functions.weather:0", "name": "weather", "input": {}}]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "tu_functions.weather:0", "content": "sun"}]},
    ]
    for type_name, name, verbatim in (
        ("kimi", "kimi-k3", True),
        ("openrouter", "moonshotai/kimi-k3", True),
        ("groq", "moonshotai/kimi-k2-instruct", True),
        ("deepseek", "deepseek-v4-pro", False),
    ):
        body = body_of(type_name, name, messages=history, tools=[WEATHER])
        call, answer = body["messages"][1]["tool_calls"][0]["id"], body["messages"][2]["tool_call_id"]
        assert call == answer
        assert (call == "functions.weather:0") == verbatim
        assert ("$schema" in body["tools"][0]["function"]["parameters"]) == (type_name != "kimi")


def test_a_last_assistant_message_is_marked_where_that_makes_it_go_on() -> None:
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "Well"}]
    assert body_of("kimi", "moonshot-v1-8k", messages=messages)["messages"][-1]["partial"] is True
    assert "partial" not in body_of("glm", "glm-4.7", messages=messages)["messages"][-1]


# ---- cache markers

LONG = "word " * 2_000
CONTROL = {"type": "ephemeral"}
ASKS = {"metadata": {"cache": True}}


@pytest.mark.parametrize(
    ("type_name", "name", "cache", "marked"),
    [
        ("qwen", "qwen3.8-max", None, []),
        ("qwen", "qwen3.8-max", {"mode": "explicit"}, [("system", CONTROL), ("user", CONTROL)]),
        ("openrouter", "anthropic/claude-opus-5.5", None, [("system", CONTROL)]),
        ("openrouter", "anthropic/claude-opus-5.5", {"ttl": "1h"}, [("system", {**CONTROL, "ttl": "1h"})]),
        ("openrouter", "anthropic/claude-opus-5.5", {"mode": "off"}, []),
        ("openrouter", "x/y", {"mode": "explicit"}, []),
        ("deepseek", "deepseek-v4-pro", {"mode": "explicit"}, []),
    ],
)
def test_cache_markers(type_name: str, name: str, cache: Any, marked: list[tuple[str, Any]]) -> None:
    messages = [{"role": "user", "content": "Hi", **ASKS}, {"role": "assistant", "content": "Ho"}]
    encoded = encode(type_name, name, system_prompt=LONG, messages=messages, cache=cache)
    found = [
        (message["role"], part["cache_control"])
        for message in json.loads(encoded.body)["messages"]
        for part in (message["content"] if isinstance(message["content"], list) else [])
        if "cache_control" in part
    ]
    assert found == marked
    assert encoded.cache_breakpoints == len(marked)
    assert encoded.cache_ttl == (None if not marked else marked[0][1].get("ttl", "5m"))


def test_short_prompts_and_more_than_four_messages_get_no_marker() -> None:
    short = encode("openrouter", "anthropic/claude-opus-5.5", system_prompt="Short.")
    assert short.cache_breakpoints == 0
    many = [{"role": role, "content": LONG, **ASKS} for role in ("user", "assistant") * 4]
    encoded = encode("qwen", "qwen3.8-max", messages=many, cache={"mode": "explicit"})
    assert encoded.cache_breakpoints == 4
    assert [warning.code for warning in encoded.warnings] == ["parameter_adjusted"]
    assert [isinstance(message["content"], list) for message in json.loads(encoded.body)["messages"]] == [False] * 4 + [True] * 4


# ---- reasoning: from the answer into the history and back

DETAILS = [
    {"type": "reasoning.text", "text": "Let me see.", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "AAA=", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
]
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
# type, model, the message of the answer, what of it must be in the history (with calls and without)
BACK: list[tuple[str, str, dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]] = [
    ("deepseek", "deepseek-v4-pro", {"reasoning_content": "Hm."}, {"reasoning_content": "Hm."}, None),
    ("deepseek", "deepseek-reasoner", {"reasoning_content": "Hm."}, None, None),
    ("qwen", "qwen-plus", {"reasoning_content": "Hm."}, None, None),
    ("qwen", "qwen3.7-plus", {"reasoning_content": "Hm."}, {"reasoning_content": "Hm."}, None),
    *[
        ("qwen", "qwen4-max", message, message, message)
        for message in [{"reasoning_content": "Hm.", "encrypted_content": "c1pher"}]
    ],
    ("glm", "glm-4.7", {"reasoning_content": "Hm."}, {"reasoning_content": "Hm."}, {"reasoning_content": "Hm."}),
    ("kimi", "kimi-k3", {"reasoning_content": "Hm."}, {"reasoning_content": "Hm."}, {"reasoning_content": "Hm."}),
    *[("minimax", "MiniMax-M2.7", message, message, message) for message in [{"reasoning_details": DETAILS[:1]}]],
    *[
        ("minimax", "MiniMax-M2.7", message, message, message)
        for message in [{"content": "<think>\nHm.\n</think>\n\nWell."}, {"content": "<think>Only that.</think>"}]
    ],
    (
        *("openrouter", "x/y", {"reasoning": "Let me see.", "reasoning_details": DETAILS}),
        *({"reasoning_details": DETAILS}, {"reasoning_details": DETAILS}),
    ),
    *[("openrouter", "x/y", message, message, message) for message in [{"reasoning_details": DETAILS[1:]}, {"reasoning": "Hm."}]],
    ("groq", "openai/gpt-oss-120b", {"reasoning": "Hm."}, {"reasoning": "Hm."}, None),
    ("groq", "llama-3.3-70b-versatile", {"reasoning": "Hm."}, None, None),
    ("cerebras", "gpt-oss-120b", {"reasoning": "Hm."}, {"reasoning": "Hm."}, {"reasoning": "Hm."}),
]
REASONING = ("reasoning_content", "reasoning", "reasoning_details", "encrypted_content")


def whole(model: ModelSpec, message: dict[str, Any]) -> Assembler:
    assembler = assembler_of(model)
    choice = {"index": 0, "message": {"role": "assistant", "content": "Well.", **message}, "finish_reason": "stop"}
    WIRE.decode(json.dumps({"choices": [choice]}).encode(), assembler)
    return assembler


def assembler_of(model: ModelSpec) -> Assembler:
    return Assembler(
        *("msg_1", model.id, model.provider),
        provider_type=model.provider_type,
        wire_name=model.wire_name,
        quirks=model.quirks,
    )


def streamed(model: ModelSpec, deltas: list[dict[str, Any]], *, end: bool = True) -> Assembler:
    assembler = assembler_of(model)
    decoder = WIRE.stream_decoder(assembler, model)
    for delta in deltas:
        decoder.feed("", json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode())
    if end:
        decoder.feed("", b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}')
        decoder.feed("", b"[DONE]")
    return assembler


def history_of(model: ModelSpec, answer: Assembler, **asked: Any) -> dict[str, Any]:
    """The assistant's message in the next request, where a client sent back what it had got as JSON."""
    content = msgspec.convert(msgspec.to_builtins(answer.content), type=Message.__annotations__["content"])
    calls = [block for block in answer.content if isinstance(block, ToolUseBlock)]
    results = [Message("tool", [ToolResultBlock(call.id, "sun")]) for call in calls]
    messages = [Message("user", "?"), Message("assistant", content), *results, Message("user", "And?")]
    body = json.loads(WIRE.encode(CanonicalRequest(messages, **asked), model, stream=False).body)
    return body["messages"][1]


@pytest.mark.parametrize(("type_name", "name", "message", "with_calls", "without"), BACK)
def test_reasoning_goes_back_as_it_came(type_name: str, name: str, message: Any, with_calls: Any, without: Any) -> None:
    model = spec(type_name, name)
    for extra, wanted in (({"tool_calls": CALLS}, with_calls), ({}, without)):
        back = history_of(model, whole(model, {**message, **extra}))
        found = {field: value for field, value in back.items() if field in REASONING}
        expected = {field: value for field, value in (wanted or {}).items() if field in REASONING}
        assert found == expected
        assert back["content"] == ((wanted or {}).get("content") or "Well.")


def test_streamed_details_are_put_together_and_go_back_whole() -> None:
    model = spec("openrouter", "x/y")
    fragments = [
        {"reasoning": "Let ", "reasoning_details": [{**DETAILS[0], "text": "Let ", "signature": None}]},
        {"reasoning": "me see.", "reasoning_details": [{"type": "reasoning.text", "text": "me see.", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "signature": "sig", "index": 0}]},
        {"content": "Well."},
        {"reasoning_details": DETAILS[1:]},
    ]
    answer = streamed(model, fragments)
    assert [block.__struct_config__.tag for block in answer.content] == ["thinking", "text"]
    assert history_of(model, answer)["reasoning_details"] == DETAILS


@pytest.mark.parametrize(
    ("deltas", "thought"),
    [
        (["The user", " wants that.", " So"], "The user wants that. So"),
        (["The user", "The user wants that.", "The user wants that. So"], "The user wants that. So"),
        (["ha", "ha", "ha"], "hahaha"),
    ],
)
def test_fragments_may_repeat_everything_so_far(deltas: list[str], thought: str) -> None:
    model = spec("minimax", "MiniMax-M2.7")
    for answer in (
        streamed(model, [{"reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}]} for text in deltas]),
        streamed(model, [{"reasoning_content": text} for text in deltas]),
    ):
        assert answer.content[0].text == thought  # type: ignore[union-attr]
    details = streamed(model, [{"reasoning_details": [{"type": "t", "text": text, "index": 0}]} for text in deltas])
    assert details.content[0].text == thought  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "thought", "text"),
    [
        ("<think>\nHm.\n</think>\n\nWell.", "\nHm.\n", "\n\nWell."),
        (" \n<think>Hm.</think>Well.", "Hm.", "Well."),
        ("<think>\n\n</think>\n\nWell.", "", "\n\nWell."),
        ("<think>cut off </thi", "cut off </thi", ""),
        ("Well, <think>not that</think>.", "", "Well, <think>not that</think>."),
        ("<thinking aloud", "", "<thinking aloud"),
        ("<thi", "", "<thi"),
        ("  ", "", "  "),
        ("<think>a</think>b</think>c", "a", "b</think>c"),
    ],
)
def test_tags_are_split_off_wherever_they_are_cut(content: str, thought: str, text: str) -> None:
    model = spec("groq", "qwen/qwen3-32b")
    for cut in range(len(content) + 1):
        for answer in (
            streamed(model, [{"content": content[:cut]}, {"content": content[cut:]}]),
            streamed(model, [{"content": character} for character in content]),
            whole(model, {"content": content}),
        ):
            found: dict[str, str] = {"thinking": "", "text": ""}
            for block in answer.content:
                found[str(block.__struct_config__.tag)] += block.text  # type: ignore[union-attr]
            assert found == {"thinking": thought, "text": text}


def test_what_is_held_back_is_shown_where_a_stream_breaks_and_before_calls() -> None:
    model = spec("groq", "qwen/qwen3-32b")
    answer = assembler_of(model)
    decoder = WIRE.stream_decoder(answer, model)
    decoder.feed("", b'{"choices": [{"delta": {"content": "<think>Hm </th"}}]}')
    with pytest.raises(ProviderFailure):
        decoder.end()
    answer.complete("error")
    assert answer.content[0].text == "Hm </th"  # type: ignore[union-attr]
    calling = streamed(model, [{"content": "<th"}, {"tool_calls": CALLS}])
    assert [block.__struct_config__.tag for block in calling.content] == ["text", "tool_use"]


def test_reasoning_said_twice_counts_once() -> None:
    model = spec("minimax", "MiniMax-M3")
    deltas = [{"content": "<think>The user", "reasoning_content": "The user"}, {"content": " says hi.</think>Hi!"}]
    answer = streamed(model, [*deltas, {"reasoning_content": "The user says hi."}])
    assert [block.text for block in answer.content if hasattr(block, "text")] == ["The user", "Hi!", " says hi."]


@pytest.mark.parametrize(
    ("maker", "reader", "goes"),
    [
        (("deepseek", "deepseek-v4-flash"), ("deepseek", "deepseek-v4-pro"), True),
        (("deepseek", "deepseek-v4-flash"), ("glm", "glm-4.7"), False),
        (("openrouter", "a/b"), ("openrouter", "a/c"), False),
        (("kimi", "kimi-k3"), ("openai", "gpt-4o"), False),
    ],
)
def test_reasoning_goes_to_nobody_else(maker: tuple[str, str], reader: tuple[str, str], goes: bool) -> None:
    answer = whole(spec(*maker), {"reasoning_content": "Hm.", "tool_calls": CALLS})
    request = CanonicalRequest([Message("user", "?"), Message("assistant", answer.content)])
    encoded = WIRE.encode(request, spec(*reader), stream=False)
    assert (b"Hm." in encoded.body) == goes
    assert ([warning.code for warning in encoded.warnings] == ["content_dropped"]) == (not goes)


def test_a_required_field_is_filled_where_there_is_no_reasoning_of_this_provider() -> None:
    foreign = whole(spec("glm", "glm-4.7"), {"reasoning_content": "Hm.", "tool_calls": CALLS})
    for type_name, name in (("deepseek", "deepseek-v4-pro"), ("kimi", "kimi-k2.6")):
        model = spec(type_name, name)
        assert history_of(model, foreign)["reasoning_content"] == " "
        off = msgspec.convert({"mode": "off"}, type=CanonicalRequest.__annotations__["thinking"])
        assert "reasoning_content" not in history_of(model, foreign, thinking=off)


def test_reasoning_of_a_turn_with_calls_stays_for_good_and_that_of_others_does_not() -> None:
    model = spec("deepseek", "deepseek-v4-pro")
    raw = {"provider": "deepseek", "model": "deepseek-v4-pro", "field": "reasoning_content"}
    said = [{"type": "thinking", "text": "Hm.", "provider_raw": raw}]
    call = {"type": "tool_use", "id": "tu_1", "name": "weather", "input": {}}
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": [*said, {"type": "text", "text": "No call."}]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": [*said, call]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "tu_1", "content": "sun"}]},
        {"role": "assistant", "content": [*said, {"type": "text", "text": "Sun."}]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": [*said, {"type": "text", "text": "No call."}]},
    ]
    for length in range(2, len(messages) + 1):
        body = body_of("deepseek", model.wire_name, messages=messages[:length])
        found = ["reasoning_content" in message for message in body["messages"] if message["role"] == "assistant"]
        assert found == [False, True, True, False][: len(found)]


def test_reasoning_as_text_where_the_user_says_so() -> None:
    model = spec("qwen", "qwen-plus")
    model = msgspec.structs.replace(model, quirks=msgspec.structs.replace(model.quirks, reasoning_history="text"))
    answer = whole(spec("glm", "glm-4.7"), {"reasoning_content": "Hm."})
    assert history_of(model, answer)["content"] == "<thinking>\nHm.\n</thinking>\n\nWell."


# ---- what it cost, what went wrong, what there is


@pytest.mark.parametrize(
    ("type_name", "usage", "cost"),
    [
        ("openrouter", {"cost": 0.25, "is_byok": False}, 0.25),
        ("openrouter", {"cost": 0, "is_byok": False}, 0.0),
        ("openrouter", {"cost": "0.5"}, 0.5),
        ("openrouter", {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, 0.21),
        ("openrouter", {}, None),
        ("groq", {"cost": 0.25}, None),
    ],
)
def test_the_providers_own_figure_of_the_cost(type_name: str, usage: dict[str, Any], cost: float | None) -> None:
    assembler = assembler_of(spec(type_name, "x/y"))
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 1, "completion_tokens": 1, **usage}
    WIRE.decode(json.dumps({"choices": [choice], "usage": counts}).encode(), assembler)
    assert assembler.reported_cost == pytest.approx(cost) if cost is not None else assembler.reported_cost is None


@pytest.mark.parametrize(
    ("status", "body", "error_class", "retry_after_s"),
    [
        (402, {"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}}, "quota_exceeded", None),
        (429, {"error": {"code": "1113", "message": "Insufficient balance or no resource package."}}, "quota_exceeded", None),
        (429, {"error": {"code": "1302", "message": "High concurrency"}}, "rate_limit", None),
        (400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}, "context_overflow", None),
        (429, {"error": {"type": "engine_overloaded_error", "message": "busy"}}, "server_error", None),
        (429, {"error": {"type": "exceeded_current_quota_error", "message": "x"}}, "quota_exceeded", None),
        (400, {"error": {"type": "content_filter", "message": "high risk"}}, "content_filter", None),
        (
            *(429, {"error": {"type": "rate_limit_reached_error", "message": "please try again after 3 seconds"}}),
            *("rate_limit", 3.0),
        ),
        (400, {"error": {"message": "Range of input length should be [1, 30720]"}}, "context_overflow", None),
        (400, {"error": {"code": "Arrearage", "message": "Access denied"}}, "quota_exceeded", None),
        (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "quota_exceeded", None),
        (200, {"base_resp": {"status_code": 2013, "status_msg": "context window exceeds limit"}}, "context_overflow", None),
        (200, {"error": {"code": 502, "message": "Provider returned error"}}, "server_error", None),
        (402, {"error": {"code": 402, "message": "requires more credits"}}, "quota_exceeded", None),
        (529, {"error": {"code": 529, "message": "x", "metadata": {"error_type": "provider_overloaded"}}}, "server_error", None),
        (413, {"error": {"message": "Request too large: Limit 6000 tokens per minute (TPM)"}}, "rate_limit", None),
        (498, {"error": {"message": "flex capacity"}}, "rate_limit", None),
        (
            *(429, {"error": {"message": "Please try again in 1m2.5s.", "code": "rate_limit_exceeded"}}),
            *("rate_limit", 62.5),
        ),
        (
            400,
            {"message": "x", "type": "invalid_request_error", "param": "", "code": "wrong_api_format"},
            "invalid_request",
            None,
        ),
        (413, b"", "context_overflow", None),
        (200, b"<!DOCTYPE html><title>Just a moment...</title>", "rate_limit", None),
        (503, b"<html><head><title>429 Too Many Requests</title></head></html>", "rate_limit", None),
        (502, b"<html><title>openrouter.ai | 502: Bad gateway</title></html>", "server_error", None),
    ],
)
def test_failures_of_every_shape(status: int, body: Any, error_class: str, retry_after_s: float | None) -> None:
    failure = WIRE.decode_failure(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (failure.error_class, failure.retry_after_seconds) == (error_class, retry_after_s)
    assert "; " in failure.message


def test_an_answer_padded_with_blank_lines_while_it_was_queued() -> None:
    assembler = assembler_of(spec("openrouter", "x/y"))
    WIRE.decode(b'\n         \n\n {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}', assembler)
    assert assembler.content[0].text == "Hi"  # type: ignore[union-attr]


@pytest.mark.parametrize("type_name", PROVIDERS)
def test_a_stream_without_its_end_marker_is_told_only_where_that_is_odd(type_name: str) -> None:
    model = spec(type_name, "m")
    assembler = assembler_of(model)
    decoder = WIRE.stream_decoder(assembler, model)
    decoder.feed("", b'{"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}')
    decoder.end()
    assert assembler.stop_reason == "end_turn"
    assert bool(assembler.warnings) == (type_name not in ("cerebras", "minimax"))


def test_counting_tokens_where_the_provider_does() -> None:
    params = TokenCountParams("Hi", system_prompt="Be brief.")
    encoded = WIRE.encode_count(params, spec("kimi", "kimi-k3"))
    assert encoded is not None
    assert encoded.path == "/tokenizers/estimate-token-count"
    assert json.loads(encoded.body) == {
        "model": "kimi-k3",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }
    assert WIRE.decode_count(b'{"data": {"total_tokens": 80}}') == 80
    assert WIRE.encode_count(params, spec("glm", "glm-5.3")) is None
    for broken in (b"{}", b'{"data": 3}', b"<html>"):
        with pytest.raises(ProviderFailure):
            WIRE.decode_count(broken)


@pytest.mark.parametrize(
    ("entry", "limits"),
    [
        ({"id": "a/b", "context_length": 1_000_000, "top_provider": {"max_completion_tokens": 128_000}}, (1_000_000, 128_000)),
        ({"id": "openai/gpt-oss-20b", "context_window": 131_072, "max_completion_tokens": 65_536}, (131_072, 65_536)),
        ({"id": "kimi-k3", "context_length": 1_048_576}, (1_048_576, None)),
        ({"id": "glm-5.3"}, None),
    ],
)
def test_discovered_models_have_the_limits_that_the_list_names(entry: Any, limits: Any) -> None:
    models, page = WIRE.decode_discover(json.dumps({"object": "list", "data": [entry]}).encode(), "p")
    found = models[0].limits
    assert page is None and models[0].wire_name == entry["id"]
    assert (found and (found.max_context_tokens, found.max_output_tokens)) == limits
