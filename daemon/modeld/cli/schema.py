"""`modeld schema`: the protocol as JSON Schemas, OpenRPC and TypeScript, and the JSON Schema of models.yaml."""

import argparse
from pathlib import Path
from typing import Any

from modeld_protocol.schema import drift, write

from ..config.schema import json_schema
from ..providers.catalog import known_types
from .figures import counted
from .terminal import say


def run(options: argparse.Namespace) -> int:
    """Write the files, or with --check say which differ."""
    folder = Path(options.folder)
    try:
        if options.check:
            return _check(folder)
        changed = write(folder, config_schema())
    except OSError as error:
        say(f"modeld: {folder} can't be written ({error.strerror}): name another folder")
        return 1
    print(f"{counted(len(changed), 'file')} written below {folder}" if changed else f"{folder} is up to date")
    return 0


def config_schema() -> dict[str, dict[str, Any]]:
    """The JSON Schema of models.yaml, by the path of its file."""
    return {"models.yaml.json": json_schema(known_types())}


def _check(folder: Path) -> int:
    stale = drift(folder, config_schema())
    for path in stale:
        say(f"{folder / path} differs from the protocol; run `modeld schema {folder}`")
    if not stale:
        print(f"{folder} is up to date")
    return 1 if stale else 0
