"""Every kind of bad bytes on a connection: the answer is exact, and the others are served."""

import asyncio
import random
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.peer import Peer
from tests.harness.served import Served, client, serve

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path / "s") as running:
        yield running


async def still_served(peer: Peer) -> bool:
    return (await peer.call("test/echo", {"alive": True})).ok() == {"alive": True}


def request(rpc_id: str, params: str = "{}", method: str = '"test/echo"') -> bytes:
    return f'{{"jsonrpc":"2.0","id":{rpc_id},"method":{method},"params":{params}}}'.encode("utf-8", "surrogateescape")


NESTED = "[" * 100_000 + "]" * 100_000

UNREADABLE = {
    "not JSON": b"{nonsense",
    "empty": b"",
    "cut": b'{"jsonrpc":"2.0","id":1,"method":"te',
    "cut batch": b"[1,",
    "trailing": request("1") + b"x",
    "bad UTF-8 in the method": b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
    "bad UTF-8 in params": request("1", '{"a":"\udcff"}'),
    "bad UTF-8 in a field nobody reads": b'{"jsonrpc":"2.0","id":1,"method":"test/echo","x":"\xc3\x28"}',
    "UTF-8 cut at the end": b'{"jsonrpc":"2.0","id":1,"method":"test/echo","x":"\xe2\x82"}',
    "surrogates as UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"test/echo","x":"\xed\xa0\x80"}',
    "UTF-16": request("1").decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + request("1"),
    "deep params": request("1", NESTED),
    "deep anywhere": b'{"jsonrpc":"2.0","id":1,"method":"test/echo","x":%b}' % NESTED.encode(),
    "deep batch": NESTED.encode(),
    "NaN": request("1", '{"a":NaN}'),
    "Infinity": request("1", "[-Infinity]"),
    "NUL": b"\x00" * 20,
}

NO_REQUEST = {
    "batch": b"[" + request("1") + b"]",
    "empty batch": b"[]",
    "number": b"7",
    "string": b'"text"',
    "null": b"null",
    "true": b"true",
    "empty object": b"{}",
    "no method": b'{"jsonrpc":"2.0"}',
    "id null": request("null"),
    "id true": request("true"),
    "id 1.5": request("1.5"),
    "id object": request('{"a":1}'),
    "id array": request("[1]"),
    "id of 5000 digits": request("7" * 5000),
}

NO_REQUEST_WITH_ID = {
    "no jsonrpc": b'{"id":3,"method":"test/echo"}',
    "jsonrpc 1.0": b'{"jsonrpc":"1.0","id":3,"method":"test/echo"}',
    "jsonrpc a number": b'{"jsonrpc":2.0,"id":3,"method":"test/echo"}',
    "method a number": request("3", method="5"),
    "method a list": request("3", method='["a"]'),
    "method null": request("3", method="null"),
    "only an id": b'{"jsonrpc":"2.0","id":3}',
}


@pytest.mark.parametrize(
    ("body", "code", "rpc_id"),
    [pytest.param(body, -32700, None, id=name) for name, body in UNREADABLE.items()]
    + [pytest.param(body, -32600, None, id=name) for name, body in NO_REQUEST.items()]
    + [pytest.param(body, -32600, 3, id=name) for name, body in NO_REQUEST_WITH_ID.items()],
)
@pytest.mark.parametrize("initialized", [True, False])
async def test_bodies_that_are_no_request(served: Served, body: bytes, code: int, rpc_id: Any, initialized: bool) -> None:
    async with client(served, initialized=initialized) as peer:
        before = len(peer.messages)
        peer.send_body(body)
        await peer.until(lambda: len(peer.messages) > before)
        answer = peer.messages[-1]
        assert (answer["error"]["code"], answer["id"]) == (code, rpc_id)
        assert "Traceback" not in answer["error"]["message"]
        if not initialized:
            await peer.initialize()
        assert await still_served(peer)


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":999,"result":{}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","id":{"a":1},"result":null}',
        b'{"jsonrpc":"2.0","method":"no/such"}',
        b'{"jsonrpc":"2.0","method":"$/anything","params":[1]}',
        b'{"jsonrpc":"2.0","method":"test/badNote","params":"x"}',
    ],
)
async def test_what_needs_no_answer_gets_none(served: Served, body: bytes) -> None:
    async with client(served) as peer:
        peer.send_body(body)
        assert await still_served(peer)
        assert len(peer.messages) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: x\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Type: application/json\r\n\r\n{}",
        b"Content-Length: 52\n\n" + request("1"),
        b"Content-Length: 33554433\r\n\r\n",
        b"Content-Length: 99999999999999\r\n\r\n",
        b"Content-Length: 5\r\nX: " + b"x" * 5000,
        b"Content-Length: 4\r\n\r\n" + request("1"),
    ],
)
async def test_broken_framing_is_told_and_closed(served: Served, data: bytes) -> None:
    async with client(served) as other, client(served) as peer:
        peer.send_bytes(data)
        await peer.until_closed()
        assert (peer.messages[-1]["error"]["code"], peer.messages[-1]["id"]) == (-32700, None)
        assert await still_served(other)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\nContent-Length: 60\r\n\r\n" + request("1"),
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"\x16\x03\x01\x00\xa5",
        request("1"),
    ],
)
@pytest.mark.parametrize("initialized", [True, False])
async def test_another_protocol_is_closed_without_a_byte(served: Served, data: bytes, initialized: bool) -> None:
    async with client(served, initialized=initialized) as peer:
        before = len(peer.messages)
        peer.send_bytes(data)
        await peer.until_closed()
        assert len(peer.messages) == before
        assert served.log == []


async def test_a_message_split_at_every_byte_arrives_whole(served: Served) -> None:
    async with client(served) as peer:
        body = request("77", '{"a":"é\U0001f600"}')
        for byte in b"Content-Length: %d\r\nX-More: 1\r\n\r\n%b" % (len(body), body):
            peer.send_bytes(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.reply(77)).ok() == {"a": "é\U0001f600"}


async def test_messages_in_one_write_are_answered_in_order(served: Served) -> None:
    async with client(served) as peer:
        bodies = [request(str(number)) for number in range(1000, 1300)]
        peer.send_bytes(b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies))
        await peer.reply(1299)
        assert [message["id"] for message in peer.messages[1:]] == list(range(1000, 1300))


@pytest.mark.parametrize("size", [5_000_000, 30 * 1024 * 1024])
async def test_large_messages_pass_while_others_are_served(served: Served, size: int) -> None:
    async with client(served) as other, client(served) as peer:
        text = "é" * (size // 2)
        rpc_id = peer.request("test/echo", {"text": text})
        assert await still_served(other)
        reply = await peer.reply(rpc_id, 30)
        assert len(reply.ok()["text"]) == len(text)


async def test_a_result_that_fits_no_message_is_an_error(served: Served) -> None:
    async with client(served) as peer:
        reply = await peer.call("test/big", {"size": 33 * 1024 * 1024})
        assert reply.error["code"] == -32603
        assert "ask for less" in reply.error["message"]
        assert await still_served(peer)


async def test_an_announced_giant_costs_nothing(served: Served) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with client(served) as peer:
        peer.send_bytes(b"Content-Length: 33554433\r\n\r\n" + b"x" * 100_000)
        await peer.until_closed()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


@pytest.mark.parametrize("data", [b"Content-Le", b"Content-Length: 100\r\n\r\n{", b"Content-Length: 100\r\n\r\n"])
async def test_a_connection_that_is_cut_leaves_nothing(served: Served, data: bytes) -> None:
    async with client(served) as other:
        async with client(served) as peer:
            peer.send_bytes(data)
        async with asyncio.timeout(5):
            while len(served.listener.connections) > 1:
                await asyncio.sleep(0.001)
        assert await still_served(other)


async def test_random_bytes_harm_nobody(served: Served) -> None:
    chance = random.Random(7)
    pieces = [b"Content-Length: ", b"\r\n\r\n", b"7", b"{", b'"jsonrpc"', request("1"), b"\xff", b"\n", b"[" * 500]
    async with client(served) as other:
        for _ in range(100):
            data = b"".join(chance.choice(pieces) + chance.randbytes(chance.randrange(8)) for _ in range(chance.randrange(1, 12)))
            async with await Peer.connect(served.path, validate=False) as peer:
                peer.send_bytes(data if chance.random() < 0.5 else b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
                peer.writer.write_eof()
                await peer.until_closed()
        assert await still_served(other)
        assert len(served.listener.connections) == 1
