"""Every row of the catalog through a real runtime and real sockets, with the simulator as each of the providers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.conformance.suite.received import Received, received

from modeld.clock import Clock
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.call import Call
from modeld.providers.catalog import all_rows, facts_of, models_of
from modeld.providers.catalog.rows import ProviderRow
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec
from modeld.runtime import Runtime
from modeld.simulator import Script, Simulator
from modeld.simulator.script import Answer as Answered
from modeld_protocol.content import Block, ToolUseBlock
from modeld_protocol.events import (
    Event,
    MessageComplete,
    MessageStart,
    TextDelta,
    ThinkingDelta,
    ToolUseEnd,
    ToolUseInputDelta,
    ToolUseStart,
)
from modeld_protocol.model import Capabilities, ModelInfo
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

UNKNOWN_MODEL = "any-model"
"""A name that no rule of any row knows: it has the row's base."""

# Of every family that a rule knows; what goes as text (dialects) has tests of its own.
_MORE_NAMES: dict[str, tuple[str, ...]] = {
    "anthropic": ("claude-3-5-haiku-20241022", "claude-3-7-sonnet-20250219", "claude-sonnet-4-20250514"),
    "cerebras": ("llama-3.3-70b", "qwen-3-32b", "qwen-3-235b-a22b-thinking-2507"),
    "deepseek": ("deepseek-chat", "deepseek-reasoner"),
    "gemini": ("gemini-2.0-flash", "gemini-2.5-flash-image", "gemini-3-pro-image", "gemma-3-27b-it"),
    "glm": ("glm-4-plus", "glm-4.6v", "glm-5.1", "glm-z1-air"),
    "groq": ("llama-3.1-8b-instant", "qwen/qwen3-32b", "deepseek-r1-distill-llama-70b", "moonshotai/kimi-k2-instruct"),
    "kimi": ("kimi-k2.5", "kimi-k2-thinking", "moonshot-v1-8k", "moonshot-v1-8k-vision-preview"),
    "minimax": ("MiniMax-M2", "MiniMax-Text-01"),
    "ollama": ("deepseek-r1:8b", "gpt-oss:20b", "llama3.1:8b", "qwen3:4b", "qwen3-vl:8b"),
    "openai": ("gpt-3.5-turbo", "gpt-4", "gpt-4o-audio-preview", "gpt-4o-search-preview", "gpt-5", "gpt-5-chat-latest", "o3"),
    "openai-responses": ("codex-mini-latest", "gpt-5-chat-latest", "gpt-5-codex", "gpt-5-pro"),
    "openrouter": ("amazon/nova-lite-v1", "google/gemini-3-pro", "openai/gpt-4o", "moonshotai/kimi-k2"),
    "qwen": ("qwen-long", "qwen-turbo", "qwen3-vl-plus", "qwen3-32b", "qwen3-omni-flash", "qwen3.7-plus", "qwq-plus"),
}
_PATHS = {"openai_chat": "/v1", "openai_responses": "/v1", "gemini": "/v1beta", "anthropic_messages": "", "ollama": ""}
_OF_THE_PLAIN_WIRE = ("openai", "openai-compatible")


def base_url_at(simulator: Simulator, row: ProviderRow) -> str:
    """Where the simulator is this provider: a relative of the chat wire has a path of its own."""
    relative = f"/{row.type}" if row.wire == "openai_chat" and row.type not in _OF_THE_PLAIN_WIRE else ""
    return f"{simulator.base_url}{relative}{_PATHS[row.wire]}"


def key_of(row: ProviderRow) -> str:
    return f"key-of-{row.type}-0123456789"


def names_of(row: ProviderRow) -> list[str]:
    """The row's base, and those of its models that differ in anything that a request can meet."""
    seen: list[Any] = []
    names: list[str] = []
    for name in (UNKNOWN_MODEL, *(model.name for model in models_of(row.type)), *_MORE_NAMES.get(row.type, ())):
        facts = facts_of(row, name)
        kind = (facts.capabilities, facts.quirks)
        if kind not in seen:
            seen.append(kind)
            names.append(name)
    return names


def config_of(simulator: Simulator, **adapter: Any) -> Config:
    """An adapter for every row, and its models."""
    given = {"max_retries": 1, "timeout_seconds": 5.0, **adapter}
    adapters = {
        row.type: AdapterConfig(
            row.type, row.type, base_url_at(simulator, row), api_key_env=f"KEY_{row.type}".replace("-", "_").upper(), **given
        )
        for row in all_rows()
    }
    models = {
        f"{row.type}:{name}": ModelConfig(f"{row.type}:{name}", row.type, name) for row in all_rows() for name in names_of(row)
    }
    return Config(adapters, models)


class World(NamedTuple):
    simulator: Simulator
    runtime: Runtime

    def models_of(self, row: str) -> list[ModelInfo]:
        return [info for info in self.runtime.models() if info.provider == row]

    def spec(self, model: str) -> ModelSpec:
        return self.runtime.snapshot.registry.specs[model]


@asynccontextmanager
async def running_world() -> AsyncIterator[World]:
    """No wait between attempts, and nothing left at the end."""
    environment = {f"KEY_{row.type}".replace("-", "_").upper(): key_of(row) for row in all_rows()}
    async with Simulator() as simulator:
        runtime = Runtime(config_of(simulator), environment=environment, clock=Clock(chance=lambda: 0.0))
        try:
            yield World(simulator, runtime)
        finally:
            await runtime.close()


class Events:
    """Takes the events of one stream."""

    writable = True

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.some = asyncio.Event()

    def emit(self, events: list[Event]) -> None:
        self.taken += events
        if any(isinstance(event, TextDelta) for event in events):
            self.some.set()

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        return lambda: None


class Reply(NamedTuple):
    response: CanonicalResponse
    events: list[Event]
    received: Received

    @property
    def text(self) -> str:
        return text_of(self.response.content)

    @property
    def calls(self) -> list[ToolUseBlock]:
        return [block for block in self.response.content if isinstance(block, ToolUseBlock)]

    def warned(self) -> list[tuple[str, str | None]]:
        return [(warning.code, warning.path) for warning in self.response.warnings if warning.code != "price_missing"]


class Case:
    """One scenario of one model, streamed or not. `replies` are those that it got, in order."""

    def __init__(self, world: World, info: ModelInfo, *, stream: bool) -> None:
        self.world = world
        self.info = info
        self.stream = stream
        self.replies: list[Reply] = []

    @property
    def able(self) -> Capabilities:
        return self.info.capabilities

    @property
    def spec(self) -> ModelSpec:
        return self.world.spec(self.info.id)

    @property
    def simulator(self) -> Simulator:
        return self.world.simulator

    def sent(self) -> list[str]:
        """What the simulator was asked since the last reset."""
        return [request.path for request in self.simulator.requests]

    def call(self, **asked: Any) -> tuple[Call, Events]:
        """A call that is checked and not yet run. Raises ProviderFailure."""
        request = msgspec.convert({"model": self.info.id, "messages": "Hello", **asked}, CanonicalRequest)
        call, events = self.world.runtime.prepare(request, stream=self.stream), Events()
        if self.stream:
            call.consumer = events
        return call, events

    async def ask(self, answer: Answered, **asked: Any) -> Reply:
        """The reply to a request that the simulator answers with this script."""
        self.simulator.reset()
        self.simulator.push(answer)
        call, events = self.call(**asked)
        response = await self.world.runtime.run(call)
        if self.stream:
            check_events(events.taken, response.content)
        reply = Reply(response, events.taken, received(self.simulator.requests[-1]))
        self.replies.append(reply)
        return reply

    async def fail(self, script: Script, **asked: Any) -> tuple[ProviderFailure, list[Event]]:
        """The failure of a request that the simulator answers with this script, however often it is sent."""
        self.simulator.reset()
        self.simulator.push(script, times=2)
        call, events = self.call(**asked)
        with pytest.raises(ProviderFailure) as caught:
            await self.world.runtime.run(call)
        failure = caught.value
        assert (failure.provider, failure.model) == (self.info.provider, self.info.id)
        assert "; " in failure.message, "a message has a next step"
        return failure, events.taken


def text_of(content: list[Block]) -> str:
    return "".join(getattr(block, "text", "") for block in content if type(block).__name__ in ("TextBlock", "RefusalBlock"))


def check_events(events: list[Event], content: list[Block]) -> None:
    """The invariants of a stream: its order, one end for each start, and deltas that are the content."""
    assert [type(event) for event in events].count(MessageComplete) == 1
    first, last = events[0], events[-1]
    assert isinstance(first, MessageStart)
    assert isinstance(last, MessageComplete)
    assert last.final_content == content
    places = [event.content_block_index for event in events if not isinstance(event, MessageStart | MessageComplete)]
    assert places == sorted(places)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text_of(content)
    thought = "".join(getattr(block, "text", "") for block in content if type(block).__name__ == "ThinkingBlock")
    assert "".join(event.text for event in events if isinstance(event, ThinkingDelta)) == thought
    calls = [block for block in content if isinstance(block, ToolUseBlock)]
    starts = [(event.tool_use_id, event.tool_name) for event in events if isinstance(event, ToolUseStart)]
    ends = [(event.tool_use_id, event.final_input) for event in events if isinstance(event, ToolUseEnd)]
    assert starts[: len(calls)] == [(call.id, call.name) for call in calls]
    assert ends[: len(calls)] == [(call.id, call.input) for call in calls]
    assert len(starts) == len(ends)
    for call in calls:
        parts = [event for event in events if isinstance(event, ToolUseInputDelta) and event.tool_use_id == call.id]
        assert msgspec.json.decode("".join(part.partial_json for part in parts) or "{}") == call.input


def plain(content: list[Block]) -> list[dict[str, Any]]:
    """Content as two providers must agree on it: without opaque state, with calls numbered in place of their ids."""
    blocks: list[dict[str, Any]] = msgspec.to_builtins(content)
    numbers = {block["id"]: number for number, block in enumerate(blocks) if block["type"] == "tool_use"}
    groups = {block.get("group") for block in blocks if block["type"] == "tool_use"}
    assert len(groups) <= 1
    kept = [{name: value for name, value in block.items() if name not in ("provider_raw", "group")} for block in blocks]
    return [{**block, "id": numbers[block["id"]]} if block["type"] == "tool_use" else block for block in kept]
