"""`modeld stop`: end the daemon, if there is one."""

import argparse
import sys
import time

import msgspec

from modeld_client import Client
from modeld_client.errors import DaemonUnavailable
from modeld_client.launch import connect

from .. import limits
from .options import socket_of


def run(options: argparse.Namespace) -> int:
    """Ask it to stop and wait until it has; 0 also where none was running."""
    path = socket_of(options)
    try:
        with Client.connect(path, client_id="modeld-cli", start=False) as client:
            client.stop_daemon(force=options.force)
    except DaemonUnavailable:
        return _say(options, running=False, stopped=True)
    deadline = time.monotonic() + limits.DRAIN_S + 3
    while time.monotonic() < deadline:
        try:
            connect(path).close()
        except DaemonUnavailable:
            return _say(options, running=True, stopped=True)
        time.sleep(0.05)
    return _say(options, running=True, stopped=False)


def _say(options: argparse.Namespace, *, running: bool, stopped: bool) -> int:
    if options.json:
        sys.stdout.write(msgspec.json.encode({"was_running": running, "stopped": stopped}).decode() + "\n")
    elif not running:
        print("modeld was not running")
    elif stopped:
        print("modeld has stopped")
    else:
        print("modeld is still finishing calls; `modeld stop --force` cancels them", file=sys.stderr)
    return 0 if stopped else 1
