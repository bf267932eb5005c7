"""A conversation that is kept, as a person reads it: who said what, which tools were called, what they said."""

import sys

import msgspec

from modeld_client import Client
from modeld_client.errors import ModeldError
from modeld_protocol.content import FileBlock, ImageBlock, Message, TextBlock, ToolResultBlock, ToolUseBlock

from .terminal import paint, shown

_STYLES = {"user": "cyan", "assistant": "green", "tool": "yellow", "system": "dim"}
LAST = "last"


def session_named(client: Client, name: str | None) -> str:
    """The id of a session: as given, for `last` or nothing that of the one used last. Raises ModeldError where there is none."""
    if name not in (None, LAST):
        return name
    found = client.sessions.list(1).sessions
    if not found:
        raise ModeldError("no sessions yet; `modeld chat --session new` begins one")
    return found[0].session_id


def show_message(message: Message, *, number: int | None = None) -> None:
    """One message on stdout, with its place in the history where it is given."""
    out = sys.stdout
    place = "" if number is None else paint(f"{number:>3} ", "dim", out)
    print(f"{place}{paint(f'{message.role}:', _STYLES[message.role], out)} {_text(message)}", file=out, flush=True)


def _text(message: Message) -> str:
    parts: list[str] = []
    for block in message.blocks():
        if isinstance(block, TextBlock):
            parts.append(block.text)
        elif isinstance(block, ToolUseBlock):
            parts.append(f"→ {block.name} {msgspec.json.encode(block.input).decode()}")
        elif isinstance(block, ToolResultBlock):
            parts.append(block.content if isinstance(block.content, str) else "(a result)")
        elif isinstance(block, ImageBlock | FileBlock):
            parts.append("(an image)" if isinstance(block, ImageBlock) else "(a file)")
    return shown("\n".join(parts), sys.stdout)
