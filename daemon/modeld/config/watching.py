"""Noticing that a file changes, however it is written, linked, replaced or deleted."""

import asyncio
import os
import stat
from pathlib import Path
from typing import NamedTuple

STEP_MS = 80  # quiet for so long ends a burst of changes; the library wakes up as often
DEBOUNCE_MS = 160  # a burst that doesn't end is reported this often

Directory = tuple[str, int, int]
"""A path with the device and inode behind it, so that a directory that was replaced is another."""


class Sight(NamedTuple):
    """How a file looks from outside: modification time, size, inode and device of what its path leads to, None where there
    is nothing; and the directories to watch for it."""

    stamp: tuple[int, int, int, int] | None
    directories: frozenset[Directory]


def look(path: Path) -> Sight:
    """Look at a file. Blocks on the disk."""
    try:
        found = os.stat(path)
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
    except (OSError, ValueError):
        stamp = None
    parents = {os.path.dirname(path), os.path.dirname(os.path.realpath(path))}
    return Sight(stamp, frozenset(found for parent in parents if (found := _directory(parent))))


def _directory(path: str) -> Directory | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (path, found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


class Watcher:
    """Sets `nudge` after changes in the directories that it covers, where the system can tell of them."""

    def __init__(self, nudge: asyncio.Event) -> None:
        self._nudge = nudge
        self._directories: frozenset[Directory] = frozenset()
        self._task: asyncio.Task[None] | None = None

    @property
    def works(self) -> bool:
        """Whether it watches; false where there is no directory or the system refuses."""
        return self._task is not None and not self._task.done()

    async def cover(self, directories: frozenset[Directory]) -> bool:
        """Watch these directories from now on; True where they are others than before."""
        if directories == self._directories:
            return False
        await self.close()
        self._directories = directories
        if directories:
            paths = [path for path, _, _ in directories]
            self._task = asyncio.create_task(self._watch(paths))
        return True

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self, paths: list[str]) -> None:
        from watchfiles import awatch

        async for _ in awatch(*paths, watch_filter=None, recursive=False, step=STEP_MS, debounce=DEBOUNCE_MS):
            self._nudge.set()
