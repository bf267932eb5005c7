"""Recorded traffic of the Messages wire: decoded as the vendor's SDK decodes it, encoded as its types want it."""

import json
from typing import Any

import msgspec
import pytest
from tests.harness.messages_wire import (
    assembler,
    checked_body,
    encode,
    frames_of,
    is_stream,
    payload_of,
    play,
    recordings,
    sdk_content,
    sdk_message,
    spec,
    wire_content,
)

from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.anthropic_messages import WIRE
from modeld_protocol.content import Message
from modeld_protocol.request import CanonicalRequest

STOPS = {"pause_turn": "pause"}


def _decoded(recording: dict[str, Any]) -> Any:
    if is_stream(recording):
        return play(frames_of(payload_of(recording)))
    found = assembler()
    WIRE.decode(payload_of(recording), found)
    return found


@pytest.mark.parametrize("recording", recordings())
def test_recorded_exchange(recording: dict[str, Any]) -> None:
    if recording["response"]["status"] >= 400:
        check_failure(recording)
    else:
        check_answer(recording)


def check_answer(recording: dict[str, Any]) -> None:
    if payload_of(recording).count(b'"message_start"') > 1:
        pytest.skip("holds two messages; the SDK reads one")
    found = _decoded(recording)
    said = sdk_message(payload_of(recording), stream=is_stream(recording))
    assert wire_content(found.content) == sdk_content(said)
    assert found.stop_reason == STOPS.get(said["stop_reason"], said["stop_reason"])
    assert found.stop_sequence == said.get("stop_sequence")
    assert found.served_model == said["model"]
    check_usage(found.usage, said["usage"])


def check_usage(usage: Any, said: dict[str, Any]) -> None:
    assert not usage.estimated
    parts = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_creation_input_tokens)
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert parts == tuple(said.get(name) or 0 for name in names)
    assert usage.total_tokens == sum(parts)
    assert usage.reasoning_tokens == (said.get("output_tokens_details") or {}).get("thinking_tokens")


def check_failure(recording: dict[str, Any]) -> None:
    status, headers = recording["response"]["status"], recording["response"]["headers"]
    failure = WIRE.decode_failure(status, headers, payload_of(recording))
    expected = {401: "auth", 404: "model_not_found"}.get(status, "invalid_request")
    assert failure.error_class == ("context_overflow" if "context-overflow" in recording["features"] else expected)
    assert failure.provider_status == status
    assert failure.provider_message == json.loads(payload_of(recording))["error"]["message"]
    assert not failure.retryable
    assert failure.provider_request_id
    assert failure.message


@pytest.mark.parametrize("recording", recordings())
def test_an_answer_goes_back_as_it_came(recording: dict[str, Any]) -> None:
    """The next request repeats the answer; every opaque string is in it, in the same order of blocks."""
    if recording["response"]["status"] >= 400:
        return
    said = [block for block in _sent_back(recording) if not (block["type"] == "text" and not block["text"].strip())]
    if not said:
        return
    history = [Message("user", "Hi"), Message("assistant", _decoded(recording).content), Message("user", "Go on")]
    body = checked_body(encode(CanonicalRequest(history), spec()))
    assert [_comparable(block) for block in body["messages"][1]["content"]] == [_comparable(block) for block in said]


def _sent_back(recording: dict[str, Any]) -> list[dict[str, Any]]:
    if payload_of(recording).count(b'"message_start"') > 1:
        return []
    return sdk_message(payload_of(recording), stream=is_stream(recording))["content"]


def _comparable(block: dict[str, Any]) -> Any:
    kept = {name: value for name, value in block.items() if value is not None and name not in ("caller", "citations")}
    if block["type"].endswith("_tool_result"):
        return kept["type"], kept["tool_use_id"]
    return kept


@pytest.mark.parametrize("recording", recordings())
def test_recorded_request_is_no_foreign_language(recording: dict[str, Any]) -> None:
    """Recorded messages that are canonical as they stand encode to what was recorded."""
    body = (recording["request"] or {}).get("body")
    if not isinstance(body, dict) or not all(isinstance(message["content"], str) for message in body["messages"]):
        return
    request = msgspec.convert({"messages": body["messages"], "max_output_tokens": body.get("max_tokens")}, CanonicalRequest)
    try:
        sent = checked_body(encode(request, spec(), stream=bool(body.get("stream"))))
    except ProviderFailure as failure:
        pytest.fail(failure.message)
    assert sent["messages"] == body["messages"]
    assert sent["max_tokens"] == body.get("max_tokens", 16_384)
