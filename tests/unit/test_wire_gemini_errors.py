"""Failures of the Gemini wire: what google.rpc says, and what its statuses are made to mean."""

import json
from typing import Any

import pytest

from modeld.providers.wire.gemini import WIRE
from modeld.providers.wire.gemini.errors import failure_in_answer

RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
HELP = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "per day", "url": "https://x/per_day"}]}


def quota(id: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "m", "quotaId": id}]}


def info(reason: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def failure(status: int, body: Any, headers: dict[str, str] | None = None) -> Any:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WIRE.decode_failure(status, headers or {}, body)


def error(code: int, status: str, message: str = "x", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, **({"details": list(details)} if details else {})}}


CLASSES: list[tuple[int, str, str, list[dict[str, Any]], str]] = [
    (400, "INVALID_ARGUMENT", "Unknown name", [], "invalid_request"),
    (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [info("API_KEY_INVALID")], "auth"),
    (400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", [], "auth"),
    (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", [], "auth"),
    (400, "FAILED_PRECONDITION", "Please enable billing on your project.", [], "quota_exceeded"),
    (400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed.", [], "context_overflow"),
    (400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.", [], "invalid_request"),
    (400, "INVALID_ARGUMENT", "Function call is missing a thought_signature", [], "thinking_signature_invalid"),
    (400, "INVALID_ARGUMENT", "Corrupted thought signature.", [], "thinking_signature_invalid"),
    (400, "INVALID_ARGUMENT", "JSON mode is not enabled for models/x", [], "capability_mismatch"),
    (400, "INVALID_ARGUMENT", "Unsupported MIME type: x/y", [], "capability_mismatch"),
    (400, "INVALID_ARGUMENT", "Blocked for safety reasons; blocked by safety filters", [], "content_filter"),
    (401, "UNAUTHENTICATED", "x", [], "auth"),
    (402, "RESOURCE_EXHAUSTED", "x", [], "quota_exceeded"),
    (403, "PERMISSION_DENIED", "x", [], "auth"),
    (403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)", [], "invalid_request"),
    (404, "NOT_FOUND", "models/x is not found, or is not supported for generateContent.", [], "model_not_found"),
    (413, "INVALID_ARGUMENT", "x", [], "context_overflow"),
    (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", [quota("PerMinutePerProject"), RETRY, HELP], "rate_limit"),
    (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", [quota("RequestsPerDayPerProject"), RETRY], "quota_exceeded"),
    (429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap.", [], "quota_exceeded"),
    (499, "CANCELLED", "x", [], "cancelled"),
    (500, "INTERNAL", "x", [], "server_error"),
    (503, "UNAVAILABLE", "The model is overloaded.", [], "server_error"),
    (504, "DEADLINE_EXCEEDED", "x", [], "server_error"),
    (418, "ABORTED", "x", [], "server_error"),
    (418, "", "x", [], "invalid_request"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "name", "message", "details", "error_class"), CLASSES)
def test_classes(status: int, name: str, message: str, details: list[dict[str, Any]], error_class: str) -> None:
    body = error(status, name, message, *details)
    found = failure(status, body)
    assert (found.error_class, found.provider_status, found.provider_message) == (error_class, status, message)
    assert "; " in found.message
    assert failure(status, [body]).error_class == error_class
    in_band = failure_in_answer(body)
    assert in_band.provider_status == status
    assert in_band.error_class == error_class


@pytest.mark.parametrize(
    ("details", "message", "headers", "wait_s"),
    [
        ([RETRY], "x", {}, 34),
        ([{**RETRY, "retryDelay": "0.5s"}], "x", {}, 0.5),
        ([{**RETRY, "retryDelay": {"seconds": 7}}], "x", {}, 7),
        ([{**RETRY, "retryDelay": "0s"}], "x", {}, None),
        ([{**RETRY, "retryDelay": "soon"}], "Please retry in 48.9s.", {}, 48.9),
        ([], "Please retry in 250ms.", {}, 0.25),
        ([], "Please retry in 2m.", {}, 120),
        ([RETRY], "x", {"retry-after": "3"}, 3),
        ([], "x", {"retry-after": "inf"}, None),
        ([], "x", {}, None),
    ],
)
def test_how_long_to_wait(details: list[dict[str, Any]], message: str, headers: dict[str, str], wait_s: float | None) -> None:
    assert failure(429, error(429, "RESOURCE_EXHAUSTED", message, *details), headers).retry_after_seconds == wait_s


@pytest.mark.parametrize(
    ("status", "body", "error_class", "message"),
    [
        (502, b"<html><head><title>502 Bad\nGateway</title></head></html>", "server_error", "502 Bad Gateway"),
        (403, b"<!DOCTYPE html><p>API key not valid</p>", "auth", None),
        (429, b"", "rate_limit", None),
        (500, b"\xff\xfe", "server_error", "\ufffd\ufffd"),
        (400, b"Bad Request", "invalid_request", "Bad Request"),
        (400, b'"why"', "invalid_request", "why"),
        (400, b'{"error": "why"}', "invalid_request", "why"),
        (400, b'{"error": null}', "invalid_request", None),
        (400, b"[" * 5_000, "invalid_request", "[" * 2_000),
        (200, b"{}", "server_error", None),
        (301, b"", "invalid_request", None),
    ],
)
def test_any_bytes(status: int, body: bytes, error_class: str, message: str | None) -> None:
    found = failure(status, body)
    assert (found.error_class, found.provider_message, found.provider_status) == (error_class, message, status)
    assert len(found.message) < 600
