"""Serves cassettes on loopback, with the pieces and the pace that they were recorded with."""

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from ..clock import SYSTEM, Clock
from ..providers.catalog import row_of
from ..upstream.guard import parse_base_url
from .deck import Deck, Draw, models_of
from .format import Cassette
from .loopback import Answer, LoopbackServer, Request

CONFIG_MARK = "# Written by `modeld replay`: recorded answers, served on this machine."
_ABOUT = "x-modeld-cassette"


class Player:
    """A provider that says again what was said once. `speed` is a factor on the recorded pace, 0 for no waiting; `strict`
    refuses requests that were not recorded with the same body. `on_request` is told of each request, and what it drew."""

    def __init__(
        self,
        cassettes: Iterable[Cassette],
        *,
        port: int = 0,
        speed: float = 1.0,
        strict: bool = False,
        clock: Clock = SYSTEM,
        on_request: Callable[[Request, Draw | None], None] | None = None,
    ) -> None:
        self.deck = Deck(cassettes, strict=strict)
        self._speed = speed
        self._clock = clock
        self._on_request = on_request
        self._server = LoopbackServer(self._handle, port)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        await self._server.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._server.stop()

    async def __aenter__(self) -> "Player":
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    def base_urls(self) -> dict[str, str]:
        """The base URL of each provider there are cassettes of."""
        return {
            provider: f"{self._server.base_url}/{provider}{base_path_of(cassettes[0])}"
            for provider, cassettes in sorted(self.deck.providers.items())
        }

    def config_text(self) -> str:
        """A models.yaml whose adapters are the cassettes' providers and whose models are those that were recorded."""
        lines = [CONFIG_MARK, "adapters:"]
        urls = self.base_urls()
        for provider, url in urls.items():
            kind = self.deck.providers[provider][0].request.adapter.type
            lines.append(f"  {provider}: {{type: {kind}, base_url: {url!r}, api_key: replay}}")
        lines.append("models:")
        for provider in urls:
            for model in models_of(self.deck.providers[provider]).items():
                model_id, wire_name = (msgspec.json.encode(text).decode() for text in model)  # in quotes, as YAML has them too
                lines.append(f"  {model_id}: {{adapter: {provider}, wire_name: {wire_name}}}")
        return "\n".join([*lines, ""])

    # ---- a request

    async def _handle(self, request: Request, answer: Answer) -> None:
        draw = self.deck.draw(request.method, request.target, request.body)
        if self._on_request is not None:
            self._on_request(request, draw)
        if draw is None:
            self._refuse(request, answer)
        else:
            await self._play(draw, answer)

    def _refuse(self, request: Request, answer: Answer) -> None:
        there = ", ".join(sorted(self.deck.providers)) or "none"
        message = (
            f"no cassette answers {request.method} {request.target.partition('?')[0]} with this model and manner; "
            f"there are cassettes of: {there}. `modeld replay --list` shows them, `modeld record` makes more"
        )
        answer.begin(404, {"content-type": "application/json"})
        answer.write(msgspec.json.encode({"error": {"type": "not_found_error", "message": message}}))
        answer.end()

    async def _play(self, draw: Draw, answer: Answer) -> None:
        response = draw.cassette.response
        about = f"{draw.cassette.name}; {'exact' if draw.exact else 'similar'}"
        answer.begin(response.status, {**response.headers, _ABOUT: about})
        began = self._clock.monotonic()
        for piece, at_ms in draw.cassette.pieces():
            await self._wait(answer, began, at_ms)
            if answer.left.is_set():
                return
            answer.write(piece)
            await answer.writable.wait()
        if response.ending == "whole":
            answer.end()
        else:
            answer.cut()

    async def _wait(self, answer: Answer, began: float, at_ms: float) -> None:
        """Until the piece's moment, or the client's departure."""
        if not self._speed:
            await asyncio.sleep(0)
            return
        wait_s = began + at_ms / 1000 / self._speed - self._clock.monotonic()
        if wait_s <= 0:
            return
        try:
            async with asyncio.timeout(wait_s):
                await answer.left.wait()
        except TimeoutError:
            pass


def base_path_of(cassette: Cassette) -> str:
    """The path of the base URL that the cassette's adapter had."""
    adapter = cassette.request.adapter
    if adapter.base_path is not None:
        return adapter.base_path
    row = row_of(adapter.type)
    return (parse_base_url(row.base_url).path.rstrip("/") if row.base_url else "") or row.default_path
