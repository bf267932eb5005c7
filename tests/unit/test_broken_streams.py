"""Streams that break in odd places: characters cut in two between frames on every wire, and errors with the bill behind them."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.raw_server import Call as Connection
from tests.harness.raw_server import Script, script, serving

from modeld import limits
from modeld.clock import Clock
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.catalog import row_of, wire_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.wire.halves import Frame, Halves
from modeld.runtime import Runtime
from modeld_protocol.events import Event, TextDelta
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# ---- halves, by themselves

MARK = 'x"\\'


def units_of(text: str) -> list[str]:
    """One string for each UTF-16 unit; halves are lone surrogates."""
    data = text.encode("utf-16-be", "surrogatepass")
    return [data[at : at + 2].decode("utf-16-be", "surrogatepass") for at in range(0, len(data), 2)]


def frame(text: str, **more: Any) -> Frame:
    return "", json.dumps({"k": "\\ud83d", "t": text, **more}).encode()


def read(frames: list[Frame]) -> str:
    halves = Halves()
    ready = [one for each in frames for one in halves.take(each)] + halves.rest()
    assert len(ready) == len(frames)
    return "".join(json.loads(data)["t"] for _, data in ready)


@given(
    st.lists(st.sampled_from(["a", "😀", "🎉", "é", "漢", '"', "\\", "\n", "\\ud83d", "\\ude00"]), max_size=30), st.integers(1, 4)
)
def test_any_text_cut_between_units_is_whole_again(characters: list[str], width: int) -> None:
    text = "".join(characters)
    units = units_of(text)
    pieces = ["".join(units[at : at + width]) for at in range(0, len(units), width)]
    assert read([frame(piece) for piece in pieces]) == text
    for _, data in Halves().take(frame(text)) if text else ():
        assert json.loads(data)["t"] == text, "whole characters pass as they are"


def test_both_texts_of_a_frame_are_joined() -> None:
    halves = Halves()
    first, second = (frame(half, again=[{"t": half}]) for half in units_of("😀"))
    assert halves.take(first) == []
    (_, before), (_, after) = halves.take(second)
    assert json.loads(before)["t"] == json.loads(before)["again"][0]["t"] == ""
    assert json.loads(after)["t"] == json.loads(after)["again"][0]["t"] == "😀"


LONELY = [
    [frame("a\ud83d"), frame("b"), frame("c"), frame("d"), frame("e")],
    [frame("a\ud83d"), frame("b\ude00")],
    [frame("\ude00a")],
    [frame("a\ud83d"), frame("\ude00", again="\ude00")],
    [frame("a\ud83d"), frame("b\ud83d")],
]


@pytest.mark.parametrize("frames", LONELY)
def test_a_lonely_half_passes_as_it_came(frames: list[Frame]) -> None:
    halves = Halves()
    assert [one for each in frames for one in halves.take(each)] + halves.rest() == frames


# ---- and on every wire


def sse(*payloads: Any, named: bool = False) -> bytes:
    lines = [(f"event: {payload['type']}\n" if named else "") + f"data: {json.dumps(payload)}\n\n" for payload in payloads]
    return "".join(lines).encode()


def chat_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}],
    }


def chat(pieces: list[str]) -> bytes:
    return sse(*map(chat_chunk, pieces), chat_chunk("", "stop")) + b"data: [DONE]\n\n"


def messages(pieces: list[str]) -> bytes:
    head = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "usage": {"input_tokens": 1}}
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces]
    return sse(
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[event for delta in deltas for event in (delta, {"type": "ping"})],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
        named=True,
    )


def responses(pieces: list[str]) -> bytes:
    text = "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16")
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [part]}
    whole = {
        "id": "r",
        "object": "response",
        "status": "completed",
        "output": [item],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    at = {"item_id": "i", "output_index": 0, "content_index": 0}
    return sse(
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *[{"type": "response.output_text.delta", **at, "delta": piece} for piece in pieces],
        {"type": "response.output_text.done", **at, "text": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
        named=True,
    )


def gemini(pieces: list[str]) -> bytes:
    said = [{"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": piece}]}}]} for piece in pieces]
    return sse(
        *said, {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP"}]}
    )


def ollama(pieces: list[str]) -> bytes:
    said = [{"model": "x", "message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces]
    last = {"model": "x", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return "".join(json.dumps(line) + "\n" for line in [*said, last]).encode()


STREAMS: dict[str, Callable[[list[str]], bytes]] = {
    "openai": chat,
    "anthropic": messages,
    "openai-responses": responses,
    "gemini": gemini,
    "ollama": ollama,
}


def answer_of(type_name: str, body: bytes) -> bytes:
    kind = b"application/x-ndjson" if wire_of(row_of(type_name).wire).framing == "ndjson" else b"text/event-stream"
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nConnection: close\r\n\r\n" % kind + body


class Told:
    writable = True

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, events: list[Event]) -> None:
        self.events += events

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        return lambda: None


async def ask(type_name: str, run: Script) -> tuple[CanonicalResponse, list[Event]]:
    """A streamed answer of a provider that the script plays. Raises ProviderFailure, which holds what had come."""
    async with serving(run) as server:
        origin = f"http://127.0.0.1:{server.origin.port}"
        adapter = AdapterConfig(type_name, type_name, f"{origin}/v1", api_key_env="KEY", max_retries=0)
        config = Config({type_name: adapter}, {"m": ModelConfig("m", type_name, "some-model")})
        runtime = Runtime(config, environment={"KEY": "key-0123456789"}, clock=Clock(chance=lambda: 0.0))
        try:
            call, told = runtime.prepare(CanonicalRequest("Hi", model="m"), stream=True), Told()
            call.consumer = told
            try:
                return await runtime.run(call), told.events
            except ProviderFailure as failure:
                failure.partial = call.outcome
                raise
        finally:
            await runtime.close()


TEXT = "Yes 😀🎉 – 漢 \\ud83d."


@pytest.mark.parametrize("type_name", STREAMS)
@pytest.mark.parametrize("pieces", [0, 1], ids=["at once", "byte by byte"])
async def test_a_character_in_two_deltas_is_one(type_name: str, pieces: int) -> None:
    body = STREAMS[type_name](units_of(TEXT))
    assert re.search(rb'\\ud83d"', body), "the text is cut"
    response, events = await ask(type_name, script(answer_of(type_name, body), pieces=pieces))
    assert "".join(getattr(block, "text", "") for block in response.content) == TEXT
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == TEXT
    assert [warning.code for warning in response.warnings if warning.code == "stream_repaired"] == []


@pytest.mark.parametrize("type_name", STREAMS)
async def test_half_a_character_alone_is_replaced(type_name: str) -> None:
    pieces = ["Yes \ud83d", "no"] if type_name != "openai-responses" else ["Yes ", "no"]
    response, _ = await ask(type_name, script(answer_of(type_name, STREAMS[type_name](pieces))))
    assert "".join(getattr(block, "text", "") for block in response.content) == "".join(pieces).replace("\ud83d", "\ufffd")


# ---- the bill behind an error

FAILED = {**chat_chunk("", "error"), "error": {"code": 502, "message": "Provider disconnected"}}
BILL = {**chat_chunk(""), "choices": [], "usage": {"prompt_tokens": 41, "completion_tokens": 243, "cost": 0.0001013}}
DONE = b"data: [DONE]\n\n"
SOME = sse(chat_chunk("Some"))

BILLED = {
    "behind": sse(FAILED) + b": still here\n\n" + sse(BILL),
    "behind, and an end": sse(FAILED, BILL) + DONE,
    "within": sse({**FAILED, "usage": BILL["usage"]}),
}
UNBILLED = {
    "nothing": sse(FAILED),
    "an end": sse(FAILED) + DONE,
    "rubbish": sse(FAILED) + b"data: {{{\n\n",
    "words": sse(FAILED, chat_chunk("x")),
}


@pytest.mark.parametrize("rest", BILLED.values(), ids=BILLED)
@pytest.mark.parametrize("pieces", [0, 7])
async def test_a_bill_behind_an_error_counts(rest: bytes, pieces: int) -> None:
    with pytest.raises(ProviderFailure, match="Provider disconnected") as caught:
        await ask("openrouter", script(answer_of("openrouter", SOME + rest), pieces=pieces))
    outcome = caught.value.partial
    assert outcome is not None
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.usage.estimated) == (41, 243, False)
    assert (outcome.cost.total_cost if outcome.cost else None) == pytest.approx(0.0001013)
    assert [block.text for block in outcome.content] == ["Some"]


@pytest.mark.parametrize("rest", UNBILLED.values(), ids=UNBILLED)
async def test_without_a_bill_the_error_is_told_all_the_same(rest: bytes) -> None:
    with pytest.raises(ProviderFailure, match="Provider disconnected") as caught:
        await ask("openrouter", script(answer_of("openrouter", SOME + rest)))
    assert caught.value.partial is not None
    assert caught.value.partial.usage.estimated
    assert [block.text for block in caught.value.partial.content] == ["Some"]


async def test_nobody_waits_long_for_a_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COUNTS_AFTER_ERROR_S", 0.05)

    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer_of("openrouter", SOME + sse(FAILED)))
        await connection.until_gone()

    with pytest.raises(ProviderFailure, match="Provider disconnected"):
        await asyncio.wait_for(ask("openrouter", silent), 5)


async def test_others_have_no_bill_behind_an_error() -> None:
    with pytest.raises(ProviderFailure, match="Provider disconnected") as caught:
        await ask("openai", script(answer_of("openai", SOME + sse(FAILED, BILL))))
    assert caught.value.partial is not None
    assert caught.value.partial.usage.estimated
