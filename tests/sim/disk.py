"""The store of a run: SQLite in memory that can fail at any operation, and whose committed part outlives a crash."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from modeld.clock import Clock
from modeld.ledger.journal import Journal, Journals, Left, Record
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
        if sql.startswith(_WRITES) and not self.takes_one():
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return super().execute(sql, parameters)

    def takes_one(self) -> bool:
        """Count an operation that writes; whether it works."""
        self.operations += 1
        if self.dead or self.fail_from <= self.operations < self.fail_until:
            self.failures += 1
            return False
        return True

    def close(self) -> None:
        """Keep what is on it."""
        if self.image is None:
            self.image = self.serialize()
        super().close()

    def fail_next(self, skip: int, count: int) -> None:
        """Let `count` operations fail, after `skip` that work."""
        self.fail_from = self.operations + 1 + skip
        self.fail_until = self.fail_from + count


Files = dict[str, list[bytes]]
"""The journals that are on the disk, by name: each record as it was written."""


class MemoryJournal(Journal):
    """A journal among the files of a run; written when the disk takes it."""

    __slots__ = ("_disk", "_files", "_name")

    def __init__(self, files: Files, name: str, disk: Disk) -> None:  # not the real one's: there is no file
        self._files, self._name, self._disk = files, name, disk
        self._files[name] = []

    def append(self, record: Record) -> bool:
        """As the real one."""
        if self._disk.takes_one():
            self._files[self._name].append(msgspec.msgpack.encode(record))
            return True
        return False

    def clear(self) -> None:
        """As the real one; the dead write nothing."""
        if not self._disk.dead:
            self._files[self._name] = []

    def close(self) -> None:
        """As the real one."""
        if not self._disk.dead and not self._files.get(self._name):
            self._files.pop(self._name, None)


class _LeftInMemory(Left):
    __slots__ = ("_files", "_name")

    def __init__(self, files: Files, name: str) -> None:
        super().__init__(Path(name), decoded(files[name]), None)
        self._files, self._name = files, name

    def close(self, *, taken_over: bool) -> None:
        """As the real one."""
        if taken_over:
            self._files.pop(self._name, None)


class MemoryJournals(Journals):
    """The journals of a run, which outlive its daemons."""

    def __init__(self, files: Files, name: str, disk: Disk) -> None:
        self._files, self._name, self._disk = files, name, disk

    def open(self) -> Journal:
        """As the real one."""
        if not self._disk.takes_one():
            raise OSError("the disk is full")
        return MemoryJournal(self._files, self._name, self._disk)

    def others(self) -> list[Left]:
        """As the real one; there is one daemon at a time, so that all the others are dead."""
        if self._disk.dead:
            return []
        return [_LeftInMemory(self._files, name) for name in sorted(self._files) if name != self._name]


def decoded(frames: list[bytes]) -> list[Record]:
    """The records of a journal."""
    return [msgspec.msgpack.decode(one, type=Record) for one in frames]


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
