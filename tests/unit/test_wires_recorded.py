"""Recorded answers through all wires, in one table: any split gives the same, and what is streamed is the content.

The Messages wire has its own, beside the cuts of its recordings.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tests.harness.gemini_wire import replay
from tests.harness.recorded import check_deltas
from tests.unit import test_wire_gemini_recorded as gemini
from tests.unit import test_wire_ollama_recorded as ollama
from tests.unit import test_wire_openai_chat_recorded as chat
from tests.unit import test_wire_openai_responses_recorded as responses

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure

Played = tuple[Assembler, ProviderFailure | None]


class Case(NamedTuple):
    """A recording, and how its wire plays it in pieces of a size."""

    recording: Any
    play: Callable[[Any, int | None], Played]


def _gemini(recording: Any, size: int | None) -> Played:
    return replay(recording, range(size, len(recording.body), size) if size else ())


PLAY = {chat: chat.played, responses: responses.played, ollama: ollama.played, gemini: _gemini}
STREAMS = [Case(recording, play) for module, play in PLAY.items() for recording in module.STREAMS]
WHOLE = [Case(recording, _gemini) for recording in gemini.ANSWERS if recording.kind != "sse"]

pytestmark = pytest.mark.skipif(not STREAMS, reason="no recorded traffic here")


def each(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.recording.id for case in cases])


@each(STREAMS)
@pytest.mark.parametrize("size", [1, 7, 64, 1_000])
def test_any_split_gives_the_same_events(case: Case, size: int) -> None:
    whole, failure = case.play(case.recording, None)
    cut, failed = case.play(case.recording, size)
    assert cut.events == whole.events
    assert cut.terminal_event() == whole.terminal_event()
    assert (failed and failed.message) == (failure and failure.message)


@each([*STREAMS, *WHOLE])
def test_deltas_are_the_content(case: Case) -> None:
    check_deltas(case.play(case.recording, None)[0])
