"""Promises J: who may connect, where keys may go, and what is never told, with the walls tested one by one."""

import asyncio
import errno
import json
import os
import re
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness import canary
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer
from tests.harness.raw_server import script, serving
from tests.harness.talkative import http_answer, talkative, told

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
OFFLINE = models_yaml("http://127.0.0.1:9", "http://127.0.0.1:9/v1", ["m"])


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# ---- the place


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("how", ["the runtime directory", "--socket", "--stdio"])
async def test_what_the_daemon_makes_is_private(tmp_path: Path, simulator: Simulator, how: str) -> None:
    config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
    daemon = DaemonProcess(config, "--tcp", "127.0.0.1:0", "--log-level", "debug", folder=tmp_path)
    daemon.runtime_dir.rmdir()
    place = daemon.runtime_dir
    if how == "--socket":
        place = tmp_path / "a" / "b"
        daemon.socket = place / "s.sock"
        daemon.arguments += ("--socket", str(daemon.socket))
    if how == "--stdio":
        await daemon.run("--stdio", timeout_s=15)
    else:
        await daemon.start()
    async with _stopped(daemon, how):
        peer = await daemon.peer()
        (await peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
        assert mode(daemon.socket) == 0o600
        assert mode(place) == 0o700
        if how == "--socket":
            assert mode(place.parent) == 0o700
        if how != "--stdio":
            assert mode(daemon.runtime_dir) == 0o700
            assert mode(daemon.runtime_dir / "token") == 0o600
        made = [*place.iterdir(), *daemon.state_dir.rglob("*"), *([daemon.state_dir] if daemon.state_dir.exists() else [])]
        assert made
        assert not [path for path in made if mode(path) & 0o077], "nothing is open to others"


@asynccontextmanager
async def _stopped(daemon: DaemonProcess, how: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for peer in daemon.peers:
            await peer.close()
        if how == "--stdio":
            await daemon.run("stop")
        await daemon.stop()


@pytest.mark.parametrize("loose", [0o777, 0o755, 0o750, 0o701, 0o1777])
@pytest.mark.parametrize("command", ["", "--stdio", "--socket"])
async def test_a_directory_open_to_others_is_refused(tmp_path: Path, loose: int, command: str) -> None:
    daemon = DaemonProcess(OFFLINE, folder=tmp_path)
    daemon.runtime_dir.chmod(loose)
    arguments = [word for word in command.split() if word]
    if command == "--socket":
        daemon.env.pop("MODELD_RUNTIME_DIR")
        arguments.append(str(daemon.socket))
    began = time.monotonic()
    code, out, err = await daemon.run(*arguments, timeout_s=9)
    assert code != 0
    assert time.monotonic() - began < 5
    assert out == ""
    assert f"chmod 700 {daemon.runtime_dir}" in err
    assert mode(daemon.runtime_dir) == loose, "it isn't mended behind the user's back"
    assert list(daemon.runtime_dir.iterdir()) == []


@pytest.mark.parametrize("target_mode", [0o700, 0o777])
@pytest.mark.parametrize("command", ["", "--stdio"])
async def test_a_directory_that_is_a_link_is_not_followed(tmp_path: Path, target_mode: int, command: str) -> None:
    daemon = DaemonProcess(OFFLINE, folder=tmp_path)
    daemon.runtime_dir.rmdir()
    target = tmp_path / "elsewhere"
    target.mkdir()
    target.chmod(target_mode)
    daemon.runtime_dir.symlink_to(target)
    code, _, err = await daemon.run(*command.split(), timeout_s=9)
    assert code != 0
    assert err.strip()
    assert list(target.iterdir()) == []


# ---- who connects


def as_nobody(do: Callable[[], str]) -> str:
    """What `do` returns in a process of another user."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = do()
        except BaseException as error:
            said = f"{type(error).__name__} {getattr(error, 'errno', '')}"
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def connect_and_listen(path: Path) -> Callable[[], str]:
    def do() -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(path))
            body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}'
            try:
                sock.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                return f"{len(sock.recv(65536))} bytes"
            except ConnectionError:
                return "0 bytes"

    return do


@needs_root
async def test_another_user_is_refused_by_each_wall(simulator: Simulator) -> None:
    async with DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])) as daemon:
        peer = await daemon.peer()
        denied = f"PermissionError {errno.EACCES}"
        assert as_nobody(connect_and_listen(daemon.socket)) == denied, "the directory"
        daemon.folder.chmod(0o755)
        daemon.runtime_dir.chmod(0o755)
        assert as_nobody(connect_and_listen(daemon.socket)) == denied, "the socket's mode"
        daemon.socket.chmod(0o666)
        began = time.monotonic()
        assert as_nobody(connect_and_listen(daemon.socket)) == "0 bytes", "the peer's uid"
        assert time.monotonic() - began < 1
        assert (await peer.call("daemon/status")).ok()["clients"] == 1
        async with await Peer.connect(daemon.socket) as own:
            await own.initialize()


@needs_root
async def test_another_user_cannot_read_the_process_or_what_it_keeps(simulator: Simulator) -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        paths = [f"/proc/{daemon.pid}/environ", f"/proc/{daemon.pid}/mem", str(daemon.runtime_dir / "token")]
        for path in paths:
            said = as_nobody(lambda path=path: f"{len(Path(path).read_bytes())} bytes")
            assert said.startswith("PermissionError"), path


# ---- TCP


def listening_ports(pid: int) -> list[str]:
    """The TCP and UDP sockets of a process, as the kernel lists them (Linux)."""
    inodes: set[str] = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}")))
        except FileNotFoundError:
            continue
    found: list[str] = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == "0A" or table.startswith("udp")):
                found.append(fields[1])
    return found


async def test_no_port_is_open_unless_asked_for() -> None:
    async with DaemonProcess(OFFLINE) as daemon:
        assert listening_ports(daemon.pid) == []
        assert not (daemon.runtime_dir / "token").exists()
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        await _tcp_port(daemon)
        ports = listening_ports(daemon.pid)
        assert len(ports) == 1
        assert ports[0].startswith("0100007F:")


ADDRESSES = ["0.0.0.0:0", "0.0.0.0:7878", ":7878", "7878", "[::]:7878", "::", "192.168.1.1:7878", "10.0.0.1:1", "example.com:80"]
SLY = [
    "127.0.0.1.evil.example:1",
    "localhost.evil.example:1",
    "0:7878",
    "0x7f000001:1",
    "2130706433:1",
    "[::ffff:0.0.0.0]:1",
    "*:1",
]


@pytest.mark.parametrize("address", [*ADDRESSES, *SLY, "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", ""])
async def test_tcp_elsewhere_is_refused(tmp_path: Path, address: str) -> None:
    daemon = DaemonProcess(OFFLINE, folder=tmp_path)
    code, _, err = await daemon.run("--tcp", address, timeout_s=9)
    assert code != 0
    assert "127.0.0.1" in err
    assert "Traceback" not in err
    assert not daemon.socket.exists()


async def _tcp_port(daemon: DaemonProcess) -> int:
    async with asyncio.timeout(5):
        while not (found := re.search(r"127\.0\.0\.1:(\d+)", daemon.output())):
            await asyncio.sleep(0.01)
    return int(found[1])


def _hello(**options: Any) -> dict[str, Any]:
    return {"capabilities": {}, "initializationOptions": {"modeld": {"protocol_versions": [1], **options}}}


async def test_tcp_needs_the_token() -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        port = await _tcp_port(daemon)
        token = (daemon.runtime_dir / "token").read_text().strip()
        assert re.fullmatch(r"[0-9a-f]{64}", token)
        for options in ({}, {"token": None}, {"token": "0" * 64}, {"token": token[:-1]}, {"token": ""}):
            async with await Peer.connect_tcp(port, validate=False) as peer:
                peer.request("initialize", _hello(**options))
                peer.request("model/list")
                await peer.until_closed(5)
                assert not any("result" in message for message in peer.messages)
                assert token not in json.dumps(peer.messages)
        for first in ("model/list", "shutdown", "daemon/stop"):
            async with await Peer.connect_tcp(port, validate=False) as peer:
                peer.request(first)
                await peer.until_closed(5)
                assert peer.messages == []
        http = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\nContent-Length: 2\r\n\r\n{}" % token.encode()
        async with await Peer.connect_tcp(port, validate=False) as peer:
            peer.send_bytes(http)
            await peer.until_closed(5)
            assert peer.messages == []
        async with await Peer.connect_tcp(port) as peer:
            await peer.initialize(token=token)
            (await peer.call("daemon/status")).ok()


async def test_a_client_that_says_nothing_on_tcp_is_closed() -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        port = await _tcp_port(daemon)
        began = time.monotonic()
        async with await Peer.connect_tcp(port, validate=False) as silent, await Peer.connect_tcp(port, validate=False) as slow:
            slow.send_bytes(b"Content-Length: 10000\r\n\r\n{")
            await silent.until_closed(4)
            await slow.until_closed(4)
            assert time.monotonic() - began < 3
            assert silent.messages == slow.messages == []


async def test_guessing_tokens_is_stopped() -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        port = await _tcp_port(daemon)
        for number in range(5):
            async with await Peer.connect_tcp(port, validate=False) as peer:
                peer.request("initialize", _hello(token=f"{number:064x}"))
                await peer.until_closed(5)
        token = (daemon.runtime_dir / "token").read_text().strip()
        async with await Peer.connect_tcp(port, validate=False) as peer:
            peer.request("initialize", _hello(token=token))
            await peer.until_closed(5)
            assert peer.messages == []
        peer = await daemon.peer()
        assert (await peer.call("daemon/status")).ok()["pid"]
        assert "0000000000000000001" not in daemon.output()


# ---- where keys may go


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with serving(script(http_answer("200 OK", b"{}"))) as sink:
        location = f"location: {sink.origin}/v1/chat/completions"
        async with serving(script(http_answer(f"{status} Moved", b"", location))) as server, talkative(server) as (_, peer):
            for wire in ("anthropic", "openai"):
                for method in ("model/complete", "model/stream"):
                    reply = await peer.call(method, {"model": f"{wire}:m", "messages": "x"})
                    assert reply.data["provider_status"] == status
            await peer.call("model/countTokens", {"model": "anthropic:m", "messages": "x"})
            assert (await peer.call("model/discover")).ok()["failures"]
            assert server.requests
        assert sink.accepted == 0


def _variables(sink: str) -> dict[str, str]:
    names = [
        *("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "OPENAI_API_BASE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"),
        *("https_proxy", "all_proxy", "MODELD_CONFIG", "MODELD_SOCKET", "ANTHROPIC_API_URL", "base_url"),
    ]
    return {**dict.fromkeys(names, sink), "MODELD_TEST_KEY": KEY, "SSL_CERT_FILE": "/dev/null", "NO_PROXY": ""}


async def test_no_client_can_move_a_key(simulator: Simulator) -> None:
    async with serving(script(http_answer("200 OK", b"{}"))) as sink:
        where = str(sink.origin)
        moved = {"base_url": where, "baseUrl": where, "api_base": where, "proxy": where, "endpoint": where, "host": where}
        options = {
            **moved,
            "env": _variables(where),
            "config": {"adapters": {"openai": moved}},
            "adapters": {"anthropic": moved, "openai": moved, "mine": {"type": "openai", **moved}},
            "models": {"openai:sim-text": {"adapter": "mine"}},
            "config_file": "/nowhere",
            "trusted": True,
            "extra_headers": {"host": sink.origin.host, "x-forwarded-host": where},
        }
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
        async with DaemonProcess(config) as daemon:
            peer = await Peer.connect(daemon.socket, validate=False)
            daemon.peers.append(peer)
            given = {
                "capabilities": {},
                "initializationOptions": {"modeld": {"protocol_versions": [1], **options}, **options},
                **options,
            }
            (await peer.call("initialize", given)).ok()
            peer.notify("workspace/didChangeConfiguration", {"settings": {"modeld": options}})
            simulator.reset()
            for wire in ("anthropic", "openai"):
                for provider_options in (moved, {"extra_headers": {"host": where}}, {"url": where, "path": f"//{where}"}):
                    for method in ("model/complete", "model/stream"):
                        request = {
                            "model": f"{wire}:sim-text",
                            "messages": "x",
                            "provider_options": {wire: provider_options},
                            **moved,
                        }
                        await peer.call(method, request)
                (await peer.call("model/complete", {"model": f"{wire}:sim-text", "messages": "x", **moved})).ok()
            for model in (where, f"openai:{where}", f"mine:{where}", "mine:sim-text"):
                assert (await peer.call("model/complete", {"model": model, "messages": "x"})).error is not None
            await peer.call("model/discover", {"providers": None, **moved})
            text = models_yaml(where, where, ["sim-text"])
            (await peer.call("config/check", {"text": text})).ok()
            (await peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
            providers = (await peer.call("provider/list")).ok()["providers"]
            assert sink.origin.port not in [int(provider["base_url"].split(":")[2].partition("/")[0]) for provider in providers]
            assert len(simulator.requests) >= 5
        assert sink.accepted == 0


async def test_the_daemons_own_environment_names_no_proxy_and_no_address(simulator: Simulator) -> None:
    async with serving(script(http_answer("200 OK", b"{}"))) as sink:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
        env = {name: value for name, value in _variables(str(sink.origin)).items() if not name.startswith("MODELD_")}
        async with DaemonProcess(config, env=env) as daemon:
            peer = await daemon.peer()
            for wire in ("anthropic", "openai"):
                (await peer.call("model/complete", {"model": f"{wire}:sim-text", "messages": "x"})).ok()
        assert sink.accepted == 0


async def test_a_lent_key_serves_its_lender_alone(simulator: Simulator) -> None:
    lent = "sk-lent-canary-2f4e6a8c0b1d3f5a"
    config = models_yaml(
        simulator.base_url, simulator.openai_base_url, ["sim-text", "sim-fault-echo_key"], api_key_env="MODELD_LENT_KEY"
    )
    async with DaemonProcess(config, "--log-level", "debug") as daemon:
        lender = await daemon.peer(env={"MODELD_LENT_KEY": lent, "MODELD_TEST_KEY": "sk-never-asked-for-0123456789"})
        other = await daemon.peer()
        simulator.reset()
        (await lender.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
        assert simulator.requests[-1].header("authorization") == f"Bearer {lent}"
        refused = await other.call("model/complete", {"model": "openai:sim-text", "messages": "x"})
        assert refused.data["error_class"] == "not_configured"
        assert len(simulator.requests) == 1
        for wire in ("anthropic", "openai"):
            assert (await lender.call("model/complete", {"model": f"{wire}:sim-fault-echo_key", "messages": "x"})).data
        assert canary.find([lent, "sk-never-asked-for-0123456789"], *told(daemon, lender, other)) == []


@pytest.mark.parametrize("fault", ["auth", "quota", "rate_limit-0-0"])
async def test_what_is_wrong_with_a_lent_key_is_its_lenders_business(simulator: Simulator, fault: str) -> None:
    models = ["sim-text", f"sim-fault-{fault}"]
    config = models_yaml(simulator.base_url, simulator.openai_base_url, models, max_retries=0)
    async with DaemonProcess(config) as daemon:
        lender, other = await daemon.peer(env={"MODELD_TEST_KEY": "sk-lent-0123456789abcdef"}), await daemon.peer()
        for _ in range(5):
            (await lender.call("model/complete", {"model": f"openai:{models[1]}", "messages": "x"})).data["error_class"]
        states = {model["availability"] for model in (await other.call("model/list")).ok()["models"]}
        assert states == {"available"}
        assert not other.notifications("availability/changed")


# ---- the process


async def test_there_are_no_core_dumps() -> None:
    async with DaemonProcess(OFFLINE) as daemon:
        limits = Path(f"/proc/{daemon.pid}/limits").read_text()
        found = re.search(r"Max core file size\s+(\S+)\s+(\S+)", limits)
        assert found is not None
        assert found.groups() == ("0", "0")
