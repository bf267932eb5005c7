"""The log: a JSON object a line, what a child is bound to in each of its lines, keys out of all of it, text in none."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from modeld.credentials.redact import Redactor
from modeld.observe.call_log import CallLog
from modeld.observe.debug import Debug
from modeld.observe.log import LEVELS, configure, logger
from modeld_protocol.events import CachePrefixChanged, CallCompleted, CallFailed, CallFallback, CallStarted, TraceEvent
from modeld_protocol.usage import Usage

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger("modeld")
    before = (root.handlers, root.level, root.propagate, logging.raiseExceptions)
    redactor = Redactor()
    redactor.add(KEY)
    stream = io.StringIO()
    configure("debug", stream, redactor)
    yield stream
    root.handlers, root.level, root.propagate, logging.raiseExceptions = before


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_children_say_what_they_are_bound_to(stream: io.StringIO) -> None:
    log = logger("part", daemon="d")
    child = log.child(session_id="s", client="c")
    grandchild = child.child(turn_id="t", client="other")
    log.info("one")
    child.warning("two", extra=1)
    grandchild.error("three", nothing=None)
    child.info("four")
    first, second, third, fourth = lines(stream)
    assert (first["component"], first["level"], first["message"], first["daemon"]) == ("part", "info", "one", "d")
    assert "session_id" not in first
    assert (second["session_id"], second["client"], second["extra"], second["level"]) == ("s", "c", 1, "warning")
    assert (third["daemon"], third["session_id"], third["client"], third["turn_id"]) == ("d", "s", "other", "t")
    assert "nothing" not in third
    assert "turn_id" not in fourth, "a child binds nothing to its parent"


def test_keys_are_taken_out_wherever_they_stand(stream: io.StringIO) -> None:
    log = logger("part").child(bound=f"Bearer {KEY}")
    log.info(f"a message with {KEY}", field=f"x{KEY}x", nested={"deep": [KEY]})
    assert KEY not in stream.getvalue()
    assert len(lines(stream)) == 1


def test_an_exception_is_told_by_its_places(stream: io.StringIO) -> None:
    try:
        raise ValueError("what a client sent")
    except ValueError:
        logging.getLogger("modeld.part").error("it failed", exc_info=True)
    except_for_its_words(stream)


def test_an_exception_that_is_handed_on_is_told_by_its_places_too(stream: io.StringIO) -> None:
    kept: list[Exception] = []
    try:
        raise ValueError("what a client sent")
    except ValueError as error:
        kept.append(error)
    logger("part").error("it failed", exception=kept[0], field=1)
    assert except_for_its_words(stream)["field"] == 1


def except_for_its_words(stream: io.StringIO) -> dict[str, Any]:
    (line,) = lines(stream)
    assert line["exception"] == "ValueError"
    assert "test_an_exception" in line["places"][-1]
    assert "what a client sent" not in stream.getvalue()
    return line


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_hides_what_is_below_it(stream: io.StringIO, level: str) -> None:
    configure(level, stream, Redactor())
    log = logger("part")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    shown = [line["message"] for line in lines(stream)]
    assert shown == [name for name in ("debug", "info", "warning", "error") if LEVELS[name] >= LEVELS[level]]
    assert log.wants("warning") is ("warning" in shown)


WHOSE: dict[str, str | None] = {"client": "c", "session_id": "s", "turn_id": "t"}
NAMED = ("r", "p", "p:m", 1)
EVENTS: list[tuple[TraceEvent, Debug, dict[str, Any] | None]] = [
    (CallStarted(*NAMED, True), Debug(), {"level": "debug", "streaming": True}),
    (CallCompleted(*NAMED, Usage(3, 4, 5, 6), "end_turn", 1.23), Debug(), {"input_tokens": 3, "cached_input_tokens": 5}),
    (CallCompleted(*NAMED, Usage(3, 4)), Debug(token_usage=False), {"input_tokens": None, "cached_input_tokens": 0}),
    (CallCompleted(*NAMED, Usage(3, 4)), Debug(cache=False), {"input_tokens": 3, "cached_input_tokens": None}),
    (CallFailed(*NAMED, "network", None, True, 1.0), Debug(), {"level": "warning", "will_retry": True}),
    (CallFailed(*NAMED, "network", None, True, 1.0), Debug(retries=False), None),
    (CallFailed(*NAMED, "server_error", 500, False, 1.0), Debug(retries=False), {"error_class": "server_error", "status": 500}),
    (CallFailed(*NAMED, "cancelled", None, False, 1.0), Debug(), {"level": "info"}),
    (CallFallback(*NAMED, "q:m", "network"), Debug(), {"fallback_model": "q:m", "why": "network"}),
    (CachePrefixChanged(*NAMED, "system", 300, 0.001), Debug(), {"part": "system", "tokens": 300, "cost": 0.001}),
    (CachePrefixChanged(*NAMED, "system", 300, 0.001), Debug(cache=False), None),
]


@pytest.mark.parametrize(("event", "debug", "said"), EVENTS)
def test_every_line_of_a_call_says_whose_it_is(
    stream: io.StringIO, event: TraceEvent, debug: Debug, said: dict[str, Any] | None
) -> None:
    CallLog(debug, *WHOSE.values()).observe(event)
    found = lines(stream)
    assert len(found) == (said is not None)
    for line in found:
        expected = {**WHOSE, "request_id": "r", "provider": "p", "model": "p:m", "retry_count": 1, **(said or {})}
        assert {name: line.get(name) for name in expected} == expected
