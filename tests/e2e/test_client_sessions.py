"""`client.sessions` against a real daemon: the same on asyncio and in threads."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.sessions import results_for

from modeld.simulator import Simulator
from modeld_client import AsyncClient, Cancelled, Client, InvalidRequest
from modeld_protocol.content import TextBlock, ToolUseBlock
from modeld_protocol.events import MessageComplete, MessageStart, TextDelta
from modeld_protocol.request import Tool

pytestmark = pytest.mark.anyio
MODELS = ["sim-text", "sim-echo", "sim-tool", "sim-slow-60", "sim-long-200"]
WEATHER = Tool("weather", input_schema={"type": "object", "properties": {"city": {"type": "string"}}})


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with (
        Simulator() as simulator,
        DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)) as daemon,
    ):
        yield daemon


async def test_a_conversation(daemon: DaemonProcess) -> None:
    async with AsyncClient.connect(daemon.socket, start=False) as client:
        session = await client.sessions.create(model="openai:sim-echo", metadata={"k": 1})
        turn = session.turn("Hello")
        events = [event async for event in turn]
        result = await turn.result()
        assert isinstance(events[0], MessageStart)
        assert isinstance(events[-1], MessageComplete)
        assert result.message.content == [TextBlock("Hello")]
        assert [message.role for message in await session.messages()] == ["user", "assistant"]
        assert (await session.turn("And?", model="anthropic:sim-text").result()).handoff is not None
        assert (await session.preview("openai:sim-text")).from_model == "anthropic:sim-text"
        other = await session.fork(result.message.id)
        assert len(await other.messages()) == 2
        assert len((await session.fork_points()).fork_points) == 4
        copy = await client.sessions.import_(await session.export())
        assert list(await copy.messages()) == list(await session.messages())
        assert (await session.update(metadata={"k": 2})).metadata == {"k": 2}
        assert session.id in {one.session_id for one in (await client.sessions.list()).sessions}
        assert (await (await client.sessions.get(session.id)).validate()).valid
        await session.delete()
        with pytest.raises(InvalidRequest):
            await client.sessions.get(session.id)


async def test_tools(daemon: DaemonProcess) -> None:
    async with AsyncClient.connect(daemon.socket, start=False) as client:
        session = await client.sessions.create(model="anthropic:sim-tool", tools=[WEATHER])
        asked = await session.turn("Weather?").result()
        calls = [block.id for block in asked.message.blocks() if isinstance(block, ToolUseBlock)]
        assert (await session.turn(results_for(calls)).result()).stop_reason == "end_turn"


async def test_leaving_a_turn_cancels_it_and_detached_ones_run_on(daemon: DaemonProcess) -> None:
    async with AsyncClient.connect(daemon.socket, start=False) as client:
        session = await client.sessions.create(model="openai:sim-slow-60")
        async with session.turn("one") as turn:
            async for event in turn:
                if isinstance(event, TextDelta):
                    break
        with pytest.raises(Cancelled):
            await turn.result()
        async with session.turn("two", detach=True) as turn:
            async for _event in turn:
                break
        while (found := await client.sessions.get(session.id)).info.running_turn_id is not None:
            await asyncio.sleep(0.02)
        assert found.info.last_turn is not None
        assert found.info.last_turn.status == "completed"


async def test_following_what_another_client_does(daemon: DaemonProcess) -> None:
    async with AsyncClient.connect(daemon.socket, start=False) as one, AsyncClient.connect(daemon.socket, start=False) as other:
        session = await one.sessions.create(model="openai:sim-long-200")
        watched = await other.sessions.get(session.id)
        async with watched.subscribe() as feed:
            assert feed.snapshot is not None
            sent = [event async for event in session.turn("go")]
            seen = []
            async for item in feed:
                seen.append(item)
                if isinstance(item.event, MessageComplete):
                    break
        assert [item.event for item in seen] == sent
        assert [item.cursor for item in seen] == list(range(1, len(sent) + 1))
        middle = seen[70]
        async with watched.subscribe(middle.epoch, middle.cursor) as feed:
            assert feed.snapshot is None
            rest = [await anext(feed) for _ in range(len(sent) - 71)]
        assert rest == seen[71:]
        async with session.subscribe("ep_other", 3) as feed:
            assert feed.reset == "epoch_changed"


def _blocking(daemon: DaemonProcess) -> None:
    with Client.connect(daemon.socket, start=False, timeout_s=10) as client:
        session = client.sessions.create(model="openai:sim-echo")
        turn = session.turn("Hello")
        events = list(turn)
        assert isinstance(events[-1], MessageComplete)
        assert turn.result().message.content == [TextBlock("Hello")]
        assert [message.role for message in session.messages()] == ["user", "assistant"]
        assert len(session.fork().messages()) == 2
        with session.subscribe() as feed:
            done = threading.Thread(target=lambda: session.turn("again").result())
            done.start()
            seen = []
            for item in feed:
                seen.append(item)
                if isinstance(item.event, MessageComplete):
                    break
            done.join()
        assert seen[0].cursor == len(events) + 1
        with session.turn("stop me", model="openai:sim-slow-60") as turn:
            next(turn)
            assert session.cancel()
            with pytest.raises(Cancelled):
                turn.result()
        client.sessions.delete(session.id)
        with pytest.raises(InvalidRequest, match=session.id):
            client.sessions.delete(session.id)


async def test_the_same_without_await(daemon: DaemonProcess) -> None:
    await asyncio.to_thread(_blocking, daemon)
