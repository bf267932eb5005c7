"""Any two providers that say the same give the same: content, reasons, counts, warnings; and no reasoning goes to another."""

from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any

import pytest
from tests.conformance.suite.conversation import told, usage
from tests.conformance.suite.thinking import THINKS_AND_CALLS, escaped, state_of
from tests.conformance.suite.tools import TIME, WEATHER, after, check_pairs
from tests.conformance.suite.world import UNKNOWN_MODEL, Case, Reply, World, plain, running_world

from modeld.providers.catalog import known_types
from modeld.simulator import Script, SimUsage, TextStep, ThinkingStep, ToolCallStep
from modeld.simulator.script import Stop

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with running_world() as world:
        yield world


def case_of(world: World, row: str, *, stream: bool) -> Case:
    info = next(info for info in world.models_of(row) if info.wire_name == UNKNOWN_MODEL)
    return Case(world, info, stream=stream)


# ---- the same answer

COUNTS = SimUsage(input=21, output=13)
ANSWERS: dict[str, Script] = {
    "nothing": Script(usage=COUNTS),
    "text": Script([TextStep(["One, ", "two.\n", "\u2028漢👩🏽‍🚀"])], usage=COUNTS),
    "a call": Script([ToolCallStep("weather", {"city": "Oslo", "days": [1, 2.5, None, {"deep": "ü"}]})], usage=COUNTS),
    "a call without arguments": Script([ToolCallStep("time", {})], usage=COUNTS),
    "text and calls": Script(
        [TextStep("Let me see."), ToolCallStep("weather", {"city": "Oslo"}), ToolCallStep("weather", {"city": "Bergen"})],
        usage=COUNTS,
    ),
    "reasoning and text": Script([ThinkingStep(["Hm, ", "well."]), TextStep("Yes.")], usage=COUNTS),
    "reasoning and a call": Script([ThinkingStep("Hm."), TextStep("So:"), ToolCallStep("time", {})], usage=COUNTS),
    "cut off": Script([TextStep("One, two")], stop="max_tokens", usage=COUNTS),
}


def what_was_said(reply: Reply) -> dict[str, Any]:
    """All of a reply that a client may build on. A provider that only has tags for reasoning pads it with line ends."""
    content = plain(reply.response.content)
    for block in content:
        if block["type"] == "thinking":
            block["text"] = block["text"].strip()
    return {
        "content": content,
        "stop_reason": reply.response.stop_reason,
        "usage": told(reply.response.usage),
        "warnings": reply.warned(),
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ANSWERS)
async def test_the_same_answer_is_the_same_message(world: World, name: str, stream: bool) -> None:
    said = {
        row: what_was_said(await case_of(world, row, stream=stream).ask(ANSWERS[name], tools=[WEATHER, TIME]))
        for row in known_types()
    }
    first = said["anthropic"]
    assert first["usage"] == usage(21, 13)
    assert first["warnings"] == []
    assert {row: one for row, one in said.items() if one != first} == {}


STOPS: tuple[Stop, ...] = ("end_turn", "max_tokens", "tool_use", "content_filter", "refusal", "stop_sequence", "pause")


async def test_reasons_to_stop_are_words_of_ours(world: World) -> None:
    """A wire without a word for a reason says that the turn ended; none invents one."""
    for row in known_types():
        for stop in STOPS:
            reply = await case_of(world, row, stream=True).ask(Script(["Well."], stop=stop, stop_sequence="END"))
            declined = ("content_filter", "refusal")  # some have one word for both
            assert reply.response.stop_reason in ("end_turn", *(declined if stop in declined else (stop,))), (row, stop)


async def test_the_same_request_has_the_same_warnings(world: World) -> None:
    """Whatever has to be said about a request is said each time, streamed or not."""
    asked: dict[str, Any] = {
        **{"temperature": 0.2, "top_p": 0.9, "max_output_tokens": 4_000, "tools": [WEATHER, TIME]},
        **{"tool_choice": {"type": "auto", "parallel": False}, "thinking": {"mode": "adaptive", "effort": "minimal"}},
        **{"cache": {"mode": "auto", "ttl": "1h", "key": "k"}, "system_prompt": "Be brief."},
    }
    for row in known_types():
        for info in world.models_of(row):
            if not info.capabilities.tools:
                continue
            replies = [
                await Case(world, info, stream=stream).ask("text", messages=[*odd_history()], **asked)
                for stream in (False, True, False)
            ]
            warnings = [reply.response.warnings for reply in replies]
            assert warnings[0] == warnings[1] == warnings[2], info.id
            bodies = [reply.received.raw.replace('"stream":true', '"stream":false') for reply in replies]
            assert bodies[0] == bodies[2], info.id


def odd_history() -> list[dict[str, Any]]:
    """A history that no wire can say in full: another's reasoning, a refusal, a system message in the middle."""
    thought = {"type": "thinking", "text": "Hm.", "provider_raw": {"provider": "elsewhere", "signature": "c2lnbmVk"}}
    return [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [thought, {"type": "refusal", "text": "No."}]},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "And?"}, {"type": "json", "value": {"a": 1}}]},
    ]


# ---- nothing of one provider's reasoning goes to another


@pytest.fixture(scope="module")
async def answers(world: World) -> dict[str, Reply]:
    """An answer of every provider, with reasoning, words and a call."""
    found: dict[str, Reply] = {}
    for row in known_types():
        case = case_of(world, row, stream=True)
        found[row] = await case.ask(THINKS_AND_CALLS, tools=[WEATHER], thinking={"mode": "on"})
    return found


@pytest.mark.parametrize("maker", known_types())
async def test_reasoning_stays_with_its_provider(world: World, answers: dict[str, Reply], maker: str) -> None:
    answer = answers[maker]
    for one, other in permutations(known_types(), 2):
        if one != maker:
            continue
        reply = await case_of(world, other, stream=False).ask("text", messages=after(answer, "sunny"), tools=[WEATHER])
        leaked = [text for text in ("so I call.", *state_of(answer.response.content)) if escaped(text) in reply.received.raw]
        assert leaked == [], other
        assert "content_dropped" in [code for code, _ in reply.warned()], other
        check_pairs(reply)
        assert reply.received.calls()[0][1:] == ("weather", {"city": "Oslo"})
        assert reply.received.results()[0].text == "sunny"
        assert reply.received.turns[1].text == "Let me see."
