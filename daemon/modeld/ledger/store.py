"""The durable store: one SQLite file, one writer on the event loop in group commits, reads in threads.

What is written within one turn of the event loop is one transaction at its end; its awaiters resume after the commit. A
commit reaches the operating system (no process death loses it); the disk itself follows within a second, by a thread, and
at `close`.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ..clock import SYSTEM, Clock
from ..observe.log import logger
from .schema import LEDGER, Schema, SchemaTooNew, migrate, versions

T = TypeVar("T")
Params = Sequence[Any]
Statement = tuple[str, Params]

FILE_NAME = "modeld.db"
RETRY_S = 5.0  # after a failure nothing is written for so long
CHECKPOINT_S = 1.0  # from a commit until it is on the disk itself
_BUSY_LOOK_S = 0.005  # how soon a commit is tried again while another process writes
_BUSY_S = 5.0  # and for how long at most
_READ_BUSY_S = 5.0
_READERS = 2
_PRAGMAS = ("PRAGMA synchronous=NORMAL", "PRAGMA wal_autocheckpoint=0", "PRAGMA foreign_keys=ON", "PRAGMA temp_store=MEMORY")
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
_WAL_BYTES = 64 * 1024 * 1024  # the log is cut to it when it begins anew

_log = logger("store")


class StoreError(Exception):
    """The store can't be opened or written. `message` says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


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

    def __init__(self, path: Path | None, clock: Clock, writer: sqlite3.Connection) -> None:
        self.path = path
        self._clock = clock
        self._writer = writer
        self._queue: list[_Group] = []
        self._scheduled: asyncio.Handle | None = None
        self._busy_since_s: float | None = None
        self._failing: str | None = None
        self._retry_at_s = 0.0
        self._closed = False
        self._readers = ThreadPoolExecutor(_READERS, "store-read") if path else None
        self._reader = threading.local()
        self._open_readers: list[sqlite3.Connection] = []
        self._checkpointer = ThreadPoolExecutor(1, "store-sync") if path else None
        self._checkpoint_timer: asyncio.TimerHandle | None = None

    @classmethod
    def open(cls, path: Path | None, clock: Clock = SYSTEM, schemas: Sequence[Schema] = (LEDGER,)) -> "Store":
        """Open or make the file and bring its tables up to date; a copy of the file is kept before an existing one changes.

        None keeps everything in memory, without threads: for tests. Raises StoreError.
        """
        try:
            writer = _open_writer(path)
            try:
                _prepare(writer, path, schemas)
            except BaseException:
                writer.close()
                raise
        except SchemaTooNew as error:
            raise StoreError(f"{path} is of a newer modeld ({error}); update modeld, or give another --state-dir") from None
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path} can't be opened ({error}); mend that, or give another --state-dir") from None
        return cls(path, clock, writer)

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
        if self._checkpointer is not None and self._checkpoint_timer is None:
            self._checkpoint_timer = asyncio.get_running_loop().call_later(CHECKPOINT_S, self._checkpoint_soon)

    def _cope(self, error: Exception, groups: list[_Group]) -> None:
        """A commit failed and is rolled back: wait for another process, give up for a while, or find the group at fault."""
        code = _code(error)
        if code in _BUSY and self._wait_for_other():
            return
        self._queue = []
        if code in _BUSY or code in _FAULTS:
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
                if _code(error) in _FAULTS | _BUSY:
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
        self._failing = (
            f"the store {self.path} can't be written ({error}); free space or mend it, the next try is in {RETRY_S:g} s"
        )
        self._retry_at_s = self._clock.monotonic() + RETRY_S
        _log.error("store failed", reason=str(error), lost=sum(group.done is None for group in groups))
        _refuse([group for group in groups if group.done is not None], StoreError(self._failing))

    def _roll_back(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.error("rollback failed", reason=str(error))

    def _reopen(self) -> None:
        """After a failure, begin with a fresh connection: the old one may remember the fault."""
        if self.path is not None:
            self._writer.close()
            self._writer = _open_writer(self.path)

    # ---- reading

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` with a read-only connection in a thread: for lists, queries, aggregates, exports.

        It sees everything committed before it began. Raises what `function` raises.
        """
        if self._readers is None:
            return function(self._writer)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, function)

    def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._reader, "connection", None)
        if connection is None:
            connection = sqlite3.connect(str(self.path), timeout=_READ_BUSY_S, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA query_only=ON")
            self._reader.connection = connection
            self._open_readers.append(connection)
        return function(connection)

    def read_now(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """The rows of a short read by key, on the event loop. Sees what is committed, not what is queued."""
        return self._writer.execute(sql, params).fetchall()

    # ---- the disk, and the end

    async def compact(self) -> None:
        """Give the room of deleted rows back to the disk, a little at a time. Raises sqlite3.Error."""
        while self.failing is None and self.read_now("PRAGMA freelist_count")[0][0] > _SPARE_PAGES:
            self._writer.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")  # execute() stops after one page
            await asyncio.sleep(_COMPACT_PAUSE_S)

    def _checkpoint_soon(self) -> None:
        self._checkpoint_timer = None
        if self._checkpointer is not None and not self._closed:
            self._checkpointer.submit(self._checkpoint, "PASSIVE")

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
            if _code(error) in _FAULTS:  # not where another process is merely in the way
                self._failing = f"the store {self.path} can't be synced to the disk ({error}); free space or mend it"
                self._retry_at_s = self._clock.monotonic() + RETRY_S

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
        for executor in (self._readers, self._checkpointer):
            if executor is not None:
                executor.shutdown(wait=True)
        for connection in self._open_readers:
            connection.close()
        self._writer.close()
        if self.path is not None:
            self._checkpoint("TRUNCATE")


def _open_writer(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    connection = sqlite3.connect(
        str(path or ":memory:"), timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        if path is not None:
            _begin_wal(connection)
        for pragma in (*_PRAGMAS, f"PRAGMA journal_size_limit={_WAL_BYTES}"):
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin_wal(connection: sqlite3.Connection) -> None:
    """WAL mode; a new file also gives the room of deleted rows back. Another process at the same step is waited for."""
    connection.execute(f"PRAGMA busy_timeout={int(_READ_BUSY_S * 1000)}")
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=0")


def _prepare(writer: sqlite3.Connection, path: Path | None, schemas: Sequence[Schema]) -> None:
    """Bring every part up to date, one process at a time; an existing file is copied first."""
    writer.execute(f"PRAGMA busy_timeout={int(_BUSY_S * 1000)}")
    present = versions(writer)
    changing = [schema for schema in schemas if present.get(schema.name, 0) != len(schema.migrations)]
    if path is not None and any(present.get(schema.name) for schema in changing):
        _copy(writer, path)
    if changing:
        migrate(writer, schemas)
    writer.execute("PRAGMA busy_timeout=0")


def _copy(writer: sqlite3.Connection, path: Path) -> None:
    """Keep the file as it was before a migration, beside it."""
    target = path.with_name(path.name + ".before-update")
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with sqlite3.connect(target) as copy:
        writer.backup(copy)
    copy.close()


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


def _code(error: Exception) -> int | None:
    """SQLite's primary result code."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
