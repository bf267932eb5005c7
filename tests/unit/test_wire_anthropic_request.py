"""Requests of the Messages wire: what goes out for what was asked, what is said about it, what is refused."""

from typing import Any

import pytest
from tests.harness.messages_blocks import (
    BMP,
    CALL,
    HI,
    MINE,
    NOTE,
    PDF,
    PNG,
    RESULT,
    SERVER_BLOCK,
    TOOL,
    WIRE_CALL,
    WIRE_RESULT,
    assistant,
    file,
    image,
    inline,
    text,
    user,
)
from tests.harness.messages_wire import ADAPTIVE, ALWAYS, BUDGET, checked_body, encode, spec

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import Quirks
from modeld_protocol.content import Message
from modeld_protocol.model import Capabilities
from modeld_protocol.request import CanonicalRequest

# name: messages, messages on the wire, warning codes
MESSAGES: dict[str, tuple[Any, list[Any], list[str]]] = {
    "a string": ("Hi", [HI], []),
    "turns": ([HI, {"role": "assistant", "content": "Yes"}, HI], [HI, {"role": "assistant", "content": "Yes"}, HI], []),
    "same roles are merged": ([HI, user(text("there"))], [user(text("Hi"), text("there"))], []),
    "two strings are merged": ([HI, HI], [user(text("Hi"), text("Hi"))], []),
    "empty text is left out": ([user(text(""), text(" \n"), text("x")), assistant(text(""))], [user(text("x"))], []),
    "an empty message leaves no trace": ([HI, {"role": "assistant", "content": ""}, HI], [user(text("Hi"), text("Hi"))], []),
    "json and refusal as text": (
        [user({"type": "json", "value": {"b": [1, "é"]}}), assistant({"type": "refusal", "text": "No."}), HI],
        [user(text('{"b":[1,"é"]}')), assistant(text("No.")), HI],
        [],
    ),
    "results first, in one message": (
        [
            HI,
            assistant(CALL, {**CALL, "id": "tu_toolu_2"}),
            user(text("and?"), RESULT),
            {"role": "tool", "content": [{**RESULT, "tool_use_id": "tu_toolu_2", "content": [], "is_error": True}]},
        ],
        [
            HI,
            assistant(WIRE_CALL, {**WIRE_CALL, "id": "toolu_2"}),
            user(
                WIRE_RESULT,
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": "The tool failed and said nothing.",
                    "is_error": True,
                },
                text("and?"),
            ),
        ],
        [],
    ),
    "a result with media": (
        [HI, assistant(CALL), user({**RESULT, "content": [text("see"), image(inline(PNG)), {"type": "json", "value": 1}]})],
        [
            HI,
            assistant(WIRE_CALL),
            user(
                {
                    **WIRE_RESULT,
                    "content": [
                        text("see"),
                        image({"type": "base64", "media_type": "image/png", "data": PNG}),
                        text("1"),
                    ],
                }
            ),
        ],
        [],
    ),
    "a foreign id is spelt anew": (
        [HI, assistant({**CALL, "id": "tu_a.b"}), user({**RESULT, "tool_use_id": "tu_a.b", "content": ""})],
        [
            HI,
            assistant({**WIRE_CALL, "id": "call_2e7336dc8eba87ef472df568"}),
            user({"type": "tool_result", "tool_use_id": "call_2e7336dc8eba87ef472df568"}),
        ],
        [],
    ),
    "a system message in the middle": (
        [HI, assistant(text("Yes")), {"role": "system", "content": "Be brief."}, HI],
        [HI, assistant(text("Yes")), user(text("Be brief."), text("Hi"))],
        ["content_projected"],
    ),
    "own thinking is replayed": (
        [
            HI,
            assistant(
                {"type": "thinking", "text": "", "provider_raw": {**MINE, "signature": "s=="}},
                {"type": "redacted_thinking", "provider_raw": {**MINE, "data": "d=="}},
                {"type": "thinking", "text": " hm\n", "provider_raw": {**MINE, "provider": "claude", "signature": "t"}},
                {"type": "opaque", "provider_raw": {**MINE, "block": SERVER_BLOCK}},
                text("So"),
            ),
            HI,
        ],
        [
            HI,
            assistant(
                {"type": "thinking", "thinking": "", "signature": "s=="},
                {"type": "redacted_thinking", "data": "d=="},
                {"type": "thinking", "thinking": " hm\n", "signature": "t"},
                SERVER_BLOCK,
                text("So"),
            ),
            HI,
        ],
        [],
    ),
    "foreign and unsigned reasoning is not": (
        [
            HI,
            assistant(
                {"type": "thinking", "text": "a", "provider_raw": {"provider": "openai", "signature": "s"}},
                {"type": "thinking", "text": "b"},
                {"type": "redacted_thinking", "provider_raw": {"provider": "openai", "data": "d"}},
                {"type": "opaque", "provider_raw": {"provider": "openai", "block": SERVER_BLOCK}},
                text("So", provider_raw={"provider": "openai", "citations": [1]}),
            ),
            HI,
        ],
        [HI, assistant(text("So")), HI],
        ["content_dropped"] * 4,
    ),
    "images": (
        [
            user(
                image(inline(PNG), media_type="image/jpg"),
                image({"kind": "url", "url": "https://a.example/x"}, detail="low"),
                image({"kind": "url", "url": f"data:image/png;base64,{PNG}"}, detail="auto"),
                file(inline(PNG)),
            )
        ],
        [
            user(
                image({"type": "base64", "media_type": "image/png", "data": PNG}),
                image({"type": "url", "url": "https://a.example/x"}),
                image({"type": "base64", "media_type": "image/png", "data": PNG}),
                image({"type": "base64", "media_type": "image/png", "data": PNG}),
            )
        ],
        ["parameter_ignored"],
    ),
    "documents": (
        [
            user(
                file(inline(PDF), filename="a.pdf"),
                file(inline(NOTE)),
                file(inline(NOTE), media_type="text/markdown; charset=utf-8"),
                file({"kind": "url", "url": "https://a.example/x.pdf"}),
            )
        ],
        [
            user(
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    "title": "a.pdf",
                },
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
                {"type": "document", "source": {"type": "url", "url": "https://a.example/x.pdf"}},
            )
        ],
        [],
    ),
    "media of the assistant is left out": (
        [HI, assistant(image(inline(PNG)), text("x")), HI],
        [HI, assistant(text("x")), HI],
        ["content_dropped"],
    ),
}


@pytest.mark.parametrize(("messages", "wanted", "warnings"), MESSAGES.values(), ids=MESSAGES.keys())
def test_messages(messages: Any, wanted: list[Any], warnings: list[str]) -> None:
    encoded = encode({"messages": messages})
    assert checked_body(encoded)["messages"] == wanted
    assert [warning.code for warning in encoded.warnings] == warnings
    assert all(warning.path for warning in encoded.warnings)


# name: request, quirks, fields of the body (None: absent), warned paths
FIELDS: dict[str, tuple[dict[str, Any], Quirks, dict[str, Any], list[str]]] = {
    "nothing asked": (
        {},
        BUDGET,
        {"model": "m-1", "max_tokens": 16_384, "system": None, "tools": None, "thinking": None, "stream": None},
        [],
    ),
    "system prompt and leading system messages": (
        {"system_prompt": "A", "messages": [{"role": "system", "content": "B"}, {"role": "system", "content": [text("C")]}, HI]},
        BUDGET,
        {"system": "A\n\nB\n\nC", "messages": [HI]},
        [],
    ),
    "limits, stops and sampling": (
        {"max_output_tokens": 7, "stop_sequences": ["a"], "temperature": 0.5, "top_p": 0.9},
        BUDGET,
        {"max_tokens": 7, "stop_sequences": ["a"], "temperature": 0.5, "top_p": 0.9},
        [],
    ),
    "a warm-up": ({"max_output_tokens": 0}, BUDGET, {"max_tokens": 0}, []),
    "thinking needs room": ({}, ALWAYS, {"max_tokens": 32_768, "thinking": None}, []),
    "temperature ends at 1": ({"temperature": 1.5}, BUDGET, {"temperature": 1.0}, ["temperature"]),
    "one of two": (
        {"temperature": 0.5, "top_p": 0.9},
        Quirks(sampling="one_of_two"),
        {"temperature": 0.5, "top_p": None},
        ["top_p"],
    ),
    "no sampling": ({"temperature": 1.0, "top_p": 1.0}, ADAPTIVE, {"temperature": None, "top_p": None}, ["temperature", "top_p"]),
    "no sampling since an API version": (
        {"temperature": 1.0},
        Quirks(api_version="2026-10-21"),
        {"temperature": None},
        ["temperature"],
    ),
    "sampling while thinking": (
        {"temperature": 1.0, "top_p": 0.5, "thinking": {"mode": "on"}},
        BUDGET,
        {"temperature": 1.0, "top_p": None},
        ["top_p"],
    ),
    "no stops": ({"stop_sequences": ["a"]}, Quirks(stop=False), {"stop_sequences": None}, ["stop_sequences"]),
    "a budget": (
        {"thinking": {"mode": "on", "budget_tokens": 2000}, "max_output_tokens": 9000},
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 9000, "output_config": None},
        [],
    ),
    "a budget by default": (
        {"thinking": {"mode": "on", "display": "summarized"}},
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 8192, "display": "summarized"}, "max_tokens": 32_768},
        [],
    ),
    "a budget by effort": (
        {"thinking": {"mode": "on", "effort": "low"}},
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 4096}},
        ["thinking.effort"],
    ),
    "a budget too small": (
        {"thinking": {"mode": "on", "budget_tokens": 5}},
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ["thinking.budget_tokens"],
    ),
    "a budget above the limit": (
        {"thinking": {"mode": "on", "budget_tokens": 9000}, "max_output_tokens": 4000},
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 3000}, "max_tokens": 4000},
        ["thinking.budget_tokens"],
    ),
    "a budget above the model's limit": (
        {"thinking": {"mode": "on", "budget_tokens": 90_000}},
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 48_000}, "max_tokens": 64_000},
        ["thinking.budget_tokens"],
    ),
    "adaptive where there is none": (
        {"thinking": {"mode": "adaptive"}},
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 8192}},
        ["thinking.mode"],
    ),
    "effort where there is no adaptive": (
        {"thinking": {"mode": "adaptive", "effort": "medium"}},
        Quirks(thinking="budget", efforts=("low", "medium", "high")),
        {"thinking": None, "output_config": {"effort": "medium"}},
        ["thinking.mode"],
    ),
    "budget and effort": (
        {"thinking": {"mode": "on", "effort": "high", "budget_tokens": 2048}},
        Quirks(thinking="budget", efforts=("low", "medium", "high")),
        {"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "high"}},
        [],
    ),
    "adaptive": (
        {"thinking": {"mode": "on", "budget_tokens": 2048, "effort": "max"}},
        ADAPTIVE,
        {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
        ["thinking.budget_tokens"],
    ),
    "efforts it has not": (
        {"thinking": {"mode": "adaptive", "effort": "xhigh", "display": "omitted"}},
        ADAPTIVE,
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}},
        ["thinking.effort"],
    ),
    "an effort below all": (
        {"thinking": {"mode": "on", "effort": "minimal"}},
        ALWAYS,
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ["thinking.effort"],
    ),
    "effort alone": (
        {"thinking": {"mode": "on", "effort": "low"}},
        Quirks(thinking="effort"),
        {"thinking": None, "output_config": {"effort": "low"}},
        [],
    ),
    "off": ({"thinking": {"mode": "off"}}, BUDGET, {"thinking": {"type": "disabled"}}, []),
    "off by effort": (
        {"thinking": {"mode": "on", "effort": "none"}},
        ADAPTIVE,
        {"thinking": {"type": "disabled"}, "output_config": None},
        [],
    ),
    "off with too much effort": (
        {"thinking": {"mode": "off", "effort": "max"}},
        Quirks(thinking="adaptive", thinking_default_on=True),
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
        ["thinking.effort"],
    ),
    "no thinking in a loop that began without": (
        {"thinking": {"mode": "on"}, "messages": [HI, assistant(CALL), user(RESULT)], "temperature": 0.5},
        BUDGET,
        {"thinking": None, "temperature": 0.5},
        ["thinking"],
    ),
    "thinking in a loop that began with it": (
        {
            "thinking": {"mode": "on"},
            "messages": [
                HI,
                assistant({"type": "thinking", "text": "x", "provider_raw": {**MINE, "signature": "s"}}, CALL),
                user(RESULT),
            ],
        },
        BUDGET,
        {"thinking": {"type": "enabled", "budget_tokens": 8192}},
        [],
    ),
    "a schema": (
        {"response_format": {"type": "json_schema", "name": "x", "schema": {"type": "object", "additionalProperties": False}}},
        BUDGET,
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}}},
        [],
    ),
    "an open schema is closed": (
        {
            "response_format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "properties": {"a": {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}},
                },
            }
        },
        BUDGET,
        {
            "output_config": {
                "format": {
                    "type": "json_schema",
                    "schema": {
                        "type": "object",
                        "properties": {
                            "a": {
                                "anyOf": [
                                    {"type": "object", "additionalProperties": False},
                                    {"type": "array", "items": {"type": "object", "additionalProperties": False}},
                                ]
                            }
                        },
                        "additionalProperties": False,
                    },
                }
            }
        },
        ["response_format.schema"],
    ),
    "plain text": ({"response_format": {"type": "text"}}, BUDGET, {"output_config": None}, []),
    "tools": (
        {"tools": [TOOL, {"name": "x", "input_schema": {"properties": {}}}], "tool_choice": {"type": "auto", "parallel": False}},
        BUDGET,
        {
            "tools": [TOOL, {"name": "x", "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        },
        [],
    ),
    "no tool": (
        {"tools": [TOOL], "tool_choice": {"type": "none", "parallel": False}},
        BUDGET,
        {"tool_choice": {"type": "none"}},
        [],
    ),
    "any tool": ({"tools": [TOOL], "tool_choice": {"type": "required"}}, BUDGET, {"tool_choice": {"type": "any"}}, []),
    "one tool": (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "weather"}},
        BUDGET,
        {"tool_choice": {"type": "tool", "name": "weather"}},
        [],
    ),
    "a choice among nothing": ({"tool_choice": {"type": "auto"}}, BUDGET, {"tool_choice": None}, []),
    "options": (
        {
            "provider_options": {
                "anthropic": {
                    "user_id": "u",
                    "service_tier": "auto",
                    "top_k": 5,
                    "inference_geo": "us",
                    "server_tools": [{"type": "web_search_20250305", "name": "web_search"}],
                    "strict_tools": True,
                },
                "openai": {"nonsense": 1},
            },
            "tools": [TOOL],
        },
        BUDGET,
        {
            "metadata": {"user_id": "u"},
            "service_tier": "auto",
            "top_k": 5,
            "inference_geo": "us",
            "tools": [{"type": "web_search_20250305", "name": "web_search"}, {**TOOL, "strict": True}],
        },
        [],
    ),
}


@pytest.mark.parametrize(("request_", "quirks", "wanted", "warned"), FIELDS.values(), ids=FIELDS.keys())
def test_fields(request_: dict[str, Any], quirks: Quirks, wanted: dict[str, Any], warned: list[str]) -> None:
    encoded = encode(request_, spec(quirks))
    body = checked_body(encoded)
    assert {name: body.get(name) for name in wanted} == wanted
    assert [warning.path for warning in encoded.warnings] == warned


@pytest.mark.parametrize(
    ("request_", "quirks", "error_class", "says"),
    [
        ({"messages": []}, BUDGET, "invalid_request", "messages"),
        ({"messages": [user(text(" "))]}, BUDGET, "invalid_request", "messages"),
        ({"messages": [HI, {"role": "assistant", "content": "{"}]}, ADAPTIVE, "capability_mismatch", "response_format"),
        ({"messages": [user({"type": "audio", "source": inline(PNG)})]}, BUDGET, "capability_mismatch", "transcript"),
        ({"messages": [user(image(inline(BMP)))]}, BUDGET, "capability_mismatch", "image/bmp"),
        ({"messages": [user(image(inline("AAAA")))]}, BUDGET, "invalid_request", "media_type"),
        ({"messages": [user(file(inline(NOTE), media_type="application/msword"))]}, BUDGET, "capability_mismatch", "PDF"),
        ({"messages": [{"role": "system", "content": [image(inline(PNG))]}, HI]}, BUDGET, "capability_mismatch", "messages[0]"),
        ({"messages": [user(CALL)]}, BUDGET, "invalid_request", "messages[0].content[0]"),
        ({"messages": [HI, assistant(RESULT)]}, BUDGET, "invalid_request", "messages[1].content[0]"),
        ({"response_format": {"type": "json_object"}}, BUDGET, "capability_mismatch", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, BUDGET, "invalid_request", "response_format.schema"),
        ({"thinking": {"mode": "off"}}, ALWAYS, "capability_mismatch", "effort low"),
        ({"thinking": {"mode": "on"}, "max_output_tokens": 1024}, BUDGET, "invalid_request", "max_output_tokens"),
        ({"tools": [TOOL], "tool_choice": {"type": "required"}}, ALWAYS, "capability_mismatch", "use auto"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "weather"}, "thinking": {"mode": "on"}},
            BUDGET,
            "capability_mismatch",
            "turn thinking off",
        ),
        ({"tool_choice": {"type": "required"}}, BUDGET, "invalid_request", "tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, BUDGET, "invalid_request", "tool_choice.name"),
        ({"tools": [TOOL, TOOL]}, Quirks(max_function_count=1), "capability_mismatch", "1 at most"),
        ({"provider_options": {"anthropic": {"topk": 1}}}, BUDGET, "invalid_request", "topk"),
        ({"provider_options": {"anthropic": {"top_k": "1"}}}, BUDGET, "invalid_request", "top_k"),
    ],
)
def test_refused_before_it_is_sent(request_: dict[str, Any], quirks: Quirks, error_class: str, says: str) -> None:
    with pytest.raises(ProviderFailure) as caught:
        encode(request_, spec(quirks))
    assert caught.value.error_class == error_class
    assert says in caught.value.message
    assert not caught.value.retryable


def test_a_model_that_does_not_think_says_so() -> None:
    with pytest.raises(ProviderFailure) as caught:
        encode({"thinking": {"mode": "on"}}, spec(Quirks(), capabilities=Capabilities()))
    assert caught.value.error_class == "capability_mismatch"


def test_a_model_of_unknown_ways_gets_what_was_asked() -> None:
    unknown = spec(Quirks())
    assert checked_body(encode({"thinking": {"mode": "on", "budget_tokens": 2000}}, unknown))["thinking"] == {
        "type": "enabled",
        "budget_tokens": 2000,
    }
    assert checked_body(encode({"thinking": {"mode": "on"}}, unknown))["thinking"] == {"type": "adaptive"}


def test_a_paused_turn_is_no_prefill() -> None:
    paused = [HI, assistant({"type": "opaque", "provider_raw": {**MINE, "block": SERVER_BLOCK}}, text("Searching"))]
    assert checked_body(encode({"messages": paused}, spec(ADAPTIVE)))["messages"][1]["content"][0] == SERVER_BLOCK


def test_prefill_where_it_is_legal() -> None:
    messages = [HI, {"role": "assistant", "content": "{"}]
    assert checked_body(encode({"messages": messages}))["messages"] == messages


SYSTEM = {"role": "system", "content": "Be brief."}
WIRE_SYSTEM = {"role": "system", "content": [text("Be brief.")]}
OK = {"role": "assistant", "content": "Yes"}
WIRE_OK = assistant(text("Yes"))
WIRE_HI = user(text("Hi"))


@pytest.mark.parametrize(
    ("messages", "wanted", "warnings"),
    [
        ([HI, SYSTEM], [HI, WIRE_SYSTEM], []),
        (
            [HI, SYSTEM, SYSTEM, OK, HI],
            [HI, {"role": "system", "content": [text("Be brief."), text("Be brief.")]}, WIRE_OK, HI],
            [],
        ),
        ([HI, OK, SYSTEM, HI, OK, HI], [HI, OK, WIRE_HI, WIRE_SYSTEM, WIRE_OK, HI], ["content_projected"]),
        ([HI, OK, SYSTEM], [HI, OK, user(text("Be brief."))], ["content_projected"]),
        (
            [HI, assistant(CALL), SYSTEM, user(RESULT), HI, OK, HI],
            [HI, assistant(WIRE_CALL), user(WIRE_RESULT, text("Hi")), WIRE_SYSTEM, WIRE_OK, HI],
            ["content_projected", "content_projected"],
        ),
        ([SYSTEM, HI], [HI], []),
    ],
)
def test_system_messages_where_they_may_stand_between(messages: Any, wanted: list[Any], warnings: list[str]) -> None:
    encoded = encode({"messages": messages}, spec(ADAPTIVE))
    assert checked_body(encoded)["messages"] == wanted
    assert [warning.code for warning in encoded.warnings] == warnings


def test_tool_calls_keep_what_the_provider_added() -> None:
    caller = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}
    call = {**CALL, "provider_raw": {**MINE, "caller": caller}}
    body = checked_body(encode({"messages": [HI, assistant(call), user(RESULT)]}))
    assert body["messages"][1]["content"] == [{**WIRE_CALL, "caller": caller}]


def test_unwritable_text_is_the_clients_fault() -> None:
    with pytest.raises(ProviderFailure) as caught:
        encode(CanonicalRequest([Message("user", "\ud83d")]))
    assert caught.value.error_class == "invalid_request"
