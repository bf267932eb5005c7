"""`modeld usage`: what calls cost, from the daemon's ledger."""

import argparse

from .terminal import say, write_json

_MESSAGE = "this version keeps no ledger; `modeld ask --json` shows the usage and cost of a call"


def run(options: argparse.Namespace) -> int:
    """The ledger is not kept yet; say where the numbers of one call are."""
    if options.json:
        write_json({"error": {"message": _MESSAGE}})
    say(f"modeld: {_MESSAGE}")
    return 1
