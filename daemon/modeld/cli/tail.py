"""`modeld tail`: what happens on a session, live, whoever works on it."""

import argparse
import sys

import msgspec

from modeld_client import Client, SessionEvent, SessionFeed
from modeld_client.errors import ModeldError
from modeld_protocol.content import Message
from modeld_protocol.events import MessageComplete, StreamEvent
from modeld_protocol.session import SessionSnapshot

from .conversation import Printer
from .daemon import connect
from .terminal import note, say
from .transcript import session_named, show_message


def run(options: argparse.Namespace) -> int:
    """Show the conversation so far, then every event as it comes, until Ctrl-C or the daemon's end."""
    with connect(options) as client:
        session_id = session_named(client, options.session)
        with client.sessions.get(session_id).subscribe() as feed:
            if feed.snapshot is not None and not options.json:
                _show_snapshot(feed.snapshot)
            note(f"following {session_id}; Ctrl-C leaves")
            return _follow(client, session_id, feed, options)


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
                    _show_input(client, session_id, item.turn_id)
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


def _show_input(client: Client, session_id: str, turn_id: str) -> None:
    """What the turn that begins was asked; it comes into the history with the answer, which may be there already."""
    with client.sessions.get(session_id).subscribe() as now:
        if now.snapshot is not None:
            for message in _input_of(now.snapshot, turn_id):
                show_message(message)


def _input_of(snapshot: SessionSnapshot, turn_id: str) -> list[Message]:
    if snapshot.turn is not None and snapshot.turn.turn_id == turn_id:
        return snapshot.turn.input
    said: list[Message] = []
    for message in snapshot.messages:
        if message.role != "assistant":
            said.append(message)
        elif (message.metadata or {}).get("turn_id") == turn_id:
            return said
        else:
            said = []
    return []


def _show_snapshot(snapshot: SessionSnapshot) -> None:
    for message in snapshot.messages:
        show_message(message)
    if snapshot.turn is not None:
        for message in (*snapshot.turn.input, Message("assistant", snapshot.turn.content)):
            show_message(message)


def _write_line(item: SessionEvent, session_id: str) -> None:
    line = StreamEvent(item.request_id, item.epoch, item.cursor, item.event, session_id, item.turn_id)
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
