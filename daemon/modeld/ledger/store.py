"""The durable store: one SQLite file, one writer on the event loop in group commits, reads in threads.

What is written within one turn of the event loop is one transaction at its end; its awaiters resume after the commit. A
commit reaches the operating system (no process death loses it); the disk itself follows within a second, by a thread, and
at `close`.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..clock import SYSTEM, Clock
from ..observe.log import logger
from .schema import LEDGER, Schema, SchemaTooNew
from .store_file import BROKEN, code_of, connect, open_again, open_file, set_up, suspect

T = TypeVar("T")
Params = Sequence[Any]
Statement = tuple[str, Params]

FILE_NAME = "modeld.db"
RETRY_S = 5.0  # after a failure nothing is written for so long
CHECKPOINT_S = 1.0  # from a commit until it is on the disk itself
_BUSY_LOOK_S = 0.005  # how soon a commit is tried again while another process writes
_BUSY_S = 5.0  # and for how long at most
_READ_BUSY_S = 5.0
_BESIDE_BUSY_S = 1.0
_READERS = 2
_FAULTS = frozenset(  # of the file or the disk, not of what was to be written
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    )
)
_BUSY = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_SPARE_PAGES = 256  # 1 MiB of free pages stays for what comes next
_VACUUM_PAGES = 64  # moved at a time: 2 ms
_COMPACT_PAUSE_S = 0.02

_log = logger("store")


class StoreError(Exception):
    """The store can't be opened, read or written. `message` says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Health(NamedTuple):
    """How the store does. `path` is None in memory, `size_bytes` counts the file and its log, `waiting` are statements that
    are not committed yet; `last_error` stays after it was got over, with its time in ms since 1970. `put_aside` is where a
    broken file was put at start."""

    path: Path | None
    size_bytes: int
    writable: bool
    waiting: int
    last_error: str | None
    last_error_ms: int | None
    put_aside: Path | None


class _Group:
    """Statements that are committed together or not at all. `done` is None where nobody waits."""

    __slots__ = ("done", "statements")

    def __init__(self, statements: Sequence[Statement], done: "asyncio.Future[None] | None") -> None:
        self.statements = statements
        self.done = done


class Store:
    """One file, open. Use it from one event loop; make it with `Store.open`.

    `write`, `write_many` and `write_soon` queue at once, in the order of the calls, whether awaited or not; a cancelled
    awaiter doesn't take its write back. A statement that breaks a constraint fails its own group alone (sqlite3.Error).
    """

    def __init__(
        self,
        path: Path | None,
        clock: Clock,
        writer: sqlite3.Connection,
        schemas: Sequence[Schema] = (),
        put_aside: Path | None = None,
    ) -> None:
        self.path = path
        self._put_aside = put_aside
        self._schemas = schemas
        self._clock = clock
        self._writer = writer
        self._queue: list[_Group] = []
        self._scheduled: asyncio.Handle | None = None
        self._busy_since_s: float | None = None
        self._failing: str | None = None
        self._retry_at_s = 0.0
        self._last_error: tuple[str, int] | None = None
        self._closed = False
        self._readers = ThreadPoolExecutor(_READERS, "store-read") if path else None
        self._reader = threading.local()
        self._open_readers: list[sqlite3.Connection] = []
        self._side = ThreadPoolExecutor(1, "store-side") if path else None
        self._side_writer: sqlite3.Connection | None = None
        self._checkpoint_timer: asyncio.TimerHandle | None = None

    @classmethod
    def open(cls, path: Path | None, clock: Clock = SYSTEM, schemas: Sequence[Schema] = (LEDGER,)) -> "Store":
        """Open or make the file and bring its tables up to date; a copy of the file is kept before an existing one changes. A
        broken file is put aside, never deleted, and a new one begins.

        None keeps everything in memory, without threads: for tests. Raises StoreError.
        """
        try:
            writer, put_aside = open_file(path, clock, schemas)
        except SchemaTooNew as error:
            raise StoreError(f"{path} is of a newer modeld ({error}); update modeld, or give another --state-dir") from None
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path} can't be opened ({error}); mend that, or give another --state-dir") from None
        store = cls(path, clock, writer, schemas, put_aside)
        if put_aside is not None:
            store._note_error(f"{path} was broken: it is kept as {put_aside}, and a new store has begun")
        return store

    @property
    def health(self) -> Health:
        """How it does now."""
        words, at_ms = self._last_error or (None, None)
        waiting = sum(len(group.statements) for group in self._queue)
        return Health(self.path, self._size_bytes(), self.failing is None, waiting, words, at_ms, self._put_aside)

    def _size_bytes(self) -> int:
        if self.path is None:
            return 0
        size = 0
        for file in (self.path, self.path.with_name(self.path.name + "-wal")):
            try:
                size += file.stat().st_size
            except OSError:
                continue
        return size

    def _note_error(self, words: str) -> None:
        self._last_error = words, int(self._clock.wall() * 1000)

    # ---- writing

    @property
    def failing(self) -> str | None:
        """Why nothing can be written now; None while all is well, and when it is time to try again."""
        if self._closed:
            return "the store is closed"
        return self._failing if self._failing and self._clock.monotonic() < self._retry_at_s else None

    def write(self, sql: str, params: Params = ()) -> "asyncio.Future[None]":
        """Queue one statement; await the result for the commit. Raises StoreError where nothing can be written."""
        return self.write_many(((sql, params),))

    def write_many(self, statements: Sequence[Statement]) -> "asyncio.Future[None]":
        """Queue statements that are committed together or not at all."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if why := self.failing:
            done.set_exception(StoreError(why))
            return done
        self._put(_Group(statements, done))
        return done

    def write_soon(self, sql: str, params: Params = ()) -> None:
        """Queue one statement whose commit nobody waits for; a failure is logged."""
        if why := self.failing:
            _log.error("not written", reason=why)
            return
        self._put(_Group(((sql, params),), None))

    def commit_now(self) -> None:
        """Commit what is queued without waiting for the turn's end; it stays queued while another process writes."""
        self._commit()

    def _put(self, group: _Group) -> None:
        self._queue.append(group)
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        """One transaction for everything that waits; then its awaiters resume. Never raises."""
        self._scheduled = None
        groups = self._queue
        if not groups:
            return
        try:
            if self._failing:
                self._reopen()
            self._run(groups)
        except Exception as error:
            self._roll_back()
            self._cope(error, groups)
            return
        self._queue = []
        self._committed()
        _succeed(groups)

    def _run(self, groups: Sequence[_Group]) -> None:
        execute = self._writer.execute
        execute("BEGIN IMMEDIATE")
        for group in groups:
            for sql, params in group.statements:
                execute(sql, params)
        execute("COMMIT")

    def _committed(self) -> None:
        self._busy_since_s = None
        self._failing = None
        self._checkpoint_later()

    def _checkpoint_later(self) -> None:
        if self._side is not None and self._checkpoint_timer is None and not self._closed:
            self._checkpoint_timer = asyncio.get_running_loop().call_later(CHECKPOINT_S, self._checkpoint_soon)

    def _cope(self, error: Exception, groups: list[_Group]) -> None:
        """A commit failed and is rolled back: wait for another process, give up for a while, or find the group at fault."""
        code = code_of(error)
        if code in _BUSY and self._wait_for_other():
            return
        self._queue = []
        if code in _BUSY or code in _FAULTS or isinstance(error, OSError | SchemaTooNew):
            self._fail(error, groups)
        elif len(groups) == 1:
            _refuse(groups, error)
        else:
            self._commit_one_by_one(groups)

    def _commit_one_by_one(self, groups: list[_Group]) -> None:
        for at, group in enumerate(groups):
            try:
                self._run((group,))
            except Exception as error:
                self._roll_back()
                if code_of(error) in _FAULTS | _BUSY:
                    self._fail(error, groups[at:])
                    return
                _refuse((group,), error)
            else:
                self._committed()
                _succeed((group,))

    def _wait_for_other(self) -> bool:
        """Another process writes: try again soon, without blocking. False where it has taken too long."""
        now_s = self._clock.monotonic()
        if self._busy_since_s is None:
            self._busy_since_s = now_s
        if self._closed or now_s - self._busy_since_s > _BUSY_S:
            self._busy_since_s = None
            return False
        self._scheduled = asyncio.get_running_loop().call_later(_BUSY_LOOK_S, self._commit)
        return True

    def _fail(self, error: Exception, groups: Sequence[_Group]) -> None:
        """Nothing can be written for a while; whoever waits is told, and whoever comes meanwhile."""
        step = f"free space or mend it, the next try is in {RETRY_S:g} s"
        if self.path is not None and code_of(error) in BROKEN:
            suspect(self.path)
            step = "`modeld stop`: the next start puts it aside and begins a new one"
        self._close_for_now(f"the store {self.path} can't be written ({error}); {step}")
        _log.error("store failed", reason=str(error), lost=sum(group.done is None for group in groups))
        _refuse([group for group in groups if group.done is not None], StoreError(self._failing or ""))

    def _close_for_now(self, why: str) -> None:
        self._retry_at_s = self._clock.monotonic() + RETRY_S
        self._failing = why
        self._note_error(why)

    def _roll_back(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.error("rollback failed", reason=str(error))

    def _reopen(self) -> None:
        """After a failure, begin with a fresh connection: the old one may remember the fault. It stays where there is none."""
        if self.path is not None:
            fresh = open_again(self.path, self._schemas)
            self._writer.close()
            self._writer = fresh

    # ---- reading

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` with a read-only connection in a thread: for lists, queries, aggregates, exports.

        It sees everything committed before it began. Raises StoreError where the file can't be read, and what else `function`
        raises.
        """
        try:
            if self._readers is None:
                return function(self._writer)
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, function)
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._reader, "connection", None)
        if connection is None:
            connection = sqlite3.connect(str(self.path), timeout=_READ_BUSY_S, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA query_only=ON")
            self._reader.connection = connection
            self._open_readers.append(connection)
        return function(connection)

    def read_now(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """The rows of a short read by key, on the event loop. Sees what is committed, not what is queued. Raises StoreError where
        the file can't be read."""
        try:
            return self._writer.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: sqlite3.Error) -> StoreError:
        where = "" if self.path is None else f" {self.path}"
        return StoreError(f"the store{where} can't be read ({error}); `modeld doctor` tells how it is")

    # ---- the disk, and the end

    async def beside(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` as one transaction in a thread, beside the event loop, whose commits wait for it: keep it to a few
        milliseconds. For upkeep. Raises StoreError where nothing can be written, and what `function` raises."""
        if why := self.failing:
            raise StoreError(why)
        if self._side is None:
            return _transact(self._writer, function)
        result = await asyncio.get_running_loop().run_in_executor(self._side, self._beside, function)
        self._checkpoint_later()
        return result

    def _beside(self, function: Callable[[sqlite3.Connection], T]) -> T:
        writer = self._side_writer
        if writer is None:
            writer = connect(self.path, timeout_s=_BESIDE_BUSY_S)
            set_up(writer)
            self._side_writer = writer
        try:
            return _transact(writer, function)
        except sqlite3.Error:
            self._side_writer = None
            writer.close()
            raise

    async def compact(self) -> None:
        """Give the room of deleted rows back to the disk, a little at a time. Raises StoreError, sqlite3.Error."""
        while self.read_now("PRAGMA freelist_count")[0][0] > _SPARE_PAGES:
            await self.beside(_vacuum_some)
            await asyncio.sleep(_COMPACT_PAUSE_S)

    def _checkpoint_soon(self) -> None:
        self._checkpoint_timer = None
        if self._side is not None and not self._closed:
            self._side.submit(self._checkpoint, "PASSIVE")

    def _checkpoint(self, mode: str) -> None:
        """Sync the log to the disk and move it into the file, beside running writes and reads."""
        try:
            connection = sqlite3.connect(str(self.path), timeout=0, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            _log.error("checkpoint failed", reason=str(error))
            if code_of(error) in _FAULTS:  # not where another process is merely in the way
                self._close_for_now(f"the store {self.path} can't be synced to the disk ({error}); free space or mend it")

    async def close(self) -> None:
        """Commit what waits, sync it to the disk, close the file. Harmless twice."""
        if self._closed:
            return
        while self._queue and not self._failing:
            self._commit()
            if self._queue:
                await asyncio.sleep(_BUSY_LOOK_S)
        self._closed = True
        for handle in (self._scheduled, self._checkpoint_timer):
            if handle is not None:
                handle.cancel()
        _refuse(self._queue, StoreError("the store is closed"))
        self._queue = []
        await asyncio.get_running_loop().run_in_executor(None, self._close_files)

    def _close_files(self) -> None:
        for executor in (self._readers, self._side):
            if executor is not None:
                executor.shutdown(wait=True)
        for connection in (*self._open_readers, self._side_writer, self._writer):
            if connection is not None:
                connection.close()
        if self.path is not None:
            self._checkpoint("TRUNCATE")


def _transact(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = function(connection)
        if connection.in_transaction:
            connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _vacuum_some(connection: sqlite3.Connection) -> None:
    connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")  # execute() stops after one page


def _succeed(groups: Sequence[_Group]) -> None:
    for group in groups:
        if group.done is not None and not group.done.done():
            group.done.set_result(None)


def _refuse(groups: Sequence[_Group], error: Exception) -> None:
    for group in groups:
        if group.done is None:
            _log.error("not written", reason=type(error).__name__)
        elif not group.done.done():
            group.done.set_exception(error)
