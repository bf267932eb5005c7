"""Promises B: framing and bad input, against a real daemon on its Unix socket and on TCP."""

import asyncio
import contextlib
import json
import random
import re
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer
from tests.harness.raw_client import answer, check_refusal, connect, framed, refused, status, text_request, usable

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024
TRANSPORTS = ("unix", "tcp")


class Served(NamedTuple):
    daemon: DaemonProcess
    simulator: Simulator


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text", "sim-echo"])
        async with DaemonProcess(config, "--tcp", "127.0.0.1:0") as daemon:
            yield Served(daemon, simulator)


@pytest.fixture
def daemon(served: Served) -> DaemonProcess:
    return served.daemon


@pytest.fixture
async def peer(daemon: DaemonProcess) -> AsyncIterator[Peer]:
    async with await connect(daemon) as peer:
        yield peer


@pytest.fixture
async def other(daemon: DaemonProcess) -> AsyncIterator[Peer]:
    """Another client, who must not notice anything. Its connection is looked at after every test."""
    async with await connect(daemon) as peer:
        yield peer
        await usable(peer)


# ---- bodies


NESTED = "[" * 100_000 + "]" * 100_000
BODIES: list[tuple[str, bytes, int, Any]] = [
    ("B1 no JSON", b"{nonsense", -32700, None),
    ("B1 cut", status(1)[:-1], -32700, None),
    ("B1 more than one", status(1) + status(2), -32700, None),
    ("B1 single quotes", b"{'jsonrpc':'2.0','id':1,'method':'daemon/status'}", -32700, None),
    ("B1 trailing comma", b'{"jsonrpc":"2.0","id":1,"method":"daemon/status",}', -32700, None),
    ("B1 NaN", b'{"jsonrpc":"2.0","id":1,"method":"daemon/status","params":{"a":NaN}}', -32700, None),
    ("B2 in a string", b'{"jsonrpc":"2.0","id":1,"method":"daemon/status","params":{"a":"\xff\xfe"}}', -32700, None),
    ("B2 in the method", b'{"jsonrpc":"2.0","id":1,"method":"\xc3\x28"}', -32700, None),
    ("B2 overlong", b'{"jsonrpc":"2.0","id":1,"method":"daemon/status","x":"\xc0\xaf"}', -32700, None),
    ("B2 latin-1", '{"jsonrpc":"2.0","id":1,"method":"daemon/status","x":"ü"}'.encode("latin-1"), -32700, None),
    ("B4 batch", b"[" + status(1) + b"," + status(2) + b"]", -32600, None),
    ("B4 empty array", b"[]", -32600, None),
    ("B4 number", b"42", -32600, None),
    ("B4 string", b'"daemon/status"', -32600, None),
    ("B4 null", b"null", -32600, None),
    ("B4 true", b"true", -32600, None),
    ("B5 empty object", b"{}", -32600, None),
    ("B5 no version", b'{"id":1,"method":"daemon/status"}', -32600, 1),
    ("B5 version 1.0", b'{"jsonrpc":"1.0","id":1,"method":"daemon/status"}', -32600, 1),
    ("B5 version as number", b'{"jsonrpc":2.0,"id":1,"method":"daemon/status"}', -32600, 1),
    ("B5 no method", b'{"jsonrpc":"2.0","id":1}', -32600, 1),
    ("B5 method as number", b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, 1),
    ("B5 method null", b'{"jsonrpc":"2.0","id":"a","method":null}', -32600, "a"),
    *(
        (f"B6 id {rpc_id}", f'{{"jsonrpc":"2.0","id":{rpc_id},"method":"daemon/status"}}'.encode(), -32600, None)
        for rpc_id in ("{}", "[]", "true", "false", "1.5", "null", '{"a":1}', "[1]", "1e400")
    ),
]


@pytest.mark.parametrize(("body", "code", "rpc_id"), [pytest.param(*row[1:], id=row[0]) for row in BODIES])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_bodies_that_are_no_request(
    daemon: DaemonProcess, other: Peer, transport: str, body: bytes, code: int, rpc_id: Any
) -> None:
    async with await connect(daemon, transport) as peer:
        message = await answer(peer, framed(body))
        assert message["jsonrpc"] == "2.0"
        assert (message["error"]["code"], message["id"]) == (code, rpc_id)
        await usable(peer)


@pytest.mark.parametrize("where", ["the message", "params", "a field nobody reads", "objects", "a batch", "never closed"])
async def test_100_000_levels_of_nesting(daemon: DaemonProcess, peer: Peer, other: Peer, where: str) -> None:
    objects = '{"a":' * 100_000 + "1" + "}" * 100_000
    body = {
        "the message": NESTED,
        "params": f'{{"jsonrpc":"2.0","id":1,"method":"model/estimateTokens","params":{{"messages":{NESTED}}}}}',
        "a field nobody reads": f'{{"jsonrpc":"2.0","id":1,"method":"daemon/status","x":{NESTED}}}',
        "objects": f'{{"jsonrpc":"2.0","id":1,"method":"model/complete","params":{objects}}}',
        "a batch": f"[{NESTED}]",
        "never closed": "[" * 100_000,
    }[where]
    assert (await answer(peer, framed(body)))["error"]["code"] in (-32700, -32600, -32602)
    await usable(peer)


@pytest.mark.parametrize("rpc_id", [0, 1, -1, 2**31, 2**53, -(2**53), 2**63 - 1, "", "1", "ü 🙂", "a" * 1000, "null", "\x00"])
async def test_ids_come_back_as_they_are(peer: Peer, rpc_id: Any) -> None:
    message = await answer(peer, framed(status(rpc_id)))
    assert message["id"] == rpc_id
    assert type(message["id"]) is type(rpc_id)
    assert "result" in message


WRONG_KINDS = ["5", '"text"', "true", "false", "1.5", "[]", "[1,2]", '["a"]', "[{}]"]
METHODS = ["model/complete", "model/stream", "model/list", "model/estimateTokens", "config/check", "daemon/status", "daemon/stop"]


@pytest.mark.parametrize("method", METHODS)
async def test_params_of_a_wrong_kind(peer: Peer, method: str) -> None:
    for number, params in enumerate(WRONG_KINDS):
        body = f'{{"jsonrpc":"2.0","id":"p{number}","method":"{method}","params":{params}}}'
        message = await answer(peer, framed(body))
        assert message["id"] == f"p{number}"
        assert message["error"]["code"] in (-32602, -32600)
    await usable(peer)


@pytest.mark.parametrize("method", ["daemon/status", "model/list", "config/get", "provider/list", "model/discover"])
async def test_no_params_are_empty_params(peer: Peer, method: str) -> None:
    head = f'{{"jsonrpc":"2.0","id":5,"method":"{method}"'
    for rest in ("}", ',"params":null}', ',"params": null }', ',"params":{}}'):
        assert "result" in await answer(peer, framed(head + rest))


async def test_no_params_where_some_are_needed(peer: Peer) -> None:
    for rest in ("", ',"params":null', ',"params":{}'):
        message = await answer(peer, framed(f'{{"jsonrpc":"2.0","id":5,"method":"model/complete"{rest}}}'))
        assert message["error"]["code"] == -32602
        assert "$.messages" in message["error"]["message"]


ODD_TEXTS = [
    '{"jsonrpc":"2.0","id":1,"result":{}}',
    '{"jsonrpc":"2.0","method":"exit"}',
    "Content-Length: 5\\r\\n\\r\\n{}",
    "\\ud83d",
    "\\ude00\\ud83d",
    "a\\ud800b",
    "\\u0000",
    "\\u2028\\u2029\\u0085",
]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_params_that_hold_odd_texts(daemon: DaemonProcess, served: Served, transport: str) -> None:
    async with await connect(daemon, transport) as peer:
        for text in ODD_TEXTS:
            inner = text if "\\" in text else json.dumps(text)[1:-1]
            for method in ("model/estimateTokens", "model/complete"):
                params = f'{{"model":"openai:sim-text","messages":"{inner}"}}'
                message = await answer(peer, framed(f'{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{params}}}'))
                assert message["id"] == 7
                assert "result" in message, message
        nested = {"model": "openai:sim-text", "messages": "x", "metadata": json.loads(status(99))}
        (await peer.call("model/complete", nested)).ok()
        assert not peer.replies(99)
        await usable(peer)


async def test_a_lone_surrogate_where_nobody_looks(peer: Peer) -> None:
    body = '{"jsonrpc":"2.0","id":8,"method":"daemon/status","params":{"x":"\\ud83d"},"y":"\\udead"}'
    assert "result" in await answer(peer, framed(body))
    body = '{"jsonrpc":"2.0","id":"\\ud83d","method":"daemon/status"}'
    assert isinstance((await answer(peer, framed(body)))["id"], str | None)


# ---- headers


HEADERS = [
    b"Content-Length: %d\r\n\r\n",
    b"content-length: %d\r\n\r\n",
    b"CONTENT-LENGTH: %d\r\n\r\n",
    b"Content-Length:%d\r\n\r\n",
    b"Content-Length:   %d  \r\n\r\n",
    b"Content-Length:\t%d\r\n\r\n",
    b"Content-Length: 0%d\r\n\r\n",
    b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
    b"Content-Type: application/vscode-jsonrpc; charset=utf8\r\nContent-Length: %d\r\n\r\n",
    b"Content-Length: %d\r\nContent-Type: application/vscode-jsonrpc;charset=utf-8\r\n\r\n",
    b"Content-Length: %d\r\ncontent-type: application/json\r\nX-Anything: at all\r\nX-More: \r\n\r\n",
    b"Content-Length: %d\r\nX-Padding: " + b"x" * 3900 + b"\r\n\r\n",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_header_variants(daemon: DaemonProcess, transport: str, header: bytes) -> None:
    async with await connect(daemon, transport) as peer:
        for _ in range(2):
            assert "result" in await answer(peer, framed(status(3), header))


@pytest.mark.parametrize("header", [b"Content-Length: %d\n\n", b"Content-Length: %d\n\r\n", b"Content-Length: %d\r\n\n"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_lf_only_headers_never_hang(daemon: DaemonProcess, other: Peer, transport: str, header: bytes) -> None:
    async with await connect(daemon, transport) as peer:
        check_refusal(await refused(peer, framed(status(3), header)))


LENGTHS = [
    *("-1", "-0", "x", "", " ", "1.5", "0x10", "1e3", "+10", "1 0", "10,10", "٣", "NaN", "18446744073709551616"),
    *("9" * 30, "9" * 3000, "33554433", "4294967296", "1099511627776", "0", "00"),
]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_lengths_that_are_none(daemon: DaemonProcess, other: Peer, transport: str, length: str) -> None:
    async with await connect(daemon, transport) as peer:
        before = len(peer.messages)
        peer.send_bytes(f"Content-Length: {length}\r\n\r\n".encode() + status(3))
        await peer.until_closed(5)
        assert all(message["error"]["code"] == -32700 and message["id"] is None for message in peer.messages[before:])
        assert not peer.replies(3)


@pytest.mark.parametrize(
    "data",
    [
        framed(status(3), b"Content-Length: %d\r\nContent-Length: 5\r\n\r\n"),
        b"Content-Length: 5\r\n" + framed(status(3)),
        framed(status(3), b"Content-Length: %d\r\ncontent-length: 2\r\n\r\n"),
        b"Content-Type: application/json\r\n\r\n" + status(3),
        b"\r\n\r\n" + status(3),
        b"\r\n" + framed(status(3)),
        b": 5\r\n\r\n" + status(3),
        status(3) + b"\n",
        framed(status(3), b"Content-Length: %d\r\n folded\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_lengths_that_are_missing_or_twice(daemon: DaemonProcess, other: Peer, transport: str, data: bytes) -> None:
    async with await connect(daemon, transport) as peer:
        check_refusal(await refused(peer, data))
        assert not peer.replies(3)


@pytest.mark.parametrize("off", [-1, -10, 1, 10])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_length_that_is_off(daemon: DaemonProcess, other: Peer, transport: str, off: int) -> None:
    body = status(3)
    header = b"Content-Length: %d\r\n\r\n" % (len(body) + off)
    async with await connect(daemon, transport) as peer:
        before = len(peer.messages)
        peer.send_bytes(header + body + framed(status(4)))
        await peer.until_closed(5)
        found = peer.messages[before:]
        assert found
        assert all((message["error"]["code"], message["id"]) == (-32700, None) for message in found)


@pytest.mark.nightly
async def test_a_length_too_large_and_then_silence(daemon: DaemonProcess, other: Peer) -> None:
    async with await connect(daemon) as peer:
        check_refusal(await refused(peer, b"Content-Length: 500\r\n\r\n" + status(3), 14))


@pytest.mark.parametrize("announced", [32 * MIB + 1, 64 * MIB, 1 << 40, 10**18])
async def test_too_large_a_message_is_refused_before_its_body(daemon: DaemonProcess, other: Peer, announced: int) -> None:
    async with await connect(daemon) as peer:
        before = daemon.rss_bytes()
        began = time.monotonic()
        check_refusal(await refused(peer, b"Content-Length: %d\r\n\r\n" % announced))
        assert time.monotonic() - began < 1
        assert daemon.rss_bytes() - before < 2 * MIB


async def test_a_body_that_is_sent_all_the_same_costs_nothing(daemon: DaemonProcess, other: Peer) -> None:
    _, writer = await asyncio.open_unix_connection(str(daemon.socket))
    before = daemon.rss_bytes()
    writer.write(b"Content-Length: 300000000\r\n\r\n")
    left = 300
    with contextlib.suppress(ConnectionError):
        while left:
            writer.write(b"x" * MIB)
            await writer.drain()
            left -= 1
    assert left > 280, "it was closed long before the end"
    assert daemon.rss_bytes() - before < 4 * MIB
    writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 10\r\nX: " + b"x" * 4200,
        b"Content-Length: 10\r\n" + b"X: y\r\n" * 1000,
        b"Content-Length: 10\r\n" + b"X: y\r\n" * 1000 + b"\r\n" + b"{}",
        b"Content-Length: " + b"1" * 5000,
        b"Content-Length:" + b" " * 5000,
        b"Content-Type: " + b"t" * 4200 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"c" * 5000,
        b"X-Header-" + b"x" * 5000,
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_header_block_over_4_kib(daemon: DaemonProcess, other: Peer, transport: str, data: bytes) -> None:
    async with await connect(daemon, transport) as peer:
        check_refusal(await refused(peer, data))


async def test_a_header_that_never_ends(daemon: DaemonProcess, other: Peer) -> None:
    before = daemon.rss_bytes()
    async with await connect(daemon) as peer:
        peer.send_bytes(b"Content-Length: 10\r\n")
        for _ in range(2000):
            if peer.closed:
                break
            peer.send_bytes(b"X-Endless: and so on\r\n")
            await asyncio.sleep(0)
        await peer.until_closed(5)
    assert daemon.rss_bytes() - before < 2 * MIB


# ---- other protocols


PAYLOAD = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
INNER = framed(PAYLOAD) + framed(status(2))
REQUEST_LINES = [
    *(b"%b / HTTP/1.1" % verb for verb in (b"GET", b"POST", b"PUT", b"OPTIONS", b"HEAD", b"DELETE", b"PATCH", b"CONNECT")),
    *(b"POST http://127.0.0.1:7878/%b HTTP/1.1" % path for path in (b"", b"Content-Length", b"a:b")),
    *(b"GET / HTTP/1.0", b"POST / HTTP/2", b"PRI * HTTP/2.0", b"content-length / HTTP/1.1", b"Content-Length /: HTTP/1.1"),
]
HTTP_HEADERS = [
    b"Host: 127.0.0.1:7878",
    b"Host: 127.0.0.1:7878\r\nOrigin: https://evil.example\r\nContent-Type: text/plain",
    b"Origin: null\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: cross-site",
    b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
]
FORGED = [
    b"Content-Length: %d\r\nHost: 127.0.0.1\r\n\r\n",
    b"Content-Length: %d\r\nOrigin: https://evil.example\r\n\r\n",
    b"Content-Length: %d\r\norigin: https://evil.example\r\n\r\n",
    b"Content-Type: text/plain\r\nSec-Fetch-Site: cross-site\r\nContent-Length: %d\r\n\r\n",
    b"Content-Length: %d\r\nCookie: a=b\r\n\r\n",
]
INNER_FRAME = framed(INNER)
BROWSERS = [
    *(
        line + b"\r\n" + headers + b"\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER
        for line in REQUEST_LINES
        for headers in HTTP_HEADERS
    ),
    *(header % len(PAYLOAD) + PAYLOAD for header in FORGED),
    *(line + b"\r\n\r\n" + INNER for line in REQUEST_LINES),
    *(line + b"\n\n" + INNER for line in REQUEST_LINES[:2]),
    b"\r\nPOST / HTTP/1.1\r\n\r\n" + INNER,
    b" POST / HTTP/1.1\r\n\r\n" + INNER,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + INNER,
    b"SSH-2.0-OpenSSH_9.6\r\n" + INNER,
    b"\x00" * 64 + INNER,
]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_browser_reaches_nothing(daemon: DaemonProcess, other: Peer, transport: str) -> None:
    clients = (await other.call("daemon/status")).ok()["clients"]
    for data in BROWSERS:
        async with await connect(daemon, transport, initialize=False) as peer:
            assert await refused(peer, data) == [], data[:80]
        async with await connect(daemon, transport, initialize=False) as peer:
            for start in range(0, min(60, len(data)), 7):
                peer.send_bytes(data[start : start + 7])
                await asyncio.sleep(0)
            peer.send_bytes(data[63:])
            await peer.until_closed(5)
            assert peer.messages == []
    assert (await other.call("daemon/status")).ok()["clients"] <= clients


async def test_a_browser_is_told_nothing_after_the_handshake_either(daemon: DaemonProcess) -> None:
    for transport in TRANSPORTS:
        async with await connect(daemon, transport) as peer:
            assert await refused(peer, BROWSERS[0]) == []


# ---- pieces, order, bytes


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_message_split_at_every_byte(daemon: DaemonProcess, transport: str) -> None:
    async with await connect(daemon, transport) as peer:
        data = framed(text_request(5, "Grüße 🙂"), b"Content-Type: x/y\r\nContent-Length: %d\r\n\r\n")
        for cut in range(1, len(data)):
            peer.send_bytes(data[:cut])
            await asyncio.sleep(0)
            assert (await answer(peer, data[cut:]))["result"]["input_tokens"] > 0
        for byte in data:
            peer.send_bytes(bytes([byte]))
            await asyncio.sleep(0.0005)
        await peer.until(lambda: len(peer.replies(5)) == len(data))


async def test_several_messages_in_one_write(peer: Peer) -> None:
    ids = [f"{number}" if number % 2 else number for number in range(600)]
    methods = ("daemon/status", "model/list", "config/get", "no/such", "provider/list")
    bodies = [status(one, method=methods[number % 5]) for number, one in enumerate(ids)]
    before = len(peer.messages)
    peer.send_bytes(b"".join(map(framed, bodies)))
    await peer.until(lambda: len(peer.messages) == before + len(ids))
    assert [message["id"] for message in peer.messages[before:]] == ids


async def test_byte_counts_are_of_utf_8(peer: Peer, served: Served) -> None:
    text = "Grüße 日本語 🙂🏳️‍🌈 \u2028\u0085 é"
    reply = await peer.call("model/complete", {"model": "openai:sim-echo", "messages": text})
    assert any(text in block.get("text", "") for block in reply.ok()["content"])
    assert text in json.dumps(served.simulator.requests[-1].json(), ensure_ascii=False)
    assert text[:10] in (await peer.call(text)).error["message"]
    await usable(peer)


@pytest.mark.parametrize("size", [5 * 1000 * 1000, 30 * MIB])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_large_messages_while_others_are_served(daemon: DaemonProcess, other: Peer, transport: str, size: int) -> None:
    async with await connect(daemon, transport) as peer:
        data = framed(text_request("large", "ü word " * (size // 8)))
        sending = asyncio.create_task(_send_all(peer, data))
        slowest = 0.0
        while not peer.replies("large"):
            slowest = max(slowest, (await other.call("daemon/status")).seconds)
            other.messages.clear()
        await sending
        assert (await peer.reply("large")).ok()["input_tokens"] > size / 100
        assert slowest < 0.5
        await usable(peer)


async def _send_all(peer: Peer, data: bytes) -> None:
    for start in range(0, len(data), 256 * 1024):
        peer.send_bytes(data[start : start + 256 * 1024])
        await peer.writer.drain()


# ---- what is left behind


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_cut_connection_leaves_nothing(daemon: DaemonProcess, other: Peer, transport: str) -> None:
    clients = (await other.call("daemon/status")).ok()["clients"]
    files = daemon.open_files()
    data = framed(text_request(1, "x" * 5000))
    for cut in (1, 10, 20, 22, 23, 40, 4000, len(data) - 1):
        for abort in (False, True):
            peer = await connect(daemon, transport)
            peer.send_bytes(data[:cut])
            await peer.writer.drain()
            if abort:
                peer.writer.transport.abort()
            await peer.close()
    async with asyncio.timeout(5):
        while (await other.call("daemon/status")).ok()["clients"] > clients or daemon.open_files() > files:
            await asyncio.sleep(0.01)


async def test_200_rounds_of_random_bytes(daemon: DaemonProcess, other: Peer) -> None:
    chance = random.Random(20_250)
    files, memory = daemon.open_files(), daemon.rss_bytes()
    pieces = [
        b"Content-Length: ",
        b"\r\n",
        b"\r\n\r\n",
        b"7",
        b'{"jsonrpc":"2.0"',
        b'"method":"model/complete"',
        b"\xff",
        b"[" * 50,
    ]
    for turn in range(200):
        data = b"".join(
            chance.choice(pieces) if chance.random() < 0.6 else chance.randbytes(chance.randrange(40))
            for _ in range(chance.randrange(1, 30))
        )
        if turn % 2:
            data = framed(data)
        async with await connect(daemon, chance.choice(TRANSPORTS), initialize=turn % 3 == 0) as peer:
            peer.send_bytes(data)
            if turn % 4:
                peer.writer.write_eof()
                await peer.until_closed(5)
        if turn % 20 == 0:
            await usable(other)
    assert daemon.process is not None
    assert daemon.process.returncode is None
    async with asyncio.timeout(5):
        while daemon.open_files() > files:
            await asyncio.sleep(0.01)
    assert daemon.rss_bytes() - memory < 16 * MIB


ANSWERS = [
    '{"jsonrpc":"2.0","id":1,"result":null}',
    '{"jsonrpc":"2.0","id":"x","result":{"a":1}}',
    '{"jsonrpc":"2.0","id":77,"error":{"code":-1,"message":"no"}}',
    '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}',
    '{"jsonrpc":"2.0","id":1.5,"result":true}',
]


async def test_replies_that_nobody_asked_for(peer: Peer) -> None:
    number = peer.request("daemon/status")
    for body in ANSWERS:
        peer.send_body(body.encode())
    (await peer.reply(number)).ok()
    await usable(peer)
    assert len(peer.messages) == 3


async def test_errors_tell_nothing_of_the_inside(daemon: DaemonProcess, peer: Peer, other: Peer) -> None:
    for _, body, _, _ in BODIES:
        peer.send_body(body)
    for method in (*METHODS, "no/such", "session/get", "turn/start", "initialize"):
        for params in ({"messages": 5}, {"messages": "x", "model": "nobody:x"}, {"messages": "x", "timeout_seconds": -1}, [1]):
            if method != "daemon/stop" or params == [1]:
                await peer.call(method, params)
    await usable(peer)
    errors = [message["error"] for message in peer.messages if "error" in message]
    assert len(errors) > 40
    for error in errors:
        text = json.dumps(error)
        assert not re.search(r'Traceback|File "|\.py\b|site-packages|/modeld/|0x[0-9a-f]{6,}|<[a-z_.]+ object', text), text
        assert str(daemon.folder) not in text
        assert error["code"] != -32603
    assert "Traceback" not in daemon.output()
