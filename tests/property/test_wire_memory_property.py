"""A conversation that is encoded turn by turn with a memory goes out byte for byte as if every turn were encoded anew."""

from typing import Any

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.strategies import THINKING, histories

from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.catalog import all_rows, models_of, wire_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.memory import MAX_MODELS, Memories, Memory
from modeld.routing.registry import build_registry
from modeld_protocol.content import Message, RefusalBlock, TextBlock, ToolResultBlock, ToolUseBlock
from modeld_protocol.request import Cache, CanonicalRequest

WIRES = ["openai_chat", "anthropic_messages", "openai_responses", "gemini", "ollama"]


def specs_of(wire: str) -> list[ModelSpec]:
    """A model of every row that speaks a wire, and those which the catalog knows more of."""
    found: list[ModelSpec] = []
    for row in all_rows():
        if row.wire == wire:
            names = ["m", *[model.name for model in models_of(row.type)]]
            config = Config(
                {"p": AdapterConfig("p", row.type, "http://127.0.0.1:9/v1")},
                {f"p:{name}": ModelConfig(f"p:{name}", "p", name) for name in names},
            )
            for spec in build_registry(config).specs.values():
                found += [spec, replace(spec, limits=replace(spec.limits, min_cache_tokens=2))]  # markers in short histories
    return found


SPECS = {wire: specs_of(wire) for wire in WIRES}
CACHES = [None, Cache("auto", key="root"), Cache("explicit"), Cache("off")]
EXTRAS: list[list[Message]] = [
    [],
    [Message("user", "a second word")],
    [Message("system", "in between")],
    [Message("user", [])],
    [Message("user", "  ")],
]
ANSWERS: list[list[Message]] = [
    [],
    [Message("assistant", "and another thing", metadata={"cache": True})],
    [Message("assistant", [])],
    [Message("assistant", "")],
    [Message("assistant", [RefusalBlock("no")])],
]


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Histories with more of what is rare: answers right behind each other, answers that say nothing, system messages."""
    messages: list[Message] = []
    for message in draw(histories()):
        if message.role == "assistant" and not any(isinstance(block, ToolUseBlock) for block in message.blocks()):
            messages += draw(st.sampled_from(ANSWERS))
        messages.append(message)
        if message.role == "user" and not any(isinstance(block, ToolResultBlock) for block in message.blocks()):
            messages += draw(st.sampled_from(EXTRAS))
    if draw(st.booleans()):
        asking = draw(st.lists(st.booleans(), min_size=len(messages), max_size=len(messages)))
        messages = [
            replace(message, metadata={"cache": True}) if asks else message
            for message, asks in zip(messages, asking, strict=True)
        ]
    return messages


def outcome(wire: str, request: CanonicalRequest, spec: ModelSpec, memory: Memory | None) -> Encoded | tuple[str, str]:
    try:
        return wire_of(wire).encode(request, spec, stream=True, memory=memory)
    except ProviderFailure as failure:
        return failure.error_class, failure.message


@pytest.mark.parametrize("wire", WIRES)
@given(conversation=conversations(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_with_a_memory_the_bytes_are_the_same(wire: str, conversation: list[Message], data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(SPECS[wire]))
    memory = Memory(spec)
    changing = data.draw(st.booleans())
    asked: dict[str, Any] = {}
    for end in sorted(data.draw(st.sets(st.integers(1, len(conversation)), max_size=5)) | {len(conversation)}):
        if changing or not asked:
            thinking, cache = data.draw(THINKING), data.draw(st.sampled_from(CACHES))
            asked = {"thinking": thinking, "cache": cache, "system_prompt": data.draw(st.sampled_from([None, "Be brief."]))}
        for tail in ([], [Message("user", "sent, and never answered")]):
            request = CanonicalRequest([*conversation[:end], *tail], **asked)
            expected = outcome(wire, request, spec, None)
            assert outcome(wire, request, spec, memory) == expected
            if isinstance(expected, Encoded) and expected.cache_breakpoints > 1:
                event("markers")
            if memory.held_bytes:
                event("from memory")
            if isinstance(expected, tuple):
                event("refused")


def grown(count: int) -> list[Message]:
    turns = [
        [Message("user", f"question {number}"), Message("assistant", [TextBlock(f"answer {number}")])] for number in range(count)
    ]
    return [message for turn in turns for message in turn]


@pytest.mark.parametrize("wire", WIRES)
def test_only_what_is_new_is_encoded(wire: str) -> None:
    spec, history = SPECS[wire][0], grown(20)
    memory = Memory(spec)
    wire_of(wire).encode(CanonicalRequest([*history, Message("user", "now?")]), spec, stream=True, memory=memory)
    assert memory.held_bytes > 0
    for message in history[:-1]:  # never again looked at: this would fail
        message.content = [object()]  # type: ignore[list-item]
    longer = [*history, Message("user", "now?"), Message("assistant", "now."), Message("user", "then?")]
    body = wire_of(wire).encode(CanonicalRequest(longer), spec, stream=True, memory=memory).body
    assert msgspec.json.decode(body)
    assert all(f"question {number}".encode() in body and f"answer {number}".encode() in body for number in range(20))


@pytest.mark.parametrize("wire", WIRES)
def test_another_history_is_encoded_anew(wire: str) -> None:
    """Equal messages are not enough: 1 and 1.0 are equal and not the same in JSON."""
    spec, history = SPECS[wire][0], grown(3)
    memory = Memory(spec)
    wire_of(wire).encode(CanonicalRequest([*history, Message("user", "now?")]), spec, stream=True, memory=memory)
    history[1] = Message("assistant", "another answer")
    request = CanonicalRequest([*history, Message("user", "now?")])
    expected = wire_of(wire).encode(request, spec, stream=True).body
    assert wire_of(wire).encode(request, spec, stream=True, memory=memory).body == expected
    assert b"another answer" in expected


def test_memories_are_few_and_of_one_description_each() -> None:
    memories, specs = Memories(), SPECS["anthropic_messages"][::2][: MAX_MODELS + 1]
    first = memories.of(specs[0])
    assert memories.of(specs[0]) is first
    assert memories.of(replace(specs[0])) is not first
    request = CanonicalRequest([*grown(3), Message("user", "now?")])
    for spec in specs:
        wire_of("anthropic_messages").encode(request, spec, stream=True, memory=memories.of(spec))
    held = [memories.of(spec).held_bytes for spec in specs[1:]]
    assert all(held)
    assert memories.held_bytes == sum(held)


@given(marked=st.lists(st.booleans(), min_size=24, max_size=24), parts=st.lists(st.integers(1, 2), min_size=24, max_size=24))
@settings(max_examples=60, deadline=None)
def test_markers_move_on_with_the_turns(marked: list[bool], parts: list[int]) -> None:
    """The last ones that are asked for count, wherever they are; all others go out without, however far back."""
    spec = SPECS["anthropic_messages"][1]
    history: list[Message] = []
    memory = Memory(spec)
    for number, (asks, count) in enumerate(zip(marked, parts, strict=True)):
        metadata = {"cache": True} if asks else None
        role = "assistant" if number % 2 else "user"
        history += [Message(role, [TextBlock(f"{number}, {part}")], metadata=metadata) for part in range(count)]
        if role == "user":
            request = CanonicalRequest(list(history), system_prompt="Be brief.", cache=Cache("explicit"))
            expected = wire_of(spec.wire).encode(request, spec, stream=True)
            assert wire_of(spec.wire).encode(request, spec, stream=True, memory=memory) == expected
            assert expected.body.count(b"cache_control") == expected.cache_breakpoints
