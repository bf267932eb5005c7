"""Requests to providers and their answers as files, one for each attempt: only where somebody asked, never with a key."""

import os
import re
import stat
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ..clock import Clock
from ..credentials.redact import MARK, Redactor, bounded
from .debug import Debug
from .log import logger
from .reasoning import without_reasoning

MAX_FILES: Final = 1_000  # the oldest go first
MAX_TOTAL_BYTES: Final = 256 * 1024 * 1024
MAX_CAPTURED_BYTES: Final = 4 * 1024 * 1024  # of an answer, while it runs
MAX_WAITING: Final = 64  # files that wait to be written; more are left out and counted
_MARGIN_CHARS: Final = 8_192  # before the end of what was captured, where a key may be cut in two
_PLAIN_HEADERS: Final = re.compile(r"content-type|accept|user-agent|[a-z-]*-(?:version|beta)")
_SECRET_HEADERS: Final = re.compile(r".*(?:cookie|auth|api-?key|secret|password).*")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")
_OURS: Final = re.compile(r"\d{15}-\d{6}-[A-Za-z0-9_-]*\.json")

_log = logger("artefacts")


class Owner(msgspec.Struct):
    """Whose exchange it is. `attempts` counts what was sent for the call so far."""

    request_id: str
    provider: str
    model: str
    client: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    attempts: int = 0


owner: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""Set while a call runs; None for requests outside of calls (token counts, lists of models)."""


class ArtefactError(PermissionError):
    """The directory can't be used. The message says what to do."""


class Request(NamedTuple):
    """What goes out, without its credential."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes


class Artefacts:
    """The files of one directory. Raises ArtefactError where that isn't this user's alone."""

    def __init__(self, directory: Path, debug: Debug, redactor: Redactor, clock: Clock) -> None:
        _prepare(directory)
        self.directory = directory
        self.clock = clock
        self.dropped = 0
        self._debug = debug
        self._redactor = redactor
        self._number = 0
        self._waiting = threading.Semaphore(MAX_WAITING)
        self._writer = ThreadPoolExecutor(1, "artefacts")
        kept = sorted(path for path in directory.iterdir() if _OURS.fullmatch(path.name))
        self._kept = deque((path, path.lstat().st_size) for path in kept)
        self._total_bytes = sum(size for _, size in self._kept)

    def begin(self, request: Request) -> "Capture":
        """A request is about to leave."""
        return Capture(self, request, owner.get())

    def close(self) -> None:
        """Write what waits."""
        self._writer.shutdown(wait=True)

    def submit(self, name: str, entry: Callable[[], dict[str, Any]]) -> None:
        """Write one file in the writer's thread; `entry` is called there. Never waits."""
        if not self._waiting.acquire(blocking=False):
            self.dropped += 1
            return
        self._number += 1
        stamp = f"{int(self.clock.wall() * 1000):015d}-{self._number % 1_000_000:06d}"
        said = _NOT_IN_NAMES.sub("_", self._redactor.scrub(name))[:80]
        self._writer.submit(self._write, self.directory / f"{stamp}-{said}.json", entry)

    # ---- in the writer's thread

    def _write(self, path: Path, entry: Callable[[], dict[str, Any]]) -> None:
        try:
            text = self._redactor.scrub(msgspec.json.format(msgspec.json.encode(entry()), indent=1).decode())
            data = text.encode("utf-8", "replace")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            self._keep(path, len(data))
        except Exception as error:
            _log.error("an artefact was not written; is the disk full?", exception=error)
        finally:
            self._waiting.release()

    def _keep(self, path: Path, size: int) -> None:
        self._kept.append((path, size))
        self._total_bytes += size
        while len(self._kept) > MAX_FILES or self._total_bytes > MAX_TOTAL_BYTES:
            oldest, freed = self._kept.popleft()
            self._total_bytes -= freed
            oldest.unlink(missing_ok=True)

    def shown_request(self, request: Request) -> dict[str, Any]:
        """A request as it may be written."""
        shown: dict[str, Any] = {"method": request.method, "url": self._redactor.scrub(request.url)}
        shown["headers"] = {
            name.lower(): self._redactor.scrub(value) if _PLAIN_HEADERS.fullmatch(name.lower()) else MARK
            for name, value in request.headers
        }
        return shown | (self._body(request.body, len(request.body)) if self._debug.raw_requests else {})

    def shown_response(self, status: int, headers: Mapping[str, str], body: bytes, size: int) -> dict[str, Any]:
        """An answer as it may be written."""
        shown: dict[str, Any] = {"status": status}
        shown["headers"] = {
            name: MARK if _SECRET_HEADERS.fullmatch(name) else self._redactor.scrub(value) for name, value in headers.items()
        }
        return shown | (self._body(body, size) if self._debug.raw_responses else {})

    def _body(self, body: bytes, size: int) -> dict[str, Any]:
        """A body without keys, without reasoning unless that was asked for, and not too long."""
        text = self._redactor.scrub(body.decode("utf-8", "replace"))
        if size > len(body):
            text = text[:-_MARGIN_CHARS]
        if not self._debug.thinking:
            text = without_reasoning(text)
        return {"body": bounded(text, self._debug.max_content_length), "body_bytes": size}


class Capture:
    """One request and its answer as they pass; written when the answer has ended."""

    def __init__(self, artefacts: Artefacts, request: Request, whose: Owner | None) -> None:
        self._artefacts = artefacts
        self._request = request
        self._whose = whose
        self._retry_count = 0
        if whose is not None:
            self._retry_count = whose.attempts
            whose.attempts += 1
        self._started = artefacts.clock.monotonic()
        self._time = artefacts.clock.wall()
        self._head: tuple[int, Mapping[str, str]] | None = None
        self._pieces: list[bytes] = []
        self._captured = self._size = 0
        self._ended = False

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """The answer begins."""
        self._head = status, headers

    def data(self, data: bytes) -> None:
        """A piece of the answer's body."""
        room = MAX_CAPTURED_BYTES - self._captured
        if room > 0:
            self._pieces.append(data[:room])
            self._captured += len(self._pieces[-1])
        self._size += len(data)

    def end(self, problem: str | None = None) -> None:
        """It is over, whole or not; once. `problem` says what broke."""
        if self._ended:
            return
        self._ended = True
        duration_ms = round((self._artefacts.clock.monotonic() - self._started) * 1000, 1)
        name = self._whose.request_id if self._whose is not None else "other"
        self._artefacts.submit(f"{name}-{self._retry_count}", lambda: self._entry(duration_ms, problem))

    def _entry(self, duration_ms: float, problem: str | None) -> dict[str, Any]:
        artefacts, whose = self._artefacts, self._whose
        entry: dict[str, Any] = {"time": self._time, "duration_ms": duration_ms, "retry_count": self._retry_count}
        if whose is not None:
            named = {
                name: getattr(whose, name) for name in ("request_id", "provider", "model", "client", "session_id", "turn_id")
            }
            entry |= {name: value for name, value in named.items() if value is not None}
        entry["request"] = artefacts.shown_request(self._request)
        if self._head is not None:
            entry["response"] = artefacts.shown_response(*self._head, b"".join(self._pieces), self._size)
        return entry | ({"problem": problem} if problem else {})


def _prepare(directory: Path) -> None:
    """Make the directory with mode 0700; refuse one that others may look into."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = directory.lstat()
    except OSError as error:
        raise ArtefactError(f"{directory} can't be made ({error.strerror}); give another directory for artefacts") from None
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise ArtefactError(f"{directory} is no directory of yours; give another one for artefacts")
    if info.st_mode & 0o077:
        raise ArtefactError(
            f"{directory} is open to other users; run: chmod 700 '{directory}', or give another one for artefacts"
        )
