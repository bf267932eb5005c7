"""Stored sessions: older files and older messages are brought up to date when read, and what clients send comes back whole."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modeld.config.schema import AdapterConfig, Config
from modeld.ledger.schema import LEDGER, Schema
from modeld.ledger.store import Store, StoreError
from modeld.providers.failure import ProviderFailure
from modeld.runtime import Runtime
from modeld.sessions import records
from modeld.sessions.as_sent import as_sent_of, decode_append, decode_export, decode_turn_start
from modeld.sessions.records import MIGRATIONS, SCHEMA
from modeld.sessions.registry import Sessions
from modeld_protocol import IR_VERSION
from modeld_protocol.content import Message, TextBlock
from modeld_protocol.session import SessionAppendParams, SessionCreateParams, SessionForkParams

pytestmark = pytest.mark.anyio

encode = msgspec.json.encode


@asynccontextmanager
async def sessions_in(folder: Path) -> AsyncIterator[Sessions]:
    store = Store.open(folder / "modeld.db", schemas=(LEDGER, SCHEMA))
    runtime = Runtime(Config(adapters={"local": AdapterConfig("local", "openai")}, models={}, models_given=False), environment={})
    yield Sessions(store, runtime)
    await runtime.close()
    await store.close()


async def told(sessions: Sessions, session_id: str) -> list[dict[str, Any]]:
    """What a client gets of the history."""
    return msgspec.json.decode(encode((await sessions.open(session_id)).history()))


# ---- older ones


def _older_text(message: dict[str, Any]) -> dict[str, Any]:
    """From a form in which a message had its text as `body`."""
    body = message.pop("body")
    return {**message, "content": [{"type": "text", "text": body}]}


def write_first_version(path: Path) -> None:
    """A store as the first version of the tables had it, with messages in an older form."""
    first = Schema("sessions", SCHEMA.migrations[:1])
    Store.open(path, schemas=(LEDGER, first))._writer.close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO sessions VALUES ('ses_old', 1, 2, 2, NULL, ?, ?)", (encode({"model": None}), encode({})))
        older = encode({"role": "user", "body": "Hello", "id": "msg_1"})
        newer = encode({"role": "user", "content": "again", "id": "msg_2"})
        connection.execute("INSERT INTO messages VALUES ('ses_old', 0, 'msg_1', NULL, 0, '0.0.1', ?)", (older,))
        connection.execute("INSERT INTO messages VALUES ('ses_old', 1, 'msg_2', NULL, ?, '0.1', ?)", (IR_VERSION, newer))
        connection.execute("INSERT INTO turns (turn_id, session_id, request_id, status, model, started_ms)"
                           " VALUES ('turn_1', 'ses_old', 'req_1', 'running', 'a:b', 3)")  # fmt: skip
    connection.close()


async def test_an_older_store_is_brought_up_to_date_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MIGRATIONS, 0, _older_text)
    write_first_version(tmp_path / "modeld.db")
    async with sessions_in(tmp_path) as sessions:
        live = await sessions.open("ses_old")
        assert live.messages == [Message("user", [TextBlock("Hello")], "msg_1"), Message("user", "again", "msg_2")]
        await sessions.append(SessionAppendParams("ses_old", [Message("user", "new", "msg_3")]))
        sizes = sessions.store.read_now("SELECT size_bytes, (SELECT sum(length(body)) FROM messages) FROM sessions")
        assert sizes[0][0] == sizes[0][1] > 0
    async with sessions_in(tmp_path) as sessions:
        assert [one["id"] for one in await told(sessions, "ses_old")] == ["msg_1", "msg_2", "msg_3"]
    kept = sqlite3.connect(tmp_path / "modeld.db.before-update")
    assert kept.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    kept.close()


async def test_what_an_older_message_has_beyond_its_form_is_migrated_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MIGRATIONS, 0, _older_text)
    async with sessions_in(tmp_path) as sessions:
        session = (await sessions.create(SessionCreateParams())).session_id
        body = encode({"role": "user", "body": "Hello", "id": "msg_1", "mood": "good"})
        insert = "INSERT INTO messages VALUES (?, 0, 'msg_1', NULL, 0, '0.0.1', ?, 1)"
        await sessions.store.write_many([(insert, (session, body)), ("UPDATE sessions SET message_count = 1", ())])
        content = [{"type": "text", "text": "Hello"}]
        assert await told(sessions, session) == [{"role": "user", "id": "msg_1", "mood": "good", "content": content}]


async def test_an_older_export_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MIGRATIONS, 0, _older_text)
    session = {"session_id": "s", "model": None, "created_at": "", "updated_at": ""}
    export = {"ir_version": 0, "session": session, "messages": [{"role": "user", "body": "Hello", "id": "m", "mood": "good"}]}
    params = decode_export(encode(export))
    async with sessions_in(tmp_path) as sessions:
        made = await sessions.import_(params, as_sent_of(params))
        (message,) = await told(sessions, made.session_id)
    assert message == {"role": "user", "id": "m", "mood": "good", "content": [{"type": "text", "text": "Hello"}]}


@pytest.mark.parametrize(("version", "body", "words"), [(99, b"{}", "update modeld"), (IR_VERSION, b'{"role":', "can't be read")])
async def test_a_message_that_cannot_be_read_is_told(tmp_path: Path, version: int, body: bytes, words: str) -> None:
    async with sessions_in(tmp_path) as sessions:
        session = (await sessions.create(SessionCreateParams())).session_id
        insert = "INSERT INTO messages VALUES (?, 0, 'msg_1', NULL, ?, 'x', ?, 0)"
        await sessions.store.write_many([(insert, (session, version, body)), ("UPDATE sessions SET message_count = 1", ())])
        with pytest.raises(ProviderFailure, match=words):
            await sessions.open(session)


# ---- whole


RAW = {"provider": "anthropic", "model": "m", "signature": "c2ln", "deep": {"list": [1, 2.5, None, {"x": "é\u2028"}]}}
PLAIN = [
    {"role": "user", "content": [{"type": "text", "text": "Hello"}], "id": "m0", "metadata": {"any": {"thing": [1, None]}}},
    {"role": "assistant", "content": [{"type": "thinking", "text": "", "provider_raw": RAW}], "id": "m1"},
    {"role": "assistant", "content": [{"type": "opaque", "provider_raw": RAW}], "id": "m2"},
    {"role": "user", "content": "text alone", "id": "m3"},
]
BEYOND = [
    {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": {"ttl": "1h"}}], "id": "b0"},
    {"importance": 7, "role": "user", "content": "Hello", "id": "b1", "metadata": {"a": 1}},
    {"role": "user", "content": [{"type": "image", "source": {"kind": "url", "url": "https://x", "etag": "e"}}], "id": "b2"},
    {"id": "b3", "role": "user", "content": [{"type": "json", "value": {}, "schema": None}]},
]


def appending(session_id: str, messages: list[dict[str, Any]]) -> bytes:
    return encode({"session_id": session_id, "messages": messages})


async def test_what_is_appended_comes_back_whole(tmp_path: Path) -> None:
    messages = [*PLAIN, *BEYOND]
    async with sessions_in(tmp_path) as sessions:
        session = (await sessions.create(SessionCreateParams())).session_id
        params = decode_append(appending(session, messages))
        assert set(as_sent_of(params)) == {4, 5, 6, 7}, "only what the canonical form doesn't hold is kept beside it"
        await sessions.append(params, as_sent_of(params))
        assert await told(sessions, session) == messages
        fork = (await sessions.fork(SessionForkParams(session, "b1"))).session_id
        export = decode_export(encode(await sessions.export(session)))
        copy = (await sessions.import_(export, as_sent_of(export))).session_id
        snapshot = msgspec.json.decode(encode((await sessions.open(session)).snapshot()))
        assert snapshot["messages"] == messages
    async with sessions_in(tmp_path) as sessions:
        assert await told(sessions, session) == messages
        assert await told(sessions, copy) == messages
        assert await told(sessions, fork) == messages[:6]


async def test_a_message_without_an_id_gets_one_and_keeps_the_rest(tmp_path: Path) -> None:
    async with sessions_in(tmp_path) as sessions:
        session = (await sessions.create(SessionCreateParams())).session_id
        params = decode_append(appending(session, [{"role": "user", "content": "x", "mood": "good"}]))
        (made,) = await sessions.append(params, as_sent_of(params))
        assert await told(sessions, session) == [{"role": "user", "content": "x", "mood": "good", "id": made}]


@pytest.mark.parametrize("given", ["text", [{"role": "user", "content": "Hello"}], [BEYOND[0]], []])
def test_the_input_of_a_turn(given: Any) -> None:
    params = decode_turn_start(encode({"session_id": "ses_1", "input": given, "detach": True, "as_sent": "not ours"}))
    assert (params.session_id, params.detach) == ("ses_1", True)
    assert dict(as_sent_of(params)) == ({0: encode(BEYOND[0])} if given == [BEYOND[0]] else {})


@pytest.mark.parametrize("body", [b"{}", b'{"session_id": "s", "messages": [{"role": "nobody", "content": ""}]}', b"[]", b"{"])
def test_what_is_no_message_is_refused_as_ever(body: bytes) -> None:
    for decode in (decode_append, decode_turn_start, decode_export):
        with pytest.raises(msgspec.DecodeError):
            decode(body)


# ---- together


async def test_two_daemons_do_not_overwrite_each_other(tmp_path: Path) -> None:
    async with sessions_in(tmp_path) as one, sessions_in(tmp_path) as other:
        session = (await one.create(SessionCreateParams())).session_id
        assert [await told(both, session) for both in (one, other)] == [[], []]
        await one.append(SessionAppendParams(session, [Message("user", "first", "m1")]))
        with pytest.raises(StoreError, match="ask again"):
            await other.append(SessionAppendParams(session, [Message("user", "at the same place", "m2")]))
        await other.append(SessionAppendParams(session, [Message("user", "second", "m3")]))
        assert [message["id"] for message in await told(other, session)] == ["m1", "m3"]
        assert one.count() == other.count() == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_running_turns_of_this_daemon_are_not_interrupted(count: int) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE turns (turn_id TEXT, status TEXT, ended_ms INTEGER)")
    connection.execute("INSERT INTO turns VALUES ('t0', 'running', NULL), ('t1', 'running', NULL), ('t2', 'completed', 1)")
    connection.execute(*records.interrupt_turns(5, [f"t{number}" for number in range(count)]))
    found = [status for (status,) in connection.execute("SELECT status FROM turns ORDER BY turn_id")]
    assert found == ["running"] * count + ["interrupted"] * (2 - count) + ["completed"]
