"""The command line of the daemon itself, and the help that shows everything there is."""

import argparse
import os
import sys

from ..observe.debug import Debug, InvalidDebug, parse_debug
from .names import COMMANDS
from .options import add_common, add_version

LEVELS = ("debug", "info", "warning", "error", "off")
_GROUPS = {
    "Talk to models": ("ask", "chat", "demo"),
    "Look around": ("models", "sessions", "tail", "status", "usage", "doctor"),
    "The rest": ("stop", "simulate", "record", "replay", "schema"),
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a daemon; leaves with 2 and a next step where they make no sense."""
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    unknown = [word for word in rest if not word.startswith("--clientProcessId")]  # editors add it
    if unknown:
        parser.exit(2, f"modeld: {_unknown(unknown[0])}. `modeld --help` shows what there is.\n")
    return known


def _unknown(word: str) -> str:
    if word.startswith("-"):
        return f"there is no option {word}"
    from difflib import get_close_matches

    near = get_close_matches(word, COMMANDS, n=1)
    return f"there is no command {word}" + (f"; did you mean `{near[0]}`" if near else "")


def _commands() -> str:
    lines: list[str] = []
    for title, names in _GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<10}{COMMANDS[name]}" for name in names), ""]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modeld",
        usage="modeld COMMAND [options]    one of the commands below; each has its own --help\n"
        "       modeld [options]            the daemon itself, in the foreground on its socket",
        description="One local daemon through which every editor and agent on a machine talks to every language model.\n"
        "Commands start it when they need it.\n\n" + _commands(),
        epilog="New here? `modeld demo`, then `modeld doctor`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    add_common(parser.add_argument_group("Options everywhere"))
    _add_own(parser.add_argument_group("Options of the daemon"))
    rest = parser.add_argument_group("Without a daemon")
    rest.add_argument(
        "--check-config", metavar="FILE", nargs="?", help="print every problem of the config (--json too) and leave"
    )
    rest.add_argument("-h", "--help", action="help", help="show this and leave")
    add_version(rest)
    return parser


def _add_own(group: "argparse._ArgumentGroup") -> None:  # pyright: ignore[reportPrivateUsage] - argparse has no public name for it
    group.add_argument("--stdio", action="store_true", help="join stdin and stdout to the shared daemon, started if need be")
    group.add_argument("--isolated", action="store_true", help="with --stdio: the whole daemon in this process")
    group.add_argument("--tcp", metavar="HOST:PORT", help="listen on this loopback address too; clients need the token")
    group.add_argument(
        "--idle-exit", metavar="SECONDS", type=float, default=0, help="leave after so long without clients and calls (0: never)"
    )
    group.add_argument(
        "--log-level",
        choices=LEVELS,
        default=_level_of_environment(),
        help="what goes to stderr (default: warning; also MODELD_LOG_LEVEL)",
    )
    group.add_argument(
        "--debug",
        metavar="KNOBS",
        type=_debug,
        default=_debug_of_environment(),
        help="more in the log: verbose, token_usage, cache, retries; in artefacts: raw_requests, raw_responses, thinking, "
        "max_content_length=N; no_NAME turns one off (also MODELD_DEBUG)",
    )
    group.add_argument(
        "--artefacts",
        metavar="DIR",
        default=os.environ.get("MODELD_ARTEFACTS") or None,
        help="write every request to a provider and its answer there, without keys (also MODELD_ARTEFACTS)",
    )


def _level_of_environment() -> str:
    level = os.environ.get("MODELD_LOG_LEVEL") or "warning"
    if level in LEVELS:
        return level
    print(f"modeld: MODELD_LOG_LEVEL is {level!r}, not one of {', '.join(LEVELS)}; taking warning", file=sys.stderr)
    return "warning"


def _debug(text: str) -> Debug:
    try:
        return parse_debug(text)
    except InvalidDebug as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _debug_of_environment() -> Debug:
    try:
        return parse_debug(os.environ.get("MODELD_DEBUG", ""))
    except InvalidDebug as error:
        print(f"modeld: MODELD_DEBUG is not taken: {error}", file=sys.stderr)
        return Debug()
