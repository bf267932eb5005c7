"""kill -9 at random moments with streams running: nothing acknowledged is lost, the file is sound, the daemon is ready again.

What is there is asked of the daemon that follows: rows may be on their way into the file when the one before it dies.
"""

import asyncio
import random
import signal
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer

from modeld.ledger.store import FILE_NAME
from modeld.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

MODELS = ["sim-text", "sim-cached", "sim-long-200", "sim-slow-60"]
CLIENTS = 4
READY_S = 1.0  # in the median: a machine that has other things to do may be late once


class Acknowledged:
    """What the daemon has told its clients: the usage of every ended call, the calls that have begun to answer, and the
    messages that sessions have taken up, in their order; of the last round, and how much there was in all."""

    def __init__(self) -> None:
        self.calls = 0
        self.taken_up = 0
        self.ever_ended: set[str] = set()
        self.start_anew()

    def start_anew(self) -> None:
        """Another round."""
        self.ended: dict[str, dict[str, Any]] = {}
        self.begun: set[str] = set()
        self.messages: dict[str, list[str]] = {}

    def take(self, peer: Peer) -> None:
        """Everything that one client has heard."""
        for message in peer.messages:
            if message.get("method") == "stream/event":
                params = message["params"]
                self.begun.add(params["request_id"])
                if params["event"]["type"] == "message.complete":
                    self.ended[params["request_id"]] = params["event"]["usage"]
            elif isinstance(result := message.get("result"), dict) and "stop_reason" in result:
                self.begun.add(result["request_id"])
                self.ended[result["request_id"]] = result["usage"]

    def count(self) -> None:
        """Add up."""
        self.calls += len(self.ended)
        self.taken_up += sum(map(len, self.messages.values()))
        self.ever_ended |= self.ended.keys()


async def busy(peer: Peer, name: str, chance: random.Random) -> None:
    """Calls one after the other, two at a time, until the connection breaks."""
    number = 0
    while not peer.closed:
        ids: list[Any] = []
        for _ in range(2):
            number += 1
            method = chance.choice(("model/stream", "model/complete"))
            model = f"{chance.choice(('anthropic', 'openai'))}:{chance.choice(MODELS)}"
            ids.append(peer.request(method, {"model": model, "messages": "Hello", "request_id": f"{name}-{number}"}))
        try:
            for rpc_id in ids:
                await peer.until(lambda rpc_id=rpc_id: peer.replies(rpc_id), 20)
        except ConnectionError:
            return


async def talk(peer: Peer, told: Acknowledged) -> None:
    """One session, turn after turn and message after message, until the connection breaks."""
    try:
        session = (await peer.call("session/create", {"model": "openai:sim-text"})).ok()["session"]["session_id"]
        ids = told.messages[session] = []
        while True:
            turn = (await peer.call("turn/start", {"session_id": session, "input": "Hello"})).ok()
            ids.append(turn["message"]["id"])
            message = {"role": "user", "content": "Hello again"}
            appended = await peer.call("session/append", {"session_id": session, "messages": [message]})
            ids += appended.ok()["message_ids"]
    except ConnectionError:
        return


async def one_round(daemon: DaemonProcess, number: int, chance: random.Random, told: Acknowledged) -> float:
    """Start it, wait until it is ready, see that nothing is lost, keep it busy, kill it; returns how long it took to be ready.

    Some rounds are long enough for the log to go into the file meanwhile."""
    began = time.monotonic()
    await daemon.start()
    first = await Peer.connect(daemon.socket, validate=False)
    await first.initialize()
    (await first.call("usage/aggregate", {})).ok()
    ready_s = time.monotonic() - began
    await check_told(first, told)
    await first.close()
    told.start_anew()
    peers = [await Peer.connect(daemon.socket, validate=False) for _ in range(CLIENTS)]
    for peer in peers:
        await peer.initialize()
    working = [asyncio.create_task(busy(peer, f"r{number}-c{at}", chance)) for at, peer in enumerate(peers[1:])]
    working.append(asyncio.create_task(talk(peers[0], told)))
    await asyncio.sleep(chance.uniform(0.01, 0.25) if number % 5 else chance.uniform(0.95, 1.1))
    daemon.signal(signal.SIGKILL)
    await daemon.wait()
    await asyncio.gather(*working)
    for peer in peers:
        told.take(peer)
        await peer.close()
    return ready_s


async def rows_of(peer: Peer, **which: Any) -> list[dict[str, Any]]:
    """Every row of the ledger, page by page."""
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = (await peer.call("usage/query", {"limit": 1_000, "cursor": cursor, **which})).ok()
        rows += page["rows"]
        cursor = page.get("next_cursor")
        if cursor is None:
            return rows


async def check_told(peer: Peer, told: Acknowledged) -> None:
    """What the daemon that died had acknowledged, the one that followed it has."""
    for session, ids in told.messages.items():
        stored = [message["id"] for message in (await peer.call("session/get", {"session_id": session})).ok()["messages"]]
        assert [one for one in stored if one in ids] == ids, "every message, once, in its order"
        turn = (await peer.call("session/get", {"session_id": session})).ok()["session"]
        assert turn.get("running_turn_id") is None
    for request_id in told.begun:
        rows = await rows_of(peer, request_id=request_id)
        assert len(rows) == 1, f"{request_id} has {len(rows)} rows"
        if usage := told.ended.get(request_id):
            assert rows[0]["status"] == "completed"
            counts = "input_tokens", "output_tokens"
            assert [rows[0]["usage"][name] for name in counts] == [usage[name] for name in counts]


def check_file(daemon: DaemonProcess) -> None:
    """The file that a kill left is sound."""
    connection = sqlite3.connect(daemon.state_dir / FILE_NAME)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


@asynccontextmanager
async def world() -> AsyncIterator[DaemonProcess]:
    async with Simulator() as simulator:
        daemon = DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, MODELS))
        try:
            yield daemon
        finally:
            await daemon.stop()


async def kill_again_and_again(rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    told = Acknowledged()
    async with world() as daemon:
        ready_s: list[float] = []
        for number in range(rounds):
            ready_s.append(await one_round(daemon, number, chance, told))
            check_file(daemon)
            told.count()
        assert statistics.median(ready_s[1:]) <= READY_S, f"ready after {max(ready_s):.2f} s at worst"
        assert min(told.calls, told.taken_up) > rounds, "calls did end"
        await daemon.start()
        peer = await daemon.peer()
        await check_told(peer, told)
        async with asyncio.timeout(5):
            while (await peer.call("usage/query", {"status": "started"})).ok()["rows"]:
                await asyncio.sleep(0.01)
        rows = await rows_of(peer)
        assert len({row["request_id"] for row in rows}) == len(rows), "one row per call"
        assert told.ever_ended <= {row["request_id"] for row in rows if row["status"] == "completed"}
        assert any(row["status"] == "interrupted" for row in rows), f"with seed {seed} no call was running at a kill"


async def test_twenty_kills() -> None:
    await kill_again_and_again(20, 20)


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
async def test_two_hundred_kills() -> None:
    await kill_again_and_again(200, random.randrange(2**32))
