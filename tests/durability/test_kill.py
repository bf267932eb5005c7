"""kill -9 at random moments with streams running: no acknowledged row is lost, the file is sound, the daemon is ready again."""

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
from tests.harness.ledger import ledger_on_disk
from tests.harness.peer import Peer

from modeld.ledger.store import FILE_NAME
from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio

MODELS = ["sim-text", "sim-cached", "sim-long-200", "sim-slow-60"]
CLIENTS = 4
READY_S = 1.0  # in the median: a machine that has other things to do may be late once


class Acknowledged:
    """What the daemon has told its clients: the usage of every ended call, the calls that have begun to answer, and the
    messages that sessions have taken up."""

    def __init__(self) -> None:
        self.ended: dict[str, dict[str, Any]] = {}
        self.begun: set[str] = set()
        self.messages: set[tuple[str, str]] = set()

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
        while True:
            turn = (await peer.call("turn/start", {"session_id": session, "input": "Hello"})).ok()
            told.messages.add((session, turn["message"]["id"]))
            message = {"role": "user", "content": "Hello again"}
            for message_id in (await peer.call("session/append", {"session_id": session, "messages": [message]})).ok()[
                "message_ids"
            ]:
                told.messages.add((session, message_id))
    except ConnectionError:
        return


async def one_round(daemon: DaemonProcess, number: int, chance: random.Random, told: Acknowledged) -> float:
    """Start it, wait until it is ready, keep it busy, kill it; returns how long it took to be ready.

    Some rounds are long enough for the log to go into the file meanwhile."""
    began = time.monotonic()
    await daemon.start()
    async with await Peer.connect(daemon.socket, validate=False) as first:
        await first.initialize()
        (await first.call("usage/aggregate", {})).ok()
    ready_s = time.monotonic() - began
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


def check_file(daemon: DaemonProcess, told: Acknowledged) -> None:
    """The file is sound and has, with what is on its way into it, what clients were told."""
    connection = sqlite3.connect(daemon.state_dir / FILE_NAME)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
    connection = ledger_on_disk(daemon.state_dir)
    try:
        rows = connection.execute("SELECT request_id, status, input_tokens, output_tokens FROM calls").fetchall()
        messages = set(connection.execute("SELECT session_id, message_id FROM messages").fetchall())
    finally:
        connection.close()
    assert told.messages <= messages
    found = {request_id: rest for request_id, *rest in rows}
    assert len(found) == len(rows), "one row per call"
    for request_id, usage in told.ended.items():
        assert found[request_id] == ["completed", usage["input_tokens"], usage["output_tokens"]]
    assert told.begun <= found.keys()


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
            check_file(daemon, told)
        assert statistics.median(ready_s[1:]) <= READY_S, f"ready after {max(ready_s):.2f} s at worst"
        assert min(len(told.ended), len(told.messages)) > rounds, "calls did end"
        await daemon.start()
        peer = await daemon.peer()
        async with asyncio.timeout(5):
            while (await peer.call("usage/query", {"status": "started"})).ok()["rows"]:
                await asyncio.sleep(0.01)
        interrupted = (await peer.call("usage/query", {"status": "interrupted", "limit": 1_000})).ok()["rows"]
        assert interrupted, f"with seed {seed} no call was running at a kill"
        assert not {row["request_id"] for row in interrupted} & told.ended.keys()


async def test_twenty_kills() -> None:
    await kill_again_and_again(20, 20)


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
async def test_two_hundred_kills() -> None:
    await kill_again_and_again(200, random.randrange(2**32))
