"""The recording proxy: it passes on what it is given, keeps it, and lets nobody else in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from modeld.cassettes.develop import develop
from modeld.cassettes.format import CassetteAdapter
from modeld.cassettes.names import case_of
from modeld.cassettes.recorder import Recorder
from modeld.cassettes.scrub import Scrubber
from modeld.credentials.redact import Redactor
from modeld.credentials.secret import Credential, Secret
from modeld.simulator import Simulator
from modeld.upstream.client import DirectTransport
from modeld.upstream.contract import Exchange, HttpRequest, Origin, UpstreamError
from modeld.upstream.guard import parse_base_url

KEY = "sk-canary-proxy-0123456789abcdef"
CHAT = "/v1/chat/completions"


class Setting:
    """A simulator, a recorder before it, and a client of the recorder."""

    def __init__(self, simulator: Simulator, recorder: Recorder) -> None:
        self.simulator = simulator
        self.recorder = recorder
        self.client = DirectTransport()

    async def ask(self, model: str, *, path: str = CHAT, method: str = "POST", prefix: str | None = None) -> Exchange:
        origin, secret_path = parse_base_url(self.recorder.base_url)
        body = msgspec.json.encode({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]})
        request = HttpRequest(
            method,
            Origin(*origin),
            (secret_path if prefix is None else prefix) + path,
            [("content-type", "application/json"), ("cookie", "session=1")],
            body if method == "POST" else b"",
            Credential(Secret(KEY), "authorization", "Bearer ", frozenset((str(origin),)), "test"),
            True,
        )
        return await self.client.open(request, connect_timeout_s=2, head_timeout_s=5)


@asynccontextmanager
async def setting() -> AsyncIterator[Setting]:
    async with Simulator() as simulator:
        recorder = Recorder(parse_base_url(simulator.base_url).origin, DirectTransport())
        await recorder.start()
        made = Setting(simulator, recorder)
        yield made
        await made.client.close()
        await recorder.stop()


@pytest.mark.anyio
async def test_everything_passes_and_is_kept() -> None:
    async with setting() as set_up:
        exchange = await set_up.ask("sim-text")
        body = await exchange.read(100_000)
        (sent,), (kept,) = set_up.simulator.requests, set_up.recorder.exchanges
    assert sent.header("authorization") == f"Bearer {KEY}"
    assert sent.path == kept.path == CHAT
    assert sent.body == kept.request_body
    assert (kept.status, kept.ending, kept.body) == (200, "whole", body)
    assert body.endswith(b"data: [DONE]\n\n")
    assert [at for _, at in kept.pieces] == sorted(at for _, at in kept.pieces)
    assert "authorization" not in kept.request_headers
    assert "cookie" not in kept.request_headers


@pytest.mark.anyio
async def test_nobody_else_gets_in() -> None:
    async with setting() as set_up:
        for prefix in ("", "/00000000000000000000000000000000"):
            exchange = await set_up.ask("sim-text", prefix=prefix)
            assert exchange.status == 404
            await exchange.read(1000)
        assert set_up.simulator.requests == type(set_up.simulator.requests)()
        assert set_up.recorder.exchanges == []


@pytest.mark.anyio
async def test_a_client_that_leaves_takes_the_answer_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody waited for is ended at the provider and is no cassette."""
    monkeypatch.setattr("modeld.cassettes.recorder.FINISH_S", 0.05)
    async with setting() as set_up:
        exchange = await set_up.ask("sim-fault-hang_mid_stream")
        await exchange.pump(lambda data: True)
        exchange.close()
        await set_up.simulator.wait_until(lambda: bool(set_up.simulator.closed_early), timeout_s=10)
        for _ in range(5):
            await asyncio.sleep(0)
        assert set_up.recorder.exchanges == []
        assert set_up.recorder.left == 1


@pytest.mark.anyio
async def test_a_provider_that_is_not_there() -> None:
    recorder = Recorder(Origin("http", "127.0.0.1", 9), DirectTransport())
    await recorder.start()
    async with Simulator() as simulator:
        set_up = Setting(simulator, recorder)
        with pytest.raises(UpstreamError):
            await set_up.ask("sim-text")
        await set_up.client.close()
    await recorder.stop()
    assert recorder.exchanges == []
    assert "127.0.0.1:9" in recorder.unreachable[0]


@pytest.mark.anyio
async def test_what_no_runtime_asked_is_kept_for_replay() -> None:
    """A model list, or a program that speaks the wire itself: no canonical request, and still no key."""
    redactor = Redactor([KEY])
    async with setting() as set_up:
        await (await set_up.ask("", path="/v1/models", method="GET")).read(100_000)
        (kept,) = set_up.recorder.exchanges
    made = await develop(kept, "openai", case_of(kept), CassetteAdapter("openai"), [], Scrubber(redactor))
    assert made.is_safe
    assert made.cassette.name == "openai/models"
    assert (made.cassette.request.method, made.cassette.request.path) == ("GET", "/v1/models")
    assert made.cassette.request.canonical is made.cassette.expected is None
    assert b"sim-text" in made.cassette.body
