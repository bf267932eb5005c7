"""Where the daemon and its clients meet: the runtime directory, the socket and the token. Nothing is created here."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from . import PROTOCOL_VERSION

RUNTIME_DIR_VARIABLE = "MODELD_RUNTIME_DIR"
SOCKET_NAME = f"modeld-{PROTOCOL_VERSION}.sock"
TOKEN_NAME = "token"  # noqa: S105 - a file's name

_TEMP_VARIABLES = ("TMPDIR", "TEMP", "TMP")
_TEMP_DIRS = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - the platform's own, below which a private directory is made


def socket_path(explicit: str | os.PathLike[str] | None = None, env: Mapping[str, str] = os.environ) -> Path:
    """The socket: `explicit` made absolute, else `modeld-<protocol major>.sock` in the runtime directory."""
    return Path(os.path.abspath(explicit)) if explicit else runtime_dir(env) / SOCKET_NAME


def token_path(env: Mapping[str, str] = os.environ) -> Path:
    """The file that holds the TCP token."""
    return runtime_dir(env) / TOKEN_NAME


def runtime_dir(env: Mapping[str, str] = os.environ) -> Path:
    """`MODELD_RUNTIME_DIR`, else what `platformdirs.user_runtime_dir("modeld")` gives, without importing it.

    Raises PermissionError where the last resort, a directory of a known name in the temporary directory, belongs to
    someone else.
    """
    if chosen := env.get(RUNTIME_DIR_VARIABLE):
        return Path(os.path.abspath(chosen))
    base = _mac_base(env) if sys.platform == "darwin" else _unix_base(env)
    return Path(base) / "modeld"


def _mac_base(env: Mapping[str, str]) -> str:
    path = env.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(path) and _is_private(path, missing_ok=True):
        return path
    home = env.get("HOME", "")
    return os.path.join(home if os.path.isabs(home) else os.path.expanduser("~"), "Library/Caches/TemporaryItems")


def _unix_base(env: Mapping[str, str]) -> str:
    path = env.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(path) and _is_private(path, missing_ok=True) and not _is_below_shared(path):
        return path
    system = f"/run/user/{os.geteuid()}"
    if _is_private(system, missing_ok=False):
        return system
    temporary = os.path.join(_temp_dir(env), f"runtime-{os.geteuid()}")
    if not _is_private(temporary, missing_ok=True, any_mode=True):
        raise PermissionError(f"{temporary} is not a directory of yours; set {RUNTIME_DIR_VARIABLE} to a private directory")
    return temporary


def _is_private(path: str, *, missing_ok: bool, any_mode: bool = False) -> bool:
    """The rule of the XDG specification: a directory, no link, owned by the user, mode 0700."""
    try:
        info = os.lstat(Path(path))  # Path drops a trailing slash, which would follow a link
    except FileNotFoundError:
        return missing_ok
    except OSError:
        return False
    ours = stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid()
    return ours and (any_mode or info.st_mode & 0o777 == 0o700)


def _is_below_shared(path: str) -> bool:
    """True where another user could replace a parent of `path`: then a missing directory is no safe one to make."""
    in_shared = False
    for parent in reversed(Path(path).parents):
        try:
            if in_shared and os.lstat(parent).st_uid not in (0, os.geteuid()):
                return True
            mode = os.stat(parent).st_mode
        except OSError:
            return False
        in_shared = bool(mode & stat.S_IWOTH)
        if in_shared and not mode & stat.S_ISVTX:
            return True
    return False


def _temp_dir(env: Mapping[str, str]) -> str:
    """The first usable directory, in the order of the `tempfile` module, which is slow to import."""
    candidates = [os.path.abspath(value) for name in _TEMP_VARIABLES if (value := env.get(name))]
    for path in (*candidates, *_TEMP_DIRS):
        if os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK):
            return path
    return os.getcwd()
