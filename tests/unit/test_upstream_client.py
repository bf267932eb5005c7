"""The direct transport against real sockets: bodies, reuse, pausing, ending early, TLS. On both event loops."""

import asyncio
import socket
import threading

import pytest
from tests.harness.raw_server import open_files, script, self_signed, serving, until

from modeld import limits
from modeld.clock import Clock
from modeld.upstream import client
from modeld.upstream.client import DirectTransport
from modeld.upstream.contract import UpstreamError
from modeld.upstream.dial import dial

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return ("asyncio", {"use_uvloop": request.param})


@pytest.fixture
async def transport():
    made = DirectTransport()
    yield made
    await made.close()


async def start(transport, request, head_timeout_s=5.0):
    return await transport.open(request, connect_timeout_s=2.0, head_timeout_s=head_timeout_s)


async def body_of(transport, request):
    return await (await start(transport, request)).read(1 << 24)


async def test_a_large_body_goes_out_and_comes_back(transport):
    async def echo(call):
        whole = await call.request()
        body = whole.partition(b"\r\n\r\n")[2]
        await call.send(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    body = bytes(range(256)) * 12_000
    async with serving(echo) as server:
        assert await body_of(transport, server.get(body=body)) == body


async def test_connections_are_used_again_newest_first(transport):
    async with serving(script(HI, then="again")) as server:
        held = [await start(transport, server.get()) for _ in range(3)]
        for exchange in held:
            await exchange.read(10)
        for _ in range(5):
            assert await body_of(transport, server.get()) == b"hi"
        assert server.accepted == 3
        assert len(server.requests) == 8


async def test_idle_connections_are_bounded_in_number_and_age(monkeypatch):
    now = 0.0
    transport = DirectTransport(Clock(monotonic=lambda: now))
    async with serving(script(HI, then="again")) as server:
        held = [await start(transport, server.get()) for _ in range(limits.POOL_IDLE_PER_ORIGIN + 2)]
        for exchange in held:
            exchange.close()  # the body is here already, so each is kept as far as there is room
        await until(lambda: server.open == limits.POOL_IDLE_PER_ORIGIN)
        now = limits.POOL_IDLE_S - 1
        assert await body_of(transport, server.get()) == b"hi"
        now = 2 * limits.POOL_IDLE_S
        accepted = server.accepted
        assert await body_of(transport, server.get()) == b"hi"
        assert server.accepted == accepted + 1
        await until(lambda: server.open == 1)
        await transport.close()
        await until(lambda: server.open == 0)


async def test_idle_connections_nobody_takes_are_swept(monkeypatch):
    monkeypatch.setattr("modeld.upstream.pool.POOL_IDLE_S", 0.05)
    transport = DirectTransport()
    async with serving(script(HI, then="again")) as server:
        assert await body_of(transport, server.get()) == b"hi"
        await until(lambda: server.open == 0)
    assert not transport._connections
    await transport.close()


async def test_a_closed_idle_connection_isnt_taken(transport):
    async with serving(script(HI)) as server:
        for n in range(3):
            assert await body_of(transport, server.get()) == b"hi"
            await until(lambda n=n: server.open == 0 and not transport._connections)
        assert server.accepted == 3


@pytest.mark.parametrize(
    ("first", "rest", "kept"),
    [
        (b"7\r\ndata: x\r\n0\r\n\r\n", b"", True),  # the rest is here already
        (b"7\r\ndata: x\r\n", b"0\r\n\r\n", True),  # it comes a moment later
        (b"7\r\ndata: x\r\n", b"", False),  # it doesn't come
    ],
)
async def test_an_end_marker_ends_the_pump_and_may_keep_the_connection(transport, first, rest, kept):
    async def marked(call):
        while await call.request():
            await call.send(CHUNKED + first)
            if rest:
                await asyncio.sleep(0.02)
                await call.send(rest)

    async with serving(marked) as server:
        exchange = await start(transport, server.get(stream=True))
        await asyncio.wait_for(exchange.pump(lambda data: True), 1)
        exchange.close()
        if kept:
            await until(lambda: bool(transport._pool._idle))
            await (await start(transport, server.get(stream=True))).pump(lambda data: True)
        else:
            await until(lambda: server.open == 0)
        assert server.accepted == 1


async def test_a_stream_that_goes_on_after_its_end_marker_is_closed(transport):
    async def endless(call):
        await call.request()
        await call.send(CHUNKED)
        await call.flood(b"7\r\ndata: x\r\n" * 1_000)

    async with serving(endless) as server:
        await (await start(transport, server.get(stream=True))).pump(lambda data: True)
        await until(lambda: server.open == 0, 0.2)


async def test_an_exception_of_the_callback_is_raised_and_closes(transport):
    async with serving(script(CHUNKED + b"2\r\nhi\r\n", then="wait")) as server:
        exchange = await start(transport, server.get())

        def fail(data):
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await exchange.pump(fail)
        await until(lambda: len(server.gone) == 1)


async def test_pausing_stops_the_flood_at_the_sockets_buffers(transport):
    sent = 0

    async def flood(call):
        nonlocal sent
        await call.request()
        await call.send(OK + b"\r\n")
        while sent < 64_000_000 and await call.send(b"x" * 64_000):
            sent += 64_000

    got = 0
    async with serving(flood) as server:
        exchange = await start(transport, server.get(stream=True))

        def on_data(data):
            nonlocal got
            got += len(data)
            if got == len(data):
                exchange.pause()
            return False

        pumping = asyncio.create_task(exchange.pump(on_data))
        await until(lambda: got > 0)
        before = -1
        while before != sent:  # until the server's writes are stuck
            before = sent
            await asyncio.sleep(0.05)
        assert got < 1_000_000
        assert sent < 32_000_000
        exchange.resume()
        await asyncio.wait_for(pumping, 10)
        assert got == sent == 64_000_000


async def test_a_pause_before_the_pump_holds(transport):
    async with serving(script(OK + b"\r\n" + b"x" * 8_000_000)) as server:
        exchange = await start(transport, server.get(stream=True))
        exchange.pause()
        reading = asyncio.create_task(exchange.read(8_000_000))
        await asyncio.sleep(0.05)
        assert not reading.done()
        exchange.resume()
        assert len(await asyncio.wait_for(reading, 5)) == 8_000_000


async def test_an_exchange_is_read_once(transport):
    async with serving(script(HI, then="again")) as server:
        exchange = await start(transport, server.get())
        assert await exchange.read(10) == b"hi"
        with pytest.raises(RuntimeError):
            await exchange.read(10)
        other = await start(transport, server.get())
        exchange.close()  # late, and no longer this exchange's connection
        exchange.pause()
        assert await other.read(10) == b"hi"
        assert server.accepted == 1


async def test_closing_an_unread_exchange_closes_its_connection(transport):
    async with serving(script(CHUNKED + b"2\r\nhi\r\n", then="wait")) as server:
        exchange = await start(transport, server.get())
        exchange.close()
        exchange.close()
        await until(lambda: len(server.gone) == 1)
        with pytest.raises(RuntimeError):
            await exchange.pump(lambda data: False)


async def test_closing_the_transport_ends_what_runs_and_refuses_more(transport):
    async with serving(script(CHUNKED + b"2\r\nhi\r\n", then="wait")) as server:
        exchange = await start(transport, server.get())
        pumping = asyncio.create_task(exchange.pump(lambda data: False))
        await asyncio.sleep(0.01)
        await transport.close()
        for call in (pumping, start(transport, server.get())):
            with pytest.raises(UpstreamError, match="shutting down"):
                await call
        await until(lambda: server.open == 0)


async def test_an_early_answer_to_a_body_still_going_out_isnt_followed_by_another_request(transport):
    async def impatient(call):
        if call.number == 1:
            await call.head()
            await call.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            await asyncio.sleep(0.2)
        else:
            await call.request()
            await call.send(HI)

    async with serving(impatient) as server:
        exchange = await start(transport, server.get(body=bytes(16_000_000)))
        assert exchange.status == 413
        assert await exchange.read(10) == b"no"
        assert await body_of(transport, server.get()) == b"hi"
        assert server.accepted == 2


async def test_tls_with_one_context_built_off_the_loop(tmp_path, monkeypatch):
    server_context, client_context = await self_signed(tmp_path)
    threads = []

    def build():
        threads.append(threading.current_thread())
        return client_context

    monkeypatch.setattr(client, "build_ssl_context", build)
    transport = DirectTransport()
    assert not threads
    async with serving(script(HI, then="again"), tls=server_context) as server:
        bodies = await asyncio.gather(*(body_of(transport, server.get()) for _ in range(4)))
        assert bodies == [b"hi"] * 4
        assert await body_of(transport, server.get()) == b"hi"
        assert server.accepted == 4
        await transport.close()
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_the_systems_certificates_are_found():
    context = client.build_ssl_context()
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


async def test_a_dead_address_costs_a_head_start_not_the_deadline(monkeypatch):
    """Two addresses, of which the first never answers: its backlog is full."""
    with socket.socket() as full, socket.socket() as good:
        full.bind(("127.0.0.2", 0))
        port = full.getsockname()[1]
        full.listen(0)
        good.bind(("127.0.0.1", port))
        good.listen(8)
        stuck = [socket.socket() for _ in range(4)]
        for sock in stuck:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())

        async def look_up(host, port):
            return [(socket.AF_INET, ("127.0.0.2", port)), (socket.AF_INET, ("127.0.0.1", port))]

        monkeypatch.setattr("modeld.upstream.dial._look_up", look_up)
        before = open_files()
        async with asyncio.timeout(2):
            sock = await dial("example.test", port)
        assert sock.getpeername() == ("127.0.0.1", port)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()
        await until(lambda: open_files() <= before)
        for sock in stuck:
            sock.close()
