"""The Chat Completions wire under anything: any request has one encoding, any frames leave a stream that keeps its promises."""

import json
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from openai.types.chat import completion_create_params as sdk
from pydantic import TypeAdapter
from tests.harness import wire_promises
from tests.harness.chat_wire import PROVIDERS
from tests.harness.chat_wire import spec as relative
from tests.harness.wire_promises import Frames, WireCase, attempted, check_stream, is_by_id, is_remote, odd, play, without
from tests.strategies import requests

from modeld.providers.assembler import Assembler
from modeld.providers.catalog import models_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.content import FileBlock, ImageBlock, TextBlock
from modeld_protocol.events import TextDelta
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest

NONE = Quirks()
STREAMED = TypeAdapter(sdk.CompletionCreateParamsStreaming)
EFFORTS = st.sampled_from([(), ("none", "low", "high"), ("minimal", "low", "medium", "high"), ("low", "max")])
QUIRKS = st.builds(
    Quirks,
    max_tokens_field=st.sampled_from(["max_completion_tokens", "max_tokens"]),
    system_role=st.sampled_from(["system", "developer"]),
    sampling=st.sampled_from(["any", "none", "without_reasoning", "one_of_two"]),
    stop=st.booleans(),
    thinking=st.sampled_from(["none", "effort"]),
    thinking_default_on=st.booleans(),
    thinking_can_be_off=st.booleans(),
    efforts=EFFORTS,
    tools_with_reasoning=st.booleans(),
    forced_tool_choice=st.booleans(),
    mid_conversation_system=st.booleans(),
)


def spec(quirks: Quirks) -> ModelSpec:
    return ModelSpec("openai:m", "openai", "openai", "openai_chat", "m", Capabilities(), ModelLimits(), quirks)


def consumed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: consumed(item) for key, item in value.items()}
    return value if isinstance(value, str | None | int | float) else [consumed(item) for item in value]


def said(request: CanonicalRequest) -> CanonicalRequest:
    """The request without what this wire can't say at all."""
    return without(request, lambda block: not (isinstance(block, ImageBlock) and is_by_id(block)) and not _is_remote_file(block))


def _is_remote_file(block: Any) -> bool:
    return isinstance(block, FileBlock) and is_remote(block)


def check_body(encoded: Encoded, _quirks: Quirks) -> None:
    """The vendor's types take it."""
    body = json.loads(encoded.body)
    assert consumed(STREAMED.validate_python(body)) == body
    check_pairing(body["messages"])


def check_pairing(messages: list[dict[str, Any]]) -> None:
    """Every call is answered, at once and together."""
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
        else:
            assert open_calls == []
            open_calls = [call["id"] for call in message.get("tool_calls", ())]
    assert open_calls == []


RELATIVES = [(name, model.name) for name in PROVIDERS for model in models_of(name)]


@settings(max_examples=150, deadline=None)
@given(requests(), st.sampled_from(RELATIVES), st.booleans())
def test_any_request_has_one_encoding_at_every_relative(request: CanonicalRequest, model: tuple[str, str], stream: bool) -> None:
    first, second = (attempted(lambda: WIRE.encode(said(request), relative(*model), stream=stream)) for _ in range(2))
    if isinstance(first, ProviderFailure):
        assert isinstance(second, ProviderFailure)
        assert (first.error_class, first.message) == (second.error_class, second.message)
        assert first.error_class == "capability_mismatch"
        assert "; " in first.message
        return
    assert first == second
    assert all(warning.path for warning in first.warnings)
    check_pairing(json.loads(first.body)["messages"])


# ---- streams

WORDS = st.sampled_from(["", "a", "bc", " ", "\ud83d", "<think>", "<th", "ink>", "</th", "</think>"]) | st.none()
READS = st.builds(
    Quirks,
    think_tags=st.booleans(),
    reasoning_history=st.sampled_from(["omit", "provider"]),
    reasoning_snapshots=st.booleans(),
    reports_cost=st.booleans(),
    end_marker=st.booleans(),
)
FRAGMENTS = st.sampled_from(["", "{", "}", "{}", '{"a":', "1}", "null", "[1]", '"\\ud83d"', None, {"a": 1}, 3])
ODD = odd("text", "type", "id", "content", "error", "code", "message")


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return wire_promises.mostly(strategy, ODD)


FUNCTIONS = st.fixed_dictionaries({}, optional={"name": st.sampled_from(["", "f", "g", None]), "arguments": mostly(FRAGMENTS)})
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, 2, None, -1]),
        "id": st.sampled_from(["", "c", "d", None]),
        "function": mostly(FUNCTIONS),
    },
)
DETAILS = st.fixed_dictionaries(
    {"type": st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted", "whim"])},
    optional={
        "text": mostly(WORDS),
        "summary": mostly(WORDS),
        "data": mostly(WORDS),
        "signature": mostly(WORDS),
        "index": st.sampled_from([0, 1, None]),
        "id": st.sampled_from(["r", None]),
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": mostly(WORDS),
        "reasoning_content": mostly(WORDS),
        "reasoning": mostly(WORDS),
        "refusal": mostly(WORDS),
        "reasoning_details": mostly(st.lists(mostly(DETAILS), max_size=2)),
        "encrypted_content": mostly(WORDS),
        "tool_calls": mostly(st.lists(PARTS, max_size=3)),
        "function_call": mostly(FUNCTIONS),
    },
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 0, 1, None]),
        "delta": mostly(DELTAS),
        "message": mostly(DELTAS),
        "finish_reason": st.sampled_from([None, None, None, "stop", "length", "tool_calls", "content_filter", "null", "whim", 3]),
    },
)
CHUNKS = st.fixed_dictionaries(
    {"choices": mostly(st.lists(CHOICES, max_size=2))},
    optional={
        "usage": mostly(
            st.none()
            | st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens"]), mostly(st.integers()))
        ),
        "model": mostly(st.just("m")),
        "error": st.one_of(st.none(), st.none(), st.none(), ODD),
        "x_groq": mostly(st.none()),
    },
)


def plain_delta(delta: dict[str, Any]) -> dict[str, Any]:
    """A delta whose text is text, so that a test can tell what to expect."""
    return {**{key: value for key, value in delta.items() if key != "refusal"}, "content": text_or_none(delta.get("content"))}


def text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


PLAIN_CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 0, 1, None]),
        "delta": st.none() | DELTAS.map(plain_delta),
        "finish_reason": st.sampled_from([None, None, "", "length", "stop", "null"]),
    },
)
PLAIN_CHUNKS = st.fixed_dictionaries(
    {"choices": st.lists(PLAIN_CHOICES, max_size=2)}, optional={"usage": ODD, "model": ODD, "unknown": ODD}
)
FRAMES = st.tuples(
    st.sampled_from(["", "", "", "", "message", "error", "ping"]),
    st.one_of(
        *[CHUNKS.map(lambda chunk: json.dumps(chunk).encode())] * 8,
        st.sampled_from([b"[DONE]", b"", b"null", b"{", b"[]", b"\xff", b"<html>"]),
        st.binary(max_size=12),
        ODD.map(lambda value: json.dumps(value).encode()),
    ),
)


def new_assembler(quirks: Quirks) -> Assembler:
    return Assembler("msg_1", "openai:m", "openai", quirks=quirks)


def played(frames: Frames, quirks: Quirks = NONE) -> tuple[Assembler, ProviderFailure | None]:
    assembler = new_assembler(quirks)
    return assembler, play(WIRE, assembler, spec(quirks), frames)


def encoded_frames(chunks: list[Any]) -> list[tuple[str, bytes]]:
    return [("", json.dumps(chunk).encode()) for chunk in chunks]


def content_of(chunk: dict[str, Any]) -> str:
    """The text of choice 0, where it is plain."""
    found = ""
    for choice in chunk["choices"]:
        if not choice.get("index"):
            found += (choice.get("delta") or {}).get("content") or ""
    return found.replace("\ud83d", "\ufffd")


@settings(max_examples=200, deadline=None)
@given(st.lists(PLAIN_CHUNKS, max_size=6), st.booleans())
def test_odd_but_plain_streams_are_whole(chunks: list[dict[str, Any]], marked: bool) -> None:
    end = [*encoded_frames([{"choices": [{"delta": {}, "finish_reason": "stop"}]}]), *([("", b"[DONE]")] if marked else [])]
    assembler, failure = played([*encoded_frames(chunks), *end])
    assert failure is None
    check_stream(assembler)
    shown = "".join(found.text for found in assembler.events if isinstance(found, TextDelta))
    assert shown == "".join(map(content_of, chunks))
    assert "".join(block.text for block in assembler.content if isinstance(block, TextBlock)) == shown


@settings(max_examples=250, deadline=None)
@given(
    st.lists(PLAIN_CHUNKS.map(lambda chunk: ("", json.dumps(chunk).encode())), max_size=4), st.lists(FRAMES, max_size=4), READS
)
def test_any_frames_keep_the_promises_and_fail_in_one_way(
    good: list[tuple[str, bytes]], odd: list[tuple[str, bytes]], quirks: Quirks
) -> None:
    assembler, failure = played([*good, *odd], quirks)
    assert failure is None or "; " in failure.message
    event("whole" if failure is None else failure.error_class)
    check_stream(assembler)
    assert all(warning.message.isprintable() for warning in assembler.warnings)


CASE = WireCase(
    name="chat",
    wire=WIRE,
    requests=requests().map(said),
    quirks=QUIRKS,
    encode=lambda request, quirks: WIRE.encode(request, spec(quirks), stream=True),
    check_body=check_body,
    items="messages",
    bodies=st.one_of((CHUNKS | ODD).map(lambda value: json.dumps(value).encode()), st.binary(max_size=40)),
    new_assembler=new_assembler,
    read_with=READS,
)
