"""Who is at the other end of a socket: the uid of a local peer, the token of a TCP client."""

import hmac
import os
import secrets
import socket
import stat
import struct
import sys
from collections import deque
from collections.abc import Callable

from modeld.limits import TOKEN_FAILURES_PER_MINUTE, TOKEN_LOCK_S

_DARWIN_SOL_LOCAL = 0
_DARWIN_LOCAL_PEERCRED = 1
_DARWIN_XUCRED_BYTES = 76


def peer_uid(sock: socket.socket) -> int | None:
    """The uid of the process that connected, as the kernel knows it; None where it can't be told."""
    try:
        if sys.platform == "darwin":
            return struct.unpack_from("=II", sock.getsockopt(_DARWIN_SOL_LOCAL, _DARWIN_LOCAL_PEERCRED, _DARWIN_XUCRED_BYTES))[1]
        return struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    except (OSError, struct.error, AttributeError):
        return None


def is_own_user(sock: socket.socket) -> bool:
    """Whether the peer runs as this user; a peer that can't be told is refused."""
    return peer_uid(sock) == os.geteuid()


def load_token(directory: str) -> str:
    """The TCP token of this runtime directory: 256 bits in hex, in the file `token`, mode 0600.

    One that others could have read, or that is damaged, is replaced.
    """
    path = os.path.join(directory, "token")
    token = _read_token(path)
    if token is None:
        token = secrets.token_hex(32)
        _write_token(path, token)
    return token


def _read_token(path: str) -> str | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            return None
        text = os.read(file, 128).decode("ascii", "replace").strip()
    finally:
        os.close(file)
    return text if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text) else None


def _write_token(path: str, token: str) -> None:
    fresh = f"{path}.{os.getpid()}"
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, f"{token}\n".encode())
    finally:
        os.close(file)
    os.replace(fresh, path)


class TokenGate:
    """Judges tokens of TCP clients. After TOKEN_FAILURES_PER_MINUTE wrong ones nobody is let in for TOKEN_LOCK_S."""

    def __init__(self, token: str, monotonic: Callable[[], float]) -> None:
        self._token = token.encode()
        self._monotonic = monotonic
        self._failures_s: deque[float] = deque(maxlen=TOKEN_FAILURES_PER_MINUTE)
        self._locked_until_s = 0.0

    @property
    def locked(self) -> bool:
        """True while nobody is let in."""
        return self._monotonic() < self._locked_until_s

    def admit(self, token: str | None) -> bool:
        """Whether `token` is right. No token is no guess, and is not counted."""
        if self.locked or token is None:
            return False
        if hmac.compare_digest(token.encode("utf-8", "replace"), self._token):
            return True
        self._count_failure()
        return False

    def _count_failure(self) -> None:
        now = self._monotonic()
        self._failures_s.append(now)
        if len(self._failures_s) == TOKEN_FAILURES_PER_MINUTE and now - self._failures_s[0] < 60.0:
            self._locked_until_s = now + TOKEN_LOCK_S
            self._failures_s.clear()
