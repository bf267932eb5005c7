"""Failures of the Messages wire: any status, any bytes, one class and a next step."""

import json
from typing import Any

import pytest
from tests.harness.messages_wire import assembler, events, play

from modeld.limits import MAX_PROVIDER_MESSAGE_CHARS
from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.anthropic_messages import WIRE
from modeld_protocol.errors import RETRYABLE


def error(kind: str, message: str = "m", **more: Any) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_1"}).encode()


def code(error_code: str, kind: str = "invalid_request_error") -> bytes:
    return error(kind, details={"error_code": error_code})


INVALID = "invalid_request_error"
STATUSES: list[tuple[int, bytes, str]] = [
    (400, error(INVALID, "max_tokens: Field required"), "invalid_request"),
    (400, error(INVALID, "prompt is too long: 201 tokens > 200 maximum"), "context_overflow"),
    (400, error(INVALID, "input length and `max_tokens` exceed context limit: 1 + 2 > 2"), "context_overflow"),
    (400, error(INVALID, "Your credit balance is too low to access the API."), "quota_exceeded"),
    (400, error(INVALID, "You have reached your specified API usage limits."), "quota_exceeded"),
    (400, error(INVALID, "messages.1.content.0: Invalid `signature` in `thinking` block"), "thinking_signature_invalid"),
    (
        400,
        error(INVALID, "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."),
        "thinking_signature_invalid",
    ),
    (400, error(INVALID, "Output blocked by content filtering policy"), "content_filter"),
    (400, error(INVALID, "This model does not support assistant message prefill."), "capability_mismatch"),
    (400, error(INVALID, "messages.0.content.1: Expected `thinking`, but found `tool_use`."), "invalid_request"),
    (400, code("enforced_spend_limit_reached"), "quota_exceeded"),
    (400, code("tool_name_conflict"), "invalid_request"),
    (401, error("authentication_error", "invalid x-api-key"), "auth"),
    (402, error("billing_error"), "quota_exceeded"),
    (403, error("permission_error"), "auth"),
    (404, error("not_found_error", "model: gone-1"), "model_not_found"),
    (404, error("not_found_error", "Not found"), "model_not_found"),
    (404, error("not_found_error", "file not found"), "invalid_request"),
    (404, error("not_found_error", "Container container_1 not found"), "invalid_request"),
    (404, b"<html><body><h1>404</h1></body></html>", "invalid_request"),
    (409, error("conflict_error"), "server_error"),
    (413, error("request_too_large"), "context_overflow"),
    (413, code("request_body_too_large_after_decoding"), "context_overflow"),
    (429, error("rate_limit_error", "This request would exceed your usage limit of 5 tokens per minute"), "rate_limit"),
    (429, code("linked_organization_spend_limit_reached", "rate_limit_error"), "quota_exceeded"),
    (429, code("ramp_limit_exceeded", "rate_limit_error"), "rate_limit"),
    (429, b"", "rate_limit"),
    (499, b"", "cancelled"),
    (500, error("api_error"), "server_error"),
    (502, b"<html>", "server_error"),
    (503, b"upstream connect error", "server_error"),
    (504, error("timeout_error"), "server_error"),
    (529, error("overloaded_error"), "server_error"),
    (529, b'{"error": null}', "server_error"),
    (422, b'{"detail": [1]}', "invalid_request"),
    (418, b"\xff\xfe\x00", "invalid_request"),
    (302, b"", "other"),
    (200, b"no answer at all", "server_error"),
    (400, b'{"error": {"message": "This endpoint\'s maximum context length is 5 tokens", "code": 400}}', "context_overflow"),
    (401, b'{"error": {"message": "Missing Authentication header", "code": 401}}', "auth"),
    (400, b"[" * 5_000, "invalid_request"),
]


@pytest.mark.parametrize(("status", "body", "error_class"), STATUSES)
def test_status(status: int, body: bytes, error_class: str) -> None:
    failure = WIRE.decode_failure(status, {}, body)
    assert failure.error_class == error_class
    assert failure.provider_status == status
    assert failure.retryable == (error_class in RETRYABLE)
    assert failure.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (error("api_error", "Overloaded <b> & so"), "Overloaded <b> & so"),
        (b'{"error": "plain words"}', "plain words"),
        (b'{"message": "top"}', "top"),
        (b'{"detail": "fast"}', "fast"),
        (b'"just a string"', "just a string"),
        (b"words\x00 and\x1b[31m escapes", "words  and [31m escapes"),
        (
            b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title><style>p{}</style></head>"
            b"<body><script>x()</script><p>nginx &lt;1&gt;</p></body></html>",
            "502 Bad Gateway nginx 1",
        ),
        (b"", None),
        (b'{"error": {"message": 5}}', None),
    ],
)
def test_the_providers_own_words_without_markup(body: bytes, said: str | None) -> None:
    assert WIRE.decode_failure(500, {}, body).provider_message == said


@pytest.mark.parametrize(
    "body", [b"x" * 100_000, b"<html>" + b"<script>" * 9_000, b"<html>" + b"<" * 60_000, error("x", "y" * 9_999)]
)
def test_long_bodies_are_bounded(body: bytes) -> None:
    message = WIRE.decode_failure(500, {}, body).provider_message
    assert len(message or "") <= MAX_PROVIDER_MESSAGE_CHARS


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_numbers(headers: dict[str, str], seconds: float | None) -> None:
    assert WIRE.decode_failure(429, headers, b"").retry_after_seconds == seconds


def test_request_ids() -> None:
    body = error("api_error")
    assert WIRE.decode_failure(500, {"request-id": "req_h"}, body).provider_request_id == "req_h"
    assert WIRE.decode_failure(500, {"x-request-id": "req_x"}, b"").provider_request_id == "req_x"
    assert WIRE.decode_failure(500, {}, body).provider_request_id == "req_1"


IN_BAND = [
    ({"type": "overloaded_error", "message": "Overloaded"}, "server_error"),
    ({"type": "rate_limit_error", "message": "slow"}, "rate_limit"),
    ({"type": INVALID, "message": "prompt is too long: 2 > 1"}, "context_overflow"),
    ({"type": "new_error", "message": "?"}, "server_error"),
    ({"message": "Insufficient credits", "code": 402}, "quota_exceeded"),
    ({"message": "Provider returned error", "code": "502"}, "server_error"),
    ("words", "server_error"),
    ({}, "server_error"),
]


@pytest.mark.parametrize(("said", "error_class"), IN_BAND)
@pytest.mark.parametrize("how", ["event", "untyped", "whole"])
def test_an_error_in_a_200(how: str, said: Any, error_class: str) -> None:
    payload = {"type": "error", "error": said} if how != "untyped" else {"error": said}
    with pytest.raises(ProviderFailure) as caught:
        WIRE.decode(json.dumps(payload).encode(), assembler()) if how == "whole" else play(events(payload))
    assert caught.value.error_class == error_class
    assert caught.value.provider_status in (None, 402, 502)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html></html>",
        b'{"content": "x"}',
        b'{"content": []}',
        b'{"content": [1], "stop_reason": "x"}',
    ],
)
def test_a_body_that_is_no_answer(body: bytes) -> None:
    with pytest.raises(ProviderFailure) as caught:
        WIRE.decode(body, assembler())
    assert caught.value.error_class == "server_error"
