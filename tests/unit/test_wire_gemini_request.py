"""Canonical requests as `generateContent` bodies: a table of what goes in and what goes out, seen by the vendor's types too."""

import json
from typing import Any

import msgspec
import pytest
from tests.harness.gemini_wire import ORIGIN, checked_body, encode, known, spec

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import Quirks
from modeld.providers.wire.gemini import WIRE
from modeld_protocol.model import TokenCountParams

PNG = "iVBORw0KGgoAAAANSUhEUg=="
PDF = "JVBERi0xLjcK"
SIG, SIG2 = "c2lnbmF0dXJl", "c2lnbmF0dXJlMg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "The weather.", "input_schema": SCHEMA}
STAND_IN = "skip_thought_signature_validator"
PLAIN = Quirks()
OLD = known("gemini-2.5-flash")


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def model(*parts: Any) -> dict[str, Any]:
    return {**user(*parts), "role": "model"}


def asked(*blocks: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


def use(id: str, name: str = "weather", raw: Any = None, **input: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": id, "name": name, "input": input}
    return block if raw is None else {**block, "provider_raw": {**ORIGIN, **raw}}


def result(id: str, content: Any = "sunny", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


CALL = {"functionCall": {"name": "weather", "args": {}}}
RESULT = {"functionResponse": {"name": "weather", "response": {"output": "sunny"}}}

# name: messages, contents
CONTENTS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "a string": ("Hi", [user("Hi")]),
    "roles are merged": (
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"},
         {"role": "assistant", "content": "d"}],
        [user("a", "b"), model("c", "d")],
    ),
    "nothing is not sent": (
        [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, {"role": "user", "content": "a"}],
        [user("a")],
    ),
    "json and refusals are text": (
        [{"role": "user", "content": [{"type": "json", "value": {"a": [1]}}]},
         {"role": "assistant", "content": [{"type": "refusal", "text": "No."}, {"type": "json", "value": 1}]}],
        [user('{"a":[1]}'), model("No.", "1")],
    ),
    "system words in the middle": (
        [{"role": "user", "content": "a"}, {"role": "system", "content": "Be brief."}, {"role": "user", "content": "b"}],
        [user("a", "Be brief.", "b")],
    ),
    "images": (
        asked(
            image(kind="base64", data=PNG), image(kind="url", url=f"data:image/png;base64,{PNG}"),
            {**image(kind="base64", data="AAAA BBBB\n"), "media_type": "IMAGE/JPG"},
        ),
        [user(*[{"inlineData": {"mimeType": "image/png", "data": PNG}}] * 2,
              {"inlineData": {"mimeType": "image/jpeg", "data": "AAAABBBB"}})],
    ),
    "files by address": (
        asked(
            image(kind="url", url="https://example.com/a.JPG?x=1"),
            {"type": "file", "source": {"kind": "url", "url": "https://example.com/watch"}, "media_type": "video/mp4"},
            {"type": "file", "source": {"kind": "url", "url": "https://example.com/b"}},
            {"type": "file", "source": {"kind": "file_id", "file_id": "files/abc"}, "media_type": "application/pdf"},
            {"type": "audio", "source": {"kind": "file_id", "file_id": "https://other.example/v1/files/x"}},
        ),
        [user(
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a.JPG?x=1"}},
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/watch"}},
            {"fileData": {"fileUri": "https://example.com/b"}},
            {"fileData": {"mimeType": "application/pdf",
                          "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
            {"fileData": {"fileUri": "https://other.example/v1/files/x"}},
        )],
    ),
    "media that the model made": (
        [{"role": "user", "content": "Draw."}, {"role": "assistant", "content": [image(kind="base64", data=PNG)]}],
        [user("Draw."), model({"inlineData": {"mimeType": "image/png", "data": PNG}})],
    ),
    "a signed image that the model made": (
        [{"role": "user", "content": "Draw."},
         {"role": "assistant", "content": [image(kind="base64", data=PNG),
                                           {"type": "opaque", "provider_raw": {**ORIGIN, "thoughtSignature": SIG}}]}],
        [user("Draw."), model({"inlineData": {"mimeType": "image/png", "data": PNG}, "thoughtSignature": SIG})],
    ),
    "own ids go back": (
        [{"role": "assistant", "content": [use("tu_fc_1", raw={"id": "fc_1", "thoughtSignature": SIG}, city="Rome")]},
         {"role": "tool", "content": [result("tu_fc_1")]}],
        [
            model({"functionCall": {"id": "fc_1", "name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": SIG}),
            user({"functionResponse": {"id": "fc_1", "name": "weather", "response": {"output": "sunny"}}}),
        ],
    ),
    "ids of others stay here, their first call gets the stand-in": (
        [{"role": "assistant", "content": [use("tu_a"), use("tu_b", "look")]},
         {"role": "user", "content": [{"type": "text", "text": "Go."}, result("tu_b"), result("tu_a", "rain")]}],
        [
            model({**CALL, "thoughtSignature": STAND_IN}, {"functionCall": {"name": "look", "args": {}}}),
            user(
                {"functionResponse": {"name": "weather", "response": {"output": "rain"}}},
                {"functionResponse": {"name": "look", "response": {"output": "sunny"}}},
            ),
            user("Go."),
        ],
    ),
    "unsigned parallel calls behind a signed one stay unsigned": (
        [{"role": "assistant", "content": [use("tu_a", raw={"thoughtSignature": SIG}), use("tu_b")]},
         {"role": "tool", "content": [result("tu_a")]}, {"role": "tool", "content": [result("tu_b")]}],
        [model({**CALL, "thoughtSignature": SIG}, CALL), user(RESULT, RESULT)],
    ),
    "results of every kind": (
        [{"role": "assistant", "content": [use("a"), use("b"), use("c"), use("d"), use("e")]},
         {"role": "tool", "content": [
             result("a", "broken", is_error=True), result("b", [{"type": "json", "value": {"t": 1}}]),
             result("c", [{"type": "text", "text": "x"}, {"type": "json", "value": [1]}]), result("d", []),
             result("e", [{"type": "json", "value": 3}], is_error=True),
         ]}],
        [
            model({**CALL, "thoughtSignature": STAND_IN}, CALL, CALL, CALL, CALL),
            user(*[{"functionResponse": {"name": "weather", "response": response}} for response in (
                {"error": "broken"}, {"output": {"t": 1}}, {"output": "x\n\n[1]"}, {"output": ""}, {"error": 3},
            )]),
        ],
    ),
    "media of a result": (
        [{"role": "assistant", "content": [use("a")]},
         {"role": "tool", "content": [result("a", [{"type": "text", "text": "See."}, image(kind="base64", data=PNG)])]}],
        [
            model({**CALL, "thoughtSignature": STAND_IN}),
            user({"functionResponse": {"name": "weather", "response": {"output": "See."},
                                       "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}}),
        ],
    ),
    "media that a result can't hold": (
        [{"role": "assistant", "content": [use("a")]},
         {"role": "tool", "content": [result("a", [{"type": "audio", "source": {"kind": "base64", "data": "SUQzAAAA"}}])]},
         {"role": "user", "content": "Listen."}],
        [
            model({**CALL, "thoughtSignature": STAND_IN}),
            user({"functionResponse": {"name": "weather",
                                       "response": {"output": "[attachment 1 of the next user message]"}}}),
            user({"inlineData": {"mimeType": "audio/mpeg", "data": "SUQzAAAA"}}, "Listen."),
        ],
    ),
    "thoughts": (
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [
            {"type": "thinking", "text": "signed", "provider_raw": {**ORIGIN, "thoughtSignature": SIG}},
            {"type": "thinking", "text": "own, unsigned", "provider_raw": ORIGIN},
            {"type": "thinking", "text": "foreign", "provider_raw": {"provider": "other", "thoughtSignature": SIG}},
            {"type": "redacted_thinking", "provider_raw": {"provider": "other", "data": "x"}},
            {"type": "text", "text": "Well."},
        ]}],
        [user("Hi"), model({"text": "signed", "thought": True, "thoughtSignature": SIG}, "Well.")],
    ),
    "signed words": (
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [
            {"type": "text", "text": "all of it", "provider_raw": {**ORIGIN, "thoughtSignature": SIG}},
            {"type": "text", "text": "the end", "provider_raw": {**ORIGIN, "thoughtSignature": SIG2, "signed_from": 4}},
            {"type": "text", "text": "none", "provider_raw": {**ORIGIN, "thoughtSignature": SIG, "signed_from": 4}},
            {"type": "text", "text": "", "provider_raw": {**ORIGIN, "thoughtSignature": SIG}},
            {"type": "text", "text": "foreign", "provider_raw": {"provider": "other", "thoughtSignature": SIG}},
        ]}],
        [user("Hi"), model(
            {"text": "all of it", "thoughtSignature": SIG}, "the ", {"text": "end", "thoughtSignature": SIG2},
            "none", {"text": "", "thoughtSignature": SIG}, {"text": "", "thoughtSignature": SIG}, "foreign",
        )],
    ),
    "the provider's own parts": (
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [
            {"type": "opaque", "provider_raw": {**ORIGIN, "part": {"executableCode": {"code": "1", "language": "PYTHON"},
                                                                   "thoughtSignature": SIG}}},
            {"type": "opaque", "provider_raw": {"provider": "other", "part": {"text": "x"}}},
            {"type": "text", "text": "1"},
        ]}, {"role": "user", "content": "Go on."}],
        [user("Hi"), model({"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": SIG}, "1"),
         user("Go on.")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_contents(name: str) -> None:
    messages, contents = CONTENTS[name]
    encoded = encode({"messages": messages})
    assert checked_body(encoded)["contents"] == contents
    assert encode({"messages": messages}) == encoded


# name: request, the rest of the body, warnings as (code, path)
PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, {}, []),
    "system": (
        {"system_prompt": "Be brief.",
         "messages": [{"role": "system", "content": "In French."}, {"role": "user", "content": "Hi"}]},
        {"systemInstruction": {"parts": [{"text": "Be brief.\n\nIn French."}]}},
        [],
    ),
    "sampling": (
        {"max_output_tokens": 5, "temperature": 0.0, "top_p": 0.5, "stop_sequences": ["END"]},
        {"generationConfig": {"maxOutputTokens": 5, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]}},
        [],
    ),
    "tools": (
        {"tools": [TOOL, {"name": "now", "input_schema": {"$schema": "x", "properties": {}}}]},
        {"tools": [{"functionDeclarations": [
            {"name": "weather", "description": "The weather.", "parametersJsonSchema": SCHEMA},
            {"name": "now", "parametersJsonSchema": {"type": "object", "properties": {}}},
        ]}]},
        [],
    ),
    "json": ({"response_format": {"type": "json_object"}}, {"generationConfig": {"responseMimeType": "application/json"}}, []),
    "schema": (
        {"response_format": {"type": "json_schema", "schema": {"$schema": "x", **SCHEMA}}},
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
        [],
    ),
    "text": ({"response_format": {"type": "text"}}, {}, []),
    "choice of nothing": ({"tool_choice": {"type": "auto"}}, {}, []),
    "options": (
        {"provider_options": {"gemini": {
            "safety_settings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}], "top_k": 3, "seed": 1,
            "presence_penalty": 0.5, "frequency_penalty": -0.5, "response_modalities": ["TEXT", "IMAGE"],
            "media_resolution": "MEDIA_RESOLUTION_LOW", "service_tier": "flex", "store": False,
            "server_tools": [{"googleSearch": {}}], "tool_config": {"retrievalConfig": {"languageCode": "en"}},
            "speech_config": {"languageCode": "en"}, "image_config": {"aspectRatio": "1:1"},
        }, "other": {"x": 1}}},
        {
            "tools": [{"googleSearch": {}}],
            "toolConfig": {"retrievalConfig": {"languageCode": "en"}},
            "generationConfig": {
                "topK": 3, "seed": 1, "presencePenalty": 0.5, "frequencyPenalty": -0.5, "responseModalities": ["TEXT", "IMAGE"],
                "mediaResolution": "MEDIA_RESOLUTION_LOW", "speechConfig": {"languageCode": "en"},
                "imageConfig": {"aspectRatio": "1:1"},
            },
            "safetySettings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
            "serviceTier": "flex",
            "store": False,
        },
        [],
    ),
    "an explicit cache": (
        {"system_prompt": "Be brief.", "tools": [TOOL], "tool_choice": {"type": "required"},
         "provider_options": {"gemini": {"cached_content": "cachedContents/x"}}},
        {"cachedContent": "cachedContents/x"},
        [("parameter_ignored", "system_prompt")],
    ),
    "caching": (
        {"cache": {"mode": "explicit", "ttl": "1h", "key": "k"}},
        {},
        [("parameter_ignored", "cache.mode"), ("parameter_ignored", "cache.ttl"), ("parameter_ignored", "cache.key")],
    ),
    "no caching": ({"cache": {"mode": "off"}}, {}, [("parameter_ignored", "cache.mode")]),
    "image detail": (
        {"messages": asked({**image(kind="base64", data=PNG), "detail": "high"})},
        {},
        [("parameter_ignored", "messages[0].content[0].detail")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    request, rest, warnings = PARAMETERS[name]
    encoded = encode(request)
    body = checked_body(encoded)
    del body["contents"]
    assert body == rest
    assert [(warning.code, warning.path) for warning in encoded.warnings] == warnings


@pytest.mark.parametrize(
    ("choice", "config", "warned"),
    [
        ({"type": "none"}, {"mode": "NONE"}, []),
        ({"type": "auto"}, {"mode": "AUTO"}, []),
        ({"type": "required"}, {"mode": "ANY"}, []),
        ({"type": "tool", "name": "weather"}, {"mode": "ANY", "allowedFunctionNames": ["weather"]}, []),
        ({"type": "auto", "parallel": False}, {"mode": "AUTO"}, ["tool_choice.parallel"]),
    ],
)
def test_tool_choice(choice: dict[str, Any], config: dict[str, Any], warned: list[str]) -> None:
    encoded = encode({"tools": [TOOL], "tool_choice": choice})
    assert checked_body(encoded)["toolConfig"] == {"functionCallingConfig": config}
    assert [warning.path for warning in encoded.warnings] == warned


# ---- thinking

SHOWN = {"includeThoughts": True}
# model, thinking, thinkingConfig, warnings
THINKING: list[tuple[str, Any, dict[str, Any] | None, list[str]]] = [
    ("gemini-3.6-flash", {"mode": "on"}, SHOWN, []),
    ("gemini-3.6-flash", {"mode": "adaptive"}, SHOWN, []),
    ("gemini-3.6-flash", {"mode": "on", "display": "omitted"}, None, []),
    ("gemini-3.6-flash", {"mode": "on", "effort": "minimal"}, {**SHOWN, "thinkingLevel": "MINIMAL"}, []),
    ("gemini-3.8-flash", {"mode": "on", "effort": "minimal"}, {**SHOWN, "thinkingLevel": "LOW"}, ["parameter_adjusted"]),
    ("gemini-3.8-flash", {"mode": "on", "effort": "max"}, {**SHOWN, "thinkingLevel": "HIGH"}, ["parameter_adjusted"]),
    ("gemini-3-pro-preview", {"mode": "on", "effort": "medium"}, {**SHOWN, "thinkingLevel": "HIGH"}, ["parameter_adjusted"]),
    ("gemini-4-hydrogen", {"mode": "adaptive", "effort": "xhigh"}, {**SHOWN, "thinkingLevel": "XHIGH"}, []),
    ("gemini-3.6-flash", {"mode": "on", "budget_tokens": 2_000}, {**SHOWN, "thinkingBudget": 2_000}, []),
    (
        "gemini-3.6-flash",
        {"mode": "on", "effort": "low", "budget_tokens": 2_000},
        {**SHOWN, "thinkingLevel": "LOW"},
        ["parameter_ignored"],
    ),
    ("gemini-2.5-flash", {"mode": "off"}, {"thinkingBudget": 0}, []),
    ("gemini-2.5-flash", {"mode": "on", "effort": "none"}, {"thinkingBudget": 0}, []),
    ("gemini-2.5-flash", {"mode": "on"}, SHOWN, []),
    ("gemini-2.5-flash", {"mode": "adaptive"}, {**SHOWN, "thinkingBudget": -1}, []),
    ("gemini-2.5-flash-lite", {"mode": "on"}, {**SHOWN, "thinkingBudget": -1}, []),
    ("gemini-2.5-flash", {"mode": "on", "budget_tokens": 4_096}, {**SHOWN, "thinkingBudget": 4_096}, []),
    ("gemini-2.5-flash", {"mode": "on", "budget_tokens": 99_999}, {**SHOWN, "thinkingBudget": 24_576}, ["parameter_adjusted"]),
    ("gemini-2.5-pro", {"mode": "on", "budget_tokens": 1}, {**SHOWN, "thinkingBudget": 128}, ["parameter_adjusted"]),
    ("gemini-2.5-pro", {"mode": "on", "effort": "high"}, {**SHOWN, "thinkingBudget": 24_576}, ["parameter_adjusted"]),
    ("gemini-2.0-flash", {"mode": "off"}, None, []),
    ("gemini-2.0-flash", {"mode": "adaptive"}, None, ["parameter_ignored"]),
]


@pytest.mark.parametrize(("name", "thinking", "config", "warned"), THINKING)
def test_thinking(name: str, thinking: Any, config: dict[str, Any] | None, warned: list[str]) -> None:
    encoded = encode({"thinking": thinking}, known(name))
    assert checked_body(encoded).get("generationConfig", {}).get("thinkingConfig") == config
    assert [warning.code for warning in encoded.warnings] == warned


def test_levels_where_budgets_are_refused_and_unasked_thinking_that_is_off() -> None:
    levels = msgspec.structs.replace(spec().quirks, thinking_budget=None, thinking_default_on=False)
    for thinking, level in (({"mode": "on", "budget_tokens": 600}, "LOW"), ({"mode": "on"}, "MEDIUM")):
        body = checked_body(encode({"thinking": thinking}, spec(levels)))
        assert body["generationConfig"]["thinkingConfig"]["thinkingLevel"] == level


# ---- what is refused before it is sent

REFUSED: list[tuple[dict[str, Any], Any, str, str]] = [
    ({"messages": ""}, None, "invalid_request", "nothing to send"),
    ({"messages": [{"role": "assistant", "content": [result("a")]}]}, None, "invalid_request", "move it there"),
    ({"messages": asked(use("a"))}, None, "invalid_request", "move it there"),
    ({"messages": asked(result("a"))}, None, "invalid_request", "no call before this result"),
    ({"messages": asked(image(kind="base64", data="AAAA"))}, None, "invalid_request", "name it"),
    ({"tool_choice": {"type": "required"}}, None, "invalid_request", "needs tools"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, None, "invalid_request", "name one of them"),
    ({"tools": [TOOL], "tool_choice": {"type": "required"}}, Quirks(forced_tool_choice=False), "capability_mismatch", "auto"),
    ({"tools": [TOOL] * 2}, Quirks(max_function_count=1), "capability_mismatch", "send fewer"),
    ({"response_format": {"type": "json_schema"}}, None, "invalid_request", "schema is missing"),
    ({"tools": [TOOL], "response_format": {"type": "json_object"}}, OLD.quirks, "capability_mismatch", "leave one of them out"),
    ({"thinking": {"mode": "on"}}, PLAIN, "capability_mismatch", "can't think"),
    ({"thinking": {"mode": "off"}}, known("gemini-3.8-flash").quirks, "capability_mismatch", "ask for effort low"),
    ({"thinking": {"mode": "off"}}, known("gemini-2.5-pro").quirks, "capability_mismatch", "can't stop thinking"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, Quirks(prefill=False), "capability_mismatch", "end with the user's"),
    ({"provider_options": {"gemini": {"nope": 1}}}, None, "invalid_request", "options here are"),
    ({"provider_options": {"gemini": {"top_k": "x"}}}, None, "invalid_request", "provider_options.gemini.top_k"),
]


@pytest.mark.parametrize(("request_", "quirks", "error_class", "says"), REFUSED)
def test_refusals(request_: dict[str, Any], quirks: Quirks | None, error_class: str, says: str) -> None:
    with pytest.raises(ProviderFailure) as caught:
        encode(request_, spec(quirks))
    assert caught.value.error_class == error_class
    assert says in caught.value.message


def test_half_a_character_is_refused() -> None:
    with pytest.raises(ProviderFailure, match="send valid Unicode"):
        encode({"messages": [{"role": "assistant", "content": [use("a", x="\ud800")]}]})


# ---- the rest


def test_older_models() -> None:
    history = [
        {"role": "assistant", "content": [use("a")]},
        {"role": "tool", "content": [result("a", [image(kind="base64", data=PNG), {"type": "text", "text": "See."}])]},
    ]
    encoded = encode({"messages": history}, OLD)
    assert checked_body(encoded)["contents"] == [
        model(CALL),
        user(
            {
                "functionResponse": {
                    "name": "weather",
                    "response": {"output": "[attachment 1 of the next user message]\n\nSee."},
                }
            }
        ),
        user({"inlineData": {"mimeType": "image/png", "data": PNG}}),
    ]
    assert [warning.code for warning in encoded.warnings] == ["content_projected"]
    plain = encode(
        {"system_prompt": "Be brief.", "temperature": 1}, spec(Quirks(system_role="user", sampling="none", stop=False))
    )
    assert checked_body(plain) == {"contents": [user("Be brief.", "Hi")]}


def test_warnings_of_a_history_come_once() -> None:
    foreign = {"role": "assistant", "content": [{"type": "thinking", "text": "x"}, {"type": "text", "text": "y"}]}
    encoded = encode({"messages": [{"role": "user", "content": "Hi"}, foreign, {"role": "user", "content": "Hm"}, foreign]})
    assert [(warning.code, warning.path, warning.detail) for warning in encoded.warnings] == [
        ("content_dropped", "messages[1].content[0]", {"count": 2})
    ]


def test_an_answer_to_be_continued_is_asked_for_again() -> None:
    token = {"type": "opaque", "provider_raw": {**ORIGIN, "continuationToken": "dG9rZW4="}}
    said = {"role": "assistant", "content": [{"type": "text", "text": "Once"}, token]}
    body = checked_body(encode({"messages": [{"role": "user", "content": "Tell."}, said]}))
    assert (body["contents"], body["continuationToken"]) == ([user("Tell.")], "dG9rZW4=")
    later = [{"role": "user", "content": "Tell."}, said, {"role": "user", "content": "Thanks."}]
    body = checked_body(encode({"messages": later}))
    assert body["contents"] == [user("Tell."), model("Once"), user("Thanks.")]
    assert "continuationToken" not in body


def test_addresses() -> None:
    assert encode({}).path == "/models/m-1:generateContent"
    assert encode({}, stream=True).path == "/models/m-1:streamGenerateContent?alt=sse"
    assert encode({}, spec(wire_name="tunedModels/a b")).path == "/tunedModels/a%20b:generateContent"
    assert encode({}, stream=True).body == encode({}).body
    assert encode({}).headers == {}
    first, second = WIRE.encode_discover(None), WIRE.encode_discover("a&b")
    assert first is not None
    assert second is not None
    assert (first.method, first.path) == ("GET", "/models?pageSize=1000")
    assert second.path == "/models?pageSize=1000&pageToken=a%26b"


def test_counting() -> None:
    params = msgspec.convert({"messages": "Hi", "system_prompt": "Be brief.", "tools": [TOOL]}, TokenCountParams)
    encoded = WIRE.encode_count(params, spec())
    assert encoded is not None
    assert encoded.path == "/models/m-1:countTokens"
    body = json.loads(encoded.body)["generateContentRequest"]
    assert (body["model"], body["contents"], list(body)) == (
        "models/m-1", [user("Hi")], ["model", "systemInstruction", "tools", "contents"],
    )  # fmt: skip
