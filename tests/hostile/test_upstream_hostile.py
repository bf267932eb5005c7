"""Providers that lie, drip, flood and vanish: one typed error each, bounded memory, no socket left, on both event loops."""

import asyncio
import time
import tracemalloc
import zlib

import httpx
import pytest
from tests.harness.raw_server import open_files, script, self_signed, serving, until

from modeld import limits
from modeld.upstream.body import read_prefix
from modeld.upstream.client import DirectTransport
from modeld.upstream.contract import Exchange, HttpRequest, Origin, UpstreamError
from modeld.upstream.httpx_transport import HttpxTransport
from modeld.upstream.sse import SseDecoder

pytestmark = pytest.mark.anyio

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return ("asyncio", {"use_uvloop": request.param})


@pytest.fixture(params=["direct", "httpx"])
async def transport(request):
    made = (
        DirectTransport() if request.param == "direct" else HttpxTransport(httpx.AsyncClient(trust_env=False), owns_client=True)
    )
    yield made
    await made.close()


@pytest.fixture
async def direct():
    made = DirectTransport()
    yield made
    await made.close()


def over_httpx() -> HttpxTransport:
    return HttpxTransport(httpx.AsyncClient(trust_env=False), owns_client=True)


async def start(transport, request: HttpRequest, head_timeout_s: float = 5.0) -> Exchange:
    return await transport.open(request, connect_timeout_s=2.0, head_timeout_s=head_timeout_s)


async def fault_of(transport, request: HttpRequest, *, pump: bool = False, max_bytes: int = MIB) -> tuple[str, bool]:
    """How the call fails, and whether a head had come."""

    async def call():
        exchange = await start(transport, request)
        await (exchange.pump(lambda data: False) if pump else exchange.read(max_bytes))

    with pytest.raises(UpstreamError) as caught:
        await asyncio.wait_for(call(), 10)
    assert str(caught.value)
    return caught.value.fault, caught.value.answered


GZIPPED = zlib.compress(b'{"a":1}' * 50, wbits=31)

BROKEN = {
    "nothing": (b"", {("reset", False)}),
    "not http": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", {("protocol", False)}),
    "html without a head": (b"<html>502</html>\r\n\r\n", {("protocol", False)}),
    "status without a number": (b"HTTP/1.1 OK\r\n\r\n", {("protocol", False)}),
    "half a head": (OK + b"Content-Le", {("reset", False)}),
    "double content-length": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", {("protocol", False)}),
    "negative content-length": (OK + b"Content-Length: -1\r\n\r\nhi", {("protocol", False)}),
    "huge content-length": (OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nhi", {("protocol", False)}),
    "content-length and chunked": (
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {("protocol", False)},
    ),
    "content-length too long": (OK + b"Content-Length: 9\r\n\r\nhi", {("reset", True)}),
    "chunks cut short": (CHUNKED + b"5\r\nhel", {("reset", True)}),
    "chunks without an end": (CHUNKED + b"2\r\nhi\r\n", {("reset", True)}),
    "chunk size of letters": (CHUNKED + b"zz\r\nhi\r\n", {("protocol", True)}),
    "chunk longer than its size": (CHUNKED + b"2\r\nhello\r\n0\r\n\r\n", {("protocol", True)}),
    "protocol switch": (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", {("protocol", False)}),
    "an encoding nobody asked for": (OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nhi", {("protocol", True)}),
    "gzip that isn't": (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", {("protocol", True)}),
    "gzip cut short": (OK + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + GZIPPED[:20], {("protocol", True)}),
    "gzip and more": (
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(GZIPPED) + 2) + GZIPPED + b"hi",
        {("protocol", True)},
    ),
}


@pytest.mark.parametrize("pump", [False, True], ids=["read", "pump"])
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_one_typed_error(direct, name, pump):
    answer, expected = BROKEN[name]
    async with serving(script(answer)) as server:
        assert await fault_of(direct, server.get(), pump=pump) in expected
        await until(lambda: server.open == 0)


LENIENT = ("protocol switch", "double content-length", "content-length and chunked")  # what httpx accepts, harmlessly


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in LENIENT])
async def test_a_broken_answer_through_httpx_is_one_too(name):
    answer, _ = BROKEN[name]
    transport = over_httpx()
    async with serving(script(answer)) as server:
        fault, _ = await fault_of(transport, server.get())
        assert fault in ("reset", "protocol")
        await transport.close()


@pytest.mark.parametrize(
    ("start_bytes", "piece"),
    [
        (OK + b"X-Long: ", b"x" * 4_096),
        (OK, b"X-Many: y\r\n" * 400),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 200 ", b"O" * 4_096),
        (CHUNKED + b"2\r\nhi\r\n0\r\n", b"X-Trailer: y\r\n" * 400),
        (CHUNKED + b"2;", b"extension;" * 400),
        (CHUNKED + b"2\r\nhi\r\n0\r\nX-Long: ", b"x" * 4_096),
    ],
    ids=["header", "headers", "interim answers", "status line", "trailers", "chunk extension", "trailer"],
)
async def test_headers_without_end_are_refused(direct, start_bytes, piece):
    async def endless(call):
        await call.request()
        await call.send(start_bytes)
        await call.flood(piece)

    async with serving(endless) as server:
        fault, _ = await fault_of(direct, server.get())
        assert fault == "too_large"
        await until(lambda: server.open == 0)


async def test_an_endless_line_ends_at_its_limit(transport):
    async def endless(call):
        await call.request()
        await call.send(OK + b"Content-Type: text/event-stream\r\n\r\ndata: a\n\ndata: ")
        await call.flood(b"x" * 65_536)

    decoder, frames = SseDecoder(), []

    def feed(data):
        frames.extend(decoder.feed(data))
        return False

    async with serving(endless) as server:
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamError) as caught:
                await (await start(transport, server.get(stream=True))).pump(feed)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await until(lambda: server.open == 0)
    assert caught.value.fault == "too_large"
    assert frames == [("", b"a")]
    assert peak < 48 * MIB


async def test_a_stream_ends_at_its_limit(direct, monkeypatch):
    monkeypatch.setattr("modeld.upstream.connection.MAX_STREAM_BYTES", 4 * MIB)

    async def endless(call):
        await call.request()
        await call.send(OK + b"\r\n")
        await call.flood(b"data: x\n\n" * 1_000)

    async with serving(endless) as server:
        received = 0

        def count(data):
            nonlocal received
            received += len(data)
            return False

        with pytest.raises(UpstreamError) as caught:
            await (await start(direct, server.get(stream=True))).pump(count)
        await until(lambda: server.open == 0)
    assert caught.value.fault == "too_large"
    assert 4 * MIB <= received < 5 * MIB


def gzip_bomb(size_mib: int) -> bytes:
    """A gzip stream of so many MiB of zeros, made of one compressed MiB over and over."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * size_mib


@pytest.mark.parametrize("pump", [False, True], ids=["read", "pump"])
async def test_a_gzip_bomb_is_noticed_before_it_goes_off(transport, pump):
    bomb = gzip_bomb(1_024)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with serving(script(head + bomb)) as server:
        tracemalloc.start()
        begun = time.perf_counter()
        try:
            assert await fault_of(transport, server.get(), pump=pump, max_bytes=limits.MAX_RESPONSE_BYTES) == ("too_large", True)
            took_s, peak = time.perf_counter() - begun, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await until(lambda: server.open == 0)
    assert peak < 32 * MIB
    assert took_s < 1.0


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_its_bound_is_refused(transport, announced):
    length = b"Content-Length: 5000000\r\n" if announced else b""
    async with serving(script(OK + length + b"\r\n" + b"x" * 5_000_000)) as server:
        assert await fault_of(transport, server.get(), max_bytes=4_096) == ("too_large", True)
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("size", [0, 99, 100, 101, 5_000_000])
async def test_the_head_of_a_long_body_can_be_read(transport, size):
    async with serving(script(b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)) as server:
        assert await read_prefix(await start(transport, server.get()), 100) == b"x" * min(size, 100)
        await until(lambda: server.open == 0)


async def test_a_reset_in_the_middle_keeps_what_came(transport):
    async def reset(call):
        await call.request()
        await call.send(CHUNKED + b"7\r\ndata: a\r\n")
        await asyncio.sleep(0.05)  # so that the bytes are read before the reset throws them away
        call.reset()

    got = []
    async with serving(reset) as server:
        exchange = await start(transport, server.get(stream=True))
        with pytest.raises(UpstreamError) as caught:
            await exchange.pump(lambda data: got.append(data))
    assert b"".join(got) == b"data: a"
    assert (caught.value.fault, caught.value.answered) == ("reset", True)


async def test_a_dripping_head_doesnt_move_its_deadline(direct):
    async def drip(call):
        await call.request()
        for byte in OK + b"X: " + b"y" * 1_000:
            if not await call.send(bytes([byte])):
                return
            await asyncio.sleep(0.01)

    async with serving(drip) as server:
        begun = time.perf_counter()
        with pytest.raises(UpstreamError) as caught:
            await start(direct, server.get(), head_timeout_s=0.2)
        assert time.perf_counter() - begun < 0.7
        await until(lambda: server.open == 0)
    assert (caught.value.fault, caught.value.answered) == ("timeout", False)


async def test_a_refused_connection(transport):
    async with serving(script(b"")) as server:
        origin = server.origin
    with pytest.raises(UpstreamError, match="base_url") as caught:
        await start(transport, HttpRequest("POST", origin, "/", [], b""))
    assert (caught.value.fault, caught.value.answered) == ("connect", False)


async def test_a_host_that_isnt_there(transport):
    with pytest.raises(UpstreamError, match="base_url") as caught:
        await start(transport, HttpRequest("POST", Origin("http", "no-such-host.invalid", 80), "/", [], b""))
    assert caught.value.fault == "connect"


async def test_a_silent_tls_handshake_ends_at_the_connect_deadline(direct):
    async with serving(lambda call: call.until_gone()) as server:
        origin = server.origin._replace(scheme="https")
        with pytest.raises(UpstreamError) as caught:
            await direct.open(HttpRequest("POST", origin, "/", [], b""), connect_timeout_s=0.1, head_timeout_s=5)
        assert (caught.value.fault, caught.value.answered) == ("connect", False)
        await until(lambda: server.open == 0)


async def test_tls_with_a_server_that_speaks_none(direct):
    async with serving(lambda call: call.flood(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        with pytest.raises(UpstreamError, match="http://") as caught:
            await start(direct, HttpRequest("POST", server.origin._replace(scheme="https"), "/", [], b""))
        assert (caught.value.fault, caught.value.answered) == ("tls", False)


async def test_tls_with_an_untrusted_certificate(direct, tmp_path):
    contexts = await self_signed(tmp_path)
    async with serving(script(OK + b"\r\n"), tls=contexts[0]) as server:
        with pytest.raises(UpstreamError, match="SSL_CERT_FILE") as caught:
            await start(direct, HttpRequest("POST", server.origin, "/", [], b""))
        assert caught.value.fault == "tls"
        assert server.requests == []


STAGES = ("tls handshake", "head", "body", "paused body", "long body out")


@pytest.mark.parametrize("stage", STAGES)
async def test_cancelling_closes_the_socket_at_once(direct, stage):
    async def stall(call):
        if stage in ("tls handshake", "long body out"):
            await (call.until_gone() if stage == "tls handshake" else asyncio.Event().wait())
        await call.request()
        if stage.endswith("body"):
            await call.send(CHUNKED + b"2\r\nhi\r\n")
        await call.until_gone()

    async def run(request, reached):
        exchange = await start(direct, request)

        def on_data(data):
            if stage == "paused body":
                exchange.pause()
            reached.set()
            return False

        await exchange.pump(on_data)

    async with serving(stall) as server:
        await asyncio.sleep(0)
        before = open_files()
        origin = server.origin._replace(scheme="https") if stage == "tls handshake" else server.origin
        for _ in range(10):
            reached = asyncio.Event()
            accepted = server.accepted
            body = bytes(8 * MIB) if stage == "long body out" else b"{}"
            task = asyncio.create_task(run(server.get(origin=origin, body=body), reached))
            await until(lambda accepted=accepted: server.accepted > accepted)
            await (asyncio.wait_for(reached.wait(), 5) if stage.endswith("body") else asyncio.sleep(0.02))
            task.cancel()
            cancelled_at = time.perf_counter()
            with pytest.raises(asyncio.CancelledError):
                await task
            if stage != "long body out":
                await until(lambda accepted=accepted: len(server.gone) > accepted)
                assert server.gone[-1] - cancelled_at < 0.2
    await until(lambda: open_files() <= before)
    assert not direct._connections


async def test_closing_an_exchange_that_is_being_read_ends_the_reader(transport):
    async with serving(script(CHUNKED + b"2\r\nhi\r\n", then="wait")) as server:
        exchange = await start(transport, server.get(stream=True))
        reader = asyncio.create_task(exchange.pump(lambda data: False))
        await asyncio.sleep(0.02)
        exchange.close()
        exchange.close()
        with pytest.raises(UpstreamError):
            await asyncio.wait_for(reader, 1)
        await until(lambda: len(server.gone) == 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_like_any_other(transport, status):
    async with serving(script(OK + b"\r\n")) as other:
        location = f"http://127.0.0.1:{other.origin.port}/steal"
        answer = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        async with serving(script(answer)) as server:
            exchange = await start(transport, server.get())
            assert exchange.status == status
            assert exchange.headers["location"] == location
            assert await exchange.read(100) == b""
        assert other.accepted == 0


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 2"])
async def test_a_request_is_never_sent_twice(direct, begun):
    """The server takes the second request on the old connection and closes, as a keep-alive deadline does: whether to ask
    again is the caller's to decide, who counts attempts."""

    async def rude(call):
        await call.request()
        await call.send(OK + b"Content-Length: 2\r\n\r\nhi")
        await call.request()
        if begun:
            await call.send(begun)

    async with serving(rude) as server:
        assert await (await start(direct, server.get())).read(10) == b"hi"
        assert await fault_of(direct, server.get()) == ("reset", False)
        assert (server.accepted, len(server.requests)) == (1, 2)
        assert await (await start(direct, server.get())).read(10) == b"hi"
        assert server.accepted == 2


async def test_an_answer_nobody_asked_for_is_never_the_next_ones(direct):
    """Bytes behind a complete answer, with it or later: the connection isn't used again."""

    async def chatty(call):
        await call.request()
        await call.send(OK + b"Content-Length: 2\r\n\r\nhi" + (OK + b"Content-Length: 4\r\n\r\nevil") * (call.number == 1))
        if call.number == 2:
            await call.send(OK + b"Content-Length: 4\r\n\r\nevil")
        await call.until_gone()

    async with serving(chatty) as server:
        for n in range(3):
            assert await (await start(direct, server.get())).read(10) == b"hi"
            await until(lambda n=n: len(server.gone) == n + 1 or n == 2)
        assert server.accepted == 3
