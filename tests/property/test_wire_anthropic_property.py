"""The Messages wire under any request and any bytes."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.messages_wire import (
    ADAPTIVE,
    BUDGET,
    assembler,
    checked_body,
    frames_of,
    is_stream,
    payload_of,
    play,
    recordings,
    spec,
)
from tests.property.test_assembler_property import check_invariants
from tests.strategies import JSON, requests

from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.anthropic_messages import WIRE
from modeld_protocol.request import CanonicalRequest

MODELS = st.sampled_from([spec(BUDGET), spec(ADAPTIVE)])
REFUSALS = ("capability_mismatch", "invalid_request")


def _outcome(call: Callable[[], Any]) -> tuple[Any, ProviderFailure | None]:
    """What a call gives, or the one kind of exception that it may end with."""
    try:
        return call(), None
    except ProviderFailure as failure:
        return None, failure


def _body(request: CanonicalRequest, model: Any) -> dict[str, Any] | None:
    """What goes out, None where the wire refuses, which it may only do for a reason it gives."""
    encoded, failure = _outcome(lambda: WIRE.encode(request, model, stream=False))
    if failure is not None:
        assert failure.error_class in REFUSALS
        assert failure.message.partition(":")[0] in ("max_output_tokens", "thinking", "tool_choice")
        return None
    again = WIRE.encode(msgspec.json.decode(msgspec.json.encode(request), type=CanonicalRequest), model, stream=False)
    assert again.body == encoded.body
    assert again.warnings == encoded.warnings
    body = checked_body(encoded)
    assert encoded.body.count(b'"cache_control":{"type":"ephemeral"') == encoded.cache_breakpoints <= 4
    return body


@given(requests(), MODELS)
@settings(max_examples=80, deadline=None)
def test_a_request_is_legal_and_always_the_same_bytes(request: CanonicalRequest, model: Any) -> None:
    body = _body(request, model)
    if body is None:
        return
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    for number, message in enumerate(body["messages"]):
        check_message(message)
        check_pairing(message, body["messages"][number + 1 : number + 2])
    thinking = body.get("thinking", {})
    assert thinking.get("budget_tokens", 1_024) >= 1_024
    assert thinking.get("budget_tokens", 0) < body["max_tokens"]


def check_message(message: dict[str, Any]) -> None:
    content = message["content"]
    if isinstance(content, str):
        assert content.strip()
        return
    assert content
    assert all(block["text"].strip() for block in content if block["type"] == "text")
    kinds = [block["type"] == "tool_result" for block in content]
    assert kinds == sorted(kinds, reverse=True)


def check_pairing(message: dict[str, Any], following: list[dict[str, Any]]) -> None:
    if isinstance(message["content"], str):
        return
    calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
    if calls:
        assert [block["tool_use_id"] for block in following[0]["content"] if block["type"] == "tool_result"] == calls


@given(requests(), MODELS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_longer_history_begins_with_the_same_turns(request: CanonicalRequest, model: Any, data: st.DataObject) -> None:
    """Up to the turn that is still growing, what was sent once is sent again: caches and signatures depend on it."""
    if isinstance(request.messages, str):
        return
    cut = data.draw(st.integers(1, len(request.messages)))
    plain = msgspec.structs.replace(request, cache=None, thinking=None, tool_choice=None)
    shorter = msgspec.structs.replace(plain, messages=request.messages[:cut])
    whole = _body(plain, model)
    encoded, failure = _outcome(lambda: WIRE.encode(shorter, model, stream=False))
    if failure is not None:
        return
    part = json.loads(encoded.body)
    assert whole is not None
    settled = next((at for at in range(len(part["messages"]) - 1, -1, -1) if part["messages"][at]["role"] == "assistant"), 0)
    assert whole["messages"][:settled] == part["messages"][:settled]
    assert whole.get("tools") == part.get("tools")


# ---- any bytes

KINDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "ping"]
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "", "new"])},
    optional={
        "text": st.text(max_size=3),
        "thinking": st.text(max_size=3),
        "signature": st.text(max_size=2),
        "data": st.just("d"),
        "id": st.sampled_from(["a", "b", ""]),
        "name": st.just("f"),
        "input": JSON,
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta", "compaction_delta", "new"]
        ),
        "text": st.text(max_size=3),
        "thinking": st.text(max_size=3),
        "partial_json": st.sampled_from(["", "{", "}", '{"a":1}', "null"]),
        "signature": st.text(max_size=2),
        "citation": JSON,
        "content": st.text(max_size=2),
        "stop_reason": st.sampled_from([None, "end_turn", "tool_use", "max_tokens", "x"]),
    },
)
FRAMES = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        "index": st.integers(0, 2),
        "delta": DELTAS,
        "content_block": BLOCKS,
        "message": st.fixed_dictionaries({"content": st.lists(BLOCKS, max_size=2)}),
        "usage": JSON,
    },
)
ANY_FRAME = st.one_of(
    FRAMES.map(lambda frame: json.dumps(frame).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=30),
)


@given(st.lists(ANY_FRAME, max_size=15), st.sampled_from(["end_turn", "error", "cancelled"]))
@settings(max_examples=200, deadline=None)
def test_any_frames_keep_the_invariants_and_fail_in_one_way(frames: list[bytes], stop: Any) -> None:
    found = assembler()
    decoder = WIRE.stream_decoder(found, spec())
    _, failure = _outcome(lambda: [decoder.feed("", data) for data in frames])
    if failure is None:
        _, failure = _outcome(decoder.end)
    assert failure is not None or decoder.done
    assert failure is None or failure.message
    found.complete(stop)
    check_invariants(found, found.take())


@given(st.lists(FRAMES, max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_events_of_the_grammar_keep_the_invariants(frames: list[dict[str, Any]]) -> None:
    found = assembler()
    decoder = WIRE.stream_decoder(found, spec())
    _, failure = _outcome(lambda: [decoder.feed(frame["type"], json.dumps(frame).encode()) for frame in frames])
    assert failure is None or failure.error_class == "server_error"
    found.complete("end_turn")
    check_invariants(found, found.take())
    msgspec.json.encode(found.terminal_event())


@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode()), st.lists(BLOCKS, max_size=4)))
@settings(max_examples=200, deadline=None)
def test_any_body_is_an_answer_or_one_failure(body: Any) -> None:
    found = assembler()
    if isinstance(body, list):
        body = json.dumps({"content": body, "stop_reason": "end_turn"}).encode()
    _, failure = _outcome(lambda: WIRE.decode(body, found))
    assert failure is None or failure.error_class == "server_error"
    if failure is None:
        check_invariants(found, found.take())


@pytest.mark.parametrize("recording", recordings())
def test_recorded_streams_may_be_cut_anywhere(recording: dict[str, Any]) -> None:
    if recording["response"]["status"] >= 400 or not is_stream(recording):
        return
    body = payload_of(recording)
    whole = play(frames_of(body))
    wanted = (whole.take(), whole.content, whole.usage, whole.stop_reason)
    for size in (1, 7, 64, 1_000):
        cut = play(frames_of(body, range(size, len(body), size)))
        assert (cut.take(), cut.content, cut.usage, cut.stop_reason) == wanted


@pytest.mark.parametrize("recording", recordings())
def test_recorded_streams_that_end_early_are_no_success(recording: dict[str, Any]) -> None:
    if recording["response"]["status"] >= 400 or not is_stream(recording):
        return
    frames = frames_of(payload_of(recording))
    last = next(at for at, (event, _) in enumerate(frames) if event == "message_stop")
    for end in range(0, last, max(1, last // 12)):
        with pytest.raises(ProviderFailure) as caught:
            play(frames[:end])
        assert caught.value.error_class == "network"
