"""Answers of the Ollama wire, streamed and whole: odd lines that servers and gateways send, and what they mean."""

import json
from typing import Any

import msgspec
import pytest

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec
from modeld.providers.wire.contract import StreamDecoder
from modeld.providers.wire.ollama import WIRE
from modeld_protocol.events import ThinkingDelta, ToolUseInputDelta
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.usage import Usage

MODEL = ModelSpec("local:m", "local", "ollama", "ollama", "m", Capabilities(), ModelLimits())


def line(**message: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": "", **message},
        "done": False,
    }


def end(reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {**line(), "done": True, "done_reason": reason, "prompt_eval_count": 3, "eval_count": 2, **more}


def call(name: Any = "f", arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": {} if arguments is None else arguments}, **more}


HELLO = line(content="Hello")


def new_assembler() -> Assembler:
    return Assembler("msg_1", "local:m", "local", provider_type="ollama")


def feed_all(decoder: StreamDecoder, lines: list[Any]) -> None:
    for one in lines:
        decoder.feed("", one if isinstance(one, bytes) else json.dumps(one).encode())
    decoder.end()


def play(*lines: Any) -> Assembler:
    assembler = new_assembler()
    feed_all(WIRE.stream_decoder(assembler, MODEL), list(lines))
    return assembler


def said(assembler: Assembler) -> list[Any]:
    """The content in short: text as it is, other blocks as (type or id, what counts)."""
    short: list[Any] = []
    for block in msgspec.to_builtins(assembler.content):
        if block["type"] == "text":
            short.append(block["text"])
        elif block["type"] == "tool_use":
            short.append((block["id"], block["name"], block["input"]))
        else:
            short.append((block["type"], block["text"]))
    return short


def codes(assembler: Assembler) -> list[str]:
    return [warning.code for warning in assembler.warnings]


# name: (lines, content, stop reason, codes of warnings)
ANSWERS: dict[str, tuple[list[Any], list[Any], str, list[str]]] = {
    "plain": ([HELLO, line(content=" you"), end()], ["Hello you"], "end_turn", []),
    "no reason": ([HELLO, end(None)], ["Hello"], "end_turn", []),
    "the limit": ([HELLO, end("length")], ["Hello"], "max_tokens", []),
    "nothing but loading": ([end("load")], [], "end_turn", []),
    "a reason that nobody knows": ([HELLO, end("whim")], ["Hello"], "end_turn", ["stream_repaired"]),
    "thinking first": ([line(thinking="a"), line(thinking="b"), HELLO, end()], [("thinking", "ab"), "Hello"], "end_turn", []),
    "thinking and text in one line": ([line(thinking="a", content="b"), end()], [("thinking", "a"), "b"], "end_turn", []),
    "thinking between": (
        [line(thinking="a"), HELLO, line(thinking="b"), end()],
        [("thinking", "a"), "Hello", ("thinking", "b")],
        "end_turn",
        [],
    ),
    "a call": ([line(tool_calls=[call(arguments={"a": 1}, id="c")]), end()], [("tu_c", "f", {"a": 1})], "tool_use", []),
    "calls without ids": (
        [line(tool_calls=[call(), call("g")]), line(tool_calls=[call("h")]), end()],
        [("tu_1_0", "f", {}), ("tu_1_1", "g", {}), ("tu_1_2", "h", {})],
        "tool_use",
        [],
    ),
    "calls with the same id and index": (
        [line(tool_calls=[call(id="c", index=0)]), line(tool_calls=[call("g", id="c", index=0)]), end()],
        [("tu_c", "f", {}), ("tu_c_1", "g", {})],
        "tool_use",
        [],
    ),
    "a call between texts": (
        [HELLO, line(tool_calls=[call()]), line(content="!"), end()],
        ["Hello", ("tu_1_0", "f", {}), "!"],
        "tool_use",
        [],
    ),
    "a call in the last line": (
        [HELLO, {**end(), "message": {"tool_calls": [call()]}}],
        ["Hello", ("tu_1_0", "f", {})],
        "tool_use",
        [],
    ),
    "null arguments": (
        [line(tool_calls=[{"function": {"name": "f", "arguments": None}}]), end()],
        [("tu_1_0", "f", {})],
        "tool_use",
        [],
    ),
    "no arguments": ([line(tool_calls=[{"function": {"name": "f"}}]), end()], [("tu_1_0", "f", {})], "tool_use", []),
    "arguments as text": ([line(tool_calls=[call(arguments='{"a": 1}')]), end()], [("tu_1_0", "f", {"a": 1})], "tool_use", []),
    "arguments that are no object": (
        [line(tool_calls=[call(arguments=[1])]), end()],
        [("tu_1_0", "f", {})],
        "tool_use",
        ["tool_arguments_invalid"],
    ),
    "a call at the limit is whole": ([line(tool_calls=[call()]), end("length")], [("tu_1_0", "f", {})], "max_tokens", []),
    "a call without a name": (
        [HELLO, line(tool_calls=[call(""), {"id": "x"}]), end()],
        ["Hello"],
        "end_turn",
        ["stream_repaired"] * 2,
    ),
    "members that are null": (
        [{"message": None, "done": None}, line(content=None, thinking=None, tool_calls=None), HELLO, end()],
        ["Hello"],
        "end_turn",
        [],
    ),
    "unknown members": ([{"x": 1}, {**HELLO, "logprobs": [], "remote_model": "r"}, end()], ["Hello"], "end_turn", []),
    "numbers as text": ([HELLO, end(prompt_eval_count="3", eval_count=2.0)], ["Hello"], "end_turn", []),
    "a lone surrogate": ([b'{"message":{"content":"a\\ud83d"}}', end()], ["a\ufffd"], "end_turn", ["stream_repaired"]),
    "bytes that are no UTF-8": ([b'{"message":{"content":"a\xff"}}', end()], ["a\ufffd"], "end_turn", ["stream_repaired"]),
    "arguments with bytes that are no UTF-8": (
        [b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":"\xff"}}}]}}', end()],
        [("tu_1_0", "f", {"a": "\ufffd"})],
        "tool_use",
        ["stream_repaired"],
    ),
    "noise before the answer": ([b": hello", b"x", HELLO, end()], ["Hello"], "end_turn", ["stream_repaired"]),
    "what comes after the end": ([HELLO, end(), line(content="late"), {"error": "late"}], ["Hello"], "end_turn", []),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name: str) -> None:
    lines, content, stop, warned = ANSWERS[name]
    assembler = play(*lines)
    assert said(assembler) == content
    assert assembler.stop_reason == stop
    assert codes(assembler) == warned
    assert assembler.usage == Usage(input_tokens=3, output_tokens=2, total_tokens=5)


WHOLE = [name for name, (lines, *_) in ANSWERS.items() if len(lines) <= 2 and isinstance(lines[0], dict)]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_is_the_same(name: str) -> None:
    lines, content, stop, warned = ANSWERS[name]
    whole = {**lines[-1], "message": {**(lines[-1]["message"] or {}), **(lines[0]["message"] or {})}}
    assembler = new_assembler()
    WIRE.decode(json.dumps(whole, indent=1).encode(), assembler)
    assert [part for part in said(assembler) if part in content] == [
        part for part in content if part != "Hello" or len(lines) > 1
    ]
    assert assembler.stop_reason == stop
    assert codes(assembler) == warned


def test_gateways_may_leave_the_end_out_of_a_whole_answer() -> None:
    assembler = new_assembler()
    WIRE.decode(b'{"message":{"content":"a"}}', assembler)
    assert (said(assembler), assembler.stop_reason) == (["a"], "end_turn")
    assert assembler.usage == Usage(estimated=True)


def test_arguments_are_the_literal_text() -> None:
    raw = b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"b" : 1.0,  "a":"\\u00e9"}}}]}}'
    assembler = play(raw, end())
    assert [e.partial_json for e in assembler.events if isinstance(e, ToolUseInputDelta)] == ['{"b" : 1.0,  "a":"\\u00e9"}']


def test_reasoning_says_once_where_it_comes_from() -> None:
    assembler = play(line(thinking="a"), line(thinking="b"), HELLO, line(thinking="c"), end())
    origin = {"provider": "ollama", "model": "m"}
    assert [e.provider_raw for e in assembler.events if isinstance(e, ThinkingDelta)] == [origin, None, origin]
    assert [block.get("provider_raw") for block in msgspec.to_builtins(assembler.content)] == [origin, None, origin]


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_eval_count": 5, "eval_count": 2}, Usage(5, 2, total_tokens=7)),
        ({"prompt_eval_count": 5}, Usage(5, 0, total_tokens=5)),
        ({"eval_count": 2}, Usage(0, 2, total_tokens=2, estimated=True)),
        ({"prompt_eval_count": -1, "eval_count": -1}, Usage(estimated=True)),
        ({}, Usage(estimated=True)),
    ],
)
def test_usage(counts: dict[str, int], usage: Usage) -> None:
    assert play(HELLO, {"done": True, **counts}).usage == usage


def test_signs_of_life() -> None:
    decoder = WIRE.stream_decoder(new_assembler(), MODEL)
    lines = [{}, {"model": "m"}, line(), HELLO, line(thinking="a"), line(tool_calls=[call()]), end()]
    assert [decoder.feed("", json.dumps(one).encode()) for one in lines] == [False, False, False, True, True, True, True]
    assert decoder.done
    assert not decoder.feed("", json.dumps(HELLO).encode())


BROKEN: dict[str, tuple[list[Any], str, str, list[Any]]] = {
    "nothing": ([], "network", "ended before", []),
    "cut short": ([HELLO], "network", "ended before", ["Hello"]),
    "an error at once": ([{"error": "model 'x' not found"}], "model_not_found", "model 'x' not found", []),
    "an error after text": (
        [HELLO, {"error": "an error was encountered while running the model"}],
        "server_error",
        "running",
        ["Hello"],
    ),
    "an error beside text": ([{**HELLO, "error": "unexpected EOF"}], "server_error", "unexpected EOF", ["Hello"]),
    "an error with a status": ([{"error": "x", "StatusCode": 429}], "rate_limit", "HTTP 429", []),
    "an error over several lines": ([b"{", b'"error": "unauthorized"', b"}"], "auth", "unauthorized", []),
    "a page": ([b"<html>", b"<title>502 Bad Gateway</title>", b"</html>"], "server_error", "502 Bad Gateway", []),
    "no JSON": ([b"oops"], "server_error", "oops", []),
    "no object": ([b"[1]"], "server_error", "", []),
    "garbage after text": ([HELLO, b"oops"], "server_error", "oops", ["Hello"]),
    "garbage without an end": ([b"x" * 70_000], "server_error", "", []),
    "too deep": ([b'{"message":' + b"[" * 5_000], "server_error", "", []),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_streams(name: str) -> None:
    lines, error_class, words, content = BROKEN[name]
    assembler = new_assembler()
    decoder = WIRE.stream_decoder(assembler, MODEL)
    with pytest.raises(ProviderFailure) as caught:
        feed_all(decoder, lines)
    assert decoder.done
    assert caught.value.error_class == error_class
    assert words in caught.value.message
    assert "; " in caught.value.message
    assembler.complete("error")
    assert said(assembler) == content


@pytest.mark.parametrize(
    ("body", "error_class"),
    [
        (b"", "server_error"),
        (b"{}", "server_error"),
        (b"null", "server_error"),
        (b"<html>", "server_error"),
        (b'{"error":"unauthorized"}', "auth"),
        (json.dumps(HELLO).encode(), "network"),
        (b"\n".join(json.dumps(one).encode() for one in (HELLO, HELLO)), "network"),
    ],
)
def test_bodies_that_are_no_answer(body: bytes, error_class: str) -> None:
    with pytest.raises(ProviderFailure) as caught:
        WIRE.decode(body, new_assembler())
    assert caught.value.error_class == error_class


# ---- failures by status

CLASSES: list[tuple[int, Any, str]] = [
    (400, {"error": '"gemma3" does not support thinking'}, "capability_mismatch"),
    (400, {"error": "registry.ollama.ai/library/gemma3:1b does not support tools"}, "capability_mismatch"),
    (500, {"error": "image: this model is missing data required for image input"}, "capability_mismatch"),
    (400, {"error": 'invalid think value: "x" (must be "high", "medium", "low", "max", true, or false)'}, "invalid_request"),
    (400, {"error": "json: cannot unmarshal array into Go struct field ChatRequest.messages"}, "invalid_request"),
    (500, {"error": "failed to process inputs: failed to decode image bytes"}, "invalid_request"),
    (400, {"error": "the prompt is longer than the context length currently available to the model"}, "context_overflow"),
    (400, {"error": "prompt too long; exceeded max context length by 7 tokens"}, "context_overflow"),
    (500, {"error": "the request exceeds the available context size, try increasing it"}, "context_overflow"),
    (400, {"error": "input length (9 tokens) exceeds the model's maximum context length (8 tokens)"}, "context_overflow"),
    (404, {"error": "model 'x:latest' not found"}, "model_not_found"),
    (404, {"error": 'model "x" not found, try pulling it first'}, "model_not_found"),
    (404, b"404 page not found", "model_not_found"),
    (405, b"", "model_not_found"),
    (401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=x"}, "auth"),
    (403, {"error": "this model requires a subscription, upgrade for access"}, "quota_exceeded"),
    (403, b"", "auth"),
    (402, {"error": "x"}, "quota_exceeded"),
    (429, {"error": "too many concurrent requests"}, "rate_limit"),
    (429, {"error": "you've reached your hourly usage limit, please upgrade"}, "rate_limit"),
    (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, "server_error"),
    (500, {"error": "llama runner process has terminated: exit status 2"}, "server_error"),
    (502, {"error": {"message": "bad gateway", "code": 502}}, "server_error"),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", "server_error"),
    (413, b"", "context_overflow"),
    (400, None, "invalid_request"),
    (400, {"error": [1]}, "invalid_request"),
    (400, {"detail": "x"}, "invalid_request"),
    (400, "invalid role: x", "invalid_request"),
    (400, b"[" * 50_000, "invalid_request"),
    (302, b"", "other"),
    (200, b"\xff\xfe", "server_error"),
]


@pytest.mark.parametrize(("status", "body", "error_class"), CLASSES)
def test_failures(status: int, body: Any, error_class: str) -> None:
    failure = WIRE.decode_failure(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert failure.error_class == error_class
    assert failure.provider_status == status
    assert "; " in failure.message


def test_what_a_failure_says() -> None:
    body = b'{"error":"unauthorized","signin_url":"https://ollama.com/connect?key=x"}'
    failure = WIRE.decode_failure(401, {"retry-after": "3", "x-request-id": "r"}, body)
    assert failure.provider_message == "unauthorized (https://ollama.com/connect?key=x)"
    assert (failure.retry_after_seconds, failure.provider_request_id) == (3.0, "r")
    assert "ollama signin" in failure.message


@pytest.mark.parametrize("value", ["-1", "soon", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_odd_waits_are_none(value: str) -> None:
    assert WIRE.decode_failure(429, {"retry-after": value}, b"").retry_after_seconds is None


def test_a_model_that_does_not_fit_is_not_tried_again() -> None:
    words = b'{"error":"model requires more system memory (9.9 GiB) than is available (3.0 GiB)"}'
    failure = WIRE.decode_failure(500, {}, words)
    assert (failure.error_class, failure.retryable) == ("server_error", False)
    assert WIRE.decode_failure(500, {}, b"").retryable


# ---- discovery


def test_models_of_the_disk() -> None:
    encoded = WIRE.encode_discover(None)
    assert encoded is not None
    assert (encoded.method, encoded.path, encoded.body) == ("GET", "/api/tags", b"")
    body = {
        "models": [
            {"name": "a:1b", "model": "a:1b", "details": {"context_length": 8_192}, "capabilities": ["completion"]},
            {"name": "b:latest", "details": None},
            {"name": ""},
            3,
        ]
    }
    models, page = WIRE.decode_discover(json.dumps(body).encode(), "local")
    assert page is None
    assert [(model.id, model.wire_name, model.limits) for model in models] == [
        ("local:a:1b", "a:1b", ModelLimits(8_192)),
        ("local:b:latest", "b:latest", None),
    ]
    assert WIRE.decode_discover(b'{"models":[]}', "local") == ([], None)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"models":3}', b'{"error":"unauthorized"}'])
def test_lists_that_are_none(body: bytes) -> None:
    with pytest.raises(ProviderFailure, match="; "):
        WIRE.decode_discover(body, "local")
