"""`modeld status`: how the daemon does, without starting one."""

import argparse
import sys

import msgspec

from modeld_client.errors import DaemonUnavailable
from modeld_protocol.config import DaemonStatus
from modeld_protocol.model import KeyStatus

from .daemon import connect_running
from .figures import counted, duration, mebibytes
from .options import socket_of
from .terminal import paint, say, write_json


def run(options: argparse.Namespace) -> int:
    """What it says of itself, or JSON; 1 where no daemon runs."""
    try:
        with connect_running(options) as client:
            status = client.status()
    except DaemonUnavailable as error:
        if options.json:
            write_json({"running": False, "socket": str(socket_of(options)), "reason": str(error)})
        else:
            say(f"modeld is not running: {error}; `modeld ask` and every client start it when they need it")
        return 1
    if options.json:
        write_json({"running": True, **msgspec.to_builtins(status)})
        return 0
    lines = facts(status)
    room = max(len(name) for name, _, _ in lines) + 2
    for name, value, style in lines:
        print(f"{name:<{room}}{paint(value, style, sys.stdout)}")
    return 0


def _waiting(key: KeyStatus) -> tuple[str, str, str]:
    opens = "" if key.opens_in_seconds is None else f" (in {duration(key.opens_in_seconds)})"
    return ("", f"{key.waiting} wait for the key of {', '.join(key.providers)}: {key.reason or 'in line'}{opens}", "yellow")


def facts(status: DaemonStatus) -> list[tuple[str, str, str]]:
    """Name, value and style of each line."""
    config = status.config_file or "none: providers come from the keys in the environment"
    lines = [
        ("modeld", f"{status.version}, pid {status.pid}, up {duration(status.uptime_seconds)}", ""),
        ("socket", status.socket or "none: stdin and stdout", ""),
        ("config", config, ""),
        ("clients", str(status.clients), ""),
        ("calls", f"{status.running_calls} running, {status.queued_calls} waiting, {status.calls_total} in all", ""),
        ("memory", mebibytes(status.rss_bytes), ""),
    ]
    lines += _store(status)
    if not status.config_valid:
        lines.insert(3, ("", "it has errors now, the last good one is in force: `modeld --check-config`", "red"))
    lines += [_waiting(key) for key in status.keys if key.waiting]
    keyless = [name for name, state in status.providers.items() if state == "not_configured"]
    for name, state in status.providers.items():
        if name not in keyless:
            lines.append((name, state, "green" if state == "available" else "yellow"))
    if keyless:
        lines.append(("no key", ", ".join(keyless), "dim"))
    if status.draining:
        lines.append(("", "shutting down", "yellow"))
    return lines


def _store(status: DaemonStatus) -> list[tuple[str, str, str]]:
    store = status.store
    if store is None:
        return []
    waiting = f", {counted(store.waiting, 'row')} waiting" if store.waiting else ""
    where = store.path or "in memory"
    lines = [("store", f"{where}, {mebibytes(store.size_bytes)}, {counted(status.sessions, 'session')}{waiting}", "")]
    if not store.writable:
        lines.append(("", f"can't be written, no call begins: {store.last_error}", "red"))
    elif store.last_error:
        lines.append(("", f"{store.last_error_at}: {store.last_error}", "yellow"))
    return lines
