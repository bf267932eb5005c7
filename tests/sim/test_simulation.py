"""Deterministic simulation: many small worlds, each from a seed, each with its own misfortune, all checked for the same things.

`SEED=17 pytest tests/sim` runs one of them again; `SEEDS=5000 pytest tests/sim` runs more than usual.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import sqlite3
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.sim.checkers import CHECKERS, check
from tests.sim.faults import Event, Faults
from tests.sim.loop import Deadlock, VirtualLoop, run
from tests.sim.runs import drive
from tests.sim.world import Outcome

from modeld.ledger.audit import Audit
from modeld.ledger.posting import BEGUN, Posting
from modeld.ledger.store import Store
from modeld.server.requests import RequestTable
from modeld.sessions import records
from modeld.sessions.fanout import Feed, Ring
from modeld.sessions.registry import Sessions
from modeld_protocol.events import Event as StreamedEvent
from modeld_protocol.events import MessageComplete, TextDelta

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("SEEDS", "300"))
BATCH = 50
NIGHTLY_SEEDS = 50_000
NIGHTLY_BATCH = 500


def kept_seeds() -> list[int]:
    lines = (ROOT / "tests/sim/seeds.txt").read_text("utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def examine(seed: int) -> None:
    """Run a seed and fail with what it takes to run it again."""
    try:
        problems = check(drive(seed))
    except Exception as error:
        problems = [repr(error)]
        if "SEED" in os.environ:
            raise
    if problems:
        listed = "\n  ".join(problems[:10])
        pytest.fail(
            f"seed={seed} commit={commit()}: {len(problems)} problems\n  {listed}\nagain: SEED={seed} pytest tests/sim", False
        )


def fingerprint(seed: int) -> str:
    """Everything that a run did, to the bit: what went over every stream and when, and what was kept."""
    outcome = drive(seed)
    digest = hashlib.sha256(repr(outcome.trace.lines).encode())
    digest.update(outcome.calls_dump.encode())
    digest.update(repr((outcome.histories, outcome.violations, outcome.left, outcome.virtual_s)).encode())
    return digest.hexdigest()


# ---- the seeds


@pytest.mark.skipif("SEED" not in os.environ, reason="SEED names the seed to run again")
def test_one_seed_again() -> None:
    examine(int(os.environ["SEED"]))


@pytest.mark.skipif("SEED" in os.environ, reason="one seed is asked for")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_seeds(first: int) -> None:
    for seed in range(first, min(first + BATCH, SEEDS)):
        examine(seed)


@pytest.mark.skipif("SEED" in os.environ, reason="one seed is asked for")
def test_seeds_that_once_failed() -> None:
    for seed in kept_seeds():
        examine(seed)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1_000, 1_000 + NIGHTLY_SEEDS, NIGHTLY_BATCH))
def test_many_seeds(first: int) -> None:
    for seed in range(first, first + NIGHTLY_BATCH):
        examine(seed)


# ---- the simulation itself


@pytest.mark.parametrize("seed", [3, 62])
def test_a_seed_gives_the_same_run_to_the_bit(seed: int) -> None:
    """In this process, and in another one whose hashes are others."""
    code = f"from tests.sim.test_simulation import fingerprint; print(fingerprint({seed}))"
    paths = os.pathsep.join(str(ROOT / root) for root in ("daemon", "protocol", "clients/python", ""))
    env = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "12345"}
    elsewhere = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert {fingerprint(seed), fingerprint(seed), elsewhere.stdout.strip()} == {fingerprint(seed)}


def test_different_seeds_give_different_runs() -> None:
    assert len({fingerprint(seed) for seed in range(4)}) == 4


def test_the_faults_do_happen() -> None:
    """A simulation in which nothing goes wrong shows nothing."""
    outcomes = [drive(seed) for seed in range(40)]
    statuses = {row["status"] for outcome in outcomes for row in outcome.calls}
    methods = {message.get("method") for one in outcomes for entry in one.transcripts for _, message in entry.entries}
    assert {"completed", "failed", "cancelled"} <= statuses
    assert {"stream/event", "stream/gap", "config/changed", "session/changed"} <= methods
    assert sum(outcome.crashes for outcome in outcomes) > 5
    assert sum(outcome.store_failures for outcome in outcomes) > 5


def test_the_clock_moves_without_waiting_and_a_deadlock_is_found() -> None:
    async def sleeps(loop: VirtualLoop) -> float:
        before = loop.time()
        await asyncio.sleep(86_400)
        return loop.time() - before

    async def waits(loop: VirtualLoop) -> None:
        await loop.create_future()

    assert run(sleeps) == pytest.approx(86_400)
    with pytest.raises(Deadlock):
        run(waits)


# ---- the checkers catch what they are for


def _lose_a_reply(patch: pytest.MonkeyPatch) -> None:
    remove, count = RequestTable.remove, iter(range(1 << 30))
    patch.setattr(RequestTable, "remove", lambda table, entry: remove(table, entry) and next(count) % 20 != 7)


def _double_a_terminal_event(patch: pytest.MonkeyPatch) -> None:
    publish = Feed.publish

    def doubled(feed: Feed, events: list[StreamedEvent]) -> None:
        publish(feed, events)
        publish(feed, [event for event in events if isinstance(event, MessageComplete)])

    patch.setattr(Feed, "publish", doubled)


def _drop_an_event(patch: pytest.MonkeyPatch) -> None:
    publish = Feed.publish

    def dropping(feed: Feed, events: list[StreamedEvent]) -> None:
        publish(feed, [event for at, event in enumerate(events) if at % 5 != 2 or not isinstance(event, TextDelta)])

    patch.setattr(Feed, "publish", dropping)


def _skip_the_row(patch: pytest.MonkeyPatch) -> None:
    enter = Posting.enter

    def unwritten(posting: Posting, kind: Any, values: Any, *, keep: bool) -> Any:
        return None if kind == BEGUN else enter(posting, kind, values, keep=keep)

    patch.setattr(Posting, "enter", unwritten)


def _forget_messages(patch: pytest.MonkeyPatch) -> None:
    write_many = Store.write_many

    def too_soon(store: Store, statements: Any) -> Any:
        kept = [one for one in statements if "INTO messages" not in one[0]]
        return write_many(store, kept)

    patch.setattr(Store, "write_many", too_soon)


def _log_prompts(patch: pytest.MonkeyPatch) -> None:
    finish = Audit.finish

    def telling(audit: Audit, *args: Any, **named: Any) -> Any:
        logging.getLogger("modeld.ledger").warning("PromptCanary")
        return finish(audit, *args, **named)

    patch.setattr(Audit, "finish", telling)


def _swallow_the_end(patch: pytest.MonkeyPatch) -> None:
    publish = Feed.publish

    def unended(feed: Feed, events: list[StreamedEvent]) -> None:
        publish(feed, [event for event in events if not isinstance(event, MessageComplete)])

    patch.setattr(Feed, "publish", unended)


def _break_a_handler(patch: pytest.MonkeyPatch) -> None:
    async def broken(_sessions: Sessions, _params: Any) -> None:
        raise ZeroDivisionError

    patch.setattr(Sessions, "page", broken)


def _leak_a_task(patch: pytest.MonkeyPatch) -> None:
    create = Sessions.create
    kept: list[Any] = []

    async def leaking(sessions: Sessions, params: Any) -> Any:
        kept.append(asyncio.create_task(asyncio.Event().wait()))
        return await create(sessions, params)

    patch.setattr(Sessions, "create", leaking)


def _keep_every_event(patch: pytest.MonkeyPatch) -> None:
    def append(ring: Ring, count: int, frames: bytes) -> None:
        ring._firsts.append(ring.last + 1)  # pyright: ignore[reportPrivateUsage]
        ring._frames.append(frames)  # pyright: ignore[reportPrivateUsage]
        ring._bytes += len(frames)  # pyright: ignore[reportPrivateUsage]
        ring.last += count

    patch.setattr(Ring, "append", append)


def _miscount_messages(patch: pytest.MonkeyPatch) -> None:
    grown = records.grown
    patch.setattr(records, "grown", lambda session, now_ms, count, size: grown(session, now_ms, count, size + 1))


PLANTED = [
    (_lose_a_reply, "every_moment_was_right: liveness"),
    (_swallow_the_end, "one_terminal_event_per_stream"),
    (_double_a_terminal_event, "nothing_follows_the_end"),
    (_break_a_handler, "nothing_fails_inside"),
    (_drop_an_event, "text_is_whole"),
    (_skip_the_row, "none of them started"),
    (_forget_messages, "acknowledged_messages_are_kept"),
    (_forget_messages, "the_store_is_sound"),
    (_miscount_messages, "the_store_is_sound"),
    (_leak_a_task, "nothing_is_left"),
    (_keep_every_event, "ring is over its limit"),
    (_log_prompts, "no_canary"),
]


@pytest.mark.parametrize(("plant", "found_by"), PLANTED)
def test_planted_bugs_are_caught(monkeypatch: pytest.MonkeyPatch, plant: Any, found_by: str) -> None:
    assert _problems() == []
    plant(monkeypatch)
    problems = _problems()
    assert [problem for problem in problems if found_by in problem], problems


def _problems() -> list[str]:
    return [problem for seed in range(1, 5) for problem in check(drive(seed, _quiet()))]


def _quiet() -> Faults:
    return Faults(0.0, (), (Event(30.0, "crash", 0.0, 1),), 65_536, 256 * 1024, 20_000)


# What a bug might do to what is seen of a run: each takes a sound outcome and makes it unsound.


def _got(outcome: Outcome, method: str | None) -> list[tuple[Any, tuple[str, Any]]]:
    return [
        (one.entries, entry)
        for one in outcome.transcripts
        for entry in one.entries
        if entry[0] == "got" and entry[1].get("method") == method and ("result" in entry[1] or method)
    ]


def _answer_twice(outcome: Outcome) -> None:
    entries, answer = _got(outcome, None)[-1]
    entries.append(answer)


def _answer_never(outcome: Outcome) -> None:
    entries, answer = _got(outcome, None)[-1]
    entries.remove(answer)


def _answer_nobody(outcome: Outcome) -> None:
    entries, _ = _got(outcome, None)[-1]
    entries.append(("got", {"jsonrpc": "2.0", "id": 10_000, "result": None}))


def _session_events(outcome: Outcome) -> list[tuple[Any, tuple[str, Any]]]:
    return [found for found in _got(outcome, "stream/event") if "session_id" in found[1][1]["params"]]


def _differ(outcome: Outcome) -> None:
    """Another client saw another text at the same cursor."""
    entries, (_, event) = next(one for one in _session_events(outcome) if one[1][1]["params"]["event"]["type"] == "text.delta")
    other = deepcopy(event)
    other["params"]["event"]["text"] += "!"
    next(one for one in outcome.transcripts if one.entries is not entries).entries.append(("got", other))


def _skip_an_event(outcome: Outcome) -> None:
    """One is missing in the middle, for a client that follows."""
    for entries, entry in _session_events(outcome):
        at = entries.index(entry)
        subscribed = any(what == "sent" and one.get("method") == "session/subscribe" for what, one in entries[:at])
        following = [one for one in entries[at + 1 :] if one[0] == "got" and one[1].get("method") == "stream/event"]
        if subscribed and entry[1]["params"]["event"]["type"] == "text.delta" and following:
            entries.remove(entry)


def _repeat_an_event(outcome: Outcome) -> None:
    entries, entry = _session_events(outcome)[0]
    entries.insert(entries.index(entry), entry)


def _miscount(outcome: Outcome) -> None:
    next(row for row in outcome.calls if row["status"] == "completed")["output_tokens"] += 1


def _lose_a_row(outcome: Outcome) -> None:
    outcome.calls.remove(next(row for row in outcome.calls if row["status"] == "completed"))


def _double_a_row(outcome: Outcome) -> None:
    outcome.calls.append(next(row for row in outcome.calls if row["status"] == "completed"))


def _leave_a_row_open(outcome: Outcome) -> None:
    outcome.calls[0]["status"] = "started"


def _lose_a_message(outcome: Outcome) -> None:
    next(messages for messages in outcome.histories.values() if messages).clear()


def _double_a_message(outcome: Outcome) -> None:
    messages = next(messages for messages in outcome.histories.values() if messages)
    messages.append(messages[0])


def _break_the_file(outcome: Outcome) -> None:
    outcome.database = outcome.database[:4096] + bytes(8192) + outcome.database[4096 + 8192 :]


def _leave_a_turn_running(outcome: Outcome) -> None:
    disk = sqlite3.connect(":memory:")
    disk.deserialize(outcome.database)
    disk.execute("UPDATE turns SET status = 'running' WHERE turn_id IN (SELECT turn_id FROM turns LIMIT 1)")
    disk.commit()
    outcome.database = disk.serialize()


def _tell_a_key(outcome: Outcome) -> None:
    outcome.transcripts[0].raw += outcome.keys[0].encode()


def _note_a_prompt(outcome: Outcome) -> None:
    outcome.calls_dump += "PromptCanary"


SPOILED = [
    (_answer_twice, "one_response_per_request"),
    (_answer_never, "one_response_per_request"),
    (_answer_nobody, "one_response_per_request"),
    (_differ, "subscribers_see_the_same"),
    (_skip_an_event, "nothing_missing_nothing_twice"),
    (_repeat_an_event, "nothing_missing_nothing_twice"),
    (_miscount, "ledger_is_what_was_served"),
    (_lose_a_row, "ledger_is_what_was_served"),
    (_double_a_row, "ledger_is_what_was_served"),
    (_leave_a_row_open, "ledger_is_what_was_served"),
    (_lose_a_message, "acknowledged_messages_are_kept"),
    (_double_a_message, "acknowledged_messages_are_kept"),
    (_break_the_file, "the_store_is_sound"),
    (_leave_a_turn_running, "the_store_is_sound"),
    (_tell_a_key, "no_canary"),
    (_note_a_prompt, "no_canary"),
]


@pytest.fixture(scope="module")
def sound() -> list[Outcome]:
    """A few runs in which nothing went wrong."""
    outcomes = [drive(seed, _quiet()) for seed in range(1, 5)]
    assert [problem for outcome in outcomes for problem in check(outcome)] == []
    return outcomes


@pytest.mark.parametrize(("spoil", "found_by"), SPOILED)
def test_spoiled_outcomes_are_caught(sound: list[Outcome], spoil: Any, found_by: str) -> None:
    problems: list[str] = []
    for outcome in sound:
        spoiled = msgspec.structs.replace(
            outcome,
            transcripts=deepcopy(outcome.transcripts),
            calls=deepcopy(outcome.calls),
            histories=deepcopy(outcome.histories),
        )
        with contextlib.suppress(StopIteration, IndexError):  # not every run has what is to be spoiled
            spoil(spoiled)
        problems += check(spoiled)
    assert [problem for problem in problems if problem.startswith(found_by)], problems


def test_every_checker_is_proven_to_fail() -> None:
    proven = {found_by.partition(":")[0] for _, found_by in (*PLANTED, *SPOILED)}
    assert {checker.__name__ for checker in CHECKERS} <= proven
