"""`modeld --stdio`: this process's stdin and stdout, joined to the shared daemon. An editor waits for it: no argparse here."""

import os
import sys

from .options import daemon_arguments, socket_of

_FIELDS = {"--socket": "socket", "--config": "config", "--state-dir": "state_dir"}
_PASSED = ("--log-level", "--idle-exit", "--debug", "--artefacts")  # on to a daemon that has to be started
_IGNORED = ("--stdio", "--clientProcessId")  # editors add the latter


class StdioOptions:
    """The options that count here."""

    def __init__(self) -> None:
        self.socket: str | None = None
        self.config: str | None = None
        self.state_dir: str | None = None
        self.passed: list[str] = []


def run(arguments: list[str]) -> int:
    """Forward until either side ends; the exit code is LSP's: 0 after shutdown, 1 without."""
    options, wrong = parse(arguments)
    if wrong:
        print(f"modeld --stdio: {wrong}", file=sys.stderr)
        return 2
    from ..server.forward import forward

    try:
        socket = str(socket_of(options))
    except PermissionError as error:
        print(f"modeld --stdio: {error}", file=sys.stderr)
        return 1
    return forward(socket, [*daemon_arguments(options), *options.passed])


def parse(arguments: list[str]) -> tuple[StdioOptions, str | None]:
    """The options, and what is wrong with them. An argument that we don't know is an editor's, and is said and ignored."""
    options = StdioOptions()
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in _FIELDS or name in _PASSED:
            given = value if equals else next(words, None)
            if given is None:
                return options, f"{name} needs a value"
            if name in _PASSED:
                options.passed += [name, os.path.abspath(given) if name == "--artefacts" else given]
            else:
                setattr(options, _FIELDS[name], given)
        elif name not in _IGNORED:
            print(f"modeld: ignoring the argument {word}", file=sys.stderr)
    return options, None
