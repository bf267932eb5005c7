"""The demo's private daemon: its own directory, socket, config and state, and nothing of it left afterwards."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import modeld_client
import modeld_protocol
from modeld_client import AsyncClient
from modeld_client.errors import ModeldError

from .provider import KEY_VARIABLE, NOTES, NOTES_FILE, models_yaml

_START_S = 10.0
_STOP_S = 3.0
_POLL_S = 0.01
_IDLE_EXIT_S = 10  # should this process be killed, its daemon sees its clients go and leaves too
_LOG_TAIL_BYTES = 1_500


class DemoFailed(Exception):
    """The demo can't go on; the message says why and what to do."""


class PrivateDaemon:
    """A daemon of this process alone. Use with `async with`."""

    def __init__(self, anthropic_url: str, openai_url: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="modeld-demo-"))  # mode 0700
        self.socket = self.folder / "modeld.sock"
        self._log = self.folder / "daemon.log"
        self._config = self.folder / "models.yaml"
        self._config.write_text(models_yaml(anthropic_url, openai_url))
        (self.folder / NOTES_FILE).write_text(NOTES)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stop()

    async def _start(self) -> None:
        places = ["--socket", self.socket, "--config", self._config, "--state-dir", self.folder / "state"]
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "modeld", *map(str, places), "--idle-exit", str(_IDLE_EXIT_S)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd=self.folder,  # nothing there that Python could import by mistake
                start_new_session=True,  # Ctrl-C is for us; we end it
            )
        try:
            async with asyncio.timeout(_START_S):
                while not await self._answers():  # noqa: ASYNC110 - a socket that is not there yet tells nobody
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise DemoFailed(f"the daemon did not open its socket within {_START_S:g} s: {self._tail()}") from None

    async def _answers(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise DemoFailed(f"the daemon ended with code {self._process.returncode}: {self._tail()}")
        try:
            async with AsyncClient.connect(self.socket, start=False):
                return True
        except ModeldError:
            return False

    async def _stop(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await _ended(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tail(self) -> str:
        try:
            return self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip() or "its log is empty"
        except OSError:
            return "it has no log"


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """This process's, without any key and without settings meant for the user's own daemon."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY") and not name.startswith("MODELD_")}
    # `python -m modeld` finds the packages where this process found them, wherever that is.
    roots = [str(Path(module.__file__).parents[1]) for module in (modeld_protocol, modeld_client) if module.__file__]
    roots = [str(Path(__file__).parents[3]), *roots, *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys(roots)), KEY_VARIABLE: "no-secret-at-all"}


def cpu_s(pid: int) -> float | None:
    """The processor time that a process has used, None where the system doesn't tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return _cpu_from_ps(pid)


def _cpu_from_ps(pid: int) -> float | None:
    try:
        said = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, timeout=2, check=True)  # noqa: S603, S607
        parts = [float(part) for part in said.stdout.strip().replace("-", ":").split(":")]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))
