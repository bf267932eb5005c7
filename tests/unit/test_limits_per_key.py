"""What a key may do, as tables: what an answer said, and when the next call may start."""

import asyncio
from math import inf

import pytest

from modeld.clock import SYSTEM
from modeld.credentials.secret import Credential, Secret
from modeld.providers.key_queue import KeyQueue, KeyQueues, Slot
from modeld.providers.limits_per_key import CAUTION_S, MAX_ADVISED_S, MAX_PAUSE_S, PLENTY, KeyLimits, Reading
from modeld.providers.wire.rate_headers import low_limits
from modeld.upstream.contract import Origin

NOW = 1_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


READINGS = [
    ("plenty", Reading(PLENTY + 5, 60.0, 100.0, True), 0.0),
    ("one left", Reading(1, 60.0, None, True), 0.0),
    ("none left, until the reset", Reading(0, 2.0, None, True), 2.0),
    ("none left for long: headers advise, and one may try", Reading(0, 70.0, None, True), MAX_ADVISED_S),
    ("none left of a bucket: until one is back", Reading(0, 60.0, 60.0, True), 1.0),
    ("tokens used up, until the reset", Reading(0, 2.0, None, False), 2.0),
    ("tokens used up: until a share is back", Reading(0, 20.0, 1_000.0, False), 2.0),
    ("a reset that is far away is cut", Reading(0, 86_400.0, None, False), MAX_ADVISED_S),
]


@pytest.mark.parametrize(("reading", "wait_s"), [row[1:] for row in READINGS], ids=[row[0] for row in READINGS])
def test_headers_close_a_key(reading: Reading, wait_s: float) -> None:
    limits = KeyLimits()
    limits.start(NOW)
    limits.answered([reading], NOW)
    limits.end(answered=True)
    assert abs(limits.next_start_s(NOW) - (NOW + wait_s)) < 1e-9
    assert abs(limits.next_start_s(NOW + wait_s) - (NOW + wait_s)) < 1e-9
    assert limits.next_start_s(NOW + 100_000) == NOW + 100_000
    assert not limits.throttled


def test_requests_on_their_way_count() -> None:
    limits = KeyLimits()
    for _ in range(3):
        limits.start(NOW)
    limits.answered([Reading(3, 10.0, None, True)], NOW)
    assert limits.next_start_s(NOW) == NOW  # three are left, two are on their way
    limits.start(NOW)
    assert limits.next_start_s(NOW) == NOW + MAX_ADVISED_S
    late_s = NOW + MAX_ADVISED_S
    limits.start(late_s)
    assert limits.next_start_s(late_s) == late_s + MAX_ADVISED_S
    assert limits.next_start_s(NOW + 10) == NOW + 10  # the reset


def test_a_refusal_closes_the_key_then_lets_one_through_at_a_time() -> None:
    limits = KeyLimits()
    limits.start(NOW)
    limits.refused(2.0, NOW)
    limits.end(answered=False)
    assert limits.next_start_s(NOW) == NOW + 2
    later_s = NOW + 2
    limits.start(NOW)
    assert limits.next_start_s(later_s) == inf  # until the first is answered
    limits.answered([], later_s)
    limits.start(NOW)
    limits.start(NOW)
    assert limits.next_start_s(later_s) == inf  # two at a time now
    assert limits.next_start_s(later_s + CAUTION_S) == later_s + CAUTION_S


def test_a_key_that_nobody_waits_for_opens_soon() -> None:
    limits = KeyLimits()
    limits.refused(30.0, NOW)
    assert limits.next_start_s(NOW) == NOW + 30
    limits.nobody_waits(NOW)
    assert limits.next_start_s(NOW) == NOW + MAX_PAUSE_S
    limits.nobody_waits(NOW + MAX_PAUSE_S)
    assert limits.next_start_s(NOW + MAX_PAUSE_S) == NOW + MAX_PAUSE_S


def test_a_used_up_quota_is_no_rate() -> None:
    limits = KeyLimits()
    limits.refused(86_400.0, NOW)
    assert limits.next_start_s(NOW) == NOW


def test_concurrency_is_bounded() -> None:
    limits = KeyLimits(max_running=2)
    limits.start(NOW)
    limits.start(NOW)
    limits.answered([], NOW)
    assert limits.next_start_s(NOW) == inf
    limits.end(answered=True)
    assert limits.next_start_s(NOW) == NOW


HEADERS: list[tuple[str, dict[str, str], list[Reading]]] = [
    ("none", {}, []),
    ("plenty", {"x-ratelimit-remaining-requests": "500", "x-ratelimit-reset-requests": "1s"}, []),
    (
        "requests of the chat interface",
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s", "x-ratelimit-limit-requests": "60"},
        [Reading(0, 62.5, 60, True)],
    ),
    (
        "tokens, reset as a moment",
        {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "1970-01-01T00:00:30Z"},
        [Reading(0, 30.0, None, False)],
    ),
    ("tokens that are left", {"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "1s"}, []),
    ("a reset that has passed", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "-1"}, []),
    ("no numbers", {"x-ratelimit-remaining-requests": "few", "x-ratelimit-reset-requests": "soon"}, []),
]


@pytest.mark.parametrize(("headers", "expected"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS])
def test_headers_are_read(headers: dict[str, str], expected: list[Reading]) -> None:
    assert low_limits(headers, 0, lambda: 0.0) == expected


# ---- the line


@pytest.mark.anyio
async def test_clients_take_turns() -> None:
    queue = KeyQueue(KeyLimits(max_running=1), SYSTEM)
    slot = queue.enter_nowait()
    assert slot is not None
    order: list[str] = []

    async def call(name: str, *, first: bool = False) -> None:
        mine = await queue.enter(name[0], SYSTEM.monotonic() + 5, first=first)
        order.append(name)
        mine.end()

    tasks = [asyncio.create_task(call(name)) for name in ("a1", "a2", "a3", "b1", "c1", "b2")]
    await asyncio.sleep(0)
    again = asyncio.create_task(call("a0", first=True))
    await asyncio.sleep(0)
    slot.end()
    await asyncio.gather(*tasks, again)
    assert order == ["a0", "b1", "c1", "a1", "b2", "a2", "a3"]
    assert queue.idle


@pytest.mark.anyio
async def test_who_leaves_the_line_holds_nobody_up() -> None:
    queue = KeyQueue(KeyLimits(max_running=1), SYSTEM)
    slot = queue.enter_nowait()
    assert slot is not None
    waiting = [asyncio.create_task(queue.enter("a", SYSTEM.monotonic() + 5, first=False)) for _ in range(3)]
    with pytest.raises(TimeoutError):
        await queue.enter("b", SYSTEM.monotonic() + 0.01, first=False)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    slot.end()  # the second is let in, and cancelled before it knows
    waiting[1].cancel()
    await asyncio.wait(waiting[1:2])
    assert waiting[1].cancelled()
    third = await waiting[2]
    third.end()
    assert (queue.idle, queue.limits.running, queue.limits.unanswered) == (True, 0, 0)


@pytest.mark.anyio
async def test_a_closed_key_opens_by_itself_and_refuses_who_has_no_time() -> None:
    queue = KeyQueue(KeyLimits(), SYSTEM)
    first = queue.enter_nowait()
    assert first is not None
    first.refused(0.05)
    first.end()
    assert queue.enter_nowait() is None
    with pytest.raises(TimeoutError):
        await queue.enter("a", SYSTEM.monotonic() + 0.01, first=False)
    slot: Slot = await queue.enter("a", SYSTEM.monotonic() + 5, first=False)
    slot.answered(200, {})
    slot.end()
    assert queue.limits.running == 0


def test_keys_are_told_apart_by_origin_and_hash() -> None:
    queues = KeyQueues(SYSTEM)
    here, there = Origin("https", "a.example", 443), Origin("https", "b.example", 443)
    one, other = (Credential(Secret(key), "x-api-key", "", frozenset(), "test") for key in ("one", "other"))
    again = Credential(Secret("".join(("o", "ne"))), "authorization", "Bearer ", frozenset(), "test")
    assert queues.of(here, one) is queues.of(here, again)
    found = [queues.of(here, one), queues.of(here, other), queues.of(there, one), queues.of(here, None)]
    assert len({id(queue) for queue in found}) == 4
