"""`modeld chat`: a conversation in the terminal."""

import argparse
import contextlib
import sys

from modeld_protocol.content import Message

from .ask import answer, connect
from .terminal import console

_HELP = """[bold]/model NAME[/bold]  go on with another model   [bold]/system TEXT[/bold]  set the system prompt
[bold]/clear[/bold]       forget the conversation     [bold]/models[/bold]       what there is
[bold]/quit[/bold]        leave (also Ctrl-D); Ctrl-C stops an answer"""


def run(options: argparse.Namespace) -> int:
    """Read, answer, repeat, until the end of input."""
    err = console(sys.stderr)
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - line editing and history for input()
    history: list[Message] = []
    with connect(options) as client:
        err.print("[dim]/help shows the commands[/dim]")
        while (line := _read(err)) is not None:
            if line.startswith("/"):
                if not _command(line, history, options, client, err):
                    return 0
                continue
            if not line.strip():
                continue
            history.append(Message("user", line))
            response = answer(client, history, options)
            if response is None or not response.content:
                history.pop()
                continue
            history.append(Message("assistant", response.content))
    return 0


def _read(err: object) -> str | None:
    try:
        return input("› " if sys.stdin.isatty() else "")
    except EOFError:
        return None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return ""


def _command(line: str, history: list[Message], options: argparse.Namespace, client: object, err: object) -> bool:
    """Run a slash command; False to leave."""
    from .models import show

    name, _, rest = line.partition(" ")
    out = console(sys.stderr)
    if name in ("/quit", "/exit", "/q"):
        return False
    if name == "/model" and rest:
        options.model = rest.strip()
        out.print(f"[dim]now {options.model}[/dim]")
    elif name == "/system":
        options.system = rest.strip() or None
    elif name == "/clear":
        history.clear()
    elif name == "/models":
        show(client, out)  # pyright: ignore[reportArgumentType]
    else:
        out.print(_HELP)
    return True
