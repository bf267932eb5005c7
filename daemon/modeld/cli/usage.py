"""`modeld usage`: what calls cost, from the daemon's ledger."""

import argparse
import sys


def run(options: argparse.Namespace) -> int:
    """The ledger is not kept yet; say where the numbers of one call are."""
    print("modeld: this version keeps no ledger; `modeld ask --json` shows the usage and cost of a call", file=sys.stderr)
    return 1
