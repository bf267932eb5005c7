"""The Ollama wire under anything: any request has one encoding, any lines leave a stream that keeps its promises."""

import json
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from ollama._types import ChatRequest
from tests.harness import wire_promises
from tests.harness.wire_promises import WireCase, check_stream, is_by_id, is_remote, odd, without
from tests.strategies import requests

from modeld.providers.assembler import Assembler
from modeld.providers.dialects import DialectAssembler, assembler_for, in_dialect
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.ollama import WIRE
from modeld.upstream.ndjson import NdjsonDecoder
from modeld_protocol.content import FileBlock, ImageBlock, TextBlock
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


def encode(request: CanonicalRequest, quirks: Quirks) -> Encoded:
    """The request as the adapter has it encoded."""
    rewritten, _ = in_dialect(request, spec(quirks))
    return WIRE.encode(rewritten, spec(quirks), stream=True)


def expressible(block: Any) -> bool:
    """Whether this wire has a form for a block."""
    if isinstance(block, ImageBlock):
        return not is_by_id(block) and not is_remote(block)
    return not isinstance(block, FileBlock)


def check_body(encoded: Encoded, quirks: Quirks) -> None:
    """The vendor's types take it; nothing of tools is in it where they go as text."""
    body = json.loads(encoded.body)
    assert ChatRequest.model_validate(body).model_dump(exclude_unset=True, exclude_none=True) == body
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


# ---- streams

WORDS = st.sampled_from(
    ["", "a", "bc", " ", "\ud83d", "<think>", "<tool_call>", '{"name": "f", "arguments": {"a":', "1}}</tool_call>"]
)
ODD = odd("content", "name", "id", "error", "message", "done")


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return wire_promises.mostly(strategy, ODD)


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


CASE = WireCase(
    name="ollama",
    wire=WIRE,
    requests=requests().map(lambda request: without(request, expressible)),
    quirks=QUIRKS,
    encode=encode,
    check_body=check_body,
    items="messages",
    bodies=st.one_of(st.lists(FRAMES, max_size=3).map(b"\n".join), st.binary(max_size=40)),
    new_assembler=lambda _quirks: new_assembler(),
    grown_with=QUIRKS,
    body_may_be_stream=True,
)
