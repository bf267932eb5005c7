"""`modeld --check-config [FILE]`: every problem of a config at once."""

import argparse
import os
import sys
from pathlib import Path

import msgspec
from modeld_protocol.config import CheckResult

from ..config.load import load, render
from ..config.locations import config_path
from ..providers.catalog import known_types


def run(arguments: list[str]) -> int:
    """Print what is wrong; 1 where something must be mended, 0 where warnings or nothing is left."""
    parser = argparse.ArgumentParser(prog="modeld --check-config", description=__doc__)
    parser.add_argument("--check-config", metavar="FILE", nargs="?", const="", default="")
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="problems as JSON")
    options, rest = parser.parse_known_args(arguments)
    given = options.check_config or (rest[0] if rest and not rest[0].startswith("-") else None) or options.config
    file = Path(given) if given else config_path(os.environ)
    config, problems = load(file, known_types(), os.environ)
    valid = config is not None
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(CheckResult(valid, problems))).decode() + "\n")
        return 0 if valid else 1
    for line in render(problems):
        print(line)
    if valid and not problems:
        print(f"{file}: no problems")
    return 0 if valid else 1
