"""`modeld sessions`: the conversations that the daemon keeps."""

import argparse
import sys

from modeld_client import Client
from modeld_client.errors import InvalidRequest
from modeld_protocol.session import Session

from .daemon import connect
from .table import Column, lay_out, render
from .terminal import paint, printable, say, width, write_json

_COLUMNS = (
    Column("session"),
    Column("model", floor=12, worth=5),
    Column("messages", right=True, worth=4),
    Column("last used", worth=3),
    Column("turn", worth=2),
)


def run(options: argparse.Namespace) -> int:
    """A table, last used first, or JSON; 1 where one that was to be deleted is not there."""
    with connect(options) as client:
        if options.delete:
            missing = [session_id for session_id in options.delete if not _delete(client, session_id)]
            for session_id in missing:
                say(f"modeld: there is no session {session_id}", "red")
            return 1 if missing else 0
        found = client.sessions.list(options.limit)
    if options.json:
        write_json(found)
    elif not found.sessions:
        say("no sessions yet; `modeld chat --session new` begins one")
    else:
        lines = render(lay_out(_COLUMNS, [_row(session) for session in found.sessions], width(sys.stdout)))
        print(paint(lines[0], "bold", sys.stdout), *lines[1:], sep="\n")
        if found.next_cursor:
            say(f"more than {options.limit}; --limit shows them", "dim")
    return 0


def _delete(client: Client, session_id: str) -> bool:
    try:
        client.sessions.delete(session_id)
    except InvalidRequest:
        return False
    return True


def _row(session: Session) -> list[str]:
    used = session.updated_at[:16].replace("T", " ")
    turn = session.last_turn.status if session.last_turn is not None else ""
    return [session.session_id, printable(session.model or "(default)"), str(session.message_count), used, turn]
