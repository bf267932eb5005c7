"""One daemon per socket: the private directory, the lock, the socket file. Runs before the event loop does.

Order: directory, lock, probe, removal of a stale socket, bind. Whoever holds the lock serves; the lock is held for life, so
a socket file found under it is stale unless somebody answers there.
"""

import fcntl
import os
import shlex
import socket
import stat
import sys
import time

from modeld.limits import DRAIN_S

EXIT_ALREADY_RUNNING = 3
EXIT_UNSAFE_PLACE = 4

MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107  # sun_path without its final NUL
CLAIM_WAIT_S = DRAIN_S + 1.0  # a daemon that is about to leave may take so long to let go of the lock
_PROBE_TIMEOUT_S = 1.0
_POLL_S = 0.02


class InstanceError(Exception):
    """The daemon can't serve this socket: `message` with the next step, and the process's `exit_code`."""

    def __init__(self, message: str, exit_code: int = EXIT_UNSAFE_PLACE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class Instance:
    """The right to serve `path`: `socket` is bound there, mode 0600, and not listening yet."""

    def __init__(self, path: str, sock: socket.socket, lock: int) -> None:
        self.path = path
        self.socket = sock
        self._lock = lock
        self._socket_id = _file_id(path)

    def release(self) -> None:
        """Remove the socket file if it is still ours, then the lock. May be called twice."""
        if self._lock < 0:
            return
        self.socket.close()
        if self._socket_id is not None and _file_id(self.path) == self._socket_id:
            os.unlink(self.path)
        _unlink_quietly(_lock_path(self.path))
        os.close(self._lock)
        self._lock = -1


def claim(path: str | os.PathLike[str], wait_s: float = CLAIM_WAIT_S) -> Instance:
    """Become the daemon of the socket at `path`. Blocks up to `wait_s` while another one starts or leaves.

    InstanceError with EXIT_ALREADY_RUNNING when one serves, with EXIT_UNSAFE_PLACE when the place is not private, or taken
    by something that is no socket; that is never removed.
    """
    name = os.path.abspath(path)
    if len(os.fsencode(name)) > MAX_SOCKET_PATH_BYTES:
        raise InstanceError(
            f"{name} is longer than a socket's path may be ({MAX_SOCKET_PATH_BYTES} bytes); give another --socket"
        )
    prepare_directory(os.path.dirname(name))
    _check_place(name)
    lock = _wait_for_lock(name, time.monotonic() + wait_s)
    try:
        _remove_stale_socket(name)
        return Instance(name, _bind(name), lock)
    except BaseException:
        os.close(lock)
        raise


def prepare_directory(path: str) -> None:
    """Create `path` with mode 0700 where it is missing; refuse one that is not this user's alone (InstanceError)."""
    quoted = shlex.quote(path)
    try:
        _make_private(path)
        info = os.lstat(path)
    except OSError as error:
        raise InstanceError(
            f"{path} can't be made ({error.strerror}); give another --socket, or set MODELD_RUNTIME_DIR"
        ) from None
    if stat.S_ISLNK(info.st_mode):
        raise InstanceError(f"{path} is a symbolic link, which others may have set; run: rm {quoted} && mkdir -m 700 {quoted}")
    if not stat.S_ISDIR(info.st_mode):
        raise InstanceError(f"{path} is no directory; move it away, or give another --socket")
    if info.st_uid != os.geteuid():
        raise InstanceError(f"{path} belongs to uid {info.st_uid}, not to you; give a --socket in a directory of yours")
    if info.st_mode & 0o077:
        mode = stat.S_IMODE(info.st_mode)
        raise InstanceError(f"{path} is open to other users (mode {mode:04o}); run: chmod 700 {quoted}, or give another --socket")


def is_served(path: str) -> bool:
    """Whether somebody accepts connections at `path`. PermissionError where that can't be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (TimeoutError, BlockingIOError):  # somebody listens, with a full backlog
            return True
    return True


def _make_private(path: str) -> None:
    missing: list[str] = []
    parent = path
    while not os.path.lexists(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for directory in reversed(missing):
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:  # another daemon was quicker; what it made is checked like any other
            pass


def _check_place(name: str) -> None:
    try:
        info = os.lstat(name)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(info.st_mode):
        raise InstanceError(f"{name} is no socket and is left alone; move it away, or give another --socket")
    if info.st_uid != os.geteuid():
        raise InstanceError(f"{name} belongs to uid {info.st_uid} and is left alone; give another --socket")


def _lock_path(name: str) -> str:
    return f"{name}.lock"


def _wait_for_lock(name: str, deadline_s: float) -> int:
    while (lock := _try_lock(_lock_path(name))) is None:
        if is_served(name):
            raise _already_running(name)
        if time.monotonic() > deadline_s:
            message = (
                f"another daemon holds {_lock_path(name)} and doesn't answer; end it (modeld stop, or kill it) and try again"
            )
            raise InstanceError(message, EXIT_ALREADY_RUNNING)
        time.sleep(_POLL_S)
    return lock


def _try_lock(path: str) -> int | None:
    """An open, locked descriptor; None while somebody else holds the lock."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InstanceError(f"{path} can't be opened ({error.strerror}); remove it, or give another --socket") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    # Its last holder may have removed the file between the two calls: a lock on a removed file excludes nobody.
    if _file_id(path) == _stat_id(os.fstat(lock)):
        return lock
    os.close(lock)
    return None


def _remove_stale_socket(name: str) -> None:
    _check_place(name)
    try:
        if is_served(name):
            raise _already_running(name)
    except OSError as error:
        raise InstanceError(f"{name} can't be probed ({error.strerror}); remove it, or give another --socket") from None
    _unlink_quietly(name)


def _bind(name: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # the file is born with mode 0600
    try:
        sock.bind(name)
    except OSError as error:
        sock.close()
        raise InstanceError(f"{name} can't be bound ({error.strerror}); give another --socket") from None
    finally:
        os.umask(mask)
    return sock


def _already_running(name: str) -> InstanceError:
    return InstanceError(
        f"a daemon serves {name} already; use it, end it with `modeld stop`, or give another --socket", EXIT_ALREADY_RUNNING
    )


def _stat_id(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        return _stat_id(os.lstat(path))
    except OSError:
        return None


def _unlink_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
