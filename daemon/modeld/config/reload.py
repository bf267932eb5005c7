"""The config in force while the daemon runs: one immutable snapshot, swapped when the file changes for the better."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from modeld_protocol.config import ConfigChanged, Problem, ReloadResult

from .describe import describe_change
from .layers import ConfigSurroundings, Effective, effective
from .locations import ConfigPlace
from .schema import Config
from .watching import Sight, Watcher, look

OnChange = Callable[[ConfigChanged, str], None]
"""Called in the event loop after every change: what clients are told, and what changed in words for the log."""

SETTLE_S = 0.1  # an editor that writes in place leaves the file empty or missing for a moment
POLL_FIRST_S = 0.1  # after a change and after the watcher starts, for what happened in between
POLL_IDLE_S = 2.0  # beside a working watcher, for what it can't see: network drives, replaced directories
POLL_ALONE_S = 0.5  # where nothing can be watched


class Snapshot(msgspec.Struct, frozen=True):
    """What is in force. `problems` are those of the last attempt: errors among them mean that `config` is older than the
    file. `version` counts the configs that were in force, from 1."""

    version: int
    config: Config
    problems: list[Problem]
    from_file: bool


class ConfigRefused(Exception):
    """There is no config to start with: the daemon says why, with the rendered `problems`, and exits with 1."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("the config has errors")
        self.problems = problems


class ConfigSource:
    """Holds the snapshot. Made with `open`; `watch` runs beside the daemon, `reload_now` serves `config/reload`.

    Reading and checking happen in a thread, the swap and `on_change` in the event loop.
    """

    def __init__(self, place: ConfigPlace, surroundings: ConfigSurroundings, first: Effective) -> None:
        if first.config is None:
            raise ConfigRefused(first.problems)
        self.place = place
        self.snapshot: Snapshot = Snapshot(1, first.config, first.problems, first.from_file)
        self.on_change: OnChange = lambda _changed, _words: None
        self.surroundings = surroundings
        self._lock = asyncio.Lock()
        self._seen: Sight | None = None
        self._settled = False

    @classmethod
    def open(cls, place: ConfigPlace, surroundings: ConfigSurroundings) -> "ConfigSource":
        """Read the config for the first time. Raises ConfigRefused where it has errors. Blocks on the disk."""
        return cls(place, surroundings, effective(place, surroundings))

    @property
    def file(self) -> Path | None:
        """The file in force, None for the built-in config."""
        return self.place.path if self.snapshot.from_file else None

    @property
    def version(self) -> int:
        """The snapshot's version."""
        return self.snapshot.version

    @property
    def config(self) -> Config:
        """The config in force."""
        return self.snapshot.config

    @property
    def problems(self) -> list[Problem]:
        """The problems of the last attempt to read the config."""
        return self.snapshot.problems

    @property
    def valid(self) -> bool:
        """Whether the last attempt to read the config succeeded."""
        return all(problem.severity != "error" for problem in self.snapshot.problems)

    async def reload_now(self) -> ReloadResult:
        """Read the file again now. `applied` is false where it has errors and the config in force stays."""
        async with self._lock:
            applied = self._take(await self._read())
            return ReloadResult(applied=applied, version=self.snapshot.version, problems=self.snapshot.problems)

    async def watch(self) -> None:
        """Follow the file until cancelled: writes, renames over it, links that move, deletion and return. The watcher only
        says when to look; what counts is what the file looks like, so that nothing is lost where it sees nothing."""
        nudge = asyncio.Event()
        watcher = Watcher(nudge)
        poll_s = POLL_FIRST_S
        try:
            while True:
                sight = await asyncio.to_thread(look, self.place.path)
                moved = await watcher.cover(sight.directories)
                changed = await self._follow(sight)
                slowest_s = POLL_IDLE_S if watcher.works else POLL_ALONE_S
                poll_s = POLL_FIRST_S if moved or changed else min(poll_s * 2, slowest_s)
                await _wait(nudge, poll_s)
        finally:
            await watcher.close()

    async def _follow(self, sight: Sight) -> bool:
        """Read the file if it may have changed; False where it stands as before. A change is read a second time at the next
        look, since a second write within one tick of the file system's clock leaves no trace in the sight."""
        changed = sight != self._seen
        if not changed and self._settled:
            return False
        self._seen, self._settled = sight, not changed
        async with self._lock:
            found = await self._read()
            if found.config is None and found.problems != self.snapshot.problems:
                await asyncio.sleep(SETTLE_S)
                found = await self._read()
            self._take(found)
        return changed

    async def _read(self) -> Effective:
        # Once there was a file, its absence is a mistake and not a wish for the built-in config.
        place = ConfigPlace(self.place.path, self.place.required or self.snapshot.from_file)
        return await asyncio.to_thread(effective, place, self.surroundings)

    def _take(self, found: Effective) -> bool:
        """Put what was found in force if it is valid, and tell where anything is new."""
        before = self.snapshot
        if found.config is None:
            self.snapshot = msgspec.structs.replace(before, problems=found.problems)
            words = f"the config in force stays, the file has errors: {_first_error(found.problems)}"
        elif found.config != before.config:
            self.snapshot = Snapshot(before.version + 1, found.config, found.problems, found.from_file)
            words = describe_change(before.config, found.config)
        else:
            self.snapshot = msgspec.structs.replace(before, problems=found.problems, from_file=found.from_file)
            words = "the config is as before, its problems are others"
        applied = found.config is not None
        if self.snapshot != before:
            self.on_change(ConfigChanged(applied, self.snapshot.version, found.problems), words)
        return applied


def _first_error(problems: list[Problem]) -> str:
    first = next(problem for problem in problems if problem.severity == "error")
    return f"{first.file}:{first.line}:{first.column}: {first.message}"


async def _wait(nudge: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await nudge.wait()
    except TimeoutError:
        pass
    nudge.clear()
