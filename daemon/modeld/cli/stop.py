"""`modeld stop`: end the daemon, if there is one."""

import argparse
import time
from pathlib import Path

from modeld_client.errors import ConnectionLost
from modeld_client.launch import NotListening

from .. import limits
from .daemon import connect_running
from .options import socket_of
from .terminal import say, write_json

_POLL_S = 0.01


def run(options: argparse.Namespace) -> int:
    """Ask it to stop and wait until it has; 0 also where none was running."""
    deadline_s = time.monotonic() + limits.DRAIN_S + 3
    try:
        with connect_running(options) as client, client.notifications() as notes:
            client.stop_daemon(force=options.force)
            while (rest_s := deadline_s - time.monotonic()) > 0:
                notes.get(rest_s)
    except NotListening:
        return _report(options, running=False, stopped=True)
    except ConnectionLost:  # it lets go of its clients last
        _wait_for_removal(socket_of(options))
        return _report(options, running=True, stopped=True)
    return _report(options, running=True, stopped=False)


def _wait_for_removal(path: Path) -> None:
    """Until the socket file is gone, and the process all but gone; not for long, for a new daemon may have come."""
    deadline_s = time.monotonic() + limits.FAREWELL_S
    while path.exists() and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)


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
