"""The store's file: opened or made, brought up to date, and put aside where it is broken."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ..clock import Clock
from ..observe.log import logger
from .schema import Schema, migrate, refuse_newer, versions

BUSY_S = 5.0  # how long another process is waited for while the file is opened
CHECKED_BYTES = 32 * 1024 * 1024  # up to here the whole file is looked at before it is used: 0.1 s at most
BROKEN = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_PRAGMAS = (
    *("PRAGMA synchronous=NORMAL", "PRAGMA wal_autocheckpoint=0", "PRAGMA foreign_keys=ON", "PRAGMA temp_store=MEMORY"),
    f"PRAGMA journal_size_limit={64 * 1024 * 1024}",  # the log is cut to it when it begins anew
)
_log = logger("store")


def code_of(error: BaseException) -> int | None:
    """SQLite's primary result code."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def open_file(path: Path | None, clock: Clock, schemas: Sequence[Schema]) -> tuple[sqlite3.Connection, Path | None]:
    """The writer's connection to an up-to-date file, and where a broken one was put instead of it, None where it was sound.

    None for the path keeps everything in memory. Raises SchemaTooNew, OSError, sqlite3.Error.
    """
    try:
        return _open(path, schemas, look=True), None
    except sqlite3.DatabaseError as error:
        if path is None or code_of(error) not in BROKEN:
            raise
        aside = _put_aside(path, clock)
        _log.error(
            "the store is broken and was put aside; a new one begins. `sqlite3 FILE .recover` may save what is in the old one",
            file=str(path),
            put_aside=str(aside),
            reason=str(error),
        )
        return _open(path, schemas, look=False), aside


def open_again(path: Path, schemas: Sequence[Schema]) -> sqlite3.Connection:
    """A fresh connection to the file after a fault. Raises as `open_file`."""
    return _open(path, schemas, look=False)


def suspect(path: Path) -> None:
    """Note that the file is broken, so that the next start looks at the whole of it, however large it is."""
    try:
        _suspicion(path).touch(mode=0o600)
    except OSError as error:
        _log.error("can't note that the store is broken", reason=str(error))


def connect(path: Path | None, *, timeout_s: float = 0.0) -> sqlite3.Connection:
    """A connection that commits when it is told to, usable from any thread."""
    return sqlite3.connect(
        str(path or ":memory:"), timeout=timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def set_up(connection: sqlite3.Connection) -> None:
    """What every connection that writes needs."""
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _open(path: Path | None, schemas: Sequence[Schema], *, look: bool) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    connection = connect(path)
    try:
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
        if path is not None:
            if not path.stat().st_size:
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that it gives the room of deleted rows back
            connection.execute("PRAGMA journal_mode=WAL")
            if look:
                _look(connection, path)
        set_up(connection)
        _prepare(connection, path, schemas)
        connection.execute("PRAGMA busy_timeout=0")
    except BaseException:
        connection.close()
        raise
    return connection


def _look(connection: sqlite3.Connection, path: Path) -> None:
    """Raise sqlite3.DatabaseError where the file is broken, as far as can be seen in time."""
    suspicion = _suspicion(path)
    suspected = suspicion.exists()
    if suspected or path.stat().st_size <= CHECKED_BYTES:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            error = sqlite3.DatabaseError(found)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
    if suspected:
        suspicion.unlink(missing_ok=True)


def _suspicion(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")


def _put_aside(path: Path, clock: Clock) -> Path:
    """Rename the file and its log; both are kept."""
    aside = path.with_name(f"{path.name}.broken-{int(clock.wall())}")
    number = 1
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{path.name}.broken-{int(clock.wall())}-{number}")
    log = path.with_name(path.name + "-wal")
    if log.exists():
        log.rename(aside.with_name(aside.name + "-wal"))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)  # an index of the log, made anew whenever it is missing
    path.rename(aside)
    _suspicion(path).unlink(missing_ok=True)
    return aside


def _prepare(writer: sqlite3.Connection, path: Path | None, schemas: Sequence[Schema]) -> None:
    """Bring every part up to date, one process at a time; an existing file is copied first."""
    present = versions(writer)
    refuse_newer(present, schemas)
    changing = [schema for schema in schemas if present.get(schema.name, 0) != len(schema.migrations)]
    if path is not None and any(present.get(schema.name) for schema in changing):
        _copy(writer, path)
    if changing:
        migrate(writer, schemas)


def _copy(writer: sqlite3.Connection, path: Path) -> None:
    """Keep the file as it was before a migration, beside it."""
    target = path.with_name(path.name + ".before-update")
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with sqlite3.connect(target) as copy:
        writer.backup(copy)
    copy.close()
