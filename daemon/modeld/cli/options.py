"""Options that several commands share, and where they point."""

import os
from typing import TYPE_CHECKING, Any, Protocol

from modeld_protocol.endpoint import socket_path

from .. import __version__

if TYPE_CHECKING:
    import argparse  # the forwarder does without
    from pathlib import Path


class Options(Protocol):
    """What `add_common` gives."""

    socket: str | None
    config: str | None
    state_dir: str | None


def add_common(parser: "argparse._ActionsContainer", *, default: Any = None) -> None:  # pyright: ignore[reportPrivateUsage]
    """`--socket`, `--config`, `--state-dir`: which daemon, and what it is started with."""
    parser.add_argument("--socket", metavar="PATH", default=default, help="the daemon's Unix socket")
    parser.add_argument("--config", metavar="FILE", default=default, help="models.yaml (also MODELD_CONFIG)")
    parser.add_argument("--state-dir", metavar="DIR", default=default, help="where state is kept (also MODELD_STATE_DIR)")


def add_version(parser: "argparse._ActionsContainer") -> None:  # pyright: ignore[reportPrivateUsage]
    """`--version`."""
    parser.add_argument("--version", action="version", version=f"modeld {__version__}", help="show the version and leave")


def socket_of(options: "Options | argparse.Namespace") -> "Path":
    """The socket that the options and the environment name."""
    return socket_path(options.socket, os.environ)


def daemon_arguments(options: "Options | argparse.Namespace") -> list[str]:
    """What a daemon that this command starts is given."""
    arguments: list[str] = []
    if options.config:
        arguments += ["--config", os.path.abspath(options.config)]
    if options.state_dir:
        arguments += ["--state-dir", os.path.abspath(options.state_dir)]
    return arguments
