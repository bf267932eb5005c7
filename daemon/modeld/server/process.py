"""What the daemon sets for its own process: no core dumps, no reading of its memory, private files, enough descriptors."""

import os
import resource
import sys

from modeld.limits import MIN_OPEN_FILES

_PR_SET_DUMPABLE = 4


def harden_process() -> None:
    """Called once at start, before threads: the process holds keys. What a platform lacks is left out."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _forbid_attaching()


def raise_open_files() -> int:
    """Raise the soft limit of open files to MIN_OPEN_FILES, or as far as the hard limit lets; returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= MIN_OPEN_FILES:
        return MIN_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    wanted = MIN_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MIN_OPEN_FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # macOS caps it below the hard limit it tells
        return soft
    return wanted


def _forbid_attaching() -> None:
    """Other processes of the user may no longer read this one's memory (ptrace, /proc/<pid>/mem, core dumps)."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
