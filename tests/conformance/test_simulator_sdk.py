"""The official SDKs against the simulator: what they read is what the script says, what they raise is what the fault means."""

import time
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import httpx2
import jsonschema
import openai
import pytest

from modeld.simulator import (
    RefusalStep,
    Script,
    Simulator,
    SimUsage,
    TextStep,
    ThinkingStep,
    ToolCallStep,
)

pytestmark = pytest.mark.anyio

USER = {"role": "user", "content": "What is the weather?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"]}
OPENAI_TOOLS: Any = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("weather", "forecast")]
ANTHROPIC_TOOLS: Any = [{"name": name, "input_schema": SCHEMA} for name in ("weather", "forecast")]
USAGE = SimUsage(input=11, output=7, cached=5, cache_write=3, reasoning=2)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def gpt(sim: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=sim.openai_base_url, api_key="sim-key", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
async def claude(sim: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=sim.base_url, api_key="sim-key", max_retries=0, timeout=20) as client:
        yield client


# ---- one reading of all four ways to ask


def merged(parts: list[str]) -> str:
    return "".join(parts)


async def ask_gpt(client: openai.AsyncOpenAI, *, stream: bool, **more: Any) -> dict[str, Any]:
    more = {"model": "sim-text", "messages": [USER], **more}
    if stream:
        return await stream_gpt(client, more)
    reply = await client.chat.completions.create(**more)
    message, usage = reply.choices[0].message, reply.usage
    return {
        "thinking": getattr(message, "reasoning_content", None) or "",
        "text": message.content or "",
        "tools": [(call.function.name, call.function.arguments) for call in message.tool_calls or []],
        "refusal": message.refusal,
        "stop": reply.choices[0].finish_reason,
        "usage": usage and gpt_usage(usage),
    }


async def stream_gpt(client: openai.AsyncOpenAI, more: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {"thinking": "", "text": "", "tools": [], "refusal": None, "stop": None, "usage": None}
    calls: dict[int, list[str]] = {}
    chunks = await client.chat.completions.create(**more, stream=True, stream_options={"include_usage": True})
    async for chunk in chunks:
        if chunk.usage:
            read["usage"] = gpt_usage(chunk.usage)
        for choice in chunk.choices:
            delta = choice.delta
            read["text"] += delta.content or ""
            read["thinking"] += getattr(delta, "reasoning_content", None) or ""
            if delta.refusal:
                read["refusal"] = (read["refusal"] or "") + delta.refusal
            for call in delta.tool_calls or []:
                entry = calls.setdefault(call.index, ["", ""])
                entry[0] += call.function.name or ""
                entry[1] += call.function.arguments or ""
            read["stop"] = choice.finish_reason or read["stop"]
    read["tools"] = [tuple(calls[index]) for index in sorted(calls)]
    return read


def gpt_usage(usage: Any) -> tuple[int, ...]:
    details, out = usage.prompt_tokens_details, usage.completion_tokens_details
    rest = usage.prompt_tokens - details.cached_tokens - details.cache_write_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return rest, usage.completion_tokens, details.cached_tokens, details.cache_write_tokens, out.reasoning_tokens


async def ask_claude(client: anthropic.AsyncAnthropic, *, stream: bool, **more: Any) -> dict[str, Any]:
    more = {"model": "sim-text", "max_tokens": 2048, "messages": [USER], **more}
    if stream:
        async with client.messages.stream(**more) as events:
            message: Any = await events.get_final_message()
    else:
        message = await client.messages.create(**more)
    blocks = message.content
    usage, details = message.usage, message.usage and message.usage.output_tokens_details
    return {
        "thinking": merged([block.thinking for block in blocks if block.type == "thinking"]),
        "signed": all(block.signature for block in blocks if block.type == "thinking"),
        "text": merged([block.text for block in blocks if block.type == "text"]),
        "tools": [(block.name, block.input) for block in blocks if block.type == "tool_use"],
        "refusal": message.stop_details and message.stop_details.explanation,
        "stop": message.stop_reason,
        "stop_sequence": message.stop_sequence,
        "usage": usage
        and (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_creation_input_tokens,
            details.thinking_tokens if details else 0,
        ),
    }


CALL = ToolCallStep("weather", {"city": "Zürich", "days": 3, "nested": {"a": [1, None]}})
SCRIPTS: dict[str, tuple[Script, str, str]] = {
    "text": (Script(["Hello there."], usage=USAGE), "stop", "end_turn"),
    "text in odd pieces": (Script([TextStep(["", "a", "\u2028", "😀", '"\\', "\n\n"])], usage=USAGE), "stop", "end_turn"),
    "repeated": (Script(["Again. "], repeat=3, usage=USAGE), "stop", "end_turn"),
    "thinking": (Script([ThinkingStep("Let me think."), TextStep("Done.")], usage=USAGE), "stop", "end_turn"),
    "tool": (Script([TextStep("Look:"), CALL], usage=USAGE), "tool_calls", "tool_use"),
    "tool without arguments": (Script([ToolCallStep("weather")], usage=USAGE), "tool_calls", "tool_use"),
    "tools": (Script([CALL, ToolCallStep("forecast", {"days": 1})], usage=USAGE), "tool_calls", "tool_use"),
    "refusal": (Script([RefusalStep("No.", "cyber")], usage=USAGE), "stop", "refusal"),
    "content filter": (Script(["Cut"], stop="content_filter", usage=USAGE), "content_filter", "refusal"),
    "max tokens": (Script(["Cut"], stop="max_tokens", usage=USAGE), "length", "max_tokens"),
    "stop sequence": (Script(["Cut"], stop="stop_sequence", stop_sequence="END", usage=USAGE), "stop", "stop_sequence"),
    "pause": (Script(["Wait"], stop="pause", usage=USAGE), "stop", "pause_turn"),
    "empty": (Script(usage=USAGE), "stop", "end_turn"),
    "batched": (Script(["A few words in one write."], batch=100, usage=USAGE), "stop", "end_turn"),
}


def text_of(script: Script) -> str:
    return merged([merged(step.chunks()) for step in script.plain_steps() if isinstance(step, TextStep)])


def thinking_of(script: Script) -> str:
    return merged([merged(step.chunks()) for step in script.plain_steps() if isinstance(step, ThinkingStep)])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_openai_reads_the_script(name: str, stream: bool, sim: Simulator, gpt: openai.AsyncOpenAI) -> None:
    script, finish, _ = SCRIPTS[name]
    sim.push(script)
    read = await ask_gpt(gpt, stream=stream)
    steps = list(script.plain_steps())
    assert read == {
        "thinking": thinking_of(script),
        "text": text_of(script),
        "tools": [(step.name, step.arguments()) for step in steps if isinstance(step, ToolCallStep)],
        "refusal": next((step.text for step in steps if isinstance(step, RefusalStep)), None),
        "stop": finish,
        "usage": (11, 7, 5, 3, 2),
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_anthropic_reads_the_script(name: str, stream: bool, sim: Simulator, claude: anthropic.AsyncAnthropic) -> None:
    script, _, stop = SCRIPTS[name]
    sim.push(script)
    read = await ask_claude(claude, stream=stream)
    steps = list(script.plain_steps())
    refusals = [step.text for step in steps if isinstance(step, RefusalStep)]
    assert read == {
        "thinking": thinking_of(script),
        "signed": True,
        "text": text_of(script),
        "tools": [(step.name, step.input) for step in steps if isinstance(step, ToolCallStep)],
        "refusal": refusals[0] if refusals else "I can't help with that." if stop == "refusal" else None,
        "stop": stop,
        "stop_sequence": script.stop_sequence,
        "usage": (11, 7, 5, 3, 2),
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_usage_is_counted_where_the_script_gives_none(
    stream: bool, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    for read in (
        await ask_gpt(gpt, stream=stream, model="sim-long-40"),
        await ask_claude(claude, stream=stream, model="sim-long-40"),
    ):
        assert read["usage"][1:] == (40, 0, 0, 0)
        assert read["usage"][0] >= 5


async def test_models_and_counts(sim: Simulator, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
    listed = [model.id async for model in gpt.models.list()]
    assert [model.id async for model in claude.models.list(limit=7)] == listed
    assert {"sim-echo", "sim-fault-rate_limit"} < set(listed)
    assert (await gpt.models.retrieve("sim-echo")).id == (await claude.models.retrieve("sim-echo")).id == "sim-echo"
    counted = await claude.messages.count_tokens(model="sim-text", messages=[USER], system="Be brief.")
    reply = await ask_claude(claude, stream=False, system="Be brief.")
    assert counted.input_tokens == reply["usage"][0] > 0
    assert sim.requests[0].header("authorization") == "Bearer sim-key"


# ---- agents


@pytest.mark.parametrize("stream", [False, True])
async def test_an_openai_agent_goes_round(stream: bool, gpt: openai.AsyncOpenAI) -> None:
    messages: list[Any] = [USER]
    rounds = 0
    while (read := await ask_gpt(gpt, stream=stream, model="sim-agent-3", messages=messages, tools=OPENAI_TOOLS))["tools"]:
        rounds += 1
        (name, arguments), identity = read["tools"][0], f"call_{rounds}"
        call = {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
        messages += [{"role": "assistant", "content": read["text"], "tool_calls": [call]}]
        messages += [{"role": "tool", "tool_call_id": identity, "content": "sunny"}]
    assert (rounds, read["stop"]) == (3, "stop")


async def test_an_anthropic_agent_goes_round_with_its_thinking(claude: anthropic.AsyncAnthropic) -> None:
    message = await claude.messages.create(model="sim-thinking-tool", max_tokens=99, messages=[USER], tools=ANTHROPIC_TOOLS)
    call: Any = message.content[-1]
    jsonschema.validate(call.input, SCHEMA)
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}
    history: Any = [USER, {"role": "assistant", "content": [block.to_dict() for block in message.content]}, result]
    done = await ask_claude(claude, stream=True, model="sim-thinking-tool", messages=history, tools=ANTHROPIC_TOOLS)
    assert (done["stop"], done["tools"]) == ("end_turn", [])
    history[1]["content"][0]["thinking"] += "!"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
        await ask_claude(claude, stream=True, model="sim-thinking-tool", messages=history, tools=ANTHROPIC_TOOLS)


@pytest.mark.parametrize("stream", [False, True])
async def test_several_calls_have_ids_of_their_own(stream: bool, gpt: openai.AsyncOpenAI, sim: Simulator) -> None:
    identities: list[str] = []
    for _ in range(2):
        reply = await gpt.chat.completions.create(model="sim-parallel-tools-3", messages=[USER], tools=OPENAI_TOOLS)
        identities += [call.id for call in reply.choices[0].message.tool_calls or []]
    assert len(set(identities)) == 6


@pytest.mark.parametrize("stream", [False, True])
async def test_structured_answers_obey_the_schema(
    stream: bool, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    import json

    gpt_format: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA, "strict": True}}
    claude_format: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    for read in (
        await ask_gpt(gpt, stream=stream, model="sim-structured", response_format=gpt_format),
        await ask_claude(claude, stream=stream, model="sim-structured", output_config=claude_format),
    ):
        jsonschema.validate(json.loads(read["text"]), SCHEMA)


# ---- errors

STATUS_ERRORS = {
    "rate_limit": "RateLimitError",
    "overloaded": "InternalServerError",
    "server_error": "InternalServerError",
    "bad_request": "BadRequestError",
    "auth": "AuthenticationError",
    "forbidden": "PermissionDeniedError",
    "not_found": "NotFoundError",
    "unprocessable": "UnprocessableEntityError",
    "context_overflow": "BadRequestError",
    "html_502": "InternalServerError",
    "retry_after_hostile": "RateLimitError",
    "echo_key": "AuthenticationError",
    "reset_before_headers": "APIConnectionError",
    "close_before_headers": "APIConnectionError",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", STATUS_ERRORS)
async def test_the_sdks_raise_what_the_fault_means(
    fault: str, stream: bool, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    with pytest.raises(getattr(openai, STATUS_ERRORS[fault])):
        await ask_gpt(gpt, stream=stream, model=f"sim-fault-{fault}")
    with pytest.raises(getattr(anthropic, {"overloaded": "OverloadedError"}.get(fault, STATUS_ERRORS[fault]))):
        await ask_claude(claude, stream=stream, model=f"sim-fault-{fault}")


@pytest.mark.parametrize(
    ("fault", "by_openai", "by_anthropic"),
    [
        ("error_event_first", openai.APIError, anthropic.APIStatusError),
        ("error_event_mid_stream", openai.APIError, anthropic.APIStatusError),
        ("reset_mid_stream", openai.APIConnectionError, httpx2.TransportError),
        ("close_mid_stream", openai.APIConnectionError, httpx2.TransportError),
        ("invalid_utf8", UnicodeDecodeError, UnicodeDecodeError),
        ("garbage_200", UnicodeDecodeError, UnicodeDecodeError),
        ("deep_json", RecursionError, RecursionError),
    ],
)
async def test_streams_that_break_raise(
    fault: str,
    by_openai: type[Exception],
    by_anthropic: type[Exception],
    gpt: openai.AsyncOpenAI,
    claude: anthropic.AsyncAnthropic,
) -> None:
    with pytest.raises(by_openai):
        await ask_gpt(gpt, stream=True, model=f"sim-fault-{fault}")
    with pytest.raises(by_anthropic):
        await ask_claude(claude, stream=True, model=f"sim-fault-{fault}")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault", ["crlf", "comments", "split_every_byte", "unknown_events", "duplicate_finish", "slow_drip-0.01"]
)
async def test_oddities_that_change_nothing(
    fault: str, stream: bool, sim: Simulator, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    script = Script([TextStep("Some words."), CALL], usage=USAGE)
    for ask, client in ((ask_gpt, gpt), (ask_claude, claude)):
        sim.push(script)
        clean = await ask(client, stream=stream)  # type: ignore[operator]
        sim.push(Script([TextStep("Some words."), CALL], usage=USAGE, fault=fault))
        assert await ask(client, stream=stream) == clean  # type: ignore[operator]


async def test_a_fault_passes_and_the_sdk_s_own_retry_succeeds(sim: Simulator) -> None:
    async with openai.AsyncOpenAI(base_url=sim.openai_base_url, api_key="k", max_retries=2) as client:
        reply = await ask_gpt(client, stream=False, model="sim-fault-rate_limit-2-0.01")
    assert reply["stop"] == "stop"
    assert [request.status for request in sim.requests] == [429, 429, 200]


async def test_truncated_and_invalid_tool_calls(gpt: openai.AsyncOpenAI) -> None:
    import json

    for fault, stop in (("invalid_tool_arguments", "tool_calls"), ("truncated_tool_call", "length")):
        for stream in (False, True):
            read = await ask_gpt(gpt, stream=stream, model=f"sim-fault-{fault}", tools=OPENAI_TOOLS)
            assert read["stop"] == stop
            with pytest.raises(json.JSONDecodeError):
                json.loads(read["tools"][0][1])


async def test_leaving_a_stream_reaches_the_provider_at_once(
    sim: Simulator, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    stream = await gpt.chat.completions.create(model="sim-slow-50", messages=[USER], stream=True)
    await anext(aiter(stream))
    left_at = time.monotonic()
    await stream.close()
    await sim.wait_until(lambda: len(sim.closed_early) == 1)
    assert sim.closed_early[0].at_s - left_at < 0.2


# ---- what the real APIs refuse

TOOL_USE = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
TOOL_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
ANTHROPIC_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model: Field required"),
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"messages": []}, "at least one message is required"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "text content blocks must be non-empty"),
    ({"messages": [USER, {"role": "assistant", "content": [TOOL_USE]}, USER]}, "`tool_use` ids were found without `tool_result`"),
    ({"messages": [USER, {"role": "assistant", "content": [TOOL_USE]}]}, "`tool_use` ids were found without `tool_result`"),
    ({"messages": [{"role": "user", "content": [TOOL_RESULT]}]}, "unexpected `tool_use_id` found in `tool_result` blocks: t1"),
    ({"messages": [USER, {"role": "assistant", "content": [{**TOOL_USE, "id": "a.b"}]}]}, "String should match pattern"),
    ({"messages": [USER, {"role": "assistant", "content": [{**TOOL_USE, "input": "{}"}]}]}, "Input should be a valid dictionary"),
    (
        {"messages": [USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}]},
        "signature: Field required",
    ),
    ({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required"),
    ({"tools": [*ANTHROPIC_TOOLS, ANTHROPIC_TOOLS[0]]}, "Tool names must be unique"),
    ({"tool_choice": {"type": "any"}}, "while providing tools"),
    ({"max_completion_tokens": 5}, "max_completion_tokens: Extra inputs are not permitted"),
    ({"temperature": 1.5}, "temperature: range: 0..1"),
    ({"thinking": {"type": "enabled", "budget_tokens": 512}}, "greater than or equal to 1024"),
    ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "`max_tokens` must be greater than"),
    ({"model": "sim-reasoning", "temperature": 0.5}, "`temperature` is not supported"),
    ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5}, "maximum of 4 blocks"),
]
OPENAI_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
OPENAI_RESULT = {"role": "tool", "tool_call_id": "c1", "content": "x"}
OPENAI_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "you must provide a model parameter"),
    ({"messages": None}, "Missing required parameter: 'messages'"),
    ({"messages": []}, "empty array"),
    ({"messages": [{"role": "model", "content": "x"}]}, "Supported values are"),
    ({"messages": [{"role": "user", "content": None}]}, "expected a string, got null"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": [OPENAI_CALL]}, USER]}, "must be followed by tool messages"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": [OPENAI_CALL]}]}, "must be followed by tool messages"),
    ({"messages": [USER, OPENAI_RESULT]}, "must be a response to a preceding message"),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{**OPENAI_CALL, "function": {"name": "x", "arguments": {}}}]}]},
        "expected a string",
    ),
    ({"tools": []}, "Invalid 'tools': empty array"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "string does not match pattern"),
    ({"tool_choice": "required"}, "only allowed when 'tools' are specified"),
    ({"parallel_tool_calls": True}, "only allowed when 'tools' are specified"),
    ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "at the same time"),
    ({"temperature": 3}, "between 0 and 2"),
    ({"stop": ["a"] * 5}, "array too long"),
    ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
    ({"model": "sim-reasoning", "temperature": 0.5}, "'temperature' is not supported with this model"),
    ({"model": "sim-reasoning", "max_tokens": 5}, "Use 'max_completion_tokens' instead"),
]


def changed(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**body, **change}.items() if value is not None}


@pytest.mark.parametrize(("change", "says"), ANTHROPIC_REFUSALS, ids=[says for _, says in ANTHROPIC_REFUSALS])
async def test_what_anthropic_refuses(change: dict[str, Any], says: str, sim: Simulator) -> None:
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    body = changed({"model": "sim-text", "max_tokens": 2048, "messages": [USER]}, change)
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{sim.base_url}/v1/messages", json=body, headers=headers)
    error = response.json()
    assert (response.status_code, error["type"], error["error"]["type"]) == (400, "error", "invalid_request_error")
    assert says in error["error"]["message"]
    assert error["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize(("change", "says"), OPENAI_REFUSALS, ids=[says for _, says in OPENAI_REFUSALS])
async def test_what_openai_refuses(change: dict[str, Any], says: str, sim: Simulator) -> None:
    body = changed({"model": "sim-text", "messages": [USER]}, change)
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{sim.openai_base_url}/chat/completions", json=body, headers={"authorization": "Bearer k"})
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert says in error["message"]


@pytest.mark.parametrize(
    ("headers", "change", "status", "says"),
    [
        ({}, {}, 401, "x-api-key header is required"),
        ({"x-api-key": "k"}, {}, 400, "anthropic-version: header is required"),
        ({"x-api-key": "k", "anthropic-version": "2026-10-21"}, {"temperature": 1}, 400, "temperature: Extra inputs"),
        ({"x-api-key": "k", "anthropic-version": "2026-10-21"}, {"model": "sim-nothing"}, 404, "no script 'nothing'"),
    ],
)
async def test_headers_that_anthropic_wants(
    headers: dict[str, str], change: dict[str, Any], status: int, says: str, sim: Simulator
) -> None:
    body = {"model": "sim-text", "max_tokens": 5, "messages": [USER], **change}
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{sim.base_url}/v1/messages", json=body, headers=headers)
    assert response.status_code == status
    assert says in response.json()["error"]["message"]
