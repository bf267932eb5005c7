"""The provider's side of a run: the simulator's own answers over streams in memory, behind the daemon's own HTTP client."""

import asyncio
import random
import re
from typing import Any

from tests.sim.faults import Faults, spoil
from tests.sim.streams import Endpoint, Trace, pair

from modeld.clock import Clock
from modeld.simulator.ask import Call
from modeld.simulator.connection import Connection, Headers, Pump
from modeld.simulator.plan import Plan
from modeld.simulator.records import RecordedRequest
from modeld.simulator.responder import Responder
from modeld.simulator.script import Scenario
from modeld.upstream.client import DirectTransport
from modeld.upstream.connection import Connection as ClientConnection
from modeld.upstream.contract import Origin, UpstreamError

MARK = re.compile(rb"\[\[([\w-]+)\]\]")


class Provider:
    """Answers requests. `on_generate` is called with the mark of each prompt the moment its request is here."""

    def __init__(self, seed: int, clock: Clock, trace: Trace, faults: Faults, on_generate: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._seed = seed
        self._trace = trace
        self._faults = faults
        self._chance = random.Random(f"{seed} provider")
        self._on_generate = on_generate
        self._responder = Responder(Scenario(), clock, show_keys=False, stats=dict, reset=lambda: None)
        self._pump = Pump(self._loop)
        self._count = 0
        self.open: dict[Connection, Endpoint] = {}
        self.keys_seen: list[str] = []

    def connect(self) -> Endpoint:
        """A stream to the provider: the end of whoever connects."""
        self._count += 1
        near, far = pair(self._loop, f"provider {self._count}", self._seed, self._trace)
        connection = Connection(self, self._pump, self._loop)
        self.open[connection] = far
        far.serve(connection)
        return near

    # ---- what its connections ask

    def opened(self, connection: Connection) -> None:
        """See Host."""

    def closed(self, connection: Connection) -> None:
        """See Host."""
        self.open.pop(connection, None)

    def plan(self, call: Call, headers: Headers) -> tuple[Plan, RecordedRequest | None]:
        """See Host."""
        if marks := MARK.findall(call.body):
            self._on_generate(marks[-1].decode())
        self.keys_seen.append(call.headers.get("authorization") or call.headers.get("x-api-key") or "")
        plan, record = self._responder.answer(call, headers)
        return spoil(plan, self._faults, self._chance), record

    def plan_too_large(self, call: Call) -> Plan:
        """See Host."""
        return self._responder.too_large(call)

    def left_early(self, record: RecordedRequest, writes_made: int) -> None:
        """See Host."""


class MemoryTransport(DirectTransport):
    """The daemon's HTTP client with its sockets replaced."""

    __slots__ = ("_provider", "dead")

    def __init__(self, provider: Provider, clock: Clock) -> None:
        super().__init__(clock)
        self._provider = provider
        self.dead = False

    @property
    def open_connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    def kill(self) -> None:
        """The process is gone, and with it every connection."""
        self.dead = True
        for connection in sorted(self._connections, key=lambda one: one._transport.name):  # type: ignore[union-attr]
            connection.abort()

    async def _connect(self, origin: Origin, timeout_s: float) -> ClientConnection:
        await asyncio.sleep(0.001)
        if self.dead or self._closed:
            raise UpstreamError("connect", "the process is gone")
        connection = ClientConnection(origin, asyncio.get_running_loop(), self._connections.discard)
        self._provider.connect().serve(connection)
        self._connections.add(connection)
        return connection
