"""Scenarios of plain conversation: words, limits, formats, counts, endings."""

import json

from tests.conformance.suite.scenario import ONCE, scenario
from tests.conformance.suite.world import UNKNOWN_MODEL, Case

from modeld.simulator import RefusalStep, Script, SimUsage, TextStep
from modeld_protocol.content import RefusalBlock, TextBlock
from modeld_protocol.model import DiscoverParams, TokenCountParams
from modeld_protocol.usage import Usage

NO_STOPS = "every answer ends in one of two ways"
DIFFICULT = ["Zażółć ", "漢字 ", "👩🏽‍🚀 ", "a\u2028b\u2029c ", 'quote" slash\\ ', "\ufeffend"]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "sunny": {"type": "boolean"}},
    "required": ["city", "sunny"],
    "additionalProperties": False,
}


def usage(input: int, output: int, cached: int = 0) -> Usage:
    return Usage(input, output, cached, total_tokens=input + output + cached)


def told(usage: Usage) -> Usage:
    """Usage without what only some providers tell."""
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        total_tokens=usage.total_tokens,
        estimated=usage.estimated,
    )


@scenario()
async def text(case: Case) -> None:
    reply = await case.ask(Script([TextStep(DIFFICULT)], usage=SimUsage(input=11, output=7)))
    assert [type(block) for block in reply.response.content] == [TextBlock]
    assert reply.text == "".join(DIFFICULT)
    assert reply.response.stop_reason == "end_turn"
    assert told(reply.response.usage) == usage(11, 7)
    assert reply.warned() == []
    assert (reply.response.model, reply.response.provider) == (case.info.id, case.info.provider)
    assert reply.response.served_model == case.info.wire_name


@scenario("system_prompt")
async def system_prompt(case: Case) -> None:
    """Some models have no role for it: it stands before the first of the user's words."""
    reply = await case.ask("text", system_prompt="Answer like a pirate.", messages="漢字?")
    turns = [(turn.role, turn.text) for turn in reply.received.turns]
    if case.spec.quirks.system_role == "user":
        assert (reply.received.system, turns) == ("", [("user", "Answer like a pirate.漢字?")])
        return
    assert (reply.received.system, turns) == ("Answer like a pirate.", [("user", "漢字?")])


@scenario()
async def multi_turn(case: Case) -> None:
    said = [("user", "One?"), ("assistant", "Two."), ("user", "Three?"), ("assistant", "Four."), ("user", "Five?")]
    reply = await case.ask("text", messages=[{"role": role, "content": content} for role, content in said])
    assert [(turn.role, turn.text) for turn in reply.received.turns] == said


@scenario()
async def an_answer_goes_back(case: Case) -> None:
    """What came is what is sent, with its opaque state, whatever that is."""
    first = await case.ask("text")
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": first.response.content}]
    reply = await case.ask("text", messages=[*messages, {"role": "user", "content": "And?"}])
    assert [(turn.role, turn.text) for turn in reply.received.turns] == [
        ("user", "Hello"),
        ("assistant", first.text),
        ("user", "And?"),
    ]
    assert reply.warned() == []


@scenario()
async def max_tokens(case: Case) -> None:
    reply = await case.ask("max-tokens-64", max_output_tokens=64)
    assert reply.received.ask.max_tokens == 64
    assert reply.response.stop_reason == "max_tokens"
    assert reply.response.usage.output_tokens == 64


@scenario("stop_sequences")
async def stop_sequences(case: Case) -> None:
    """Only one wire tells that it was a stop sequence; the others say that the turn ended."""
    reply = await case.ask("stop", stop_sequences=["END"])
    assert reply.received.ask.stop_sequences == ["END"]
    assert reply.response.stop_reason in ("stop_sequence", "end_turn")


@scenario()
async def temperature_is_sent_or_told(case: Case) -> None:
    reply = await case.ask("text", temperature=0.5)
    sent, warned = '"temperature"' in reply.received.raw, ("parameter_ignored", "temperature") in reply.warned()
    assert sent != warned
    assert case.able.sampling or warned


@scenario("structured_output")
async def json_schema(case: Case) -> None:
    reply = await case.ask("structured", response_format={"type": "json_schema", "name": "weather", "schema": SCHEMA})
    assert reply.received.ask.schema == SCHEMA
    assert json.loads(reply.text) == {"city": "Paris", "sunny": True}


@scenario("json_object")
async def json_object(case: Case) -> None:
    reply = await case.ask("structured", messages="Answer in JSON.", response_format={"type": "json_object"})
    assert reply.received.ask.json_only
    assert isinstance(json.loads(reply.text), dict)


@scenario("structured_output", "structured_output_with_tools", "tools")
async def json_schema_with_tools(case: Case) -> None:
    tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
    form = {"type": "json_schema", "name": "weather", "schema": SCHEMA}
    reply = await case.ask("structured", response_format=form, tools=tools)
    assert reply.received.ask.schema == SCHEMA
    assert [tool.name for tool in reply.received.ask.tools] == ["weather"]


@scenario(untold={"ollama": "a refusal is text like any other"})
async def refusal(case: Case) -> None:
    reply = await case.ask(Script([RefusalStep("I can't help with that.")]))
    assert reply.response.stop_reason in ("refusal", "content_filter")
    assert reply.text in ("", "I can't help with that.")
    assert all(isinstance(block, RefusalBlock) for block in reply.response.content)


@scenario(untold={"ollama": NO_STOPS})
async def content_filter(case: Case) -> None:
    """One wire calls both by the name of a refusal."""
    reply = await case.ask(Script(["This answer was"], stop="content_filter"))
    assert reply.response.stop_reason in ("content_filter", "refusal")
    assert reply.text == "This answer was"


@scenario()
async def empty(case: Case) -> None:
    reply = await case.ask(Script(usage=SimUsage(input=9, output=1)))
    assert (reply.response.content, reply.response.stop_reason) == ([], "end_turn")


@scenario(untold={"ollama": "it has no word for what it remembered"})
async def cached_tokens_are_told_apart(case: Case) -> None:
    reply = await case.ask(Script(["Hi."], usage=SimUsage(input=20, output=3, cached=1_000)))
    assert told(reply.response.usage) == usage(20, 3, 1_000)


@scenario()
async def usage_that_is_missing_is_estimated(case: Case) -> None:
    reply = await case.ask(Script(["Some words of an answer."], irregular=("no_usage",)))
    assert reply.response.usage.estimated
    assert reply.response.usage.input_tokens > 0 < reply.response.usage.output_tokens
    assert ("usage_estimated", None) in reply.warned()


# ---- beside the calls


@scenario("count_tokens", modes=ONCE)
async def count_tokens(case: Case) -> None:
    case.simulator.reset()
    params = TokenCountParams("Hello there", model=case.info.id, system_prompt="Be brief.")
    assert await case.world.runtime.count_tokens(params) > 0
    assert len(case.simulator.requests) == 1


@scenario(modes=ONCE)
async def estimate_tokens(case: Case) -> None:
    case.simulator.reset()
    small, large = (
        case.world.runtime.estimate_tokens(TokenCountParams("Hello there. " * times, model=case.info.id)) for times in (1, 9)
    )
    assert 0 < small < large
    assert len(case.simulator.requests) == 0


@scenario("discover", modes=ONCE)
async def discover(case: Case) -> None:
    if case.info.wire_name != UNKNOWN_MODEL:
        return  # the list is the provider's, whatever the model
    result = await case.world.runtime.discover(DiscoverParams([case.info.provider]))
    assert result.failures == []
    found = {model.wire_name: model for model in result.models}
    assert found["sim-text"].id == f"{case.info.provider}:sim-text"
