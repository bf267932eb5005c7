"""The relatives of the chat wire: what each provider's row sends for what was asked, and how its answers are read and go back."""

import json
from typing import Any

import pytest
from tests.harness.chat_wire import PROVIDERS, body_of, encode, sent, spec

from modeld.config.schema import AdapterConfig
from modeld.providers.catalog import facts_of, models_of, price_of, row_of
from modeld.providers.endpoint import endpoint_of
from modeld.providers.failure import ProviderFailure

WEATHER = {"name": "weather", "input_schema": {"$schema": "x", "type": "object", "properties": {"city": {"type": "string"}}}}
TIME = {"name": "time", "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}}}


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
    ("glm", "glm-4.7-flash"): ("switch", True, True, (), "provider all"),
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
    (
        *("deepseek", "deepseek-v4-pro", REQUIRED),
        {"tool_choice": "required", "thinking": {"type": "disabled"}},
        ["parameter_adjusted thinking"],
    ),
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
    ("deepseek", "deepseek-v4-pro", {**REQUIRED, "thinking": ON}, "can't be made to call a tool while it thinks"),
    ("kimi", "kimi-k2.6", REQUIRED, "can't be made to call a tool; use auto"),
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
