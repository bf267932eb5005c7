"""A further provider that is only data: a row, its models, a cassette; or nothing but the user's config."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.chat_wire import PROVIDERS

from modeld.builder import RuntimeBuilder
from modeld.config.check import check
from modeld.providers.catalog import known_types
from modeld.providers.catalog.rows import ROWS, ModelRule, ProviderRow
from modeld.providers.spec import Quirks
from modeld.simulator import Script, Simulator, TextStep, ThinkingStep, ToolCallStep
from modeld_protocol.content import ThinkingBlock, ToolUseBlock
from modeld_protocol.model import Capabilities, ModelLimits

pytestmark = pytest.mark.anyio
DAEMON = Path(__file__).parents[2] / "daemon" / "modeld"
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
CALL = Script([ThinkingStep("Hm."), TextStep("Let me see."), ToolCallStep("weather", {})])


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


def acme(base_url: str) -> ProviderRow:
    """A provider that nobody has heard of, as its row would stand in the catalog."""
    return ProviderRow(
        type="acme",
        wire="openai_chat",
        documentation="https://acme.example/docs",
        base_url=base_url,
        regions={"moon": base_url},
        key_header="x-api-key",
        key_prefix="Key ",
        key_env="ACME_API_KEY",
        option_headers={"app_name": ("x-acme-app",)},
        capabilities=Capabilities(structured_output=False, json_object=True),
        quirks=Quirks(
            max_tokens_field="max_tokens",
            body={"acme": True},
            body_with_tools={"routing": {"strict": True}},
            thinking="effort",
            efforts=("low", "max"),
            effort_path="brain.level",
            thinking_on={"brain": {"on": True}},
            thinking_off={"brain": {"on": False}},
            temperature_range=(0.1, 0.9),
            reasoning_history="provider",
            options=("top_k",),
        ),
        limits=ModelLimits(max_context_tokens=1_000),
        rules=(
            ModelRule(
                pattern="mini",
                reason="Small.",
                source="https://acme.example/docs",
                date="2026-11-20",
                quirks={"thinking": "none"},
                capabilities={"tools": False},
            ),
        ),
    )


async def test_a_row_is_enough(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS, "acme", acme(simulator.openai_base_url))
    assert "acme" in known_types()
    builder = RuntimeBuilder().with_env_fallback({"ACME_API_KEY": "s3cret"})
    builder.with_provider("acme", options={"app_name": "tests", "region": "moon"})
    builder.with_model("acme:acme-1").with_model("acme:acme-mini")
    async with builder.build() as runtime:
        large, small = runtime.models()
        assert (large.capabilities.thinking, large.capabilities.efforts) == (True, ["low", "max"])
        assert (small.capabilities.thinking, small.capabilities.tools) == (False, False)
        simulator.push(CALL)
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
        asked = {"tools": [TOOL], "temperature": 0, "max_output_tokens": 50, "thinking": {"mode": "on", "effort": "high"}}
        options = {"acme": {"top_k": 4}}
        async with runtime.stream(model="acme:acme-1", messages=messages, provider_options=options, **asked) as stream:
            assert [event async for event in stream]
            reply = await stream.response()
        first = simulator.requests[-1]
        body = json.loads(first.body)
        assert dict(first.headers)["x-acme-app"] == "tests"
        assert {name: body[name] for name in ("acme", "routing", "brain", "temperature", "max_tokens", "top_k")} == {
            "acme": True,
            "routing": {"strict": True},
            "brain": {"on": True, "level": "max"},
            "temperature": 0.1,
            "max_tokens": 50,
            "top_k": 4,
        }
        call = next(block for block in reply.content if isinstance(block, ToolUseBlock))
        assert [block.text for block in reply.content if isinstance(block, ThinkingBlock)] == ["Hm."]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
        history = [*messages, {"role": "assistant", "content": reply.content}, {"role": "tool", "content": [result]}]
        assert (await runtime.complete(model="acme:acme-1", messages=history, tools=[TOOL])).stop_reason == "end_turn"
        assert json.loads(simulator.requests[-1].body)["messages"][1]["reasoning_content"] == "Hm."


CONFIG = """
adapters:
  acme:
    type: openai-compatible
    base_url: {url}
    api_key_env: ACME_API_KEY
    options:
      max_tokens_field: max_completion_tokens
      thinking: switch
      thinking_on: {{thinking: {{type: enabled}}}}
      thinking_off: {{thinking: {{type: disabled}}}}
      thinking_default_on: true
      think_tags: true
      reasoning_history: provider
      temperature_range: [0.0, 1.0]
      body: {{acme: true}}
models:
  acme:acme-1: {{adapter: acme, pricing: {{input: 1, output: 2}}}}
"""


async def test_config_is_enough(simulator: Simulator, tmp_path: Path) -> None:
    """An endpoint that hides reasoning in its content and has a switch of its own, described by the user alone."""
    environment = {"ACME_API_KEY": "s3cret"}
    text = CONFIG.format(url=f"{simulator.base_url}/minimax/v1")
    config, problems = check(text.encode(), "models.yaml", known_types(), environment)
    assert config is not None
    assert [problem.message for problem in problems] == []
    file = tmp_path / "models.yaml"
    file.write_text(text)
    file.chmod(0o600)
    builder = RuntimeBuilder().with_env_fallback(environment).with_config_file(file)
    async with builder.build() as runtime:
        simulator.push(CALL)
        asked: dict[str, Any] = {"model": "acme:acme-1", "tools": [TOOL], "temperature": 2}
        reply = await runtime.complete(messages="Hello", thinking={"mode": "off"}, **asked)
        body = json.loads(simulator.requests[-1].body)
        assert (body["thinking"], body["temperature"], body["acme"]) == ({"type": "disabled"}, 1.0, True)
        assert [block.text.strip() for block in reply.content if isinstance(block, ThinkingBlock)] == ["Hm."]
        call = next(block for block in reply.content if isinstance(block, ToolUseBlock))
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sun"}
        history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": reply.content}]
        await runtime.complete(messages=[*history, {"role": "tool", "content": [result]}], **asked)
        sent = json.loads(simulator.requests[-1].body)["messages"][1]
        assert sent["content"] == "<think>\nHm.\n</think>\n\nLet me see."


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_of_the_chat_wire_is_data_alone(name: str) -> None:
    """Its type is a word of three files: its row, the list of rows, the list of models; prices come from another table."""
    files = [file for file in DAEMON.rglob("*") if file.suffix in (".py", ".json") and "simulator" not in file.parts]
    word = re.compile(rf"""["']{name}["']""")
    found = {file.relative_to(DAEMON).as_posix() for file in files if word.search(file.read_text(encoding="utf-8"))}
    catalog = "providers/catalog"
    assert found - {f"{catalog}/prices.json"} <= {f"{catalog}/rows/{name}.py", f"{catalog}/models.json"}
    assert re.search(rf"\b{name.upper()}\b", (DAEMON / catalog / "rows" / "__init__.py").read_text(encoding="utf-8"))
