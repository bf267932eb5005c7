"""Both Python clients against the real daemon, which they start themselves, and the simulator behind it."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator

import anyio
import anyio.to_thread
import pytest
from tests.harness.daemon import KEY, DaemonProcess, models_yaml

from modeld.simulator import Simulator
from modeld_client import (
    AsyncClient,
    Cancelled,
    Client,
    ConnectionLost,
    DaemonUnavailable,
    HandshakeFailed,
    InvalidParams,
    MethodNotFound,
    ModelNotFound,
    NotConfigured,
    RequestFailed,
    launch,
)
from modeld_protocol.config import ConfigChanged
from modeld_protocol.content import TextBlock
from modeld_protocol.events import CallCompleted, CallStarted, MessageComplete, MessageStart, TextDelta

pytestmark = pytest.mark.anyio
FAULTS = ["hang_mid_stream", "hang_before_headers", "bad_request"]
MODELS = ["sim-text", "sim-echo", "sim-slow-50", "sim-long-5000", *(f"sim-fault-{fault}" for fault in FAULTS)]
GREETING = "Hello! This answer comes from the simulator"


class Place:
    """A private folder where no daemon runs yet, and the provider that its config names."""

    def __init__(self, simulator: Simulator, folder: DaemonProcess) -> None:
        self.simulator = simulator
        self.folder = folder
        self.socket = folder.socket

    async def gone(self) -> None:
        """Until nobody serves the socket."""
        with anyio.fail_after(10):
            while True:
                try:
                    launch.connect(self.socket).close()
                except launch.NotListening:
                    return
                await anyio.sleep(0.02)


@pytest.fixture
async def place(monkeypatch, tmp_path) -> AsyncIterator[Place]:
    async with Simulator() as simulator:
        folder = DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, MODELS), folder=tmp_path)
        for name, value in folder.env.items():
            monkeypatch.setenv(name, value)
        yield Place(simulator, folder)
        with contextlib.suppress(DaemonUnavailable):
            async with AsyncClient.connect(start=False) as client:
                await client.stop_daemon(force=True)
        await Place(simulator, folder).gone()


# ---- starting and sharing


async def test_a_client_starts_the_daemon_that_all_share_and_that_outlives_it(place):
    async with AsyncClient.connect() as first:
        pid = (await first.status()).pid
        async with AsyncClient.connect(place.socket, start=False) as second:
            assert (second.daemon_id, second.epoch) == (first.daemon_id, first.epoch)
            assert (await second.status()).clients == 2
    with await anyio.to_thread.run_sync(lambda: Client.connect(start=False)) as third:
        assert (await anyio.to_thread.run_sync(third.status)).pid == pid
    assert pid != os.getpid()
    assert "modeld listens on" in place.socket.with_suffix(".log").read_text()


async def test_processes_that_start_together_share_one_daemon(place):
    program = "from modeld_client import Client\nwith Client.connect() as client: print(client.daemon_id)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=environment)
        for _ in range(6)
    ]
    outputs = [(await process.communicate())[0].decode().strip() for process in processes]
    assert len(set(outputs)) == 1
    assert outputs[0].startswith("d")


async def test_a_daemon_that_refuses_its_config_is_quoted(place):
    place.folder.config.write_text("adapters: [\n")
    with pytest.raises(DaemonUnavailable, match=r"models\.yaml:\d+:\d+: error") as failure:
        await AsyncClient.connect()
    assert KEY not in str(failure.value)


async def test_a_stopped_daemon_is_started_anew_by_the_next_call(place):
    async with AsyncClient.connect() as client:
        before = client.epoch
        async with client.notifications() as notes:
            assert (await client.stop_daemon()).stopping
            with pytest.raises(ConnectionLost):  # it lets go of its clients
                await anext(notes)
        assert (await client.status()).running_calls == 0
        assert client.epoch != before


async def test_the_handshake_is_checked(place):
    with pytest.raises(HandshakeFailed, match="time-travel"):
        await AsyncClient.connect(required=["time-travel"])
    async with AsyncClient.connect(required=["model", "stream"]) as client:
        assert {"model", "stream"} <= set(client.features)


async def test_tcp_takes_the_token_of_the_runtime_directory(place):
    async with AsyncClient.connect(spawn_args=["--tcp", "127.0.0.1:0"]):
        log = place.socket.with_suffix(".log").read_text()
    address = next(line.split()[3].rstrip(";") for line in log.splitlines() if "listens on 127.0.0.1" in line)
    async with AsyncClient.connect(tcp=address) as client:
        assert (await client.complete(model="openai:sim-text", messages="Hi")).provider == "openai"
    with pytest.raises(HandshakeFailed, match="token"):
        await AsyncClient.connect(tcp=address, token="wrong")


# ---- calls


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_complete_and_stream_agree(place, provider):
    async with AsyncClient.connect() as client:
        whole = await client.complete(model=f"{provider}:sim-text", messages="Hi")
        async with client.stream(model=f"{provider}:sim-text", messages=[{"role": "user", "content": "Hi"}]) as stream:
            events = [event async for event in stream]
            streamed = await stream.response()
        assert await client.estimate_tokens(messages="Hi", model=f"{provider}:sim-text")
        assert (await client.models())[0].id in {f"{name}:{model}" for name in ("anthropic", "openai") for model in MODELS}
        assert {one.name for one in await client.providers()} == {"anthropic", "openai"}
    assert isinstance(whole.content[0], TextBlock)
    assert whole.content[0].text.startswith(GREETING)
    assert (isinstance(events[0], MessageStart), isinstance(events[-1], MessageComplete)) == (True, True)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == whole.content[0].text
    assert streamed.content == whole.content == events[-1].final_content
    assert streamed.request_id == stream.request_id


async def test_a_long_stream_arrives_whole_while_other_calls_run(place):
    async with AsyncClient.connect() as client, client.stream(model="anthropic:sim-long-5000", messages="Hi") as stream:
        text = [piece async for piece in stream.text()]
        assert "".join(text) == (await stream.response()).content[0].text
        assert len("".join(text).split()) == 5_000


async def test_a_consumer_may_call_while_it_reads(place):
    async with AsyncClient.connect() as client, client.stream(model="openai:sim-long-5000", messages="Hi") as stream:
        seen = 0
        async for event in stream:
            seen += isinstance(event, TextDelta)
            if seen % 500 == 1:
                answer = await client.complete(model="openai:sim-echo", messages=str(seen))
                assert answer.content[0].text == str(seen)
        assert (await stream.response()).stop_reason == "end_turn"


FAILURES = [
    ({"model": "anthropic:sim-fault-bad_request"}, RequestFailed, "invalid_request"),
    ({"model": "no-such-model"}, ModelNotFound, "model_not_found"),
    ({"model": "anthropic:sim-text", "temperature": 17}, InvalidParams, None),
]


@pytest.mark.parametrize(("fields", "kind", "error_class"), FAILURES)
async def test_failures_are_typed(place, fields, kind, error_class):
    async with AsyncClient.connect() as client:
        with pytest.raises(kind) as failure:
            await client.complete(messages="Hi", **fields)
        assert getattr(failure.value, "error_class", None) == error_class
        with pytest.raises(MethodNotFound):
            await client.call("no/such")


async def test_a_key_is_taken_from_the_client_only_when_passed(place, monkeypatch):
    async with AsyncClient.connect(spawn_args=["--idle-exit", "60"]) as client:
        await client.stop_daemon()
    await place.gone()
    monkeypatch.delenv("MODELD_TEST_KEY")
    async with AsyncClient.connect() as starter:  # the daemon it starts has no key either
        monkeypatch.setenv("MODELD_TEST_KEY", KEY)
        with pytest.raises(NotConfigured, match="MODELD_TEST_KEY"):
            await starter.complete(model="openai:sim-text", messages="Hi")
        async with AsyncClient.connect(env=["MODELD_TEST_KEY"]) as bearer:
            assert (await bearer.complete(model="openai:sim-text", messages="Hi")).stop_reason == "end_turn"
        with pytest.raises(NotConfigured):
            await starter.complete(model="openai:sim-text", messages="Hi")


# ---- cancelling


async def test_leaving_a_stream_closes_it_at_the_provider(place):
    async with AsyncClient.connect() as client:
        async with client.stream(model="anthropic:sim-fault-hang_mid_stream", messages="Hi") as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
            left = time.monotonic()
        await place.simulator.wait_until(lambda: bool(place.simulator.closed_early))
        assert time.monotonic() - left < 1
        with pytest.raises(Cancelled) as cancelled:
            await stream.response()
        assert cancelled.value.partial is not None
        assert cancelled.value.partial.content
        assert (await client.status()).running_calls == 0


async def test_a_cancelled_scope_closes_the_call_at_the_provider(place):
    async with AsyncClient.connect() as client:
        with anyio.move_on_after(0.3) as scope:
            await client.complete(model="openai:sim-fault-hang_before_headers", messages="Hi")
        assert scope.cancelled_caught
        await place.simulator.wait_until(lambda: bool(place.simulator.closed_early))


async def test_a_detached_stream_runs_on_at_the_provider(place):
    async with AsyncClient.connect() as client:
        async with client.stream(model="anthropic:sim-slow-50", messages="Hi", detach=True) as stream:
            assert isinstance(await anext(stream), MessageStart)
        assert (await stream.response()).stop_reason == "end_turn"
    assert not place.simulator.closed_early


# ---- losing the daemon


async def test_killed_daemon_fails_the_stream_and_the_next_call_has_a_new_one(place):
    async with AsyncClient.connect() as client:
        pid, epoch = (await client.status()).pid, client.epoch
        async with client.stream(model="anthropic:sim-fault-hang_mid_stream", messages="Hi") as stream:
            assert isinstance(await anext(stream), MessageStart)
            assert isinstance(await anext(stream), TextDelta)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(ConnectionLost, match="call again"):
                await stream.response()
        assert (await client.complete(model="anthropic:sim-text", messages="Hi")).stop_reason == "end_turn"
        assert client.epoch != epoch
        assert (await client.status()).pid != pid
    assert len(place.simulator.requests) == 2  # the lost call was not repeated


# ---- notifications


async def test_trace_and_config_notifications_are_typed(place):
    async with AsyncClient.connect(trace=True) as client, client.notifications("trace/event", "config/changed") as notes:
        reply = await client.complete(model="anthropic:sim-text", messages="Hi")
        started, completed = (await anext(notes)).params, (await anext(notes)).params
        assert (type(started), type(completed)) == (CallStarted, CallCompleted)
        assert started.request_id == completed.request_id == reply.request_id
        place.folder.config.write_text(models_yaml(place.simulator.base_url, place.simulator.openai_base_url, ["sim-text"]))
        assert (await client.config_reload()).applied
        with anyio.fail_after(5):
            changed = (await anext(notes)).params
        assert isinstance(changed, ConfigChanged)
        assert changed.applied
        assert (await client.config_check(text="models: 5")).valid is False
        assert KEY not in str(await client.config_get())


# ---- without await


async def test_the_blocking_client_does_the_same(place):
    def run() -> None:
        with Client.connect(timeout_s=20) as client:
            whole = client.complete(model="anthropic:sim-text", messages="Hi")
            with client.stream(model="anthropic:sim-text", messages="Hi") as stream:
                assert "".join(stream.text()) == whole.content[0].text
                assert stream.response().content == whole.content
            with client.stream(model="anthropic:sim-fault-hang_mid_stream", messages="Hi") as stream:
                for event in stream:
                    if isinstance(event, TextDelta):
                        break
            with pytest.raises(Cancelled):
                stream.response()
            with pytest.raises(ModelNotFound):
                client.complete(model="no-such-model", messages="Hi")
            epoch = client.epoch
            os.kill(client.status().pid, signal.SIGKILL)
            with contextlib.suppress(ConnectionLost):
                client.status()
            assert client.status().running_calls == 0
            assert client.epoch != epoch

    await anyio.to_thread.run_sync(run)
    await place.simulator.wait_until(lambda: bool(place.simulator.closed_early))
