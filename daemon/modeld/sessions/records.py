"""Sessions as rows: the statements that write them, the queries that read them, and older forms brought up to date."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from modeld_protocol import IR_VERSION
from modeld_protocol.content import Message, ToolResultBlock, ToolUseBlock
from modeld_protocol.request import Tool
from modeld_protocol.session import Session, TurnState

from .. import __version__
from ..ledger.schema import Schema
from ..ledger.store import Statement
from .cache_root import CacheRoot
from .tool_ids import key_of

SCHEMA = Schema.load("sessions", Path(__file__).with_name("schema.sql"))

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""`MIGRATIONS[n]` takes a message from the canonical form n to n + 1; run when an older record is read."""

_encode = msgspec.json.Encoder().encode
_decode_message = msgspec.json.Decoder(Message).decode


class Settings(msgspec.Struct, omit_defaults=True):
    """What clients set, and where the session came from."""

    model: str | None = None
    system_prompt: str | None = None
    tools: list[Tool] = []
    metadata: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    parent_id: str | None = None
    cache_root: str | None = None


class State(msgspec.Struct, omit_defaults=True):
    """What the daemon notes: in how many first messages an adapter's provider has refused its own reasoning, and what is in a
    provider's cache; and who was known to keep the files that messages name when they came."""

    refused_before: dict[str, int] = {}
    root: CacheRoot | None = None
    files: dict[str, tuple[str, ...]] = {}


class SessionRow(NamedTuple):
    """One row of `sessions`, decoded, with the session's last turn."""

    session_id: str
    created_ms: int
    updated_ms: int
    message_count: int
    settings: Settings
    state: State
    last_turn: TurnState | None


class Loaded(NamedTuple):
    """A session with its messages, how many bytes these have, and by id the ones that hold more than the canonical form."""

    row: SessionRow
    messages: list[Message]
    size_bytes: int
    as_sent: dict[str, bytes]


class TurnRow(NamedTuple):
    """A turn as it is written when it begins."""

    turn_id: str
    session_id: str
    request_id: str
    model: str
    started_ms: int
    input: Sequence[Message]


_decode_settings = msgspec.json.Decoder(Settings).decode
_decode_state = msgspec.json.Decoder(State).decode

_COLUMNS = (
    "s.session_id, s.created_ms, s.updated_ms, s.message_count, s.settings, s.state,"
    " t.turn_id, t.status, t.request_id, t.model, t.started_ms, t.ended_ms, t.stop_reason, t.error_class"
)
_JOINED = f"SELECT {_COLUMNS} FROM sessions s LEFT JOIN turns t ON t.turn_id = s.last_turn_id"  # noqa: S608 - constants
_HERE = "s.deleted_ms IS NULL"
COUNT = "SELECT (SELECT count(*) FROM sessions) - (SELECT count(*) FROM sessions WHERE deleted_ms IS NOT NULL)"
"""How many sessions there are; both from indices alone."""

_INSERT_MESSAGE = (
    "INSERT INTO messages (session_id, position, message_id, turn_id, ir_version, adapter_version, as_sent, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_NOTHING: Mapping[str, bytes] = {}


# ---- writing


def insert_session(session_id: str, now_ms: int, count: int, size_bytes: int, settings: Settings, state: State) -> Statement:
    """A new session, whose messages have `size_bytes`."""
    values = (session_id, now_ms, now_ms, count, size_bytes, _encode(settings), _encode(state))
    columns = "session_id, created_ms, updated_ms, message_count, size_bytes, settings, state"
    return f"INSERT INTO sessions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values  # noqa: S608 - constants


def update_session(session_id: str, now_ms: int, settings: Settings) -> Statement:
    """New settings."""
    return "UPDATE sessions SET updated_ms = ?, settings = ? WHERE session_id = ?", (now_ms, _encode(settings), session_id)


def insert_messages(
    session_id: str,
    start: int,
    messages: Iterable[Message],
    turn_id: str | None = None,
    as_sent: Mapping[str, bytes] = _NOTHING,
) -> list[Statement]:
    """Messages from position `start` on; by id, `as_sent` has the JSON of those that the canonical form doesn't hold whole."""
    rows: list[Statement] = []
    for position, message in enumerate(messages, start):
        sent = as_sent.get(message.id or "") if as_sent else None
        body = _encode(message) if sent is None else sent
        row = (session_id, position, message.id, turn_id, IR_VERSION, __version__, int(sent is not None), body)
        rows.append((_INSERT_MESSAGE, row))
    return rows


def size_of(statements: Iterable[Statement]) -> int:
    """How many bytes the bodies of inserted messages have."""
    return sum(len(params[-1]) for _, params in statements)


def grown(session_id: str, now_ms: int, count: int, added_bytes: int) -> Statement:
    """The session has `count` messages now, and `added_bytes` more of them."""
    sql = "UPDATE sessions SET updated_ms = ?, message_count = ?, size_bytes = size_bytes + ? WHERE session_id = ?"
    return sql, (now_ms, count, added_bytes, session_id)


def copy_messages(source: str, target: str, count: int) -> list[Statement]:
    """The first `count` messages of one session for another, as they were written."""
    columns = "position, message_id, turn_id, ir_version, adapter_version, as_sent, body"
    select = f"SELECT ?, {columns} FROM messages WHERE session_id = ? AND position < ?"  # noqa: S608 - constants
    copy = f"INSERT INTO messages (session_id, {columns}) {select}"
    size = "(SELECT coalesce(sum(length(body)), 0) FROM messages WHERE session_id = ?)"
    weigh = f"UPDATE sessions SET size_bytes = {size} WHERE session_id = ?"  # noqa: S608 - constants
    return [(copy, (target, source, count)), (weigh, (target, target))]


def delete_session(session_id: str, now_ms: int, unchanged_since_ms: int | None = None) -> Statement:
    """The session is gone for everybody; `sweep_some` takes its rows away. With `unchanged_since_ms` only where it is still as
    it was then."""
    sql = "UPDATE sessions SET deleted_ms = ? WHERE session_id = ?"
    if unchanged_since_ms is None:
        return sql, (now_ms, session_id)
    return f"{sql} AND updated_ms = ?", (now_ms, session_id, unchanged_since_ms)


def begin_turn(turn: TurnRow) -> list[Statement]:
    """A turn runs."""
    columns = "turn_id, session_id, request_id, status, model, started_ms, input"
    insert = f"INSERT INTO turns ({columns}) VALUES (?, ?, ?, 'running', ?, ?, ?)"  # noqa: S608 - constants
    body = _encode(turn.input)
    return [
        (insert, (turn.turn_id, turn.session_id, turn.request_id, turn.model, turn.started_ms, body)),
        ("UPDATE sessions SET last_turn_id = ? WHERE session_id = ?", (turn.turn_id, turn.session_id)),
    ]


def end_turn(turn: TurnState, now_ms: int, *, kept: bool) -> Statement:
    """A turn ended; its input is kept with it where it did not come into the history."""
    clear = ", input = NULL" if kept else ""
    sql = f"UPDATE turns SET status = ?, ended_ms = ?, stop_reason = ?, error_class = ?{clear} WHERE turn_id = ?"  # noqa: S608
    return sql, (turn.status, now_ms, turn.stop_reason, turn.error_class, turn.turn_id)


def note_state(session_id: str, state: State) -> Statement:
    """What the daemon notes of the session's providers."""
    return "UPDATE sessions SET state = ? WHERE session_id = ?", (_encode(state), session_id)


def interrupt_turns(now_ms: int, running: Sequence[str] = ()) -> Statement:
    """At start: what the last daemon left running has ended with it. `running` are the turns of this one."""
    ours = f" AND turn_id NOT IN ({', '.join('?' * len(running))})" if running else ""
    sql = f"UPDATE turns SET status = 'interrupted', ended_ms = ? WHERE status = 'running'{ours}"  # noqa: S608 - marks
    return sql, (now_ms, *running)


# ---- reading


def find(session_id: str) -> Callable[[sqlite3.Connection], SessionRow | None]:
    """The query for one session."""

    def query(connection: sqlite3.Connection) -> SessionRow | None:
        row = connection.execute(f"{_JOINED} WHERE s.session_id = ? AND {_HERE}", (session_id,)).fetchone()
        return None if row is None else _session_row(row)

    return query


def load(session_id: str) -> Callable[[sqlite3.Connection], Loaded | None]:
    """The query for one session with its messages. It raises ValueError where one of them can't be read."""

    def query(connection: sqlite3.Connection) -> Loaded | None:
        row = find(session_id)(connection)
        if row is None:
            return None
        bodies = connection.execute(
            "SELECT ir_version, as_sent, body FROM messages WHERE session_id = ? ORDER BY position LIMIT ?",
            (session_id, row.message_count),
        ).fetchall()
        messages: list[Message] = []
        as_sent: dict[str, bytes] = {}
        for version, has_more, body in bodies:
            messages.append(message := decode_message(version, body))
            if has_more and message.id is not None:
                as_sent[message.id] = up_to_date(version, body)
        return Loaded(row, messages, sum(len(body) for _, _, body in bodies), as_sent)

    return query


def page(limit: int, before: tuple[int, str] | None) -> Callable[[sqlite3.Connection], list[SessionRow]]:
    """The query for sessions, last updated first, from behind `before` (its time and id) on."""

    def query(connection: sqlite3.Connection) -> list[SessionRow]:
        where = f"WHERE {_HERE}{' AND (s.updated_ms, s.session_id) < (?, ?)' if before else ''}"
        sql = f"{_JOINED} {where} ORDER BY s.updated_ms DESC, s.session_id DESC LIMIT ?"
        return [_session_row(row) for row in connection.execute(sql, (*(before or ()), limit))]

    return query


def decode_message(ir_version: int, body: bytes) -> Message:
    """A stored message in today's form. Raises ValueError for one of a newer daemon."""
    return _decode_message(up_to_date(ir_version, body))


def holds_pending_calls(newest_first: Iterable[Message]) -> bool:
    """Whether a history ends in tool calls that wait for results. Reads back to the last answer, and no further: before it
    every call has its result."""
    answered: set[str] = set()
    for message in newest_first:
        blocks = message.blocks()
        answered |= {key_of(block.tool_use_id) for block in blocks if isinstance(block, ToolResultBlock)}
        if message.role == "assistant":
            return any(isinstance(block, ToolUseBlock) and key_of(block.id) not in answered for block in blocks)
    return False


def up_to_date(ir_version: int, body: bytes) -> bytes:
    """The JSON of a stored message in today's form. Raises ValueError for one of a newer daemon."""
    if ir_version == IR_VERSION:
        return body
    if ir_version > IR_VERSION:
        raise ValueError(f"a message has the form {ir_version} and this daemon knows {IR_VERSION}; update modeld")
    value: dict[str, Any] = msgspec.json.decode(body)
    for version in range(ir_version, IR_VERSION):
        value = MIGRATIONS[version](value)
    return _encode(value)


def _session_row(row: tuple[Any, ...]) -> SessionRow:
    session_id, created_ms, updated_ms, count, settings, state = row[:6]
    return SessionRow(
        session_id, created_ms, updated_ms, count, _decode_settings(settings), _decode_state(state), _turn_state(row[6:])
    )


def _turn_state(row: tuple[Any, ...]) -> TurnState | None:
    turn_id, status, request_id, model, started_ms, ended_ms, stop_reason, error_class = row
    if turn_id is None:
        return None
    ended_at = None if ended_ms is None else timestamp(ended_ms)
    return TurnState(turn_id, status, request_id, model, timestamp(started_ms), ended_at, stop_reason, error_class)


def describe(row: SessionRow) -> Session:
    """A session as clients see it."""
    settings = row.settings
    running = row.last_turn is not None and row.last_turn.status == "running"
    return Session(
        session_id=row.session_id,
        model=settings.model,
        created_at=timestamp(row.created_ms),
        updated_at=timestamp(row.updated_ms),
        system_prompt=settings.system_prompt,
        tools=settings.tools,
        metadata=settings.metadata,
        policy=settings.policy,
        message_count=row.message_count,
        parent_id=settings.parent_id,
        running_turn_id=row.last_turn.turn_id if row.last_turn is not None and running else None,
        last_turn=row.last_turn,
        cache_root=settings.cache_root,
    )


def timestamp(ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"
