"""A models.yaml from disk: read within bounds, checked, and its problems as lines for people."""

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from modeld_protocol.config import Problem

from ..limits import MAX_CONFIG_BYTES
from .adapter_checks import KeyEnv, no_key_env
from .check import Offered, Verify, check, problem_of_file
from .schema import Config


def load(
    path: Path,
    known_types: Collection[str],
    env: Mapping[str, str],
    *,
    default_key_env: KeyEnv = no_key_env,
    offered: Offered | None = None,
    verify: Verify | None = None,
) -> tuple[Config | None, list[Problem]]:
    """Read and check one file, see `check`; never raises for anything that may stand at `path`. Blocks on the disk."""
    read = read_bytes(path)
    if isinstance(read, Problem):
        return None, [read]
    data, mode = read
    config, problems = check(data, str(path), known_types, env, default_key_env=default_key_env, offered=offered, verify=verify)
    if mode & 0o077 and any(problem.code == "plaintext_key" for problem in problems):
        problems.append(_readable_by_others(path))
    return config, problems


def read_bytes(path: Path) -> tuple[bytes, int] | Problem:
    """The content, at most one byte more than is accepted, and the mode; or why there is none."""
    file = str(path)
    try:
        # Without O_NONBLOCK the open of a pipe that nobody writes to never returns.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read_open(descriptor, file)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        message = "there is no such file; create it, or name another with --config or MODELD_CONFIG"
        return problem_of_file(file, "missing_file", message)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "bad path"
        return problem_of_file(file, "unreadable", f"the file can't be read ({reason}); check its path and permissions")


def _read_open(descriptor: int, file: str) -> tuple[bytes, int] | Problem:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        return problem_of_file(file, "is_directory", "this is a directory; name the file in it, like models.yaml")
    if not stat.S_ISREG(mode):
        return problem_of_file(file, "not_a_file", "this is no regular file; copy its content into one")
    with open(descriptor, "rb", closefd=False) as source:
        return source.read(MAX_CONFIG_BYTES + 1), mode


def render(problems: Iterable[Problem]) -> list[str]:
    """One line for each problem: `file:line:column: severity: message`."""
    return [f"{p.file}:{p.line}:{p.column}: {p.severity}: {' '.join(p.message.split())}" for p in problems]


def _readable_by_others(path: Path) -> Problem:
    message = f"the file holds a key and other users may read it; run: chmod 600 '{path}'"
    return problem_of_file(str(path), "open_to_others", message, "warning")
