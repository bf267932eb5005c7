"""Scenarios of tools: calls, results, choices."""

from typing import Any

from tests.conformance.suite.scenario import scenario
from tests.conformance.suite.world import Case, Reply

from modeld.simulator import Script, TextStep, ToolCallStep

WEATHER = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {"name": "time", "description": "The time now.", "input_schema": {"type": "object", "properties": {}}}
ONE_CALL = Script([TextStep("Let me see."), ToolCallStep("weather", {"city": "Zürich"})])
TWO_CALLS = Script([ToolCallStep("weather", {"city": "Oslo"}), ToolCallStep("time", {})])


def after(reply: Reply, *results: Any, **fields: Any) -> list[dict[str, Any]]:
    """The conversation with the answer's calls and these results of them."""
    blocks = [
        {"type": "tool_result", "tool_use_id": call.id, "content": result, **fields}
        for call, result in zip(reply.calls, results, strict=True)
    ]
    return [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": reply.response.content},
        {"role": "tool", "content": blocks},
    ]


def surprises(case: Case, reply: Reply) -> list[tuple[str, str | None]]:
    """What a reply warns of, but that thinking makes way for tools where the model can't have both."""
    return [one for one in reply.warned() if case.able.thinking_with_tools or one != ("parameter_adjusted", "thinking")]


def check_pairs(reply: Reply) -> None:
    """Every call of the history has its result, under the same id and right behind it."""
    calls, results = reply.received.calls(), reply.received.results()
    assert [result.answers for result in results] == [call[0] for call in calls]
    assert len({call[0] for call in calls}) == len(calls)


@scenario("tools")
async def a_call(case: Case) -> None:
    reply = await case.ask(ONE_CALL, tools=[WEATHER, TIME])
    offered = {tool.name: tool.schema for tool in reply.received.ask.tools}
    assert list(offered) == ["weather", "time"]
    assert offered["weather"]["properties"] == WEATHER["input_schema"]["properties"]
    assert reply.text == "Let me see."
    assert [(call.name, call.input) for call in reply.calls] == [("weather", {"city": "Zürich"})]
    assert all(call.id.startswith("tu_") for call in reply.calls)
    assert reply.response.stop_reason == "tool_use"


@scenario("tools")
async def a_result_goes_back(case: Case) -> None:
    first = await case.ask(ONE_CALL, tools=[WEATHER])
    reply = await case.ask("text", messages=after(first, "sunny, 漢"), tools=[WEATHER])
    check_pairs(reply)
    assert [f"tu_{call[0]}" for call in reply.received.calls()] == [call.id for call in first.calls], "ids go back as they came"
    assert [call[1:] for call in reply.received.calls()] == [("weather", {"city": "Zürich"})]
    assert [(result.text, result.is_error) for result in reply.received.results()] == [("sunny, 漢", False)]
    assert surprises(case, reply) == []
    assert reply.received.roles() == ["user", "assistant", "tool"]


@scenario("tools", "parallel_tools")
async def parallel_calls(case: Case) -> None:
    first = await case.ask(TWO_CALLS, tools=[WEATHER, TIME])
    assert [(call.name, call.input) for call in first.calls] == [("weather", {"city": "Oslo"}), ("time", {})]
    assert len({call.id for call in first.calls}) == 2
    assert len({call.group for call in first.calls} - {None}) == 1
    reply = await case.ask("text", messages=after(first, "rain", "noon"), tools=[WEATHER, TIME])
    check_pairs(reply)
    assert [result.text for result in reply.received.results()] == ["rain", "noon"]
    assert reply.received.roles() == ["user", "assistant", "tool", "tool"]


@scenario("tools", "parallel_tools")
async def results_in_another_order(case: Case) -> None:
    """A client may answer in any order, with words before the results: each result still answers its own call."""
    first = await case.ask(TWO_CALLS, tools=[WEATHER, TIME])
    messages = after(first, "rain", "noon")
    messages[-1] = {"role": "user", "content": [{"type": "text", "text": "Here."}, *reversed(messages[-1]["content"])]}
    reply = await case.ask("text", messages=messages, tools=[WEATHER, TIME])
    names = {call[0]: call[1] for call in reply.received.calls()}
    assert {names[result.answers or ""]: result.text for result in reply.received.results()} == {
        "weather": "rain",
        "time": "noon",
    }
    assert reply.received.turns[-1].text == "Here."


@scenario("tools")
async def an_error_as_result(case: Case) -> None:
    first = await case.ask(ONE_CALL, tools=[WEATHER])
    reply = await case.ask("text", messages=after(first, "no such city", is_error=True), tools=[WEATHER])
    check_pairs(reply)
    result = reply.received.results()[0]
    assert result.is_error
    assert result.text.endswith("no such city")


@scenario("tools")
async def a_value_as_result(case: Case) -> None:
    first = await case.ask(ONE_CALL, tools=[WEATHER])
    content = [{"type": "json", "value": {"sky": "clear"}}]
    reply = await case.ask("text", messages=after(first, content), tools=[WEATHER])
    check_pairs(reply)
    assert reply.received.results()[0].text == '{"sky":"clear"}'


# ---- choices


@scenario("tools")
async def choice_none(case: Case) -> None:
    reply = await case.ask("tool", tools=[WEATHER], tool_choice={"type": "none"})
    assert reply.received.ask.tool_choice == "none" or not reply.received.ask.tools
    assert reply.calls == []


@scenario("tools")
async def choice_auto(case: Case) -> None:
    reply = await case.ask("tool", tools=[WEATHER], tool_choice={"type": "auto"})
    assert reply.received.ask.tool_choice == "auto"
    assert surprises(case, reply) == []


@scenario("tools", "forced_tool_choice")
async def choice_required_of_one(case: Case) -> None:
    reply = await case.ask("tool", tools=[WEATHER], tool_choice={"type": "required"})
    assert reply.received.ask.tool_choice == "required"


@scenario("tools", "tool_choices:required")
async def choice_required(case: Case) -> None:
    reply = await case.ask("tool", tools=[WEATHER, TIME], tool_choice={"type": "required"})
    assert (reply.received.ask.tool_choice, reply.received.ask.forced_tool) == ("required", None)


@scenario("tools", "tool_choices:tool")
async def choice_of_a_tool(case: Case) -> None:
    reply = await case.ask("tool", tools=[WEATHER, TIME], tool_choice={"type": "tool", "name": "time"})
    assert reply.received.ask.forced_tool == "time"
    assert [call.name for call in reply.calls] == ["time"]


@scenario("tools")
async def one_call_at_a_time(case: Case) -> None:
    """A switch, or a warning that there is none."""
    reply = await case.ask("parallel-tools-2", tools=[WEATHER, TIME], tool_choice={"type": "auto", "parallel": False})
    warned = ("parameter_ignored", "tool_choice.parallel") in reply.warned()
    assert reply.received.ask.parallel == warned
    assert len(reply.calls) == (2 if warned else 1)
