"""Promises K1 to K8: stdin and stdout joined to the shared daemon, or to a whole daemon of their own."""

import asyncio
import json
import os
import signal
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness.checks import check_stream, text_of
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer

from modeld.simulator import Simulator
from modeld_protocol.framing import FrameDecoder

pytestmark = pytest.mark.anyio

HANG = "openai:sim-fault-hang_mid_stream"
MODELS = ["sim-text", "sim-echo", "sim-tool", "sim-fault-hang_mid_stream", "sim-fault-html_502", "sim-fault-echo_key"]
MIB = 1024 * 1024
READER_LIMIT = 64 * MIB
CLOSE_WITHIN_S = 0.2
ISOLATED = ("--stdio", "--isolated")


class Stdio(Peer):
    """A client at the other end of a `modeld --stdio` process."""

    process: asyncio.subprocess.Process

    async def ended(self, timeout_s: float = 10) -> tuple[int, float]:
        """The exit code, and how long it took from now."""
        began = time.monotonic()
        async with asyncio.timeout(timeout_s):
            code = await self.process.wait()
        return code, time.monotonic() - began

    async def errors(self) -> str:
        """What it printed on stderr; waits for its end."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@asynccontextmanager
async def stdio(place: DaemonProcess, *arguments: str, initialize: bool = True, **options: Any) -> AsyncIterator[Stdio]:
    """`modeld --stdio` as an editor starts it."""
    process = await asyncio.create_subprocess_exec(
        *place.command(*(arguments or ("--stdio",))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=place.env,
        limit=READER_LIMIT,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    peer = Stdio(process.stdout, process.stdin)
    peer.process = process
    try:
        if initialize:
            await peer.initialize(**options)
        yield peer
    finally:
        await peer.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
async def shared(simulator: Simulator) -> AsyncIterator[DaemonProcess]:
    """A daemon that runs already."""
    async with DaemonProcess(config_of(simulator)) as daemon:
        yield daemon


@pytest.fixture
async def place(simulator: Simulator, tmp_path: Path) -> AsyncIterator[DaemonProcess]:
    """A folder where no daemon runs yet; one that was started there is ended."""
    simulator.reset()
    place = DaemonProcess(config_of(simulator), folder=tmp_path)
    yield place
    if place.socket.exists():
        await place.run("stop", "--force")


def config_of(simulator: Simulator) -> str:
    return models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)


async def status(peer: Peer) -> dict[str, Any]:
    return (await peer.call("daemon/status")).ok()


async def say_goodbye(peer: Peer) -> None:
    (await peer.call("shutdown")).ok()
    peer.notify("exit")


# ---- one daemon for all


async def test_two_stdio_clients_and_a_socket_client_share_one_daemon(shared: DaemonProcess) -> None:
    async with stdio(shared) as first, stdio(shared) as second, await Peer.connect(shared.socket) as third:
        identity = await third.initialize()
        seen = [await status(peer) for peer in (first, second, third)]
        assert {one["daemon_id"] for one in seen} == {identity["capabilities"]["experimental"]["modeld"]["daemon_id"]}
        assert {one["pid"] for one in seen} == {shared.pid}
        assert seen[-1]["clients"] >= 3
        check_stream(await first.call("model/stream", {"model": "openai:sim-text", "messages": "Hello"}), "end_turn")
        if "session" not in identity["capabilities"]["experimental"]["modeld"]["features"]:
            return
        session = (await first.call("session/create", {"model": "openai:sim-text"})).ok()["session"]["session_id"]
        assert (await second.call("session/get", {"session_id": session})).ok()["session"]["session_id"] == session
        (await third.call("turn/start", {"session_id": session, "input": "Hello"})).ok()
        assert len((await second.call("session/get", {"session_id": session})).ok()["messages"]) == 2


async def test_without_a_daemon_one_is_started_and_outlives_the_client(place: DaemonProcess) -> None:
    began = time.monotonic()
    async with stdio(place) as peer:
        print(f"--stdio without a daemon: initialized after {(time.monotonic() - began) * 1000:.0f} ms")
        before = await status(peer)
        assert before["pid"] != peer.process.pid
        await say_goodbye(peer)
        assert (await peer.ended())[0] == 0
    async with await Peer.connect(place.socket) as later:
        await later.initialize()
        assert (await status(later))["daemon_id"] == before["daemon_id"]


async def test_three_at_once_share_the_daemon_that_one_of_them_starts(place: DaemonProcess) -> None:
    async with (
        stdio(place, initialize=False) as one,
        stdio(place, initialize=False) as two,
        stdio(place, initialize=False) as three,
    ):
        peers = (one, two, three)
        await asyncio.gather(*(peer.initialize() for peer in peers))
        seen = [await status(peer) for peer in peers]
        assert len({(one["daemon_id"], one["pid"]) for one in seen}) == 1
        assert seen[0]["clients"] == 3


async def test_it_costs_little_beside_a_running_daemon(shared: DaemonProcess) -> None:
    times = []
    for _ in range(9):
        began = time.monotonic()
        async with stdio(shared):
            times.append(time.monotonic() - began)
    print(f"--stdio start to initialized: p50 {statistics.median(times) * 1000:.0f} ms, max {max(times) * 1000:.0f} ms")
    assert statistics.median(times) < 1


# ---- no daemon to be had


def break_config(place: DaemonProcess) -> str:
    place.config.write_text("adapters: [\n")
    return "models.yaml:"


def open_directory(place: DaemonProcess) -> str:
    place.runtime_dir.chmod(0o755)
    return "chmod 700"


def block_with_file(place: DaemonProcess) -> str:
    place.socket.write_text("precious")
    return str(place.socket)


def full_backlog(place: DaemonProcess) -> str:
    """Somebody listens there and accepts nobody."""
    hung = socket.socket(socket.AF_UNIX)
    hung.bind(str(place.socket))
    hung.listen(0)
    place.hung = [hung]  # type: ignore[attr-defined]
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(str(place.socket))
        except BlockingIOError:
            return str(place.socket)
        finally:
            place.hung.append(client)  # type: ignore[attr-defined]


def far_away(place: DaemonProcess) -> str:
    place.env["MODELD_RUNTIME_DIR"] = str(place.folder / ("x" * 120))
    return "longer than a socket's path may be"


def mute_daemon(place: DaemonProcess) -> str:
    """Somebody accepts there and never answers: a daemon that hangs, or a program that is none."""
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(str(place.socket))
    mute.listen()
    place.hung = [mute]  # type: ignore[attr-defined]
    return "answer"


@pytest.mark.parametrize("spoil", [break_config, open_directory, block_with_file, far_away], ids=lambda one: one.__name__)
async def test_when_no_daemon_can_be_had_it_says_so_and_fails(place: DaemonProcess, spoil: Any) -> None:
    await check_refusal(place, spoil)
    place.runtime_dir.chmod(0o700)
    place.socket.unlink(missing_ok=True)


async def test_a_daemon_that_hangs_is_told_in_time(simulator: Simulator, tmp_path: Path) -> None:
    async def refused(spoil: Any) -> None:
        folder = tmp_path / spoil.__name__
        folder.mkdir()
        await check_refusal(DaemonProcess(config_of(simulator), folder=folder), spoil)

    await asyncio.gather(refused(full_backlog), refused(mute_daemon))


async def check_refusal(place: DaemonProcess, spoil: Any) -> None:
    said = spoil(place)
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *place.command("--stdio"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=place.env,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    # stdin stays open, as an editor keeps it
    process.stdin.write(framed({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}))
    async with asyncio.timeout(12):
        out, err, code = await asyncio.gather(process.stdout.read(), process.stderr.read(), process.wait())
    took_s = time.monotonic() - began
    print(f"{spoil.__name__}: exit {code} after {took_s:.1f} s")
    assert code != 0
    assert took_s < 10
    decoder = FrameDecoder()
    for body in decoder.feed(out):
        assert json.loads(body)["id"] == 1
        assert "error" in json.loads(body)
    assert decoder.idle
    assert said in err.decode()
    assert b"Traceback" not in err


# ---- what stdout carries


@pytest.mark.parametrize("arguments", [("--stdio",), ISOLATED], ids=["shared", "isolated"])
@pytest.mark.parametrize("by", ["option", "variable"])
async def test_stdout_carries_frames_alone_however_much_is_logged(
    place: DaemonProcess, arguments: tuple[str, ...], by: str
) -> None:
    if by == "variable":
        place.env["MODELD_LOG_LEVEL"] = "debug"
    place.env["PYTHONWARNINGS"] = "always"
    requests: list[tuple[str, Any]] = [
        ("initialize", {"capabilities": {}, "trace": "verbose"}),
        ("model/stream", {"model": "openai:sim-text", "messages": "Hello"}),
        ("model/complete", {"model": "anthropic:sim-fault-html_502", "messages": "Hello"}),
        ("model/complete", {"model": "openai:sim-fault-echo_key", "messages": "Hello"}),
        ("no/such", {}),
        ("model/stream", {"model": 1}),
        ("config/reload", {}),
    ]
    process = await asyncio.create_subprocess_exec(
        *place.command(*arguments, *(("--log-level", "debug") if by == "option" else ())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=place.env,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    decoder, bodies = FrameDecoder(), []
    bodies_in = [{"jsonrpc": "2.0", "id": at, "method": method, "params": params} for at, (method, params) in enumerate(requests)]
    process.stdin.write(b"".join(map(framed, bodies_in)))
    async with asyncio.timeout(20):
        while len({body["id"] for body in bodies if "id" in body}) < len(requests):
            data = await process.stdout.read(65536)
            assert data, "it ended too soon"
            bodies += [json.loads(body) for body in decoder.feed(data)]  # raises at anything that is no frame
        process.stdin.write(framed({"jsonrpc": "2.0", "id": 99, "method": "shutdown"}))
        process.stdin.write(framed({"jsonrpc": "2.0", "method": "exit"}))
        out, err = await process.communicate()
    bodies += [json.loads(body) for body in decoder.feed(out)]
    assert decoder.idle
    assert bodies[-1] == {"jsonrpc": "2.0", "id": 99, "result": None}
    assert process.returncode == 0
    assert KEY not in err.decode()
    assert sum("error" in body for body in bodies) == 4


def framed(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


# ---- its end


async def start_hanging(peer: Peer, simulator: Simulator) -> None:
    """A stream that has begun and never ends."""
    peer.request("model/stream", {"model": HANG, "messages": "Hello", "request_id": "hang"})
    await peer.until(lambda: len(peer.events("hang")) >= 2)
    assert simulator.running >= 1


@pytest.mark.parametrize("arguments", [("--stdio",), ISOLATED], ids=["shared", "isolated"])
@pytest.mark.parametrize(
    ("shutdown", "way", "code"), [(True, "exit", 0), (False, "exit", 1), (True, "eof", 0), (False, "eof", 1)]
)
async def test_exit_codes_are_those_of_lsp(
    shared: DaemonProcess, arguments: tuple[str, ...], shutdown: bool, way: str, code: int
) -> None:
    async with stdio(shared, *arguments) as peer:
        if shutdown:
            (await peer.call("shutdown")).ok()
        if way == "exit":
            peer.notify("exit")
        else:
            peer.writer.close()
        ended, took_s = await peer.ended()
        assert ended == code
        assert took_s < 2


@pytest.mark.parametrize("arguments", [("--stdio",), ISOLATED], ids=["shared", "isolated"])
async def test_a_closed_stdin_ends_it_and_closes_its_streams(
    shared: DaemonProcess, simulator: Simulator, arguments: tuple[str, ...]
) -> None:
    simulator.reset()
    async with stdio(shared, *arguments) as peer:
        await start_hanging(peer, simulator)
        began = time.monotonic()
        peer.writer.close()
        await simulator.wait_until(lambda: bool(simulator.closed_early))
        closed_s = simulator.closed_early[0].at_s - began
        code, took_s = await peer.ended()
        print(f"stdin closed: upstream closed after {closed_s * 1000:.1f} ms, exit {code} after {took_s * 1000:.0f} ms more")
        assert closed_s < CLOSE_WITHIN_S
        assert took_s < 2
    async with await Peer.connect(shared.socket) as other:
        await other.initialize()
        assert (await status(other))["running_calls"] == 0


async def test_a_killed_client_closes_its_streams(shared: DaemonProcess, simulator: Simulator) -> None:
    simulator.reset()
    async with stdio(shared) as peer:
        await start_hanging(peer, simulator)
        began = time.monotonic()
        peer.process.kill()
        await simulator.wait_until(lambda: bool(simulator.closed_early))
        assert simulator.closed_early[0].at_s - began < CLOSE_WITHIN_S


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
async def test_when_the_daemon_dies_it_ends_with_a_code(simulator: Simulator, number: signal.Signals) -> None:
    async with DaemonProcess(config_of(simulator)) as daemon, stdio(daemon) as peer:
        began = time.monotonic()
        daemon.signal(number)
        code, _ = await peer.ended()
        print(f"{number.name}: --stdio exits with {code} after {(time.monotonic() - began) * 1000:.0f} ms")
        assert code not in (0, 1)
        assert time.monotonic() - began < 2
        assert "connection to the daemon was lost" in await peer.errors()


# ---- the whole daemon in one process


async def test_isolated_is_a_whole_daemon_without_a_socket(place: DaemonProcess) -> None:
    async with stdio(place, *ISOLATED) as peer:
        seen = await status(peer)
        assert seen["pid"] == peer.process.pid
        assert seen["socket"] is None
        check_stream(await peer.call("model/stream", {"model": "anthropic:sim-text", "messages": "Hello"}), "end_turn")
        assert listening_sockets(peer.process.pid) == []
        assert not list(place.runtime_dir.iterdir())
        await say_goodbye(peer)
        assert (await peer.ended())[0] == 0


async def test_isolated_leaves_a_shared_daemon_alone(shared: DaemonProcess) -> None:
    async with stdio(shared, *ISOLATED) as peer, await Peer.connect(shared.socket) as other:
        await other.initialize()
        assert (await status(peer))["daemon_id"] != (await status(other))["daemon_id"]


async def test_isolated_ends_at_a_signal(place: DaemonProcess) -> None:
    async with stdio(place, *ISOLATED) as peer:
        peer.process.terminate()
        _, took_s = await peer.ended()
        assert took_s < 2


def listening_sockets(pid: int) -> list[str]:
    """Sockets of a process on which it listens, Unix and TCP (Linux)."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    found = [" ".join(fields) for fields in unix if fields[6] in inodes and int(fields[3], 16) & 0x10000]
    for file in ("tcp", "tcp6"):
        rows = [line.split() for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]]
        found += [" ".join(fields) for fields in rows if fields[9] in inodes and fields[3] == "0A"]
    return found


# ---- what editors do


EDITOR_ARGUMENTS = [
    ("--stdio", "--clientProcessId=12345"),
    ("--clientProcessId=12345", "--stdio"),
    ("--stdio", "--isolated", "--clientProcessId=12345"),
]


@pytest.mark.parametrize("arguments", EDITOR_ARGUMENTS, ids=" ".join)
async def test_an_editors_arguments_and_five_megabytes(
    shared: DaemonProcess, simulator: Simulator, arguments: tuple[str, ...]
) -> None:
    text = " ".join(["Grüße 🌍"] * (5 * MIB // 13))
    async with stdio(shared, *arguments) as peer:
        began = time.monotonic()
        reply = await peer.call("model/complete", {"model": "openai:sim-echo", "messages": text}, timeout_s=30)
        print(f"{len(text.encode()) / MIB:.1f} MiB there and back: {(time.monotonic() - began) * 1000:.0f} ms")
        assert text_of(reply.ok()["content"]) == text
        assert simulator.requests[-1].body_bytes > 5 * MIB
        await say_goodbye(peer)
        assert (await peer.ended())[0] == 0
