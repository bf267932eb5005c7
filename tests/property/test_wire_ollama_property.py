"""The Ollama wire under anything: any request has one encoding, any lines leave a stream that keeps its promises."""

import json
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from ollama._types import ChatRequest
from tests.strategies import requests

from modeld.providers.assembler import Assembler
from modeld.providers.dialects import DialectAssembler, assembler_for, in_dialect
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.ollama import WIRE
from modeld.upstream.ndjson import NdjsonDecoder
from modeld_protocol.content import FileBlock, FileIdSource, ImageBlock, Message, TextBlock, ToolResultBlock, UrlSource
from modeld_protocol.events import MessageStart, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest, Tool

QUIRKS = st.builds(
    Quirks,
    sampling=st.sampled_from(["any", "none"]),
    stop=st.booleans(),
    thinking=st.sampled_from(["none", "effort"]),
    thinking_can_be_off=st.booleans(),
    efforts=st.sampled_from([(), ("low", "high"), ("low", "medium", "high", "max")]),
    reasoning_history=st.sampled_from(["omit", "provider"]),
    tool_dialect=st.sampled_from(["native", "native", "tagged", "fenced"]),
)


def spec(quirks: Quirks) -> ModelSpec:
    return ModelSpec("ollama:m", "ollama", "ollama", "ollama", "m", Capabilities(), ModelLimits(), quirks)


def encoded(request: CanonicalRequest, quirks: Quirks) -> Encoded | ProviderFailure:
    """The request as the adapter has it encoded."""
    try:
        rewritten, _ = in_dialect(request, spec(quirks))
        return WIRE.encode(rewritten, spec(quirks), stream=True)
    except ProviderFailure as failure:
        return failure


def expressible(block: Any) -> bool:
    """Whether this wire has a form for a block."""
    if isinstance(block, ToolResultBlock):
        return isinstance(block.content, str) or all(map(expressible, block.content))
    if isinstance(block, ImageBlock):
        by_url = isinstance(block.source, UrlSource) and block.source.url.startswith("http")
        return not isinstance(block.source, FileIdSource) and not by_url
    return not isinstance(block, FileBlock)


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
    assert ChatRequest.model_validate(body).model_dump(exclude_unset=True, exclude_none=True) == body
    assert all(warning.path for warning in first.warnings)
    if quirks.tool_dialect == "native":
        check_pairing(body["messages"])
    else:
        assert "tools" not in body
        assert not any("tool_calls" in message or message["role"] == "tool" for message in body["messages"])


def check_pairing(messages: list[dict[str, Any]]) -> None:
    """Every call is answered, at once and together, by its name."""
    open_calls: dict[str, str] = {}
    for message in messages:
        if message["role"] == "tool":
            assert open_calls.pop(message["tool_call_id"]) == message["tool_name"]
        else:
            assert open_calls == {}
            open_calls = {call["id"]: call["function"]["name"] for call in message.get("tool_calls", ())}
    assert open_calls == {}


@settings(max_examples=60, deadline=None)
@given(requests(), requests(), QUIRKS)
def test_what_was_sent_stays_when_the_history_grows(request: CanonicalRequest, more: CanonicalRequest, quirks: Quirks) -> None:
    history = said(request).messages
    history = [Message("user", history)] if isinstance(history, str) else history
    later = [
        Message("assistant", "Well."),
        *([Message("user", more.messages)] if isinstance(more.messages, str) else said(more).messages),
    ]
    later = [message for message in later if message.role != "system"]
    before = encoded(CanonicalRequest(history), quirks)
    after = encoded(CanonicalRequest([*history, *later]), quirks)  # type: ignore[list-item]
    assert isinstance(before, Encoded)
    assert isinstance(after, Encoded)
    sent = json.loads(before.body)["messages"]
    assert json.loads(after.body)["messages"][: len(sent)] == sent


# ---- streams

WORDS = st.sampled_from(
    ["", "a", "bc", " ", "\ud83d", "<think>", "<tool_call>", '{"name": "f", "arguments": {"a":', "1}}</tool_call>"]
)
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["content", "name", "id", "error", "message", "done"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, strategy, strategy, ODD)


ARGUMENTS = st.sampled_from([{}, {"a": 1}, {"a": "\ud83d"}, None, "", "{}", '{"a": 1}', "x", [1], 3])
FUNCTIONS = st.fixed_dictionaries({}, optional={"name": mostly(st.sampled_from(["f", "g", ""])), "arguments": mostly(ARGUMENTS)})
CALLS = st.fixed_dictionaries({}, optional={"id": mostly(st.sampled_from(["c", "d", ""])), "function": mostly(FUNCTIONS)})
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "role": ODD,
        "content": mostly(WORDS | st.none()),
        "thinking": mostly(WORDS | st.none()),
        "tool_calls": mostly(st.none() | st.lists(mostly(CALLS), max_size=2)),
    },
)
LINES = st.fixed_dictionaries(
    {"message": mostly(MESSAGES)},
    optional={
        "done": mostly(st.sampled_from([False, False, False, None, True])),
        "done_reason": mostly(st.sampled_from(["stop", "length", "", "whim"])),
        "model": mostly(st.just("m")),
        "prompt_eval_count": mostly(st.integers()),
        "eval_count": mostly(st.integers()),
        "error": st.one_of(st.none(), st.none(), st.none(), st.none(), ODD),
    },
)
FRAMES = st.one_of(
    *[LINES.map(lambda value: json.dumps(value).encode())] * 8,
    st.sampled_from([b"{", b"null", b"[]", b"\xff", b"<html>", b'{"message":{"content":"\xff"}}']),
    st.binary(min_size=1, max_size=12).filter(lambda data: b"\n" not in data and data.strip(b" \t\r") == data),
    ODD.map(lambda value: json.dumps(value).encode()),
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


def new_assembler(dialect: Any = "native") -> Assembler:
    return assembler_for(CanonicalRequest("x", tools=[Tool("f")]), spec(Quirks(tool_dialect=dialect)), "msg_1", "ollama")


def play(body: bytes, size: int, dialect: str = "native") -> tuple[Assembler, ProviderFailure | None]:
    assembler = new_assembler(dialect)
    assert isinstance(assembler, DialectAssembler) == (dialect != "native")
    frames, decoder = NdjsonDecoder(), WIRE.stream_decoder(assembler, spec(Quirks()))
    try:
        for at in range(0, len(body), size):
            for name, data in frames.feed(body[at : at + size]):
                assert isinstance(decoder.feed(name, data), bool)
        for name, data in frames.end():
            decoder.feed(name, data)
        decoder.end()
    except ProviderFailure as failure:
        assembler.complete("error")
        return assembler, failure
    return assembler, None


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAMES, max_size=7).map(b"\n".join), st.integers(1, 60), st.sampled_from(["native", "tagged"]))
def test_any_lines_keep_the_promises_and_any_split_gives_the_same(body: bytes, size: int, dialect: str) -> None:
    whole, failure = play(body, len(body) + 1, dialect)
    cut, failed = play(body, size, dialect)
    event("whole" if failure is None else failure.error_class)
    check_stream(whole)
    assert cut.events == whole.events
    assert cut.terminal_event() == whole.terminal_event()
    assert (failed and failed.message) == (failure and failure.message)
    assert failure is None or "; " in failure.message
    assert all(warning.message.isprintable() for warning in whole.warnings)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["a", "é😀", " ", "\n", '"\\', "<", "\u2028\x00"]), max_size=9), st.booleans())
def test_plain_streams_are_whole(words: list[str], limited: bool) -> None:
    lines = [{"message": {"content": word}, "done": False} for word in words]
    last = {"message": {"content": ""}, "done": True, "done_reason": "length" if limited else "stop", "eval_count": 1}
    assembler, failure = play(b"\n".join(json.dumps(line).encode() for line in [*lines, last]), 7)
    assert failure is None
    assert assembler.content == ([TextBlock("".join(words))] if words else [])
    assert assembler.stop_reason == ("max_tokens" if limited else "end_turn")
    assert assembler.warnings == []


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(FRAMES, max_size=3).map(b"\n".join), st.binary(max_size=40)))
def test_any_body_is_an_answer_or_a_failure(body: bytes) -> None:
    assembler = new_assembler()
    message = "; "
    try:
        WIRE.decode(body, assembler)
    except ProviderFailure as failure:
        message = failure.message
        assembler.complete("error")
    assert "; " in message
    assert assembler.completed
    check_stream(assembler)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(200, 599),
    st.dictionaries(st.sampled_from(["retry-after", "x-request-id"]), st.text(max_size=8)),
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
