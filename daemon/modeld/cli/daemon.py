"""The daemon that a command talks to, and the keys that the command lends it."""

import argparse
import os
from collections.abc import Iterable

from modeld_client import Client

from .options import daemon_arguments, socket_of

_NAMED = "environment variable "


def connect(options: argparse.Namespace, *, more_keys: Iterable[str] = (), trace: bool = False) -> Client:
    """A client of the shared daemon, which is started where there is none.

    It lends the keys of this shell for its own calls, so that a key that was set after the daemon's start counts.
    """
    return Client.connect(
        socket_of(options),
        client_id="modeld-cli",
        env=[*catalog_variables(), *more_keys],
        trace=trace,
        spawn_args=daemon_arguments(options),
    )


def connect_running(options: argparse.Namespace) -> Client:
    """A client of the daemon that runs; raises DaemonUnavailable where none does."""
    return Client.connect(socket_of(options), client_id="modeld-cli", start=False)


def catalog_variables() -> list[str]:
    """The variables that the catalog's providers take their keys from."""
    from ..providers.catalog import all_rows

    return sorted({row.key_env for row in all_rows() if row.key_env})


def unlent_variables(client: Client, lent: Iterable[str] = ()) -> list[str]:
    """Variables that the config names for keys, that this shell has, and that are neither the catalog's nor `lent` already."""
    sources = [provider.key_source or "" for provider in client.providers()]
    named = {source.removeprefix(_NAMED).strip("`'\"") for source in sources if source.startswith(_NAMED)}
    return sorted(name for name in named - {*catalog_variables(), *lent} if os.environ.get(name))
