"""The relatives of the chat wire: how answers are read, what of their reasoning goes back, what they cost, how they fail."""

import json
from typing import Any

import msgspec
import pytest
from tests.harness.chat_wire import PROVIDERS, assembler_of, body_of, history_of, spec, streamed, whole

from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.content import Message
from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest

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
