"""Replay: which cassette answers, and that it comes over a socket as it was recorded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from modeld.cassettes.deck import Deck
from modeld.cassettes.format import Cassette, CassetteAdapter, CassetteModel, CassetteRequest, CassetteResponse
from modeld.cassettes.loopback import Answer, LoopbackServer, Request
from modeld.cassettes.player import Player
from modeld.config.check import check
from modeld.providers.catalog import known_types
from modeld.upstream.client import DirectTransport
from modeld.upstream.contract import Exchange, HttpRequest, Origin, UpstreamError

CHAT = "/v1/chat/completions"


def cassette(case: str, body: Any, *, provider: str = "openai", path: str = CHAT, **response: Any) -> Cassette:
    pieces = response.pop("pieces", [(case.encode(), 0.0)])
    return Cassette(
        provider,
        case,
        CassetteRequest(CassetteAdapter("openai"), CassetteModel(str(body.get("model"))), path=path, body=body),
        CassetteResponse(chunks=[(len(data), at) for data, at in pieces], **response),
        b"".join(data for data, _ in pieces),
    )


def asked(words: str, model: str = "m", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": words}], **more}


def drawn(deck: Deck, body: Any, target: str = CHAT, method: str = "POST") -> str | None:
    draw = deck.draw(method, target, msgspec.json.encode(body))
    return None if draw is None else draw.cassette.case + ("" if draw.exact else "?")


FULL = [
    cassette("plain", asked("a")),
    cassette("streamed", asked("a", stream=True)),
    cassette("other-model", asked("a", "n")),
    cassette("other-words", asked("b")),
    cassette("elsewhere", asked("a"), provider="groq", path="/openai/v1/chat/completions"),
    cassette("same-path-elsewhere", asked("z", "far"), provider="kimi"),
    cassette("in-path", {"contents": [1]}, path="/v1beta/models/g:generate?alt=sse&key=1"),
]


@pytest.mark.parametrize(
    ("body", "target", "case"),
    [
        (asked("a"), CHAT, "plain"),
        (asked("a", stream=True), CHAT, "streamed"),
        (asked("a", "n"), CHAT, "other-model"),
        (asked("b"), CHAT, "other-words"),
        (asked("c"), CHAT, "plain?"),
        (asked("a", stream=False, metadata={"user_id": "x"}, user="u"), CHAT, "plain?"),
        ({"messages": asked("b")["messages"], "model": "m"}, CHAT, "other-words"),
        (asked("b", user="jane"), CHAT, "other-words"),
        (asked("b", stream_options={"include_usage": True}), CHAT, "other-words"),
        (asked("a"), "/groq/openai/v1/chat/completions", "elsewhere"),
        (asked("a"), "/openai/v1/chat/completions", "plain"),
        (asked("z", "far"), "/kimi/v1/chat/completions", "same-path-elsewhere"),
        (asked("z", "far"), "/openai/v1/chat/completions", None),
        (asked("z", "far"), CHAT, "same-path-elsewhere"),
        (asked("a", "unknown"), CHAT, None),
        (asked("a"), "/v1/responses", None),
        ({"contents": [1]}, "/v1beta/models/g:generate?key=another&alt=sse", "in-path"),
        ({"contents": [1]}, "/v1beta/models/h:generate?alt=sse", None),
    ],
)
def test_draw(body: Any, target: str, case: str | None) -> None:
    assert drawn(Deck(FULL), body, target) == case


def test_strict_takes_the_same_body_only() -> None:
    deck = Deck(FULL, strict=True)
    assert drawn(deck, asked("c")) is None
    assert drawn(deck, asked("b")) == "other-words"


def test_the_same_request_again_gets_the_next_answer() -> None:
    """A retry sees what the recorded one saw."""
    deck = Deck([cassette("first", asked("a"), status=429), cassette("second", asked("a")), cassette("not-this", asked("b"))])
    assert [drawn(deck, asked("a")) for _ in range(5)] == ["first", "second", "first", "second", "first"]


def test_private_words_are_compared_as_they_were_recorded() -> None:
    deck = Deck([cassette("first", asked("x")), cassette("mine", asked("mail someone@example.com"))])
    assert drawn(deck, asked("mail jane@corp.com")) == "mine"


def test_a_body_that_is_no_json() -> None:
    assert Deck(FULL).draw("POST", CHAT, b"\xff{") is None
    assert Deck([]).draw("GET", "", b"") is None


# ---- over a socket


@contextlib.asynccontextmanager
async def asking(port: int) -> AsyncIterator[Any]:
    transport = DirectTransport()

    async def ask(body: Any, target: str = CHAT) -> Exchange:
        request = HttpRequest(
            "POST", Origin("http", "127.0.0.1", port), target, [("content-type", "application/json")], msgspec.json.encode(body)
        )
        return await transport.open(request, connect_timeout_s=2, head_timeout_s=2)

    yield ask
    await transport.close()


@pytest.mark.anyio
async def test_pieces_and_pace() -> None:
    """Pieces come one by one, each not before its moment."""
    pieces = [(b"one ", 0.0), (b"two ", 60.0), (b"three", 120.0)]
    loop = asyncio.get_running_loop()
    async with Player([cassette("c", asked("a"), pieces=pieces)], speed=2) as player, asking(player.port) as ask:
        began = loop.time()
        exchange = await ask(asked("a"))
        came: list[tuple[bytes, float]] = []
        await exchange.pump(lambda data: bool(came.append((data, loop.time() - began))))
    assert [data for data, _ in came] == [b"one ", b"two ", b"three"]
    assert all(at_s >= wanted_s for (_, at_s), wanted_s in zip(came, (0, 0.03, 0.06), strict=True))
    assert exchange.headers["x-modeld-cassette"] == "openai/c; exact"


@pytest.mark.anyio
async def test_status_headers_and_a_cut() -> None:
    broken = cassette("c", asked("a"), pieces=[(b"half", 0.0)], ending="cut", headers={"retry-after": "3"}, status=529)
    async with Player([broken], speed=0) as player, asking(player.port) as ask:
        exchange = await ask(asked("a"))
        assert (exchange.status, exchange.headers["retry-after"]) == (529, "3")
        came: list[bytes] = []
        with pytest.raises(UpstreamError):
            await exchange.pump(lambda data: bool(came.append(data)))
        assert came == [b"half"]


@pytest.mark.anyio
async def test_no_cassette_says_what_to_do() -> None:
    seen: list[tuple[str, bool]] = []
    async with (
        Player(FULL, speed=0, on_request=lambda request, draw: seen.append((request.target, draw is None))) as player,
        asking(player.port) as ask,
    ):
        exchange = await ask(asked("a"), "/v2/nothing")
        assert exchange.status == 404
        message = msgspec.json.decode(await exchange.read(10_000))["error"]["message"]
        assert "groq, kimi, openai" in message
        assert "modeld record" in message
        assert (await ask(asked("a"))).status == 200
    assert seen == [("/v2/nothing", True), (CHAT, False)]


@pytest.mark.anyio
async def test_a_client_that_leaves_ends_the_play() -> None:
    """The handler doesn't sit out the pace of an answer that nobody waits for."""
    slow = cassette("c", asked("a"), pieces=[(b"one", 0.0), (b"two", 3_600_000.0)])
    player = Player([slow])
    async with player, asking(player.port) as ask:
        exchange = await ask(asked("a"))
        await exchange.pump(lambda data: True)
        exchange.close()
    # Leaving the block waits for every handler.


def test_the_config_that_it_offers_is_one() -> None:
    player = Player([*FULL, cassette("odd", asked("a", 'm"\\: {x'))], port=8378)
    config, problems = check(player.config_text().encode(), "models.yaml", known_types(), {})
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert config is not None
    assert set(config.adapters) == {"groq", "kimi", "openai"}
    assert config.models["kimi:far"].wire_name == "far"
    assert any(model.wire_name == 'm"\\: {x' for model in config.models.values())


# ---- the server below


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", [b"/a", b"/b"]),
        (b"POST /c HTTP/1.1\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc", [b"/c abc"]),
        (b"POST /d HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [b"/d abc"]),
        (b"nonsense\r\n\r\n", [b"400 Bad Request"]),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 40_000 + b"\r\n", [b"400 Bad Request"]),
        (b"GET /fails HTTP/1.0\r\n\r\n", []),
    ],
)
async def test_loopback(sent: bytes, answer: list[bytes]) -> None:
    async def handle(request: Request, to: Answer) -> None:
        if request.target == "/fails":
            return
        to.begin(200, {"x": "y"})
        to.write(f"{request.target} ".encode().strip() + (b" " + request.body if request.body else b""))
        to.end()

    async with LoopbackServer(handle) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        async with asyncio.timeout(5):
            received = await reader.read(-1)
        writer.close()
    places = [received.find(words) for words in answer]
    assert -1 not in places
    assert places == sorted(places)
    assert bool(received) == bool(answer)
