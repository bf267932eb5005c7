"""The processes of a run: simulator, daemon, one worker per contestant; each on free ports and private folders."""

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

import msgspec

from .scenarios import SCENARIOS, Contestant, Sample, Scenario

START_S = 30


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Simulator:
    """`modeld simulate` in a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "modeld", "simulate", "--port", str(self.port), "--quiet"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        _until(lambda: bool(urlopen(f"http://127.0.0.1:{self.port}/_sim/stats").read()), "the simulator")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(5)


BENCH = "bench"  # the adapter of the scenarios


def models_of_scenarios() -> tuple[str, ...]:
    """The simulator's models that scenarios and memory ask for."""
    return (*sorted({scenario.model for scenario in SCENARIOS}), "sim-text", "sim-fault-hang_mid_stream")


class Daemon:
    """`modeld` in a private folder. `adapters` are (type, base URL) by name; each has every one of `models`, the simulator's."""

    def __init__(self, adapters: Mapping[str, tuple[str, str]], models: Sequence[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="modeld-bench-"))
        self.socket = self.folder / "run" / "s"
        self.config = self.folder / "models.yaml"
        lines = ["adapters:"]
        lines += [
            f"  {name}: {{type: {kind}, base_url: '{url}', api_key_env: BENCH_KEY}}" for name, (kind, url) in adapters.items()
        ]
        lines += ["models:"]
        lines += [f"  '{name}:{model}': {{adapter: {name}}}" for name in adapters for model in models]
        self.config.write_text("\n".join(lines) + "\n")
        self.environment = dict(os.environ, BENCH_KEY="sk-bench", MODELD_RUNTIME_DIR=str(self.folder / "run"))
        self.process = self._start()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "modeld", "--socket", str(self.socket), "--config", str(self.config), *arguments]

    def _start(self) -> "subprocess.Popen[bytes]":
        log = (self.folder / "daemon.log").open("ab")
        process = subprocess.Popen(
            self.command("--state-dir", str(self.folder / "state")), env=self.environment, stdout=log, stderr=log
        )
        log.close()
        _until(self.accepts, "the daemon")
        return process

    def accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.socket))
        return True

    def restart_s(self) -> float:
        """Stop, start again: seconds from the start of the process to its first accepted connection."""
        self.process.terminate()
        self.process.wait(10)
        began = time.perf_counter()
        self.process = self._start()
        return time.perf_counter() - began

    @property
    def rss_kib(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


class Worker:
    """One contestant's process; `round` plays a scenario once."""

    def __init__(self, kind: Contestant, base_url: str, daemon: Daemon) -> None:
        pid = daemon.process.pid if kind == "modeld" else 0
        command = [sys.executable, "-m", "benchmarks.worker", kind, base_url, str(daemon.socket), str(pid)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 300)
        line = self.process.stdout.readline().strip() if ready else ""
        if not line:
            raise RuntimeError("a contestant's process ended or hung; its own output says why")
        return line

    def round(self, scenario: Scenario) -> Sample:
        assert self.process.stdin is not None
        self.process.stdin.write(scenario.name + "\n")
        self.process.stdin.flush()
        return msgspec.json.decode(self._line(), type=Sample)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def _until(ready, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except OSError:
            time.sleep(0.002)
    raise RuntimeError(f"{what} did not start within {START_S} s")
