"""`modeld`: the daemon itself, in the foreground on its socket; with `--stdio --isolated` on stdin and stdout."""

import argparse
import asyncio
import os
import sys

from .. import app
from ..config.load import render
from ..config.locations import config_place, state_dir
from ..config.reload import ConfigRefused, ConfigSource
from ..credentials.redact import Redactor
from ..observe.log import LEVELS, configure
from ..server.instance import Instance, InstanceError, claim
from ..server.listener import ListenError, parse_loopback_address
from ..server.peer import load_token
from ..server.process import harden_process, raise_open_files
from ..server.stdio import serve_stdio, take_stdout
from .options import add_common, add_version, socket_of
from .surroundings import surroundings

EXIT_FAILED = 1


def run(arguments: list[str]) -> int:
    """Serve until told to stop."""
    options = _parser().parse_args([word for word in arguments if not word.startswith("--clientProcessId")])
    output = take_stdout() if options.stdio else None
    harden_process()
    raise_open_files()
    redactor = Redactor()
    configure(options.log_level, sys.stderr, redactor)
    place = config_place(options.config, os.environ)
    try:
        if options.tcp:
            parse_loopback_address(options.tcp)
        source = ConfigSource.open(place, surroundings())
        _print_problems(source)
        with asyncio.Runner(loop_factory=app.new_loop) as runner:
            if output is not None:
                return runner.run(_isolated(_settings(options, place.path, shared=False), source, redactor, output))
            instance = claim(socket_of(options))
            try:
                return runner.run(_shared(_settings(options, place.path, shared=True), source, redactor, instance))
            finally:
                instance.release()
    except ConfigRefused as refused:
        return _fail("\n".join([*render(refused.problems), "modeld: the config has errors; mend them and start again"]))
    except ListenError as error:
        return _fail(f"modeld: {error}")
    except InstanceError as error:
        return _fail(f"modeld: {error.message}", error.exit_code)


def _settings(options: argparse.Namespace, config: os.PathLike[str], *, shared: bool) -> app.Options:
    return app.Options(
        socket=socket_of(options) if shared else None,
        state_dir=state_dir(options.state_dir, os.environ),
        tcp=options.tcp,
        idle_exit_s=options.idle_exit if shared else 0,
    )


async def _shared(settings: app.Options, source: ConfigSource, redactor: Redactor, instance: Instance) -> int:
    daemon = app.Daemon(settings, source, os.environ, redactor)
    app.handle_signals(daemon)
    app.quiet_collector()
    daemon.listener.start_unix(instance.socket)
    print(f"modeld listens on {instance.path}", file=sys.stderr)
    if settings.tcp:
        address = daemon.listener.start_tcp(settings.tcp, load_token(os.path.dirname(instance.path)))
        print(f"modeld listens on {address}; the token is in {os.path.dirname(instance.path)}/token", file=sys.stderr)
    await daemon.serve()
    return 0


async def _isolated(settings: app.Options, source: ConfigSource, redactor: Redactor, output: int) -> int:
    daemon = app.Daemon(settings, source, os.environ, redactor)
    app.handle_signals(daemon)
    serving = asyncio.create_task(daemon.serve())
    code = await serve_stdio(daemon.router, daemon.identity, output, on_made=daemon.listener.connections.add)
    daemon.stop(force=True)
    await serving
    return code


def _print_problems(source: ConfigSource) -> None:
    for line in render(source.problems):
        print(line, file=sys.stderr)


def _fail(message: str, code: int = EXIT_FAILED) -> int:
    print(message, file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modeld",
        description="Run the daemon in the foreground. Commands: status, stop, models, ask, chat, demo, simulate, doctor, "
        "schema, usage; each has its own --help.",
    )
    add_version(parser)
    add_common(parser)
    parser.add_argument("--tcp", metavar="HOST:PORT", help="listen on this loopback address too; clients need the token")
    parser.add_argument("--stdio", action="store_true", help="join stdin and stdout to the shared daemon, started if need be")
    parser.add_argument("--isolated", action="store_true", help="with --stdio: the whole daemon in this process")
    parser.add_argument("--check-config", metavar="FILE", nargs="?", help="print every problem of the config and leave")
    parser.add_argument(
        "--idle-exit", metavar="SECONDS", type=float, default=0, help="leave after so long without clients and calls (0: never)"
    )
    parser.add_argument(
        "--log-level",
        choices=list(LEVELS),
        default=os.environ.get("MODELD_LOG_LEVEL", "warning"),
        help="what goes to stderr (default: warning; also MODELD_LOG_LEVEL)",
    )
    return parser
