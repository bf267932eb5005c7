"""The ledger's journal: frames that survive any cut, locks, full disks; and what is posted from it, by its owner or its heirs."""

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.ledger import ledger_on_disk

from modeld.clock import Clock
from modeld.ledger import journal as journal_module
from modeld.ledger import posting
from modeld.ledger.audit import Audit, CallFacts
from modeld.ledger.journal import MAGIC, Journal, Journals, Record, decode_records
from modeld.ledger.posting import BEGUN_COLUMNS, ENDED_COLUMNS, statement_of
from modeld.ledger.store import FILE_NAME, Store, StoreError
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import UsageAggregateParams, UsageQueryParams
from modeld_protocol.usage import Cost, Metrics, Usage

pytestmark = pytest.mark.anyio

FACTS = CallFacts("req_1", "a", "a:x", True, "me", "ses_1", "turn_1", "v")
ANSWER = CanonicalResponse(
    request_id="req_1",
    model="a:x",
    provider="a",
    content=[],
    stop_reason="end_turn",
    usage=Usage(7, 5, 0, 0, None, 12),
    cost=Cost("USD", 0.1, 0.2, 0.0, 0.0, 0.3, 0.0, "configured", "v1"),
    metrics=Metrics(12.5, 1),
    warnings=[],
)


def begun(seq: int, status: str = "started") -> tuple[Any, ...]:
    return (seq, os.getpid(), f"req_{seq}", status, 1_000 + seq, "a", "a:x", 1, None, None, None, "v")


def ended(seq: int, tokens: int = 5) -> tuple[Any, ...]:
    known = {"finished_ms": 2_000 + seq, "input_tokens": tokens, "output_tokens": 1}
    return (*begun(seq, "completed"), *(known.get(name) for name in ENDED_COLUMNS[len(BEGUN_COLUMNS) :]))


def file_of(records: list[Record], directory: Path, name: str = "x") -> bytes:
    """What a journal with these records is on the disk."""
    journal = Journals(directory, name).open()
    assert all(journal.append(record) for record in records)
    data = journal.path.read_bytes()
    journal.clear()
    journal.close()
    return data


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / FILE_NAME)
    yield opened
    await opened.close()


def stored(store: Store) -> list[tuple[Any, ...]]:
    return store.read_now("SELECT request_id, status, input_tokens FROM calls ORDER BY seq")


def journals_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.journal"))


# ---- frames


records_in_order = st.lists(
    st.tuples(
        st.sampled_from((0, 1)), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary()).map(tuple)
    ),
    max_size=6,
)


@given(records_in_order, st.data())
def test_what_is_cut_off_or_follows_takes_nothing_from_what_is_whole(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], data: st.DataObject
) -> None:
    whole = file_of(records, tmp_path_factory.getbasetemp())
    assert list(decode_records(whole)) == records
    at = data.draw(st.integers(0, len(whole)))
    cut = list(decode_records(whole[:at]))
    assert cut == records[: len(cut)]
    assert len(whole) - at > 8 or len(cut) >= len(records) - 1, "no more than the last one is lost to a small cut"
    garbage = data.draw(st.binary(max_size=40) | st.just(bytes(4_096)))
    assert list(decode_records(whole + garbage))[: len(records)] == records
    if at > len(MAGIC):
        torn = whole[:at] + garbage
        found = list(decode_records(torn))
        assert found[: len(cut)] == cut


@given(st.binary(max_size=200))
def test_no_file_is_too_odd_to_be_read(data: bytes) -> None:
    list(decode_records(data))
    for record in decode_records(MAGIC + data):
        statement_of(record)


@pytest.mark.parametrize(
    "record",
    [
        (7, begun(1)),
        (0, begun(1)[:-1]),
        (0, ()),
        (1, ended(2**63)),
        (0, ("1", *begun(1)[1:])),
        (0, (*begun(1)[:-1], ["a", "list"])),
        (0, (True, *begun(1)[1:])),
    ],
)
def test_records_of_another_shape_are_no_rows(record: Record) -> None:
    assert statement_of(record) is None


def test_a_file_of_another_format_has_no_records() -> None:
    assert list(decode_records(b"modeld calls 2\n" + b"\0" * 20)) == []


# ---- a file and its lock


def test_a_journal_is_private_and_goes_when_it_is_empty(tmp_path: Path) -> None:
    journal = Journals(tmp_path, "dmn_1").open()
    assert (journal.path.name, journal.path.stat().st_mode & 0o777) == ("calls-dmn_1.journal", 0o600)
    assert journal.append((0, begun(1)))
    assert list(decode_records(journal.path.read_bytes())) == [(0, begun(1))]
    journal.clear()
    assert journal.path.read_bytes() == MAGIC
    journal.close()
    journal.close()
    assert journals_in(tmp_path) == []
    assert not journal.append((0, begun(1))), "it is closed"


def test_values_that_have_no_place_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    journal = Journals(tmp_path, "x").open()
    assert not journal.append((0, ("\ud800",)))
    assert not journal.append((0, (2**70,)))
    assert journal.append((0, (1,)))
    assert list(decode_records(journal.path.read_bytes())) == [(0, (1,))]
    journal.close()


@pytest.mark.parametrize("short", [0, 1, 9])
def test_a_full_disk_leaves_no_torn_record_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    journal = Journals(tmp_path, "x").open()
    assert journal.append((0, (1,)))
    real = os.write

    def full(file: int, data: bytes) -> int:
        if not short:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(file, data[:short])

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", full)
        assert not journal.append((0, (2,)))
    assert journal.append((0, (3,)))
    assert list(decode_records(journal.path.read_bytes())) == [(0, (1,)), (0, (3,))]
    journal.close()


@pytest.mark.parametrize("short", [None, 5])
def test_a_disk_that_was_full_at_the_start_holds_a_journal_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: int | None
) -> None:
    journals = Journals(tmp_path, "x")
    real = os.write

    def full(file: int, data: bytes) -> int:
        if short is None:
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(file, data[:short])

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", full)
        with pytest.raises(OSError, match=r"(?i)no space"):
            journals.open()
    journal = journals.open()
    assert journal.append((0, (1,)))
    assert list(decode_records(journal.path.read_bytes())) == [(0, (1,))]
    journal.close()


def test_nothing_follows_a_torn_record_that_can_not_be_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "input/output error")

    journal = Journals(tmp_path, "x").open()
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", lambda file, data: real(file, data[:5]))
        patch.setattr(journal_module.os, "ftruncate", broken)
        assert not journal.append((0, (1,)))
    assert not journal.append((0, (2,)))
    journal.clear()
    assert journal.append((0, (3,)))
    assert list(decode_records(journal.path.read_bytes())) == [(0, (3,))]
    journal.close()


def test_the_living_keep_their_journals_and_the_dead_leave_theirs(tmp_path: Path) -> None:
    mine, yours = Journals(tmp_path, "mine"), Journals(tmp_path, "yours")
    journal = mine.open()
    assert journal.append((0, (1,)))
    (left,) = yours.others()
    assert left.records == [(0, (1,))]
    left.close(taken_over=True)
    assert journals_in(tmp_path) == ["calls-mine.journal"], "its owner lives"
    assert mine.others() == []
    journal.close()
    (left,) = yours.others()
    (beside,) = Journals(tmp_path, "third").others()
    beside.close(taken_over=True)
    assert journals_in(tmp_path) == ["calls-mine.journal"], "one heir is enough"
    left.close(taken_over=False)
    (left,) = yours.others()
    left.close(taken_over=True)
    assert journals_in(tmp_path) == []


@pytest.mark.parametrize(
    ("data", "stays"),
    [(b"", False), (MAGIC[:4], False), (bytes(64), False), (MAGIC + b"\1", False), (b"modeld calls 9\n...", True)],
)
def test_what_a_power_failure_left_goes_and_a_newer_format_stays(tmp_path: Path, data: bytes, stays: bool) -> None:
    (tmp_path / "calls-old.journal").write_bytes(data)
    (tmp_path / "calls-link.journal").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "calls-dir.journal").mkdir()
    for left in Journals(tmp_path, "mine").others():
        assert left.records == []
        left.close(taken_over=True)
    assert ("calls-old.journal" in journals_in(tmp_path)) is stays


# ---- into the store


async def test_a_row_is_in_the_journal_at_once_and_in_the_store_soon(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "POST_S", 0.01)
    audit = Audit(store, Clock(), Journals(tmp_path, "x"))
    row, done = audit.begin(FACTS)
    assert (done, stored(store)) == (None, [])
    on_disk = ledger_on_disk(tmp_path)
    assert on_disk.execute("SELECT request_id, status FROM calls").fetchall() == [("req_1", "started")]
    on_disk.close()
    async with asyncio.timeout(5):
        while not stored(store):
            await asyncio.sleep(0.005)
    assert stored(store) == [("req_1", "started", None)]
    assert audit.finish(row, "completed", ANSWER) is None
    (found,) = (await audit.query(UsageQueryParams())).rows
    assert (found.status, found.usage.input_tokens, found.cost) == ("completed", 7, ANSWER.cost)
    assert (tmp_path / "calls-x.journal").read_bytes() == MAGIC
    await audit.close()
    assert journals_in(tmp_path) == []


async def test_sums_have_what_was_entered_until_now(tmp_path: Path, store: Store) -> None:
    audit = Audit(store, Clock(), Journals(tmp_path, "x"))
    for _ in range(posting.MAX_WAITING + 10):
        row, _ = audit.begin(FACTS)
        audit.finish(row, "completed", ANSWER)
    assert len(stored(store)) == posting.MAX_WAITING, "so many are posted together, without waiting for the time"
    (group,) = (await audit.aggregate(UsageAggregateParams())).groups
    assert (group.calls, group.usage.input_tokens) == (posting.MAX_WAITING + 10, 7 * (posting.MAX_WAITING + 10))
    await audit.close()


@given(st.lists(st.integers(0, 5), max_size=14), st.lists(st.integers(0, 5), max_size=14))
def test_records_may_be_posted_twice_and_in_any_order(first: list[int], second: list[int]) -> None:
    records = [(kind, (begun, ended)[kind](seq)) for seq in (1, 2, 3) for kind in (0, 1)]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript((Path(posting.__file__).parent / "schema.sql").read_text())
    for at in [*first, *second, *first]:
        statement = statement_of(records[at])
        assert statement is not None
        connection.execute(*statement)
    named = {*first, *second}
    expected = [(at + 1, "completed" if 2 * at + 1 in named else "started") for at in range(3) if named & {2 * at, 2 * at + 1}]
    assert connection.execute("SELECT seq, status FROM calls ORDER BY seq").fetchall() == expected
    connection.close()


async def test_what_was_repriced_or_is_of_another_process_stays(store: Store) -> None:
    for values in ((1, ended(1, 5)), (1, ended(1, 99)), (0, begun(1))):
        statement = statement_of(values)
        assert statement is not None
        await store.write(*statement)
    assert stored(store) == [("req_1", "completed", 5)]
    foreign = list(ended(2))
    foreign[1] += 1
    for record in ((0, begun(2)), (1, tuple(foreign))):
        statement = statement_of(record)
        assert statement is not None
        await store.write(*statement)
    assert stored(store)[1] == ("req_2", "started", None)


async def test_an_heir_takes_over_what_the_dead_left(tmp_path: Path, store: Store) -> None:
    child = (
        "import os, sys, signal; from pathlib import Path; from modeld.ledger.journal import Journals\n"
        "journal = Journals(Path(sys.argv[1]), 'dead').open(); seq = 1 << 60\n"
        "row = lambda n, status: (n, os.getpid(), f'req_{n - (1 << 60)}', status, 1000, 'a', 'a:x', 1, None, None, None, 'v')\n"
        "journal.append((0, row(seq, 'started'))); journal.append((1, (*row(seq, 'completed'), *(None,) * 21)))\n"
        "journal.append((0, row(seq + 1, 'started'))); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", child, str(tmp_path)], check=False)
    assert done.returncode == -9
    with (tmp_path / "calls-dead.journal").open("ab") as torn:
        torn.write(b"\x40\0\0\0half")
    audit = Audit(store, Clock(), Journals(tmp_path, "heir"))
    assert stored(store) == [("req_0", "completed", None), ("req_1", "started", None)]
    assert journals_in(tmp_path) == []
    assert audit.first_seq > (1 << 60) + 1, "rows keep their order, though the clock went back"
    assert await audit.settle_interrupted() == 1
    assert [row[1] for row in stored(store)] == ["completed", "interrupted"]
    await audit.close()


async def test_a_process_that_dies_beside_this_one_is_inherited_at_the_next_look(tmp_path: Path, store: Store) -> None:
    audit = Audit(store, Clock(), Journals(tmp_path, "mine"))
    other = Journals(tmp_path, "other").open()
    assert other.append((0, begun(1)))
    assert [row.request_id for row in (await audit.query(UsageQueryParams())).rows] == ["req_1"], "a living one's rows are seen"
    assert other.append((1, ended(1)))
    other.close()  # as its death does
    assert [row.status for row in (await audit.query(UsageQueryParams())).rows] == ["completed"]
    assert journals_in(tmp_path) == []
    await audit.close()


# ---- when something can't be written


def _fill(store: Store) -> None:
    ((pages,),) = store.read_now("PRAGMA page_count")
    store.read_now(f"PRAGMA max_page_count = {pages}")


async def _fail(store: Store) -> None:
    _fill(store)
    with pytest.raises(StoreError):
        await store.write("CREATE TABLE too_much AS SELECT zeroblob(100000)")


class Hands:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_full_journal_leaves_the_store_to_write_to(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = Audit(store, Clock(), Journals(tmp_path, "x"))
    first, _ = audit.begin(FACTS)
    monkeypatch.setattr(Journal, "append", lambda *_: False)
    second, done = audit.begin(FACTS)
    assert done is not None
    await done
    assert [row[1] for row in stored(store)] == ["started", "started"]
    for row in (first, second):
        done = audit.finish(row, "completed", ANSWER)
        assert done is not None
        await done
    assert [row[1] for row in stored(store)] == ["completed", "completed"]
    await audit.close()


async def test_a_store_that_fails_takes_no_new_calls_and_loses_no_ends(tmp_path: Path) -> None:
    hands = Hands()
    store = Store.open(tmp_path / FILE_NAME, Clock(monotonic=hands))
    audit = Audit(store, Clock(monotonic=hands), Journals(tmp_path, "x"))
    row, _ = audit.begin(FACTS)
    await _fail(store)
    _, done = audit.begin(FACTS)
    assert done is not None
    with pytest.raises(StoreError, match="free space"):
        await done
    assert audit.finish(row, "completed", ANSWER) is None, "the journal has it"
    on_disk = ledger_on_disk(tmp_path)
    assert on_disk.execute("SELECT status FROM calls").fetchall() == [("completed",)]
    on_disk.close()
    store.read_now("PRAGMA max_page_count = 100000")
    hands.now_s += 6
    _, done = audit.begin(FACTS)
    assert done is None or await done is None
    assert [row.status for row in (await audit.query(UsageQueryParams())).rows] == ["started", "completed"]
    await audit.close()
    await store.close()


async def test_where_neither_can_be_written_the_call_is_refused_and_its_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands()
    store = Store.open(tmp_path / FILE_NAME, Clock(monotonic=hands))
    audit = Audit(store, Clock(monotonic=hands), Journals(tmp_path, "x"))
    row, _ = audit.begin(FACTS)
    await _fail(store)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", lambda *_: False)
        done = audit.finish(row, "completed", ANSWER)
        assert done is not None
        with pytest.raises(StoreError):
            await done
    store.read_now("PRAGMA max_page_count = 100000")
    hands.now_s += 6
    assert [row.status for row in (await audit.query(UsageQueryParams())).rows] == ["completed"]
    await audit.close()
    await store.close()


async def test_a_store_that_takes_nothing_at_the_end_leaves_the_journal_to_the_next(tmp_path: Path) -> None:
    store = Store.open(tmp_path / FILE_NAME)
    audit = Audit(store, Clock(), Journals(tmp_path, "x"))
    row, _ = audit.begin(FACTS)
    audit.finish(row, "completed", ANSWER)
    await _fail(store)
    await audit.close()
    await store.close()
    assert journals_in(tmp_path) == ["calls-x.journal"]
    store = Store.open(tmp_path / FILE_NAME)
    again = Audit(store, Clock(), Journals(tmp_path, "y"))
    assert [row.status for row in (await again.query(UsageQueryParams())).rows] == ["completed"]
    await again.close()
    await store.close()
    assert journals_in(tmp_path) == []


async def test_another_process_that_writes_is_waited_for(tmp_path: Path, store: Store) -> None:
    audit = Audit(store, Clock(), Journals(tmp_path, "x"))
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    row, done = audit.begin(FACTS)
    assert done is None
    asking = asyncio.create_task(audit.query(UsageQueryParams()))
    await asyncio.sleep(0)
    assert audit.finish(row, "completed", ANSWER) is None, "no call waits for it"
    other.execute("COMMIT")
    other.close()
    await asking
    assert [row.status for row in (await audit.query(UsageQueryParams())).rows] == ["completed"]
    assert (tmp_path / "calls-x.journal").read_bytes() == MAGIC
    await audit.close()


async def test_one_row_that_can_not_be_stored_keeps_no_other_away(tmp_path: Path, store: Store) -> None:
    audit = Audit(store, Clock(), Journals(tmp_path, "x"))
    for tokens in (1, 2**63, 3):
        row, _ = audit.begin(FACTS)
        audit.finish(row, "completed", _with_tokens(tokens))
    rows = (await audit.query(UsageQueryParams())).rows
    assert sorted(row.usage.input_tokens for row in rows if row.usage is not None) == [1, 3]
    await audit.close()


def _with_tokens(tokens: int) -> CanonicalResponse:
    return msgspec.structs.replace(ANSWER, usage=Usage(tokens, 1))


async def test_without_a_place_for_a_journal_rows_are_committed_one_by_one(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(Journals, "open", refuse)
    audit = Audit(store, Clock(), Journals(tmp_path, "x"))
    row, done = audit.begin(FACTS)
    assert done is not None
    await done
    assert stored(store) == [("req_1", "started", None)]
    done = audit.finish(row, "completed", ANSWER)
    assert done is not None
    await done
    assert stored(store) == [("req_1", "completed", 7)]
    await audit.close()
