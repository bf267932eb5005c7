"""`modeld doctor`: look at everything that can be wrong with an installation, and say how to mend it."""

import argparse
import os
import platform
import stat
import sys
from collections.abc import Iterator
from typing import Literal

import msgspec

from modeld_client import Client
from modeld_client.errors import ModeldError
from modeld_protocol.endpoint import runtime_dir

from .. import __version__
from ..config.locations import config_place
from ..providers.catalog import rows
from .options import socket_of
from .surroundings import surroundings
from .terminal import console

Verdict = Literal["ok", "note", "warning", "error"]
_MARKS = {"ok": "[green]✓[/]", "note": "[dim]·[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}


class Finding(msgspec.Struct):
    """One look: what was looked at, what was found, what to do."""

    topic: str
    verdict: Verdict
    message: str
    next_step: str | None = None


def run(options: argparse.Namespace) -> int:
    """Print every finding; 1 where something is broken."""
    findings = list(_findings(options))
    failed = any(finding.verdict == "error" for finding in findings)
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode({"ok": not failed, "findings": findings})).decode() + "\n")
        return int(failed)
    out = console()
    for finding in findings:
        out.print(f"{_MARKS[finding.verdict]} [bold]{finding.topic}[/bold]  {finding.message}")
        if finding.next_step:
            out.print(f"    → {finding.next_step}")
    return int(failed)


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    yield Finding("version", "ok", f"modeld {__version__}, Python {platform.python_version()}, {platform.system()}")
    yield _loop()
    yield from _runtime_dir()
    yield from _config(options)
    yield from _keys()
    yield from _daemon(options)


def _loop() -> Finding:
    try:
        import uvloop
    except ImportError:
        return Finding("event loop", "note", "the stock asyncio loop", "pip install uvloop makes every wake-up cheaper")
    return Finding("event loop", "ok", f"uvloop {uvloop.__version__}")


def _runtime_dir() -> Iterator[Finding]:
    try:
        folder = runtime_dir(os.environ)
    except PermissionError as error:
        yield Finding("runtime directory", "error", str(error), "export MODELD_RUNTIME_DIR=~/.modeld-run")
        return
    if not folder.exists():
        yield Finding("runtime directory", "ok", f"{folder} (made when the daemon starts)")
        return
    info = folder.lstat()
    if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & 0o077:
        yield Finding("runtime directory", "error", f"{folder} is open to others", f"chmod 700 {folder}")
    else:
        yield Finding("runtime directory", "ok", str(folder))


def _config(options: argparse.Namespace) -> Iterator[Finding]:
    path, required = config_place(options.config, os.environ)
    if not path.exists() and not required:
        yield Finding("config", "note", f"no {path}: providers come from keys in the environment")
        return
    _, problems = surroundings().load(path)
    for problem in problems:
        where = f"{problem.file}:{problem.line}:{problem.column}"
        yield Finding("config", problem.severity, f"{where}: {problem.message}")
    if not problems:
        yield Finding("config", "ok", str(path))


def _keys() -> Iterator[Finding]:
    found = [row.key_env for row in all_rows() if row.key_env and os.environ.get(row.key_env)]
    if found:
        yield Finding("keys", "ok", f"in the environment: {', '.join(found)}")
    else:
        names = " or ".join(sorted({row.key_env for row in all_rows() if row.key_env}))
        yield Finding(
            "keys", "note", "no provider key in the environment", f"export {names}, or name a key source in models.yaml"
        )


def _daemon(options: argparse.Namespace) -> Iterator[Finding]:
    try:
        with Client.connect(socket_of(options), client_id="modeld-doctor", start=False) as client:
            status = client.status()
    except ModeldError as error:
        yield Finding("daemon", "note", f"not running ({error})")
        return
    yield Finding("daemon", "ok", f"running, pid {status.pid}, {status.clients} clients")
    if status.version != __version__:
        step = "modeld stop; the next call starts the new one"
        yield Finding("daemon", "warning", f"it is version {status.version}, this is {__version__}", step)
    if not status.config_valid:
        yield Finding(
            "daemon", "warning", "its config file is invalid now; the last good one is in force", "modeld --check-config"
        )
