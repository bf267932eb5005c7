"""The commands: one parser, one module each, imported when it is asked for."""

import argparse
import importlib
import os
import sys
from typing import Any

from .names import COMMANDS
from .options import add_common, add_version

EXIT_INTERRUPTED = 130
_ACTIONS = ("list", "show", "fork", "preview", "delete", "export", "import")
_SESSIONS = """\
actions:
  list                      the conversations that the daemon keeps, last used first
  show [SESSION]            one of them, message by message
  fork [SESSION] [--at N]   a new one that begins like it
  preview SESSION MODEL     what going on with another model would change and cost
  delete SESSION ...        delete them, for good
  export [SESSION]          one as JSON, for `import` here or elsewhere
  import [FILE]             a new one from such JSON, or from stdin

SESSION is an id, or `last` for the one used last, which is meant where none is given."""
EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")


def run(arguments: list[str], place: int) -> int:
    """Parse and run the command that stands at `place`; returns its exit code."""
    _forgive_text()
    if arguments[place] == "simulate":
        from ..simulator.command import run as simulate

        return simulate(arguments[place + 1 :])
    if arguments[place] in ("record", "replay"):  # these have their own parsers too
        module = importlib.import_module(f".{arguments[place]}", __package__)
        return int(module.run([*arguments[:place], *arguments[place + 1 :]]))
    options = parser().parse_args(arguments)
    try:
        module = importlib.import_module(f".{options.command}", __package__)
        return int(module.run(options) or 0)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away (`modeld models | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _explain(error, options)


def _forgive_text() -> None:
    """Text that the terminal's encoding lacks must not end a command."""
    streams: tuple[Any, ...] = (sys.stdin, sys.stdout, sys.stderr)
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _explain(error: Exception, options: argparse.Namespace) -> int:
    """What a person can do about it; a defect of ours keeps its traceback."""
    from modeld_client.errors import ModeldError

    if isinstance(error, PermissionError) and error.filename is None:  # the runtime directory is not ours
        print(f"modeld: {error}", file=sys.stderr)
        return 1
    if not isinstance(error, ModeldError):
        raise error
    from .explain import complain

    return complain(error, options)


def parser() -> argparse.ArgumentParser:
    """The command line of every command but `simulate`, which has its own."""
    top = argparse.ArgumentParser(prog="modeld", add_help=False)
    add_common(top)
    shared = argparse.ArgumentParser(add_help=False)
    add_common(shared.add_argument_group("which daemon"), default=argparse.SUPPRESS)
    made = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = made.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[shared])
        add_version(command)
        if name in _ADD:
            _ADD[name](command)
    return top


# ---- what each takes


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for machines")


def _add_stop(command: argparse.ArgumentParser) -> None:
    _add_json(command)
    command.add_argument("--force", action="store_true", help="cancel running calls instead of waiting for them")


def _add_models(command: argparse.ArgumentParser) -> None:
    _add_json(command)
    command.add_argument("--all", action="store_true", help="without a config: also those of providers without a key")
    command.add_argument("--discover", action="store_true", help="ask the providers what they have")
    command.add_argument("--provider", action="append", metavar="NAME", help="only this provider (may be given again)")


def _add_usage(command: argparse.ArgumentParser) -> None:
    command.add_argument("--by", choices=("model", "provider", "session", "client", "day"), default="model", help="what to sum")
    command.add_argument("--calls", action="store_true", help="the calls one by one, newest first")
    command.add_argument("--limit", type=_count, default=50, metavar="N", help="with --calls: at most so many (0: all)")
    command.add_argument("--since", metavar="TIME", help="from then on: 2026-01-31, 2026-01-31T12:00, 7d, 12h")
    command.add_argument("--until", metavar="TIME", help="before then")
    for name in ("provider", "model", "session", "client"):
        command.add_argument(f"--{name}", metavar="ID", help=f"only this {name}")
    command.add_argument("--reprice", action="store_true", help="price the stored calls again first, at the prices of now")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--csv", action="store_true", help="for spreadsheets")
    kind.add_argument("--json", action="store_true", help="for machines")


def _add_ask(command: argparse.ArgumentParser) -> None:
    command.add_argument("prompt", nargs="*", help="the question; what is piped in is added to it")
    _add_conversation(command)
    command.add_argument("--json", action="store_true", help="the whole response as JSON, in one piece")


def _add_demo(command: argparse.ArgumentParser) -> None:
    command.add_argument("--plain", action="store_true", help="plain lines instead of a live screen")
    command.add_argument("--fast", action="store_true", help="without the pauses that make it watchable")
    command.add_argument("--svg", metavar="FILE", help=argparse.SUPPRESS)


def _add_schema(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", nargs="?", default="schemas", help="where to write (default: schemas)")
    command.add_argument("--check", action="store_true", help="write nothing; fail where files differ")


def _add_conversation(command: argparse.ArgumentParser) -> None:
    command.add_argument("-m", "--model", help="id (provider:name) or alias; default: default_model of models.yaml")
    command.add_argument("-p", "--provider", help="ask this provider")
    command.add_argument("-s", "--system", metavar="TEXT", help="system prompt")
    command.add_argument("--max-tokens", type=_positive, metavar="N", help="at most so many output tokens")
    command.add_argument("--temperature", type=_temperature, metavar="T", help="0 to 2")
    think = command.add_mutually_exclusive_group()
    think.add_argument("--think", action="store_const", const="adaptive", help="let the model think, as much as it sees fit")
    think.add_argument("--effort", dest="think", choices=EFFORTS, help="let it think, with this effort")
    think.add_argument("--no-think", dest="think", action="store_const", const="off", help="no thinking")
    command.add_argument("-q", "--quiet", action="store_true", help="the answer alone: no thinking, no figures")


def _add_chat(command: argparse.ArgumentParser) -> None:
    _add_conversation(command)
    command.add_argument("--session", metavar="ID", help="go on with a session that the daemon keeps: its id, `last`, or `new`")


def _add_sessions(command: argparse.ArgumentParser) -> None:
    command.usage = "modeld sessions [list|show|fork|preview|delete|export|import] [SESSION ...] [options]"
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = _SESSIONS
    command.add_argument("action", nargs="?", default="list", choices=_ACTIONS, metavar="ACTION", help=argparse.SUPPRESS)
    command.add_argument("words", nargs="*", metavar="SESSION", help=argparse.SUPPRESS)
    _add_json(command)
    command.add_argument("-n", "--limit", type=_positive, default=20, metavar="N", help="list: at most so many (default: 20)")
    command.add_argument("--at", metavar="MESSAGE", help="fork: after this message, by its number in `show` or its id")
    command.add_argument("-o", "--output", metavar="FILE", help="export: into this file instead of stdout")


def _add_tail(command: argparse.ArgumentParser) -> None:
    command.add_argument("session", nargs="?", metavar="SESSION", help="its id, or `last` (the default): the one used last")
    command.add_argument("--json", action="store_true", help="one event a line, for machines")
    command.add_argument("--once", action="store_true", help="leave when the next turn has ended")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _temperature(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 2:
        raise ValueError(text)
    return number


_count.__name__ = "count"
_positive.__name__, _temperature.__name__ = "positive number", "temperature (0 to 2)"  # argparse says "invalid … value"

_ADD = {
    "ask": _add_ask,
    "chat": _add_chat,
    "sessions": _add_sessions,
    "tail": _add_tail,
    "demo": _add_demo,
    "models": _add_models,
    "status": _add_json,
    "stop": _add_stop,
    "usage": _add_usage,
    "doctor": _add_json,
    "schema": _add_schema,
}
