"""Clients that flood, or that don't read: bounded memory, others served, an end in time."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.served import Served, client, serve

from modeld.limits import MIB, READ_STOP_BYTES, WRITE_HIGH_WATER_BYTES
from modeld.server import connection as connection_module
from modeld.server import input as input_module
from modeld.server import output as output_module

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path / "s") as running:
        yield running


def framed(method: str, params: Any, rpc_id: int | None = None) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params, **({} if rpc_id is None else {"id": rpc_id})}
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Deaf:
    """A client that writes and does not read until told to. Plain non-blocking socket: no reader in the background."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.sock.setblocking(False)
        self.sock.send(framed("initialize", {"capabilities": {}}, 0))

    def write(self, data: bytes) -> int:
        """As much as the kernel takes; returns how much."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    async def read_until(self, mark: bytes) -> bytes:
        data = b""
        async with asyncio.timeout(20):
            while mark not in data[-200_000:]:
                data += await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        return data


def server_side(served: Served) -> Any:
    (connection,) = served.listener.connections
    return connection


async def until(condition: Any, timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.002)


async def flood(deaf: Deaf, data: bytes) -> int:
    """Write until the server takes no more; returns the bytes it took."""
    sent = 0
    idle = 0
    while sent < len(data) and idle < 100:
        count = deaf.write(data[sent : sent + 65536])
        sent += count
        idle = 0 if count else idle + 1
        await asyncio.sleep(0.001)
    return sent


async def test_a_flood_with_unread_replies_is_bounded_and_answered_once_read(served: Served) -> None:
    deaf = Deaf(served.path)
    payload = {"pad": "x" * 1000}
    data = b"".join(framed("test/echo", payload, number) for number in range(1, 20_001))
    taken = await flood(deaf, data)
    assert taken < len(data) / 2
    connection = server_side(served)
    assert connection._output.unread_bytes < READ_STOP_BYTES + 2 * WRITE_HIGH_WATER_BYTES
    async with client(served) as other:
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            (await other.call("test/echo", {})).ok()
        assert asyncio.get_running_loop().time() - began < 1.0

    async def rest() -> None:
        at = taken
        while at < len(data):
            await asyncio.sleep(0.001)
            at += deaf.write(data[at : at + 65536])

    writer = asyncio.create_task(rest())
    answered = await deaf.read_until(b'"id":20000,')
    await writer
    assert answered.count(b'"result":{"pad"') == 20_000
    deaf.sock.close()


async def test_an_endless_flood_of_small_requests_leaves_others_their_turn(served: Served) -> None:
    data = b"".join(framed("test/echo", {}, number) for number in range(1, 1000))
    async with client(served) as loud, client(served) as quiet:
        for _ in range(100):
            loud.send_bytes(data)
        ticks = 0

        async def count_ticks() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_ticks())
        assert (await quiet.call("test/echo", {"a": 1})).ok() == {"a": 1}
        counting.cancel()
        # Had the flood been dispatched first, the quiet client's answer would have waited for all of it.
        assert len(loud.messages) < 90_000
        assert ticks > 1


async def test_cancels_get_through_to_a_stream_that_nobody_reads(served: Served) -> None:
    deaf = Deaf(served.path)
    deaf.write(framed("test/flood", {"count": 10**9}, 1))
    await until(lambda: served.connections == [] and served.listener.connections and not server_side(served).writable)
    sent = len(served.names("sent"))
    await asyncio.sleep(0.05)
    assert len(served.names("sent")) == sent, "the producer did not pause"
    assert sent * 1000 < 2 * MIB
    deaf.write(framed("$/cancelRequest", {"id": 1}))
    await until(lambda: server_side(served).requests_in_flight == 0)
    data = await deaf.read_until(b"-32800")
    assert data.count(b"-32800") == 1
    deaf.sock.close()


async def test_a_paused_producer_goes_on_when_the_client_reads(served: Served) -> None:
    deaf = Deaf(served.path)
    deaf.write(framed("test/flood", {"count": 3000}, 1))
    await until(lambda: served.listener.connections and not server_side(served).writable)
    data = await deaf.read_until(b'"id":1,"result":3000')
    assert data.count(b"test/event") == 3000
    deaf.sock.close()


async def test_a_client_that_reads_nothing_is_dropped(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "SLOW_CLIENT_TIMEOUT_S", 0.1)
    deaf = Deaf(served.path)
    deaf.write(framed("test/flood", {"count": 10**9}, 1) + framed("test/hang", {"name": "own"}, 2))
    await until(lambda: served.names("cancelled") == ["own"])
    await until(lambda: not served.listener.connections)
    deaf.sock.close()


async def test_a_client_that_reads_slowly_is_kept(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "SLOW_CLIENT_TIMEOUT_S", 0.4)
    deaf = Deaf(served.path)
    deaf.write(framed("test/flood", {"count": 2000}, 1))
    await until(lambda: served.listener.connections and not server_side(served).writable)
    for _ in range(20):  # the kernel asks for more once three quarters of its buffer are free
        await asyncio.sleep(0.05)
        deaf.sock.recv(65536)
    assert len(served.listener.connections) == 1
    await deaf.read_until(b'"id":1,"result":2000')
    deaf.sock.close()


async def test_too_much_unread_output_drops_the_client(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "WRITE_HARD_LIMIT_BYTES", 3 * MIB)
    deaf = Deaf(served.path)
    async with client(served) as other:
        deaf.write(framed("test/big", {"size": 5 * MIB}, 1))
        await until(lambda: len(served.listener.connections) == 1)
        assert (await other.call("test/echo", {})).ok() == {}
    deaf.sock.close()


async def test_closing_does_not_wait_for_a_client_that_does_not_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LINGER_S", 0.1)
    deaf = Deaf(served.path)
    deaf.write(framed("test/big", {"size": 700_000}, 1) + framed("exit", {}))
    await until(lambda: served.listener.connections)
    await until(lambda: not served.listener.connections)
    deaf.sock.close()


async def test_a_message_that_stops_half_way_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_module, "MESSAGE_STALL_TIMEOUT_S", 0.15)
    async with client(served) as peer:
        body = b'{"jsonrpc":"2.0","id":70,"method":"test/echo"}'
        frame = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        for at in range(0, len(frame), 10):  # slow, but never still for so long
            peer.send_bytes(frame[at : at + 10])
            await asyncio.sleep(0.05)
        assert (await peer.reply(70)).ok() == {}
        peer.send_bytes(b"Content-Length: 1000\r\n\r\n" + body)
        await peer.until_closed()
        assert peer.messages[-1]["error"]["code"] == -32700
        assert "Content-Length" in peer.messages[-1]["error"]["message"]
