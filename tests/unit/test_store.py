"""The store: commits in groups, in order, durable; what fails fails alone; migrations; what it does when the disk fails."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from modeld.clock import Clock
from modeld.ledger.schema import Schema
from modeld.ledger.store import RETRY_S, Store, StoreError

pytestmark = pytest.mark.anyio

NOTES = Schema("notes", ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);",))
PUT = "INSERT INTO notes VALUES (?, ?)"


class Hands:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def store(tmp_path: Path):
    store = Store.open(tmp_path / "new" / "modeld.db", schemas=(NOTES,))
    yield store
    await store.close()


def outside(path: Path | None) -> list[tuple[int, str]]:
    """What another process sees."""
    connection = sqlite3.connect(str(path))
    try:
        return connection.execute("SELECT id, text FROM notes ORDER BY id").fetchall()
    finally:
        connection.close()


async def test_an_awaited_write_is_what_others_see(store: Store) -> None:
    await store.write(PUT, (1, "a"))
    assert outside(store.path) == [(1, "a")]
    assert await store.read(lambda connection: connection.execute("SELECT text FROM notes").fetchall()) == [("a",)]
    assert store.read_now("SELECT text FROM notes WHERE id = ?", (1,)) == [("a",)]


async def test_one_tick_is_one_transaction_in_the_order_of_the_calls(store: Store) -> None:
    seen: list[str] = []
    store._writer.set_trace_callback(lambda sql: seen.append(sql.split(" ")[0]))
    store.write_soon(PUT, (1, "soon"))
    writes = [store.write(PUT, (2, "b")), store.write("UPDATE notes SET text = text || ? WHERE id = 2", ("+",))]
    assert seen == [], "nothing is written before the end of the tick"
    await asyncio.gather(*writes)
    assert seen == ["BEGIN", "INSERT", "INSERT", "UPDATE", "COMMIT"]
    assert outside(store.path) == [(1, "soon"), (2, "b+")]


BAD = [
    (PUT, (1, None), sqlite3.IntegrityError),
    (PUT, (1,), sqlite3.ProgrammingError),
    (PUT, (1, "\ud800"), UnicodeEncodeError),
    (PUT, (2**70, "x"), OverflowError),
    ("INSERT INTO nowhere VALUES (1)", (), sqlite3.OperationalError),
]


@pytest.mark.parametrize(("sql", "params", "error"), BAD)
async def test_what_is_wrong_fails_alone_and_its_group_whole(store: Store, sql: str, params: tuple, error: type) -> None:
    before = store.write(PUT, (10, "before"))
    bad = store.write_many([(PUT, (11, "half")), (sql, params)])
    after = store.write(PUT, (12, "after"))
    results = await asyncio.gather(before, bad, after, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), error, type(None)]
    assert outside(store.path) == [(10, "before"), (12, "after")]
    with pytest.raises(error):
        await store.write(sql, params)
    await store.write(PUT, (13, "still open"))


async def test_a_cancelled_awaiter_takes_nothing_back(store: Store) -> None:
    task = asyncio.create_task(_write(store, 1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await store.write(PUT, (2, "b"))
    assert task.cancelled()
    assert outside(store.path) == [(1, "x"), (2, "b")]


async def _write(store: Store, number: int) -> None:
    await store.write(PUT, (number, "x"))


async def test_another_process_that_writes_is_waited_for_without_blocking(store: Store) -> None:
    other = sqlite3.connect(str(store.path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.write(PUT, (1, "late")))
    ticks = 0
    while ticks < 10:
        await asyncio.sleep(0.002)
        ticks += 1
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    await asyncio.wait_for(waiting, 5)
    assert outside(store.path) == [(1, "late")]


async def test_a_full_disk_closes_the_store_for_a_while(tmp_path: Path) -> None:
    hands = Hands()
    store = Store.open(tmp_path / "modeld.db", Clock(monotonic=hands), (NOTES,))
    ((pages,),) = store.read_now("PRAGMA page_count")
    store.read_now(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"can't be written.*full.*next try is in 5 s"):
        await store.write(PUT, (1, "x" * 50_000))
    assert store.failing is not None
    with pytest.raises(StoreError):
        await store.write(PUT, (2, "refused at once"))
    hands.now_s += RETRY_S
    assert store.failing is None
    await store.write(PUT, (3, "x" * 50_000))  # a fresh connection has the limit no more
    assert [number for number, _ in outside(store.path)] == [3]
    await store.close()


async def test_a_closed_store_says_so(store: Store) -> None:
    last = store.write(PUT, (1, "last"))
    await store.close()
    await last
    with pytest.raises(StoreError, match="closed"):
        await store.write(PUT, (2, "b"))
    await store.close()
    assert store.path is not None
    assert outside(store.path) == [(1, "last")]
    assert not store.path.with_name("modeld.db-wal").exists()


async def test_nobody_else_may_read_it(store: Store) -> None:
    await store.write(PUT, (1, "a"))
    assert store.path is not None
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (store.path.parent, *store.path.parent.iterdir())}
    assert modes == {"new": 0o700, "modeld.db": 0o600, "modeld.db-wal": 0o600, "modeld.db-shm": 0o600}


async def test_the_log_goes_to_the_file_within_a_second_or_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.ledger.store.CHECKPOINT_S", 0.01)
    assert store.path is not None
    before = store.path.stat().st_size
    await store.write(PUT, (1, "x" * 100_000))
    async with asyncio.timeout(5):
        while store.path.stat().st_size < before + 100_000:
            await asyncio.sleep(0.01)


async def test_room_of_deleted_rows_is_given_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.ledger.store._SPARE_PAGES", 8)
    for number in range(10):
        await store.write(PUT, (number, "x" * 100_000))
    await store.write("DELETE FROM notes")
    await store.compact()
    await store.close()
    assert store.path is not None
    assert store.path.stat().st_size < 200_000


# ---- schemas


async def test_migrations_run_once_in_order_and_keep_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "modeld.db"
    store = Store.open(path, schemas=(NOTES,))
    await store.write(PUT, (1, "a"))
    await store.close()
    newer = Schema("notes", (*NOTES.migrations, "ALTER TABLE notes ADD COLUMN n INTEGER;\nUPDATE notes SET n = 7;\n"))
    other = Schema("other", ("CREATE TABLE other (id INTEGER);\nCREATE INDEX i ON other (id);",))
    for _ in range(2):
        store = Store.open(path, schemas=(newer, other))
        assert store.read_now("SELECT id, text, n FROM notes") == [(1, "a", 7)]
        assert store.read_now("SELECT part, version FROM schema_versions ORDER BY part") == [("notes", 2), ("other", 1)]
        await store.close()
    copy = tmp_path / "modeld.db.before-update"
    assert outside(copy) == [(1, "a")]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "modeld.db"
    Store.open(path, schemas=(NOTES,))._writer.close()
    broken = Schema("notes", (*NOTES.migrations, "ALTER TABLE notes ADD COLUMN n INTEGER;\nnonsense;"))
    with pytest.raises(StoreError, match="--state-dir"):
        Store.open(path, schemas=(broken,))
    store = Store.open(path, schemas=(NOTES,))
    assert [row[1] for row in store.read_now("PRAGMA table_info(notes)")] == ["id", "text"]
    store._writer.close()


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "modeld.db"
    Store.open(path, schemas=(Schema("notes", (*NOTES.migrations, "CREATE TABLE more (id INTEGER);")),))._writer.close()
    with pytest.raises(StoreError, match=r"newer modeld.*update modeld"):
        Store.open(path, schemas=(NOTES,))


def test_a_directory_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "modeld.db").mkdir()
    with pytest.raises(StoreError, match="--state-dir"):
        Store.open(tmp_path / "modeld.db", schemas=(NOTES,))


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    os.symlink(tmp_path / "target", tmp_path / "modeld.db")
    with pytest.raises(StoreError):
        Store.open(tmp_path / "modeld.db", schemas=(NOTES,))


@pytest.mark.parametrize("text", ["-- version 2\nx;", "CREATE TABLE x (y);", "-- version 1\na;\n-- version 3\nb;"])
def test_a_schema_file_counts_from_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "schema.sql").write_text(text)
    with pytest.raises(ValueError, match="without gaps"):
        Schema.load("x", tmp_path / "schema.sql")


@pytest.mark.parametrize("in_memory", [False, True])
async def test_what_can_not_be_read_is_told_with_a_next_step(store: Store, in_memory: bool) -> None:
    read = Store.open(None, schemas=(NOTES,)) if in_memory else store
    with pytest.raises(StoreError, match=r"no such table.*modeld doctor"):
        await read.read(lambda connection: connection.execute("SELECT 1 FROM nowhere"))
    with pytest.raises(ValueError, match="its own"):
        await read.read(lambda _: int("its own"))
    if in_memory:
        await read.close()


async def test_in_memory_there_is_no_file_and_no_thread() -> None:
    store = Store.open(None, schemas=(NOTES,))
    await store.write(PUT, (1, "a"))
    assert await store.read(lambda connection: connection.execute("SELECT count(*) FROM notes").fetchall()) == [(1,)]
    await store.close()
