"""Names: of cases, and those of this user and machine that must not be in one."""

import getpass
import re
import socket
from pathlib import Path

from .recorder import Exchanged

_MAX_CASE_CHARS = 60


def case_of(exchanged: Exchanged) -> str:
    """A name for a cassette that nobody named: the model, the manner, the status where it is an error."""
    known = exchanged.known
    words = known.wire_name if known else exchanged.path.partition("?")[0].rpartition("/")[2] or "request"
    if known and known.stream:
        words += "-stream"
    if exchanged.status >= 400:
        words += f"-error-{exchanged.status}"
    return slug(words)


def slug(words: str) -> str:
    """`words` as a directory may be called: `GPT-5.1/Mini` is `gpt-5-1-mini`."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:_MAX_CASE_CHARS] or "case"


def free_case(folder: Path, case: str) -> str:
    """`case`, or with the first number that is free; nothing that was recorded before is written over."""
    wanted, number = slug(case), 1
    while (folder / (wanted if number == 1 else f"{wanted}-{number}")).exists():
        number += 1
    return wanted if number == 1 else f"{wanted}-{number}"


def private_names() -> list[str]:
    """The user's login, home directory and the machine's names."""
    host = socket.gethostname()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        user = ""
    return [user, Path.home().name, host, host.partition(".")[0]]
