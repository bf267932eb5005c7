"""A real daemon process in a private folder, for tests."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.harness.peer import Peer

KEY = "sk-test-canary-7f3a9c1e5b2d8f60"


def models_yaml(anthropic_url: str, openai_url: str, models: list[str], **adapter: Any) -> str:
    """A config whose adapters are the simulator's two wires; every model exists on both, as `anthropic:…` and `openai:…`."""
    fields = {"api_key_env": "MODELD_TEST_KEY", "max_retries": 2, **adapter}
    config = {
        "adapters": {
            "anthropic": {"type": "anthropic", "base_url": anthropic_url, **fields},
            "openai": {"type": "openai", "base_url": openai_url, **fields},
        },
        "models": {
            f"{name}:{model}": {"adapter": name, "wire_name": model} for name in ("anthropic", "openai") for model in models
        },
    }
    return json.dumps(config, indent=1)  # YAML holds JSON


class DaemonProcess:
    """`python -m modeld` as a user would run it. `folder` holds its config, runtime and state directories."""

    def __init__(self, config: str, *arguments: str, env: dict[str, str] | None = None, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="modeld-t-"))
        self.runtime_dir = self.folder / "run"
        self.runtime_dir.mkdir(mode=0o700, exist_ok=True)
        self.socket = self.runtime_dir / "modeld-1.sock"
        self.config = self.folder / "models.yaml"
        self.config.write_text(config)
        self.state_dir = self.folder / "state"
        self.arguments = arguments
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
            "MODELD_RUNTIME_DIR": str(self.runtime_dir),
            "MODELD_CONFIG": str(self.config),
            "MODELD_STATE_DIR": str(self.state_dir),
            "MODELD_TEST_KEY": KEY,
            "HOME": str(self.folder),
            **(env or {}),
        }
        self.process: asyncio.subprocess.Process | None = None
        self.log = self.folder / "daemon.log"
        self.peers: list[Peer] = []

    def command(self, *arguments: str) -> list[str]:
        """A modeld command line."""
        return [sys.executable, "-m", "modeld", *arguments]

    async def start(self, timeout_s: float = 15) -> "DaemonProcess":
        """Start it and wait until it accepts; fails with its log where it ends instead."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command(*self.arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process.returncode is None, f"exit code {self.process.returncode}: {self.output()}"
            try:
                _, writer = await asyncio.open_unix_connection(str(self.socket))
            except OSError:
                await asyncio.sleep(0.005)
                continue
            writer.close()
            return self
        raise AssertionError(f"not accepting after {timeout_s} s: {self.output()}")

    async def __aenter__(self) -> "DaemonProcess":
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        for peer in self.peers:
            await peer.close()
        await self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def peer(self, *, initialize: bool = True, validate: bool = True, **options: Any) -> Peer:
        """A connected client; closed with the daemon."""
        peer = await Peer.connect(self.socket, validate=validate)
        self.peers.append(peer)
        if initialize:
            await peer.initialize(**options)
        return peer

    def output(self) -> str:
        """Everything that it printed."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def wait(self, timeout_s: float = 15) -> int:
        """Wait for its end; returns the exit code."""
        assert self.process is not None
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    async def stop(self) -> None:
        """End it, by force if need be."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await self.wait(10)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def rss_bytes(self) -> int:
        """Its resident memory (Linux)."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        """How many file descriptors it has open (Linux)."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def run(self, *arguments: str, stdin: bytes = b"", timeout_s: float = 30) -> tuple[int, str, str]:
        """Run a modeld command against it: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.env,
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate(stdin)
        except BaseException:  # a command that doesn't end must not outlive its test
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        return process.returncode or 0, out.decode(), err.decode()
