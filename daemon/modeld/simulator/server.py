"""The simulator itself: a provider on loopback, in this process or behind `modeld simulate`."""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from ..clock import SYSTEM, Clock
from .ask import Call
from .choose import Pushed
from .connection import Connection, Headers, Pump
from .plan import Plan
from .records import ClosedEarly, RecordedRequest
from .responder import Responder
from .script import Answer, Scenario

_BACKLOG = 4_096


class Simulator:
    """A provider that answers from scripts.

        async with Simulator() as sim:
            client = AsyncOpenAI(base_url=sim.openai_base_url, api_key="sim")

    `requests` and `closed_early` hold what came in, `push` says what the next requests get, `wait_until` waits for
    something of this to happen. `on_request` is called with every request once its answer is decided.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = SYSTEM,
        show_keys: bool = False,
        on_request: Callable[[RecordedRequest], None] | None = None,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"The simulator listens on loopback only, not on {host}: use 127.0.0.1 or ::1")
        self._host = host
        self.port = port
        self._clock = clock
        self._on_request = on_request
        self._responder = Responder(scenario or Scenario(), clock, show_keys=show_keys, stats=self.stats, reset=self.reset)
        self._connections: set[Connection] = set()
        self._connections_total = 0
        self._server: asyncio.Server | None = None
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    # ---- for tests

    @property
    def base_url(self) -> str:
        """The origin, without a path: what Anthropic's SDK takes as its base URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def openai_base_url(self) -> str:
        """What OpenAI's SDK takes as its base URL."""
        return f"{self.base_url}/v1"

    @property
    def requests(self) -> Sequence[RecordedRequest]:
        """The last thousand requests, oldest first."""
        return self._responder.records.requests

    @property
    def closed_early(self) -> Sequence[ClosedEarly]:
        """Clients that left before their answer was complete, oldest first."""
        return self._responder.records.closed_early

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    @property
    def running(self) -> int:
        """Answers that are under way now."""
        return sum(1 for connection in self._connections if connection.busy)

    def push(self, script: Answer, *, times: int = 1, model: str | None = None, wire: str | None = None) -> None:
        """Answer the next request (or the next `times`) with this script. Raises Refused for a name that there isn't."""
        self._responder.chooser.push(Pushed(script, times, model, wire))

    def reset(self) -> None:
        """Forget requests, pushed answers, counters and what was kept; running answers go on."""
        self._responder.shelf.clear()
        self._responder.records.reset()
        self._responder.chooser.reset()

    def stats(self) -> dict[str, Any]:
        """Figures since the start or the last reset. `now_s` is the monotonic clock that all times are on."""
        records = self._responder.records
        return {
            "now_s": self._clock.monotonic(),
            "open_connections": self.open_connections,
            "connections_total": self._connections_total,
            "running": self.running,
            "buffered_bytes": sum(connection.buffered_bytes for connection in self._connections),
            "requests": records.request_count,
            "closed_early_count": records.closed_early_count,
            "closed_early": list(records.closed_early),
        }

    async def wait_until(self, condition: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """Return as soon as the condition holds; it is looked at whenever a request, a close or an early leave happens.

        Raises TimeoutError.
        """
        if condition():
            return
        waiter = (condition, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)

    # ---- life

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        pump = Pump(loop)
        self._server = await loop.create_server(
            lambda: Connection(self, pump, loop), self._host, self.port, backlog=_BACKLOG, start_serving=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and end every connection at once."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        await self.wait_until(lambda: not self._connections)
        self._server = None

    async def __aenter__(self) -> "Simulator":
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    # ---- called by connections

    def opened(self, connection: Connection) -> None:
        """A client is here."""
        self._connections.add(connection)
        self._connections_total += 1
        self._changed()

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._changed()

    def plan(self, call: Call, headers: Headers) -> tuple[Plan, RecordedRequest | None]:
        """What a request gets."""
        plan, record = self._responder.answer(call, headers)
        if record is not None:
            if self._on_request is not None:
                self._on_request(record)
            self._changed()
        return plan, record

    def plan_too_large(self, call: Call) -> Plan:
        """What a request gets that is too large to be read."""
        return self._responder.too_large(call)

    def left_early(self, record: RecordedRequest, writes_made: int) -> None:
        """A client went before its answer was complete."""
        at_s = self._clock.monotonic()
        self._responder.records.add_closed_early(ClosedEarly(record.number, record.path, record.model, at_s, writes_made))
        self._changed()

    def _changed(self) -> None:
        for condition, waiter in self._waiters:
            if not waiter.done() and condition():
                waiter.set_result(None)
