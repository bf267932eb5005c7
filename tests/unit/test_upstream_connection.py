"""The connection without a socket: the bytes of an answer, cut anywhere, give the same exchange."""

import asyncio
import gzip

import pytest

from modeld.upstream.client import DirectExchange
from modeld.upstream.connection import Connection
from modeld.upstream.contract import Origin, UpstreamError

pytestmark = pytest.mark.anyio

ORIGIN = Origin("http", "127.0.0.1", 80)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written; closes when told to, as a socket transport does."""

    def __init__(self, connection):
        super().__init__()
        self.connection = connection
        self.written = b""
        self.closing = False
        self.reading = True
        connection.connection_made(self)

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closing

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def abort(self):
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def arrive(self, pieces):
        for piece in pieces:
            if piece and not self.closing:
                self.connection.data_received(piece)


async def exchange_of(pieces, *, eof):
    """(status, headers, body, fault, whether the connection can be used again) of an answer that arrives in these pieces."""
    returned = []
    connection = Connection(ORIGIN, asyncio.get_running_loop(), lambda lost: None)
    wire = Wire(connection)
    sending = asyncio.create_task(connection.request(b"HEAD", b"BODY", 5))
    await asyncio.sleep(0)
    assert wire.written == b"HEADBODY"
    wire.arrive(pieces)
    if eof:
        connection.eof_received()
        wire.abort()
    got = []
    try:
        await sending
        exchange = DirectExchange(connection, lambda released: returned.append(released.is_reusable))
        await exchange.pump(lambda data: bool(got.append(data)))
    except UpstreamError as error:
        return connection.status, connection.headers, b"".join(got), error.fault, False
    return exchange.status, exchange.headers, b"".join(got), None, returned == [True]


HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
PACKED = gzip.compress(b"hello")

ANSWERS = {
    "plain": (HELLO, False, 200, b"hello", None, True),
    "length": (OK + b"Content-Length: 5\r\nX-Id: 7\r\n\r\nhello", False, 200, b"hello", None, True),
    "chunked": (CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", False, 200, b"hello", None, True),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX-Id: 7\r\n\r\n", False, 200, b"hello", None, True),
    "until the end": (OK + b"\r\nhello", True, 200, b"hello", None, False),
    "empty until the end": (OK + b"\r\n", True, 200, b"", None, False),
    "http/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", True, 200, b"hello", None, False),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b"", None, True),
    "close": (OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello", None, False),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n" + HELLO, False, 200, b"hello", None, True),
    "no reason": (b"HTTP/1.1 429\r\nContent-Length: 0\r\n\r\n", False, 429, b"", None, True),
    "gzip": (
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
        False,
        200,
        b"hello",
        None,
        True,
    ),
    "short": (OK + b"Content-Length: 9\r\n\r\nhello", True, 200, b"hello", "reset", False),
    "half a chunk": (CHUNKED + b"9\r\nhello", True, 200, b"hello", "reset", False),
    "bad chunk": (CHUNKED + b"5\r\nhello\r\nzz\r\n", False, 200, b"hello", "protocol", False),
    "garbage": (b"SMTP ready\r\n", False, 0, b"", "protocol", False),
    "silence": (b"", True, 0, b"", "reset", False),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_the_same_however_it_is_cut(name):
    answer, eof, *expected = ANSWERS[name]

    async def check(pieces, where):
        status, _, body, fault, reusable = await exchange_of(pieces, eof=eof)
        assert [status, body, fault, reusable] == expected, where

    for cut in range(len(answer) + 1):
        await check([answer[:cut], answer[cut:]], cut)
    await check([answer[i : i + 1] for i in range(len(answer))], "single bytes")


async def test_header_names_are_lower_and_repeated_ones_joined():
    answer = OK + b"X-Id: 1\r\nSet-Thing: a\r\nx-id: 2\r\nX-Text: caf\xe9\r\nContent-Length: 0\r\n\r\n"
    _, headers, *_ = await exchange_of([answer], eof=False)
    assert headers == {"x-id": "1, 2", "set-thing": "a", "x-text": "caf\xe9", "content-length": "0"}


async def test_one_call_for_all_chunks_of_one_read():
    calls = []
    connection = Connection(ORIGIN, asyncio.get_running_loop(), lambda lost: None)
    wire = Wire(connection)
    sending = asyncio.create_task(connection.request(b"", b"", 5))
    await asyncio.sleep(0)
    wire.arrive([CHUNKED])
    await sending
    pumping = asyncio.create_task(connection.pump(lambda data: bool(calls.append(data))))
    await asyncio.sleep(0)
    wire.arrive([b"1\r\na\r\n" * 3, b"1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"])
    await pumping
    assert calls == [b"aaa", b"bc"]


async def test_what_arrives_before_anyone_pumps_waits_within_bounds():
    connection = Connection(ORIGIN, asyncio.get_running_loop(), lambda lost: None)
    wire = Wire(connection)
    sending = asyncio.create_task(connection.request(b"", b"", 5))
    await asyncio.sleep(0)
    wire.arrive([OK + b"\r\n", *[b"x" * 65_536] * 5])
    assert not wire.reading
    await sending
    sizes = []
    pumping = asyncio.create_task(connection.pump(lambda data: sizes.append(len(data)) or len(sizes) == 2))
    await asyncio.sleep(0)
    assert wire.reading
    wire.arrive([b"y"])
    await pumping
    assert sizes == [5 * 65_536, 1]


async def test_a_large_read_is_the_last_of_its_turn():
    connection = Connection(ORIGIN, asyncio.get_running_loop(), lambda lost: None)
    wire = Wire(connection)
    request = asyncio.create_task(connection.request(b"GET / HTTP/1.1\r\n\r\n", b"", 5.0))
    await asyncio.sleep(0)
    wire.arrive([OK + b"\r\n"])
    await request
    pump = asyncio.create_task(connection.pump(lambda piece: False))
    await asyncio.sleep(0)
    wire.arrive([b"x" * 1000])
    assert wire.reading
    wire.arrive([b"x" * 200_000])
    assert not wire.reading
    await asyncio.sleep(0)
    assert wire.reading
    wire.arrive([b"x" * 200_000])
    connection.pause()
    await asyncio.sleep(0)
    assert not wire.reading, "who paused it says when to go on"
    connection.resume()
    assert wire.reading
    connection.eof_received()
    await pump
