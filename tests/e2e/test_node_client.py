"""A Node client made with vscode-languageserver-protocol talks to the socket and to `--stdio`."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
FOLDER = Path(__file__).parents[1] / "node"
MODELS = ["sim-text", "sim-fault-hang_mid_stream"]


@pytest.fixture(scope="module", autouse=True)
def node() -> None:
    missing = shutil.which("node") is None or not (FOLDER / "node_modules").exists()
    if missing and os.environ.get("MODELD_TEST_REQUIRE_NODE"):
        pytest.fail("Node.js and its packages are required here: install Node.js and run `make test`")
    if missing:
        pytest.skip("needs Node.js with `npm ci` done in tests/node; `make test` does that where npm is")


@pytest.mark.parametrize("transport", ["socket", "stdio"])
async def test_node_client(transport: str) -> None:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)
        async with DaemonProcess(config) as daemon:
            target = [str(daemon.socket)] if transport == "socket" else daemon.command("--stdio")
            process = await asyncio.create_subprocess_exec(
                "node",
                str(FOLDER / "client.mjs"),
                transport,
                *target,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=daemon.env,
            )
            async with asyncio.timeout(30):
                out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            seen = json.loads(out)
            assert seen["cancelled"] == -32800
            assert seen["unknown"] == -32601
            assert seen["exit"] == (0 if transport == "stdio" else None)
            assert seen["events"] >= 3
            peer = await daemon.peer()
            assert (await peer.call("daemon/status")).ok()["running_calls"] == 0
