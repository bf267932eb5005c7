"""All wires under anything, in one table: one encoding of any request, an answer or a failure with a next step in any body."""

import json

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.harness.wire_promises import WireCase, attempted, check_stream, odd
from tests.property.test_wire_gemini_property import CASE as GEMINI
from tests.property.test_wire_ollama_property import CASE as OLLAMA
from tests.property.test_wire_openai_chat_property import CASE as CHAT
from tests.property.test_wire_openai_responses_property import CASE as RESPONSES

from modeld.providers.catalog import all_rows, wire_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.contract import Encoded
from modeld_protocol.content import Message
from modeld_protocol.errors import RETRYABLE
from modeld_protocol.request import CanonicalRequest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CASES = [CHAT, RESPONSES, GEMINI, OLLAMA]
WIRES = sorted({row.wire for row in all_rows()})
each = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@each
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_request_has_one_encoding_that_the_vendors_types_take(case: WireCase, data: st.DataObject) -> None:
    request, quirks = data.draw(case.requests), data.draw(case.quirks)
    first, second = (attempted(lambda: case.encode(request, quirks)) for _ in range(2))
    if isinstance(first, ProviderFailure):
        event("refused")
        assert isinstance(second, ProviderFailure)
        assert (first.error_class, first.message) == (second.error_class, second.message)
        assert first.error_class == "capability_mismatch"
        return
    assert first == second
    assert all(warning.path for warning in first.warnings)
    case.check_body(first, quirks)


@each
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_was_sent_stays_when_the_history_grows(case: WireCase, data: st.DataObject) -> None:
    history, more = (_messages(data.draw(case.requests)) for _ in range(2))
    quirks = data.draw(case.grown_with)
    later = [message for message in [Message("assistant", "Well."), *more] if case.system_later or message.role != "system"]
    before = attempted(lambda: case.encode(CanonicalRequest(history), quirks))
    after = attempted(lambda: case.encode(CanonicalRequest([*history, *later]), quirks))
    assert isinstance(before, Encoded)
    assert isinstance(after, Encoded)
    sent, grown = json.loads(before.body), json.loads(after.body)
    assert grown[case.items][: len(sent[case.items])] == sent[case.items]
    assert grown.get("systemInstruction") == sent.get("systemInstruction")


def _messages(request: CanonicalRequest) -> list[Message]:
    return [Message("user", request.messages)] if isinstance(request.messages, str) else request.messages


@each
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_body_is_an_answer_or_a_failure(case: WireCase, data: st.DataObject) -> None:
    body, assembler = data.draw(case.bodies), case.new_assembler(data.draw(case.read_with))
    failed = None
    try:
        case.wire.decode(body, assembler)
    except ProviderFailure as failure:
        failed = failure
        assembler.complete("error")
    assert failed is None or "; " in failed.message
    assert failed is None or failed.error_class != "network" or case.body_may_be_stream
    assert assembler.completed
    check_stream(assembler)


# ---- what a provider says of a failure

ODD = odd("text", "type", "id", "content", "error", "code", "message", "parts", "name", "done")
ERRORS = st.one_of(ODD, st.builds(lambda message, details: {"message": message, "details": details}, ODD, st.lists(ODD)))
BODIES = st.one_of(
    st.binary(max_size=80),
    ERRORS.map(lambda value: json.dumps({"error": value}).encode()),
    ODD.map(lambda value: json.dumps(value).encode()),
)
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date", "x-request-id"]), st.text(max_size=8))


@pytest.mark.parametrize("wire", WIRES)
@settings(max_examples=150, deadline=None)
@given(status=st.integers(200, 599), headers=HEADERS, body=BODIES)
def test_any_failed_answer_has_a_class_and_a_next_step(wire: str, status: int, headers: dict[str, str], body: bytes) -> None:
    failure = wire_of(wire).decode_failure(status, headers, body)
    assert failure.provider_status == status
    assert "; " in failure.message
    failure.message.encode()
    assert failure.retryable == (failure.error_class in RETRYABLE)
    assert failure.retry_after_seconds is None or failure.retry_after_seconds > 0
