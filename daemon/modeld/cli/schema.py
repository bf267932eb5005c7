"""`modeld schema`: the protocol as JSON Schemas and OpenRPC."""

import argparse
import sys
from pathlib import Path

from modeld_protocol.schema import drift, write


def run(options: argparse.Namespace) -> int:
    """Write the files, or with --check say which differ."""
    folder = Path(options.folder)
    if options.check:
        stale = drift(folder)
        for path in stale:
            print(f"{folder / path} differs from the protocol; run `modeld schema {folder}`", file=sys.stderr)
        return 1 if stale else 0
    changed = write(folder)
    print(f"{len(changed)} files written below {folder}" if changed else f"{folder} is up to date")
    return 0
