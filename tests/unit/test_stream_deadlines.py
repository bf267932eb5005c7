"""Deadlines of streams: near ones to the moment, far ones looked after together, and nothing left of either afterwards."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from modeld.clock import SYSTEM
from modeld.providers import deadline
from modeld.providers.deadline import Rounds, StreamDeadlines

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["near", "far"])
def rounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    if request.param == "far":
        monkeypatch.setattr(deadline, "TICK_S", 0.005)
        monkeypatch.setattr(deadline, "SOON_S", 0.01)
    return Rounds(SYSTEM)


async def _seconds(rounds: Rounds, first_s: float, idle_s: float, work: Callable[[StreamDeadlines], Awaitable[None]]) -> float:
    """How long it took until a deadline passed."""
    began = SYSTEM.monotonic()
    with pytest.raises(TimeoutError), StreamDeadlines(SYSTEM, rounds, first_s, idle_s) as watch:
        await work(watch)
    return SYSTEM.monotonic() - began


async def _silent(_watch: StreamDeadlines) -> None:
    await asyncio.sleep(10)


async def _one_sign(watch: StreamDeadlines) -> None:
    await asyncio.sleep(0.05)
    watch.alive()
    await asyncio.sleep(10)


async def _last_words(watch: StreamDeadlines) -> None:
    watch.last_words(0.05)
    await asyncio.sleep(10)


@pytest.mark.parametrize(
    ("first_s", "idle_s", "work", "after_s"),
    [(0.2, 0.05, _silent, 0.2), (5.0, 0.1, _one_sign, 0.15), (5.0, 5.0, _last_words, 0.05), (0.1, 0.1, _silent, 0.1)],
)
async def test_a_deadline_passes_when_it_is_due(rounds: Rounds, first_s: float, idle_s: float, work, after_s: float) -> None:
    took_s = await _seconds(rounds, first_s, idle_s, work)
    assert after_s <= took_s < after_s + 1.5
    assert len(rounds) == 0


async def test_a_stream_that_ends_is_watched_no_more(rounds: Rounds) -> None:
    with StreamDeadlines(SYSTEM, rounds, 5.0, 5.0) as watch:
        assert len(rounds) == 1
        watch.alive()
    assert len(rounds) == 0


async def test_many_streams_share_the_rounds(rounds: Rounds) -> None:
    took_s = await asyncio.gather(*(_seconds(rounds, 0.05 + 0.01 * number, 5.0, _silent) for number in range(20)))
    assert all(0.05 + 0.01 * number <= seconds for number, seconds in enumerate(took_s))
    assert len(rounds) == 0


async def test_a_cancel_of_somebody_else_is_no_deadline(rounds: Rounds) -> None:
    async def run() -> None:
        with StreamDeadlines(SYSTEM, rounds, 5.0, 5.0):
            await asyncio.sleep(10)

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(rounds) == 0


def test_the_rounds_of_a_loop_that_ended_go_on_in_the_next() -> None:
    rounds = Rounds(SYSTEM)

    async def leave_one_behind() -> None:
        StreamDeadlines(SYSTEM, rounds, 60.0, 60.0).__enter__()

    asyncio.run(leave_one_behind())
    assert asyncio.run(_seconds(rounds, 0.05, 0.05, _silent)) >= 0.05
    asyncio.run(leave_one_behind())
    assert len(rounds) == 1
