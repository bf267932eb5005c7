"""Requests of the Responses wire: what goes out for what was asked, what goes back to the provider, and what is refused."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from openai.types.responses import input_token_count_params, response_create_params
from pydantic import TypeAdapter
from tests.harness.request_parts import codes, consumed, image, result, user

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.openai_responses import WIRE
from modeld_protocol.model import Capabilities, ModelLimits, TokenCountParams
from modeld_protocol.request import CanonicalRequest

PLAIN = TypeAdapter(response_create_params.ResponseCreateParamsNonStreaming)
STREAMED = TypeAdapter(response_create_params.ResponseCreateParamsStreaming)
COUNTED = TypeAdapter(input_token_count_params.InputTokenCountParams)
NONE = Quirks(stop=False, reasoning_bound_to_model=True)
REASONS = msgspec.structs.replace(
    NONE, thinking="effort", thinking_default_on=True, efforts=("none", "low", "medium", "high"), system_role="developer"
)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 16).decode()
PDF = base64.b64encode(b"%PDF-1.7 " + b"0" * 16).decode()
CLOSED = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "The weather now.", "input_schema": CLOSED}
FORECAST = {"name": "forecast", "input_schema": OPEN}


def spec(quirks: Quirks = NONE) -> ModelSpec:
    return ModelSpec("o:m", "o", "openai-responses", "openai_responses", "m", Capabilities(), ModelLimits(), quirks)


def encode(request: Mapping[str, Any], quirks: Quirks = NONE, *, stream: bool = False) -> Encoded:
    whole = {"messages": "Hi", **request}
    return WIRE.encode(msgspec.convert(whole, CanonicalRequest), spec(quirks), stream=stream)


def typed(item: dict[str, Any]) -> dict[str, Any]:
    """The vendor's types know refusals only in messages with an id and a status, which the API can do without."""
    if item.get("role") == "assistant" and isinstance(item["content"], list):
        return {"type": "message", "id": "msg_1", "status": "completed", **item}
    return item


def body_of(encoded: Encoded, adapter: TypeAdapter[Any] | None = None) -> dict[str, Any]:
    """The body, after the vendor's own types have had a look: nothing is unknown to them, nothing is of another type."""
    body = json.loads(encoded.body)
    adapter = adapter or (STREAMED if body.get("stream") else PLAIN)
    known = {**body, "input": [typed(item) for item in body["input"]]}
    assert consumed(adapter.validate_python(known)) == known
    return body


def items_of(messages: Any, quirks: Quirks = NONE, **more: Any) -> list[dict[str, Any]]:
    return body_of(encode({"messages": messages, **more}, quirks))["input"]


def sent(request: Mapping[str, Any], quirks: Quirks = NONE) -> dict[str, Any]:
    body = body_of(encode(request, quirks))
    return {key: value for key, value in body.items() if key not in ("model", "input", "store", "include")}


def said(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(value: str, **raw: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **({"provider_raw": own(**raw)} if raw else {})}


def call(number: int, *, raw: dict[str, Any] | None = None, **input: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": f"tu_call_{number}", "name": "weather", "input": input}
    return {**block, "provider_raw": raw} if raw else block


def own(**more: Any) -> dict[str, Any]:
    return {"provider": "openai-responses", "model": "m", **more}


def reasoning(number: int, **more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": f"sealed {number}", **more}


def thought(item: dict[str, Any], words: str = "", **origin: Any) -> dict[str, Any]:
    return {"type": "thinking", "text": words, "provider_raw": {**own(item=item), **origin}}


def opaque(item: dict[str, Any], **origin: Any) -> dict[str, Any]:
    return {"type": "opaque", "provider_raw": {**own(item=item), **origin}}


def wire_call(number: int, arguments: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{number}", "name": "weather", "arguments": arguments, **more}


def wire_result(number: int, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"call_{number}", "output": output}


SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}


def test_the_endpoint_the_model_and_nothing_kept_by_the_provider() -> None:
    encoded = encode({})
    assert (encoded.path, encoded.method, encoded.headers, encoded.warnings) == ("/responses", "POST", {}, [])
    assert body_of(encoded) == {"model": "m", "input": [{"role": "user", "content": "Hi"}], "store": False}


def test_reasoning_is_asked_for_where_there_is_some() -> None:
    assert "include" not in body_of(encode({}))
    assert body_of(encode({}, REASONS))["include"] == ["reasoning.encrypted_content"]
    more = {
        "provider_options": {"openai-responses": {"include": ["web_search_call.action.sources", "reasoning.encrypted_content"]}}
    }
    both = ["reasoning.encrypted_content", "web_search_call.action.sources"]
    assert body_of(encode(more, REASONS))["include"] == both


def test_the_stream_is_asked_for() -> None:
    assert body_of(encode({}, stream=True))["stream"] is True


MESSAGES: list[tuple[str, Any, list[dict[str, Any]]]] = [
    ("one text block is a string", [user(text("a"))], [{"role": "user", "content": "a"}]),
    (
        "text in parts",
        [user(text("a"), {"type": "json", "value": {"a": [1, "é"]}})],
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": '{"a":[1,"é"]}'}]}],
    ),
    ("nothing", [user()], [{"role": "user", "content": ""}]),
    (
        "system messages between others",
        [user(text("c")), {"role": "system", "content": "d"}],
        [{"role": "user", "content": "c"}, {"role": "system", "content": "d"}],
    ),
    (
        "images by URL, by data and by id, with detail",
        [
            user(
                {**image(kind="url", url="https://x/y.png"), "detail": "low"},
                image(kind="base64", data=PNG),
                image(kind="file_id", file_id="file-1"),
            )
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "detail": "low", "image_url": "https://x/y.png"},
                    {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"},
                    {"type": "input_image", "detail": "auto", "file_id": "file-1"},
                ],
            }
        ],
    ),
    (
        "files by data, by data: URL, by URL and by id",
        [
            user(
                {"type": "file", "source": {"kind": "base64", "data": PDF}, "filename": "a.pdf", "detail": "high"},
                {"type": "file", "source": {"kind": "url", "url": f"data:application/pdf;base64,{PDF}"}},
                {"type": "file", "source": {"kind": "url", "url": "https://x/a.pdf"}},
                {"type": "file", "source": {"kind": "file_id", "file_id": "file-1"}},
            )
        ],
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "input_file",
                        "detail": "high",
                        "filename": "a.pdf",
                        "file_data": f"data:application/pdf;base64,{PDF}",
                    },
                    {"type": "input_file", "filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                    {"type": "input_file", "file_url": "https://x/a.pdf"},
                    {"type": "input_file", "file_id": "file-1"},
                ],
            }
        ],
    ),
    (
        "calls, their results, then the rest",
        [
            said(text("Let me "), text("see."), call(1, city="Rome"), call(2, city="Oslo")),
            {"role": "tool", "content": [result(1, "sunny")]},
            user(text("meanwhile"), result(2, [text("snow"), {"type": "json", "value": {"t": -3}}])),
            user(text("and now?")),
        ],
        [
            {"role": "assistant", "content": "Let me see."},
            wire_call(1, '{"city":"Rome"}'),
            wire_call(2, '{"city":"Oslo"}'),
            wire_result(1, "sunny"),
            wire_result(2, 'snow\n\n{"t":-3}'),
            {"role": "user", "content": [{"type": "input_text", "text": "meanwhile"}]},
            {"role": "user", "content": "and now?"},
        ],
    ),
    (
        "results with media",
        [said(call(1)), {"role": "tool", "content": [result(1, [text("a map"), image(kind="base64", data=PNG)])]}],
        [
            wire_call(1, "{}"),
            wire_result(
                1,
                [
                    {"type": "input_text", "text": "a map"},
                    {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"},
                ],
            ),
        ],
    ),
    (
        "a refusal is a part",
        [said({"type": "refusal", "text": "No."}), user(text("Why?"))],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, {"role": "user", "content": "Why?"}],
    ),
    ("an empty answer is left out", [said(text("")), user(text("a"))], [{"role": "user", "content": "a"}]),
    # ---- what the provider made
    (
        "reasoning stands before the item that it led to, as it was",
        [
            said(
                thought(reasoning(1, summary=[{"type": "summary_text", "text": "Hm."}]), "Hm."),
                thought(reasoning(2)),
                call(1),
                call(2),
                thought(reasoning(3, content=[{"type": "reasoning_text", "text": "So."}])),
                text("It is."),
            ),
            {"role": "tool", "content": [result(1, "x"), result(2, "y")]},
        ],
        [
            reasoning(1, summary=[{"type": "summary_text", "text": "Hm."}]),
            reasoning(2),
            wire_call(1, "{}"),
            wire_call(2, "{}"),
            reasoning(3, content=[{"type": "reasoning_text", "text": "So."}]),
            {"role": "assistant", "content": "It is."},
            wire_result(1, "x"),
            wire_result(2, "y"),
        ],
    ),
    (
        "reasoning in words alone is enough",
        [
            said(
                thought({"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]}),
                text("b"),
            )
        ],
        [
            {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]},
            {"role": "assistant", "content": "b"},
        ],
    ),
    (
        "phases of messages",
        [said(text("I look.", phase="commentary"), text("It is.", phase="final_answer"), text(" So.", response_id="resp_1"))],
        [
            {"role": "assistant", "content": "I look.", "phase": "commentary"},
            {"role": "assistant", "content": "It is.", "phase": "final_answer"},
            {"role": "assistant", "content": " So."},
        ],
    ),
    (
        "what the provider's own tools did",
        [said(opaque(SEARCH), text("It is."))],
        [SEARCH, {"role": "assistant", "content": "It is."}],
    ),
    (
        "further members of a call, and its arguments as they were written",
        [
            said(call(1, raw=own(item={"namespace": "n"}, arguments='{"city": "Rome"}'), city="Rome")),
            {"role": "tool", "content": [result(1, "x")]},
        ],
        [wire_call(1, '{"city": "Rome"}', namespace="n"), wire_result(1, "x")],
    ),
    (
        "arguments that a client changed",
        [said(call(1, raw=own(arguments='{"city": "Rome"}'), city="Oslo")), {"role": "tool", "content": [result(1, "x")]}],
        [wire_call(1, '{"city":"Oslo"}'), wire_result(1, "x")],
    ),
]


@pytest.mark.parametrize(("given", "wanted"), [case[1:] for case in MESSAGES], ids=[case[0] for case in MESSAGES])
def test_input_items(given: Any, wanted: list[dict[str, Any]]) -> None:
    encoded = encode({"messages": given})
    assert body_of(encoded)["input"] == wanted
    assert encoded.warnings == []


LEFT_OUT: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("reasoning of another provider", [thought(reasoning(1), provider="anthropic")], []),
    ("reasoning of another model", [thought(reasoning(1), model="n")], []),
    ("reasoning without state", [{"type": "thinking", "text": "Hm."}], []),
    ("reasoning that the provider would have to remember", [thought({"type": "reasoning", "id": "rs_1", "summary": []})], []),
    ("redacted thinking", [{"type": "redacted_thinking", "provider_raw": {"provider": "anthropic", "data": "x"}}], []),
    ("another provider's own block", [opaque(SEARCH, provider="anthropic")], []),
    ("another model's own block", [opaque(SEARCH, model="n")], []),
    ("a tool that never ended", [opaque({**SEARCH, "status": "in_progress"})], []),
]


@pytest.mark.parametrize("blocks", [case[1] for case in LEFT_OUT], ids=[case[0] for case in LEFT_OUT])
def test_what_is_not_sent_back(blocks: list[dict[str, Any]]) -> None:
    encoded = encode({"messages": [user(text("a")), said(*blocks, text("b")), user(text("c"))]})
    assert [item["content"] for item in body_of(encoded)["input"]] == ["a", "b", "c"]
    assert codes(encoded) == [("content_dropped", "messages[1].content[0]")]


def test_summaries_are_never_words() -> None:
    foreign = thought(reasoning(1, summary=[{"type": "summary_text", "text": "Secret."}]), "Secret.", model="n")
    assert b"Secret." not in encode({"messages": [said(foreign, text("b"))]}).body


def test_reasoning_that_led_to_nothing_is_left_out() -> None:
    encoded = encode({"messages": [user(text("a")), said(thought(reasoning(1))), user(text("b"))]})
    assert [item["content"] for item in body_of(encoded)["input"]] == ["a", "b"]
    assert codes(encoded) == [("content_dropped", "messages[1]")]


def test_a_provider_s_own_block_needs_the_reasoning_before_it() -> None:
    id_only = thought({"type": "reasoning", "id": "rs_1", "summary": []})
    history = {"messages": [said(id_only, opaque(SEARCH), text("b"))]}
    encoded = encode(history)
    assert body_of(encoded)["input"] == [{"role": "assistant", "content": "b"}]
    assert [code for code, _ in codes(encoded)] == ["content_dropped"] * 2
    stored = encode({**history, "provider_options": {"openai-responses": {"store": True}}})
    assert [item.get("type") for item in body_of(stored)["input"]] == ["reasoning", "web_search_call", None]
    assert stored.warnings == []


def test_models_that_may_share_their_reasoning() -> None:
    shared = msgspec.structs.replace(NONE, reasoning_bound_to_model=False)
    assert items_of([said(thought(reasoning(1), model="n"), text("b"))], shared)[0] == reasoning(1)


def test_the_adapter_s_own_name_is_an_owner_too() -> None:
    assert items_of([said(thought(reasoning(1), provider="o"), text("b"))])[0] == reasoning(1)


def test_errors_of_tools_are_told_in_words() -> None:
    given = [said(call(1), call(2), call(3)), {"role": "tool", "content": []}]
    given[1]["content"] = [
        result(1, "broken", is_error=True),
        result(2, "", is_error=True),
        result(3, [image(kind="base64", data=PNG)], is_error=True),
    ]
    encoded = encode({"messages": given})
    outputs = [item["output"] for item in body_of(encoded)["input"][3:]]
    assert outputs[:2] == ["Error: broken", "Error"]
    assert outputs[2][0] == {"type": "input_text", "text": "Error:"}
    assert [code for code, _ in codes(encoded)] == ["content_projected"]


def test_the_system_prompt_and_leading_system_messages_are_instructions() -> None:
    given = {"system_prompt": "a", "messages": [{"role": "system", "content": [text("b")]}, user(text("c"))]}
    body = body_of(encode(given))
    assert (body["instructions"], body["input"]) == ("a\n\nb", [{"role": "user", "content": "c"}])


def test_system_messages_move_to_the_front_where_they_must() -> None:
    given = {"system_prompt": "a", "messages": [user(text("b")), {"role": "system", "content": "c"}]}
    encoded = encode(given, msgspec.structs.replace(NONE, mid_conversation_system=False))
    assert (body_of(encoded)["instructions"], len(body_of(encoded)["input"])) == ("a\n\nc", 1)
    assert codes(encoded) == [("content_projected", "messages[1]")]


@pytest.mark.parametrize(
    "given",
    [
        {"system_prompt": "Answer in JSON.", "response_format": {"type": "json_object"}},
        {"system_prompt": "Answer in JSON.", "messages": []},
    ],
    ids=["JSON mode looks for its word in the input alone", "an input can't be empty"],
)
def test_a_system_prompt_that_has_to_be_input(given: dict[str, Any]) -> None:
    body = body_of(encode(given, REASONS))
    assert "instructions" not in body
    assert body["input"][0] == {"role": "developer", "content": "Answer in JSON."}


def test_ids_of_other_wires_are_spelled_the_same_on_both_sides() -> None:
    odd = {"type": "tool_use", "id": "functions.weather:0", "name": "weather", "input": {}}
    given = [said(odd), {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": odd["id"], "content": "x"}]}]
    first, second = items_of(given)
    assert first["call_id"] == second["call_id"]
    assert len(second["call_id"]) <= 40


OPTIONS = "openai-responses"
PARAMETERS: list[tuple[str, dict[str, Any], Quirks, dict[str, Any], list[str]]] = [
    ("the limit", {"max_output_tokens": 16}, NONE, {"max_output_tokens": 16}, []),
    ("a limit below the least", {"max_output_tokens": 15}, NONE, {"max_output_tokens": 16}, ["parameter_adjusted"]),
    ("sampling", {"temperature": 0.5, "top_p": 0.25}, NONE, {"temperature": 0.5, "top_p": 0.25}, []),
    ("no stop sequences here", {"stop_sequences": ["x"]}, NONE, {}, ["parameter_ignored"]),
    ("sampling not with reasoning", {"temperature": 0.5}, msgspec.structs.replace(REASONS, sampling="without_reasoning"), {},
     ["parameter_ignored"]),
    ("sampling without it", {"temperature": 0.5, "thinking": {"mode": "off"}},
     msgspec.structs.replace(REASONS, sampling="without_reasoning"), {"temperature": 0.5, "reasoning": {"effort": "none"}}, []),
    ("sampling that the model refuses", {"temperature": 0.5, "top_p": 0.5}, msgspec.structs.replace(NONE, sampling="none"), {},
     ["parameter_ignored"] * 2),
    ("a cache key", {"cache": {"key": "k"}}, NONE, {"prompt_cache_key": "k"}, []),
    ("cache settings that have no field", {"cache": {"mode": "off", "ttl": "1h"}}, NONE, {}, ["parameter_ignored"] * 2),
    ("metadata stay here", {"metadata": {"a": "b"}}, NONE, {}, []),
    ("metadata go with what is stored", {"metadata": {"a": "b", "n": 1}, "provider_options": {OPTIONS: {"store": True}}}, NONE,
     {"metadata": {"a": "b", "n": "1"}}, []),
    ("text is the default", {"response_format": {"type": "text"}}, NONE, {}, []),
    ("json", {"response_format": {"type": "json_object"}}, NONE, {"text": {"format": {"type": "json_object"}}}, []),
    ("a schema that can be promised", {"response_format": {"type": "json_schema", "name": "the city", "schema": CLOSED}}, NONE,
     {"text": {"format": {"type": "json_schema", "name": "the_city", "schema": CLOSED, "strict": True}}}, []),
    ("a schema that can't", {"response_format": {"type": "json_schema", "schema": OPEN}}, NONE,
     {"text": {"format": {"type": "json_schema", "name": "output", "schema": OPEN, "strict": False}}}, []),
    # thinking
    ("thinking not asked for", {}, REASONS, {}, []),
    ("on is what it does anyway", {"thinking": {"mode": "on"}}, REASONS, {}, []),
    ("a level", {"thinking": {"mode": "adaptive", "effort": "low"}}, REASONS, {"reasoning": {"effort": "low"}}, []),
    ("the nearest level", {"thinking": {"mode": "on", "effort": "max"}}, REASONS, {"reasoning": {"effort": "high"}},
     ["parameter_adjusted"]),
    ("off", {"thinking": {"mode": "off", "display": "summarized"}}, REASONS, {"reasoning": {"effort": "none"}}, []),
    ("a summary", {"thinking": {"mode": "on", "effort": "low", "display": "summarized"}}, REASONS,
     {"reasoning": {"effort": "low", "summary": "auto"}}, []),
    ("no summary", {"thinking": {"mode": "on", "display": "omitted"}}, REASONS, {}, []),
    ("reasoning in the provider's words",
     {"provider_options": {OPTIONS: {"reasoning_summary": "detailed", "reasoning_context": "auto", "reasoning_mode": "pro"}}},
     REASONS, {"reasoning": {"summary": "detailed", "context": "auto", "mode": "pro"}}, []),
    ("a model that doesn't think", {"thinking": {"mode": "adaptive"}}, NONE, {}, ["parameter_ignored"]),
    # options
    ("options", {"provider_options": {OPTIONS: {"service_tier": "flex", "truncation": "auto", "max_tool_calls": 3,
                                                "verbosity": "low", "user": "u", "safety_identifier": "s"}}}, NONE,
     {"service_tier": "flex", "truncation": "auto", "max_tool_calls": 3, "text": {"verbosity": "low"}, "user": "u",
      "safety_identifier": "s"}, []),
    ("what the provider remembers", {"provider_options": {OPTIONS: {"previous_response_id": "resp_1"}}}, NONE,
     {"previous_response_id": "resp_1"}, []),
    ("a conversation", {"provider_options": {OPTIONS: {"conversation": "conv_1"}}}, NONE, {"conversation": "conv_1"}, []),
    ("options of others", {"provider_options": {"openai": {"seed": "x"}}}, NONE, {}, []),
    ("compaction", {"provider_options": {OPTIONS: {"context_management": [{"type": "compaction", "compact_threshold": 9}]}}},
     NONE, {"context_management": [{"type": "compaction", "compact_threshold": 9}]}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "quirks", "wanted", "warned"), [case[1:] for case in PARAMETERS], ids=[case[0] for case in PARAMETERS]
)
def test_parameters(request_: dict[str, Any], quirks: Quirks, wanted: dict[str, Any], warned: list[str]) -> None:
    assert sent(request_, quirks) == wanted
    assert [code for code, _ in codes(encode(request_, quirks))] == warned


def wire_tool(tool: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    described = {"description": tool["description"]} if "description" in tool else {}
    return {"type": "function", "name": tool["name"], **described, "parameters": tool["input_schema"], "strict": strict}


TOOLS: list[tuple[str, dict[str, Any], Quirks, dict[str, Any], list[str]]] = [
    ("tools are flat and never strict by accident", {}, NONE, {}, []),
    ("auto", {"tool_choice": {"type": "auto", "parallel": False}}, NONE,
     {"tool_choice": "auto", "parallel_tool_calls": False}, []),
    ("none", {"tool_choice": {"type": "none"}}, NONE, {"tool_choice": "none"}, []),
    ("any", {"tool_choice": {"type": "required"}}, NONE, {"tool_choice": "required"}, []),
    ("one", {"tool_choice": {"type": "tool", "name": "weather"}}, NONE,
     {"tool_choice": {"type": "function", "name": "weather"}}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "quirks", "wanted", "warned"), [case[1:] for case in TOOLS], ids=[case[0] for case in TOOLS]
)
def test_tools(request_: dict[str, Any], quirks: Quirks, wanted: dict[str, Any], warned: list[str]) -> None:
    request = {"tools": [WEATHER, FORECAST], **request_}
    assert sent(request, quirks) == {"tools": [wire_tool(WEATHER), wire_tool(FORECAST)], **wanted}
    assert [code for code, _ in codes(encode(request, quirks))] == warned


def test_tools_that_promise_and_tools_that_the_provider_runs() -> None:
    options = {OPTIONS: {"strict_tools": True, "server_tools": [{"type": "web_search"}]}}
    assert sent({"tools": [WEATHER, FORECAST], "provider_options": options}) == {
        "tools": [{"type": "web_search"}, wire_tool(WEATHER, strict=True), wire_tool(FORECAST)]
    }
    assert sent({"provider_options": options}) == {"tools": [{"type": "web_search"}]}


def test_a_schema_without_a_type_is_an_object() -> None:
    tools = [{"name": "a", "input_schema": {}}]
    assert sent({"tools": tools})["tools"][0]["parameters"] == {"type": "object", "properties": {}}


REFUSED: list[tuple[dict[str, Any], Quirks, str, str]] = [
    ({"messages": [user({"type": "audio", "source": {"kind": "base64", "data": PNG}})]}, NONE, "capability_mismatch", "no audio"),
    ({"messages": [user(image(kind="base64", data="AAAA"))]}, NONE, "invalid_request", "media_type is missing"),
    ({"messages": [{"role": "tool", "content": "x"}]}, NONE, "invalid_request", "tool_result blocks, not text"),
    ({"messages": [user(call(1))]}, NONE, "invalid_request", "belongs into an assistant message"),
    ({"messages": [said(result(1, "x"))]}, NONE, "invalid_request", "belongs into a tool or user message"),
    ({"messages": [user(text("\ud800"))]}, NONE, "invalid_request", "surrogate"),
    ({"thinking": {"mode": "on"}}, NONE, "capability_mismatch", "can't think"),
    (
        {"thinking": {"mode": "off"}},
        msgspec.structs.replace(REASONS, thinking_can_be_off=False),
        "capability_mismatch",
        "can't stop thinking",
    ),
    ({"tool_choice": {"type": "required"}}, NONE, "invalid_request", "needs tools"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, NONE, "invalid_request", "none of the tools"),
    ({"response_format": {"type": "json_schema"}}, NONE, "invalid_request", "schema is missing"),
    ({"provider_options": {OPTIONS: {"seed": 1}}}, NONE, "invalid_request", "seed"),
    ({"provider_options": {OPTIONS: {"store": "yes"}}}, NONE, "invalid_request", f"provider_options.{OPTIONS}.store"),
    (
        {"provider_options": {OPTIONS: {"previous_response_id": "resp_1", "conversation": "conv_1"}}},
        NONE,
        "invalid_request",
        "exclude each other",
    ),
    (
        {"messages": [user(text("a")), said(text("b"))]},
        msgspec.structs.replace(NONE, prefill=False),
        "capability_mismatch",
        "can't go on",
    ),
]


@pytest.mark.parametrize(("request_", "quirks", "error_class", "says"), REFUSED, ids=[case[3] for case in REFUSED])
def test_refusals(request_: dict[str, Any], quirks: Quirks, error_class: str, says: str) -> None:
    with pytest.raises(ProviderFailure) as caught:
        encode(request_, quirks)
    assert caught.value.error_class == error_class
    assert says in caught.value.message
    assert ";" in caught.value.message


# ---- the other endpoints


def test_tokens_are_counted_for_the_same_prompt() -> None:
    given = {
        "system_prompt": "a",
        "messages": [user(text("b")), said(thought(reasoning(1)), call(1)), {"role": "tool", "content": [result(1, "x")]}],
        "tools": [WEATHER],
    }
    counting = WIRE.encode_count(msgspec.convert(given, TokenCountParams), spec())
    assert counting is not None
    assert counting.path == "/responses/input_tokens"
    body, asked = body_of(counting, COUNTED), body_of(encode(given))
    assert body == {name: asked[name] for name in ("model", "input", "instructions", "tools")}


def test_the_count_is_read() -> None:
    assert WIRE.decode_count(b'{"object": "response.input_tokens", "input_tokens": 12}') == 12
    for body in (b"{}", b"", b"<html>", b"[1]", b'{"input_tokens": -1}', b'{"input_tokens": "many"}'):
        with pytest.raises(ProviderFailure):
            WIRE.decode_count(body)


def test_models_are_listed() -> None:
    encoded = WIRE.encode_discover(None)
    assert encoded is not None
    assert (encoded.method, encoded.path, encoded.body) == ("GET", "/models", b"")
    models, page = WIRE.decode_discover(b'{"object": "list", "data": [{"id": "gpt-5.5", "object": "model"}]}', "o")
    assert ([model.id for model in models], page) == (["o:gpt-5.5"], None)
