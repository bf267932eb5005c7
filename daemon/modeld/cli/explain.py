"""Failures as people read them: what happened in a line or two, and what to do next."""

import argparse
import os

from modeld_client.errors import DaemonUnavailable, ModeldError, RequestFailed
from modeld_protocol.errors import ErrorData

from ..config.load import render
from ..config.locations import config_place
from ..limits import MAX_RETRY_WAIT_S
from .figures import duration
from .terminal import say

_MAX_QUOTED_CHARS = 400
_MAX_PROBLEMS = 3


def complain(error: ModeldError, options: argparse.Namespace) -> int:
    """Say on stderr what went wrong; returns the exit code."""
    for line in lines_of(error, options):
        say(line)
    return 1


def lines_of(error: ModeldError, options: argparse.Namespace) -> list[str]:
    """The failure in words."""
    if isinstance(error, RequestFailed):
        return _of_call(error)
    if isinstance(error, DaemonUnavailable):
        return _of_config(options) or [f"modeld: {error}"]
    return [f"modeld: {error}"]


def _of_call(error: RequestFailed) -> list[str]:
    data = error.data
    assert isinstance(data, ErrorData)
    where = [data.model or data.provider or "", f"HTTP {data.provider_status}" if data.provider_status else ""]
    named = ", ".join(part for part in where if part and part not in str(error))
    lines = [f"modeld: {data.error_class}{f' ({named})' if named else ''}: {error}"]
    quoted = " ".join((data.provider_message or "").split())
    if quoted and quoted not in str(error):
        lines.append(f"  the provider says: {quoted[:_MAX_QUOTED_CHARS]}")
    if data.retry_after_seconds and data.retry_after_seconds > MAX_RETRY_WAIT_S:
        lines.append(f"  it asks to wait {duration(data.retry_after_seconds)}; another model may be free: `modeld models`")
    return lines


def _of_config(options: argparse.Namespace) -> list[str]:
    """Why a daemon that was to be started refused its config; nothing where the config is not to blame."""
    from .surroundings import surroundings

    place = config_place(options.config, os.environ)
    config, problems = surroundings().load(place.path)
    if config is not None or (not place.required and problems[0].code == "missing_file"):
        return []
    errors = [problem for problem in problems if problem.severity == "error"]
    more = f", and {len(errors) - _MAX_PROBLEMS} more" if len(errors) > _MAX_PROBLEMS else ""
    last = f"modeld: the config has errors{more}; mend them (`modeld --check-config` shows them all) and try again"
    return [*render(errors[:_MAX_PROBLEMS]), last]
