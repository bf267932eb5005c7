"""Ollama's SDK against the simulator: what it reads is what the script says, what it raises is what the fault means."""

from collections.abc import AsyncIterator
from typing import Any

import ollama
import pytest

from modeld.simulator import RefusalStep, Scenario, Script, Simulator, SimUsage, TextStep, ThinkingStep, ToolCallStep

pytestmark = pytest.mark.anyio

USER = {"role": "user", "content": "What is the weather?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "description": "Now.", "parameters": SCHEMA}}]
USAGE = SimUsage(input=11, output=7, cached=5)
CALL = ToolCallStep("weather", {"city": "Zürich", "days": 3, "nested": {"a": [1, None]}})
SCRIPTS: dict[str, tuple[Script, str]] = {
    "text": (Script(["Hello there."], usage=USAGE), "stop"),
    "text in odd pieces": (Script([TextStep(["", "a", "\u2028", "😀", '"\\', "\n\n"])], usage=USAGE), "stop"),
    "thinking": (Script([ThinkingStep("Let me think."), TextStep("Done.")], usage=USAGE), "stop"),
    "tool": (Script([TextStep("Look:"), CALL], usage=USAGE), "stop"),
    "tools": (Script([CALL, ToolCallStep("forecast")], usage=USAGE), "stop"),
    "refusal": (Script([RefusalStep("No.")], usage=USAGE), "stop"),
    "max tokens": (Script(["Cut"], stop="max_tokens", usage=USAGE), "length"),
    "empty": (Script(usage=USAGE), "stop"),
    "batched": (Script(["A few words in one write."], batch=100, usage=USAGE), "stop"),
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(Scenario(refuse={"sim-text+plain": ["tools", "think"]})) as simulator:
        yield simulator


@pytest.fixture
def client(sim: Simulator) -> ollama.AsyncClient:
    return ollama.AsyncClient(host=sim.base_url, timeout=20)


async def ask(client: ollama.AsyncClient, *, stream: bool, **more: Any) -> dict[str, Any]:
    given: Any = await client.chat(**{"model": "sim-text", "messages": [USER], **more}, stream=stream)
    read: dict[str, Any] = {"thinking": "", "text": "", "tools": []}

    def take(part: Any) -> None:
        read["text"] += part.message.content or ""
        read["thinking"] += part.message.thinking or ""
        read["tools"] += [(call.function.name, dict(call.function.arguments)) for call in part.message.tool_calls or []]
        read.update(reason=part.done_reason, usage=(part.prompt_eval_count, part.eval_count))

    if stream:
        async for part in given:
            take(part)
    else:
        take(given)
    return read


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_sdk_reads_the_script(name: str, stream: bool, sim: Simulator, client: ollama.AsyncClient) -> None:
    script, reason = SCRIPTS[name]
    sim.push(script)
    steps = list(script.plain_steps())
    texts = [
        "".join(step.chunks()) if isinstance(step, TextStep) else step.text
        for step in steps
        if isinstance(step, TextStep | RefusalStep)
    ]
    assert await ask(client, stream=stream) == {
        "thinking": "".join("".join(step.chunks()) for step in steps if isinstance(step, ThinkingStep)),
        "text": "".join(texts),
        "tools": [(step.name, step.input) for step in steps if isinstance(step, ToolCallStep)],
        "reason": reason,
        "usage": (16, 7),
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_loop(stream: bool, client: ollama.AsyncClient) -> None:
    first: Any = await client.chat("sim-tool", [USER], tools=TOOLS)
    call = first.message.tool_calls[0]
    assert (call.function.name, list(call.function.arguments)) == ("weather", ["city"])
    history = [USER, first.message, {"role": "tool", "content": "sunny", "tool_name": "weather"}]
    after = await ask(client, stream=stream, model="sim-tool", messages=history, tools=TOOLS)
    assert after["text"]
    assert after["tools"] == []


@pytest.mark.parametrize("stream", [False, True])
async def test_structured_answers(stream: bool, client: ollama.AsyncClient) -> None:
    import json

    read = await ask(client, stream=stream, model="sim-structured", format=SCHEMA)
    assert isinstance(json.loads(read["text"])["city"], str)


async def test_parameters_are_seen(sim: Simulator, client: ollama.AsyncClient) -> None:
    png = b"\x89PNG\r\n\x1a\n"
    await client.chat(
        "sim-text", [{**USER, "images": [png]}], think="low", options={"num_predict": 5}, keep_alive="5m", format="json"
    )
    assert sim.requests[-1].wire == "ollama"


async def test_models(client: ollama.AsyncClient) -> None:
    listed: Any = await client.list()
    assert "sim-text" in [model.model for model in listed.models]
    shown: Any = await client.show("sim-text")
    assert "tools" in shown.capabilities
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found"):
        await client.show("nope")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "sim-text+plain", "tools": TOOLS}, "does not support tools"),
        ({"model": "sim-text+plain", "think": True}, "does not support thinking"),
    ],
)
async def test_what_a_model_lacks(fields: dict[str, Any], words: str, client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match=words) as caught:
        await ask(client, stream=False, **fields)
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"model": "m", "messages": [{"role": "robot", "content": "x"}]},
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"model": "m", "messages": [{"role": "user", "content": "x", "images": ["data:image/png;base64,aGk="]}]},
        {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
        {"model": "m", "messages": [], "think": "minimal"},
        {"model": "m", "messages": [], "format": "yaml"},
        {"model": "m", "messages": [], "options": []},
        {"model": "m", "messages": [], "tools": [{"name": "f"}]},
        [],
    ],
)
async def test_what_the_server_would_refuse(body: Any, sim: Simulator) -> None:
    import httpx

    async with httpx.AsyncClient(base_url=sim.base_url) as http:
        answer = await http.post("/api/chat", json=body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        *(("rate_limit-0-0", 429), ("overloaded", 503), ("server_error-0-500", 500), ("auth", 401), ("not_found", 404)),
        *(("quota", 402), ("context_overflow", 400), ("bad_request", 400), ("forbidden", 403)),
    ],
)
async def test_faults(fault: str, status: int, stream: bool, client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        await ask(client, stream=stream, model=f"sim-fault-{fault}")
    assert caught.value.status_code == status
    assert caught.value.error


@pytest.mark.parametrize("fault", ["error_event_first", "error_event_mid_stream"])
async def test_errors_in_a_stream(fault: str, client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError):
        await ask(client, stream=True, model=f"sim-fault-{fault}")
