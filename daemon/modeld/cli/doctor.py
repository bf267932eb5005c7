"""`modeld doctor`: look at everything that can be wrong with an installation, and say how to mend it."""

import argparse
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from typing import Literal

import msgspec

from modeld_client.errors import DaemonUnavailable, ModeldError
from modeld_client.launch import NotListening
from modeld_protocol.config import DaemonStatus, StoreStatus

from .. import __version__
from ..config.locations import config_place, state_dir
from ..ledger.store import FILE_NAME
from ..limits import MIN_OPEN_FILES
from ..server.instance import MAX_SOCKET_PATH_BYTES
from .daemon import connect_running
from .figures import counted, mebibytes
from .nearby import keys_here, keys_in_words, ollama_config, ollama_models
from .options import socket_of
from .surroundings import surroundings
from .terminal import paint, write_json

Verdict = Literal["ok", "note", "warning", "error"]
FEW_BYTES = 100 * 1024 * 1024  # of a disk: a warning below it
_MARKS: dict[Verdict, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("·", "dim"),
    "warning": ("!", "yellow"),
    "error": ("✗", "red"),
}


class Finding(msgspec.Struct):
    """One look: what was looked at, what was found, what to do."""

    topic: str
    verdict: Verdict
    message: str
    next_step: str | None = None


def run(options: argparse.Namespace) -> int:
    """Print every finding; 1 where something is broken."""
    findings: list[Finding] = []
    for finding in look(options):
        findings.append(finding)
        if not options.json:
            _print(finding)
    failed = any(finding.verdict == "error" for finding in findings)
    if options.json:
        write_json({"ok": not failed, "findings": findings})
    return int(failed)


def _print(finding: Finding) -> None:
    mark, style = _MARKS[finding.verdict]
    topic = paint(f"{finding.topic:<12}", "bold", sys.stdout)
    print(f"{paint(mark, style, sys.stdout)} {topic} {finding.message}", flush=True)
    for line in (finding.next_step or "").splitlines():
        print(f"    → {line}", flush=True)


def look(options: argparse.Namespace) -> Iterator[Finding]:
    """Every check, one after the other."""
    yield Finding("modeld", "ok", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    yield _event_loop()
    yield _open_files()
    yield from _socket(options)
    yield from _config(options)
    yield _keys(options)
    yield from _state(options)
    yield from _daemon(options)
    yield from _ollama(options)


def _event_loop() -> Finding:
    try:
        import uvloop
    except ImportError:
        return Finding("event loop", "note", "the stock asyncio loop", "pip install uvloop makes every wake-up cheaper")
    return Finding("event loop", "ok", f"uvloop {uvloop.__version__}")


def _open_files() -> Finding:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most not in (resource.RLIM_INFINITY, -1) and most < MIN_OPEN_FILES:
        step = f"raise the hard limit to {MIN_OPEN_FILES} (ulimit -Hn); a few clients get on with less"
        return Finding("open files", "note", f"at most {most}", step)
    return Finding("open files", "ok", "no limit" if most in (resource.RLIM_INFINITY, -1) else f"at most {most}")


def _socket(options: argparse.Namespace) -> Iterator[Finding]:
    try:
        path = socket_of(options)
    except PermissionError as error:
        yield Finding("socket", "error", str(error), "mkdir -m 700 ~/.modeld-run && export MODELD_RUNTIME_DIR=~/.modeld-run")
        return
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH_BYTES:
        step = "set MODELD_RUNTIME_DIR to a shorter path"
        yield Finding("socket", "error", f"{path} is {size} bytes long, a socket's path has {MAX_SOCKET_PATH_BYTES}", step)
    folder = path.parent
    try:
        info = folder.lstat()
    except FileNotFoundError:
        yield Finding("socket", "ok", f"{path} (its directory is made when the daemon starts)")
        return
    except OSError as error:
        yield Finding("socket", "error", f"{folder} can't be looked at ({error.strerror})", "set MODELD_RUNTIME_DIR to another")
        return
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        yield Finding("socket", "error", f"{folder} is not a directory of yours", "set MODELD_RUNTIME_DIR to one that is")
    elif stat.S_IMODE(info.st_mode) & 0o077:
        yield Finding("socket", "error", f"{folder} is open to other users", f"chmod 700 '{folder}'")
    else:
        yield Finding("socket", "ok", str(path))


def _config(options: argparse.Namespace) -> Iterator[Finding]:
    path, required = config_place(options.config, os.environ)
    config, problems = surroundings().load(path)
    if not required and [problem.code for problem in problems] == ["missing_file"]:
        yield Finding("config", "note", f"no {path}: providers come from the keys in the environment")
        return
    for problem in problems:
        yield Finding("config", problem.severity, f"{problem.file}:{problem.line}:{problem.column}: {problem.message}")
    if config is not None:
        models = counted(len(config.models), "model") if config.models_given else "the catalog's models"
        yield Finding("config", "ok", f"{path}: {counted(len(config.adapters), 'adapter')}, {models}")


def _keys(options: argparse.Namespace) -> Finding:
    found = [key.variable for key in keys_here(os.environ)]
    if found:
        return Finding("keys", "ok", f"in this environment: {', '.join(found)}")
    if config_place(options.config, os.environ).path.exists():
        return Finding("keys", "note", "none in this environment: they come from where the config says")
    return Finding(
        "keys", "note", "none in this environment", f"set one of {keys_in_words()}; or name a source of keys in models.yaml"
    )


def _state(options: argparse.Namespace) -> Iterator[Finding]:
    """The directory of the store, whether a daemon runs or not."""
    folder = state_dir(options.state_dir, os.environ)
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        step = f"chmod u+rwx '{place}'; or set MODELD_STATE_DIR to another directory"
        yield Finding("state", "error", f"{folder}: {place} is no directory that can be written", step)
        return
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < FEW_BYTES:
        step = "free space: when there is none, no call begins"
        yield Finding("state", "warning", f"{folder}: the disk has {mebibytes(free_bytes)} left", step)
    else:
        yield Finding("state", "ok", str(folder))
    for file in sorted(folder.glob(f"{FILE_NAME}.broken-*")) if place == folder else ():
        if not file.name.endswith("-wal"):
            step = f"`sqlite3 '{file}' .recover` may save what is in it; delete it when you don't need it"
            yield Finding("state", "note", f"a broken store was put aside: {file}", step)


def _daemon(options: argparse.Namespace) -> Iterator[Finding]:
    try:
        with connect_running(options) as client:
            status = client.status()
            providers = client.providers()
    except NotListening:
        yield Finding("daemon", "note", "not running; every client starts it when it needs it")
        yield from _last_words(options)
        return
    except (DaemonUnavailable, PermissionError) as error:
        yield Finding("daemon", "error", f"can't be reached: {error}", "mend what is said above, then `modeld status`")
        return
    except ModeldError as error:
        yield Finding(
            "daemon", "error", f"doesn't answer as it should: {error}", "modeld stop --force; the next call starts another"
        )
        return
    yield from _running(status)
    for provider in providers:
        if provider.availability not in ("available", "not_configured"):
            step = "wait for it, or use another provider meanwhile"
            yield Finding(provider.name, "warning", f"{provider.availability}: {provider.reason or 'its calls fail'}", step)
        elif provider.availability == "not_configured" and status.config_file:
            yield Finding(provider.name, "note", provider.reason or "no key")


def _running(status: DaemonStatus) -> Iterator[Finding]:
    yield Finding("daemon", "ok", f"pid {status.pid}, {counted(status.clients, 'client')}, {mebibytes(status.rss_bytes)}")
    if status.version != __version__:
        step = "modeld stop; the next call starts the new one"
        yield Finding("daemon", "warning", f"it is version {status.version}, this is {__version__}", step)
    if not status.config_valid:
        said = "its config file has errors now; the last good one is in force"
        yield Finding("daemon", "warning", said, "modeld --check-config")
    if status.store is not None:
        yield _store(status.store)


def _store(store: StoreStatus) -> Finding:
    where = f"{store.path or 'in memory'}, {mebibytes(store.size_bytes)}"
    if not store.writable:
        step = "free space or mend what it says; the daemon tries again every few seconds"
        return Finding("store", "error", f"{where}: no call begins, {store.last_error}", step)
    if store.put_aside:
        step = f"`sqlite3 '{store.put_aside}' .recover` may save what is in it; delete it when you don't need it"
        return Finding("store", "warning", store.last_error or f"a broken store was put aside as {store.put_aside}", step)
    if store.last_error:
        step = "it is well again; `modeld status` tells when it was"
        return Finding("store", "warning", f"{where}: at {store.last_error_at} {store.last_error}", step)
    return Finding("store", "ok", where)


def _last_words(options: argparse.Namespace) -> Iterator[Finding]:
    """Where a daemon that did not start has left its reasons."""
    try:
        log = socket_of(options).with_suffix(".log")
        if log.stat().st_size:
            yield Finding("log", "note", str(log))
    except OSError:
        return


def _ollama(options: argparse.Namespace) -> Iterator[Finding]:
    models = ollama_models()
    if models is None:
        return
    path = config_place(options.config, os.environ).path
    step = "\n".join([f"to use it, have these lines in {path}:", *ollama_config(models)])
    yield Finding("ollama", "ok", f"listens on this machine with {counted(len(models), 'model')}", step)
