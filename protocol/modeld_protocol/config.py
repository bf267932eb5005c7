"""`config/*` and `daemon/*`: what is configured, what is wrong with it, and how the daemon does."""

from typing import Any, Literal

import msgspec

from .model import KeyStatus

Severity = Literal["error", "warning"]


class Problem(msgspec.Struct):
    """One finding in a config file. Lines and columns count from 1; columns count characters."""

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str
    end_line: int
    end_column: int


class CheckParams(msgspec.Struct, omit_defaults=True):
    """`text` checks that text instead of the file's content."""

    file: str | None = None
    text: str | None = None


class CheckResult(msgspec.Struct):
    """`valid` where no problem is an error."""

    valid: bool
    problems: list[Problem]


class ReloadResult(msgspec.Struct):
    """`applied` is false where the file is invalid and the last good config stays in force."""

    applied: bool
    version: int
    problems: list[Problem]


class ConfigGetResult(msgspec.Struct):
    """The effective config, redacted: a key shows as its source, never as its value."""

    file: str | None
    version: int
    config: dict[str, Any]
    problems: list[Problem]


class ConfigChanged(msgspec.Struct):
    """The params of `config/changed`: `applied` is false where the file is wrong and the last good config stays."""

    applied: bool
    version: int
    problems: list[Problem]


class StoreStatus(msgspec.Struct, omit_defaults=True):
    """How the store of sessions and calls does. While it isn't `writable` no paid call begins; `last_error` stays after it was
    got over. `waiting` counts rows that are not in it yet; `put_aside` is where a broken file was put when the daemon started."""

    path: str | None
    size_bytes: int
    writable: bool
    waiting: int = 0
    last_error: str | None = None
    last_error_at: str | None = None
    put_aside: str | None = None


class DaemonStatus(msgspec.Struct):
    """How the daemon does; `providers` has the availability of each. `queued_calls` wait for a place among their client's own
    calls, or for their key: `keys` says of those that are in use how many, and why."""

    version: str
    daemon_id: str
    epoch: str
    pid: int
    uptime_seconds: float
    socket: str | None
    config_file: str | None
    config_version: int
    config_valid: bool
    clients: int
    running_calls: int
    queued_calls: int
    calls_total: int
    rss_bytes: int | None
    providers: dict[str, str]
    draining: bool = False
    sessions: int = 0
    keys: list[KeyStatus] = []
    store: StoreStatus | None = None


class StopParams(msgspec.Struct, omit_defaults=True):
    """`force` cancels what runs instead of waiting for it."""

    force: bool = False


class StopResult(msgspec.Struct):
    """The daemon is on its way out."""

    stopping: bool
