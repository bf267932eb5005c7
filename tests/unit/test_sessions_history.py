"""What may be added to a history, which calls wait, where it may be forked, what of it another model sees."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.providers.spec import ModelSpec, Quirks
from modeld.sessions.forks import count_until, fork_points
from modeld.sessions.history import UNANSWERED, Pairing, closing_message, kept_of_partial, problems_of, with_ids
from modeld.sessions.reasoning import project
from modeld.sessions.tool_ids import TakenIds, key_of
from modeld_protocol.content import (
    Message,
    RedactedThinkingBlock,
    RefusalBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from modeld_protocol.model import Capabilities, ModelLimits


def calls(*ids: str, message_id: str | None = None) -> Message:
    return Message("assistant", [ToolUseBlock(one, "f", {}) for one in ids], message_id)


def results(*ids: str, role: Any = "tool") -> Message:
    return Message(role, [ToolResultBlock(one, "r") for one in ids])


USER, ANSWER = Message("user", "hi"), Message("assistant", "ho")

CASES: list[tuple[str, list[Message], list[str], list[str]]] = [
    ("nothing", [], [], []),
    ("words", [USER, ANSWER, USER], [], []),
    ("a call waits", [USER, calls("tu_a", "tu_b")], [], ["tu_a", "tu_b"]),
    ("answered", [USER, calls("tu_a", "tu_b"), results("tu_a"), results("tu_b")], [], []),
    ("partly", [USER, calls("tu_a", "tu_b"), results("tu_b")], [], ["tu_a"]),
    ("by the provider's spelling", [calls("tu_a"), results("a")], [], []),
    ("in a user's message", [calls("tu_a"), results("tu_a", role="user")], [], []),
    ("words between", [calls("tu_a"), USER, results("tu_a"), ANSWER], [], []),
    ("unknown", [calls("tu_a"), results("tu_b")], ["tool_result_unknown"], ["tu_a"]),
    ("twice", [calls("tu_a"), results("tu_a"), results("tu_a")], ["tool_result_repeated"], []),
    ("twice in one", [calls("tu_a"), results("tu_a", "tu_a")], ["tool_result_repeated"], []),
    ("an answer too early", [calls("tu_a"), ANSWER], ["tool_call_pending"], []),
    ("an id again", [calls("tu_a"), results("tu_a"), calls("a")], ["tool_call_repeated"], []),
    ("an id twice in one", [calls("tu_a", "tu_a"), results("tu_a")], ["tool_call_repeated"], []),
    ("a call of the user's", [Message("user", [ToolUseBlock("tu_a", "f", {})])], ["misplaced_block"], []),
    (
        "a result of the assistant's",
        [calls("tu_a"), results("tu_a", role="assistant")],
        ["tool_call_pending", "misplaced_block"],
        [],
    ),
    ("words of a tool", [Message("tool", "text")], ["misplaced_block"], []),
    ("a message's id again", [Message("user", "a", "m"), Message("user", "b", "m")], ["message_id_repeated"], []),
]


@pytest.mark.parametrize(("messages", "codes", "waiting"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_pairing(messages: list[Message], codes: list[str], waiting: list[str]) -> None:
    assert [problem.code for problem in problems_of(messages)] == codes
    pairing = Pairing(messages)
    assert [call.id for call in pairing.pending.values()] == waiting
    step_by_step = Pairing()
    found: list[str] = []
    for message in messages:
        addition = step_by_step.weigh([message])
        found += [problem.code for problem in addition.problems]
        step_by_step.add(addition)
    assert found == codes
    assert list(step_by_step.pending) == list(pairing.pending)


def test_weighing_changes_nothing() -> None:
    pairing = Pairing([calls("tu_a")])
    addition = pairing.weigh([results("tu_a"), calls("tu_b")])
    assert [call.id for call in pairing.unanswered(addition)] == ["tu_b"]
    assert list(pairing.pending) == ["a"]


def test_what_is_left_open_is_answered_with_an_error() -> None:
    pairing = Pairing([calls("tu_a", "tu_b")])
    message, warning = closing_message(list(pairing.pending.values()), "msg_1")
    assert message.content == [ToolResultBlock(one, UNANSWERED, is_error=True) for one in ("tu_a", "tu_b")]
    assert warning.detail == {"tool_use_ids": ["tu_a", "tu_b"]}
    addition = pairing.weigh([message])
    assert not addition.problems
    assert not pairing.unanswered(addition)


def test_ids_are_kept_or_made() -> None:
    made = with_ids([Message("user", "a", "mine"), Message("user", "b")], lambda prefix: f"{prefix}_new")
    assert [message.id for message in made] == ["mine", "msg_new"]


def test_of_a_cut_answer_the_words_stay() -> None:
    content = [ThinkingBlock("hm"), TextBlock("said"), TextBlock(" "), ToolUseBlock("tu_a", "f", {}), RefusalBlock("no")]
    assert kept_of_partial(content) == [TextBlock("said")]


def test_taken_ids_know_both_spellings() -> None:
    taken = TakenIds(Pairing([calls("tu_a", "b")]).known)
    assert all(one in taken for one in ("tu_a", "a", "tu_b", "b"))
    assert "tu_c" not in taken
    assert key_of("tu_") == "tu_"


# ---- properties: random conversations

EVENTS = st.lists(st.sampled_from(["user", "call", "result", "answer"]), max_size=30)


def converse(events: list[str]) -> list[Message]:
    """A conversation without faults: whatever would be one is left out."""
    messages: list[Message] = []
    pairing = Pairing()
    for number, event in enumerate(events):
        waiting = list(pairing.pending.values())
        message = {
            "user": USER,
            "call": calls(f"tu_{number}", f"tu_{number}b"),
            "answer": ANSWER,
            "result": results(*(call.id for call in waiting[:1])),
        }[event]
        addition = pairing.weigh([message])
        if addition.problems or not message.content:
            continue
        pairing.add(addition)
        messages.append(msgspec.structs.replace(message, id=f"m{number}"))
    return messages


@given(EVENTS)
@settings(max_examples=100, deadline=None)
def test_a_fork_is_a_valid_history_without_open_calls(events: list[str]) -> None:
    messages = converse(events)
    points = fork_points(messages)
    assert {point.message_id for point in (*points.fork_points, *points.unsafe)} == {message.id for message in messages}
    for point in points.fork_points:
        count = count_until(messages, point.message_id)
        assert count is not None
        assert messages[count - 1].id == point.message_id
        assert not problems_of(messages[:count])
        assert not Pairing(messages[:count]).pending
        assert not problems_of(messages[count:]), "what follows answers nothing from before"
    for point in points.unsafe:
        assert count_until(messages, point.message_id) is None
    longest = count_until(messages, None)
    assert longest is not None
    assert not Pairing(messages[:longest]).pending
    assert count_until(messages, "nowhere") is None


# ---- reasoning


def spec_of(provider: str, kind: str | None = None, name: str = "m", **quirks: Any) -> ModelSpec:
    return ModelSpec(f"{provider}:{name}", provider, kind or provider, "w", name, Capabilities(), ModelLimits(), Quirks(**quirks))


def thought(text: str, provider: str, model: str = "m", *, at: str | None = None) -> Message:
    raw = {"provider": provider, "model": model, "signature": "s"}
    metadata = {"provider": at, "model": f"{at}:{model}"} if at else None
    return Message(
        "assistant", [ThinkingBlock(text, raw), TextBlock("said", {**raw}), RedactedThinkingBlock(raw)], "m1", metadata
    )


HOME = thought("hm", "a", at="a")


def test_at_home_everything_goes_back_as_it_came() -> None:
    sent = project([USER, HOME], spec_of("a"))
    assert sent.messages[1] is HOME
    assert not sent.warnings


def test_foreign_reasoning_is_left_to_the_wire_or_goes_as_text() -> None:
    assert project([HOME], spec_of("b")).messages[0] is HOME
    sent = project([HOME], spec_of("b"), as_text=True)
    assert sent.messages[0].content[0] == TextBlock("<thinking>\nhm\n</thinking>\n\n")
    assert [warning.code for warning in sent.warnings] == ["content_projected"]
    quoting = project([HOME], spec_of("b", reasoning_history="text"), as_text=True)
    assert quoting.messages[0] is HOME, "that wire quotes by itself"


def test_state_stays_at_its_endpoint() -> None:
    sent = project([HOME], spec_of("a2", "a"))
    assert sent.messages[0].content == [TextBlock("said")]
    assert sent.warnings[0].detail == {"count": 2}
    bound = project([HOME], spec_of("a", name="other", reasoning_bound_to_model=True), as_text=True)
    assert isinstance(bound.messages[0].content[0], TextBlock)


def test_what_was_refused_is_left_out_from_then_on() -> None:
    later = thought("later", "a", at="a")
    sent = project([HOME, USER, later], spec_of("a"), refused_before=2)
    assert sent.messages[0].content == [TextBlock("said")]
    assert sent.messages[2] is later
    assert [warning.code for warning in sent.warnings] == ["content_dropped"]


@given(
    st.lists(st.sampled_from([USER, HOME, thought("x", "b", at="b"), calls("tu_a")]), max_size=8),
    st.booleans(),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_a_prefix_is_projected_as_before(messages: list[Message], as_text: bool, refused: int) -> None:
    before = msgspec.json.encode(messages)
    for spec in (spec_of("a"), spec_of("b"), spec_of("a2", "a")):
        whole = project(messages, spec, as_text=as_text, refused_before=refused).messages
        for count in range(len(messages)):
            part = project(messages[:count], spec, as_text=as_text, refused_before=refused).messages
            assert whole[:count] == part
    assert msgspec.json.encode(messages) == before, "the stored history is never touched"
