"""Promises J: keys, prompts and answers are in no log, no file and no message to others."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.harness import canary
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer
from tests.harness.raw_server import Call, RawServer, script, serving
from tests.harness.talkative import http_answer, talkative, told

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


# ---- keys


def _error(text: str, status: str = "401 Unauthorized", *headers: str) -> bytes:
    detail = {"message": f"Incorrect API key provided: {text}.", "type": text, "code": text, "param": text}
    return http_answer(status, json.dumps({"type": "error", "error": detail, "request_id": text}).encode(), *headers)


def _events(*payloads: Any, extra: str = "") -> bytes:
    frames = b"".join(b"event: %b\ndata: %b\n\n" % (p.get("type", "x").encode(), json.dumps(p).encode()) for p in payloads)
    return f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{extra}connection: close\r\n\r\n".encode() + frames


BASE64 = base64.b64encode(KEY.encode()).decode()
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
ANTHROPIC_START = {
    "type": "message_start",
    "message": {"id": KEY, "type": "message", "role": "assistant", "model": KEY, "content": [], "usage": {"input_tokens": 1}},
}
CHUNK = {"id": KEY, "object": "chat.completion.chunk", "model": KEY, "system_fingerprint": KEY}
ECHOES: dict[str, bytes] = {
    "401": _error(KEY),
    "401 with the scheme": _error(f"Bearer {KEY}"),
    "401 in base64": _error(BASE64),
    "401 in base64 of a header": _error(base64.b64encode(f"Bearer {KEY}".encode()).decode()),
    "401 in base64 of a pair": _error(base64.b64encode(f"me:{KEY}, and more".encode()).decode()),
    "401 of basic auth": _error("Basic " + base64.b64encode(f"user:{KEY}".encode()).decode()),
    "401 in a URL": _error(f"https://h/?key={quote(KEY, safe='')}"),
    "401 in escapes": http_answer("401 X", b'{"error":{"message":"%b"}}' % ESCAPED.encode()),
    "429": _error(KEY, "429 Too Many Requests", f"retry-after: {KEY}", f"x-request-id: {KEY}", f"request-id: {KEY}"),
    "400": _error(KEY, "400 Bad Request"),
    "500 as text": http_answer("500 Oops", f"header x-api-key: {KEY}".encode(), kind="text/plain"),
    "502 as a page": http_answer(
        "502 Bad", f"<html><h1>{KEY}</h1><pre>authorization: Bearer {KEY}</pre>".encode(), kind="text/html"
    ),
    "request ids": _error("x", "401 X", f"x-request-id: {KEY}", f"request-id: {KEY}", f"cf-ray: {KEY}"),
    "redirect": http_answer("307 X", b"", f"location: http://127.0.0.1:9/{KEY}?key={KEY}"),
    "reason phrase": http_answer(f"401 {KEY}", b"{}"),
    "strange status": http_answer(f"999 {KEY}", KEY.encode()),
    "no HTTP": f"{KEY} {KEY}\r\n\r\n".encode(),
    "bad header": f"HTTP/1.1 200 OK\r\n{KEY} {KEY}\r\n\r\n".encode(),
    "bad length": f"HTTP/1.1 200 OK\r\ncontent-length: {KEY}\r\n\r\n".encode(),
    "bad encoding": http_answer("200 OK", b"{}", f"content-encoding: {KEY}"),
    "bad type": http_answer("200 OK", KEY.encode(), kind=KEY),
    "garbage": http_answer("200 OK", f"{KEY} is no JSON".encode()),
    "cut JSON": http_answer("200 OK", b'{"error":{"message":"%b' % KEY.encode()),
    "error in 200": _error(KEY, "200 OK"),
    "error event": _events({"type": "error", "error": {"type": KEY, "message": f"bad key {KEY}", "code": KEY}}),
    "error event after words": _events(
        ANTHROPIC_START,
        {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]},
        {"type": "error", "error": {"type": KEY, "message": f"bad key {KEY}", "code": KEY}},
    ),
    "event that is no JSON": _events({}, extra=f"request-id: {KEY}\r\n") + f"data: {{{KEY}\n\n".encode(),
}


class Parrot:
    """A provider that says what it is told to say, a daemon that talks to it, and all its client's messages."""

    def __init__(self) -> None:
        self.answer = b""
        self.server: RawServer
        self.daemon: DaemonProcess
        self.peer: Peer

    async def run(self, call: Call) -> None:
        while await call.request():
            await call.send(self.answer)
            if b"content-length" not in self.answer:
                return


@pytest.fixture(scope="module")
async def parrot() -> AsyncIterator[Parrot]:
    parrot = Parrot()
    async with serving(parrot.run) as parrot.server, talkative(parrot.server) as (parrot.daemon, parrot.peer):
        yield parrot


@pytest.mark.parametrize("name", ECHOES)
async def test_an_echoed_key_never_shows(parrot: Parrot, name: str) -> None:
    parrot.answer = ECHOES[name]
    parrot.server.requests.clear()
    parrot.peer.messages.clear()
    for wire in ("anthropic", "openai"):
        for method in ("model/complete", "model/stream", "model/countTokens"):
            reply = await parrot.peer.call(method, {"model": f"{wire}:m", "messages": "x", "request_id": f"{wire}-{method}"}, 20)
            assert reply.error is not None
    assert (await parrot.peer.call("model/discover")).ok()["failures"]
    for method in ("daemon/status", "provider/list", "model/list", "config/get"):
        (await parrot.peer.call(method)).ok()
    assert any(KEY.encode() in request for request in parrot.server.requests), "the key was sent to its own provider"
    assert canary.find([KEY], *told(parrot.daemon, parrot.peer)) == []


ANSWERS: dict[str, Any] = {
    "anthropic": {
        "id": KEY,
        "type": "message",
        "role": "assistant",
        "model": KEY,
        "content": [{"type": "text", "text": f"Your key is {KEY}, or {BASE64}."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "openai": {
        "id": KEY,
        "object": "chat.completion",
        "model": KEY,
        "system_fingerprint": KEY,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": f"Your key is {KEY}, or {BASE64}."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
}


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
async def test_a_key_in_an_answer_is_in_no_log_and_no_file(wire: str) -> None:
    answer = http_answer("200 OK", json.dumps(ANSWERS[wire]).encode(), f"request-id: {KEY}", f"x-request-id: {KEY}")
    async with serving(script(answer)) as server, talkative(server) as (daemon, peer):
        for method in ("model/complete", "model/stream"):
            request = {"model": f"{wire}:m", "messages": "x", "include_raw": True}
            (await peer.call(method, request)).ok()
        other = await daemon.peer()
        assert canary.find([KEY], *told(daemon, other)) == []


@pytest.mark.parametrize("rotated", ["sk-rotated-canary-09f8e7d6c5b4a392", "sk-rotated+canary/09f8e7d6c5b4=="])
async def test_a_rotated_key_stays_hidden_and_the_new_one_is_used(rotated: str) -> None:
    gate = asyncio.Event()

    async def run(call: Call) -> None:
        while request := await call.request():
            if len(call.server.requests) == 1:
                await gate.wait()
            key = re.search(rb"(?:x-api-key: |Bearer )(\S+)", request)
            assert key is not None
            await call.send(_error(f"{key[1].decode()} and {KEY}", "403 Forbidden"))

    async with serving(run) as server, talkative(server, api_key=KEY, api_key_env=None) as (daemon, peer):
        number = peer.request("model/complete", {"model": "anthropic:m", "messages": "x"})
        async with asyncio.timeout(5):
            while not server.requests:
                await asyncio.sleep(0.005)
        daemon.config.write_text(daemon.config.read_text().replace(json.dumps(KEY), json.dumps(rotated)))
        assert (await peer.call("config/reload")).ok()["applied"]
        gate.set()
        assert (await peer.reply(number)).data["error_class"] == "auth"
        assert (await peer.call("model/complete", {"model": "anthropic:m", "messages": "x"})).data["error_class"] == "auth"
        assert KEY.encode() in server.requests[0]
        assert rotated.encode() in server.requests[1]
        assert KEY.encode() not in server.requests[1]
        assert canary.find([KEY, rotated], *told(daemon, peer)) == []


# ---- what is said


PROMPT, SYSTEM, ARGUMENT, ANSWER = (
    f"{what}-canary-{number}b41" for number, what in enumerate(("prompt", "system", "tool", "said"), 7)
)
TEXTS = [PROMPT, SYSTEM, ARGUMENT, ANSWER]


def _asked(model: str, **fields: Any) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "tu_1", "name": "weather", "input": {"city": ARGUMENT}}
    messages = [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": [{"type": "text", "text": PROMPT}, use]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "tu_1", "content": ARGUMENT}]},
    ]
    tool = {
        "name": "weather",
        "description": SYSTEM,
        "input_schema": {"type": "object", "properties": {"city": {"const": ARGUMENT}}},
    }
    return {"model": model, "messages": messages, "system_prompt": SYSTEM, "tools": [tool], "metadata": {"x": PROMPT}, **fields}


def _said(wire: str) -> dict[str, Any]:
    answer = json.loads(json.dumps(ANSWERS[wire]).replace(f"Your key is {KEY}, or {BASE64}.", ANSWER).replace(KEY, "id-1"))
    if wire == "anthropic":
        answer["content"].append({"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": ARGUMENT}})
    else:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": ARGUMENT})}}
        answer["choices"][0]["message"]["tool_calls"] = [call]
    return answer


OUTCOMES: dict[str, Callable[[str], bytes]] = {
    "an answer": lambda wire: http_answer("200 OK", json.dumps(_said(wire)).encode()),
    "a refusal that quotes": lambda wire: _error(" ".join(TEXTS), "400 Bad Request"),
    "a failure that quotes": lambda wire: http_answer("500 X", " ".join(TEXTS).encode(), kind="text/plain"),
    "garbage": lambda wire: http_answer("200 OK", " ".join(TEXTS).encode()),
    "half an answer": lambda wire: http_answer("200 OK", json.dumps(_said(wire)).encode()[:-20]),
    "an odd answer": lambda wire: http_answer(
        "200 OK", json.dumps({**_said(wire), "choices": [{"message": ANSWER}], "content": [ANSWER]}).encode()
    ),
    "error events": lambda wire: _events({"type": "error", "error": {"type": ANSWER, "message": " ".join(TEXTS)}}),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("wire", ["anthropic", "openai"])
async def test_the_text_of_a_call_is_in_no_log_and_no_file(outcome: str, wire: str) -> None:
    async with serving(script(OUTCOMES[outcome](wire))) as server, talkative(server) as (daemon, peer):
        other = await daemon.peer(trace=True)
        other.notify("$/setTrace", {"value": "verbose"})
        for method in ("model/complete", "model/stream", "model/countTokens", "model/estimateTokens"):
            await peer.call(method, _asked(f"{wire}:m", include_raw=True), 20)
        assert PROMPT.encode() in b"".join(server.requests)
        bad = [
            {**_asked(f"{wire}:m"), "temperature": PROMPT},
            {**_asked(f"{wire}:m"), "tool_choice": {"type": PROMPT}},
            {**_asked(f"{wire}:m"), "messages": [{"role": PROMPT, "content": SYSTEM}]},
            {**_asked(f"{wire}:m"), "provider_options": {wire: {PROMPT: SYSTEM}}},
            {**_asked(f"nobody:{PROMPT}"), "response_format": {"type": "json_schema", "schema": {"const": SYSTEM}}},
            _asked(
                f"{wire}:m", messages=[{"role": "user", "content": [{"type": "image", "source": {"kind": "url", "url": PROMPT}}]}]
            ),
        ]
        for params in bad:
            await peer.call("model/complete", params, 20)
        peer.send_body(json.dumps({"jsonrpc": "2.0", "id": PROMPT, "method": SYSTEM, "params": ARGUMENT}).encode())
        peer.send_body(f'{{"jsonrpc":"2.0","method":"{PROMPT}","params":"{SYSTEM}"}}'.encode())
        peer.send_body(f'{{"jsonrpc":"2.0","{PROMPT}'.encode())
        (await other.call("daemon/status")).ok()
        assert '"message":"call ' in daemon.output(), "the log does speak of the calls"
        assert canary.find(TEXTS, *told(daemon, other)) == []


def test_the_search_finds_what_it_is_to_find(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for number, text in enumerate((KEY, quote(KEY, safe=""), BASE64, base64.b64encode(f"Basic {KEY}".encode()).decode())):
        (tmp_path / "deep" / "file").write_text(f"before {text} after")
        assert canary.find([KEY], tmp_path), number
        assert canary.find([KEY], json.dumps({"a": text}))
    assert canary.find([KEY], tmp_path.parent / "nothing", "other words", b"\xff") == []


async def test_a_cancelled_call_and_a_client_that_leaves_are_not_quoted(simulator: Simulator) -> None:
    config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-echo", "sim-fault-hang_mid_stream", "sim-slow-60"])
    async with DaemonProcess(config, "--log-level", "debug") as daemon:
        peer = await daemon.peer()
        (await peer.call("model/stream", {"model": "openai:sim-echo", "messages": PROMPT})).ok()
        for wire in ("anthropic", "openai"):
            request = {"model": f"{wire}:sim-fault-hang_mid_stream", "messages": PROMPT, "request_id": wire}
            number = peer.request("model/stream", request)
            await peer.until(lambda wire=wire: len(peer.events(wire)) > 1)
            peer.cancel(number)
            await peer.reply(number)
            peer.request("model/stream", {**request, "request_id": f"{wire}-2"})
            await peer.until(lambda wire=wire: len(peer.events(f"{wire}-2")) > 1)
        await peer.close()
        other = await daemon.peer()
        async with asyncio.timeout(5):
            while (await other.call("daemon/status")).ok()["running_calls"]:
                await asyncio.sleep(0.01)
        assert canary.find([PROMPT, KEY], *told(daemon, other)) == []


async def test_session_text_is_in_no_log(simulator: Simulator) -> None:
    config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-echo"])
    async with DaemonProcess(config, "--log-level", "debug") as daemon:
        peer, other = await daemon.peer(), await daemon.peer()
        created = await peer.call("session/create", {"model": "openai:sim-echo", "system_prompt": SYSTEM})
        ref = {"session_id": created.ok()["session"]["session_id"]}
        (await peer.call("session/append", {**ref, "messages": [{"role": "user", "content": ARGUMENT}]})).ok()
        (await peer.call("turn/start", {**ref, "input": PROMPT})).ok()
        (await peer.call("session/export", ref)).ok()
        await peer.call("session/fork", {**ref, "message_id": PROMPT})
        (await peer.call("session/delete", ref)).ok()
        (await other.call("daemon/status")).ok()
        assert canary.find([PROMPT, SYSTEM, ARGUMENT], daemon.output(), daemon.runtime_dir, json.dumps(other.messages)) == []


async def test_one_clients_calls_do_not_reach_another(simulator: Simulator) -> None:
    models = ["sim-echo", "sim-fault-bad_request", "sim-fault-error_event_mid_stream"]
    async with DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, models)) as daemon:
        peer, other = await daemon.peer(), await daemon.peer()
        for one in (peer, other):
            one.notify("$/setTrace", {"value": "verbose"})
        for wire in ("anthropic", "openai"):
            for model in models:
                await peer.call("model/stream", {"model": f"{wire}:{model}", "messages": PROMPT, "request_id": f"{model}-{wire}"})
        (await other.call("daemon/status")).ok()
        assert peer.notifications("stream/event")
        assert peer.notifications("trace/event")
        assert {message.get("method") for message in other.messages if "id" not in message} <= {"availability/changed"}
        assert PROMPT not in json.dumps(other.messages)


@pytest.mark.nightly
async def test_keys_never_show_over_many_rounds(parrot: Parrot) -> None:
    for _ in range(100):
        for name in ECHOES:
            await test_an_echoed_key_never_shows(parrot, name)
