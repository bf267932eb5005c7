"""What the clients of a run do: turns, streams, whole answers, following, cancelling, leaving and coming back."""

import asyncio
import random
import sqlite3
from typing import Any

from tests.sim.client import Client, Gone
from tests.sim.disk import decoded, open_disk
from tests.sim.faults import FAULT_PHASE_S
from tests.sim.world import LONGEST_S, SCRIPTS, TOOLS, Outcome, World

from modeld.ledger.posting import statement_of

ACTIONS = (
    *("turn",) * 6,
    *("stream",) * 2,
    *("complete", "subscribe", "subscribe", "resume", "unsubscribe", "cancel", "turn_cancel", "get", "append", "fork"),
    *("policy", "list", "usage", "pause", "create", "delete"),
    *("garbled", "duplicate"),
    *("hasty_turn", "hasty_turn", "hasty_stream", "hasty_turn_cancel"),
)
GARBAGE = (b"Content-Length: 9\r\n\r\n{garbage}", b"GET / HTTP/1.1\r\n\r\n", b"Content-Length: 7\r\n\r\n{}", b"\xff" * 5_000)


class Actor:
    """One client program: it connects, does what chance says, and comes back when its connection ends."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.chance = random.Random(f"{world.seed} {name}")
        self.cursors: dict[str, tuple[str, int]] = {}
        self.pending: list[asyncio.Task[None]] = []
        self.running: list[int] = []
        self.client: Client | None = None

    async def act(self, count: int) -> None:
        """Do `count` things, then wait for every answer."""
        for _ in range(count):
            await asyncio.sleep(self.chance.choice((0.0, 0.001, 0.05, 2.0, 60.0)) * self.chance.random())
            try:
                client = await self._connected()
                await self._do(client, self.chance.choice(ACTIONS))
            except Gone:
                continue
        if self.pending:
            await asyncio.wait(self.pending)

    async def _connected(self) -> Client:
        if self.client is None or self.client.transcript.lost:
            self.running.clear()
            self.client = await self.world.connect(self.name, self.cursors)
            for session_id in list(self.cursors):
                self._later(self.client, "session/subscribe", self._resuming(session_id))
        return self.client

    def _later(self, client: Client, method: str, params: dict[str, Any]) -> int:
        """Ask and go on; the answer is waited for at the end."""
        number = client.send(method, params)
        self.running.append(number)
        self.pending.append(asyncio.create_task(self._answered(client, number)))
        return number

    async def _answered(self, client: Client, number: int) -> None:
        try:
            await client.wait(number)
        except Gone:
            return

    def _resuming(self, session_id: str) -> dict[str, Any]:
        epoch, cursor = self.cursors[session_id]
        return {"session_id": session_id, "epoch": epoch, "cursor": cursor}

    def _model(self) -> str:
        return f"{self.chance.choice(('anthropic', 'openai'))}:sim-{self.chance.choice(SCRIPTS)}"

    def _request(self) -> dict[str, Any]:
        mark, prompt = self.world.prompt()
        return {"messages": prompt, "model": self._model(), "request_id": mark, "tools": TOOLS}

    async def _do(self, client: Client, action: str) -> None:
        world, chance = self.world, self.chance
        if action == "create" or not world.sessions:
            settings = {"policy": {"concurrent_turns": "queue"}} if chance.random() < 0.6 else {}
            answer = await client.ask("session/create", {"tools": TOOLS, **settings})
            if "result" in answer:
                world.sessions.append(answer["result"]["session"]["session_id"])
            return
        session_id = chance.choice(world.sessions[-world.spread :])
        here = {"session_id": session_id}
        if action == "turn":
            mark, prompt = world.prompt()
            detach = {"detach": True} if chance.random() < 0.3 else {}
            self._later(client, "turn/start", {**here, "input": prompt, "model": self._model(), "request_id": mark, **detach})
        elif action in ("stream", "complete"):
            self._later(client, f"model/{action}", self._request())
        elif action == "subscribe":
            self._later(client, "session/subscribe", here)
        elif action == "resume" and session_id in self.cursors:
            self._later(client, "session/subscribe", self._resuming(session_id))
        elif action == "unsubscribe":
            self.cursors.pop(session_id, None)
            self._later(client, "session/unsubscribe", here)
        elif action == "cancel" and self.running:
            await asyncio.sleep(chance.choice((0.0, 0.003, 1.0)) * chance.random())
            client.notify("$/cancelRequest", {"id": chance.choice(self.running[-3:])})
        elif action.startswith("hasty"):
            await self._hasty(client, action, here)
        elif action == "garbled":
            client.send_garbage(chance.choice(GARBAGE))
        elif action == "duplicate":
            params = {**here, "messages": [{"role": "user", "content": world.prompt()[1]}]}
            self.running.append(client.send("session/append", params, times=2))
        elif action == "delete":
            if chance.random() < 0.3:
                world.sessions.remove(session_id)
                self._later(client, "session/delete", here)
        elif action == "turn_cancel":
            self._later(client, "turn/cancel", here)
        elif action == "append":
            self._later(client, "session/append", {**here, "messages": [{"role": "user", "content": world.prompt()[1]}]})
        elif action == "policy":
            self._later(client, "session/update", {**here, "policy": {"concurrent_turns": chance.choice(("queue", "refuse"))}})
        elif action == "pause":
            await asyncio.sleep(chance.random() * 30)
        else:
            methods = {"get": "session/get", "fork": "session/fork", "list": "session/list", "usage": "usage/query"}
            if action in methods:
                self._later(client, methods[action], here if action in ("get", "fork") else {})

    async def _hasty(self, client: Client, action: str, here: dict[str, Any]) -> None:
        """Begin and think better of it, at whatever moment."""
        if action == "hasty_stream":
            number = self._later(client, "model/stream", self._request())
        else:
            mark, prompt = self.world.prompt()
            number = self._later(client, "turn/start", {**here, "input": prompt, "model": self._model(), "request_id": mark})
        if (wait_s := self.chance.choice((0.0, 0.001, 0.005, 0.02, 1.0)) * self.chance.random()) > 0.0:
            await asyncio.sleep(wait_s)
        if action == "hasty_turn_cancel":
            self._later(client, "turn/cancel", here)
        else:
            client.notify("$/cancelRequest", {"id": number})


async def live(world: World) -> Outcome:
    """A whole run: the time of faults, the time after, and the end of the daemon."""
    began_s = world.loop.time()
    actors = [Actor(world, f"c{number}") for number in range(2 + world.chance.randrange(3))]
    tasks = [asyncio.create_task(actor.act(4 + world.chance.randrange(20))) for actor in actors]
    misfortune = asyncio.create_task(world.misfortune(began_s))
    await asyncio.wait((misfortune, asyncio.create_task(asyncio.sleep(FAULT_PHASE_S))))
    await misfortune
    world.faults.active = False
    world.disk.fail_from = world.disk.fail_until = -1
    _, stuck = await asyncio.wait(tasks, timeout=2 * LONGEST_S)
    for task in stuck:
        world.violations.append(f"liveness: {world.loop.time() - began_s:.0f} s after the start an answer is still missing")
        task.cancel()
    for task in tasks:
        if task.done() and not task.cancelled() and task.exception() is not None:
            raise task.exception() or AssertionError
    histories = await _probe(world)
    world.check_memory()
    return await _end(world, actors, histories, began_s)


async def _probe(world: World) -> dict[str, list[dict[str, Any]]]:
    """Now that all is well everything has to work, for a new client too: a turn on each session, then its history."""
    histories: dict[str, list[dict[str, Any]]] = {}
    await asyncio.sleep(10)  # the store tries again, retries of others end
    try:
        async with asyncio.timeout(2 * LONGEST_S):
            client = await world.connect("probe", {})
            for session_id in world.sessions:
                mark, prompt = world.prompt()
                params = {"session_id": session_id, "input": prompt, "model": "openai:sim-text", "request_id": mark}
                answer = await client.ask("turn/start", params)
                if "result" not in answer:
                    world.violations.append(f"after the faults a turn fails: {answer}")
                got = await client.ask("session/get", {"session_id": session_id})
                histories[session_id] = got["result"]["messages"] if "result" in got else []
    except (TimeoutError, Gone) as error:
        world.violations.append(f"liveness: after the faults a new client is not served ({type(error).__name__})")
    return histories


async def _end(world: World, actors: list[Actor], histories: dict[str, list[dict[str, Any]]], began_s: float) -> Outcome:
    held = _held(world)
    for client in world.clients:
        if client.endpoint is not None:
            client.endpoint.abort()
    await asyncio.sleep(5)
    held += _held_without_clients(world)
    last = await _leave_in_the_middle(world) if world.chance.random() < 0.5 else None
    await world.stop()
    if last is not None:
        await asyncio.wait((last,))
    held += _held(world)
    if world.transport.open_connections:
        held.append(f"{world.transport.open_connections} connections to providers")
    mine = {asyncio.current_task(), *(task for actor in actors for task in actor.pending)}
    held += sorted(f"task {task.get_coro()!r}" for task in asyncio.all_tasks() - mine if not task.done())
    await asyncio.sleep(0)
    assert world.disk.image is not None
    calls = _rows(_with_journals(world))
    return Outcome(
        world.seed,
        world.transcripts,
        world.trace,
        calls,
        histories,
        world.log.getvalue(),
        repr(calls),
        world.disk.image,
        world.keys,
        world.store_failures,
        world.crashes,
        world.violations,
        [*held, *world.loop.errors],
        world.loop.time() - began_s,
    )


async def _leave_in_the_middle(world: World) -> "asyncio.Task[None]":
    """A client whose work is under way while the daemon is told to stop: everything of it is answered, and on the books."""
    client = await world.connect("last", {})
    asked: list[int] = []
    for number, model in enumerate(("openai:sim-slow-300", "anthropic:sim-slow-5000", "openai:sim-text", "anthropic:sim-text")):
        mark, prompt = world.prompt()
        if number % 2 and world.sessions:
            params = {"session_id": world.sessions[-1], "input": prompt, "model": model, "request_id": mark}
            asked.append(client.send("turn/start", params))
        else:
            asked.append(client.send("model/stream", {"messages": prompt, "model": model, "request_id": mark}))
    answers = [asyncio.create_task(client.wait(number)) for number in asked]
    await client.ask("model/list", {})  # those before it have arrived
    await asyncio.sleep(world.chance.choice((0.0, 0.01, 2.0)))

    async def all_answered() -> None:
        for done in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(done, BaseException):
                world.violations.append("the daemon stopped and left a request without an answer")

    return asyncio.create_task(all_answered())


def _with_journals(world: World) -> sqlite3.Connection:
    """The disk as the next daemon would see it."""
    disk = open_disk(world.disk.image)
    for frames in world.journals.values():
        for record in decoded(frames):
            statement = statement_of(record)
            assert statement is not None
            disk.execute(*statement)
    return disk


def _rows(disk: sqlite3.Connection) -> list[dict[str, Any]]:
    cursor = disk.execute("SELECT * FROM calls ORDER BY seq")
    names = [column[0] for column in cursor.description]
    return [{name: value for name, value in zip(names, row, strict=True) if name != "pid"} for row in cursor]


def _held(world: World) -> list[str]:
    """What still runs although nobody waits for an answer."""
    daemon = world.daemon
    counts = {
        "calls running": daemon.runtime.calls_running,
        "calls waiting": daemon.runtime.calls_waiting,
        "turns running": daemon.turns.running,
        "writes queued": len(daemon.store._queue),  # pyright: ignore[reportPrivateUsage]
    }
    return [f"{count} {name}" for name, count in counts.items() if count]


def _held_without_clients(world: World) -> list[str]:
    """What is left although every client has gone."""
    held = _held(world)
    if world.daemon.listener.connections:
        held.append(f"{len(world.daemon.listener.connections)} connections of clients")
    for live_session in world.daemon.sessions._loaded.values():  # pyright: ignore[reportPrivateUsage]
        if live_session.pinned or live_session.running is not None:
            held.append(f"session {live_session.session_id} is in use")
    reserved: dict[Any, float] = world.daemon.runtime.books.budgets._reserved  # type: ignore[union-attr]
    held += [f"{amount} reserved for {key}" for key, amount in reserved.items() if abs(amount) > 1e-9]
    return held
