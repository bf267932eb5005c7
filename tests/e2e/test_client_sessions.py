"""`client.sessions` against a real daemon: the same on asyncio and in threads."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.sessions import results_for

from modeld.simulator import Simulator
from modeld_client import AsyncClient, AsyncTurn, Cancelled, Client, ConnectionLost, InvalidRequest, SessionEvent
from modeld_protocol.content import TextBlock, ToolUseBlock
from modeld_protocol.events import Event, MessageComplete, MessageStart, TextDelta
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


class Relay:
    """A socket before the daemon's that loses its connections when it is told to."""

    def __init__(self, path: Path, daemon: DaemonProcess) -> None:
        self.path = str(path)
        self._daemon = daemon
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self.path)
        os.chmod(self.path, 0o600)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Every connection breaks; new ones work."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_daemon, from_daemon = (await asyncio.open_unix_connection(str(self._daemon.socket)))[::-1]
        self._writers += [writer, to_daemon]
        await asyncio.gather(_pour(reader, to_daemon), _pour(from_daemon, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(daemon: DaemonProcess, tmp_path: Path) -> None:
    """A turn runs on while its follower's connection is lost, again and again."""
    async with (
        Relay(tmp_path / "relay.sock", daemon) as relay,
        AsyncClient.connect(daemon.socket, start=False) as one,
        AsyncClient.connect(relay.path, start=False) as other,
    ):
        session = await one.sessions.create(model="openai:sim-long-200")
        watched = await other.sessions.get(session.id)
        seen: list[SessionEvent] = []
        feed = watched.subscribe()
        async with feed:
            assert feed.place is not None
        turning = asyncio.create_task(_all_of(session.turn("go")))
        cuts = 0
        while not seen or not isinstance(seen[-1].event, MessageComplete):
            feed = watched.subscribe(*(feed.place or ()))
            try:
                async with feed:
                    assert (feed.snapshot, feed.reset) == (None, None)
                    async for item in feed:
                        seen.append(item)
                        if isinstance(item.event, MessageComplete):
                            break
                        if len(seen) in (1, 20, 21, 90):
                            cuts += 1
                            relay.cut()
            except ConnectionLost:
                pass
        assert [item.event for item in seen] == await turning
        assert [item.cursor for item in seen] == list(range(1, len(seen) + 1))
        assert cuts == 4


async def _all_of(turn: AsyncTurn) -> list[Event]:
    return [event async for event in turn]


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
            assert feed.place == (seen[-1].epoch, seen[-1].cursor)
        with session.subscribe(*feed.place) as feed:
            assert (feed.snapshot, feed.place) == (None, (seen[-1].epoch, seen[-1].cursor))
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
