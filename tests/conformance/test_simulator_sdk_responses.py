"""The official SDK against the simulator's Responses wire: what it reads is what the script says, what it raises is the fault."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from modeld.simulator import RefusalStep, Script, Simulator, SimUsage, TextStep, ThinkingStep, ToolCallStep
from modeld.simulator.script import RedactedThinkingStep

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "name": name, "parameters": SCHEMA, "strict": strict}
    for name, strict in (("weather", True), ("forecast", False))
]
USAGE = SimUsage(input=11, output=7, cached=5, cache_write=3, reasoning=2)
CALL = ToolCallStep("weather", {"city": "Zürich", "days": 3, "nested": {"a": [1, None]}})


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def gpt(sim: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=sim.openai_base_url, api_key="sim-key", max_retries=0, timeout=20) as client:
        yield client


async def ask(client: openai.AsyncOpenAI, *, stream: bool, **more: Any) -> dict[str, Any]:
    """The answer, from one body or from a stream whose deltas have to be its items."""
    more = {"model": "sim-text", "input": "What is the weather?", **more}
    if not stream:
        return read(await client.responses.create(**more))
    deltas: dict[str, str] = {}
    numbers: list[int] = []
    last: Any = None
    async for event in await client.responses.create(**more, stream=True):
        numbers.append(event.sequence_number)
        if event.type.endswith(".delta"):
            deltas[event.type] = deltas.get(event.type, "") + event.delta
        if event.type in ("response.completed", "response.incomplete"):
            last = event.response
    assert numbers == list(range(len(numbers)))
    whole = read(last)
    assert deltas.get("response.output_text.delta", "") == whole["text"]
    assert deltas.get("response.refusal.delta", "") == whole["refusal"]
    assert deltas.get("response.reasoning_summary_text.delta", "") == whole["thinking"]
    assert deltas.get("response.function_call_arguments.delta", "") == "".join(arguments for _, arguments in whole["tools"])
    return whole


def read(response: Any) -> dict[str, Any]:
    items, usage = response.output, response.usage
    parts = [part for item in items if item.type == "message" for part in item.content]
    reasoning = [item for item in items if item.type == "reasoning"]
    if usage is not None:
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    return {
        "thinking": "".join(part.text for item in reasoning for part in item.summary),
        "sealed": all(item.encrypted_content for item in reasoning),
        "text": response.output_text,
        "refusal": "".join(part.refusal for part in parts if part.type == "refusal"),
        "tools": [(item.name, item.arguments) for item in items if item.type == "function_call"],
        "stop": response.incomplete_details.reason if response.status == "incomplete" else response.status,
        "usage": usage
        and (
            usage.input_tokens - usage.input_tokens_details.cached_tokens - usage.input_tokens_details.cache_write_tokens,
            usage.output_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.input_tokens_details.cache_write_tokens,
            usage.output_tokens_details.reasoning_tokens,
        ),
    }


SCRIPTS: dict[str, tuple[Script, str]] = {
    "text": (Script(["Hello there."], usage=USAGE), "completed"),
    "text in odd pieces": (Script([TextStep(["", "a", "\u2028", "😀", '"\\', "\n\n"])], usage=USAGE), "completed"),
    "repeated": (Script(["Again. "], repeat=3, usage=USAGE), "completed"),
    "thinking": (Script([ThinkingStep("Let me think."), TextStep("Done.")], usage=USAGE), "completed"),
    "hidden thinking": (Script([RedactedThinkingStep(), TextStep("Done.")], usage=USAGE), "completed"),
    "tool": (Script([TextStep("Look:"), CALL], usage=USAGE), "completed"),
    "tool without arguments": (Script([ToolCallStep("weather")], usage=USAGE), "completed"),
    "tools": (Script([CALL, ToolCallStep("forecast", {"days": 1})], usage=USAGE), "completed"),
    "refusal": (Script([RefusalStep("No.")], usage=USAGE), "completed"),
    "content filter": (Script(["Cut"], stop="content_filter", usage=USAGE), "content_filter"),
    "max tokens": (Script(["Cut"], stop="max_tokens", usage=USAGE), "max_output_tokens"),
    "pause": (Script(["Wait"], stop="pause", usage=USAGE), "max_messages"),
    "empty": (Script(usage=USAGE), "completed"),
    "batched": (Script(["A few words in one write."], batch=100, usage=USAGE), "completed"),
}


def said(script: Script, kind: type[TextStep] | type[ThinkingStep]) -> str:
    return "".join("".join(step.chunks()) for step in script.plain_steps() if isinstance(step, kind))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_sdk_reads_the_script(name: str, stream: bool, sim: Simulator, gpt: openai.AsyncOpenAI) -> None:
    script, stop = SCRIPTS[name]
    sim.push(script)
    steps = list(script.plain_steps())
    assert await ask(gpt, stream=stream) == {
        "thinking": said(script, ThinkingStep),
        "sealed": True,
        "text": said(script, TextStep),
        "refusal": "".join(step.text for step in steps if isinstance(step, RefusalStep)),
        "tools": [(step.name, step.arguments()) for step in steps if isinstance(step, ToolCallStep)],
        "stop": stop,
        "usage": (11, 7, 5, 3, 2),
    }


async def test_counts(gpt: openai.AsyncOpenAI) -> None:
    counted = await gpt.responses.input_tokens.count(model="sim-text", input="What is the weather?", instructions="Be brief.")
    reply = await ask(gpt, stream=False, instructions="Be brief.")
    assert counted.input_tokens == reply["usage"][0] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_goes_round_with_its_reasoning(stream: bool, gpt: openai.AsyncOpenAI) -> None:
    items: list[Any] = [{"role": "user", "content": "What is the weather?"}]
    rounds = 0
    while True:
        request: Any = {"model": "sim-agent-3", "input": items, "tools": TOOLS, "store": False}
        if stream:
            async with gpt.responses.stream(**request) as events:
                reply = await events.get_final_response()
        else:
            reply = await gpt.responses.create(**request)
        calls = [item for item in reply.output if item.type == "function_call"]
        if not calls:
            break
        rounds += 1
        jsonschema.validate(json.loads(calls[0].arguments), SCHEMA)
        items += [item.to_dict() for item in reply.output]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    assert (rounds, bool(reply.output_text)) == (3, True)


async def test_reasoning_comes_back_as_it_was(gpt: openai.AsyncOpenAI) -> None:
    reply = await gpt.responses.create(model="sim-thinking-tool", input="Hi", tools=TOOLS)
    calls = [item for item in reply.output if item.type == "function_call"]
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    history: Any = [{"role": "user", "content": "Hi"}, *(item.to_dict() for item in reply.output), *outputs]
    done = await ask(gpt, stream=True, model="sim-thinking-tool", input=history, tools=TOOLS)
    assert (done["stop"], done["tools"], bool(done["text"])) == ("completed", [], True)
    reasoning = history[1]
    assert reasoning["type"] == "reasoning"
    reasoning["summary"][0]["text"] += "!"
    with pytest.raises(openai.BadRequestError, match="could not be verified"):
        await ask(gpt, stream=True, model="sim-thinking-tool", input=history, tools=TOOLS)


@pytest.mark.parametrize("stream", [False, True])
async def test_structured_answers_obey_the_schema(stream: bool, gpt: openai.AsyncOpenAI) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "w", "schema": SCHEMA, "strict": True}}
    read = await ask(gpt, stream=stream, model="sim-structured", text=form)
    jsonschema.validate(json.loads(read["text"]), SCHEMA)


STATUS_ERRORS = {
    "rate_limit": "RateLimitError",
    "overloaded": "InternalServerError",
    "server_error": "InternalServerError",
    "auth": "AuthenticationError",
    "not_found": "BadRequestError",
    "context_overflow": "BadRequestError",
    "html_502": "InternalServerError",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", STATUS_ERRORS)
async def test_the_sdk_raises_what_the_fault_means(fault: str, stream: bool, gpt: openai.AsyncOpenAI) -> None:
    with pytest.raises(getattr(openai, STATUS_ERRORS[fault])):
        await ask(gpt, stream=stream, model=f"sim-fault-{fault}")


async def test_an_error_within_a_stream_is_an_event(gpt: openai.AsyncOpenAI) -> None:
    events = [
        event async for event in await gpt.responses.create(model="sim-fault-error_event_mid_stream", input="Hi", stream=True)
    ]
    assert events[-1].type == "error"
    assert events[-1].message


@pytest.mark.parametrize("fault", ["crlf", "comments", "split_every_byte", "slow_drip-0.01"])
async def test_oddities_that_change_nothing(fault: str, sim: Simulator, gpt: openai.AsyncOpenAI) -> None:
    script = Script([TextStep("Some words."), CALL], usage=USAGE)
    sim.push(script)
    clean = await ask(gpt, stream=True)
    sim.push(Script(script.steps, usage=USAGE, fault=fault))
    assert await ask(gpt, stream=True) == clean


# ---- what the real API refuses

USER = {"role": "user", "content": "Hi"}
FUNCTION_CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "x"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "abc"}
ID_ONLY = {"type": "reasoning", "id": "rs_1", "summary": []}
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "Missing required parameter: 'model'"),
    ({"input": None}, "Missing required parameter: 'input'"),
    ({"input": 5}, "Invalid type for 'input'"),
    ({"messages": []}, "Unknown parameter: 'messages'"),
    ({"stop": ["a"]}, "Unknown parameter: 'stop'"),
    ({"input": [{"role": "tool", "content": "x"}]}, "Invalid value: 'tool'"),
    ({"input": [{"role": "user", "content": None}]}, "expected a string or an array"),
    ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "Supported values are: 'input_text'"),
    ({"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]}, "Supported values are: 'output_text'"),
    ({"input": [USER, {**FUNCTION_CALL, "arguments": {}}, OUTPUT]}, "expected a string"),
    ({"input": [USER, FUNCTION_CALL]}, "No tool output found for function call c1"),
    ({"input": [USER, OUTPUT]}, "No tool call found for function call output with call_id c1"),
    ({"input": [USER, REASONING]}, "without its required following item"),
    ({"input": [USER, REASONING, USER]}, "without its required following item"),
    ({"input": [USER, ID_ONLY, FUNCTION_CALL, OUTPUT], "store": False}, "Item with id 'rs_1' not found"),
    ({"previous_response_id": "chatcmpl-1"}, "Previous response with id 'chatcmpl-1' not found"),
    ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "Mutually exclusive"),
    ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "Missing required parameter: 'tools[0].name'"),
    ({"tools": [{"type": "function", "name": "a b", "parameters": {}}]}, "does not match pattern"),
    ({"tools": [{"type": "function", "name": "a", "parameters": {"type": "object"}, "strict": True}]}, "additionalProperties"),
    ({"tool_choice": "required"}, "must be specified with 'tools'"),
    ({"max_output_tokens": 15}, "Expected a value >= 16"),
    ({"temperature": 3}, "between 0 and 2"),
    ({"text": {"format": {"type": "json_object"}}, "instructions": "json"}, "must contain the word 'json'"),
    ({"model": "sim-reasoning", "temperature": 0.5}, "'temperature' is not supported with this model"),
]


@pytest.mark.parametrize(("change", "says"), REFUSALS, ids=[says for _, says in REFUSALS])
async def test_what_is_refused(change: dict[str, Any], says: str, sim: Simulator) -> None:
    body = {name: value for name, value in {"model": "sim-text", "input": [USER], **change}.items() if value is not None}
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{sim.openai_base_url}/responses", json=body, headers={"authorization": "Bearer k"})
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert says in error["message"]


async def test_an_earlier_response_holds_the_call(sim: Simulator, gpt: openai.AsyncOpenAI) -> None:
    read = await ask(gpt, stream=False, input=[OUTPUT], previous_response_id="resp_1")
    assert read["stop"] == "completed"
