"""The store kept within the bounds that the config sets: old sessions go, the rows of deleted ones after them, in small steps."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..config.schema import RetentionConfig
from ..ledger.store import RETRY_S, Store
from ..observe.log import logger
from .records import decode_message, holds_pending_calls
from .registry import Sessions

EVERY_S = 3_600.0
PAUSE_S = 0.02  # between two steps, which belongs to whoever wants to write
MAX_ROWS = 50  # of one step
MAX_STEP_BYTES = 512 * 1024  # of message bodies of one step, unless a single one is larger: 1 ms
_DAY_MS = 86_400_000
_MIB = 1024 * 1024

_log = logger("retention")


class Kept(NamedTuple):
    """What retention looks at, of one session."""

    session_id: str
    updated_ms: int
    size_bytes: int


def beyond(sessions: Sequence[Kept], bounds: RetentionConfig, now_ms: int) -> list[Kept]:
    """Those that the bounds leave no room for, the longest unchanged first. `sessions` are in the order of their change, newest
    first."""
    oldest_ms = now_ms - bounds.sessions_days * _DAY_MS if bounds.sessions_days is not None else None
    most_bytes = bounds.sessions_mib * _MIB if bounds.sessions_mib is not None else None
    gone: list[Kept] = []
    total_bytes = 0
    for count, one in enumerate(sessions, 1):
        total_bytes += one.size_bytes
        if (
            (oldest_ms is not None and one.updated_ms < oldest_ms)
            or (bounds.sessions_count is not None and count > bounds.sessions_count)
            or (most_bytes is not None and total_bytes > most_bytes)
        ):
            gone.append(one)
    return gone[::-1]


class Retention:
    """Runs beside everything else for as long as the daemon lives. `bounds` may change at any time."""

    def __init__(self, sessions: Sessions, store: Store) -> None:
        self.bounds = RetentionConfig()
        self._sessions = sessions
        self._store = store
        self._wanted = asyncio.Event()
        sessions.on_deleted = self._wanted.set

    def follow(self, bounds: RetentionConfig) -> None:
        """Keep within `bounds` from now on."""
        if bounds != self.bounds:
            self.bounds = bounds
            self._wanted.set()

    async def run(self) -> None:
        """Look now, every hour, and whenever there is a reason."""
        while True:
            self._wanted.clear()
            wait_s = EVERY_S
            try:
                await self.apply()
            except Exception as error:
                wait_s = RETRY_S
                _log.error("retention failed", exception=error, reason=str(error))
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def apply(self) -> int:
        """Delete the sessions beyond the bounds, then the rows of all deleted ones; returns how many sessions went. Raises
        StoreError, sqlite3.Error."""
        gone = await self._expire()
        swept = False
        while await self._store.beside(sweep_some):
            swept = True
            await asyncio.sleep(PAUSE_S)
        if swept:
            await self._store.compact()
        return gone

    async def _expire(self) -> int:
        bounds = self.bounds
        if bounds.sessions_days is bounds.sessions_count is bounds.sessions_mib is None:
            return 0
        gone, now_ms = 0, self._sessions.now_ms()
        for one in await self._store.read(lambda connection: beyond(_kept(connection), bounds, now_ms)):
            if await self._store.read(_in_use(one.session_id)):
                continue
            gone += await self._sessions.expire(one.session_id, one.updated_ms)
            await asyncio.sleep(0)
        if gone:
            _log.info("old sessions deleted", count=gone)
        return gone


def _kept(connection: sqlite3.Connection) -> list[Kept]:
    sql = (
        "SELECT session_id, updated_ms, size_bytes FROM sessions WHERE deleted_ms IS NULL"
        " ORDER BY updated_ms DESC, session_id DESC"
    )
    return [Kept(*row) for row in connection.execute(sql)]


def _in_use(session_id: str) -> Callable[[sqlite3.Connection], bool]:
    """Whether a turn of the session runs, in whatever daemon, or a tool call of it waits for its result."""

    def query(connection: sqlite3.Connection) -> bool:
        running = "SELECT 1 FROM turns WHERE session_id = ? AND status = 'running' LIMIT 1"
        if connection.execute(running, (session_id,)).fetchone():
            return True
        tail = "SELECT ir_version, body FROM messages WHERE session_id = ? ORDER BY position DESC"
        try:
            return holds_pending_calls(decode_message(*row) for row in connection.execute(tail, (session_id,)))
        except ValueError:
            return False  # nobody can read it any more

    return query


def sweep_some(connection: sqlite3.Connection) -> bool:
    """A step: some rows of one deleted session, in the end its own. False where there is none."""
    deleted = "SELECT session_id FROM sessions INDEXED BY sessions_deleted WHERE deleted_ms IS NOT NULL LIMIT 1"
    if (found := connection.execute(deleted).fetchone()) is None:
        return False
    (session_id,) = found
    rows = connection.execute(
        "SELECT rowid, length(body) FROM messages WHERE session_id = ? ORDER BY position DESC LIMIT ?", (session_id, MAX_ROWS)
    ).fetchall()
    if rows:
        connection.executemany("DELETE FROM messages WHERE rowid = ?", ((row,) for row in _one_step(rows)))
        return True
    turns = connection.execute("SELECT turn_id FROM turns WHERE session_id = ? LIMIT ?", (session_id, MAX_ROWS)).fetchall()
    if turns:
        connection.executemany("DELETE FROM turns WHERE turn_id = ?", turns)
        return True
    connection.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))
    return True


def _one_step(rows: Sequence[tuple[int, int]]) -> list[int]:
    chosen: list[int] = []
    total_bytes = 0
    for row, size_bytes in rows:
        total_bytes += size_bytes
        if chosen and total_bytes > MAX_STEP_BYTES:
            break
        chosen.append(row)
    return chosen
