"""The httpx transport: the same contract, with respx and proxies in front."""

import asyncio
import gzip
import logging

import httpx
import pytest
import respx
from tests.harness.raw_server import script, serving, until

from modeld.credentials.secret import Credential, Secret
from modeld.upstream.contract import HttpRequest, Origin, UpstreamError
from modeld.upstream.httpx_transport import HttpxTransport, proxied

pytestmark = pytest.mark.anyio

HOME = Origin("https", "api.example.com", 443)
KEY = Credential(Secret("k3y-value"), "x-api-key", "", frozenset({str(HOME)}), "EXAMPLE_API_KEY")
REQUEST = HttpRequest("POST", HOME, "/v1/x?a=%20b", [("content-type", "application/json")], b"{}", credential=KEY)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def start(transport, request=REQUEST):
    return await transport.open(request, connect_timeout_s=2.0, head_timeout_s=2.0)


@pytest.fixture
async def mocked():
    async with httpx.AsyncClient() as inner:
        with respx.mock:
            yield HttpxTransport(inner)


async def test_respx_sees_the_request_and_gives_the_answer(mocked):
    answer = httpx.Response(429, headers=[("X-Id", "1"), ("x-id", "2"), ("Retry-After", "3")], content=b"slow down")
    route = respx.post("https://api.example.com/v1/x", params={"a": " b"}).mock(return_value=answer)
    exchange = await start(mocked)
    assert (exchange.status, exchange.headers["x-id"], exchange.headers["retry-after"]) == (429, "1, 2", "3")
    assert await exchange.read(100) == b"slow down"
    sent = route.calls.last.request
    assert sent.content == b"{}"
    assert sent.headers["x-api-key"] == "k3y-value"
    assert sent.headers["accept-encoding"] == "gzip"


async def test_a_compressed_answer(mocked):
    packed = gzip.compress(b"hello" * 1_000)
    respx.post("https://api.example.com/v1/x").mock(
        side_effect=lambda request: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(packed))
    )
    assert await (await start(mocked)).read(10_000) == b"hello" * 1_000
    with pytest.raises(UpstreamError) as caught:
        await (await start(mocked)).read(100)
    assert caught.value.fault == "too_large"


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (httpx.ConnectError("refused"), "connect"),
        (httpx.ConnectTimeout("slow"), "connect"),
        (httpx.ProxyError("407"), "connect"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "tls"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.ReadError("reset"), "reset"),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), "reset"),
        (httpx.RemoteProtocolError("illegal status line"), "protocol"),
        (httpx.UnsupportedProtocol("https://api.example.com?key=k3y-value"), "protocol"),
        (ConnectionResetError(), "reset"),
    ],
)
async def test_httpx_errors_become_ours_without_their_texts(mocked, error, fault):
    respx.post("https://api.example.com/v1/x").mock(side_effect=error)
    with pytest.raises(UpstreamError) as caught:
        await start(mocked)
    assert (caught.value.fault, caught.value.answered) == (fault, False)
    assert "k3y" not in str(caught.value)


async def test_a_credential_stays_with_its_origins(mocked):
    with pytest.raises(UpstreamError, match="EXAMPLE_API_KEY"):
        await start(mocked, HttpRequest("POST", Origin("https", "evil.example", 443), "/", [], b"", credential=KEY))
    assert not respx.calls


async def test_nothing_of_a_url_is_logged(mocked, caplog):
    caplog.set_level(logging.DEBUG)
    respx.post("https://api.example.com/v1/x").mock(return_value=httpx.Response(200))
    await (await start(mocked)).read(10)
    assert "api.example.com" not in caplog.text


async def test_pausing_resuming_stopping_and_failing():
    async with (
        httpx.AsyncClient(trust_env=False) as inner,
        serving(script(CHUNKED + b"2\r\nhi\r\n" * 3, pieces=7, then="wait")) as server,
    ):
        transport = HttpxTransport(inner)
        got = []
        exchange = await start(transport, server.get(stream=True))
        exchange.pause()
        pumping = asyncio.create_task(exchange.pump(lambda data: got.append(data) or len(got) == 2))
        await until(lambda: len(got) == 1)
        await asyncio.sleep(0.02)
        assert len(got) == 1
        exchange.resume()
        await asyncio.wait_for(pumping, 1)
        assert len(got) == 2
        await until(lambda: len(server.gone) == 1)
        exchange = await start(transport, server.get(stream=True))
        with pytest.raises(ZeroDivisionError):
            await exchange.pump(lambda data: 1 // 0)
        await until(lambda: len(server.gone) == 2)
        (await start(transport, server.get(stream=True))).close()
        await until(lambda: len(server.gone) == 3)


async def test_cancelling_closes_the_socket():
    async with httpx.AsyncClient(trust_env=False) as inner, serving(script(CHUNKED + b"2\r\nhi\r\n", then="wait")) as server:
        exchange = await start(HttpxTransport(inner), server.get(stream=True))
        pumping = asyncio.create_task(exchange.pump(lambda data: False))
        await asyncio.sleep(0.02)
        pumping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pumping
        await until(lambda: len(server.gone) == 1, 0.2)


async def test_a_head_that_doesnt_come():
    async with httpx.AsyncClient(trust_env=False) as inner, serving(script(b"", then="wait")) as server:
        with pytest.raises(UpstreamError) as caught:
            await HttpxTransport(inner).open(server.get(), connect_timeout_s=0.1, head_timeout_s=0.1)
        assert caught.value.fault == "timeout"


async def test_a_proxy_gets_the_request_instead(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    async with serving(script(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nhi", then="again")) as proxy:
        transport = proxied(f"http://127.0.0.1:{proxy.origin.port}")
        for _ in range(2):
            exchange = await start(transport, HttpRequest("POST", Origin("http", "api.example.com", 80), "/v1", [], b"{}"))
            assert await exchange.read(10) == b"hi"
        await transport.close()
    assert proxy.requests[0].startswith(b"POST http://api.example.com/v1 HTTP/1.1\r\n")
    assert b"cookie" not in proxy.requests[1].lower()


@pytest.mark.parametrize("url", ["", "not a url", "ftp://h:1"])
def test_a_bad_proxy_url_says_what_to_write(url):
    with pytest.raises(ValueError, match="http://host:3128"):
        proxied(url)
