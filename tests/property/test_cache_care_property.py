"""Prompt-cache care: any one part of a request is changed, and that part is named; what stays is byte for byte what it was."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.cache_care import CODE, Difference, Sent, first_difference, lost_prefix, sent_of
from modeld.providers.catalog import all_rows, wire_of
from modeld.routing.registry import build_registry
from modeld_protocol.content import Message, TextBlock, ToolResultBlock, ToolUseBlock
from modeld_protocol.model import Pricing
from modeld_protocol.request import Cache, CanonicalRequest, Thinking, Tool
from modeld_protocol.usage import Usage

texts = st.text(max_size=8)
messages = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), texts), min_size=1, max_size=6)
requests = st.builds(
    CanonicalRequest, messages, system_prompt=texts, tools=st.lists(st.builds(Tool, st.just("t"), texts), max_size=2)
)
PRICES = Pricing(input=3.0, output=15.0, cache_read=0.3, cache_write=3.75)


def _sent(request: CanonicalRequest, model: str = "a:m", *, read: int = 0, written: int = 0, at_s: float = 0.0) -> Sent:
    return sent_of(request, model, Usage(cached_input_tokens=read, cache_creation_input_tokens=written), at_s)


@given(requests, messages, st.sampled_from(["none", "model", "parameters", "tools", "system", "message"]), st.data())
@settings(max_examples=150, deadline=None)
def test_the_part_that_changed_is_named(request: CanonicalRequest, more: list[Message], part: str, data: st.DataObject) -> None:
    whole = list(request.messages)
    copied = msgspec.json.decode(msgspec.json.encode([*whole, *more]), type=list[Message])
    after = msgspec.structs.replace(request, messages=copied, temperature=0.5, max_output_tokens=7)
    model, expected = "a:m", Difference(part) if part != "none" else None  # type: ignore[arg-type]
    if part == "model":
        model = "a:other"
    elif part == "parameters":
        after.thinking = Thinking("on", 2_000)
    elif part == "tools":
        after.tools = [*request.tools, Tool("new")]
    elif part == "system":
        after.system_prompt = f"{request.system_prompt}."
    elif part == "message":
        index = data.draw(st.integers(0, len(whole) - 1))
        copied[index] = Message(copied[index].role, f"{copied[index].content}.")
        expected = Difference("message", index)
    assert first_difference(_sent(request), _sent(after, model)) == expected


def test_a_history_that_shrank_differs_where_it_ends() -> None:
    long = CanonicalRequest([Message("user", "a"), Message("assistant", "b")])
    short = CanonicalRequest([Message("user", "a")])
    assert first_difference(_sent(long), _sent(short)) == Difference("message", 1)


SAME = CanonicalRequest([Message("user", "a")], system_prompt="s")
OTHER = msgspec.structs.replace(SAME, system_prompt="t")
LOSSES: list[tuple[str, Sent | None, Sent, dict[str, Any] | None]] = [
    ("first turn", None, _sent(SAME, written=1_000), None),
    ("nothing was cached", _sent(SAME), _sent(OTHER), None),
    ("read again", _sent(SAME, written=1_000), _sent(SAME, read=1_000), None),
    ("read again, and more written", _sent(SAME, read=1_000, written=300), _sent(SAME, read=1_000, written=300), None),
    ("changed behind what was cached", _sent(SAME, read=1_000), _sent(OTHER, read=1_000), None),
    ("changed, written anew", _sent(SAME, written=1_000), _sent(OTHER, written=1_000), {"part": "system", "cost": 0.00345}),
    ("changed, not cached at all", _sent(SAME, read=1_000), _sent(OTHER), {"part": "system", "cost": 0.0027}),
    ("evicted", _sent(SAME, read=1_000), _sent(SAME, at_s=299.0), {"part": "evicted", "cost": 0.0027}),
    ("expired", _sent(SAME, read=1_000), _sent(SAME, at_s=301.0), {"part": "expired", "cost": 0.0027}),
]


@pytest.mark.parametrize(("before", "after", "expected"), [row[1:] for row in LOSSES], ids=[row[0] for row in LOSSES])
def test_what_a_lost_prefix_cost(before: Sent | None, after: Sent, expected: dict[str, Any] | None) -> None:
    warning = lost_prefix(before, after, PRICES)
    if expected is None:
        assert warning is None
        return
    assert warning is not None
    assert warning.detail is not None
    assert (warning.code, warning.detail["part"], warning.detail["tokens"]) == (CODE, expected["part"], 1_000)
    assert abs(warning.detail["cost"] - expected["cost"]) < 1e-12
    unpriced = lost_prefix(before, after, None)
    assert unpriced is not None
    assert unpriced.detail is not None
    assert unpriced.detail["cost"] is None


# ---- what goes out

TYPES = [row.type for row in all_rows()]
TOOLS = [
    Tool(name, f"About {name}.", {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}})
    for name in "zyx"
]
HISTORY = [
    Message("user", "What is in the file?"),
    Message("assistant", [TextBlock("I look."), ToolUseBlock("tu_call_1", "z", {"b": "1", "a": "2"})]),
    Message("user", [ToolResultBlock("tu_call_1", "forty-two")]),
    Message("assistant", "Forty-two."),
    Message("user", "And twice that?"),
]
GOES_ON = [
    [Message("assistant", "Eighty-four."), Message("user", "Thanks.")],
    [Message("assistant", "84."), Message("user", "And thrice?"), Message("assistant", "126."), Message("user", "Good.")],
]


@pytest.mark.parametrize("type_", TYPES)
def test_an_unchanged_prefix_goes_out_byte_for_byte(type_: str) -> None:
    """The next turn and a fork: up to the end of the common history the bytes are the same, markers included."""
    config = Config({"p": AdapterConfig("p", type_, "http://127.0.0.1:9/v1")}, {"p:m": ModelConfig("p:m", "p", "m")})
    spec = build_registry(config).specs["p:m"]
    wire = wire_of(spec.wire)
    cache = Cache("auto", key="root")

    def sent(history: list[Message]) -> bytes:
        request = CanonicalRequest(history, system_prompt="Be brief.", tools=TOOLS, cache=cache)
        return wire.encode(request, spec, stream=True).body

    first = sent(HISTORY)
    assert sent(msgspec.json.decode(msgspec.json.encode(HISTORY), type=list[Message])) == first
    end = first.index(b"And twice that?") + len(b"And twice that?")
    for more in GOES_ON:
        assert sent([*HISTORY, *more])[:end] == first[:end]
