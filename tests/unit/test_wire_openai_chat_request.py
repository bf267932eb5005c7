"""Requests of the Chat Completions wire: what goes out for what was asked, and what is refused."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from openai.types.chat import completion_create_params as sdk
from pydantic import TypeAdapter
from tests.harness.request_parts import call, codes, consumed, image, result, text, user

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest

PLAIN = TypeAdapter(sdk.CompletionCreateParamsNonStreaming)
STREAMED = TypeAdapter(sdk.CompletionCreateParamsStreaming)
NONE = Quirks()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 16).decode()
WAV = base64.b64encode(b"RIFF0000WAVE" + b"0" * 16).decode()
PDF = base64.b64encode(b"%PDF-1.7 " + b"0" * 16).decode()
WEATHER = {
    "name": "weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
REASONS = Quirks(thinking="effort", thinking_default_on=True, efforts=("minimal", "low", "medium", "high"))


def spec(quirks: Quirks = NONE) -> ModelSpec:
    return ModelSpec("openai:m", "openai", "openai", "openai_chat", "m", Capabilities(), ModelLimits(), quirks)


def encode(request: Mapping[str, Any], quirks: Quirks = NONE, *, stream: bool = False) -> Encoded:
    whole = {"messages": "Hi", **request}
    return WIRE.encode(msgspec.convert(whole, CanonicalRequest), spec(quirks), stream=stream)


def body_of(encoded: Encoded) -> dict[str, Any]:
    """The body, after the vendor's own types have had a look: nothing is unknown to them, nothing is of another type."""
    body = json.loads(encoded.body)
    adapter = STREAMED if body.get("stream") else PLAIN
    assert consumed(adapter.validate_python(body)) == body
    return body


def sent(request: Mapping[str, Any], quirks: Quirks = NONE, *, stream: bool = False) -> dict[str, Any]:
    body = body_of(encode(request, quirks, stream=stream))
    return {key: value for key, value in body.items() if key not in ("model", "messages")}


def messages_of(messages: Any, quirks: Quirks = NONE, **more: Any) -> list[dict[str, Any]]:
    return body_of(encode({"messages": messages, **more}, quirks))["messages"]


def wire_call(number: int, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": "weather", "arguments": arguments}}


def test_the_endpoint_and_the_model() -> None:
    encoded = encode({})
    assert (encoded.path, encoded.method, encoded.headers, encoded.warnings) == ("/chat/completions", "POST", {}, [])
    assert body_of(encoded) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


MESSAGES: list[tuple[str, Any, list[dict[str, Any]]]] = [
    ("one text block is a string", [user(text("a"))], [{"role": "user", "content": "a"}]),
    ("text alone is a string", [user(text("a"), text("b"))], [{"role": "user", "content": "a\n\nb"}]),
    ("json is text", [user({"type": "json", "value": {"a": [1, "é"]}})], [{"role": "user", "content": '{"a":[1,"é"]}'}]),
    (
        "leading system messages are one, later ones stay",
        [
            {"role": "system", "content": "a"},
            {"role": "system", "content": [text("b")]},
            user(text("c")),
            {"role": "system", "content": "d"},
        ],
        [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"}, {"role": "system", "content": "d"}],
    ),
    (
        "images by URL and by data, with detail",
        [user(text("a"), {**image(kind="url", url="https://x/y.png"), "detail": "low"}, image(kind="base64", data=PNG))],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            }
        ],
    ),
    (
        "audio",
        [user({"type": "audio", "source": {"kind": "base64", "data": WAV}})],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}]}],
    ),
    (
        "files by data, by data: URL and by id",
        [
            user(
                {"type": "file", "source": {"kind": "base64", "data": PDF}, "filename": "a.pdf"},
                {"type": "file", "source": {"kind": "url", "url": f"data:application/pdf;base64,{PDF}"}},
                {"type": "file", "source": {"kind": "file_id", "file_id": "file-1"}},
            )
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
                    {"type": "file", "file": {"filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                ],
            }
        ],
    ),
    (
        "base64 in the other alphabet, in lines and without padding",
        [user({"type": "image", "media_type": "image/png", "source": {"kind": "base64", "data": "ab-_\nYQ"}})],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,ab+/YQ=="}}]}],
    ),
    (
        "calls, their results together, then the rest",
        [
            {"role": "assistant", "content": [text("Let me "), text("see."), call(1, city="Rome"), call(2, city="Oslo")]},
            {"role": "tool", "content": [result(1, "sunny")]},
            user(text("meanwhile"), result(2, [text("snow"), {"type": "json", "value": {"t": -3}}])),
            user(text("and now?")),
        ],
        [
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [wire_call(1, '{"city":"Rome"}'), wire_call(2, '{"city":"Oslo"}')],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "call_1"},
            {"role": "tool", "content": 'snow\n\n{"t":-3}', "tool_call_id": "call_2"},
            {"role": "user", "content": "meanwhile"},
            {"role": "user", "content": "and now?"},
        ],
    ),
    (
        "a call alone has no content",
        [{"role": "assistant", "content": [call(1)]}, {"role": "tool", "content": [result(1, "")]}],
        [
            {"role": "assistant", "content": None, "tool_calls": [wire_call(1, "{}")]},
            {"role": "tool", "content": "", "tool_call_id": "call_1"},
        ],
    ),
    (
        "a refusal is what was said",
        [{"role": "assistant", "content": [{"type": "refusal", "text": "No."}]}, user(text("Why?"))],
        [{"role": "assistant", "content": "No."}, {"role": "user", "content": "Why?"}],
    ),
    ("an empty answer is left out", [{"role": "assistant", "content": ""}, user(text("a"))], [{"role": "user", "content": "a"}]),
]


@pytest.mark.parametrize(("given", "wanted"), [case[1:] for case in MESSAGES], ids=[case[0] for case in MESSAGES])
def test_messages(given: Any, wanted: list[dict[str, Any]]) -> None:
    encoded = encode({"messages": given})
    assert body_of(encoded)["messages"] == wanted
    assert encoded.warnings == []


def test_the_system_prompt_goes_before_leading_system_messages_in_the_models_role() -> None:
    given = [{"role": "system", "content": "b"}, user(text("c"))]
    assert messages_of(given, Quirks(system_role="developer"), system_prompt="a")[0] == {"role": "developer", "content": "a\n\nb"}


def test_system_messages_move_to_the_front_where_they_must() -> None:
    encoded = encode(
        {"system_prompt": "a", "messages": [user(text("b")), {"role": "system", "content": "c"}]},
        Quirks(mid_conversation_system=False),
    )
    assert body_of(encoded)["messages"] == [{"role": "system", "content": "a\n\nc"}, {"role": "user", "content": "b"}]
    assert codes(encoded) == [("content_projected", "messages[1]")]


def test_media_of_results_follow_all_results_of_the_group() -> None:
    encoded = encode(
        {
            "messages": [
                {"role": "assistant", "content": [call(1), call(2)]},
                {"role": "tool", "content": [result(1, [text("a map"), image(kind="base64", data=PNG)])]},
                {"role": "tool", "content": [result(2, "broken", is_error=True)]},
                user(text("go on")),
            ]
        }
    )
    assert body_of(encoded)["messages"][1:] == [
        {"role": "tool", "content": "a map\n\n[attachment 1 of the next user message]", "tool_call_id": "call_1"},
        {"role": "tool", "content": "Error: broken", "tool_call_id": "call_2"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]},
        {"role": "user", "content": "go on"},
    ]
    assert codes(encoded) == [
        ("content_projected", "messages[1].content[0].content[1]"),
        ("content_projected", "messages[2].content[0]"),
    ]


def test_reasoning_is_left_out_with_one_warning_for_all() -> None:
    thought = {"type": "thinking", "text": "hm", "provider_raw": {"provider": "x", "signature": "s"}}
    encoded = encode(
        {
            "messages": [
                user(text("a")),
                {"role": "assistant", "content": [thought, text("b")]},
                user(text("c")),
                {"role": "assistant", "content": [{"type": "redacted_thinking", "provider_raw": {"data": "d"}}]},
                {"role": "assistant", "content": [{"type": "opaque", "provider_raw": {"data": "d"}}, text("d")]},
            ]
        }
    )
    assert [m["content"] for m in body_of(encoded)["messages"]] == ["a", "b", "c", "d"]
    assert codes(encoded) == [("content_dropped", "messages[1].content[0]"), ("content_dropped", "messages[4].content[0]")]
    assert encoded.warnings[0].detail == {"count": 2}
    assert b"signature" not in encoded.body


def test_ids_of_other_wires_are_spelled_the_same_on_both_sides() -> None:
    odd = {"type": "tool_use", "id": "functions.weather:0", "name": "weather", "input": {}}
    given = [
        {"role": "assistant", "content": [odd]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": odd["id"], "content": "x"}]},
    ]
    first, second = messages_of(given)
    assert first["tool_calls"][0]["id"] == second["tool_call_id"]
    assert len(second["tool_call_id"]) <= 40


PARAMETERS: list[tuple[str, dict[str, Any], Quirks, dict[str, Any], list[str]]] = [
    ("the limit", {"max_output_tokens": 9}, Quirks(), {"max_completion_tokens": 9}, []),
    ("the older limit", {"max_output_tokens": 9}, Quirks(max_tokens_field="max_tokens"), {"max_tokens": 9}, []),
    (
        "sampling",
        {"temperature": 0.5, "top_p": 0.25, "stop_sequences": ["x"]},
        Quirks(),
        {"temperature": 0.5, "top_p": 0.25, "stop": ["x"]},
        [],
    ),
    (
        "sampling that the model refuses",
        {"temperature": 0.5, "top_p": 0.25, "stop_sequences": ["x"]},
        Quirks(sampling="none", stop=False),
        {},
        ["parameter_ignored"] * 3,
    ),
    (
        "one of two",
        {"temperature": 0.5, "top_p": 0.25},
        Quirks(sampling="one_of_two"),
        {"temperature": 0.5},
        ["parameter_ignored"],
    ),
    (
        "sampling goes without reasoning",
        {"temperature": 0.5, "thinking": {"mode": "off"}},
        Quirks(thinking="effort", sampling="without_reasoning", thinking_default_on=True),
        {"temperature": 0.5, "reasoning_effort": "none"},
        [],
    ),
    (
        "and not with it",
        {"temperature": 0.5},
        Quirks(thinking="effort", sampling="without_reasoning", thinking_default_on=True),
        {},
        ["parameter_ignored"],
    ),
    ("no tools, no choice", {"tool_choice": {"type": "auto", "parallel": False}}, Quirks(), {}, []),
    ("text is the default", {"response_format": {"type": "text"}}, Quirks(), {}, []),
    ("json", {"response_format": {"type": "json_object"}}, Quirks(), {"response_format": {"type": "json_object"}}, []),
    ("a cache key", {"cache": {"key": "k"}}, Quirks(), {"prompt_cache_key": "k"}, []),
    ("cache settings that have no field", {"cache": {"mode": "off", "ttl": "1h"}}, Quirks(), {}, ["parameter_ignored"] * 2),
    ("metadata stay here", {"metadata": {"a": "b"}}, Quirks(), {}, []),
    (
        "metadata go with what is stored",
        {"metadata": {"a": "b", "n": 1}, "provider_options": {"openai": {"store": True}}},
        Quirks(),
        {"store": True, "metadata": {"a": "b", "n": "1"}},
        [],
    ),
    (
        "options",
        {"provider_options": {"openai": {"seed": 7, "verbosity": "low", "service_tier": "flex", "logit_bias": {"50256": -100}}}},
        Quirks(),
        {"seed": 7, "verbosity": "low", "service_tier": "flex", "logit_bias": {"50256": -100}},
        [],
    ),
    ("options of others", {"provider_options": {"gemini": {"seed": "x"}}}, Quirks(), {}, []),
    # thinking
    ("thinking not asked for", {}, REASONS, {}, []),
    ("on is what it does anyway", {"thinking": {"mode": "on"}}, REASONS, {}, []),
    ("on where it is off", {"thinking": {"mode": "on"}}, Quirks(thinking="effort"), {"reasoning_effort": "medium"}, []),
    ("adaptive with a level", {"thinking": {"mode": "adaptive", "effort": "low"}}, REASONS, {"reasoning_effort": "low"}, []),
    ("off", {"thinking": {"mode": "off"}}, Quirks(thinking="effort"), {"reasoning_effort": "none"}, []),
    (
        "effort none is off",
        {"thinking": {"mode": "on", "effort": "none"}},
        Quirks(thinking="effort"),
        {"reasoning_effort": "none"},
        [],
    ),
    (
        "off where off has no name",
        {"thinking": {"mode": "off"}},
        Quirks(thinking="effort", efforts=("low", "high")),
        {},
        [],
    ),
    (
        "a level too high",
        {"thinking": {"mode": "on", "effort": "max"}},
        REASONS,
        {"reasoning_effort": "high"},
        ["parameter_adjusted"],
    ),
    (
        "a level between two",
        {"thinking": {"mode": "on", "effort": "medium"}},
        Quirks(thinking="effort", efforts=("none", "low", "high")),
        {"reasoning_effort": "high"},
        ["parameter_adjusted"],
    ),
    (
        "never down to none",
        {"thinking": {"mode": "on", "effort": "minimal"}},
        Quirks(thinking="effort", efforts=("none", "low", "high")),
        {"reasoning_effort": "low"},
        ["parameter_adjusted"],
    ),
    (
        "a level outside the scale",
        {"thinking": {"mode": "on", "effort": "low"}},
        Quirks(thinking="effort", efforts=("none", "default")),
        {"reasoning_effort": "default"},
        ["parameter_adjusted"],
    ),
    (
        "a budget",
        {"thinking": {"mode": "on", "budget_tokens": 10_000}},
        REASONS,
        {"reasoning_effort": "medium"},
        ["parameter_adjusted"],
    ),
    (
        "a level and a budget",
        {"thinking": {"mode": "on", "budget_tokens": 10, "effort": "high"}},
        REASONS,
        {"reasoning_effort": "high"},
        ["parameter_ignored"],
    ),
    ("adaptive on a model that can't", {"thinking": {"mode": "adaptive"}}, Quirks(), {}, ["parameter_ignored"]),
    ("off on a model that can't", {"thinking": {"mode": "off"}}, Quirks(), {}, []),
]


@pytest.mark.parametrize(
    ("request_", "quirks", "wanted", "warned"), [case[1:] for case in PARAMETERS], ids=[case[0] for case in PARAMETERS]
)
def test_parameters(request_: dict[str, Any], quirks: Quirks, wanted: dict[str, Any], warned: list[str]) -> None:
    encoded = encode(request_, quirks)
    body = json.loads(encoded.body)
    if body.get("reasoning_effort") != "default":  # not a level of the vendor's own
        body = body_of(encoded)
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == wanted
    assert [warning.code for warning in encoded.warnings] == warned


def test_streams_ask_for_usage_where_that_is_known() -> None:
    assert sent({}, stream=True) == {"stream": True, "stream_options": {"include_usage": True}}
    assert sent({}, Quirks(stream_usage=False), stream=True) == {"stream": True}


def function(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **more}}


@pytest.mark.parametrize(
    ("tool", "wanted"),
    [
        (WEATHER, {"type": "function", "function": {**WEATHER, "parameters": WEATHER["input_schema"]}}),
        ({"name": "f"}, function(parameters={"type": "object", "properties": {}})),
        ({"name": "f", "input_schema": {}}, function(parameters={"type": "object", "properties": {}})),
        ({"name": "f", "input_schema": {"type": "object"}}, function(parameters={"type": "object", "properties": {}})),
        ({"name": "f", "input_schema": {"$ref": "#/$defs/a"}}, function(parameters={"$ref": "#/$defs/a"})),
    ],
)
def test_tools(tool: dict[str, Any], wanted: dict[str, Any]) -> None:
    wanted["function"].pop("input_schema", None)
    assert sent({"tools": [tool]}) == {"tools": [wanted]}


@pytest.mark.parametrize(
    ("choice", "quirks", "wanted", "warned"),
    [
        ({"type": "none"}, Quirks(), {"tool_choice": "none"}, []),
        ({"type": "auto"}, Quirks(), {"tool_choice": "auto"}, []),
        ({"type": "required", "parallel": False}, Quirks(), {"tool_choice": "required", "parallel_tool_calls": False}, []),
        (
            {"type": "tool", "name": "weather"},
            Quirks(),
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            [],
        ),
        (
            {"type": "required"},
            Quirks(thinking="effort", thinking_default_on=True, forced_tool_choice_with_thinking=False),
            {"tool_choice": "required", "reasoning_effort": "none"},
            ["parameter_adjusted"],
        ),
    ],
)
def test_tool_choice(choice: dict[str, Any], quirks: Quirks, wanted: dict[str, Any], warned: list[str]) -> None:
    encoded = encode({"tools": [WEATHER], "tool_choice": choice}, quirks)
    body = body_of(encoded)
    assert {key: body[key] for key in body if key not in ("model", "messages", "tools")} == wanted
    assert [warning.code for warning in encoded.warnings] == warned


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (closed(a={"type": "string"}), True),
        (closed(a={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/b"}]}) | {"$defs": {"b": closed()}}, True),
        (closed(a={"type": "array", "items": closed(b={"enum": ["x"]})}), True),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, False),
        (closed(a={"type": "string"}) | {"required": []}, False),
        (closed(a={"type": "array", "items": {"type": "object"}}), False),
        (closed(a={"type": ["object", "null"]}), False),
        (closed(a={"allOf": [{"type": "string"}]}), False),
        (closed(a={"type": "string", "format": "uri"}), False),
        ({"anyOf": [closed()]}, False),
    ],
)
def test_answers_are_strict_where_the_schema_can_be(schema: dict[str, Any], strict: bool) -> None:
    named = sent({"response_format": {"type": "json_schema", "schema": schema}})["response_format"]["json_schema"]
    assert named == {"name": "output", "schema": schema, **({"strict": True} if strict else {})}


def test_names_of_formats_are_made_to_fit() -> None:
    form = {"type": "json_schema", "name": "Ärger: " + "x" * 90, "schema": {}}
    name = sent({"response_format": form})["response_format"]["json_schema"]["name"]
    assert name == ("_rger_" + "x" * 90)[:64]


NO_TOOLS_WHILE_THINKING = Quirks(thinking="effort", thinking_default_on=True, tools_with_reasoning=False)


@pytest.mark.parametrize("thinking", [None, {"mode": "adaptive"}])
def test_who_does_not_insist_on_thinking_gets_the_tools(thinking: Any) -> None:
    encoded = encode({"tools": [WEATHER], "thinking": thinking}, NO_TOOLS_WHILE_THINKING)
    assert body_of(encoded)["reasoning_effort"] == "none"
    assert codes(encoded) == [("parameter_adjusted", "thinking")]


REFUSED: list[tuple[str, dict[str, Any], Quirks, str, str]] = [
    ("thinking that it can't", {"thinking": {"mode": "on"}}, NONE, "capability_mismatch", "reasoning model"),
    (
        "no thinking that it can't",
        {"thinking": {"mode": "off"}},
        Quirks(thinking="effort", thinking_can_be_off=False, efforts=("minimal", "low")),
        "capability_mismatch",
        "effort minimal",
    ),
    (
        "tools while thinking",
        {"tools": [WEATHER], "thinking": {"mode": "on"}},
        NO_TOOLS_WHILE_THINKING,
        "capability_mismatch",
        "set thinking to off",
    ),
    ("too many tools", {"tools": [WEATHER, {"name": "b"}]}, Quirks(max_function_count=1), "capability_mismatch", "takes 1 tools"),
    (
        "prefill",
        {"messages": [{"role": "assistant", "content": "a"}]},
        Quirks(prefill=False),
        "capability_mismatch",
        "end with the user's",
    ),
    ("an image by id", {"messages": [user(image(kind="file_id", file_id="f"))]}, NONE, "capability_mismatch", "base64"),
    (
        "audio of another kind",
        {"messages": [user({"type": "audio", "media_type": "audio/flac", "source": {"kind": "base64", "data": ""}})]},
        NONE,
        "capability_mismatch",
        "wav or mp3",
    ),
    (
        "a file by URL",
        {"messages": [user({"type": "file", "source": {"kind": "url", "url": "https://x/a.pdf"}})]},
        NONE,
        "capability_mismatch",
        "messages[0].content[0]",
    ),
    ("an image of no known type", {"messages": [user(image(kind="base64", data="AAAA"))]}, NONE, "invalid_request", "media_type"),
    ("a forced call without tools", {"tool_choice": {"type": "required"}}, NONE, "invalid_request", "needs tools"),
    (
        "a forced call of nothing",
        {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}},
        NONE,
        "invalid_request",
        "tool_choice.name",
    ),
    ("a schema that is missing", {"response_format": {"type": "json_schema"}}, NONE, "invalid_request", "response_format.schema"),
    ("an unknown option", {"provider_options": {"openai": {"sede": 1}}}, NONE, "invalid_request", "sede"),
    (
        "an option of another type",
        {"provider_options": {"openai": {"seed": "1"}}},
        NONE,
        "invalid_request",
        "provider_options.openai.seed",
    ),
    ("a call by the user", {"messages": [user(call(1))]}, NONE, "invalid_request", "messages[0].content[0]"),
    (
        "a result by the assistant",
        {"messages": [{"role": "assistant", "content": [result(1, "")]}]},
        NONE,
        "invalid_request",
        "tool_result",
    ),
    ("a result that is text", {"messages": [{"role": "tool", "content": "a"}]}, NONE, "invalid_request", "messages[0]"),
]


@pytest.mark.parametrize(
    ("request_", "quirks", "error_class", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused(request_: dict[str, Any], quirks: Quirks, error_class: str, words: str) -> None:
    with pytest.raises(ProviderFailure) as caught:
        encode(request_, quirks)
    assert caught.value.error_class == error_class
    assert words in caught.value.message


def test_half_a_character_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ProviderFailure, match="surrogate"):
        WIRE.encode(CanonicalRequest("a\ud83d"), spec(), stream=False)


def test_no_count_and_one_page_of_models() -> None:
    discover = WIRE.encode_discover(None)
    assert discover is not None
    assert (discover.method, discover.path, discover.body) == ("GET", "/models", b"")
    listed = {
        "object": "list",
        "data": [{"id": "a"}, {"id": "b", "name": "B", "context_length": 8, "top_provider": {"max_completion_tokens": 4}}],
    }
    models, page = WIRE.decode_discover(json.dumps(listed).encode(), "openai")
    assert page is None
    assert [(m.id, m.wire_name, m.display_name) for m in models] == [("openai:a", "a", None), ("openai:b", "b", "B")]
    assert models[1].limits == ModelLimits(8, 4)


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b'{"data":3}', b'{"data":[{"no":"id"}]}', b'{"error":"x"}'])
def test_a_model_list_that_is_none(body: bytes) -> None:
    with pytest.raises(ProviderFailure):
        WIRE.decode_discover(body, "openai")
