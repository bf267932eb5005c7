"""`modeld sessions`: the conversations that the daemon keeps, and what can be done with one."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from modeld_client import Client
from modeld_client import Session as Kept
from modeld_client.errors import InvalidRequest
from modeld_protocol.session import HandoffReport, Session, SessionExport, SessionValidateResult

from . import figures
from .daemon import connect
from .table import Column, lay_out, render
from .terminal import paint, printable, say, width, write_json
from .transcript import session_named, show_message

_COLUMNS = (
    Column("session"),
    Column("model", floor=12, worth=5),
    Column("messages", right=True, worth=4),
    Column("last used", worth=3),
    Column("turn", worth=2),
)


def run(options: argparse.Namespace) -> int:
    """Do what is asked; 1 where a session that was named is not there."""
    words: list[str] = options.words
    with connect(options) as client:
        if options.action == "list":
            return _list(client, options)
        if options.action == "delete":
            return _delete(client, words)
        if options.action == "import":
            return _import(client, words, options)
        if options.action == "preview":
            return _preview(client, words, options)
        if len(words) > 1:
            return _misused(f"{options.action} takes one session")
        act: Callable[[Kept, argparse.Namespace], int] = {"show": _show, "fork": _fork, "export": _export}[options.action]
        return act(client.sessions.get(session_named(client, words[0] if words else None)), options)


def _misused(problem: str) -> int:
    say(f"modeld: {problem}; `modeld sessions --help` shows how")
    return 2


# ---- all of them


def _list(client: Client, options: argparse.Namespace) -> int:
    if options.words:
        return _misused("list takes no session")
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


def _row(session: Session) -> list[str]:
    turn = session.last_turn.status if session.last_turn is not None else ""
    return [session.session_id, _model(session), str(session.message_count), _minute(session.updated_at), turn]


def _model(session: Session) -> str:
    return printable(session.model or "(default)")


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _delete(client: Client, session_ids: Sequence[str]) -> int:
    if not session_ids:
        return _misused("delete takes the sessions to delete")
    missing = [session_id for session_id in session_ids if not _deleted(client, session_id)]
    for session_id in missing:
        say(f"modeld: there is no session {session_id}; `modeld sessions` lists them", "red")
    return 1 if missing else 0


def _deleted(client: Client, session_id: str) -> bool:
    try:
        client.sessions.delete(session_named(client, session_id))
    except InvalidRequest:
        return False
    return True


# ---- one


def _show(session: Kept, options: argparse.Namespace) -> int:
    messages = session.messages()
    state = session.validate()
    if options.json:
        write_json({"session": session.info, "messages": messages, "valid": state.valid, "problems": state.problems})
        return 0
    for line in _about(session.info, state):
        print(line)
    for number, message in enumerate(messages, 1):
        show_message(message, number=number)
    return 0


def _about(info: Session, state: SessionValidateResult) -> list[str]:
    """The lines above a session's messages."""
    turn = info.last_turn
    facts = [
        ("model", _model(info)),
        ("begun", _minute(info.created_at)),
        ("last used", _minute(info.updated_at)),
        ("forked from", info.parent_id or ""),
        ("last turn", " ".join(filter(None, (turn.status, turn.error_class))) if turn is not None else ""),
        ("system", printable(info.system_prompt or "")),
        ("tools", ", ".join(printable(tool.name) for tool in info.tools)),
    ]
    lines = [paint(info.session_id, "bold", sys.stdout)]
    lines += [f"  {paint(f'{name:<12}', 'dim', sys.stdout)}{value}" for name, value in facts if value]
    lines += [f"  {paint(f'{problem.code}: {problem.message}', 'yellow', sys.stdout)}" for problem in state.problems]
    return [*lines, ""]


def _fork(session: Kept, options: argparse.Namespace) -> int:
    at = options.at
    if at is not None and at.isdecimal():
        messages = session.messages()
        if not 1 <= int(at) <= len(messages):
            say(f"modeld: there is no message {at}; `modeld sessions show {session.id}` numbers them")
            return 1
        at = messages[int(at) - 1].id
    made = session.fork(at)
    if options.json:
        write_json(made.info)
    else:
        print(made.id)
    return 0


def _export(session: Kept, options: argparse.Namespace) -> int:
    whole = msgspec.json.format(msgspec.json.encode(session.export())) + b"\n"
    if options.output:
        Path(options.output).write_bytes(whole)
        say(f"{session.id}: {figures.counted(session.info.message_count, 'message')} into {options.output}", "dim")
    else:
        sys.stdout.write(whole.decode())
    return 0


def _import(client: Client, words: Sequence[str], options: argparse.Namespace) -> int:
    if len(words) > 1:
        return _misused("import takes one file")
    try:
        data = Path(words[0]).read_bytes() if words and words[0] != "-" else sys.stdin.buffer.read()
        export = msgspec.json.decode(data, type=SessionExport)
    except OSError as error:
        say(f"modeld: {error.filename}: {error.strerror}; give the file that `modeld sessions export` wrote")
        return 1
    except msgspec.MsgspecError as error:
        say(f"modeld: this is no export of a session ({error}); `modeld sessions export` writes one")
        return 1
    made = client.sessions.import_(export)
    if options.json:
        write_json(made.info)
    else:
        print(made.id)
    return 0


# ---- another model


def _preview(client: Client, words: Sequence[str], options: argparse.Namespace) -> int:
    if len(words) != 2:
        return _misused("preview takes a session and a model")
    report = client.sessions.get(session_named(client, words[0])).preview(words[1])
    if options.json:
        write_json(report)
        return 0
    for line in handoff_lines(report):
        print(line)
    return 0


def handoff_lines(report: HandoffReport) -> list[str]:
    """What a change of models does to a history, and what it costs."""
    currency = report.currency or "USD"
    costs = f"{figures.money(report.cost, currency)} there, {figures.money(report.stay_cost, currency)} to stay"
    lines = [
        f"{printable(report.from_model or 'the default model')} → {printable(report.to_model)}",
        f"  {figures.tokens(report.input_tokens) or '?'} tokens to read: {costs}",
        f"  kept as they are: {figures.counted(report.kept, 'block')}",
    ]
    for name, warnings in (("changed", report.degraded), ("left out", report.dropped), ("refused", report.refused)):
        said = [warning.message for warning in warnings]
        lines += [f"  {name}: {_times(said.count(one))}{one}" for one in dict.fromkeys(said)]
    return [printable(line) for line in lines]


def _times(count: int) -> str:
    return f"{count} × " if count > 1 else ""
