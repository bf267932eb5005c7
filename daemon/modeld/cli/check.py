"""`modeld --check-config [FILE]`: every problem of a config at once."""

import argparse
import os

from modeld_protocol.config import CheckResult

from ..config.load import render
from ..config.locations import config_place
from .options import add_common
from .surroundings import surroundings
from .terminal import write_json


def run(arguments: list[str]) -> int:
    """Print what is wrong; 1 where something must be mended, 0 where warnings or nothing is left."""
    options = _parse(arguments)
    place = config_place(options.check_config or options.file or options.config, os.environ)
    config, problems = surroundings().load(place.path)
    missing = not place.required and [problem.code for problem in problems] == ["missing_file"]
    valid = missing or config is not None
    if options.json:
        write_json(CheckResult(valid, [] if missing else problems))
    elif missing:
        print(f"{place.path}: there is no such file, and none is needed: providers come from the keys in the environment")
    else:
        print("\n".join(render(problems)) or f"{place.path}: no problems")
    return 0 if valid else 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modeld --check-config", description=__doc__)
    parser.add_argument("--check-config", metavar="FILE", nargs="?", help="the file (default: the one that the daemon reads)")
    parser.add_argument("--json", action="store_true", help="problems as JSON")
    parser.add_argument("file", metavar="FILE", nargs="?", help=argparse.SUPPRESS)
    add_common(parser)
    return parser.parse_args(arguments)
