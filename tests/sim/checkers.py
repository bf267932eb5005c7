"""What must hold of every run, whatever went wrong in it. Each checker takes the outcome and gives what is broken, in words."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from tests.sim.client import Transcript
from tests.sim.world import PROMPT_CANARY, Outcome

from modeld_protocol.errors import INTERNAL_ERROR

Message = dict[str, Any]
ASKS_A_MODEL = ("turn/start", "model/stream", "model/complete")
USAGE = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_input_tokens")


def check(outcome: Outcome) -> list[str]:
    """Everything that is broken."""
    return [f"{checker.__name__}: {problem}" for checker in CHECKERS for problem in checker(outcome)]


# ---- answers


def one_response_per_request(outcome: Outcome) -> Iterator[str]:
    """Exactly one, or at most one where the connection ended; none to what nobody asked."""
    for transcript in outcome.transcripts:
        sent = Counter(message["id"] for what, message in transcript.entries if what == "sent" and "id" in message)
        got = Counter(
            message["id"]
            for what, message in transcript.entries
            if what == "got" and "id" in message and message["id"] is not None
        )
        for number in sorted(sent.keys() | got.keys(), key=str):
            if got[number] > sent[number]:
                yield f"{transcript.name}: {got[number]} answers to the request {number}"
            elif got[number] < sent[number] and number not in transcript.unanswered:
                yield f"{transcript.name}: no answer to the request {number}"


def one_terminal_event_per_stream(outcome: Outcome) -> Iterator[str]:
    """One for every stream that ended well, before its answer; none after it; at most one for any other."""
    for transcript in outcome.transcripts:
        asked: dict[Any, Message] = {}
        ended: Counter[str] = Counter()
        begun: set[str] = set()
        missed: set[str] = set()
        for what, message in transcript.entries:
            if what == "sent" and message.get("method") in ("turn/start", "model/stream"):
                asked[message["id"]] = message
            elif message.get("method") == "stream/gap":
                missed.add(message["params"]["session_id"])
            elif message.get("method") == "stream/event":
                params = message["params"]
                begun.add(params["request_id"])
                ended[params["request_id"]] += params["event"]["type"] == "message.complete"
            elif what == "got" and message.get("id") in asked and "method" not in message:
                params = asked[message["id"]]["params"]
                request_id = params["request_id"]
                whole = "result" in message or request_id in begun
                if whole and not ended[request_id] and params.get("session_id") not in missed:
                    yield f"{transcript.name}: {request_id} was answered without a terminal event"


def nothing_follows_the_end(outcome: Outcome) -> Iterator[str]:
    """After the terminal event of a stream no event of it comes, unless a client asked to see the session's again."""
    for transcript in outcome.transcripts:
        ended: dict[str, int] = {}
        for message in _got(transcript, "stream/event"):
            params = message["params"]
            request_id, cursor = params["request_id"], params["cursor"]
            last = ended.get(request_id)
            if last is not None and cursor > last:
                yield f"{transcript.name}: {request_id} goes on after its terminal event"
            if params["event"]["type"] == "message.complete":
                ended[request_id] = cursor


def nothing_fails_inside(outcome: Outcome) -> Iterator[str]:
    """Whatever goes wrong outside, no handler and no turn breaks."""
    for transcript in outcome.transcripts:
        for what, message in transcript.entries:
            if what == "got" and message.get("error", {}).get("code") == INTERNAL_ERROR:
                yield f"{transcript.name}: {message}"
    yield from (line for line in outcome.logs.splitlines() if '"turn failed"' in line or '"a handler failed"' in line)


# ---- following


def subscribers_see_the_same(outcome: Outcome) -> Iterator[str]:
    """One session, one epoch, one cursor: the same event for everybody."""
    seen: dict[tuple[str, str, int], bytes] = {}
    for transcript in outcome.transcripts:
        for message in _got(transcript, "stream/event"):
            params = message["params"]
            if "session_id" not in params:
                continue
            key = params["session_id"], params["epoch"], params["cursor"]
            body = msgspec.json.encode(params["event"])
            if seen.setdefault(key, body) != body:
                yield f"{transcript.name}: another event than others saw at {key}"


def nothing_missing_nothing_twice(outcome: Outcome) -> Iterator[str]:
    """While a client follows, cursors rise by one from the one that its subscription named, gaps that were told aside."""
    for transcript in outcome.transcripts:
        asked: dict[Any, Message] = {}
        last: dict[str, int] = {}
        following: set[str] = set()
        for what, message in transcript.entries:
            if what == "sent":
                asked[message.get("id")] = message
                continue
            method = message.get("method")
            if method == "stream/gap":
                last[message["params"]["session_id"]] = message["params"]["last"]
            elif method == "stream/event" and "session_id" in message["params"]:
                session_id, cursor = message["params"]["session_id"], message["params"]["cursor"]
                before = last.get(session_id)
                if before is not None and (cursor <= before or (session_id in following and cursor != before + 1)):
                    yield f"{transcript.name}: cursor {cursor} of {session_id} follows {before}"
                last[session_id] = cursor
            elif method is None and "result" in message:
                request = asked.get(message["id"], {})
                if request.get("method") == "session/subscribe":
                    following.add(request["params"]["session_id"])
                    last[request["params"]["session_id"]] = message["result"]["cursor"]
                elif request.get("method") == "session/unsubscribe":
                    following.discard(request["params"]["session_id"])


def text_is_whole(outcome: Outcome) -> Iterator[str]:
    """What a client put together from a snapshot and the pieces after it is what the answer came to."""
    for transcript in outcome.transcripts:
        texts: dict[str, str] = {}
        for what, message in transcript.entries:
            if what == "sent":
                continue
            result = message.get("result")
            snapshot = result.get("snapshot") if isinstance(result, dict) else None
            turn = (snapshot or {}).get("turn")
            if turn and turn.get("message_id"):
                texts[turn["message_id"]] = _text(turn["content"])
            if message.get("method") == "stream/gap" or (isinstance(result, dict) and "cursor" in result and not snapshot):
                texts.clear()  # pieces are missing, or come again
            event = message["params"]["event"] if message.get("method") == "stream/event" else {}
            if event.get("type") == "message.start":
                texts[event["message_id"]] = ""
            elif event.get("type") == "text.delta" and event["message_id"] in texts:
                texts[event["message_id"]] += event["text"]
            elif event.get("type") == "message.complete" and event["message_id"] in texts:
                whole, pieces = _text(event["final_content"]), texts.pop(event["message_id"])
                yield from [f"{transcript.name}: {pieces[-60:]!r} does not make {whole[-60:]!r}"] * (whole != pieces)


def _text(content: list[Message]) -> str:
    return "".join(block.get("text", "") for block in content if block["type"] == "text")


# ---- what is kept


def acknowledged_messages_are_kept(outcome: Outcome) -> Iterator[str]:
    """What a client was told is in the history is there at the end, once, through crashes too."""
    ids = {session_id: Counter(one["id"] for one in messages) for session_id, messages in outcome.histories.items()}
    for session_id, counted in ids.items():
        yield from (f"{session_id} holds {one} {count} times" for one, count in counted.items() if count > 1)
    for request, result in _results(outcome):
        session_id = request["params"].get("session_id")
        if session_id not in ids:
            continue
        told = [result["message"]["id"]] if request["method"] == "turn/start" else []
        told += result["message_ids"] if request["method"] == "session/append" else []
        yield from (f"{session_id} has lost {one}" for one in told if not ids[session_id][one])


def ledger_is_what_was_served(outcome: Outcome) -> Iterator[str]:
    """Every answer has its one completed row with the same counts; every row has come to an end."""
    rows: dict[str, list[Message]] = {}
    for row in outcome.calls:
        rows.setdefault(row["request_id"], []).append(row)
        if row["status"] == "started" and not outcome.store_failures:
            yield f"the row of {row['request_id']} is open for ever"
    served, booked = Counter[str](), Counter[str]()
    for request, result in _results(outcome):
        if request["method"] not in ASKS_A_MODEL:
            continue
        found = rows.get(request["params"]["request_id"], [])
        finished = [row for row in found if row["status"] == "completed"]
        if outcome.store_failures and found and not finished:
            continue  # it began in the ledger, and could not be finished there
        if len(finished) != 1:
            yield f"{request['params']['request_id']} has {len(finished)} completed rows of {len(found)}"
            continue
        for name in USAGE:
            served[name] += result["usage"].get(name) or 0
            booked[name] += finished[0][name] or 0
    if served != booked:
        yield f"the ledger has {dict(booked)}, served was {dict(served)}"


def the_store_is_sound(outcome: Outcome) -> Iterator[str]:
    """The file passes SQLite's own checks, every session has exactly the messages that it counts, and no turn runs in it."""
    disk = sqlite3.connect(":memory:")
    try:
        disk.deserialize(outcome.database)
        yield from (f"{line}" for (line,) in disk.execute("PRAGMA integrity_check") if line != "ok")
        yield from (f"a row of {row[0]} belongs to nothing" for row in disk.execute("PRAGMA foreign_key_check"))
        for session, count, size_bytes, stored, found in disk.execute(_COUNTED):
            yield f"{session} counts {count} messages of {size_bytes} bytes, not {stored} of {found}"
        if not outcome.store_failures:
            yield from (f"{turn} runs for ever" for (turn,) in disk.execute("SELECT turn_id FROM turns WHERE status = 'running'"))
    except sqlite3.DatabaseError as error:
        yield str(error)
    finally:
        disk.close()


_COUNTED = """
    SELECT * FROM (
        SELECT session_id, message_count, size_bytes,
            (SELECT count(*) FROM messages m WHERE m.session_id = s.session_id) AS stored,
            (SELECT coalesce(sum(length(body)), 0) FROM messages m WHERE m.session_id = s.session_id) AS found
        FROM sessions s WHERE deleted_ms IS NULL)
    WHERE message_count <> stored OR size_bytes <> found"""


# ---- what must not be left


def nothing_is_left(outcome: Outcome) -> Iterator[str]:
    """No task, timer, call, turn, queued write, reservation, connection or subscriber outlives those who wanted it."""
    yield from outcome.left


def every_moment_was_right(outcome: Outcome) -> Iterator[str]:
    """What was looked at while it ran: rows before requests, memory within its limits, everybody served in time."""
    yield from outcome.violations


# ---- what must not be seen


def no_canary(outcome: Outcome) -> Iterator[str]:
    """No key anywhere, no prompt in the ledger and the log."""
    places = [("the database", outcome.database), ("the log", outcome.logs.encode())]
    places += [(f"what {one.name} got", bytes(one.raw)) for one in outcome.transcripts]  # a client's every connection
    for place, data in places:
        if any(key.encode() in data for key in outcome.keys):
            yield f"a key is in {place}"
    for place, text in {"the ledger": outcome.calls_dump, "the log": outcome.logs}.items():
        if PROMPT_CANARY in text:
            yield f"a prompt is in {place}"


def _got(transcript: Transcript, method: str) -> Iterator[Message]:
    return (message for what, message in transcript.entries if what == "got" and message.get("method") == method)


def _results(outcome: Outcome) -> Iterator[tuple[Message, Message]]:
    """Requests with their results, over all connections."""
    for transcript in outcome.transcripts:
        asked = {message.get("id"): message for what, message in transcript.entries if what == "sent"}
        for what, message in transcript.entries:
            if what == "got" and "result" in message and message.get("id") in asked and message["result"] is not None:
                yield asked[message["id"]], message["result"]


CHECKERS: tuple[Callable[[Outcome], Iterator[str]], ...] = (
    one_response_per_request,
    one_terminal_event_per_stream,
    nothing_follows_the_end,
    nothing_fails_inside,
    subscribers_see_the_same,
    nothing_missing_nothing_twice,
    text_is_whole,
    acknowledged_messages_are_kept,
    ledger_is_what_was_served,
    the_store_is_sound,
    nothing_is_left,
    every_moment_was_right,
    no_canary,
)
