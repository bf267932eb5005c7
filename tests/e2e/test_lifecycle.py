"""Promises G4 to G12: start, races, signals, drain, the ways to end it, and what is left after kill -9."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.harness.checks import check_stream
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer

from modeld.simulator import Simulator
from modeld_client import AsyncClient, ConnectionLost

pytestmark = pytest.mark.anyio

HANG = "openai:sim-fault-hang_mid_stream"
PACED = "openai:bench-n100-s20-d10000-f0-b1"  # one second
MODELS = ["sim-text", "sim-fault-hang_mid_stream", "sim-fault-hang_before_headers", "sim-fault-endless_stream", PACED[7:]]
EXIT_WITHIN_S = 6.0
IDLE_EXIT_WITHIN_S = 1.0  # the promise is 2; a machine that runs other tests beside gets some room
ALREADY_RUNNING = 3


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def daemon(simulator: Simulator) -> AsyncIterator[DaemonProcess]:
    """A daemon of this test's own: most of these tests end it."""
    simulator.reset()
    async with DaemonProcess(config_of(simulator)) as daemon:
        yield daemon


@pytest.fixture
def place(simulator: Simulator, tmp_path: Path) -> DaemonProcess:
    """A folder where no daemon runs yet."""
    return DaemonProcess(config_of(simulator), folder=tmp_path)


def config_of(simulator: Simulator) -> str:
    return models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)


def dead_socket(path: Path) -> None:
    """What a killed daemon leaves."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def left_behind(daemon: DaemonProcess) -> list[str]:
    """What is left of sockets and locks."""
    return sorted(path.name for path in daemon.runtime_dir.iterdir() if path.suffix in (".sock", ".lock"))


def start_stream(peer: Peer, model: str, request_id: str) -> int:
    return peer.request("model/stream", {"model": model, "messages": "Hello", "request_id": request_id})


async def streaming(peer: Peer, model: str, request_id: str) -> int:
    """A stream that has begun to talk; returns its id."""
    number = start_stream(peer, model, request_id)
    await peer.until(lambda: len(peer.events(request_id)) >= 2)
    return number


async def ended(daemon: DaemonProcess, since_s: float, timeout_s: float = 15) -> tuple[int, float]:
    """Its exit code, and how long it took from `since_s`."""
    code = await daemon.wait(timeout_s)
    return code, time.monotonic() - since_s


# ---- the socket's place


async def test_a_stale_socket_is_replaced(place: DaemonProcess) -> None:
    dead_socket(place.socket)
    async with place as daemon:
        (await (await daemon.peer()).call("daemon/status")).ok()
        assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
        daemon.signal()
        assert await daemon.wait() == 0
        assert left_behind(daemon) == []


@pytest.mark.parametrize("kind", ["file", "empty file", "link to a file", "dangling link", "link to a socket", "directory"])
async def test_what_is_no_socket_is_never_removed(place: DaemonProcess, tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if kind in ("file", "empty file"):
        place.socket.write_text("precious" if kind == "file" else "")
    elif kind == "directory":
        place.socket.mkdir()
    elif kind == "link to a socket":
        dead_socket(tmp_path / "s")
        place.socket.symlink_to(tmp_path / "s")
    else:
        place.socket.symlink_to(victim if kind == "link to a file" else tmp_path / "nowhere")
    before = place.socket.lstat()
    began = time.monotonic()
    code, out, err = await place.run()
    assert code not in (0, ALREADY_RUNNING)
    assert time.monotonic() - began < 5
    assert out == ""
    assert str(place.socket) in err
    assert "Traceback" not in err
    after = place.socket.lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert victim.read_text() == "precious"


# ---- two at once


async def race(place: DaemonProcess, rivals: int = 2) -> tuple[float, float]:
    """Start `rivals` daemons at once. Asserts that exactly one serves; returns when it served and when the others had left."""
    began = time.monotonic()
    processes = [
        await asyncio.create_subprocess_exec(
            *place.command(), env=place.env, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(rivals)
    ]
    try:
        peer = await connected(place.socket)
        served_s = time.monotonic() - began
        async with peer:
            await peer.initialize()
            pid = (await peer.call("daemon/status")).ok()["pid"]
            losers = [process for process in processes if process.pid != pid]
            assert len(losers) == rivals - 1
            for loser in losers:
                async with asyncio.timeout(10):
                    _, err = await loser.communicate()
                assert loser.returncode == ALREADY_RUNNING, err.decode()
                assert str(place.socket) in err.decode()
            left_s = time.monotonic() - began
            assert (await peer.call("daemon/status")).ok()["pid"] == pid
        return served_s, left_s
    finally:
        for process in processes:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def connected(path: Path, timeout_s: float = 10) -> Peer:
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                return await Peer.connect(path)
            except OSError:
                await asyncio.sleep(0.003)


def show_races(times: list[tuple[float, float]]) -> None:
    served, left = (sorted(column) for column in zip(*times, strict=True))
    print(
        f"{len(times)} races: one serves after p50 {statistics.median(served) * 1000:.0f} ms, max {served[-1] * 1000:.0f} ms; "
        f"the other has left after p50 {statistics.median(left) * 1000:.0f} ms, max {left[-1] * 1000:.0f} ms"
    )


async def test_of_two_started_at_once_exactly_one_serves_in_twenty_races(place: DaemonProcess) -> None:
    times: list[tuple[float, float]] = []
    for number in range(20):
        if number % 2:
            dead_socket(place.socket)
        times.append(await race(place))
        assert left_behind(place) == []
    show_races(times)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_a_thousand_races(place: DaemonProcess) -> None:
    times: list[tuple[float, float]] = []
    for number in range(1000):
        if number % 3 == 1:
            dead_socket(place.socket)
        times.append(await race(place, 2 + number % 4))
        assert left_behind(place) == []
    show_races(times)


async def test_a_second_start_fails_with_a_message_and_harms_nothing(daemon: DaemonProcess) -> None:
    peer = await daemon.peer()
    before = (await peer.call("daemon/status")).ok()
    number = await streaming(peer, PACED, "first")
    began = time.monotonic()
    code, out, err = await daemon.run()
    took_s = time.monotonic() - began
    assert code == ALREADY_RUNNING
    assert took_s < 2
    assert out == ""
    assert str(daemon.socket) in err
    assert "modeld stop" in err
    check_stream(await peer.reply(number, request_id="first"), "end_turn")
    after = (await (await daemon.peer()).call("daemon/status")).ok()
    assert (after["daemon_id"], after["pid"]) == (before["daemon_id"], before["pid"])


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("clients", [0, 3])
async def test_a_signal_ends_an_idle_daemon_at_once(daemon: DaemonProcess, number: signal.Signals, clients: int) -> None:
    peers = [await daemon.peer() for _ in range(clients)]
    for peer in peers:
        (await peer.call("model/complete", {"model": "openai:sim-text", "messages": "Hello"})).ok()
    began = time.monotonic()
    daemon.signal(number)
    code, took_s = await ended(daemon, began)
    print(f"{number.name} with {clients} idle clients: exit {code} after {took_s * 1000:.0f} ms")
    assert code == 0
    assert took_s < IDLE_EXIT_WITHIN_S
    assert left_behind(daemon) == []
    for peer in peers:
        await peer.until_closed()
    assert "Traceback" not in daemon.output()


async def test_a_signal_lets_short_streams_finish_and_ends_long_ones(daemon: DaemonProcess, simulator: Simulator) -> None:
    """With a client that never reads beside, which must not hold it up."""
    peer = await daemon.peer()
    short = await streaming(peer, PACED, "short")
    long = [await streaming(peer, HANG, f"long{number}") for number in range(3)]
    early = peer.request("model/complete", {"model": "openai:sim-fault-hang_before_headers", "messages": "x"})
    deaf = await deaf_reader(daemon)
    await simulator.wait_until(lambda: len(simulator.requests) == 6)
    began = time.monotonic()
    daemon.signal()
    check_stream(await peer.reply(short, request_id="short"), "end_turn")
    finished_s = time.monotonic() - began
    assert not any(peer.replies(number) for number in long), "long streams get their time"
    for number, rpc_id in enumerate(long):
        reply = await peer.reply(rpc_id, request_id=f"long{number}")
        assert reply.error["code"] == -32800
        check_stream(reply, "cancelled")
        assert reply.data["partial"]["content"], "what came so far"
    assert (await peer.reply(early)).error["code"] == -32800
    await peer.until_closed()
    code, took_s = await ended(daemon, began)
    print(f"SIGTERM with 6 calls: the short one whole after {finished_s:.2f} s, exit {code} after {took_s:.2f} s")
    assert code == 0
    assert 4 < took_s <= EXIT_WITHIN_S
    assert all(len(peer.replies(rpc_id)) == 1 for rpc_id in (short, *long, early))
    assert left_behind(daemon) == []
    await simulator.wait_until(lambda: simulator.running == 0)
    deaf.close()


async def deaf_reader(daemon: DaemonProcess) -> socket.socket:
    """A client that asks for a stream without end and reads nothing of it."""
    deaf = socket.socket(socket.AF_UNIX)
    deaf.connect(str(daemon.socket))
    for number, (method, params) in enumerate(
        (("initialize", {"capabilities": {}}), ("model/stream", {"model": "openai:sim-fault-endless_stream", "messages": "x"}))
    ):
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        deaf.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    return deaf


async def test_while_it_drains_nothing_new_starts_and_a_second_signal_ends_it(
    daemon: DaemonProcess, simulator: Simulator
) -> None:
    peer, other = await daemon.peer(), await daemon.peer()
    running = await streaming(peer, HANG, "running")
    daemon.signal()
    async with asyncio.timeout(2):
        while not (await peer.call("daemon/status")).ok()["draining"]:
            await asyncio.sleep(0.005)
    with pytest.raises(OSError, match=r"refused|No such file"):
        await Peer.connect(daemon.socket)
    for client in (peer, other):
        for method in ("model/stream", "model/complete"):
            refused = await client.call(method, {"model": "openai:sim-text", "messages": "Hello"})
            assert refused.error["code"] == -32001
            assert refused.data == {"reason": "shutting_down"}
    assert len(simulator.requests) == 1, "nothing new was sent"
    began = time.monotonic()
    daemon.signal()
    check_stream(await peer.reply(running, request_id="running"), "cancelled")
    code, took_s = await ended(daemon, began)
    print(f"second SIGTERM: exit {code} after {took_s * 1000:.0f} ms")
    assert code == 0
    assert took_s < IDLE_EXIT_WITHIN_S
    assert left_behind(daemon) == []


async def test_a_second_signal_does_not_wait_for_a_client_that_does_not_read(daemon: DaemonProcess, simulator: Simulator) -> None:
    deaf = await deaf_reader(daemon)
    await simulator.wait_until(lambda: len(simulator.requests) == 1)
    await asyncio.sleep(0.3)  # until its buffers are full
    daemon.signal()
    await asyncio.sleep(0.1)
    began = time.monotonic()
    daemon.signal()
    code, took_s = await ended(daemon, began)
    print(f"second SIGTERM with a client that does not read: exit {code} after {took_s * 1000:.0f} ms")
    assert (code, took_s < 1.5) == (0, True)
    deaf.close()


KEYRING = "import time\ndef get_password(service, user):\n    time.sleep(60)\n"


async def test_a_thread_that_hangs_does_not_hold_it_up(simulator: Simulator, tmp_path: Path) -> None:
    """A keyring that waits to be unlocked, a name server that doesn't answer: both block a thread that nobody can end."""
    (tmp_path / "keyring.py").write_text(KEYRING)
    config = models_yaml("http://127.0.0.1:9", simulator.openai_base_url, ["sim-text"], api_key_env=None, api_key_keyring="a/b")
    env = {"PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))}
    async with DaemonProcess(config.replace('"api_key_env": null,', ""), env=env) as daemon:
        peer = await daemon.peer()
        call = peer.request("model/complete", {"model": "openai:sim-text", "messages": "Hello"})
        await asyncio.sleep(0.2)
        began = time.monotonic()
        daemon.signal()
        daemon.signal(signal.SIGINT)
        assert (await peer.reply(call)).error["code"] == -32800
        code, took_s = await ended(daemon, began)
        print(f"with a thread that hangs: exit {code} after {took_s * 1000:.0f} ms")
        assert (code, took_s < 1.5) == (0, True)
        assert left_behind(daemon) == []


async def test_it_outlives_whoever_read_what_it_prints(place: DaemonProcess) -> None:
    """A terminal that was closed, a pipe into a program that has ended."""
    process = await asyncio.create_subprocess_exec(
        *place.command("--log-level", "debug"),
        env=place.env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"listens on" not in await process.stderr.readline():
        pass
    peer = await Peer.connect(place.socket)
    for file in (1, 2):
        process._transport.get_pipe_transport(file).close()  # type: ignore[attr-defined]
    async with peer:
        await peer.initialize()
        check_stream(await peer.call("model/stream", {"model": "openai:sim-text", "messages": "Hello"}), "end_turn")
        assert (await peer.call("config/reload")).ok()["applied"] is True
    process.terminate()
    async with asyncio.timeout(5):
        assert await process.wait() == 0
    assert left_behind(place) == []


# ---- kill -9


async def test_after_kill_nine_a_new_daemon_serves_and_clients_come_back(daemon: DaemonProcess, simulator: Simulator) -> None:
    async with AsyncClient.connect(daemon.socket, start=False) as client:
        epoch = client.epoch
        peer = await daemon.peer()
        await streaming(peer, HANG, "lost")
        began = time.monotonic()
        daemon.signal(signal.SIGKILL)
        await peer.until_closed()
        noticed_s = time.monotonic() - began
        assert await daemon.wait() == -signal.SIGKILL
        await simulator.wait_until(lambda: simulator.running == 0)
        assert daemon.socket.exists(), "it had no chance to tidy up"
        began = time.monotonic()
        await daemon.start()
        ready_s = time.monotonic() - began
        print(f"kill -9: clients know after {noticed_s * 1000:.0f} ms, a new daemon serves after {ready_s * 1000:.0f} ms")
        with contextlib.suppress(ConnectionLost):  # unless it has found out by itself, the first call does
            await client.status()
        assert (await client.complete(model="openai:sim-text", messages="Hello")).stop_reason == "end_turn"
        assert client.epoch != epoch
    again = await daemon.peer()
    assert (await again.call("daemon/status")).ok()["running_calls"] == 0
    assert ready_s < 3
    assert "Traceback" not in daemon.output()


# ---- the other ways to end it


@pytest.mark.parametrize("force", [False, True])
async def test_daemon_stop_answers_before_it_goes(daemon: DaemonProcess, force: bool) -> None:
    peer = await daemon.peer()
    running = await streaming(peer, HANG if force else PACED, "running")
    began = time.monotonic()
    assert (await peer.call("daemon/stop", {"force": force})).ok() == {"stopping": True}
    check_stream(await peer.reply(running, request_id="running"), "cancelled" if force else "end_turn")
    await peer.until_closed()
    code, took_s = await ended(daemon, began)
    assert code == 0
    assert took_s < (IDLE_EXIT_WITHIN_S if force else 3)
    assert left_behind(daemon) == []


async def test_the_commands_stop_and_status(daemon: DaemonProcess) -> None:
    code, out, err = await daemon.run("status", "--json")
    status = json.loads(out)
    assert (code, err) == (0, "")
    assert status["running"] is True
    assert status["pid"] == daemon.pid
    peer = await daemon.peer()
    running = await streaming(peer, PACED, "running")
    code, out, err = await daemon.run("stop")
    assert (code, err) == (0, "")
    assert "stopped" in out
    assert not daemon.socket.exists(), "it has gone when the command says so"
    assert await daemon.wait(2) == 0
    check_stream(await peer.reply(running, request_id="running"), "end_turn")
    code, out, _ = await daemon.run("status", "--json")
    assert code != 0
    assert json.loads(out)["running"] is False
    code, out, _ = await daemon.run("stop", "--json")
    assert (code, json.loads(out)) == (0, {"was_running": False, "stopped": True})


# ---- idle exit


async def exit_of_idle(place: DaemonProcess, since_s: float, patience_s: float) -> None:
    code, took_s = await ended(place, since_s)
    print(f"--idle-exit {patience_s:g}: exit {code}, {took_s:.2f} s after the last client")
    assert code == 0
    assert patience_s * 0.9 < took_s < patience_s * 1.5 + 1
    assert left_behind(place) == []


async def test_idle_exit_waits_for_clients_and_for_running_calls(simulator: Simulator, tmp_path: Path) -> None:
    place = DaemonProcess(config_of(simulator), "--idle-exit", "0.6", folder=tmp_path)
    async with place as daemon:
        peer = await daemon.peer()
        call = start_stream(peer, PACED, "running")
        await asyncio.sleep(1.5)
        check_stream(await peer.reply(call, request_id="running"), "end_turn")
        assert daemon.process is not None
        assert daemon.process.returncode is None
        began = time.monotonic()
        await peer.close()
        await asyncio.sleep(0.3)
        visitor = await daemon.peer()  # comes and goes between two looks: the time starts anew
        await visitor.close()
        assert time.monotonic() - began < 0.6
        began = time.monotonic()
        await exit_of_idle(daemon, began, 0.6)


async def test_idle_exit_of_a_daemon_that_nobody_ever_asked(simulator: Simulator, tmp_path: Path) -> None:
    place = DaemonProcess(config_of(simulator), "--idle-exit", "0.4", folder=tmp_path)
    async with place as daemon:
        await exit_of_idle(daemon, time.monotonic(), 0.4)


async def test_idle_exit_counts_detached_turns(simulator: Simulator, tmp_path: Path) -> None:
    place = DaemonProcess(config_of(simulator), "--idle-exit", "1", folder=tmp_path)
    async with place as daemon:
        peer = await Peer.connect(daemon.socket)
        daemon.peers.append(peer)
        await peer.initialize()
        session = (await peer.call("session/create", {"model": PACED})).ok()["session"]["session_id"]
        peer.request("turn/start", {"session_id": session, "input": "Hello", "detach": True})
        await peer.until(lambda: bool(peer.notifications("stream/event")))
        began = time.monotonic()
        await peer.close()
        code, took_s = await ended(daemon, began)
        assert code == 0
        assert took_s > 1, "the turn ran to its end"
        assert not simulator.closed_early
