"""Accepting: other users, TCP and its token, too many clients, too few descriptors."""

import asyncio
import os
import resource
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.peer import Peer
from tests.harness.served import Served, client, serve

from modeld.clock import Clock
from modeld.server import connection as connection_module
from modeld.server import listener as listener_module
from modeld.server.listener import ListenError, parse_loopback_address
from modeld.server.peer import TokenGate, load_token, peer_uid

pytestmark = pytest.mark.anyio
TOKEN = "0123456789abcdef" * 4


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path / "s") as running:
        yield running


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


# ---- peers


def test_the_kernel_tells_the_uid() -> None:
    ours, theirs = socket.socketpair()
    assert peer_uid(ours) == os.geteuid()
    ours.close()
    theirs.close()


async def test_another_user_gets_not_a_byte(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.server.peer.peer_uid", lambda sock: os.geteuid() + 1)
    async with await Peer.connect(served.path, validate=False) as peer:
        peer.request("initialize", {"capabilities": {}})
        await peer.until_closed()
        assert peer.messages == []
    assert not served.listener.connections


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
async def test_another_user_is_refused_with_every_mode_loosened(served: Served, tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents):
        if not place.stat().st_mode & stat.S_IXOTH:
            place.chmod(0o777)
    served.path.chmod(0o666)
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "sys.stdout.write(repr(s.recv(100)))"
    )
    process = await asyncio.create_subprocess_exec("python3", "-c", script, str(served.path), stdout=-1, stderr=-1)
    out, err = await process.communicate()
    assert out == b"b''" or b"ConnectionResetError" in err, err


# ---- how many


async def test_two_hundred_clients_come_and_go(served: Served) -> None:
    files = len(os.listdir("/dev/fd"))
    peers = await asyncio.gather(*(Peer.connect(served.path, validate=False) for _ in range(200)))
    await asyncio.gather(*(peer.initialize() for peer in peers))
    assert len(served.listener.connections) == 200
    assert len({connection.client.number for connection in served.listener.connections}) == 200
    await asyncio.gather(*(peer.close() for peer in peers))
    await until(lambda: not served.listener.connections)
    await until(lambda: len(os.listdir("/dev/fd")) <= files + 1)


async def test_one_client_too_many_is_told(tmp_path: Path) -> None:
    counts: list[int] = []
    async with serve(tmp_path / "s", max_clients=1, on_change=counts.append) as served:
        async with client(served), await Peer.connect(served.path, validate=False) as second:
            await second.until_closed()
            assert second.messages[0]["error"]["code"] == -32001
        await until(lambda: counts == [1, 0])
        async with client(served) as third:
            assert (await third.call("test/echo", {})).ok() == {}


async def test_accepting_rests_while_descriptors_are_short(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "RETRY_ACCEPT_S", 0.02)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with client(served) as running:
        rpc_id = running.request("test/hang", {"name": "runs"})
        highest = max(int(name) for name in os.listdir("/dev/fd"))
        limit = highest + listener_module.RESERVED_FILES + 20
        held: list[int] = []
        waiting = socket.socket(socket.AF_UNIX)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            while not held or held[-1] < limit - 2:
                held.append(os.dup(0))
            waiting.setblocking(False)
            waiting.connect(str(served.path))
            assert (await running.call("test/echo", {"still": 1})).ok() == {"still": 1}
            await asyncio.sleep(0.1)
            assert len(served.listener.connections) == 1
        finally:
            for file in held:
                os.close(file)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: len(served.listener.connections) == 2)
        served.gate.set()
        assert (await running.reply(rpc_id)).ok() == "runs"
        waiting.close()


async def test_no_new_client_once_accepting_has_stopped(served: Served) -> None:
    async with client(served) as stays:
        served.listener.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await Peer.connect(served.path, validate=False)
        assert (await stays.call("test/echo", {})).ok() == {}


# ---- TCP


@pytest.mark.parametrize(
    "address", ["0.0.0.0:0", "192.168.1.5:80", "example.com:80", ":80", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "[::]:80"]
)
async def test_only_loopback_is_listened_on(served: Served, address: str) -> None:
    with pytest.raises(ListenError, match=r"write --tcp 127\.0\.0\.1:"):
        served.listener.start_tcp(address, TOKEN)


@pytest.mark.parametrize(
    ("text", "parsed"), [("localhost:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("127.0.0.1:1", ("127.0.0.1", 1))]
)
def test_loopback_addresses(text: str, parsed: tuple[str, int]) -> None:
    assert parse_loopback_address(text) == parsed


def start_tcp(served: Served) -> int:
    return int(served.listener.start_tcp("127.0.0.1:0", TOKEN).rpartition(":")[2])


async def test_the_right_token_is_let_in(served: Served) -> None:
    async with await Peer.connect_tcp(start_tcp(served), validate=False) as peer:
        await peer.initialize(token=TOKEN)
        assert (await peer.call("test/echo", {"a": 1})).ok() == {"a": 1}


@pytest.mark.parametrize(
    "token", [{}, {"token": None}, {"token": "f" * 64}, {"token": TOKEN[:-1]}, {"token": ""}, {"token": "é"}]
)
async def test_wrong_tokens_get_no_result_and_are_closed(served: Served, token: dict[str, Any]) -> None:
    async with await Peer.connect_tcp(start_tcp(served), validate=False) as peer:
        rpc_id = peer.request("initialize", {"capabilities": {}, "initializationOptions": {"modeld": token}})
        peer.request("test/echo", {"late": 1})
        await peer.until_closed()
        (answer,) = peer.messages
        assert answer["id"] == rpc_id
        assert "token" in answer["error"]["message"]
        assert TOKEN not in str(answer)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"Content-Length: 7\r\n\r\n{broken",
        b"Content-Length: x\r\n\r\n",
        b'Content-Length: 50\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"test/echo"     }',
        b'Content-Length: 48\r\n\r\n{"jsonrpc":"2.0","method":"test/note","params":1}',
    ],
)
async def test_without_a_token_nothing_is_told(served: Served, data: bytes) -> None:
    async with await Peer.connect_tcp(start_tcp(served), validate=False) as peer:
        peer.send_bytes(data)
        await peer.until_closed()
        assert peer.messages == []
        assert served.log == []


async def test_who_says_nothing_is_closed_in_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "TOKEN_TIMEOUT_S", 0.1)
    port = start_tcp(served)
    async with await Peer.connect_tcp(port, validate=False) as silent, await Peer.connect_tcp(port, validate=False) as known:
        await known.initialize(token=TOKEN)
        await silent.until_closed(5)
        assert (await known.call("test/echo", {})).ok() == {}


def test_five_wrong_tokens_a_minute_lock_the_gate() -> None:
    now = 1000.0
    gate = TokenGate(TOKEN, lambda: now)
    for _ in range(10):
        assert not gate.admit(None)
    for _ in range(4):
        assert not gate.admit("wrong")
    assert gate.admit(TOKEN)
    assert not gate.admit("wrong")
    assert gate.locked
    assert not gate.admit(TOKEN)
    now += 61
    assert gate.admit(TOKEN)
    for _ in range(20):
        now += 20
        assert not gate.admit("wrong")
    assert not gate.locked


async def test_a_locked_gate_closes_at_once(tmp_path: Path) -> None:
    now = 1000.0
    async with serve(tmp_path / "s", clock=Clock(monotonic=lambda: now)) as served:
        port = start_tcp(served)
        for _ in range(5):
            async with await Peer.connect_tcp(port, validate=False) as peer:
                assert (await peer.call("initialize", {"initializationOptions": {"modeld": {"token": "bad"}}})).error
        async with await Peer.connect_tcp(port, validate=False) as locked:
            await locked.until_closed()
            assert locked.messages == []
        now += 61
        async with await Peer.connect_tcp(port, validate=False) as peer:
            await peer.initialize(token=TOKEN)


def test_the_token_file_is_private_and_kept(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        token = load_token(str(tmp_path))
    finally:
        os.umask(mask)
    file = tmp_path / "token"
    assert len(bytes.fromhex(token)) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_token(str(tmp_path)) == token
    file.chmod(0o644)
    renewed = load_token(str(tmp_path))
    assert renewed != token
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("short")
    assert len(load_token(str(tmp_path))) == 64


def test_a_planted_token_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("f" * 64)
    elsewhere.chmod(0o600)
    (tmp_path / "token").symlink_to(elsewhere)
    assert load_token(str(tmp_path)) != "f" * 64
    assert elsewhere.read_text() == "f" * 64
    assert not (tmp_path / "token").is_symlink()
