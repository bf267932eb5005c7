"""`modeld replay`: serves cassettes as a provider on this machine."""

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

from ..cassettes.deck import Draw
from ..cassettes.folder import read_cassettes
from ..cassettes.format import Cassette, CassetteInvalid
from ..cassettes.loopback import Request
from ..cassettes.player import CONFIG_MARK, Player
from .figures import counted

DEFAULT_PORT = 8378


def run(argv: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 where there is nothing to serve or the port is taken."""
    options = _parser().parse_args(argv)
    try:
        cassettes = read_cassettes(options.folder)
        if not cassettes:
            raise CassetteInvalid(f"no cassettes at or below {options.folder}: name their directory, or make some: modeld record")
        if options.list:
            _list(cassettes, as_json=options.json)
            return 0
        return asyncio.run(_serve(options, cassettes))
    except BrokenPipeError:  # `--list | head` is a good end; what Python would still flush at exit goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (CassetteInvalid, OSError) as error:
        print(f"modeld replay: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modeld replay",
        description="A provider on this machine that answers from cassettes. A request gets the answer that was recorded for "
        "the same path, model and manner, and among several the one with the same body.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("cassettes"), metavar="DIR", help="cassettes (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="on loopback; 0 picks a free one (%(default)s)")
    parser.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="times the recorded pace; 0: without waiting")
    parser.add_argument("--strict", action="store_true", help="answer only requests that were recorded with the same body")
    parser.add_argument("--list", action="store_true", help="show the cassettes, and leave")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.add_argument("--quiet", action="store_true", help="print the base URLs only")
    parser.add_argument("--write-config", type=Path, metavar="FILE", help="write a models.yaml that uses the cassettes")
    for name in ("--socket", "--config", "--state-dir"):  # for those who call `modeld` with them everywhere; there is no daemon
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser


def _speed(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1e6:
        raise ValueError(text)
    return number


_speed.__name__ = "speed"  # argparse says "invalid … value"


def _list(cassettes: Sequence[Cassette], *, as_json: bool) -> None:
    width = max(len(cassette.name) for cassette in cassettes)
    for cassette in cassettes:
        response = cassette.response
        if as_json:
            fields = {"cassette": cassette.name, "status": response.status, "stream": cassette.request.stream}
            print(_json({**fields, "path": cassette.request.path, "quirk": response.quirk}))
        else:
            print(f"{cassette.name:<{width}}  {response.status}  {response.quirk or cassette.request.path}")


async def _serve(options: argparse.Namespace, cassettes: Sequence[Cassette]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    player = Player(cassettes, port=options.port, speed=options.speed, strict=options.strict, on_request=_printer(options))
    try:
        await player.start()
    except OSError as error:
        raise OSError(f"port {options.port} can't be had ({error.strerror}): take another with --port N, or --port 0") from error
    try:
        if options.write_config is not None:
            _write_config(options.write_config, player.config_text())
        _announce(player, options, len(cassettes))
        await stop.wait()
    finally:
        await player.stop()
    return 0


def _announce(player: Player, options: argparse.Namespace, count: int) -> None:
    urls = player.base_urls()
    if options.json:
        print(_json({"base_urls": urls, "port": player.port, "pid": os.getpid(), "cassettes": count}), flush=True)
        return
    width = max(len(name) for name in urls) + 1
    print("\n".join(f"{name + ':':<{width}} {url}" for name, url in urls.items()), flush=True)
    if options.quiet:
        return
    if options.write_config is not None:
        print(f"\nThey are in {options.write_config}; try: modeld --config {options.write_config}", flush=True)
    else:
        print(f"\nA models.yaml for it:\n\n{player.config_text()}")
    print(f"{counted(count, 'cassette')}; listed by `modeld replay --list`. Ctrl-C ends.", flush=True)


def _printer(options: argparse.Namespace) -> Callable[[Request, Draw | None], None] | None:
    """A line for each request, on a terminal: what was asked for and what answers, never what is said."""
    if options.quiet or options.json or not sys.stdout.isatty():
        return None
    return lambda request, draw: print(_line(request, draw), flush=True)


def _line(request: Request, draw: Draw | None) -> str:
    path = request.target.partition("?")[0]
    if draw is None:
        return f"404  {request.method} {path}  no cassette"
    return f"{draw.cassette.response.status}  {request.method} {path}  {draw.cassette.name}{'' if draw.exact else ' (similar)'}"


def _write_config(file: Path, text: str) -> None:
    """Write the file, unless there is one that isn't ours. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if not file.read_text(encoding="utf-8", errors="replace").startswith(CONFIG_MARK):
            raise FileExistsError(f"{file} is there and wasn't written by `modeld replay`: name another file")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file.parent} is no directory: make it first, or name another file")
    file.touch(0o600)
    file.write_text(text, encoding="utf-8")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
