"""The subcommands: one parser, one module each, imported when it is asked for."""

import argparse
import importlib
import os
import sys

from .options import add_common, add_version

_COMMANDS = {
    "status": "how the daemon does",
    "stop": "end the daemon, after its running calls",
    "models": "the configured models",
    "ask": "ask a model and see the answer as it comes",
    "chat": "hold a conversation",
    "demo": "see it working, without a key and without a network",
    "simulate": "a provider on loopback to test agents against",
    "doctor": "check this installation and say what to mend",
    "schema": "write the JSON Schemas of the protocol",
    "usage": "what calls cost",
}


def run(arguments: list[str]) -> int:
    """Parse and run one subcommand; returns its exit code."""
    if "simulate" in arguments and arguments[0] == "simulate":
        from ..simulator.command import run as simulate

        return simulate(arguments[1:])
    options = _parser().parse_args(arguments)
    module = importlib.import_module(f".{options.command}", __package__)
    try:
        return int(module.run(options) or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away (`modeld models | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _explain(error)


def _explain(error: Exception) -> int:
    """What a person can do about it, in one line; a defect of ours keeps its traceback."""
    from modeld_client.errors import ModeldError

    if not isinstance(error, ModeldError):
        raise error
    print(f"modeld: {error}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modeld", description="One local daemon through which everything talks to every model.")
    add_version(parser)
    add_common(parser)
    shared = argparse.ArgumentParser(add_help=False)
    add_common(shared, default=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=text, description=text, parents=[shared]) for name, text in _COMMANDS.items()}
    for name in ("status", "stop", "models", "doctor", "usage"):
        parsers[name].add_argument("--json", action="store_true", help="for machines")
    parsers["stop"].add_argument("--force", action="store_true", help="cancel running calls instead of waiting for them")
    parsers["models"].add_argument("--discover", action="store_true", help="ask the providers what they have")
    parsers["models"].add_argument("--provider", action="append", metavar="NAME", help="only this provider (may be given again)")
    _add_conversation(parsers["ask"])
    parsers["ask"].add_argument("prompt", nargs="*", help="the question; what is piped in is added to it")
    parsers["ask"].add_argument("--json", action="store_true", help="the whole response as JSON")
    _add_conversation(parsers["chat"])
    parsers["demo"].add_argument("--plain", action="store_true", help="plain lines instead of a live screen")
    parsers["demo"].add_argument("--fast", action="store_true", help="without the pauses that make it watchable")
    parsers["schema"].add_argument("folder", nargs="?", default="schemas", help="where to write (default: schemas)")
    parsers["schema"].add_argument("--check", action="store_true", help="write nothing; fail where files differ")
    return parser


def _add_conversation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", help="id (provider:name) or alias; default: default_model of models.yaml")
    parser.add_argument("--provider", help="ask this provider")
    parser.add_argument("-s", "--system", help="system prompt")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="at most so many output tokens")
    parser.add_argument("--temperature", type=float)
    parser.add_argument(
        "--think",
        nargs="?",
        const="adaptive",
        choices=["adaptive", "off", "minimal", "low", "medium", "high", "xhigh", "max"],
        help="let the model think, with this effort",
    )
