"""`modeld status`: how the daemon does, without starting one."""

import argparse
import sys

import msgspec

from modeld_client import Client
from modeld_client.errors import DaemonUnavailable
from modeld_protocol.config import DaemonStatus

from .options import socket_of
from .terminal import console, table


def run(options: argparse.Namespace) -> int:
    """A table, or JSON; 1 where no daemon runs."""
    try:
        with Client.connect(socket_of(options), client_id="modeld-cli", start=False) as client:
            status = client.status()
    except DaemonUnavailable as error:
        if options.json:
            sys.stdout.write(msgspec.json.encode({"running": False, "socket": str(socket_of(options))}).decode() + "\n")
        else:
            print(f"modeld is not running: {error}", file=sys.stderr)
        return 1
    if options.json:
        fields = {"running": True, **msgspec.to_builtins(status)}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(fields)).decode() + "\n")
        return 0
    console().print(_table(status))
    return 0


def _table(status: DaemonStatus) -> object:
    rows = table("modeld", status.version)
    rows.add_row("pid", str(status.pid))
    rows.add_row("up", duration(status.uptime_seconds))
    rows.add_row("socket", status.socket or "stdio")
    config = status.config_file or "none: providers come from the environment"
    rows.add_row("config", config if status.config_valid else f"{config} [red](invalid: the last good one is in force)[/red]")
    rows.add_row("clients", str(status.clients))
    rows.add_row("calls", f"{status.running_calls} running, {status.queued_calls} waiting, {status.calls_total} in all")
    if status.rss_bytes:
        rows.add_row("memory", f"{status.rss_bytes / 1_048_576:.0f} MiB")
    for name, state in status.providers.items():
        rows.add_row(name, state.replace("_", " "))
    if status.draining:
        rows.add_row("", "[yellow]shutting down[/yellow]")
    return rows


def duration(seconds: float) -> str:
    """`2 h 5 min`, `5 min 3 s`, `12 s`."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
