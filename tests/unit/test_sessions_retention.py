"""Retention: what the bounds leave no room for goes, what is in use stays, and nothing holds the loop meanwhile."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modeld.clock import Clock
from modeld.config.schema import AdapterConfig, Config, RetentionConfig
from modeld.ledger.schema import LEDGER
from modeld.ledger.store import Store
from modeld.providers.failure import ProviderFailure
from modeld.runtime import Runtime
from modeld.sessions.records import SCHEMA, TurnRow, begin_turn
from modeld.sessions.registry import Sessions
from modeld.sessions.retention import MAX_STEP_BYTES, Kept, Retention, beyond, sweep_some
from modeld_protocol.content import Message, ToolResultBlock, ToolUseBlock
from modeld_protocol.session import SessionAppendParams, SessionCreateParams, SessionForkParams, SessionListParams

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000
MIB = 1024 * 1024
CALL = Message("assistant", [ToolUseBlock("tu_1", "look", {})])
ANSWER = Message("tool", [ToolResultBlock("tu_1", "seen")])


class Wall:
    """A wall clock that moves when told."""

    now_s = 1_750_000_000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """The sessions of a daemon on a file."""

    def __init__(self, folder: Path) -> None:
        self.wall = Wall()
        clock = Clock(wall=self.wall)
        self.store = Store.open(folder / "modeld.db", clock, (LEDGER, SCHEMA))
        config = Config(adapters={"local": AdapterConfig("local", "openai")}, models={}, models_given=False)
        self.runtime = Runtime(config, environment={}, clock=clock)
        self.sessions = Sessions(self.store, self.runtime)
        self.retention = Retention(self.sessions, self.store)

    async def session(self, *messages: Message) -> str:
        made = await self.sessions.create(SessionCreateParams())
        if messages:
            await self.sessions.append(SessionAppendParams(made.session_id, list(messages)))
        return made.session_id

    async def listed(self) -> set[str]:
        return {one.session_id for one in (await self.sessions.page(SessionListParams())).sessions}

    def count(self, table: str) -> int:
        return self.store.read_now(f"SELECT count(*) FROM {table}")[0][0]

    def forget_memory(self) -> None:
        for live in tuple(self.sessions._loaded.values()):
            self.sessions.forget(live)

    async def apply(self, **bounds: int) -> int:
        self.retention.follow(RetentionConfig(**bounds))
        return await self.retention.apply()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.runtime.close()
    await made.store.close()


def text(size: int = 10) -> Message:
    return Message("user", "x" * size)


# ---- the plan


SESSIONS = [Kept(name, age, 2 * MIB) for name, age in (("new", 10 * DAY_MS), ("mid", 5 * DAY_MS), ("old", 2 * DAY_MS))]


@pytest.mark.parametrize(
    ("bounds", "gone"),
    [
        ({}, []),
        ({"calls_days": 1}, []),
        ({"sessions_days": 5}, ["old"]),
        ({"sessions_days": 4}, ["old", "mid"]),
        ({"sessions_days": 7}, ["old"]),
        ({"sessions_count": 3}, []),
        ({"sessions_count": 1}, ["old", "mid"]),
        ({"sessions_mib": 6}, []),
        ({"sessions_mib": 5}, ["old"]),
        ({"sessions_mib": 1}, ["old", "mid", "new"]),
        ({"sessions_days": 8, "sessions_count": 1}, ["old", "mid"]),
    ],
)
def test_what_the_bounds_leave_no_room_for(bounds: dict[str, int], gone: list[str]) -> None:
    assert [one.session_id for one in beyond(SESSIONS, RetentionConfig(**bounds), 10 * DAY_MS)] == gone


# ---- what goes


async def test_without_bounds_everything_stays(world: World) -> None:
    kept = {await world.session(text()) for _ in range(3)}
    world.wall.now_s += 10_000 * 86_400
    assert await world.apply() == 0
    assert await world.listed() == kept


async def test_old_sessions_go_with_all_their_rows(world: World) -> None:
    old = await world.session(*(text() for _ in range(120)))
    world.wall.now_s += 3 * 86_400
    new = await world.session(text())
    world.forget_memory()
    assert await world.apply(sessions_days=2) == 1
    assert await world.listed() == {new}
    assert (world.count("sessions"), world.count("messages")) == (1, 1)
    with pytest.raises(ProviderFailure, match="no session"):
        await world.sessions.open(old)
    assert world.sessions.count() == 1


async def test_the_size_of_a_session_is_that_of_its_messages(world: World) -> None:
    first = await world.session(text(MIB), text(MIB))
    fork = (await world.sessions.fork(SessionForkParams(first))).session_id
    world.wall.now_s += 60
    last = await world.session(text(MIB))
    sizes = dict(world.store.read_now("SELECT session_id, size_bytes FROM sessions"))
    bodies = dict(world.store.read_now("SELECT session_id, sum(length(body)) FROM messages GROUP BY 1"))
    assert sizes == bodies
    assert await world.apply(sessions_mib=3) == 2
    assert await world.listed() == {last}
    assert {first, fork} & await world.listed() == set()


async def test_a_deleted_session_frees_its_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.ledger.store._SPARE_PAGES", 8)
    session = await world.session(*(text(100_000) for _ in range(40)))
    await world.sessions.delete(session)
    assert await world.listed() == set()
    await world.retention.apply()
    await world.store.close()
    assert world.store.path is not None
    assert world.store.path.stat().st_size < 400_000


async def test_what_a_crash_left_half_deleted_goes_at_the_next_start(world: World, tmp_path: Path) -> None:
    session = await world.session(*(text() for _ in range(120)))
    await world.sessions.delete(session)
    await world.store.beside(sweep_some)
    assert 0 < world.count("messages") < 120
    await world.store.close()
    again = World(tmp_path)
    await again.retention.apply()
    assert (again.count("sessions"), again.count("messages")) == (0, 0)
    await again.store.close()


async def test_a_deletion_by_a_client_is_swept_at_once(world: World) -> None:
    running = asyncio.create_task(world.retention.run())
    await world.sessions.delete(await world.session(text()))
    async with asyncio.timeout(5):
        while world.count("sessions"):
            await asyncio.sleep(0.005)
    running.cancel()


async def test_a_new_bound_is_kept_at_once(world: World) -> None:
    running = asyncio.create_task(world.retention.run())
    for _ in range(3):
        await world.session(text())
        world.wall.now_s += 1
    world.retention.follow(RetentionConfig(sessions_count=1))
    async with asyncio.timeout(5):
        while world.count("sessions") > 1:
            await asyncio.sleep(0.005)
    running.cancel()


# ---- what stays


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("history", "stays"),
    [([text(), CALL], True), ([text(), CALL, text()], True), ([text(), CALL, ANSWER], False), ([text()], False), ([], False)],
)
async def test_a_session_whose_calls_wait_stays(world: World, history: list[Message], stays: bool, in_memory: bool) -> None:
    session = await world.session(*history)
    if not in_memory:
        world.forget_memory()
    world.wall.now_s += 9 * 86_400
    await world.apply(sessions_days=1)
    assert await world.listed() == ({session} if stays else set())


async def test_a_session_with_a_writer_stays(world: World) -> None:
    session = await world.session(text())
    live = await world.sessions.open(session)
    await world.sessions.take(live)
    world.wall.now_s += 9 * 86_400
    assert await world.apply(sessions_days=1) == 0
    world.sessions.give_back(live)
    assert await world.apply(sessions_days=1) == 1


async def test_a_turn_that_runs_in_another_daemon_keeps_its_session(world: World) -> None:
    session = await world.session(text())
    world.forget_memory()
    for statement in begin_turn(TurnRow("turn_1", session, "req_1", "a:b", 1, [])):
        await world.store.write(*statement)
    world.wall.now_s += 9 * 86_400
    assert await world.apply(sessions_days=1) == 0
    await world.sessions.recover()
    assert await world.apply(sessions_days=1) == 1


async def test_one_that_was_used_since_it_was_looked_at_stays(world: World) -> None:
    session = await world.session(text())
    updated_ms = world.sessions.now_ms()
    world.wall.now_s += 1
    await world.sessions.append(SessionAppendParams(session, [text()]))
    world.forget_memory()
    assert not await world.sessions.expire(session, updated_ms)
    assert await world.listed() == {session}


async def test_nothing_is_acknowledged_into_a_session_that_goes(world: World) -> None:
    session = await world.session(text())
    world.forget_memory()
    going = asyncio.create_task(world.sessions.expire(session, world.sessions.now_ms()))
    appending = asyncio.create_task(world.sessions.append(SessionAppendParams(session, [text()])))
    assert await going
    with pytest.raises(ProviderFailure, match="no session"):
        await appending


async def test_who_holds_a_session_that_was_deleted_is_told(world: World) -> None:
    session = await world.session(text())
    live = await world.sessions.open(session)
    await world.sessions.delete(session)
    with pytest.raises(ProviderFailure, match="no session"):
        await world.sessions.take(live)


# ---- and nobody waits


@pytest.mark.alone
async def test_the_loop_goes_on_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of rows and large ones go while others write; the loop never stands for long because of it."""
    monkeypatch.setattr("modeld.ledger.store._COMPACT_PAUSE_S", 0.002)
    monkeypatch.setattr("modeld.sessions.retention.PAUSE_S", 0.002)
    for at in range(12):
        await world.session(*(text(100_000 if at % 3 else 2_000) for _ in range(100)))
    world.forget_memory()
    world.wall.now_s += 9 * 86_400
    cpu_s: list[float] = []
    running = asyncio.create_task(world.apply(sessions_days=1))
    session = await world.session()
    while not running.done():
        began_s = time.thread_time()
        await asyncio.sleep(0)
        cpu_s.append(time.thread_time() - began_s)
        if len(cpu_s) % 50 == 0:
            await world.sessions.append(SessionAppendParams(session, [text()]))
        await asyncio.sleep(0.0005)
    assert await running == 12
    cpu_s.sort()
    assert cpu_s[-len(cpu_s) // 100] <= 0.005, f"one turn of the loop in a hundred took {cpu_s[-len(cpu_s) // 100] * 1000:.1f} ms"
    assert cpu_s[-1] <= 0.015, f"the loop stood for {cpu_s[-1] * 1000:.1f} ms"  # a collection of garbage included
    assert await world.listed() == {session}


@pytest.mark.alone
async def test_a_step_is_short(world: World) -> None:
    for size in (100, 5_000, 200_000):
        session = await world.session(*(text(size) for _ in range(200)))
        await world.sessions.delete(session)
    took_s: list[float] = []

    def measured(connection: sqlite3.Connection) -> Any:
        began_s = time.thread_time()
        more = sweep_some(connection)
        took_s.append(time.thread_time() - began_s)
        return more

    freed: list[int] = []
    while await world.store.beside(measured):
        freed.append(world.count("messages"))
    assert max(took_s) <= 0.02, f"a step took {max(took_s) * 1000:.1f} ms of CPU"
    assert len(freed) > 600 * 100_000 // 3 / MAX_STEP_BYTES / 2
    assert world.count("sessions") == 0
