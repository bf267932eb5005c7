"""The eight relatives of the chat wire, each against a server that speaks and refuses as it does: one list of scenarios."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.harness.chat_wire import PROVIDERS

from modeld.builder import EmbeddedRuntime, RuntimeBuilder
from modeld.providers.catalog import models_of
from modeld.providers.failure import ProviderFailure
from modeld.simulator import Script, Simulator, TextStep, ThinkingStep, ToolCallStep
from modeld_protocol.content import TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.events import MessageComplete, MessageStart, TextDelta
from modeld_protocol.model import DiscoverParams, TokenCountParams
from modeld_protocol.response import CanonicalResponse

pytestmark = pytest.mark.anyio
THINKERS = {
    "deepseek": "deepseek-v4-pro",
    "qwen": "qwen3.7-plus",
    "glm": "glm-5.3",
    "kimi": "kimi-k3",
    "minimax": "MiniMax-M2.7",
    "openrouter": "anthropic/claude-opus-5.5",
    "groq": "openai/gpt-oss-120b",
    "cerebras": "gpt-oss-120b",
}
TOOLS = [
    {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "$schema": "x"}},
    {"name": "time", "input_schema": {"type": "object", "properties": {}}},
]
LOOP = Script(
    [
        ThinkingStep("The user wants the weather, so I call."),
        TextStep("Let me see."),
        ToolCallStep("weather", {"city": "Oslo"}),
        ToolCallStep("time", {}),
    ]
)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture(params=PROVIDERS)
async def provider(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def runtime(simulator: Simulator, provider: str) -> AsyncIterator[EmbeddedRuntime]:
    url = f"{simulator.base_url}/{provider}/v1"
    builder = RuntimeBuilder().with_provider(provider, api_key="key", base_url=url, max_retries=0)
    for name in dict.fromkeys((THINKERS[provider], models_of(provider)[0].name, "sim-text", "sim-fault-quota")):
        builder.with_model(f"{provider}:{name}")
    async with builder.build() as runtime:
        yield runtime


async def said(runtime: EmbeddedRuntime, *, stream: bool, **asked: Any) -> CanonicalResponse:
    if not stream:
        return await runtime.complete(**asked)
    async with runtime.stream(**asked) as running:
        events = [event async for event in running]
        response = await running.response()
    assert isinstance(events[0], MessageStart)
    assert isinstance(events[-1], MessageComplete)
    assert msgspec.to_builtins(events[-1].final_content) == msgspec.to_builtins(response.content)
    deltas = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert deltas == "".join(block.text for block in response.content if isinstance(block, TextBlock))
    return response


@pytest.mark.parametrize("stream", [False, True])
async def test_text_usage_and_cost(runtime: EmbeddedRuntime, provider: str, simulator: Simulator, stream: bool) -> None:
    reply = await said(runtime, stream=stream, model=f"{provider}:{models_of(provider)[0].name}", messages="Hello")
    assert reply.stop_reason == "end_turn"
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens > 0
    assert not reply.usage.estimated
    assert [warning.code for warning in reply.warnings if warning.code != "price_missing"] == []
    assert reply.cost is not None
    if provider == "openrouter":
        assert reply.cost.source == "mixed"
        assert reply.cost.total_cost == pytest.approx(reply.usage.total_tokens * 2e-6)
    else:
        assert reply.cost.source == "catalog"
    assert simulator.requests[-1].path == f"/{provider}/v1/chat/completions"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_loop_with_reasoning(runtime: EmbeddedRuntime, provider: str, simulator: Simulator, stream: bool) -> None:
    """The provider refuses a history that lacks what it wants; two rounds and a turn after them pass."""
    model = f"{provider}:{THINKERS[provider]}"
    messages: list[dict[str, Any]] = [{"role": "user", "content": "The weather in Oslo?"}]
    for _ in range(2):
        simulator.push(LOOP)
        reply = await said(runtime, stream=stream, model=model, messages=messages, tools=TOOLS)
        calls = [block for block in reply.content if isinstance(block, ToolUseBlock)]
        thoughts = "".join(block.text for block in reply.content if isinstance(block, ThinkingBlock))
        assert reply.stop_reason == "tool_use"
        assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Oslo"}), ("time", {})]
        assert thoughts.strip() == "The user wants the weather, so I call."
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sun"} for call in calls]
        messages += [{"role": "assistant", "content": msgspec.to_builtins(reply.content)}, {"role": "tool", "content": results}]
    last = await said(runtime, stream=stream, model=model, messages=messages, tools=TOOLS)
    assert last.stop_reason == "end_turn"
    assert simulator.requests[-1].body.count(b"so I call.") == 2


async def test_thinking_off_where_it_can_be(runtime: EmbeddedRuntime, provider: str) -> None:
    info = next(model for model in runtime.models() if model.wire_name == THINKERS[provider])
    asked: dict[str, Any] = {"model": info.id, "messages": "Hello", "thinking": {"mode": "off"}}
    if info.capabilities.thinking_off:
        assert (await runtime.complete(**asked)).stop_reason == "end_turn"
        return
    with pytest.raises(ProviderFailure) as caught:
        await runtime.complete(**asked)
    assert caught.value.error_class == "capability_mismatch"


@pytest.mark.parametrize(
    ("fault", "error_class"),
    [
        ("quota", "quota_exceeded"),
        ("rate_limit", "rate_limit"),
        ("auth", "auth"),
        ("not_found", "model_not_found"),
        ("server_error", "server_error"),
        ("context_overflow", "context_overflow"),
        ("error_event_mid_stream", "server_error"),
        ("error_in_200", "server_error"),
        ("html_502", "server_error"),
    ],
)
async def test_failures_have_their_class(
    runtime: EmbeddedRuntime, provider: str, simulator: Simulator, fault: str, error_class: str
):
    simulator.push(Script(["Some words."], fault=fault))
    with pytest.raises(ProviderFailure) as caught:
        await said(runtime, stream="stream" in fault, model=f"{provider}:{THINKERS[provider]}", messages="Hello")
    assert caught.value.error_class == error_class
    assert "; " in caught.value.message


@pytest.mark.parametrize("provider", ["glm", "minimax", "kimi", "qwen"], indirect=True)
async def test_what_the_provider_would_refuse_is_not_sent(runtime: EmbeddedRuntime, provider: str) -> None:
    asked: dict[str, Any] = {"temperature": 0, "top_p": 1, "tools": TOOLS, "tool_choice": {"type": "auto"}}
    asked["thinking"] = {"mode": "on", "effort": "high", "budget_tokens": 2_000}
    reply = await runtime.complete(model=f"{provider}:{THINKERS[provider]}", messages="Hello", **asked)
    assert {warning.code for warning in reply.warnings} & {"parameter_adjusted", "parameter_ignored"}


async def test_discovery_and_counting(simulator: Simulator) -> None:
    async with RuntimeBuilder().with_provider("kimi", api_key="key", base_url=f"{simulator.base_url}/kimi/v1").build() as runtime:
        inner = runtime._runtime
        found = await inner.discover(DiscoverParams())
        assert found.failures == []
        assert all(model.limits and model.limits.max_context_tokens == 131_072 for model in found.models)
        assert await inner.count_tokens(TokenCountParams("Hello there", model="kimi:kimi-k3")) > 0
