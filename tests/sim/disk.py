"""The store of a run: SQLite in memory that can fail at any operation, and whose committed part outlives a crash."""

import sqlite3
from typing import Any

from modeld.clock import Clock
from modeld.ledger.schema import LEDGER, migrate
from modeld.ledger.store import Store
from modeld.sessions.records import SCHEMA as SESSIONS

_WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT")


class Disk(sqlite3.Connection):
    """A connection whose writes fail between two operations, counted from its opening; `failures` counts how many did."""

    operations = 0
    fail_from = -1
    fail_until = -1
    dead = False
    failures = 0
    image: bytes | None = None  # what was committed, once it is closed

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:  # type: ignore[override]
        """As the real one, where it works."""
        if sql.startswith(_WRITES):
            self.operations += 1
            if self.dead or self.fail_from <= self.operations < self.fail_until:
                self.failures += 1
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
        return super().execute(sql, parameters)

    def close(self) -> None:
        """Keep what is on it."""
        if self.image is None:
            self.image = self.serialize()
        super().close()

    def fail_next(self, skip: int, count: int) -> None:
        """Let `count` operations fail, after `skip` that work."""
        self.fail_from = self.operations + 1 + skip
        self.fail_until = self.fail_from + count


_empty: list[bytes] = []


def open_disk(image: bytes | None) -> Disk:
    """A disk with what a crash left, or an empty one with the tables of now."""
    if image is None:
        if not _empty:
            fresh = _connect()
            migrate(fresh, (LEDGER, SESSIONS))
            _empty.append(fresh.serialize())
            fresh.close()
        image = _empty[0]
    disk = _connect()
    disk.deserialize(image)
    disk.execute("PRAGMA foreign_keys=ON")
    return disk


def _connect() -> Disk:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=Disk)


def store_on(disk: Disk, clock: Clock) -> Store:
    """The daemon's store on it."""
    return Store(None, clock, disk)
