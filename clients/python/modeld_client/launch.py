"""Finding the daemon, and starting one where there is none. Standard library only, and cheap to import."""

import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from .errors import DaemonUnavailable

START_TIMEOUT_S = 8.0
CONNECT_TIMEOUT_S = 5.0  # a full backlog drains in milliseconds; a daemon that accepts nothing for so long hangs
IDLE_EXIT_S = 600
EXIT_ANOTHER_DAEMON = 3  # the daemon's exit code when another one serves the socket already
MAX_LOG_BYTES = 1024 * 1024  # the log starts afresh beyond it, at the next start
LOG_TAIL_BYTES = 2_000

_POLL_S = (0.005, 0.05)  # first and longest pause between two looks
_PATH_OPTIONS = ("--config", "--state-dir")
_PATH_VARIABLES = ("MODELD_CONFIG", "MODELD_STATE_DIR", "MODELD_RUNTIME_DIR")
_LOCAL_PEERCRED = 1  # macOS <sys/un.h>; level 0 is SOL_LOCAL

_started: set[int] = set()  # daemons started by this process: reaped when they have ended


class NotListening(DaemonUnavailable):
    """Nobody serves the socket: the one failure that starting a daemon mends."""


def connect(path: str | os.PathLike[str]) -> socket.socket:
    """A blocking socket, connected to the daemon at `path`.

    The socket file and the process behind it must be the user's own; a check that fails refuses.
    Raises DaemonUnavailable with the next step, NotListening where a daemon may be started.
    """
    name = os.fspath(path)
    _check_socket_file(name)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(sock, name)
        _check_peer(sock, name)
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock


def connect_or_start(
    path: str | os.PathLike[str], arguments: Sequence[str] = (), timeout_s: float = START_TIMEOUT_S
) -> socket.socket:
    """Connect to the daemon at `path`; where there is none, start one that outlives this process, and connect to it.

    `arguments` go to the daemon's command line. The environment goes along, so that it finds the keys set there; its
    output goes to `<socket>.log`, mode 0600. Several callers at once share one daemon.
    Raises DaemonUnavailable with the end of that log where it fails, or when `timeout_s` have passed.
    """
    name = os.path.abspath(path)
    try:
        return connect(name)
    except NotListening:
        _make_private_dir(os.path.dirname(name))
    start = _Start(name, arguments)
    try:
        return start.wait(time.monotonic() + timeout_s)
    finally:
        start.release()


def connect_tcp(address: str, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
    """A blocking socket to `host:port`. Loopback only: the token must not leave the machine."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if host not in ("127.0.0.1", "localhost", "::1") or not port.isdigit():
        raise DaemonUnavailable(f"{address!r} is no loopback address: give tcp='127.0.0.1:PORT'")
    try:
        sock = socket.create_connection((host, int(port)), timeout_s)
    except OSError as error:
        reason = error.strerror or error
        raise DaemonUnavailable(f"no daemon on {address} ({reason}): start one with `modeld --tcp {address}`") from None
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


# ---- connecting


def _check_socket_file(name: str) -> None:
    try:
        info = os.lstat(name)
    except FileNotFoundError:
        raise NotListening(f"no daemon at {name}: start one with `modeld --socket {name}`") from None
    except OSError as error:
        raise DaemonUnavailable(
            f"{name} can't be checked ({error.strerror}): set MODELD_RUNTIME_DIR to a directory of yours"
        ) from None
    if not stat.S_ISSOCK(info.st_mode):
        raise DaemonUnavailable(f"{name} is not a socket: move it away, or give another path with --socket")
    if info.st_uid != os.geteuid():
        raise DaemonUnavailable(
            f"{name} belongs to uid {info.st_uid}, not to you: set MODELD_RUNTIME_DIR to a directory of yours"
        )


def _connect(sock: socket.socket, name: str) -> None:
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    sock.settimeout(CONNECT_TIMEOUT_S)
    while True:
        try:
            return sock.connect(name)
        except BlockingIOError:  # the backlog is full
            if time.monotonic() > deadline:
                raise DaemonUnavailable(f"the daemon at {name} accepts nobody: end it with `modeld stop`, or kill it") from None
            time.sleep(_POLL_S[0])
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotListening(f"no daemon listens at {name}: start one with `modeld --socket {name}`") from None
        except OSError as error:
            _refuse(name, error)


def _refuse(name: str, error: OSError) -> NoReturn:
    if error.errno is None:  # Python's own check of the length
        raise DaemonUnavailable(f"{name} is too long for a socket: set MODELD_RUNTIME_DIR to a shorter path") from None
    raise DaemonUnavailable(f"{name} can't be connected to ({error.strerror}): check it with `modeld doctor`") from None


def _check_peer(sock: socket.socket, name: str) -> None:
    """Who listens, asked of the kernel: the file may have been swapped since it was looked at."""
    try:
        if sys.platform == "darwin":
            uid = struct.unpack_from("=II", sock.getsockopt(0, _LOCAL_PEERCRED, 76))[1]
        elif sys.platform == "linux":
            uid = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        else:  # the owner of the file was checked
            return
    except (OSError, struct.error):
        raise DaemonUnavailable(
            f"the owner of the daemon at {name} can't be told: set MODELD_RUNTIME_DIR to another directory"
        ) from None
    if uid != os.geteuid():
        raise DaemonUnavailable(
            f"the daemon at {name} runs as uid {uid}, not as you: set MODELD_RUNTIME_DIR to a directory of yours"
        )


# ---- starting


class _Start:
    """One caller's attempt. Who holds the lock on the log file starts the daemon; the others wait for its socket."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.command = [*_program(), "--socket", name, "--idle-exit", str(IDLE_EXIT_S), *_absolute(arguments)]
        self.log_name = os.path.splitext(name)[0] + ".log"
        self.lock = _open_log(self.log_name)
        self.holds_lock = False
        self.log_start = 0
        self.exit_code: Callable[[], int | None] | None = None
        self.earliest_s = 0.0

    def release(self) -> None:
        os.close(self.lock)

    def wait(self, deadline: float) -> socket.socket:
        pause = _POLL_S[0]
        while True:
            starting = self.exit_code is None and self._may_start()
            try:  # after the lock was taken: its last holder may have been served meanwhile
                return connect(self.name)
            except NotListening:
                if time.monotonic() > deadline:
                    raise DaemonUnavailable(self._message("the daemon did not open its socket in time")) from None
            if starting:
                self._spawn()
            self._check_child()
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_S[1])

    def _may_start(self) -> bool:
        if time.monotonic() < self.earliest_s:
            return False
        if not self.holds_lock:
            import fcntl

            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            self.holds_lock = True
        return True

    def _spawn(self) -> None:
        _reap()
        if os.fstat(self.lock).st_size > MAX_LOG_BYTES:
            os.ftruncate(self.lock, 0)
        self.log_start = os.fstat(self.lock).st_size
        log = _open_log(self.log_name)  # opened again: a lock would go along to the child with the descriptor
        try:
            self.exit_code = _spawn_detached(self.command, log)
        except OSError as error:
            raise DaemonUnavailable(f"{self.command[0]} can't be run ({error.strerror}): reinstall modeld") from None
        finally:
            os.close(log)

    def _check_child(self) -> None:
        code = self.exit_code() if self.exit_code else None
        if code is None:
            return
        self.exit_code = None
        if code != EXIT_ANOTHER_DAEMON:
            raise DaemonUnavailable(self._message(f"the daemon ended with code {code} while starting"))
        # Another daemon serves, or is about to leave: look for its socket, and try again should it have left.
        self.earliest_s = time.monotonic() + 0.25

    def _message(self, what: str) -> str:
        tail = _tail(self.log_name, self.log_start)
        log = f"its log ({self.log_name}) ends:\n{tail}" if tail else f"its log ({self.log_name}) is empty"
        return f"{what}; run `modeld doctor`, or `modeld --socket {self.name}` to see why; {log}"


def _program() -> list[str]:
    import importlib.util

    spec = importlib.util.find_spec("modeld")
    if sys.executable and spec is not None and spec.origin is not None:
        # -P: a file modeld.py in whatever directory the user happens to be in is not ours to run.
        return [sys.executable, "-P", "-m", "modeld"]
    import shutil

    if program := shutil.which("modeld"):
        return [os.path.abspath(program)]
    raise DaemonUnavailable("no daemon runs and modeld is not installed: install it with `pip install modeld`")


def _absolute(arguments: Sequence[str]) -> list[str]:
    """The daemon runs in the root directory, so that it holds no other; the paths it is given are made to fit."""
    result = list(arguments)
    for index, argument in enumerate(result):
        option, equals, value = argument.partition("=")
        if option not in _PATH_OPTIONS:
            continue
        if equals:
            result[index] = f"{option}={os.path.abspath(value)}"
        elif index + 1 < len(result):
            result[index + 1] = os.path.abspath(result[index + 1])
    return result


def _spawn_detached(command: list[str], log: int) -> Callable[[], int | None]:
    """Start `command` in a session of its own; gives a function that tells its exit code once it has ended."""
    import subprocess

    env = {**os.environ, **{name: os.path.abspath(os.environ[name]) for name in _PATH_VARIABLES if os.environ.get(name)}}
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=env, start_new_session=True
    )
    pid = process.pid
    process.returncode = 0  # it is meant to outlive us: no warning about that, and no waiting by Popen
    _started.add(pid)

    def exit_code() -> int | None:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # reaped by somebody else in this process: the socket will tell
            return None
        if not ended:
            return None
        _started.discard(pid)
        return os.waitstatus_to_exitcode(status)

    return exit_code


def _reap() -> None:
    for pid in tuple(_started):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0]
        except ChildProcessError:
            ended = pid
        if ended:
            _started.discard(pid)


def _open_log(name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o600)
    except OSError as error:
        raise DaemonUnavailable(f"{name} can't be written ({error.strerror}): remove it, or set MODELD_RUNTIME_DIR") from None


def _tail(name: str, start: int) -> str:
    """The end of the log, from the start of this attempt on."""
    try:
        with open(name, "rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(min(start, end), end - LOG_TAIL_BYTES))
            return log.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _make_private_dir(path: str) -> None:
    """Create `path` and what is missing above it with mode 0700; refuse one that others may enter."""
    missing: list[str] = []
    parent = path
    while not os.path.lexists(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    try:
        for directory in reversed(missing):
            try:
                os.mkdir(directory, 0o700)
            except FileExistsError:  # another starter was quicker
                pass
        info = os.lstat(path)
    except OSError as error:
        raise DaemonUnavailable(
            f"{path} can't be made ({error.strerror}): set MODELD_RUNTIME_DIR to a directory of yours"
        ) from None
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise DaemonUnavailable(f"{path} is not a directory of yours: set MODELD_RUNTIME_DIR to one that is")
    if info.st_mode & 0o077:
        raise DaemonUnavailable(f"{path} is open to other users: run `chmod 700 {path}`, or use another directory")
