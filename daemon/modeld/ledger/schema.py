"""A part of the store's schema: a file of numbered forward migrations, and how they are applied."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_SECTION = re.compile(r"^-- version (\d+)\s*$", re.MULTILINE)
_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_versions (part TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"


class SchemaTooNew(Exception):
    """The file was written by a newer modeld; this one leaves it alone."""


class Schema(msgspec.Struct, frozen=True):
    """`migrations[n]` is the SQL that takes the part `name` from version n to n + 1."""

    name: str
    migrations: tuple[str, ...]

    @classmethod
    def load(cls, name: str, path: Path) -> "Schema":
        """Read `path`: a line `-- version N` begins the SQL of version N, counted from 1 without gaps (ValueError)."""
        _, *pieces = _SECTION.split(path.read_text(encoding="utf-8"))
        numbers = [int(number) for number in pieces[::2]]
        if not numbers or numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"{path.name}: versions must count from 1 without gaps, not {numbers}")
        return cls(name, tuple(piece.strip() for piece in pieces[1::2]))


LEDGER = Schema.load("ledger", Path(__file__).with_name("schema.sql"))


def versions(connection: sqlite3.Connection) -> dict[str, int]:
    """The version of every part in the file."""
    connection.execute(_VERSIONS)
    return dict(connection.execute("SELECT part, version FROM schema_versions").fetchall())


def migrate(connection: sqlite3.Connection, schemas: Sequence[Schema]) -> None:
    """Bring every part up to date in one transaction. Raises SchemaTooNew, sqlite3.Error; nothing has changed then."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        present = versions(connection)  # again, now that no other process can change them
        refuse_newer(present, schemas)
        for schema in schemas:
            _migrate_part(connection, schema, present.get(schema.name, 0))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def refuse_newer(present: dict[str, int], schemas: Sequence[Schema]) -> None:
    """Raise SchemaTooNew where a part is of a newer modeld."""
    for schema in schemas:
        version, known = present.get(schema.name, 0), len(schema.migrations)
        if version > known:
            raise SchemaTooNew(f"its {schema.name} tables have version {version}, this modeld knows {known}")


def _migrate_part(connection: sqlite3.Connection, schema: Schema, present: int) -> None:
    for migration in schema.migrations[present:]:
        for statement in _statements(migration):
            connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO schema_versions VALUES (?, ?)", (schema.name, len(schema.migrations)))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, each of which ends at the end of a line."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending
