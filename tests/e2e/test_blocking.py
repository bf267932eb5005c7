"""Nothing in the daemon blocks its event loop: calls, streams, cancels and a reload under blockbuster, and its lag meanwhile."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from tests.harness.daemon import models_yaml
from tests.harness.peer import Peer

from modeld import app
from modeld.cli.surroundings import surroundings
from modeld.config.locations import config_place
from modeld.config.reload import ConfigSource
from modeld.credentials.redact import Redactor
from modeld.server.instance import claim
from modeld.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.alone]
MAX_LAG_S = 0.1


class LagMonitor:
    """Sleeps for a tick over and over; what it oversleeps is the loop's lag."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def run(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            self.worst_s = max(self.worst_s, time.monotonic() - before - 0.005)


async def test_nothing_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELD_TEST_KEY", "sk-blocking-0123456789")
    models = ["sim-text", "sim-slow-60", "sim-fault-rate_limit-1-0", "sim-tool"]
    async with Simulator() as simulator:
        config = tmp_path / "models.yaml"
        config.write_text(models_yaml(simulator.base_url, simulator.openai_base_url, models))
        source = ConfigSource.open(config_place(str(config), os.environ), surroundings())
        instance = claim(tmp_path / "run" / "s")
        daemon = app.Daemon(app.Options(tmp_path / "run" / "s", state_dir=tmp_path / "state"), source, os.environ, Redactor())
        daemon.listener.start_unix(instance.socket)
        serving = asyncio.create_task(daemon.serve())
        monitor = LagMonitor()
        watching = asyncio.create_task(monitor.run())
        try:
            with blockbuster_ctx(scanned_modules=["modeld"]) as buster:
                for function in ("io.BufferedReader.read", "os.stat"):  # /proc is memory, and so is what the cache has of it
                    buster.functions[function].can_block_in("modeld/app.py", "_rss_bytes")
                buster.functions["os.stat"].can_block_in("modeld/ledger/store.py", "_size_bytes")
                for function in ("Connection.execute", "Cursor.fetchall"):  # a commit or a read by key: no waiting for the disk
                    buster.functions[f"sqlite3.{function}"].can_block_in("modeld/ledger/store.py", {"_run", "read_now"})
                for function in ("os.write", "os.read", "os.scandir"):  # the journal: small files that the cache has
                    buster.functions[function].can_block_in("modeld/ledger/journal.py", {"append", "open", "others", "_read_all"})
                await _traffic(tmp_path / "run" / "s", config)
        finally:
            watching.cancel()
            daemon.stop(force=True)
            await serving
            instance.release()
        print(f"worst lag of the loop: {monitor.worst_s * 1000:.1f} ms")
        assert monitor.worst_s < MAX_LAG_S


async def _traffic(socket: Path, config: Path) -> None:
    async with await Peer.connect(socket, validate=False) as peer:
        await peer.initialize()
        for wire in ("anthropic", "openai"):
            for model in ("sim-text", "sim-fault-rate_limit-1-0", "sim-tool"):
                params: dict[str, Any] = {"model": f"{wire}:{model}", "messages": "Hello", "tools": [{"name": "t"}]}
                (await peer.call("model/stream", params)).ok()
                (await peer.call("model/complete", params)).ok()
            number = peer.request("model/stream", {"model": f"{wire}:sim-slow-60", "messages": "x", "request_id": wire})
            await peer.until(lambda wire=wire: peer.events(wire))
            peer.cancel(number)
            assert (await peer.reply(number)).error["code"] == -32800
        for method in ("model/list", "provider/list", "config/get", "config/check", "config/reload", "daemon/status"):
            (await peer.call(method, {})).ok()
        assert len((await peer.call("usage/query", {})).ok()["rows"]) == 14
        (await peer.call("usage/aggregate", {})).ok()
        changed = json.loads(config.read_text())
        changed["models"]["openai:sim-more"] = {"adapter": "openai"}
        await asyncio.to_thread(config.write_text, json.dumps(changed))
        await peer.until(lambda: peer.notifications("config/changed"))
