"""Scenarios of failure and cancellation: every class, before the answer and in the middle of it."""

import asyncio
from unittest.mock import patch

import pytest
from tests.conformance.suite.scenario import STREAMED, scenario
from tests.conformance.suite.world import Case, text_of

from modeld.providers import limits_per_key
from modeld.simulator import Script
from modeld_protocol.errors import RETRYABLE, ErrorClass
from modeld_protocol.events import MessageComplete, MessageStart, TextDelta

WORDS = "This answer has a dozen words, so that it can break anywhere inside."
CLASSES: dict[str, ErrorClass] = {
    "overloaded": "server_error",
    "server_error": "server_error",
    "auth": "auth",
    "forbidden": "auth",
    "not_found": "model_not_found",
    "quota": "quota_exceeded",
    "context_overflow": "context_overflow",
    "bad_request": "invalid_request",
    "unprocessable": "invalid_request",
    "content_filter": "content_filter",
    "html_502": "server_error",
    "garbage_200": "server_error",
    "error_in_200": "server_error",
    "reset_before_headers": "network",
}
OTHERWISE: dict[tuple[str, str], ErrorClass] = {("forbidden", "ollama"): "quota_exceeded"}
"""Its 403 says that the plan doesn't hold the model."""

MID_STREAM: dict[str, ErrorClass] = {
    "error_event_mid_stream": "server_error",
    "close_mid_stream": "network",
    "cut_without_end_marker": "network",
}


def _of_class(fault: str, error_class: ErrorClass) -> None:
    async def fails(case: Case) -> None:
        failure, events = await case.fail(Script([WORDS], fault=fault))
        assert failure.error_class == OTHERWISE.get((fault, case.info.wire), error_class)
        assert failure.retryable == (error_class in RETRYABLE)
        assert len(case.simulator.requests) == (2 if failure.retryable else 1)
        if case.stream:
            assert [type(event) for event in events if not isinstance(event, MessageStart)] == [MessageComplete]

    scenario(name=f"failure_{fault}")(fails)


def _in_the_middle(fault: str, error_class: ErrorClass) -> None:
    async def fails(case: Case) -> None:
        failure, events = await case.fail(Script([WORDS], fault=fault))
        assert failure.error_class == error_class
        assert len(case.simulator.requests) == 1, "nothing is retried once an event has been made"
        partial, last = failure.partial, events[-1]
        assert partial is not None
        assert isinstance(last, MessageComplete)
        assert (partial.stop_reason, last.stop_reason) == ("error", "error")
        assert text_of(partial.content) == text_of(last.final_content) == "This answer has"
        assert partial.usage.estimated
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "This answer has"

    scenario(name=f"failure_{fault}", modes=STREAMED)(fails)


for _fault, _error_class in CLASSES.items():
    _of_class(_fault, _error_class)
for _fault, _error_class in MID_STREAM.items():
    _in_the_middle(_fault, _error_class)


@scenario()
async def failure_rate_limit(case: Case) -> None:
    with patch.object(limits_per_key, "FIRST_PAUSE_S", 0.001):  # as long as the provider asks for, not longer with every case
        failure, _ = await case.fail(Script([WORDS], fault={"name": "rate_limit", "retry_after": 0.001}))
    assert failure.error_class == "rate_limit"
    assert failure.retry_after_seconds == 0.001
    assert len(case.simulator.requests) == 2
    await case.ask(Script([WORDS]))  # a good answer opens the key for the next case


@scenario()
async def a_second_try(case: Case) -> None:
    reply = await case.ask(Script([WORDS], fault={"name": "server_error", "times": 1}))
    assert reply.text != ""
    assert reply.response.metrics.attempts == 2


@scenario()
async def cancelled(case: Case) -> None:
    """The connection to the provider is closed, what came is kept, and one terminal event says so."""
    simulator = case.simulator
    simulator.reset()
    simulator.push(Script([WORDS], fault="hang_mid_stream" if case.stream else "hang_before_headers"))
    call, events = case.call()
    task = asyncio.create_task(case.world.runtime.run(call))
    if case.stream:
        await asyncio.wait_for(events.some.wait(), 5)
    else:
        await simulator.wait_until(lambda: len(simulator.requests) > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await simulator.wait_until(lambda: len(simulator.closed_early) > 0)
    assert call.partial is not None
    assert call.partial.stop_reason == "cancelled"
    assert len(simulator.requests) == 1
    if case.stream:
        last = events.taken[-1]
        assert isinstance(last, MessageComplete)
        assert (last.stop_reason, text_of(last.final_content)) == ("cancelled", "This answer has")
