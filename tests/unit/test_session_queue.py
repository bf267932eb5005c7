"""The queue for a session: whoever is cancelled leaves it, at whatever moment, and nobody behind is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from modeld.clock import SYSTEM
from modeld.config.schema import AdapterConfig, Config
from modeld.ledger.schema import LEDGER
from modeld.ledger.store import Store
from modeld.runtime import Runtime
from modeld.sessions.live import LiveSession
from modeld.sessions.records import SCHEMA
from modeld.sessions.registry import Sessions
from modeld_protocol.session import SessionCreateParams

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def taken_session() -> AsyncIterator[tuple[Sessions, LiveSession]]:
    """A session that queues, and whose one writer is at work."""
    store = Store.open(None, SYSTEM, (LEDGER, SCHEMA))
    runtime = Runtime(Config(adapters={"local": AdapterConfig("local", "openai")}, models={}, models_given=False), environment={})
    sessions = Sessions(store, runtime)
    session = await sessions.create(SessionCreateParams(policy={"concurrent_turns": "queue"}))
    live = await sessions.open(session.session_id)
    await sessions.take(live)
    yield sessions, live
    await runtime.close()
    await store.close()


async def queue(sessions: Sessions, live: LiveSession, turn_id: str) -> "asyncio.Task[None]":
    task = asyncio.create_task(sessions.take(live, turn_id))
    await asyncio.sleep(0)
    assert live.waiting[-1].turn_id == turn_id
    return task


async def test_a_turn_that_is_cancelled_in_the_queue_just_as_its_place_comes_up() -> None:
    """The writer gives back between the cancel and the moment at which the cancelled one hears of it."""
    async with taken_session() as (sessions, live):
        first, second = await queue(sessions, live, "turn_1"), await queue(sessions, live, "turn_2")
        live.waiting[0].ready.cancel()
        sessions.give_back(live)
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        assert live.taken
        assert not live.waiting
        sessions.give_back(live)
        assert not live.taken


async def test_one_that_is_cancelled_while_it_waits_leaves_the_others_their_places() -> None:
    async with taken_session() as (sessions, live):
        first, second = await queue(sessions, live, "turn_1"), await queue(sessions, live, "turn_2")
        live.waiting[0].ready.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [place.turn_id for place in live.waiting] == ["turn_2"]
        sessions.give_back(live)
        await second
        sessions.give_back(live)
        assert not live.taken
