"""`modeld tail`: what happens on a session, live, whoever works on it."""

import argparse
import sys

import msgspec

from modeld_client import Client, SessionEvent, SessionFeed
from modeld_client.errors import ModeldError
from modeld_protocol.content import Message, TextBlock, ToolResultBlock, ToolUseBlock
from modeld_protocol.events import MessageComplete, StreamEvent
from modeld_protocol.session import SessionSnapshot

from .conversation import Printer
from .daemon import connect
from .terminal import note, paint, say, shown

_STYLES = {"user": "cyan", "assistant": "green", "tool": "yellow", "system": "dim"}


def run(options: argparse.Namespace) -> int:
    """Show the conversation so far, then every event as it comes, until Ctrl-C or the daemon's end."""
    with connect(options) as client:
        session_id = options.session or _last(client)
        if session_id is None:
            say("no sessions yet; `modeld chat --session new` begins one")
            return 1
        with client.sessions.get(session_id).subscribe() as feed:
            if feed.snapshot is not None and not options.json:
                _show_snapshot(feed.snapshot)
            note(f"following {session_id}; Ctrl-C leaves")
            return _follow(client, session_id, feed, options)


def _last(client: Client) -> str | None:
    found = client.sessions.list(1).sessions
    return found[0].session_id if found else None


def _follow(client: Client, session_id: str, feed: SessionFeed, options: argparse.Namespace) -> int:
    printer = Printer(quiet=False)
    shown_turn = ""
    try:
        for item in feed:
            if options.json:
                _write_line(item, session_id)
            else:
                if item.turn_id != shown_turn:
                    shown_turn = item.turn_id
                    _show_input(client, session_id)
                printer.show(item.event)
                if isinstance(item.event, MessageComplete):
                    printer.finish(item.event.final_content, item.event.stop_reason)
                    printer.end_line()
            if options.once and isinstance(item.event, MessageComplete):
                return 0
    except ModeldError as error:
        printer.end_line()
        say(f"modeld: {error}")
        return 1
    return 0


def _show_input(client: Client, session_id: str) -> None:
    """What the turn that begins was asked; it comes into the history with the answer."""
    with client.sessions.get(session_id).subscribe() as now:
        if now.snapshot is not None and now.snapshot.turn is not None:
            for message in now.snapshot.turn.input:
                _show(message)


def _show_snapshot(snapshot: SessionSnapshot) -> None:
    for message in snapshot.messages:
        _show(message)
    if snapshot.turn is not None:
        for message in (*snapshot.turn.input, Message("assistant", snapshot.turn.content)):
            _show(message)


def _show(message: Message) -> None:
    out = sys.stdout
    print(paint(f"{message.role}:", _STYLES[message.role], out), _text(message), file=out, flush=True)


def _text(message: Message) -> str:
    parts: list[str] = []
    for block in message.blocks():
        if isinstance(block, TextBlock):
            parts.append(block.text)
        elif isinstance(block, ToolUseBlock):
            parts.append(f"→ {block.name} {msgspec.json.encode(block.input).decode()}")
        elif isinstance(block, ToolResultBlock):
            parts.append(block.content if isinstance(block.content, str) else "(a result)")
    return shown("\n".join(parts), sys.stdout)


def _write_line(item: SessionEvent, session_id: str) -> None:
    line = StreamEvent(item.request_id, item.epoch, item.cursor, item.event, session_id, item.turn_id)
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
