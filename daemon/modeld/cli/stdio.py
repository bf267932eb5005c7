"""`modeld --stdio`: this process's stdin and stdout, joined to the shared daemon."""

import argparse
import sys

from .options import add_common, daemon_arguments, socket_of


def run(arguments: list[str]) -> int:
    """Forward until either side ends; the exit code is LSP's: 0 after shutdown, 1 without."""
    parser = argparse.ArgumentParser(prog="modeld --stdio", description=__doc__)
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--log-level", default=None)
    add_common(parser)
    options, unknown = parser.parse_known_args(arguments)  # editors add arguments of their own (--clientProcessId=N)
    for word in unknown:
        if not word.startswith("--clientProcessId"):
            print(f"modeld: ignoring the argument {word}", file=sys.stderr)
    from ..server.forward import forward

    return forward(str(socket_of(options)), daemon_arguments(options))
