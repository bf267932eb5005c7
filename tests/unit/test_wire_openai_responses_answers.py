"""The Responses wire reads failures of all kinds, and whole answers."""

import json
from typing import Any

import pytest
from tests.harness.responses_wire import (
    COUNTED,
    HELLO,
    SEARCH,
    added,
    arguments,
    call,
    encoded,
    end,
    feed_all,
    frame,
    message,
    new_assembler,
    play,
    reasoning,
    response,
    said,
    spec,
)

from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import Quirks
from modeld.providers.wire.openai_responses import WIRE

# ---- failures

FAILED: list[tuple[str, list[Any], str, int | None, list[Any]]] = [
    ("cut short", HELLO, "network", None, ["Hello"]),
    ("an end marker of another wire alone", [*HELLO, "[DONE]"], "network", None, ["Hello"]),
    ("nothing at all", [], "network", None, []),
    (
        "an error, flat",
        [*HELLO, frame("error", code="rate_limit_exceeded", message="m", param=None)],
        "rate_limit",
        None,
        ["Hello"],
    ),
    (
        "an error, nested",
        [frame("error", error={"type": "tokens", "code": "rate_limit_exceeded", "message": "m"})],
        "rate_limit",
        None,
        [],
    ),
    ("an error without a type", [("error", {"message": "m", "code": "context_length_exceeded"})], "context_overflow", None, []),
    ("an error of a router", [*HELLO, ("", {"error": {"code": 502, "message": "m"}})], "server_error", 502, ["Hello"]),
    ("an error in words", [("error", b"upstream rate limit exceeded")], "rate_limit", 200, []),
    ("failed", [*HELLO, end(status="failed", error={"code": "server_error", "message": "m"})], "server_error", None, ["Hello"]),
    ("failed for no reason", [end(status="failed", error=None)], "server_error", None, []),
    (
        "failed by a limit",
        [end(status="failed", error={"code": "rate_limit_exceeded", "message": "Try again in 1.5s."})],
        "rate_limit",
        None,
        [],
    ),
    ("failed by a filter", [end(status="failed", error={"code": "bio_policy", "message": "m"})], "content_filter", None, []),
    ("failed by a prompt", [end(status="failed", error={"code": "invalid_prompt", "message": "m"})], "content_filter", None, []),
    (
        "failed by a picture",
        [end(status="failed", error={"code": "image_too_large", "message": "m"})],
        "invalid_request",
        None,
        [],
    ),
    (
        "failed by an ugly picture",
        [end(status="failed", error={"code": "image_content_policy_violation", "message": "m"})],
        "content_filter",
        None,
        [],
    ),
    (
        "failed by a store",
        [end(status="failed", error={"code": "vector_store_timeout", "message": "m"})],
        "server_error",
        None,
        [],
    ),
    ("no JSON", [*HELLO, ("response.output_text.delta", "<html><title>Bad</title></html>")], "server_error", 200, ["Hello"]),
    ("no object", [*HELLO, '"text"'], "server_error", 200, ["Hello"]),
    ("nested too deeply", [*HELLO, "[" * 100_000], "server_error", 200, ["Hello"]),
    (
        "an item that is none",
        [*HELLO, frame("response.output_item.added", output_index=1, item=5)],
        "server_error",
        200,
        ["Hello"],
    ),
    ("an item that is missing", [*HELLO, frame("response.output_item.done", output_index=1)], "server_error", 200, ["Hello"]),
    ("an end without an answer", [*HELLO, frame("response.completed")], "server_error", 200, ["Hello"]),
    (
        "an end with output that is none",
        [frame("response.completed", response=response() | {"output": 5})],
        "server_error",
        200,
        [],
    ),
    (
        "an open call is closed",
        [added(0, **call(1, "")), arguments('{"a'), frame("error", message="m")],
        "server_error",
        None,
        [("tu_call_1", "f", {})],
    ),
]


@pytest.mark.parametrize(
    ("frames", "error_class", "status", "kept"), [case[1:] for case in FAILED], ids=[case[0] for case in FAILED]
)
def test_failures(frames: list[Any], error_class: str, status: int | None, kept: list[Any]) -> None:
    assembler = new_assembler()
    decoder = WIRE.stream_decoder(assembler, spec())
    with pytest.raises(ProviderFailure) as caught:
        feed_all(decoder, frames)
    assert (caught.value.error_class, caught.value.provider_status) == (error_class, status)
    assert "; " in caught.value.message
    assert decoder.done
    assembler.complete("error")
    assert said(assembler) == kept


def test_a_failed_answer_says_how_long_to_wait_and_what_it_used() -> None:
    assembler = new_assembler()
    failed = end(status="failed", error={"code": "rate_limit_exceeded", "message": "Please try again in 1.5s."})
    with pytest.raises(ProviderFailure) as caught:
        feed_all(WIRE.stream_decoder(assembler, spec()), [failed])
    assert caught.value.retry_after_seconds == 1.5
    assert assembler.usage == COUNTED


def test_a_provider_known_to_leave_the_last_event_out() -> None:
    assembler = play(HELLO, Quirks(end_marker=False))
    assert (said(assembler), assembler.stop_reason) == (["Hello"], "end_turn")


@pytest.mark.parametrize(
    ("status", "error", "error_class"),
    [
        (
            400,
            {"code": "model_not_found", "message": "The requested model 'gpt-9' does not exist.", "param": "model"},
            "model_not_found",
        ),
        (400, {"code": None, "message": "The model `gpt-9` does not exist or you do not have access to it."}, "model_not_found"),
        (400, {"code": "context_length_exceeded", "message": "m"}, "context_overflow"),
        (400, {"code": "unsupported_parameter", "message": "m"}, "invalid_request"),
        (401, {"code": "invalid_api_key", "message": "m"}, "auth"),
        (404, {"code": None, "message": "Item with id 'rs_1' not found. Items are not persisted."}, "thinking_signature_invalid"),
        (400, {"code": "invalid_encrypted_content", "message": "m"}, "thinking_signature_invalid"),
        (400, {"message": "The encrypted content gAAA... could not be verified."}, "thinking_signature_invalid"),
        (
            400,
            {"message": "Item 'rs_1' of type 'reasoning' was provided without its required following item."},
            "thinking_signature_invalid",
        ),
        (404, {"code": "previous_response_not_found", "message": "m"}, "invalid_request"),
        (400, {"message": "Previous response with id 'resp_1' not found."}, "invalid_request"),
        (429, {"type": "insufficient_quota", "code": "insufficient_quota", "message": "m"}, "quota_exceeded"),
        (429, {"type": "tokens", "message": "Limit 1 on tokens per min (TPM)"}, "rate_limit"),
        (503, {"code": "slow_down", "message": "m"}, "server_error"),
    ],
)
def test_statuses(status: int, error: dict[str, Any], error_class: str) -> None:
    failure = WIRE.decode_failure(status, {}, encoded({"error": error}))
    assert (failure.error_class, failure.provider_status) == (error_class, status)


# ---- whole answers


@pytest.mark.parametrize(
    ("body", "wanted", "stop"),
    [
        (response(message("Hello")), ["Hello"], "end_turn"),
        (response(reasoning("a", "b"), message("Hello")), [("thinking", "a\n\nb"), "Hello"], "end_turn"),
        (response(message({"type": "refusal", "refusal": "No."})), [("refusal", "No.")], "refusal"),
        (response(call(1), call(2, '{"a":1}')), [("tu_call_1", "f", {}), ("tu_call_2", "f", {"a": 1})], "tool_use"),
        (response(SEARCH, message("Hello", phase="final_answer")), [("opaque", "web_search_call"), "Hello"], "end_turn"),
        (response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), [], "max_tokens"),
        (response(message("a"), status="cancelled"), ["a"], "cancelled"),
        (b"\n\n   \n" + json.dumps(response(message("Hello"))).encode(), ["Hello"], "end_turn"),
    ],
)
def test_whole_answers(body: Any, wanted: list[Any], stop: str) -> None:
    assembler = new_assembler()
    WIRE.decode(encoded(body), assembler)
    assert assembler.completed
    assert said(assembler) == wanted
    assert (assembler.stop_reason, assembler.usage, assembler.served_model) == (stop, COUNTED, "m-2026")


@pytest.mark.parametrize(
    ("body", "error_class", "status"),
    [
        ({"error": {"code": 502, "message": "m"}}, "server_error", 502),
        (response(message("a"), status="failed", error={"code": "rate_limit_exceeded", "message": "m"}), "rate_limit", None),
        (response(status="failed", error={"code": "invalid_prompt", "message": "m"}), "content_filter", None),
        (response(status="in_progress"), "server_error", None),
        (response(status="queued"), "server_error", None),
        (response() | {"output": {"a": 1}}, "server_error", 200),
        (response() | {"output": [5]}, "server_error", 200),
        ({}, "server_error", 200),
        (b"", "server_error", 200),
        (b"<html><body>Sign in</body></html>", "server_error", 200),
        (b"\x00\xff\xfe", "server_error", 200),
        (b"[]", "server_error", 200),
        (b'"hello"', "server_error", 200),
        (b"[" * 100_000, "server_error", 200),
        (b'{"output":[' + b"[" * 100_000, "server_error", 200),
    ],
)
def test_what_is_no_answer(body: Any, error_class: str, status: int | None) -> None:
    with pytest.raises(ProviderFailure) as caught:
        WIRE.decode(encoded(body), new_assembler())
    assert (caught.value.error_class, caught.value.provider_status) == (error_class, status)
    assert "<" not in caught.value.message
