"""The Gemini wire under anything: any request has one encoding, any chunks leave a stream that keeps its promises."""

import json
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.harness.gemini_wire import assembler, checked_body, frames_of, spec
from tests.strategies import requests

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.gemini import WIRE
from modeld_protocol.content import Message, TextBlock
from modeld_protocol.events import MessageStart, TextDelta, ThinkingDelta, ToolUseEnd, ToolUseInputDelta, ToolUseStart
from modeld_protocol.request import CanonicalRequest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUIRKS = st.builds(
    Quirks,
    system_role=st.sampled_from(["system", "user"]),
    sampling=st.sampled_from(["any", "none"]),
    stop=st.booleans(),
    thinking=st.sampled_from(["none", "budget", "effort"]),
    thinking_budget=st.sampled_from([None, (128, 32_768)]),
    thinking_default_on=st.booleans(),
    thinking_can_be_off=st.booleans(),
    efforts=st.sampled_from([(), ("low", "high"), ("minimal", "low", "medium", "high")]),
    display=st.sampled_from([None, "summarized"]),
    forced_tool_choice=st.booleans(),
    media_in_tool_results=st.booleans(),
    schema_with_tools=st.booleans(),
    stand_in_signature=st.sampled_from([None, "skip_thought_signature_validator"]),
)


def encoded(request: CanonicalRequest, quirks: Quirks) -> Encoded | ProviderFailure:
    try:
        return WIRE.encode(request, spec(quirks), stream=True)
    except ProviderFailure as failure:
        return failure


@settings(max_examples=150, deadline=None)
@given(requests(), QUIRKS)
def test_any_request_has_one_encoding_that_the_vendors_types_take(request: CanonicalRequest, quirks: Quirks) -> None:
    first, second = encoded(request, quirks), encoded(request, quirks)
    if isinstance(first, ProviderFailure):
        event("refused")
        assert isinstance(second, ProviderFailure)
        assert (first.error_class, first.message) == (second.error_class, second.message)
        assert first.error_class == "capability_mismatch"
        return
    assert first == second
    check_contents(checked_body(first)["contents"], quirks)
    assert all(warning.path for warning in first.warnings)


def check_contents(contents: list[dict[str, Any]], quirks: Quirks) -> None:
    """Calls are answered at once, in order and alone; nothing is empty; the model never speaks twice in a row."""
    waiting: list[str] = []
    before = None
    for content in contents:
        parts = content["parts"]
        assert parts
        assert content["role"] in ("user", "model")
        results = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        assert results == waiting
        assert not results or len(results) == len(parts)
        calls = [part for part in parts if "functionCall" in part]
        waiting = [part["functionCall"]["name"] for part in calls]
        assert not (content["role"] == before == "model")
        before = content["role"]
        if calls and quirks.stand_in_signature:
            assert "thoughtSignature" in calls[0]
        assert all(part.get("text") != "" or "thoughtSignature" in part for part in parts)
    assert waiting == []


@settings(max_examples=60, deadline=None)
@given(requests(), requests())
def test_what_was_sent_stays_when_the_history_grows(request: CanonicalRequest, more: CanonicalRequest) -> None:
    history = request.messages
    history = [Message("user", history)] if isinstance(history, str) else history
    later = [
        Message("assistant", "Well."),
        *([Message("user", more.messages)] if isinstance(more.messages, str) else more.messages),
    ]
    before = encoded(CanonicalRequest(history), Quirks())
    after = encoded(CanonicalRequest([*history, *later]), Quirks())
    assert isinstance(before, Encoded)
    assert isinstance(after, Encoded)
    first, second = json.loads(before.body), json.loads(after.body)
    assert second["contents"][: len(first["contents"])] == first["contents"]
    assert second.get("systemInstruction") == first.get("systemInstruction")


# ---- streams

ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["text", "parts", "name", "content", "error", "code", "message"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, strategy, strategy, ODD)


WORDS = st.sampled_from(["", "a", "bc", " ", "\ud83d", "ü"])
SIGNATURES = st.sampled_from(["c2ln", "", None])
PATHS = st.sampled_from(["$.a", "$.a.b", "$.l[0]", "$.l[2].x", "$['q']", "$", "", "$.a[1]"])
PIECES = st.fixed_dictionaries(
    {},
    optional={
        "jsonPath": mostly(PATHS),
        "stringValue": mostly(WORDS),
        "numberValue": mostly(st.floats(allow_nan=False, allow_infinity=False)),
        "boolValue": mostly(st.booleans()),
        "willContinue": st.booleans(),
    },
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "name": mostly(st.sampled_from(["f", "g", "", None])),
        "args": mostly(st.dictionaries(st.sampled_from(["a", "b"]), ODD, max_size=2)),
        "id": mostly(st.sampled_from(["c", "d", "", None])),
        "partialArgs": mostly(st.lists(PIECES, max_size=3)),
        "willContinue": mostly(st.booleans()),
    },
)
PARTS = st.one_of(
    st.fixed_dictionaries({"text": WORDS}),
    st.fixed_dictionaries(
        {}, optional={"text": mostly(WORDS), "thought": mostly(st.booleans()), "thoughtSignature": mostly(SIGNATURES)}
    ),
    st.fixed_dictionaries({"functionCall": mostly(CALLS)}, optional={"thoughtSignature": mostly(SIGNATURES)}),
    st.fixed_dictionaries(
        {"inlineData": mostly(st.just({"mimeType": "image/png", "data": "AAAA"}))}, optional={"thoughtSignature": SIGNATURES}
    ),
    st.fixed_dictionaries({"executableCode": ODD}, optional={"thoughtSignature": SIGNATURES}),
    ODD,
)
FINISHES = st.sampled_from(
    [None, None, None, "STOP", "MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL", "WHIM", 1, 9, 77, -1, ""]
)
CANDIDATES = st.fixed_dictionaries(
    {},
    optional={
        "content": mostly(st.fixed_dictionaries({}, optional={"parts": mostly(st.lists(PARTS, max_size=3))})),
        "index": st.sampled_from([0, 0, 1, None]),
        "finishReason": mostly(FINISHES),
        "finishMessage": mostly(st.just("why")),
        "continuationToken": mostly(st.none()),
    },
)
COUNTS = st.dictionaries(
    st.sampled_from(["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount"]),
    mostly(st.integers()),
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "candidates": mostly(st.lists(CANDIDATES, max_size=2)),
        "usageMetadata": mostly(COUNTS),
        "modelVersion": mostly(st.just("m")),
        "promptFeedback": mostly(st.sampled_from([None, {}, {"blockReason": "SAFETY"}])),
        "error": st.one_of(st.none(), st.none(), st.none(), st.none(), ODD),
    },
)
FRAMES = st.one_of(
    *[CHUNKS.map(lambda chunk: json.dumps(chunk).encode())] * 8,
    st.lists(CHUNKS, max_size=2).map(lambda chunks: json.dumps(chunks).encode()),
    st.sampled_from([b"[DONE]", b"", b"null", b"{", b"[]", b"\xff", b"<html>"]),
    st.binary(max_size=12),
    ODD.map(lambda value: json.dumps(value).encode()),
)


def check_stream(found: Assembler) -> None:
    """The promises of every stream: order, one end per start, deltas that are the content."""
    events, content = found.events, found.content
    assert [index for index, e in enumerate(events) if isinstance(e, MessageStart)] == [0]
    indexes = [e.content_block_index for e in events if not isinstance(e, MessageStart)]
    assert indexes == sorted(indexes)
    opened: list[str] = []
    closed: list[str] = []
    texts: dict[int, str] = {}
    for one in events:
        if isinstance(one, ToolUseStart):
            assert one.tool_use_id not in opened
            opened.append(one.tool_use_id)
        elif isinstance(one, ToolUseInputDelta):
            assert opened[-1] == one.tool_use_id not in closed
        elif isinstance(one, ToolUseEnd):
            assert opened[-1] == one.tool_use_id not in closed
            closed.append(one.tool_use_id)
        elif isinstance(one, TextDelta | ThinkingDelta):
            texts[one.content_block_index] = texts.get(one.content_block_index, "") + one.text
    assert opened == closed
    kept = {at: block.text for at, block in enumerate(content) if hasattr(block, "text")}  # type: ignore[union-attr]
    assert {at: text for at, text in texts.items() if text} == {at: text for at, text in kept.items() if text}


def played(frames: list[tuple[str, bytes]]) -> tuple[Assembler, ProviderFailure | None]:
    found = assembler()
    decoder = WIRE.stream_decoder(found, spec())
    try:
        for name, data in frames:
            assert isinstance(decoder.feed(name, data), bool)
        decoder.end()
    except ProviderFailure as failure:
        found.complete("error")
        return found, failure
    return found, None


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "", "", "message", "error"]), FRAMES), max_size=6))
def test_any_frames_keep_the_promises_and_fail_in_one_way(frames: list[tuple[str, bytes]]) -> None:
    found, failure = played(frames)
    assert failure is None or "; " in failure.message
    event("whole" if failure is None else failure.error_class)
    check_stream(found)
    assert found.usage is not None
    assert min(found.usage.input_tokens, found.usage.output_tokens, found.usage.cached_input_tokens) >= 0
    # What came goes back as a valid request, whatever it was.
    if failure is None and found.content:
        request = CanonicalRequest([Message("user", "Hi"), Message("assistant", found.content)])
        assert encoded(request, Quirks()) == encoded(request, Quirks())


@settings(max_examples=150, deadline=None)
@given(st.lists(CHUNKS.map(lambda chunk: {**chunk, "error": None}), min_size=1, max_size=5))
def test_an_array_is_its_stream(chunks: list[dict[str, Any]]) -> None:
    chunks = [*chunks, {"candidates": [{"finishReason": "STOP"}]}]
    streamed, failure = played([("", json.dumps(chunk).encode()) for chunk in chunks])
    found = assembler()
    refused: ProviderFailure | None = None
    try:
        WIRE.decode(json.dumps(chunks, indent=1).encode(), found)
    except ProviderFailure as other:
        refused = other
        found.complete("error")
    assert (refused and refused.message) == (failure and failure.message)
    assert found.terminal_event() == streamed.terminal_event()
    if not any(warning.code == "stream_repaired" for warning in streamed.warnings):
        assert found.events == streamed.events


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(WORDS.filter(lambda text: text != "\ud83d"), max_size=3), max_size=6), st.lists(st.integers(0, 400)))
def test_any_split_gives_the_same_events(texts: list[list[str]], cuts: list[int]) -> None:
    chunks = [{"candidates": [{"content": {"parts": [{"text": text} for text in parts]}}]} for parts in texts]
    chunks.append({"candidates": [{"finishReason": "STOP"}]})
    body = b"".join(b"data: %b\r\n\r\n" % json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks)
    whole, _ = played(frames_of(body))
    cut, _ = played(frames_of(body, [at for at in cuts if at < len(body)]))
    assert cut.events == whole.events
    said = "".join(text for parts in texts for text in parts)
    assert cut.content == whole.content == ([TextBlock(said)] if said else [])


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        CHUNKS.map(lambda chunk: json.dumps(chunk).encode()),
        st.lists(CHUNKS, max_size=2).map(lambda chunks: json.dumps(chunks).encode()),
        ODD.map(lambda value: json.dumps(value).encode()),
        st.binary(max_size=40),
    )
)
def test_any_body_is_an_answer_or_a_failure(body: bytes) -> None:
    found = assembler()
    error_class = None
    try:
        WIRE.decode(body, found)
    except ProviderFailure as failure:
        error_class = failure.error_class
        found.complete("error")
    assert error_class != "network"
    check_stream(found)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(200, 599),
    st.dictionaries(st.sampled_from(["retry-after", "x-request-id"]), st.text(max_size=8)),
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda message, details: json.dumps({"error": {"message": message, "details": details}}).encode(), ODD, st.lists(ODD)
        ),
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


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=30), ODD.map(lambda value: json.dumps({"models": value, "totalTokens": value}).encode())))
def test_any_list_and_any_count_is_one_or_a_failure(body: bytes) -> None:
    for read in (lambda: WIRE.decode_discover(body, "google"), lambda: WIRE.decode_count(body)):
        said = "; "
        try:
            read()
        except ProviderFailure as failure:
            said = failure.message
        assert "; " in said
