"""Whichever operation of the store fails, and however: nothing acknowledged is lost, and it goes on once the fault is gone."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modeld.clock import Clock
from modeld.config.schema import AdapterConfig, Config
from modeld.ledger import store_file
from modeld.ledger.schema import LEDGER, Schema
from modeld.ledger.store import RETRY_S, Store, StoreError
from modeld.ledger.store_file import CHECKED_BYTES
from modeld.providers.failure import ProviderFailure
from modeld.runtime import Runtime
from modeld.sessions import records
from modeld.sessions.records import SCHEMA, TurnRow
from modeld.sessions.registry import Sessions
from modeld.sessions.retention import Retention
from modeld_protocol.content import Message
from modeld_protocol.session import SessionAppendParams, SessionCreateParams, SessionForkParams, SessionUpdateParams, TurnState

pytestmark = pytest.mark.anyio

SCHEMAS = (LEDGER, SCHEMA)
WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT", "PRAGMA incremental")
CODES = {"full": sqlite3.SQLITE_FULL, "io error": sqlite3.SQLITE_IOERR, "read-only": sqlite3.SQLITE_READONLY}


class Hands:
    """A monotonic clock that moves when told."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Plan:
    """Which operations fail: `count` of them from number `first` on, before or after they were done."""

    def __init__(self, first: int = -1, count: int = 1, code: int = sqlite3.SQLITE_FULL, *, after: bool = False) -> None:
        self.first, self.count, self.code, self.after = first, count, code, after
        self.seen = 0
        self.failed = 0

    def run(self, sql: str, work: Callable[[], Any]) -> Any:
        if not sql.startswith(WRITES):
            return work()
        self.seen += 1
        if not self.first <= self.seen < self.first + self.count:
            return work()
        self.failed += 1
        if self.after:
            work()
        error = sqlite3.OperationalError("the disk is at fault")
        error.sqlite_errorcode = self.code
        raise error


@contextmanager
def faulty(patch: pytest.MonkeyPatch, plan: Plan) -> Iterator[None]:
    """Every connection that writes fails as planned."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:  # type: ignore[override]
            return plan.run(sql, lambda: super(Connection, self).execute(sql, parameters))

    def connect(path: Path | None, *, timeout_s: float = 0.0) -> sqlite3.Connection:
        return sqlite3.connect(str(path), timeout=timeout_s, isolation_level=None, check_same_thread=False, factory=Connection)

    with patch.context() as within:
        within.setattr(store_file, "connect", connect)
        within.setattr("modeld.ledger.store.connect", connect)
        yield


class Script:
    """The small life of a session. Each step is tried until it is done; what is acknowledged must be there for ever."""

    def __init__(self, store: Store, hands: Hands) -> None:
        config = Config(adapters={"local": AdapterConfig("local", "openai")}, models={}, models_given=False)
        self.store = store
        self.hands = hands
        self.runtime = Runtime(config, environment={})
        self.sessions = Sessions(store, self.runtime)
        self.retention = Retention(self.sessions, store)
        self.acknowledged: dict[str, list[str]] = {}
        self.titles: dict[str, Any] = {}
        self.ended: set[str] = set()
        self.refusals = 0

    async def run(self) -> None:
        session = (await self.until_done(lambda: self.sessions.create(SessionCreateParams()))).session_id
        self.acknowledged[session] = []
        for _ in range(2):
            await self.until_done(lambda: self.append(session))
        await self.until_done(lambda: self.turn(session, "turn_1"))
        params = SessionUpdateParams(session, metadata={"title": "a title"})
        self.titles[session] = (await self.until_done(lambda: self.sessions.update(params))).metadata
        fork = (await self.until_done(lambda: self.sessions.fork(SessionForkParams(session)))).session_id
        self.acknowledged[fork] = list(self.acknowledged[session])
        await self.until_done(lambda: self.append(fork))
        gone = (await self.until_done(lambda: self.sessions.create(SessionCreateParams()))).session_id
        await self.until_done(lambda: self.delete(gone))
        await self.until_done(self.retention.apply)
        await self.until_done(lambda: self.append(session))

    async def until_done(self, step: Callable[[], Any]) -> Any:
        for _ in range(4):
            try:
                return await step()
            except (StoreError, sqlite3.OperationalError):
                self.refusals += 1
                self.hands.now_s += RETRY_S
        raise AssertionError("it has not got over the fault")

    async def delete(self, session: str) -> None:
        try:
            await self.sessions.delete(session)
        except ProviderFailure as failure:  # it went although that could not be told
            if "no session" not in failure.message:
                raise

    async def append(self, session: str) -> None:
        texts = [Message("user", "Hello " * 50), Message("user", "again")]
        self.acknowledged[session] += await self.sessions.append(SessionAppendParams(session, texts))

    async def turn(self, session: str, turn_id: str) -> None:
        live = await self.sessions.open(session)
        for statement in records.begin_turn(TurnRow(turn_id, session, "req_1", "a:b", 1, [])):
            self.store.write_soon(*statement)
        await self.sessions.commit(live, [records.end_turn(TurnState(turn_id, "completed"), 2, kept=True)])


def check(path: Path, script: Script) -> None:
    """Another look at the file: sound, and everything acknowledged is in it, once and in its order."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        sessions = connection.execute("SELECT session_id, message_count, settings FROM sessions WHERE deleted_ms IS NULL")
        for session, count, settings in sessions.fetchall():
            rows = connection.execute("SELECT message_id FROM messages WHERE session_id = ? ORDER BY position", (session,))
            stored = [message for (message,) in rows]
            assert count == len(stored)
            told = script.acknowledged.pop(session, [])
            assert [message for message in stored if message in told] == told
            if session in script.titles:
                assert b"a title" in settings
        assert script.acknowledged == {}
    finally:
        connection.close()


async def live_through(patch: pytest.MonkeyPatch, path: Path, plan: Plan) -> Script:
    hands = Hands()
    store = Store.open(path, Clock(monotonic=hands), SCHEMAS)
    await store.close()
    with faulty(patch, plan):
        store = Store.open(path, Clock(monotonic=hands), SCHEMAS)
        script = Script(store, hands)
        plan.seen = 0  # counted from the first step
        await script.run()
        await script.runtime.close()
        await store.close()
    return script


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [1, 3])
async def test_every_operation_fails_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, after: bool) -> None:
    plan = Plan()
    await live_through(monkeypatch, tmp_path / "whole.db", plan)
    operations = plan.seen
    assert operations > 40
    for number in range(1, operations + 1):
        path = tmp_path / f"{number}.db"
        code = list(CODES.values())[number % len(CODES)]
        plan = Plan(number, count, code, after=after)
        script = await live_through(monkeypatch, path, plan)
        assert plan.failed
        check(path, script)
        for file in tmp_path.glob(f"{number}.db*"):
            file.unlink()


async def test_a_failure_is_told_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hands, plan = Hands(), Plan()
    with faulty(monkeypatch, plan):
        store = Store.open(tmp_path / "modeld.db", Clock(monotonic=hands), SCHEMAS)
        script = Script(store, hands)
        session = (await script.sessions.create(SessionCreateParams())).session_id
        assert (store.health.writable, store.health.last_error, store.health.path) == (True, None, tmp_path / "modeld.db")
        assert store.health.size_bytes > 10_000
        plan.first, plan.count = plan.seen + 1, 10**9
        script.acknowledged[session] = []
        with pytest.raises(StoreError, match="next try is in 5 s"):
            await script.append(session)
        assert not store.health.writable
        assert "the disk is at fault" in (store.health.last_error or "")
        failed = plan.failed
        with pytest.raises(StoreError):
            await script.append(session)
        assert plan.failed == failed, "nothing is tried before its time"
        plan.count = 0
        hands.now_s += RETRY_S
        await script.append(session)
        assert store.health.writable
        assert store.health.last_error, "what was is still told"
        assert store.health.waiting == 0
        await script.runtime.close()
        await store.close()
    check(tmp_path / "modeld.db", script)


async def test_a_directory_that_is_gone_for_a_while(tmp_path: Path) -> None:
    hands = Hands()
    store = Store.open(tmp_path / "state" / "modeld.db", Clock(monotonic=hands), SCHEMAS)
    script = Script(store, hands)
    store._failing = "a fault"  # so that the file is opened anew
    store._retry_at_s = 0.0
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    (tmp_path / "state").touch()
    with pytest.raises(StoreError, match="can't be written"):
        await script.sessions.create(SessionCreateParams())
    assert script.sessions.count() == 0
    (tmp_path / "state").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "state")
    hands.now_s += RETRY_S
    await script.sessions.create(SessionCreateParams())
    assert script.sessions.count() == 1
    await script.runtime.close()
    await store.close()


# ---- broken files


async def write_some(path: Path) -> None:
    store = Store.open(path, schemas=SCHEMAS)
    script = Script(store, Hands())
    await script.run()
    await script.runtime.close()
    await store.close()


def _garbage(data: bytes) -> bytes:
    return b"no database at all, but long enough to be looked at" * 20


def _broken_head(data: bytes) -> bytes:
    return b"\0" * 100 + data[100:]


def _broken_middle(data: bytes) -> bytes:
    return data[:8192] + os.urandom(4096 * 4) + data[8192 + 4096 * 4 :]


def _cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("spoil", [_garbage, _broken_head, _broken_middle, _cut_short])
async def test_a_broken_file_is_put_aside_and_never_deleted(
    tmp_path: Path, spoil: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "modeld.db"
    await write_some(path)
    broken = spoil(path.read_bytes())
    path.write_bytes(broken)
    for number in range(2):
        store = Store.open(path, schemas=SCHEMAS)
        health = store.health
        assert store.read_now("SELECT count(*) FROM sessions") == [(0,)]
        await store.write("INSERT INTO schema_versions VALUES ('x', ?)", (number,))
        await store.close()
        if number == 0:
            assert health.put_aside is not None
            assert health.put_aside.read_bytes() == broken
            assert str(health.put_aside) in (health.last_error or "")
            assert "put aside" in caplog.text
            path.write_bytes(broken)
    assert len(list(tmp_path.glob("modeld.db.broken-*"))) == 2, "a second one takes the place of none"


async def test_what_breaks_while_it_runs_is_put_aside_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file is too large to be looked at whole at every start."""
    monkeypatch.setattr(store_file, "CHECKED_BYTES", 0)
    path = tmp_path / "modeld.db"
    await write_some(path)
    plan = Plan()
    with faulty(monkeypatch, plan):
        store = Store.open(path, schemas=SCHEMAS)
        plan.first, plan.code, plan.count = plan.seen + 1, sqlite3.SQLITE_CORRUPT, 100
        with pytest.raises(StoreError, match="modeld stop"):
            await store.write("UPDATE sessions SET updated_ms = 1")
        await store.close()
    sound = Store.open(path, schemas=SCHEMAS)
    assert sound.health.put_aside is None, "it is sound after all"
    await sound.close()
    store_file.suspect(path)
    path.write_bytes(_broken_middle(path.read_bytes()))
    store = Store.open(path, schemas=SCHEMAS)
    assert store.health.put_aside is not None
    await store.close()
    assert not path.with_name(path.name + ".suspect").exists()


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "modeld.db"
    newer = Schema("sessions", (*SCHEMA.migrations, "CREATE TABLE more (id INTEGER);"))
    await Store.open(path, schemas=(LEDGER, newer)).close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer modeld.*update modeld"):
        Store.open(path, schemas=SCHEMAS)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.broken-*"))


def test_the_whole_file_is_looked_at_in_time(tmp_path: Path) -> None:
    assert CHECKED_BYTES <= 64 * 1024 * 1024, "a start must not take long because of it"


# ---- real limits, in a process of their own


CHILD = """
import asyncio, os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, "tests/unit")
from modeld.clock import Clock
from modeld.ledger.store import Store, StoreError, RETRY_S
from test_store_faults import SCHEMAS, Hands, Script, SessionCreateParams, Message, SessionAppendParams, check

async def main(path, limited):
    hands = Hands()
    store = Store.open(path, Clock(monotonic=hands), SCHEMAS)
    script = Script(store, hands)
    session = (await script.sessions.create(SessionCreateParams())).session_id
    told = script.acknowledged[session] = []
    refused = 0
    if limited == "size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    for number in range(200):
        try:
            told += await script.sessions.append(SessionAppendParams(session, [Message("user", "x" * 5_000)]))
        except StoreError as error:
            refused += 1
            assert "can't be written" in error.message, error.message
            if refused == 3:
                if limited == "size":
                    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                else:
                    os.unlink(path.parent / "ballast")
            hands.now_s += RETRY_S
        if refused >= 3 and len(told) > 100:
            break
    assert refused >= 3 and len(told) > 100, (refused, len(told))
    await script.runtime.close()
    await store.close()
    check(path, script)
    print("sound", refused, len(told))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def run_child(path: Path, limited: str) -> str:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", CHILD, str(path), limited]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    assert "sound" in run_child(tmp_path / "modeld.db", "size")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="a small file system needs root")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (disk / "ballast").write_bytes(b"x" * 11_000_000)
        assert "sound" in run_child(disk / "modeld.db", "full")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_directory_that_is_read_only() -> None:
    """As a user for whom it is: root may write everywhere."""
    folder = Path(tempfile.mkdtemp())  # not below pytest's, which others may not enter
    try:
        (folder / "state").mkdir(mode=0o555)
        folder.chmod(0o755)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                for path in (folder / "state" / "modeld.db", folder / "state" / "below" / "modeld.db"):
                    with pytest.raises(StoreError, match=r"can't be opened.*--state-dir"):
                        Store.open(path, schemas=SCHEMAS)
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o555
    finally:
        shutil.rmtree(folder)
