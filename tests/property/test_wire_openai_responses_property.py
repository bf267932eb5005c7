"""The Responses wire under anything: any request has one encoding, any frames leave a stream that keeps its promises."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from openai.types.responses import response_create_params as sdk
from pydantic import TypeAdapter
from tests.harness import wire_promises
from tests.harness.wire_promises import WireCase, check_stream, odd, play
from tests.strategies import requests

from modeld.providers.assembler import Assembler
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.openai_responses import WIRE
from modeld.upstream.sse import SseDecoder
from modeld_protocol.content import OpaqueBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest

NONE = Quirks()
STREAMED = TypeAdapter(sdk.ResponseCreateParamsStreaming)
EFFORTS = st.sampled_from([(), ("none", "low", "high"), ("minimal", "low", "medium", "high"), ("low", "max")])
QUIRKS = st.builds(
    Quirks,
    system_role=st.sampled_from(["system", "developer"]),
    sampling=st.sampled_from(["any", "none", "without_reasoning", "one_of_two"]),
    stop=st.just(False),
    thinking=st.sampled_from(["none", "effort"]),
    thinking_default_on=st.booleans(),
    thinking_can_be_off=st.booleans(),
    efforts=EFFORTS,
    forced_tool_choice=st.booleans(),
    mid_conversation_system=st.booleans(),
    reasoning_bound_to_model=st.booleans(),
)
STATES = st.sampled_from(
    [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"},
        {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "a"}], "encrypted_content": "sealed"},
        {"type": "reasoning", "id": "rs_3", "summary": []},
    ]
)
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}


def spec(quirks: Quirks) -> ModelSpec:
    return ModelSpec("o:m", "o", "openai-responses", "openai_responses", "m", Capabilities(), ModelLimits(), quirks)


def consumed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: consumed(item) for key, item in value.items()}
    return value if isinstance(value, str | None | int | float) else [consumed(item) for item in value]


def typed(item: dict[str, Any]) -> dict[str, Any]:
    """The vendor's types know refusals only in messages with an id and a status, which the API can do without."""
    if item.get("role") == "assistant" and isinstance(item["content"], list):
        return {"type": "message", "id": "msg_1", "status": "completed", **item}
    return item


@st.composite
def own_requests(draw: st.DrawFn) -> CanonicalRequest:
    """A request in whose history this provider thought, and used tools of its own."""
    request = draw(requests())
    for message in [] if isinstance(request.messages, str) else request.messages:
        if message.role == "assistant" and not isinstance(message.content, str):
            message.content = [block for given in message.content for block in draw(_made_own(given))]
    return request


def _made_own(block: Any) -> st.SearchStrategy[list[Any]]:
    origin = st.sampled_from([{"provider": "openai-responses", "model": "m"}, {"provider": "openai-responses", "model": "n"}])
    if isinstance(block, ThinkingBlock):
        state = st.builds(lambda raw, item: [ThinkingBlock("a", {**raw, "item": item})], origin, STATES)
        return st.one_of(st.just([block]), state, state)
    if isinstance(block, OpaqueBlock):
        return st.one_of(st.just([block]), origin.map(lambda raw: [OpaqueBlock({**raw, "item": SEARCH})]))
    if isinstance(block, TextBlock):
        phase = st.sampled_from(["commentary", "final_answer"])
        return st.one_of(st.just([block]), st.builds(lambda raw, p: [TextBlock(block.text, {**raw, "phase": p})], origin, phase))
    return st.just([block])


def check_body(encoded: Encoded, _quirks: Quirks) -> None:
    """The vendor's types take it."""
    body = json.loads(encoded.body)
    known = {**body, "input": [typed(item) for item in body["input"]]}
    assert consumed(STREAMED.validate_python(known)) == known
    check_items(body["input"])


def check_items(items: list[dict[str, Any]]) -> None:
    """Every call is answered after it was made; reasoning stands before what it led to, and never without its state."""
    open_calls: list[str] = []
    for place, item in enumerate(items):
        kind = item.get("type")
        if kind == "function_call":
            open_calls.append(item["call_id"])
        elif kind == "function_call_output":
            open_calls.remove(item["call_id"])
        elif kind == "reasoning":
            assert item["encrypted_content"]
            after = items[place + 1]
            assert after.get("role") == "assistant" or after.get("type") in ("reasoning", "function_call", "web_search_call")
    assert open_calls == []


# ---- streams that are right, in any order and any split

PIECES = st.lists(st.sampled_from(["a", "bc", " ", "\u2028", "😀", "\n\n"]), max_size=4)
ARGUMENTS = st.sampled_from(["{}", '{"a":1}', '{"a": {"b": [1, "ü"]}}'])
ITEMS = st.one_of(
    PIECES.map(lambda pieces: ("message", pieces)),
    PIECES.map(lambda pieces: ("reasoning", pieces)),
    ARGUMENTS.flatmap(
        lambda text: st.lists(st.integers(0, len(text)), max_size=3).map(
            lambda cuts: (
                "function_call",
                [text[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True)],
            )
        )
    ),
    st.just(("web_search_call", [])),
)


def item_frames(index: int, kind: str, pieces: list[str]) -> list[dict[str, Any]]:
    """One item, announced, in deltas and whole."""
    text = "".join(pieces)
    whole: dict[str, Any] = {"type": kind, "id": f"i_{index}"}
    name, place = "output_text", {"content_index": 0}
    if kind == "message":
        whole |= {"content": [{"type": "output_text", "text": text, "annotations": []}], "phase": "final_answer"}
    elif kind == "reasoning":
        whole |= {"summary": [{"type": "summary_text", "text": text}], "encrypted_content": "sealed"}
        name, place = "reasoning_summary_text", {"summary_index": 0}
    elif kind == "function_call":
        whole |= {"call_id": f"call_{index}", "name": "f", "arguments": text}
        name, place = "function_call_arguments", {}
    begun = {key: value for key, value in whole.items() if key in ("type", "id", "call_id", "name", "phase")}
    at = {"output_index": index}
    return [
        {"type": "response.output_item.added", **at, "item": begun},
        *({"type": f"response.{name}.delta", **at, **place, "delta": piece} for piece in pieces),
        {"type": "response.output_item.done", **at, "item": whole},
    ]


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """What the answer holds, in order, and frames in which its items grow at the same time."""
    items = draw(st.lists(ITEMS, max_size=4))
    queues = [item_frames(index, *item) for index, item in enumerate(items)]
    frames: list[dict[str, Any]] = []
    order: list[int] = []
    while any(queues):
        pick = draw(st.sampled_from([index for index, queue in enumerate(queues) if queue]))
        frames.append(queues[pick].pop(0))
        # A message has its place from its first words on, anything else from its announcement.
        announced = items[pick][0] == "message" and frames[-1]["type"] == "response.output_item.added"
        if pick not in order and not announced:
            order.append(pick)
    wanted = [(items[index][0], "".join(items[index][1])) for index in order]
    return [item for item in wanted if item[1] or item[0] != "message"], frames


@settings(max_examples=100, deadline=None)
@given(interleaved(), st.integers(1, 60), st.booleans())
def test_items_come_in_the_order_in_which_they_began(
    answer: tuple[list[tuple[str, str]], list[dict[str, Any]]], size: int, named: bool
) -> None:
    wanted, frames = answer
    end = {"type": "response.completed", "response": {"status": "completed", "model": "m", "output": []}}
    names = [f"event: {one['type']}\n" if named else "" for one in [*frames, end]]
    body = "".join(f"{name}data: {json.dumps(one)}\n\n" for name, one in zip(names, [*frames, end], strict=True)).encode()
    assembler = new_assembler()
    decoder, sse = WIRE.stream_decoder(assembler, spec(NONE)), SseDecoder()
    for at in range(0, len(body), size):
        for name, data in sse.feed(body[at : at + size]):
            decoder.feed(name, data)
    decoder.end()
    check_stream(assembler)
    assert assembler.warnings == []
    assert [_short(block) for block in assembler.content] == [_parsed(*item) for item in wanted]


def _short(block: Any) -> tuple[str, Any]:
    if isinstance(block, ToolUseBlock):
        return "function_call", block.input
    if isinstance(block, OpaqueBlock):
        return block.provider_raw["item"]["type"], ""
    raw = block.provider_raw
    assert raw["phase"] == "final_answer" if isinstance(block, TextBlock) else raw["item"]["encrypted_content"] == "sealed"
    return "message" if isinstance(block, TextBlock) else "reasoning", block.text


def _parsed(kind: str, text: str) -> tuple[str, Any]:
    return kind, json.loads(text) if kind == "function_call" else text


# ---- streams that are not

ODD = odd("text", "type", "id", "content", "error", "code", "message")


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return wire_promises.mostly(strategy, ODD)


KINDS = st.sampled_from(
    [
        "output_text.delta",
        "refusal.delta",
        "function_call_arguments.delta",
        "reasoning_summary_text.delta",
        "reasoning_text.delta",
    ]
)
TYPES = st.sampled_from(["message", "reasoning", "function_call", "web_search_call", "", None])
TEXTS = st.sampled_from(["", "a", "bc", "\ud83d", "{", "}", "{}", '{"a":1}', "[1]", None])
PART = st.fixed_dictionaries(
    {"type": mostly(st.sampled_from(["output_text", "refusal", "output_audio"]))}, optional={"text": TEXTS, "refusal": TEXTS}
)
ITEM = st.fixed_dictionaries(
    {"type": mostly(TYPES)},
    optional={
        "id": mostly(st.sampled_from(["i", "j"])),
        "call_id": mostly(st.sampled_from(["c", "d"])),
        "name": mostly(st.sampled_from(["f", "g", ""])),
        "arguments": mostly(TEXTS),
        "content": mostly(st.lists(PART, max_size=2)),
        "summary": mostly(st.lists(st.fixed_dictionaries({}, optional={"text": TEXTS}), max_size=2)),
        "encrypted_content": mostly(TEXTS),
        "phase": mostly(st.sampled_from(["final_answer", None])),
        "status": ODD,
    },
)
INDEX = mostly(st.sampled_from([0, 1, 2, -1, 10**9, -(2**63)]))
ANSWER = st.fixed_dictionaries(
    {},
    optional={
        "status": mostly(st.sampled_from(["completed", "incomplete", "failed", "cancelled", "in_progress", None])),
        "output": mostly(st.lists(mostly(ITEM), max_size=3)),
        "usage": mostly(
            st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "total_tokens"]), mostly(st.integers()))
        ),
        "error": st.one_of(st.none(), st.none(), st.none(), ODD),
        "incomplete_details": ODD,
        "model": mostly(st.just("m")),
        "store": ODD,
        "id": ODD,
        "input_transformations": ODD,
    },
)
EVENTS = st.one_of(
    st.fixed_dictionaries(
        {"type": KINDS.map(lambda kind: f"response.{kind}"), "delta": mostly(TEXTS)},
        optional={"output_index": INDEX, "content_index": INDEX, "summary_index": INDEX},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["response.output_item.added", "response.output_item.done"]), "item": mostly(ITEM)},
        optional={"output_index": INDEX},
    ),
    st.fixed_dictionaries(
        {"type": st.just("response.content_part.added")}, optional={"output_index": INDEX, "content_index": INDEX}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["response.created", "response.in_progress", "whim"]), "response": mostly(ANSWER)}
    ),
)
ENDS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["response.completed", "response.incomplete", "response.failed", "error"]),
        "response": mostly(ANSWER),
    }
)
FRAMES = st.tuples(
    st.sampled_from(["", "", "", "response.output_text.delta", "error", "ping"]),
    st.one_of(
        *[EVENTS.map(lambda value: json.dumps(value).encode())] * 8,
        ENDS.map(lambda value: json.dumps(value).encode()),
        st.sampled_from([b"[DONE]", b"", b"null", b"{", b"[]", b"\xff", b"<html>"]),
        st.binary(max_size=12),
        ODD.map(lambda value: json.dumps(value).encode()),
    ),
)


def new_assembler(_quirks: Quirks = NONE) -> Assembler:
    return Assembler("msg_1", "o:m", "o", provider_type="openai-responses", wire_name="m")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(EVENTS.map(lambda value: ("", json.dumps(value).encode())), max_size=6), st.lists(FRAMES, max_size=3), st.booleans()
)
def test_any_frames_keep_the_promises_and_fail_in_one_way(
    good: list[tuple[str, bytes]], bad: list[tuple[str, bytes]], ended: bool
) -> None:
    end = [("", b'{"type":"response.completed","response":{"status":"completed"}}')] if ended else []
    assembler = new_assembler()
    failure = play(WIRE, assembler, spec(NONE), [*good, *bad, *end])
    assert failure is None or "; " in failure.message
    event("whole" if failure is None else failure.error_class)
    check_stream(assembler)
    assert all(warning.message.isprintable() for warning in assembler.warnings)


@settings(max_examples=100, deadline=None)
@given(st.one_of(ANSWER.map(lambda value: json.dumps(value).encode()), st.binary(max_size=40)))
def test_any_count_is_a_number_or_a_failure(body: bytes) -> None:
    with suppress(ProviderFailure):
        assert WIRE.decode_count(body) >= 0


CASE = WireCase(
    name="responses",
    wire=WIRE,
    requests=own_requests(),
    quirks=QUIRKS,
    encode=lambda request, quirks: WIRE.encode(request, spec(quirks), stream=True),
    check_body=check_body,
    items="input",
    bodies=st.one_of((ANSWER | ODD).map(lambda value: json.dumps(value).encode()), st.binary(max_size=40)),
    new_assembler=new_assembler,
)
