"""The Chat Completions wire under anything: any request has one encoding, any frames leave a stream that keeps its promises."""

import json
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from openai.types.chat import completion_create_params as sdk
from pydantic import TypeAdapter
from tests.harness.chat_wire import PROVIDERS
from tests.harness.chat_wire import spec as relative
from tests.strategies import requests

from modeld.providers.assembler import Assembler
from modeld.providers.catalog import models_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.openai_chat import WIRE
from modeld_protocol.content import FileBlock, FileIdSource, ImageBlock, Message, TextBlock, ToolResultBlock, UrlSource
from modeld_protocol.events import MessageStart, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
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


def encoded(request: CanonicalRequest, quirks: Quirks) -> Encoded | ProviderFailure:
    try:
        return WIRE.encode(request, spec(quirks), stream=True)
    except ProviderFailure as failure:
        return failure


def consumed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: consumed(item) for key, item in value.items()}
    return value if isinstance(value, str | None | int | float) else [consumed(item) for item in value]


def expressible(block: Any) -> bool:
    """Whether this wire has a form for a block's source."""
    if isinstance(block, ToolResultBlock):
        return isinstance(block.content, str) or all(map(expressible, block.content))
    if isinstance(block, ImageBlock):
        return not isinstance(block.source, FileIdSource)
    by_url = isinstance(block, FileBlock) and isinstance(block.source, UrlSource) and block.source.url.startswith("http")
    return not by_url


def said(request: CanonicalRequest) -> CanonicalRequest:
    """The request without what this wire can't say at all."""
    if not isinstance(request.messages, str):
        for message in request.messages:
            if not isinstance(message.content, str):
                message.content = [_without_media(block) for block in message.content if expressible(block) or _is_result(block)]
    return request


def _is_result(block: Any) -> bool:
    return isinstance(block, ToolResultBlock)


def _without_media(block: Any) -> Any:
    return ToolResultBlock(block.tool_use_id, "x", block.is_error) if _is_result(block) and not expressible(block) else block


@settings(max_examples=150, deadline=None)
@given(requests(), QUIRKS)
def test_any_request_has_one_encoding_that_the_vendors_types_take(request: CanonicalRequest, quirks: Quirks) -> None:
    first, second = encoded(said(request), quirks), encoded(request, quirks)
    if isinstance(first, ProviderFailure):
        event("refused")
        assert isinstance(second, ProviderFailure)
        assert (first.error_class, first.message) == (second.error_class, second.message)
        assert first.error_class == "capability_mismatch"
        return
    assert first == second
    body = json.loads(first.body)
    assert consumed(STREAMED.validate_python(body)) == body
    assert all(warning.path for warning in first.warnings)
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
    first, second = (at_relative(said(request), model, stream) for _ in range(2))
    if isinstance(first, ProviderFailure):
        assert isinstance(second, ProviderFailure)
        assert (first.error_class, first.message) == (second.error_class, second.message)
        assert first.error_class == "capability_mismatch"
        assert "; " in first.message
        return
    assert first == second
    assert all(warning.path for warning in first.warnings)
    check_pairing(json.loads(first.body)["messages"])


def at_relative(request: CanonicalRequest, model: tuple[str, str], stream: bool) -> Encoded | ProviderFailure:
    try:
        return WIRE.encode(request, relative(*model), stream=stream)
    except ProviderFailure as failure:
        return failure


@settings(max_examples=60, deadline=None)
@given(requests(), requests())
def test_what_was_sent_stays_when_the_history_grows(request: CanonicalRequest, more: CanonicalRequest) -> None:
    history = said(request).messages
    history = [Message("user", history)] if isinstance(history, str) else history
    later = [
        Message("assistant", "Well."),
        *([Message("user", more.messages)] if isinstance(more.messages, str) else said(more).messages),
    ]
    later = [message for message in later if message.role != "system"]
    before = encoded(CanonicalRequest(history), Quirks())
    after = encoded(CanonicalRequest([*history, *later]), Quirks())  # type: ignore[list-item]
    assert isinstance(before, Encoded)
    assert isinstance(after, Encoded)
    sent = json.loads(before.body)["messages"]
    assert json.loads(after.body)["messages"][: len(sent)] == sent


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
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["text", "type", "id", "content", "error", "code", "message"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, strategy, strategy, ODD)


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


def check_stream(assembler: Assembler) -> None:
    """The promises of every stream: order, one end per start, deltas that are the content."""
    events, content = assembler.events, assembler.content
    assert [index for index, e in enumerate(events) if isinstance(e, MessageStart)] == [0]
    indexes = [e.content_block_index for e in events if not isinstance(e, MessageStart)]
    assert indexes == sorted(indexes)
    opened: list[str] = []
    closed: list[str] = []
    texts: dict[int, str] = {}
    for found in events:
        if isinstance(found, ToolUseStart):
            assert found.tool_use_id not in opened
            opened.append(found.tool_use_id)
        elif isinstance(found, ToolUseInputDelta):
            assert opened[-1] == found.tool_use_id not in closed
        elif isinstance(found, ToolUseEnd):
            assert opened[-1] == found.tool_use_id not in closed
            closed.append(found.tool_use_id)
        elif isinstance(found, TextDelta | ThinkingDelta):
            texts[found.content_block_index] = texts.get(found.content_block_index, "") + found.text
    assert opened == closed
    kept = {at: block.text for at, block in enumerate(content) if hasattr(block, "text")}  # type: ignore[union-attr]
    assert {at: text for at, text in texts.items() if text} == {at: text for at, text in kept.items() if text}


def play(frames: list[tuple[str, bytes]], quirks: Quirks = NONE) -> tuple[Assembler, ProviderFailure | None]:
    assembler = Assembler("msg_1", "openai:m", "openai", quirks=quirks)
    decoder = WIRE.stream_decoder(assembler, spec(quirks))
    try:
        for name, data in frames:
            assert isinstance(decoder.feed(name, data), bool)
        decoder.end()
    except ProviderFailure as failure:
        assembler.complete("error")
        return assembler, failure
    return assembler, None


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
    assembler, failure = play([*encoded_frames(chunks), *end])
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
    assembler, failure = play([*good, *odd], quirks)
    assert failure is None or "; " in failure.message
    event("whole" if failure is None else failure.error_class)
    check_stream(assembler)
    assert all(warning.message.isprintable() for warning in assembler.warnings)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        CHUNKS.map(lambda chunk: json.dumps(chunk).encode()),
        ODD.map(lambda value: json.dumps(value).encode()),
        st.binary(max_size=40),
    ),
    READS,
)
def test_any_body_is_an_answer_or_a_failure(body: bytes, quirks: Quirks) -> None:
    assembler = Assembler("msg_1", "openai:m", "openai", quirks=quirks)
    error_class = None
    try:
        WIRE.decode(body, assembler)
    except ProviderFailure as failure:
        error_class = failure.error_class
        assembler.complete("error")
    assert error_class != "network"
    check_stream(assembler)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(200, 599),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date", "x-request-id"]), st.text(max_size=8)),
    st.one_of(
        st.binary(max_size=40),
        ODD.map(lambda value: json.dumps({"error": value}).encode()),
        ODD.map(lambda value: json.dumps(value).encode()),
    ),
)
def test_any_failed_answer_has_a_class(status: int, headers: dict[str, str], body: bytes) -> None:
    failure = WIRE.decode_failure(status, headers, body)
    assert failure.provider_status == status
    assert "; " in failure.message
    failure.message.encode()
    wait = failure.retry_after_seconds
    assert wait is None or wait > 0
