"""`modeld`: the daemon itself, in the foreground on its socket; with `--stdio --isolated` on stdin and stdout."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import NoReturn

from modeld_protocol.endpoint import token_path

from .. import app, limits
from ..config.load import render
from ..config.locations import config_place, state_dir
from ..config.reload import ConfigRefused, ConfigSource
from ..credentials.redact import Redactor
from ..ledger.store import StoreError
from ..observe.log import configure
from ..server.instance import Instance, InstanceError, claim, prepare_directory
from ..server.listener import ListenError, parse_loopback_address
from ..server.peer import load_token
from ..server.process import harden_process, raise_open_files
from ..server.stdio import serve_stdio, take_stdout
from .options import socket_of
from .surroundings import surroundings

EXIT_FAILED = 1


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    output = take_stdout() if options.stdio else None
    harden_process()
    raise_open_files()
    redactor = Redactor()
    configure(options.debug.level(options.log_level), sys.stderr, redactor)
    place = config_place(options.config, os.environ)
    try:
        if options.tcp is not None:
            parse_loopback_address(options.tcp)
        source = ConfigSource.open(place, surroundings())
        _print_problems(source)
        with asyncio.Runner(loop_factory=app.new_loop) as runner:
            if output is not None:
                _leave(runner.run(_isolated(_settings(options, place.path, shared=False), source, redactor, output)))
            instance = claim(socket_of(options))
            try:
                code = runner.run(_shared(_settings(options, place.path, shared=True), source, redactor, instance))
            finally:
                instance.release()
            _leave(code)
    except ConfigRefused as refused:
        return _fail("\n".join([*render(refused.problems), "modeld: the config has errors; mend them and start again"]))
    except (ListenError, PermissionError, StoreError) as error:
        return _fail(f"modeld: {error}")
    except InstanceError as error:
        return _fail(f"modeld: {error.message}", error.exit_code)


def _settings(options: argparse.Namespace, config: os.PathLike[str], *, shared: bool) -> app.Options:
    return app.Options(
        socket=socket_of(options) if shared else None,
        state_dir=state_dir(options.state_dir, os.environ),
        tcp=options.tcp,
        idle_exit_s=options.idle_exit if shared else 0,
        debug=options.debug,
        artefacts=_artefacts(options),
    )


def _artefacts(options: argparse.Namespace) -> Path | None:
    """Where artefacts go, None where nobody asked for them."""
    if options.artefacts:
        return Path(options.artefacts).expanduser().absolute()
    return state_dir(options.state_dir, os.environ) / "artefacts" if options.debug.wants_artefacts else None


def _say_what_is_written(settings: app.Options) -> None:
    """Nobody is to find out later that bodies were written down."""
    if settings.artefacts is None:
        return
    debug = settings.debug
    parts = {"requests": debug.raw_requests, "answers": debug.raw_responses, "reasoning": debug.thinking}
    named = ", ".join(name for name, wanted in parts.items() if wanted) or "heads of requests and answers"
    print(f"modeld WRITES DOWN WHAT IS SAID ({named}) in {settings.artefacts}", file=sys.stderr)
    print("modeld stops that when it is started without --artefacts, MODELD_ARTEFACTS and MODELD_DEBUG", file=sys.stderr)


async def _shared(settings: app.Options, source: ConfigSource, redactor: Redactor, instance: Instance) -> int:
    daemon = app.Daemon(settings, source, os.environ, redactor)
    _say_what_is_written(settings)
    app.handle_signals(daemon)
    app.quiet_collector()
    daemon.listener.start_unix(instance.socket)
    print(f"modeld listens on {instance.path}", file=sys.stderr)
    if settings.tcp:
        token = token_path(os.environ)
        prepare_directory(str(token.parent))
        address = daemon.listener.start_tcp(settings.tcp, load_token(str(token.parent)))
        print(f"modeld listens on {address}; the token is in {token}", file=sys.stderr)
    await daemon.serve()
    await _end_tasks()
    return 0


async def _isolated(settings: app.Options, source: ConfigSource, redactor: Redactor, output: int) -> int:
    daemon = app.Daemon(settings, source, os.environ, redactor)
    _say_what_is_written(settings)
    app.handle_signals(daemon)
    app.quiet_collector()
    serving = asyncio.create_task(daemon.serve())
    code = await serve_stdio(daemon.router, daemon.identity, output, on_made=daemon.listener.connections.add)
    daemon.stop(force=True)
    await serving
    await _end_tasks()
    return code


async def _end_tasks() -> None:
    """What still runs lets go of what it holds, a child process above all."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=limits.CANCEL_S)


def _leave(code: int) -> NoReturn:
    """End without waiting for threads: one that hangs in a name look-up or a locked keyring can't be ended otherwise."""
    os._exit(code)


def _print_problems(source: ConfigSource) -> None:
    for line in render(source.problems):
        print(line, file=sys.stderr)


def _fail(message: str, code: int = EXIT_FAILED) -> int:
    print(message, file=sys.stderr)
    return code
