"""`modeld --check-config [FILE]`: every problem of a config at once."""

import argparse
import os
import sys
from pathlib import Path

import msgspec

from modeld_protocol.config import CheckResult

from ..config.load import render
from ..config.locations import config_place
from .options import add_common
from .surroundings import surroundings


def run(arguments: list[str]) -> int:
    """Print what is wrong; 1 where something must be mended, 0 where warnings or nothing is left."""
    parser = argparse.ArgumentParser(prog="modeld --check-config", description=__doc__)
    parser.add_argument("--check-config", action="store_true")
    parser.add_argument("--json", action="store_true", help="problems as JSON")
    parser.add_argument("file", metavar="FILE", nargs="?")
    add_common(parser)
    options = parser.parse_args(arguments)
    file = Path(options.file) if options.file else config_place(options.config, os.environ).path
    config, problems = surroundings().load(file)
    if options.json:
        result = CheckResult(config is not None, problems)
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
        return int(config is None)
    for line in render(problems):
        print(line)
    if not problems:
        print(f"{file}: no problems")
    return int(config is None)
