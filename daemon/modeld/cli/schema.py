"""`modeld schema`: the protocol as JSON Schemas and OpenRPC."""

import argparse
from pathlib import Path

from modeld_protocol.schema import drift, write

from .terminal import say


def run(options: argparse.Namespace) -> int:
    """Write the files, or with --check say which differ."""
    folder = Path(options.folder)
    try:
        if options.check:
            return _check(folder)
        changed = write(folder)
    except OSError as error:
        say(f"modeld: {folder} can't be written ({error.strerror}): name another folder")
        return 1
    print(f"{len(changed)} files written below {folder}" if changed else f"{folder} is up to date")
    return 0


def _check(folder: Path) -> int:
    stale = drift(folder)
    for path in stale:
        say(f"{folder / path} differs from the protocol; run `modeld schema {folder}`")
    if not stale:
        print(f"{folder} is up to date")
    return 1 if stale else 0
