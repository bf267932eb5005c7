"""A run: one daemon, its provider, a few clients and a day's misfortune, all in one thread on virtual time from one seed."""

import asyncio
import io
import json
import random
from pathlib import Path
from typing import Any

import msgspec
from tests.sim.client import Client, Transcript
from tests.sim.disk import Disk, Files, MemoryJournals, decoded, open_disk, store_on
from tests.sim.faults import Event, Faults
from tests.sim.loop import VirtualLoop, VirtualTime
from tests.sim.provider import MemoryTransport, Provider
from tests.sim.streams import Endpoint, Trace, pair

from modeld import limits
from modeld.app import Daemon, Options
from modeld.cli.surroundings import surroundings
from modeld.config.layers import ConfigSurroundings, Effective
from modeld.config.locations import ConfigPlace
from modeld.config.reload import ConfigSource
from modeld.credentials.redact import Redactor
from modeld.observe.log import configure
from modeld.server.output import Output

LONGEST_S = limits.MAX_STREAM_S
PROMPT_CANARY = "PromptCanary"
KEY_VARIABLE = "MODELD_TEST_KEY"
SCRIPTS = (
    *("text", "echo", "long-30", "long-200", "thinking", "redacted", "tool", "parallel-tools-2", "difficult", "empty"),
    *("slow-1", "slow-20", "slow-300", "slow-5000", "thinking-tool"),
)
TOOLS = [{"name": "look", "description": "looks", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}]


class Outcome(msgspec.Struct):
    """Everything that the checkers need of a run. `prompts` and `keys` are what must not be where it doesn't belong."""

    seed: int
    transcripts: list[Transcript]
    trace: Trace
    calls: list[dict[str, Any]]
    histories: dict[str, list[dict[str, Any]]]
    logs: str
    calls_dump: str
    database: bytes
    keys: list[str]
    store_failures: int
    crashes: int
    violations: list[str]
    left: list[str]
    virtual_s: float


class _Source(ConfigSource):
    """A config that is a text in memory. Reading is the only thing replaced."""

    text: str

    async def _read(self) -> Effective:
        await asyncio.sleep(0.001)
        config, problems = self.surroundings.check(self.text.encode(), str(self.place.path))
        return Effective(config, problems, from_file=True)

    async def watch(self) -> None:
        """Nobody edits files here."""
        await asyncio.Event().wait()


def _config(number: int) -> str:
    """The config, in versions that differ in what running calls must not notice."""
    fields = {"api_key_env": KEY_VARIABLE, "max_retries": 1 + number % 3, "timeout_seconds": 300 + number % 7}
    price = {"input": 1.0 + number % 5, "output": 2.0}
    origins = {"anthropic": "http://127.0.0.1:9", "openai": "http://127.0.0.1:9/v1"}
    return json.dumps(
        {
            "adapters": {name: {"type": name, "base_url": url, **fields} for name, url in origins.items()},
            "models": {
                f"{name}:sim-{script}": {"adapter": name, "wire_name": f"sim-{script}", "pricing": price}
                for name in origins
                for script in SCRIPTS
            },
        }
    )


class World:
    """See the module. `runs.drive` makes, runs and ends one."""

    def __init__(self, seed: int, loop: VirtualLoop, faults: Faults) -> None:
        self.seed = seed
        self.loop = loop
        self.faults = faults
        self.chance = random.Random(f"{seed} world")
        self.time = VirtualTime(loop, seed)
        self.trace = Trace()
        self.spread = self.chance.choice((1, 1, 2, 4))  # how many sessions are in use at a time
        self.violations: list[str] = []
        self.transcripts: list[Transcript] = []
        self.clients: list[Client] = []
        self.sessions: list[str] = []
        self.keys = [f"sk-simcanary-{seed}-0-abcdefghijklmnop"]
        self.environment = {KEY_VARIABLE: self.keys[0]}
        self.log = io.StringIO()
        self.crashes = 0
        self.journals: Files = {}
        self.store_failures = 0
        self.prompts = 0
        self.reloads = 0
        self.up = asyncio.Event()
        self.provider = Provider(seed, self.time.clock, self.trace, faults, self._check_row)
        self.redactor = Redactor()
        configure("debug", self.log, self.redactor)
        base = surroundings()
        self.surroundings: ConfigSurroundings = msgspec.structs.replace(base, env=self.environment)
        self.start(None)

    # ---- the daemon

    def start(self, image: bytes | None) -> None:
        """Start a daemon on what the disk holds."""
        clock = self.time.clock
        self.disk: Disk = open_disk(image)
        text = _config(self.reloads)
        config, problems = self.surroundings.check(text.encode(), "models.yaml")
        self.source = _Source(ConfigPlace(Path("models.yaml"), True), self.surroundings, Effective(config, problems, True))
        self.source.text = text
        self.transport = MemoryTransport(self.provider, clock)
        self.daemon = Daemon(
            Options(None),
            self.source,
            self.environment,
            self.redactor,
            clock,
            store=store_on(self.disk, clock),
            journals=MemoryJournals(self.journals, clock.new_id("journal"), self.disk),
            transport=self.transport,
        )
        self.serving = self.loop.create_task(self.daemon.serve())
        self.up.set()

    async def crash(self) -> None:
        """kill -9: what was committed stays, everything else is gone at once; a new daemon follows."""
        self.up.clear()
        self.crashes += 1
        image = self.disk.serialize()
        self.store_failures += self.disk.failures
        self.disk.dead = True
        self.transport.kill()
        for client in self.clients:
            if client.endpoint is not None:
                client.endpoint.abort()
        serving = self.serving
        self.daemon.stop(force=True)
        await asyncio.wait((serving,))
        self.start(image)

    async def restart(self) -> None:
        """SIGTERM in the middle of work, and a new daemon on the same disk."""
        self.up.clear()
        await self.stop()
        assert self.disk.image is not None
        self.start(self.disk.image)

    async def stop(self) -> None:
        """Let the daemon drain and end."""
        self.daemon.stop()
        await asyncio.wait((self.serving,))
        self.store_failures += self.disk.failures
        if (error := self.serving.exception()) is not None:
            raise error

    def _check_row(self, mark: str) -> None:
        """A request has reached the provider: its row must be there."""
        if self.disk.dead:
            return
        rows = self.disk.execute("SELECT status FROM calls WHERE request_id = ?", (mark,)).fetchall()
        entries = [values for frames in self.journals.values() for _, values in decoded(frames) if values[2] == mark]
        if ("started",) not in rows and not any(values[3] == "started" for values in entries):
            self.violations.append(f"the request {mark} left with the rows {rows}, none of them started")

    # ---- clients

    async def connect(self, name: str, cursors: dict[str, tuple[str, int]]) -> Client:
        """A client, initialized. Raises Gone."""
        await self.up.wait()
        near, far = pair(self.loop, f"{name} {len(self.transcripts)}", self.seed, self.trace)
        client = Client(name, cursors)
        self.transcripts.append(client.transcript)
        self.clients.append(client)
        near.serve(client)
        self.daemon.listener.serve_accepted(far)  # type: ignore[arg-type]
        await client.ask("initialize", {"capabilities": {}, "initializationOptions": {"modeld": {"client_id": name}}})
        client.notify("initialized", {})
        return client

    def prompt(self) -> tuple[str, str]:
        """A request id and a prompt that carries it."""
        self.prompts += 1
        mark = f"r-{self.seed}-{self.prompts}"
        return mark, f"{PROMPT_CANARY} [[{mark}]]"

    def check_memory(self) -> None:
        """What must be bounded at every moment."""
        for connection in self.daemon.listener.connections:
            output: Output = connection._output  # pyright: ignore[reportPrivateUsage]
            if output.unread_bytes > limits.WRITE_HARD_LIMIT_BYTES:
                self.violations.append("a client's output is over its limit")
            if connection.requests_in_flight > limits.MAX_REQUESTS_IN_FLIGHT:
                self.violations.append("a client has too many requests")
        for live in self.daemon.sessions._loaded.values():  # pyright: ignore[reportPrivateUsage]
            if live.feed.ring.held_bytes > self.faults.ring_bytes:
                self.violations.append("a session's ring is over its limit")

    # ---- misfortune

    async def misfortune(self, began_s: float) -> None:
        """Let every event happen at its time."""
        async with asyncio.TaskGroup() as group:
            for event in self.faults.events:
                await asyncio.sleep(max(0.0, began_s + event.at_s - self.loop.time()))
                self.check_memory()
                group.create_task(self._happen(event))

    async def _happen(self, event: Event) -> None:
        chance = random.Random(event.number)
        clients = [one.endpoint for one in self.clients if one.endpoint is not None and not one.transcript.lost]
        ends = [*clients, *(one.peer for one in clients)] if event.kind == "clog_client" else list(self.provider.open.values())
        if event.kind in ("clog_client", "clog_provider") and ends:
            await self._clog(chance.choice(ends), event.lasts_s)
        elif event.kind == "swizzle":
            await self._swizzle([*clients, *(one.peer for one in clients), *self.provider.open.values()], chance, event.lasts_s)
        elif event.kind == "die" and clients:
            chance.choice(clients).abort()
        elif event.kind == "slow_reader" and clients:
            slow = chance.choice(clients)
            slow.pause_reading()
            await asyncio.sleep(event.lasts_s)
            slow.resume_reading()
        elif event.kind == "store_failure":
            self.disk.fail_next(chance.randrange(6), chance.choice((1, 2, 5, 40)))
        elif event.kind == "crash" and self.up.is_set():
            await self.crash()
        elif event.kind == "restart" and self.up.is_set():
            await self.restart()
        elif event.kind == "clock_jump":
            self.time.wall_offset_s += chance.choice((-3_600.0, 3_600.0, 31_536_000.0, -86_400.0 * 30))
        elif event.kind == "rotate_key":
            self.keys.append(f"sk-simcanary-{self.seed}-{len(self.keys)}-abcdefghijklmnop")
            self.environment[KEY_VARIABLE] = self.keys[-1]
        elif event.kind in ("reload_valid", "reload_invalid"):
            self.reloads += 1
            self.source.text = _config(self.reloads) if event.kind == "reload_valid" else "adapters: {openai: {oops: 1}}"
            await self.source.reload_now()

    async def _clog(self, end: Endpoint, lasts_s: float) -> None:
        end.clog(True)
        await asyncio.sleep(lasts_s)
        end.clog(False)

    async def _swizzle(self, ends: list[Endpoint], chance: random.Random, lasts_s: float) -> None:
        """Stall some streams one by one, then let them go one by one in another order."""
        stalled = [end for end in ends if chance.random() < 0.6]
        for end in stalled:
            end.clog(True)
            await asyncio.sleep(lasts_s * chance.random() / 10)
        chance.shuffle(stalled)
        for end in stalled:
            await asyncio.sleep(lasts_s * chance.random() / 10)
            end.clog(False)
