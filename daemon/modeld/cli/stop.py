"""`modeld stop`: end the daemon, if there is one."""

import argparse
import time

from modeld_client.errors import ConnectionLost, DaemonUnavailable
from modeld_client.launch import NotListening, connect

from .. import limits
from .daemon import connect_running
from .options import socket_of
from .terminal import say, write_json

_POLL_S = 0.03


def run(options: argparse.Namespace) -> int:
    """Ask it to stop and wait until it has; 0 also where none was running."""
    try:
        with connect_running(options) as client:
            client.stop_daemon(force=options.force)
    except NotListening:
        return _report(options, running=False, stopped=True)
    except ConnectionLost:  # it was just leaving
        pass
    deadline = time.monotonic() + limits.DRAIN_S + 3
    while time.monotonic() < deadline:
        try:
            connect(socket_of(options)).close()
        except DaemonUnavailable:
            return _report(options, running=True, stopped=True)
        time.sleep(_POLL_S)
    return _report(options, running=True, stopped=False)


def _report(options: argparse.Namespace, *, running: bool, stopped: bool) -> int:
    if options.json:
        write_json({"was_running": running, "stopped": stopped})
    elif not running:
        print("modeld was not running")
    elif stopped:
        print("modeld has stopped")
    else:
        say("modeld is still finishing calls; `modeld stop --force` cancels them")
    return 0 if stopped else 1
