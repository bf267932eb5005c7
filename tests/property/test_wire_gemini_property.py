"""The Gemini wire under anything: any request has one encoding, any chunks leave a stream that keeps its promises."""

import json
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.harness import wire_promises
from tests.harness.gemini_wire import assembler, checked_body, encode, frames_of, spec
from tests.harness.wire_promises import Frames, WireCase, check_stream, odd, play
from tests.strategies import requests

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import Quirks
from modeld.providers.wire.gemini import WIRE
from modeld_protocol.content import Message, TextBlock
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


# ---- streams

ODD = odd("text", "parts", "name", "content", "error", "code", "message")


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return wire_promises.mostly(strategy, ODD)


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


def played(frames: Frames) -> tuple[Assembler, ProviderFailure | None]:
    found = assembler()
    return found, play(WIRE, found, spec(), frames)


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
        assert encode(request, spec(Quirks())) == encode(request, spec(Quirks()))


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


CASE = WireCase(
    name="gemini",
    wire=WIRE,
    requests=requests(),
    quirks=QUIRKS,
    encode=lambda request, quirks: WIRE.encode(request, spec(quirks), stream=True),
    check_body=lambda encoded, quirks: check_contents(checked_body(encoded)["contents"], quirks),
    items="contents",
    bodies=st.one_of(
        (CHUNKS | st.lists(CHUNKS, max_size=2) | ODD).map(lambda value: json.dumps(value).encode()), st.binary(max_size=40)
    ),
    new_assembler=lambda _quirks: assembler(),
    system_later=True,
)
