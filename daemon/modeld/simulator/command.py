"""`modeld simulate`: the simulator as a program."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .listing import CONFIG_MARK, base_urls, config_text, list_data, list_text
from .records import RecordedRequest
from .script import Scenario, ScenarioError, parse_scenario
from .server import Simulator

DEFAULT_PORT = 8377
MAX_SCENARIO_BYTES = 4 * 1024 * 1024


def run(argv: Sequence[str]) -> int:
    """Run `modeld simulate` with these arguments until SIGINT or SIGTERM. Returns the exit code: 0, or 1 where the
    scenario can't be read, the port is taken or the config file is somebody else's."""
    options = _parser().parse_args(argv)
    try:
        scenario = _read_scenario(options.scenario)
        if options.list:
            print(_json(list_data(scenario)) if options.json else list_text(scenario), flush=True)
            return 0
        with _runner() as runner:
            return runner.run(_serve(options, scenario))
    except BrokenPipeError:
        # `--list | head` is a good end; what Python would still flush at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ScenarioError, OSError, ValueError) as error:
        print(f"modeld simulate: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modeld simulate", description="A provider on this machine that answers from scripts, for offline work and tests."
    )
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="where to listen on loopback; 0 picks a free port (%(default)s)"
    )
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="scripts and rules, YAML or JSON")
    parser.add_argument("--list", action="store_true", help="show every script and fault, and leave")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.add_argument("--quiet", action="store_true", help="print the base URLs only")
    parser.add_argument("--write-config", type=Path, metavar="FILE", help="write a models.yaml that uses the simulator")
    parser.add_argument("--show-keys", action="store_true", help="show credentials on /_sim/requests instead of their hashes")
    # For those who call `modeld` with it everywhere; the simulator has no socket.
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    return parser


def _read_scenario(file: Path | None) -> Scenario:
    if file is None:
        return Scenario()
    if file.stat().st_size > MAX_SCENARIO_BYTES:
        raise ScenarioError(f"{file} is larger than {MAX_SCENARIO_BYTES} bytes: split it")
    return parse_scenario(file.read_bytes(), str(file))


def _runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _serve(options: argparse.Namespace, scenario: Scenario) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    simulator = Simulator(scenario, port=options.port, show_keys=options.show_keys, on_request=_printer(options))
    await _start(simulator)
    try:
        if options.write_config is not None:
            _write_config(options.write_config, config_text(simulator.base_url, scenario, whole=True))
        _announce(simulator, scenario, options)
        await stop.wait()
    finally:
        await simulator.stop()
    return 0


async def _start(simulator: Simulator) -> None:
    try:
        await simulator.start()
    except OSError as error:
        raise OSError(f"port {simulator.port} can't be had ({error}): take another with --port N, or --port 0") from error


def _announce(simulator: Simulator, scenario: Scenario, options: argparse.Namespace) -> None:
    urls = base_urls(simulator.base_url)
    if options.json:
        print(_json({"base_url": simulator.base_url, **urls, "port": simulator.port, "pid": os.getpid()}), flush=True)
        return
    print("\n".join(f"{name + ':':<12} {url}" for name, url in urls.items()), flush=True)
    if options.quiet:
        return
    if options.write_config is not None:
        print(f"{'config:':<12} {options.write_config}\n{'try:':<12} modeld --config {options.write_config}", flush=True)
    else:
        print(f"\nA models.yaml for it:\n\n{config_text(simulator.base_url, scenario, whole=False)}")
    print("Every script and fault: modeld simulate --list. Ctrl-C ends.", flush=True)


def _printer(options: argparse.Namespace) -> Callable[[RecordedRequest], None] | None:
    """A line for each request, on a terminal: what was asked for, never what was said."""
    if options.quiet or options.json or not sys.stdout.isatty():
        return None
    return lambda request: print(request_line(request), flush=True)


def request_line(request: RecordedRequest) -> str:
    """A request in one line, without anything of its body but the model's name."""
    how = f"{request.script} + {request.fault}" if request.fault else request.script
    return f"{request.number:>5}  {request.status or '---'}  {request.method} {request.path}  {request.model}  {how}".rstrip()


def _write_config(file: Path, text: str) -> None:
    """Write the file, unless there is one that the simulator didn't write. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if not file.read_text(encoding="utf-8", errors="replace").startswith(CONFIG_MARK):
            raise FileExistsError(f"{file} is there and wasn't written by the simulator: name another file")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file.parent} is no directory: make it first, or name another file")
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.touch(0o600)  # the file names a key, if only a simulated one, and `--check-config` minds
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
