"""Requests of the Ollama wire: what goes out for what was asked, and what is refused."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from ollama._types import ChatRequest
from tests.harness.request_parts import call, codes, image, result, text, user

from modeld.providers.catalog import facts_of, row_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.ollama import WIRE
from modeld.routing.capabilities import check
from modeld_protocol.model import ModelLimits
from modeld_protocol.request import CanonicalRequest

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 16).decode()
WEATHER = {
    "name": "weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
FUNCTION = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def spec(name: str = "m", limits: ModelLimits | None = None, **quirks: Any) -> ModelSpec:
    """A model of the catalog's row, under the adapter name `local`."""
    facts = facts_of(row_of("ollama"), name)
    changed: Quirks = msgspec.structs.replace(facts.quirks, **quirks)
    return ModelSpec(f"local:{name}", "local", "ollama", "ollama", name, facts.capabilities, limits or facts.limits, changed)


def asked(request: Mapping[str, Any]) -> CanonicalRequest:
    return msgspec.convert({"messages": "Hi", **request}, CanonicalRequest)


def encode(request: Mapping[str, Any], model: ModelSpec | None = None, *, stream: bool = False) -> Encoded:
    return WIRE.encode(asked(request), model or spec(), stream=stream)


def body_of(encoded: Encoded) -> dict[str, Any]:
    """The body, after the vendor's own types have had a look: nothing of it is of another type."""
    body = json.loads(encoded.body)
    read = ChatRequest.model_validate(body).model_dump(exclude_unset=True, exclude_none=True)
    assert {**read, **{name: body[name] for name in ("truncate", "shift") if name in body}} == body
    return body


def sent(request: Mapping[str, Any], model: ModelSpec | None = None, *, stream: bool = False) -> dict[str, Any]:
    body = body_of(encode(request, model, stream=stream))
    return {key: value for key, value in body.items() if key not in ("model", "messages", "stream")}


def messages_of(messages: Any, **more: Any) -> list[dict[str, Any]]:
    return body_of(encode({"messages": messages, **more}))["messages"]


def wire_call(number: int, index: int, **arguments: Any) -> dict[str, Any]:
    return {"id": f"call_{number}", "function": {"index": index, "name": "weather", "arguments": arguments}}


def wire_result(number: int, content: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **more, "tool_name": "weather", "tool_call_id": f"call_{number}"}


def thought(words: str, provider: str | None = None) -> dict[str, Any]:
    return {"type": "thinking", "text": words, **({"provider_raw": {"provider": provider, "model": "m"}} if provider else {})}


@pytest.mark.parametrize("stream", [False, True])
def test_the_endpoint_and_the_model(stream: bool) -> None:
    encoded = encode({}, stream=stream)
    assert (encoded.path, encoded.method, encoded.headers, encoded.warnings) == ("/api/chat", "POST", {}, [])
    assert body_of(encoded) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    assert encode({}, stream=stream) == encoded


MESSAGES: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "text alone": ([user(text("a"), text("b"))], [{"role": "user", "content": "a\n\nb"}]),
    "json is text": ([user({"type": "json", "value": {"a": [1, "é"]}})], [{"role": "user", "content": '{"a":[1,"é"]}'}]),
    "leading system messages are one, later ones stay": (
        [
            {"role": "system", "content": "a"},
            {"role": "system", "content": [text("b")]},
            user(text("c")),
            {"role": "system", "content": "d"},
        ],
        [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"}, {"role": "system", "content": "d"}],
    ),
    "images are bare base64": (
        [user(text("a"), image(kind="base64", data=PNG), image(kind="url", url=f"data:image/png;base64,{PNG}"))],
        [{"role": "user", "content": "a", "images": [PNG, PNG]}],
    ),
    "base64 in the other alphabet, in lines and without padding": (
        [user(image(kind="base64", data="ab-_\nYQ"))],
        [{"role": "user", "content": "", "images": ["ab+/YQ=="]}],
    ),
    "calls and their results": (
        [
            user(text("a")),
            {"role": "assistant", "content": [text("b"), call(1, city="Rome"), call(2)]},
            {"role": "tool", "content": [result(1, "sunny"), result(2, [{"type": "json", "value": {"x": 1}}, text("y")])]},
        ],
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "tool_calls": [wire_call(1, 0, city="Rome"), wire_call(2, 1)]},
            wire_result(1, "sunny"),
            wire_result(2, '{"x":1}\n\ny'),
        ],
    ),
    "results go before the user's words": (
        [{"role": "assistant", "content": [call(1)]}, user(text("and"), result(1, "r"))],
        [
            {"role": "assistant", "content": "", "tool_calls": [wire_call(1, 0)]},
            wire_result(1, "r"),
            {"role": "user", "content": "and"},
        ],
    ),
    "images of results stay there": (
        [
            {"role": "assistant", "content": [call(1)]},
            {"role": "tool", "content": [result(1, [text("t"), image(kind="base64", data=PNG)])]},
        ],
        [{"role": "assistant", "content": "", "tool_calls": [wire_call(1, 0)]}, wire_result(1, "t", images=[PNG])],
    ),
    "an answer's texts are one": (
        [{"role": "assistant", "content": [text("a"), text("b")]}],
        [{"role": "assistant", "content": "ab"}],
    ),
    "a refusal is text": (
        [{"role": "assistant", "content": [{"type": "refusal", "text": "no"}]}],
        [{"role": "assistant", "content": "no"}],
    ),
    "an empty answer goes": ([user(text("a")), {"role": "assistant", "content": []}], [{"role": "user", "content": "a"}]),
    "its own reasoning goes back": (
        [{"role": "assistant", "content": [thought("t", "ollama"), thought("u", "local"), text("a")]}],
        [{"role": "assistant", "content": "a", "thinking": "tu"}],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    messages, wanted = MESSAGES[name]
    assert messages_of(messages) == wanted


def test_the_system_prompt_goes_first() -> None:
    found = messages_of([{"role": "system", "content": "b"}, user(text("c"))], system_prompt="a")
    assert found == [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"}]


WARNED: dict[str, tuple[dict[str, Any], list[tuple[str, str]], dict[str, Any]]] = {
    "an error is a word": (
        {"messages": [{"role": "assistant", "content": [call(1)]}, user(result(1, "no", is_error=True))]},
        [("content_projected", "messages[1].content[0]")],
        {},
    ),
    "reasoning of others": (
        {"messages": [{"role": "assistant", "content": [thought("t", "deepseek"), thought("u"), text("a")]}]},
        [("content_dropped", "messages[0].content[0]")],
        {},
    ),
    "opaque blocks": (
        {"messages": [{"role": "assistant", "content": [{"type": "opaque", "provider_raw": {}}, text("a")]}]},
        [("content_dropped", "messages[0].content[0]")],
        {},
    ),
    "media in a system message": (
        {"messages": [{"role": "system", "content": [image(kind="base64", data=PNG), text("a")]}]},
        [("content_dropped", "messages[0].content[0]")],
        {},
    ),
    "one call at a time": (
        {"tools": [WEATHER], "tool_choice": {"type": "auto", "parallel": False}},
        [("parameter_ignored", "tool_choice.parallel")],
        {"tools": [FUNCTION]},
    ),
    "a cache": (
        {"cache": {"mode": "off", "ttl": "1h", "key": "k"}},
        [("parameter_ignored", path) for path in ("cache.mode", "cache.ttl", "cache.key")],
        {},
    ),
    "a budget": (
        {"thinking": {"mode": "on", "budget_tokens": 9_000}},
        [("parameter_adjusted", "thinking.budget_tokens")],
        {"think": "medium"},
    ),
    "a budget beside a level": (
        {"thinking": {"mode": "on", "effort": "low", "budget_tokens": 9_000}},
        [("parameter_ignored", "thinking.budget_tokens")],
        {"think": "low"},
    ),
    "a level that there isn't": (
        {"thinking": {"mode": "adaptive", "effort": "xhigh"}},
        [("parameter_adjusted", "thinking.effort")],
        {"think": "max"},
    ),
    "a display": (
        {"thinking": {"mode": "on", "display": "omitted"}},
        [("parameter_ignored", "thinking.display")],
        {"think": True},
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_what_is_left_out_is_said(name: str) -> None:
    request, warnings, body = WARNED[name]
    assert codes(encode(request)) == warnings
    assert sent(request) == body


PARAMETERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"max_output_tokens": 9}, {"options": {"num_predict": 9}}),
    ({"temperature": 0.0, "top_p": 0.5}, {"options": {"temperature": 0.0, "top_p": 0.5}}),
    ({"stop_sequences": ["a", "b"]}, {"options": {"stop": ["a", "b"]}}),
    ({"response_format": {"type": "text"}}, {}),
    ({"response_format": {"type": "json_object"}}, {"format": "json"}),
    ({"response_format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}, {"format": SCHEMA}),
    ({"tools": [WEATHER]}, {"tools": [FUNCTION]}),
    ({"tools": [WEATHER], "tool_choice": {"type": "auto"}}, {"tools": [FUNCTION]}),
    ({"tools": [WEATHER], "tool_choice": {"type": "none"}}, {}),
    (
        {"tools": [{"name": "now", "input_schema": {}}]},
        {"tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}]},
    ),
    ({"thinking": {"mode": "on"}}, {"think": True}),
    ({"thinking": {"mode": "adaptive"}}, {"think": True}),
    ({"thinking": {"mode": "off"}}, {"think": False}),
    ({"thinking": {"mode": "on", "effort": "none"}}, {"think": False}),
    ({"thinking": {"mode": "on", "effort": "max"}}, {"think": "max"}),
    (
        {"provider_options": {"ollama": {"keep_alive": "5m", "num_ctx": 8_192, "top_k": 3, "truncate": False}}},
        {"options": {"num_ctx": 8_192, "top_k": 3}, "keep_alive": "5m", "truncate": False},
    ),
    ({"provider_options": {"ollama": {"keep_alive": -1}, "openai": {"whatever": 1}}}, {"keep_alive": -1}),
    ({"metadata": {"user": "u"}, "cache": {"mode": "auto"}}, {}),
]


@pytest.mark.parametrize(("request_fields", "wanted"), PARAMETERS)
def test_parameters(request_fields: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert sent(request_fields) == wanted
    assert codes(encode(request_fields)) == []


def test_a_limit_of_the_config_is_made_true() -> None:
    model = spec(limits=ModelLimits(max_context_tokens=32_768))
    assert sent({}, model) == {"options": {"num_ctx": 32_768}}
    assert sent({"provider_options": {"ollama": {"num_ctx": 4_096}}}, model) == {"options": {"num_ctx": 4_096}}


@pytest.mark.parametrize(
    ("options", "limit", "window"),
    [
        ({}, None, 0),
        ({}, 32_768, 32_768),
        ({"num_ctx": 4_096}, 32_768, 4_096),
        ({"truncate": False}, None, 0),
        ({"truncate": False, "shift": False}, 32_768, None),
    ],
)
def test_the_window_that_prompts_are_cut_to(options: dict[str, Any], limit: int | None, window: int | None) -> None:
    model = spec(limits=ModelLimits(max_context_tokens=limit))
    assert encode({"provider_options": {"ollama": options}}, model).window_tokens == window


@pytest.mark.parametrize(
    ("thinking", "think", "warned"),
    [
        ({"mode": "on"}, True, []),
        ({"mode": "off"}, False, ["thinking.mode"]),
        ({"mode": "on", "effort": "max"}, "high", ["thinking.effort"]),
    ],
)
def test_a_model_that_always_thinks(thinking: dict[str, Any], think: bool | str, warned: list[str]) -> None:
    model = spec("gpt-oss:20b")
    check(asked({"thinking": thinking}), model)
    assert sent({"thinking": thinking}, model) == {"think": think}
    assert [path for _, path in codes(encode({"thinking": thinking}, model))] == warned


def test_a_model_that_never_thinks() -> None:
    model = spec("gemma3:4b")
    assert sent({"thinking": {"mode": "off"}}, model) == {"think": False}
    assert sent({"thinking": {"mode": "adaptive"}}, model) == {}
    assert codes(encode({"thinking": {"mode": "adaptive"}}, model)) == [("parameter_ignored", "thinking")]
    with pytest.raises(ProviderFailure, match="can't think"):
        encode({"thinking": {"mode": "on"}}, model)


def test_quirks_of_parameters() -> None:
    model = spec(sampling="none", stop=False, efforts=())
    request = {"temperature": 1.0, "top_p": 0.5, "stop_sequences": ["a"], "thinking": {"mode": "on", "effort": "low"}}
    assert sent(request, model) == {"think": True}
    assert {path for _, path in codes(encode(request, model))} == {"temperature", "top_p", "stop_sequences", "thinking"}


def test_reasoning_stays_where_the_row_says_so() -> None:
    messages = [{"role": "assistant", "content": [thought("t", "ollama"), text("a")]}]
    body = body_of(encode({"messages": messages}, spec(reasoning_history="omit")))
    assert body["messages"] == [{"role": "assistant", "content": "a"}]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("capability_mismatch", {"messages": [user(image(kind="url", url="https://x/y.png"))]}, "by URL"),
    ("capability_mismatch", {"messages": [user(image(kind="file_id", file_id="f"))]}, "by file id"),
    ("capability_mismatch", {"messages": [user({"type": "file", "source": {"kind": "base64", "data": PNG}})]}, "images only"),
    ("capability_mismatch", {"messages": [user({"type": "audio", "source": {"kind": "base64", "data": PNG}})]}, "images only"),
    ("invalid_request", {"messages": [{"role": "tool", "content": "x"}]}, "tool_result blocks"),
    ("invalid_request", {"messages": [user(call(1))]}, "assistant message"),
    ("invalid_request", {"messages": [{"role": "assistant", "content": [result(1, "x")]}]}, "tool or user message"),
    ("invalid_request", {"tool_choice": {"type": "required"}}, "needs tools"),
    ("capability_mismatch", {"tools": [WEATHER], "tool_choice": {"type": "required"}}, "use tool_choice auto"),
    ("invalid_request", {"response_format": {"type": "json_schema"}}, "schema is missing"),
    ("invalid_request", {"provider_options": {"ollama": {"num_ctx": 0}}}, "provider_options.ollama.num_ctx"),
    ("invalid_request", {"provider_options": {"ollama": {"num_cxt": 1}}}, "num_ctx"),
    ("invalid_request", {"messages": "\ud83d"}, "surrogate"),
]


@pytest.mark.parametrize(("error_class", "request_fields", "words"), REFUSED)
def test_refusals_name_the_place_and_a_way_out(error_class: str, request_fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ProviderFailure, match=words) as caught:
        WIRE.encode(CanonicalRequest(**request_fields) if words == "surrogate" else asked(request_fields), spec(), stream=True)
    assert caught.value.error_class == error_class
    assert "; " in caught.value.message


@pytest.mark.parametrize(
    ("name", "request_fields", "capability"),
    [
        ("qwen3:4b", {"tools": [WEATHER], "tool_choice": {"type": "required"}}, "forced_tool_choice"),
        ("qwen3:4b", {"messages": [user(image(kind="base64", data=PNG))]}, "images"),
        ("gemma3:1b", {"messages": [user(image(kind="base64", data=PNG))]}, "images"),
        ("llama3.2", {"thinking": {"mode": "on"}}, "thinking"),
        ("gemma3:4b", {"messages": [user({"type": "file", "source": {"kind": "base64", "data": PNG}})]}, "files"),
    ],
)
def test_what_a_family_can_not_do_is_refused_before_it_is_sent(
    name: str, request_fields: dict[str, Any], capability: str
) -> None:
    with pytest.raises(ProviderFailure, match=rf"\({capability}\)") as caught:
        check(asked(request_fields), spec(name))
    assert caught.value.error_class == "capability_mismatch"


@pytest.mark.parametrize("name", ["qwen3-vl:8b", "gemma3:4b", "llava", "llama3.2-vision:11b", "some/model"])
def test_images_go_where_they_may_be_read(name: str) -> None:
    check(asked({"messages": [user(image(kind="base64", data=PNG))]}), spec(name))


@pytest.mark.parametrize("name", ["gemma3:4b", "llama3:8b"])
def test_tools_of_models_without_go_as_text(name: str) -> None:
    model = spec(name)
    assert model.quirks.tool_dialect == "tagged"
    check(asked({"tools": [WEATHER]}), model)
    with pytest.raises(ProviderFailure, match="forced_tool_choice"):
        check(asked({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}}), model)


def test_the_row_is_free_and_needs_no_key() -> None:
    row = row_of("ollama")
    assert (row.free, row.needs_key, row.key_env, row.base_url) == (True, False, None, "http://localhost:11434")


def test_there_is_no_token_count() -> None:
    assert WIRE.encode_count(msgspec.convert({"messages": "x"}, CanonicalRequest), spec()) is None  # type: ignore[arg-type]
    with pytest.raises(ProviderFailure, match="estimateTokens"):
        WIRE.decode_count(b"{}")
