"""Scenarios of reasoning: asked for, turned off, and sent back as it came."""

from collections.abc import Iterator
from typing import Any

import msgspec
from tests.conformance.suite.scenario import scenario
from tests.conformance.suite.tools import TIME, WEATHER, after, check_pairs
from tests.conformance.suite.world import Case

from modeld.providers.spec import ModelSpec
from modeld.simulator import Script, TextStep, ThinkingStep, ToolCallStep
from modeld_protocol.content import Block, ThinkingBlock

THOUGHT = ["The user asks for ", "the weather, ", "so I call."]
THINKS = Script([ThinkingStep(THOUGHT), TextStep("Sunny.")])
THINKS_AND_CALLS = Script([ThinkingStep(THOUGHT), TextStep("Let me see."), ToolCallStep("weather", {"city": "Oslo"})])
_MARKS = ("provider", "model", "field", "type", "format", "id", "index", "response_id", "signed_from", "phase", "status", "name")


def goes_back(spec: ModelSpec) -> bool:
    """Whether this model's provider wants its reasoning back in a turn with calls."""
    return spec.wire != "openai_chat" or spec.quirks.reasoning_history == "provider"


def state_of(content: list[Block]) -> list[str]:
    """The opaque texts in an answer: signatures, ciphertexts, what only its provider may see again."""
    found = [value for block in content for value in _texts(getattr(block, "provider_raw", None) or {})]
    return [text for text in found if len(text) >= 12]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, held in value.items():
            if name not in _MARKS:
                yield from _texts(held)
    elif isinstance(value, list):
        for held in value:
            yield from _texts(held)
    elif isinstance(value, str):
        yield value


def escaped(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


@scenario("thinking")
async def thinking(case: Case) -> None:
    reply = await case.ask(THINKS, thinking={"mode": "on"})
    thoughts = [block for block in reply.response.content if isinstance(block, ThinkingBlock)]
    assert "".join(block.text for block in thoughts).strip() == "".join(THOUGHT)
    assert reply.text == "Sunny."
    assert reply.response.stop_reason == "end_turn"


@scenario("thinking")
async def thinking_with_an_effort(case: Case) -> None:
    """A level that the model has is sent as it is; any other is adjusted and told."""
    reply = await case.ask(THINKS, thinking={"mode": "on", "effort": "low"})
    adjusted = [code for code, path in reply.warned() if (path or "").startswith("thinking")]
    assert bool(adjusted) != ("low" in case.able.efforts)


@scenario("thinking_off")
async def thinking_off(case: Case) -> None:
    """The switch is taken; a model that thinks all the same is told about."""
    reply = await case.ask("text", thinking={"mode": "off"})
    ignored = case.spec.quirks.thinking_off_ignored
    assert reply.warned() == ([("parameter_ignored", "thinking.mode")] if ignored else [])


@scenario("thinking", "tools", "thinking_with_tools")
async def thinking_goes_back(case: Case) -> None:
    """Byte for byte to the provider that made it, where that wants it; two rounds and a word of the user's later."""
    asked: dict[str, Any] = {"tools": [WEATHER, TIME], "thinking": {"mode": "on"}}
    first = await case.ask(THINKS_AND_CALLS, **asked)
    reply = await case.ask("text", messages=after(first, "sunny"), **asked)
    check_pairs(reply)
    state = state_of(first.response.content)
    if not goes_back(case.spec):
        assert "so I call." not in reply.received.raw
        assert (state, reply.warned()) == ([], [("content_dropped", "messages[1].content[0]")])
        return
    assert reply.warned() == []
    assert all(escaped(text) in reply.received.raw for text in state)
    said = reply.received.turns[1]
    assert said.text == "Let me see."
    # Summaries of one wire's thoughts need not go back: its state is on the call.
    assert said.thinking.strip() == ("" if case.spec.wire == "gemini" else "".join(THOUGHT))
    assert state or case.spec.wire == "ollama" or case.spec.wire == "openai_chat"


@scenario("tools", "forced_tool_choice")
async def a_forced_call_of_a_model_that_thinks(case: Case) -> None:
    """Where a model can't be forced while it thinks, it is told not to think; what was asked for is what holds."""
    reply = await case.ask("tool", tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"})
    assert reply.received.ask.tool_choice == "required"
    assert reply.warned() in ([], [("parameter_adjusted", "thinking")])
