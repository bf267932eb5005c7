"""Failures of the Chat Completions wire: every form of body that servers send, and the class it has."""

import json
from typing import Any

import pytest

from modeld.providers.wire.openai_chat import WIRE
from modeld.providers.wire.openai_shared.errors import WORDS
from modeld_protocol.errors import RETRYABLE


def nested(message: str = "m", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None, **more}}


CLASSES: list[tuple[int, Any, str]] = [
    # by status alone
    (400, nested(), "invalid_request"),
    (400, b"", "invalid_request"),
    (401, nested(), "auth"),
    (402, nested(), "quota_exceeded"),
    (403, nested(), "auth"),
    (404, nested(), "model_not_found"),
    (404, b"404 page not found", "model_not_found"),
    (405, b"", "invalid_request"),
    (408, b"", "server_error"),
    (409, nested(), "server_error"),
    (413, b"", "context_overflow"),
    (418, nested(), "invalid_request"),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]}, "invalid_request"),
    (429, nested(), "rate_limit"),
    (498, b"", "rate_limit"),
    (499, b"", "other"),
    (500, b"", "server_error"),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", "server_error"),
    (503, nested(code="slow_down"), "server_error"),
    (529, b"overloaded", "server_error"),
    (302, b"", "other"),
    (200, b"", "server_error"),
    (200, b"\xff\xfe\x00", "server_error"),
    # by what the body says
    (400, nested(code="context_length_exceeded"), "context_overflow"),
    (400, nested("Your input exceeds the context window of this model."), "context_overflow"),
    (400, nested("This model's maximum context length is 8192 tokens."), "context_overflow"),
    (400, nested("Please reduce the length of the messages or completion."), "context_overflow"),
    (400, nested("prompt too long; exceeded max context length by 3 tokens"), "context_overflow"),
    (400, nested("the request exceeds the available context size, try increasing it"), "context_overflow"),
    (400, nested("Range of input length should be [1, 30720]"), "context_overflow"),
    (400, nested("Invalid request: Your request exceeded model token limit: 8192"), "context_overflow"),
    (400, nested("invalid params, context window exceeds limit (2013)"), "context_overflow"),
    (400, nested("Prompt exceeds max length", code="1261"), "context_overflow"),
    (400, {"object": "error", "message": "input is longer than the model's context length", "code": 400}, "context_overflow"),
    (500, nested(code="context_length_exceeded"), "context_overflow"),
    (
        413,
        nested("Request too large for model `x` on tokens per minute (TPM): Limit 6000", code="rate_limit_exceeded"),
        "rate_limit",
    ),
    (429, nested("You exceeded your current quota.", type="insufficient_quota", code="insufficient_quota"), "quota_exceeded"),
    (429, nested(code="billing_hard_limit_reached"), "quota_exceeded"),
    (429, nested("balance", code="1113"), "quota_exceeded"),
    (429, nested(type="exceeded_current_quota_error"), "quota_exceeded"),
    (403, nested("Access denied", code="Arrearage"), "quota_exceeded"),
    (429, nested(type="engine_overloaded_error"), "server_error"),
    (429, nested(type="rate_limit_reached_error"), "rate_limit"),
    (429, nested(code="1302"), "rate_limit"),
    (400, nested(code="tool_use_failed"), "server_error"),
    (400, nested(code="invalid_prompt"), "content_filter"),
    (400, nested(code="content_policy_violation"), "content_filter"),
    (400, nested(code="misalignment_policy_violation"), "content_filter"),
    (400, nested("x", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), "content_filter"),
    (400, nested(code="data_inspection_failed"), "content_filter"),
    (400, nested("Content Exists Risk", type="invalid_request_error"), "content_filter"),
    (400, nested(code="1301"), "content_filter"),
    (403, nested("Content violates usage guidelines."), "content_filter"),
    (404, nested("The model `gpt-3.5-x` does not exist", code="model_not_found"), "model_not_found"),
    (400, nested("The requested model 'a/b:c' does not exist."), "model_not_found"),
    (400, nested("Model Not Exist"), "model_not_found"),
    (404, nested("tools is not supported in this model."), "capability_mismatch"),
    (404, nested("No endpoints found that support tool use."), "capability_mismatch"),
    (400, nested("Unsupported parameter: 'stop' is not supported with this model."), "invalid_request"),
    (400, nested("API key not valid. Please pass a valid API key."), "auth"),
    (400, nested("Invalid `signature` in `thinking` block"), "thinking_signature_invalid"),
    # other shapes
    (400, {"error": "prompt is too long"}, "context_overflow"),
    (404, {"error": "model 'x' not found"}, "model_not_found"),
    (429, {"message": "slow", "type": "too_many_requests_error", "code": "request_quota_exceeded"}, "rate_limit"),
    (400, {"detail": "context_length_exceeded"}, "context_overflow"),
    (400, {"detail": {"message": "m", "code": "content_filter"}}, "content_filter"),
    (400, [{"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}], "auth"),
    (200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "rate_limit"),
    (200, {"base_resp": {"status_code": 2013, "status_msg": "context window exceeds limit"}}, "context_overflow"),
    (200, {"error": {"code": 403, "message": "m"}}, "auth"),
    (400, "Too many requests", "rate_limit"),
    (400, None, "invalid_request"),
    (400, {"error": None}, "invalid_request"),
    (400, {"error": {}}, "invalid_request"),
    (400, {"error": [3]}, "invalid_request"),
    (400, {"error": {"message": {"deep": 1}, "code": ["x"]}}, "invalid_request"),
    (400, b"[" * 50_000, "invalid_request"),
    (
        400,
        b'{"error":{"code":' + b"9" * 5_000 + b',"metadata":{"headers":{"X-RateLimit-Reset":1' + b"0" * 400 + b"}}}}",
        "invalid_request",
    ),
    (400, b'{"error":{"code":1,"metadata":{"headers":{"X-RateLimit-Reset":1' + b"0" * 400 + b"}}}}", "invalid_request"),
    (400, b'{"error":{"metadata":{"raw":' * 300 + b"1" + b"}}}" * 300, "invalid_request"),
    # a page proves nothing but its status
    (403, b"<!DOCTYPE html><html><body>insufficient_quota</body></html>", "auth"),
    # a router quotes the provider behind it
    (
        400,
        nested("Provider returned error", metadata={"raw": json.dumps(nested(code="context_length_exceeded"))}),
        "context_overflow",
    ),
    (400, nested("Provider returned error", metadata={"raw": "prompt is too long"}), "context_overflow"),
    (400, nested(metadata={"error_type": "payment_required"}), "quota_exceeded"),
]


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize(("status", "body", "wanted"), CLASSES)
def test_classes(status: int, body: Any, wanted: str) -> None:
    failure = WIRE.decode_failure(status, {}, encoded(body))
    assert failure.error_class == wanted
    assert failure.provider_status == status
    assert failure.retryable is (wanted in RETRYABLE)
    assert failure.message.endswith(WORDS[wanted][1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (nested("Bad thing"), "Bad thing"),
        ({"error": "Bad thing"}, "Bad thing"),
        ({"error": "bad_thing", "message": "It is bad"}, "bad_thing: It is bad"),
        ({"message": "Bad thing", "code": "x"}, "Bad thing"),
        ({"detail": [{"msg": "Field required"}]}, "Field required"),
        ({"base_resp": {"status_code": 1, "status_msg": "Bad thing"}}, "Bad thing"),
        (b"Bad\n thing", "Bad thing"),
        (b"<html><head><title> Bad\n gateway </title></head><body><p>x</p></body></html>", "Bad gateway"),
        (b"<html><p>x</p></html>", None),
        (b"", None),
        (nested("Outer", metadata={"raw": '{"error":{"message":"Inner"}}'}), "Outer: Inner"),
        (nested("Outer", metadata={"raw": "{broken"}), "Outer: {broken"),
    ],
)
def test_what_the_provider_said(body: Any, message: str | None) -> None:
    failure = WIRE.decode_failure(500, {}, encoded(body))
    assert failure.provider_message == message
    assert "<" not in failure.message


def test_long_messages_are_cut() -> None:
    failure = WIRE.decode_failure(500, {}, encoded(nested("x" * 100_000)))
    assert len(failure.provider_message or "") <= 2_000
    assert len(failure.message) < 600


WAITS: list[tuple[dict[str, str], Any, float | None]] = [
    ({"retry-after": "7"}, nested(), 7.0),
    ({"retry-after": "0.5"}, nested(), 0.5),
    ({"retry-after-ms": "1500", "retry-after": "9"}, nested(), 1.5),
    ({"retry-after": "-3"}, nested(), None),
    ({"retry-after": "soon"}, nested(), None),
    ({"retry-after": "nan"}, nested(), None),
    ({"retry-after": "inf"}, nested(), None),
    ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, nested("try again in 5s"), None),
    ({}, nested("Rate limit reached. Please try again in 6m0s. Visit us."), 360.0),
    ({}, nested("Please try again in 577ms."), 0.577),
    ({}, nested("Please retry after 20 seconds."), 20.0),
    ({}, nested("Try again in 1h2m3.5s"), 3723.5),
    ({}, nested("Please try again later"), None),
    ({"date": "Tue, 07 Oct 2025 13:56:30 GMT"}, nested(metadata={"headers": {"X-RateLimit-Reset": "1759845420000"}}), 30.0),
    ({"date": "Tue, 07 Oct 2025 14:56:30 GMT"}, nested(metadata={"headers": {"X-RateLimit-Reset": "1759845420000"}}), None),
    ({}, nested(metadata={"headers": {"X-RateLimit-Reset": "1759845420000"}}), None),
]


@pytest.mark.parametrize(("headers", "body", "wanted"), WAITS)
def test_how_long_to_wait(headers: dict[str, str], body: Any, wanted: float | None) -> None:
    assert WIRE.decode_failure(429, headers, encoded(body)).retry_after_seconds == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("headers", "body", "wanted"),
    [
        ({"x-request-id": "req_1"}, nested(), "req_1"),
        ({"cerebras-request-id": "c1"}, nested(), "c1"),
        ({}, {**nested(), "request_id": "r1"}, "r1"),
        ({}, nested(), None),
    ],
)
def test_request_ids(headers: dict[str, str], body: Any, wanted: str | None) -> None:
    assert WIRE.decode_failure(400, headers, encoded(body)).provider_request_id == wanted
