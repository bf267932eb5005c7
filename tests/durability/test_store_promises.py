"""The store seen from outside: its health, retention by config, faults of the disk, files it can't use, two daemons on one."""

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer
from tests.harness.sessions import TOOL

from modeld.ledger.store import FILE_NAME, RETRY_S
from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def new_daemon(**options: Any) -> AsyncIterator[DaemonProcess]:
    """A daemon that isn't started yet, with the simulator behind it."""
    async with Simulator() as simulator:
        daemon = DaemonProcess(
            models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text", "sim-tool", "sim-slow-60"]), **options
        )
        try:
            yield daemon
        finally:
            for peer in daemon.peers:
                await peer.close()
            await daemon.stop()
            shutil.rmtree(daemon.folder, ignore_errors=True)


async def health(peer: Peer) -> dict[str, Any]:
    return (await peer.call("daemon/status")).ok()["store"]


async def create(peer: Peer) -> str:
    return (await peer.call("session/create", {"model": "openai:sim-text"})).ok()["session"]["session_id"]


async def ids_of(peer: Peer, session: str) -> list[str]:
    return [message["id"] for message in (await peer.call("session/get", {"session_id": session})).ok()["messages"]]


async def listed(peer: Peer) -> set[str]:
    return {session["session_id"] for session in (await peer.call("session/list")).ok()["sessions"]}


def look(daemon: DaemonProcess) -> list[tuple[str]]:
    connection = sqlite3.connect(daemon.state_dir / FILE_NAME)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall()
    finally:
        connection.close()


async def doctor(daemon: DaemonProcess, topic: str = "store") -> dict[str, Any]:
    _, out, _ = await daemon.run("doctor", "--json")

    return next(finding for finding in json.loads(out)["findings"] if finding["topic"] == topic)


# ---- health


async def test_the_health_of_the_store_is_told() -> None:
    async with new_daemon() as daemon:
        await daemon.start()
        peer = await daemon.peer()
        session = await create(peer)
        (await peer.call("turn/start", {"session_id": session, "input": "Hello"})).ok()
        found = await health(peer)
        assert found["path"] == str(daemon.state_dir / FILE_NAME)
        assert found["size_bytes"] > 10_000
        assert found["writable"]
        assert "last_error" not in found
        async with asyncio.timeout(5):
            while (await health(peer)).get("waiting"):
                await asyncio.sleep(0.01)
        _, out, _ = await daemon.run("status")
        assert f"{daemon.state_dir / FILE_NAME}, " in out
        assert "1 session\n" in out
        assert (await doctor(daemon))["verdict"] == "ok"


# ---- retention


async def test_retention_by_config() -> None:
    """A change of the config is in force at once; the session whose call waits, and the one that is in use, stay."""
    async with new_daemon() as daemon:
        await daemon.start()
        peer = await daemon.peer()
        sessions = [await create(peer) for _ in range(4)]
        waiting = await create(peer)
        calling = {"session_id": waiting, "input": "Hello", "model": "openai:sim-tool", "tools": [TOOL]}
        assert (await peer.call("turn/start", calling)).ok()["stop_reason"] == "tool_use"
        followed = await create(peer)
        (await peer.call("session/subscribe", {"session_id": followed})).ok()
        await asyncio.sleep(0.002)
        newest = await create(peer)
        assert await listed(peer) == {*sessions, waiting, followed, newest}
        text = daemon.config.read_text().rstrip().removesuffix("}")
        daemon.config.write_text(text + ', "retention": {"sessions_count": 1}}')
        async with asyncio.timeout(10):
            while await listed(peer) != {waiting, followed, newest}:
                await asyncio.sleep(0.02)
        reply = await peer.call("session/get", {"session_id": sessions[0]})
        assert reply.data["error_class"] == "invalid_request"
        assert (await peer.call("daemon/status")).ok()["sessions"] == 3


# ---- faults of the disk


async def test_a_disk_that_takes_nothing_any_more_and_then_does_again() -> None:
    async with new_daemon() as daemon:
        await daemon.start()
        peer = await daemon.peer()
        session = await create(peer)
        told = [(await peer.call("turn/start", {"session_id": session, "input": "Hello"})).ok()["message"]["id"]]
        unlimited = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
        reply = await peer.call("turn/start", {"session_id": session, "input": "Hello"})
        assert "can't be written" in reply.data["message"], "a turn that can't be kept is not told as kept"
        async with asyncio.timeout(10):
            while (found := await health(peer))["writable"]:
                await peer.call("session/create", {})
        assert "can't be written" in found["last_error"]
        assert (await doctor(daemon))["verdict"] == "error"
        _, out, _ = await daemon.run("status")
        assert "no call begins" in out
        refused = await peer.call("model/complete", {"model": "openai:sim-text", "messages": "Hello"})
        assert "nothing was sent" in refused.data["message"]
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, unlimited)
        began_s = time.monotonic()
        while True:
            reply = await peer.call("turn/start", {"session_id": session, "input": "Hello"})
            if reply.error is None:
                break
            assert time.monotonic() - began_s < 2 * RETRY_S, reply.error
            await asyncio.sleep(0.1)
        told.append(reply.ok()["message"]["id"])
        found = await health(peer)
        assert found["writable"]
        assert found["last_error"], "that there was a fault is still told"
        assert (await doctor(daemon))["verdict"] == "warning"
        await peer.close()
        await daemon.stop()
        assert look(daemon) == [("ok",)]
        await daemon.start()
        peer = await daemon.peer()
        assert [one for one in await ids_of(peer, session) if one in told] == told
        completed = (await peer.call("usage/query", {"session_id": session, "status": "completed"})).ok()["rows"]
        assert len(completed) >= len(told)


# ---- files that can't be used


def _spoil_middle(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:8192] + os.urandom(16_384) + data[8192 + 16_384 :])


def _spoil_head(file: Path) -> None:
    file.write_bytes(b"this is no database" * 1_000)


@pytest.mark.parametrize("spoil", [_spoil_middle, _spoil_head])
async def test_a_broken_store_is_put_aside_and_the_daemon_starts(spoil: Callable[[Path], None]) -> None:
    async with new_daemon() as daemon:
        await daemon.start()
        await create(await daemon.peer())
        await daemon.stop()
        file = daemon.state_dir / FILE_NAME
        spoil(file)
        broken = file.read_bytes()
        await daemon.start()
        peer = await daemon.peer()
        found = await health(peer)
        assert Path(found["put_aside"]).read_bytes() == broken
        assert found["put_aside"] in found["last_error"]
        assert found["put_aside"] in daemon.output()
        assert (await doctor(daemon, "state"))["verdict"] == "ok"
        finding = await doctor(daemon)
        assert finding["verdict"] == "warning"
        assert ".recover" in finding["next_step"]
        assert await listed(peer) == set()
        session = await create(peer)
        (await peer.call("turn/start", {"session_id": session, "input": "Hello"})).ok()
        await peer.close()
        await daemon.stop()
        _, out, _ = await daemon.run("doctor")
        assert found["put_aside"] in out, "also while none runs"


async def test_a_store_of_a_newer_version_is_refused_with_a_clear_message() -> None:
    async with new_daemon() as daemon:
        await daemon.start()
        await daemon.stop()
        file = daemon.state_dir / FILE_NAME
        connection = sqlite3.connect(file)
        with connection:
            connection.execute("UPDATE schema_versions SET version = version + 1 WHERE part = 'sessions'")
        connection.close()
        before = file.read_bytes()
        code, _, error = await daemon.run("--stdio", "--isolated")
        assert code == 1
        assert "newer modeld" in error
        assert "update modeld" in error
        assert "--state-dir" in error
        assert file.read_bytes() == before


async def test_a_state_directory_that_cannot_be_used() -> None:
    async with new_daemon() as daemon:
        daemon.state_dir.write_text("a file")
        code, _, error = await daemon.run("--stdio", "--isolated")
        assert code == 1
        assert "--state-dir" in error
        assert "Traceback" not in error
        finding = await doctor(daemon, "state")
        assert finding["verdict"] == "error"
        assert "MODELD_STATE_DIR" in finding["next_step"]


# ---- two at once


async def test_two_daemons_on_one_state_directory() -> None:
    """Whoever writes, both see it, nothing is lost, and neither takes the other's running turn for a dead one's."""
    async with new_daemon() as one, new_daemon() as other:
        other.env["MODELD_STATE_DIR"] = str(one.state_dir)
        await one.start()
        first = await one.peer()
        shared = await create(first)
        number = first.request("turn/start", {"session_id": shared, "input": "Hello", "model": "openai:sim-slow-60"})
        await first.until(lambda: first.notifications("stream/event"), 10)
        await other.start()
        second = await other.peer()
        assert shared in await listed(second)
        answer = (await first.reply(number)).ok()
        assert answer["message"]["id"] in await ids_of(second, shared)

        async def busy(peer: Peer, told: list[str]) -> None:
            session = await create(peer)
            params = {"session_id": session, "input": "Hello"}
            told += [(await peer.call("turn/start", params)).ok()["message"]["id"] for _ in range(10)]
            assert [one for one in await ids_of(peer, session) if one in told] == told

        told: tuple[list[str], list[str]] = ([], [])
        await asyncio.gather(busy(first, told[0]), busy(second, told[1]))
        for peer in (first, second):
            rows = (await peer.call("usage/query", {"status": "completed", "limit": 100})).ok()["rows"]
            assert len(rows) == 21
            assert not (await peer.call("usage/query", {"status": "interrupted"})).ok()["rows"]
            assert len(await listed(peer)) == 3
        await one.stop()
        assert (await second.call("turn/start", {"session_id": shared, "input": "Hello"})).ok()["message"]["id"]
        await other.stop()
        assert look(one) == [("ok",)]
