"""Promises J: who may connect, where keys may go, and what is never told, with the walls tested one by one."""

import asyncio
import base64
import errno
import json
import os
import re
import socket
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.harness import canary
from tests.harness.daemon import KEY, DaemonProcess, models_yaml
from tests.harness.peer import Peer
from tests.harness.raw_server import Call, RawServer, script, serving

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
OFFLINE = models_yaml("http://127.0.0.1:9", "http://127.0.0.1:9/v1", ["m"])


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# ---- the place


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("how", ["the runtime directory", "--socket", "--stdio"])
async def test_what_the_daemon_makes_is_private(tmp_path: Path, simulator: Simulator, how: str) -> None:
    config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
    daemon = DaemonProcess(config, "--tcp", "127.0.0.1:0", "--log-level", "debug", folder=tmp_path)
    daemon.runtime_dir.rmdir()
    place = daemon.runtime_dir
    if how == "--socket":
        place = tmp_path / "a" / "b"
        daemon.socket = place / "s.sock"
        daemon.arguments += ("--socket", str(daemon.socket))
    if how == "--stdio":
        await daemon.run("--stdio", timeout_s=15)
    else:
        await daemon.start()
    async with _stopped(daemon, how):
        peer = await daemon.peer()
        (await peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
        assert mode(daemon.socket) == 0o600
        assert mode(place) == 0o700
        if how == "--socket":
            assert mode(place.parent) == 0o700
        if how != "--stdio":
            assert mode(daemon.runtime_dir) == 0o700
            assert mode(daemon.runtime_dir / "token") == 0o600
        made = [*place.iterdir(), *daemon.state_dir.rglob("*"), *([daemon.state_dir] if daemon.state_dir.exists() else [])]
        assert made
        assert not [path for path in made if mode(path) & 0o077], "nothing is open to others"


@asynccontextmanager
async def _stopped(daemon: DaemonProcess, how: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for peer in daemon.peers:
            await peer.close()
        if how == "--stdio":
            await daemon.run("stop")
        await daemon.stop()


@pytest.mark.parametrize("loose", [0o777, 0o755, 0o750, 0o701, 0o1777])
@pytest.mark.parametrize("command", ["", "--stdio", "--socket"])
async def test_a_directory_open_to_others_is_refused(tmp_path: Path, loose: int, command: str) -> None:
    daemon = DaemonProcess(OFFLINE, folder=tmp_path)
    daemon.runtime_dir.chmod(loose)
    arguments = [word for word in command.split() if word]
    if command == "--socket":
        daemon.env.pop("MODELD_RUNTIME_DIR")
        arguments.append(str(daemon.socket))
    began = time.monotonic()
    code, out, err = await daemon.run(*arguments, timeout_s=9)
    assert code != 0
    assert time.monotonic() - began < 5
    assert out == ""
    assert f"chmod 700 {daemon.runtime_dir}" in err
    assert mode(daemon.runtime_dir) == loose, "it isn't mended behind the user's back"
    assert list(daemon.runtime_dir.iterdir()) == []


@pytest.mark.parametrize("target_mode", [0o700, 0o777])
@pytest.mark.parametrize("command", ["", "--stdio"])
async def test_a_directory_that_is_a_link_is_not_followed(tmp_path: Path, target_mode: int, command: str) -> None:
    daemon = DaemonProcess(OFFLINE, folder=tmp_path)
    daemon.runtime_dir.rmdir()
    target = tmp_path / "elsewhere"
    target.mkdir()
    target.chmod(target_mode)
    daemon.runtime_dir.symlink_to(target)
    code, _, err = await daemon.run(*command.split(), timeout_s=9)
    assert code != 0
    assert err.strip()
    assert list(target.iterdir()) == []


# ---- who connects


def as_nobody(do: Callable[[], str]) -> str:
    """What `do` returns in a process of another user."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = do()
        except BaseException as error:
            said = f"{type(error).__name__} {getattr(error, 'errno', '')}"
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def connect_and_listen(path: Path) -> Callable[[], str]:
    def do() -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(path))
            body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}'
            try:
                sock.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                return f"{len(sock.recv(65536))} bytes"
            except ConnectionError:
                return "0 bytes"

    return do


@needs_root
async def test_another_user_is_refused_by_each_wall(simulator: Simulator) -> None:
    async with DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])) as daemon:
        peer = await daemon.peer()
        denied = f"PermissionError {errno.EACCES}"
        assert as_nobody(connect_and_listen(daemon.socket)) == denied, "the directory"
        daemon.folder.chmod(0o755)
        daemon.runtime_dir.chmod(0o755)
        assert as_nobody(connect_and_listen(daemon.socket)) == denied, "the socket's mode"
        daemon.socket.chmod(0o666)
        began = time.monotonic()
        assert as_nobody(connect_and_listen(daemon.socket)) == "0 bytes", "the peer's uid"
        assert time.monotonic() - began < 1
        assert (await peer.call("daemon/status")).ok()["clients"] == 1
        async with await Peer.connect(daemon.socket) as own:
            await own.initialize()


@needs_root
async def test_another_user_cannot_read_the_process_or_what_it_keeps(simulator: Simulator) -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        paths = [f"/proc/{daemon.pid}/environ", f"/proc/{daemon.pid}/mem", str(daemon.runtime_dir / "token")]
        for path in paths:
            said = as_nobody(lambda path=path: f"{len(Path(path).read_bytes())} bytes")
            assert said.startswith("PermissionError"), path


# ---- TCP


def listening_ports(pid: int) -> list[str]:
    """The TCP and UDP sockets of a process, as the kernel lists them (Linux)."""
    inodes: set[str] = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}")))
        except FileNotFoundError:
            continue
    found: list[str] = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == "0A" or table.startswith("udp")):
                found.append(fields[1])
    return found


async def test_no_port_is_open_unless_asked_for() -> None:
    async with DaemonProcess(OFFLINE) as daemon:
        assert listening_ports(daemon.pid) == []
        assert not (daemon.runtime_dir / "token").exists()
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        await _tcp_port(daemon)
        ports = listening_ports(daemon.pid)
        assert len(ports) == 1
        assert ports[0].startswith("0100007F:")


ADDRESSES = ["0.0.0.0:0", "0.0.0.0:7878", ":7878", "7878", "[::]:7878", "::", "192.168.1.1:7878", "10.0.0.1:1", "example.com:80"]
SLY = [
    "127.0.0.1.evil.example:1",
    "localhost.evil.example:1",
    "0:7878",
    "0x7f000001:1",
    "2130706433:1",
    "[::ffff:0.0.0.0]:1",
    "*:1",
]


@pytest.mark.parametrize("address", [*ADDRESSES, *SLY, "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", ""])
async def test_tcp_elsewhere_is_refused(tmp_path: Path, address: str) -> None:
    daemon = DaemonProcess(OFFLINE, folder=tmp_path)
    code, _, err = await daemon.run("--tcp", address, timeout_s=9)
    assert code != 0
    assert "127.0.0.1" in err
    assert "Traceback" not in err
    assert not daemon.socket.exists()


async def _tcp_port(daemon: DaemonProcess) -> int:
    async with asyncio.timeout(5):
        while not (found := re.search(r"127\.0\.0\.1:(\d+)", daemon.output())):
            await asyncio.sleep(0.01)
    return int(found[1])


def _hello(**options: Any) -> dict[str, Any]:
    return {"capabilities": {}, "initializationOptions": {"modeld": {"protocol_versions": [1], **options}}}


async def test_tcp_needs_the_token() -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        port = await _tcp_port(daemon)
        token = (daemon.runtime_dir / "token").read_text().strip()
        assert re.fullmatch(r"[0-9a-f]{64}", token)
        for options in ({}, {"token": None}, {"token": "0" * 64}, {"token": token[:-1]}, {"token": ""}):
            async with await Peer.connect_tcp(port, validate=False) as peer:
                peer.request("initialize", _hello(**options))
                peer.request("model/list")
                await peer.until_closed(5)
                assert not any("result" in message for message in peer.messages)
                assert token not in json.dumps(peer.messages)
        for first in ("model/list", "shutdown", "daemon/stop"):
            async with await Peer.connect_tcp(port, validate=False) as peer:
                peer.request(first)
                await peer.until_closed(5)
                assert peer.messages == []
        http = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\nContent-Length: 2\r\n\r\n{}" % token.encode()
        async with await Peer.connect_tcp(port, validate=False) as peer:
            peer.send_bytes(http)
            await peer.until_closed(5)
            assert peer.messages == []
        async with await Peer.connect_tcp(port) as peer:
            await peer.initialize(token=token)
            (await peer.call("daemon/status")).ok()


async def test_a_client_that_says_nothing_on_tcp_is_closed() -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        port = await _tcp_port(daemon)
        began = time.monotonic()
        async with await Peer.connect_tcp(port, validate=False) as silent, await Peer.connect_tcp(port, validate=False) as slow:
            slow.send_bytes(b"Content-Length: 10000\r\n\r\n{")
            await silent.until_closed(4)
            await slow.until_closed(4)
            assert time.monotonic() - began < 3
            assert silent.messages == slow.messages == []


async def test_guessing_tokens_is_stopped() -> None:
    async with DaemonProcess(OFFLINE, "--tcp", "127.0.0.1:0") as daemon:
        port = await _tcp_port(daemon)
        for number in range(5):
            async with await Peer.connect_tcp(port, validate=False) as peer:
                peer.request("initialize", _hello(token=f"{number:064x}"))
                await peer.until_closed(5)
        token = (daemon.runtime_dir / "token").read_text().strip()
        async with await Peer.connect_tcp(port, validate=False) as peer:
            peer.request("initialize", _hello(token=token))
            await peer.until_closed(5)
            assert peer.messages == []
        peer = await daemon.peer()
        assert (await peer.call("daemon/status")).ok()["pid"]
        assert "0000000000000000001" not in daemon.output()


# ---- keys


def _http(status: str, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _error(text: str, status: str = "401 Unauthorized", *headers: str) -> bytes:
    detail = {"message": f"Incorrect API key provided: {text}.", "type": text, "code": text, "param": text}
    return _http(status, json.dumps({"type": "error", "error": detail, "request_id": text}).encode(), *headers)


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
    "401 in escapes": _http("401 X", b'{"error":{"message":"%b"}}' % ESCAPED.encode()),
    "429": _error(KEY, "429 Too Many Requests", f"retry-after: {KEY}", f"x-request-id: {KEY}", f"request-id: {KEY}"),
    "400": _error(KEY, "400 Bad Request"),
    "500 as text": _http("500 Oops", f"header x-api-key: {KEY}".encode(), kind="text/plain"),
    "502 as a page": _http("502 Bad", f"<html><h1>{KEY}</h1><pre>authorization: Bearer {KEY}</pre>".encode(), kind="text/html"),
    "request ids": _error("x", "401 X", f"x-request-id: {KEY}", f"request-id: {KEY}", f"cf-ray: {KEY}"),
    "redirect": _http("307 X", b"", f"location: http://127.0.0.1:9/{KEY}?key={KEY}"),
    "reason phrase": _http(f"401 {KEY}", b"{}"),
    "strange status": _http(f"999 {KEY}", KEY.encode()),
    "no HTTP": f"{KEY} {KEY}\r\n\r\n".encode(),
    "bad header": f"HTTP/1.1 200 OK\r\n{KEY} {KEY}\r\n\r\n".encode(),
    "bad length": f"HTTP/1.1 200 OK\r\ncontent-length: {KEY}\r\n\r\n".encode(),
    "bad encoding": _http("200 OK", b"{}", f"content-encoding: {KEY}"),
    "bad type": _http("200 OK", KEY.encode(), kind=KEY),
    "garbage": _http("200 OK", f"{KEY} is no JSON".encode()),
    "cut JSON": _http("200 OK", b'{"error":{"message":"%b' % KEY.encode()),
    "error in 200": _error(KEY, "200 OK"),
    "error event": _events({"type": "error", "error": {"type": KEY, "message": f"bad key {KEY}", "code": KEY}}),
    "error event after words": _events(
        ANTHROPIC_START,
        {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]},
        {"type": "error", "error": {"type": KEY, "message": f"bad key {KEY}", "code": KEY}},
    ),
    "event that is no JSON": _events({}, extra=f"request-id: {KEY}\r\n") + f"data: {{{KEY}\n\n".encode(),
}


@asynccontextmanager
async def talkative(server: RawServer, **adapter: Any) -> AsyncIterator[tuple[DaemonProcess, Peer]]:
    """A daemon that logs all it can, and a client that hears all it can."""
    config = models_yaml(str(server.origin), f"{server.origin}/v1", ["m"], max_retries=0, timeout_seconds=2, **adapter)
    async with DaemonProcess(config, "--log-level", "debug") as daemon:
        peer = await daemon.peer(validate=False)
        peer.notify("$/setTrace", {"value": "verbose"})
        yield daemon, peer


def told(daemon: DaemonProcess, *peers: Peer) -> list[str | bytes | Path]:
    """All that left the daemon: its output, its files, what its clients received."""
    files = [path for path in daemon.folder.iterdir() if path != daemon.config]
    return [daemon.output(), *files, *(json.dumps(peer.messages, ensure_ascii=False) for peer in peers)]


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
    answer = _http("200 OK", json.dumps(ANSWERS[wire]).encode(), f"request-id: {KEY}", f"x-request-id: {KEY}")
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
    "an answer": lambda wire: _http("200 OK", json.dumps(_said(wire)).encode()),
    "a refusal that quotes": lambda wire: _error(" ".join(TEXTS), "400 Bad Request"),
    "a failure that quotes": lambda wire: _http("500 X", " ".join(TEXTS).encode(), kind="text/plain"),
    "garbage": lambda wire: _http("200 OK", " ".join(TEXTS).encode()),
    "half an answer": lambda wire: _http("200 OK", json.dumps(_said(wire)).encode()[:-20]),
    "an odd answer": lambda wire: _http(
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
        if created.error is not None and created.error["code"] == -32601:
            pytest.skip("this daemon has no sessions yet")
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


# ---- where keys may go


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with serving(script(_http("200 OK", b"{}"))) as sink:
        location = f"location: {sink.origin}/v1/chat/completions"
        async with serving(script(_http(f"{status} Moved", b"", location))) as server, talkative(server) as (_, peer):
            for wire in ("anthropic", "openai"):
                for method in ("model/complete", "model/stream"):
                    reply = await peer.call(method, {"model": f"{wire}:m", "messages": "x"})
                    assert reply.data["provider_status"] == status
            await peer.call("model/countTokens", {"model": "anthropic:m", "messages": "x"})
            assert (await peer.call("model/discover")).ok()["failures"]
            assert server.requests
        assert sink.accepted == 0


def _variables(sink: str) -> dict[str, str]:
    names = [
        *("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "OPENAI_API_BASE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"),
        *("https_proxy", "all_proxy", "MODELD_CONFIG", "MODELD_SOCKET", "ANTHROPIC_API_URL", "base_url"),
    ]
    return {**dict.fromkeys(names, sink), "MODELD_TEST_KEY": KEY, "SSL_CERT_FILE": "/dev/null", "NO_PROXY": ""}


async def test_no_client_can_move_a_key(simulator: Simulator) -> None:
    async with serving(script(_http("200 OK", b"{}"))) as sink:
        where = str(sink.origin)
        moved = {"base_url": where, "baseUrl": where, "api_base": where, "proxy": where, "endpoint": where, "host": where}
        options = {
            **moved,
            "env": _variables(where),
            "config": {"adapters": {"openai": moved}},
            "adapters": {"anthropic": moved, "openai": moved, "mine": {"type": "openai", **moved}},
            "models": {"openai:sim-text": {"adapter": "mine"}},
            "config_file": "/nowhere",
            "trusted": True,
            "extra_headers": {"host": sink.origin.host, "x-forwarded-host": where},
        }
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
        async with DaemonProcess(config) as daemon:
            peer = await Peer.connect(daemon.socket, validate=False)
            daemon.peers.append(peer)
            given = {
                "capabilities": {},
                "initializationOptions": {"modeld": {"protocol_versions": [1], **options}, **options},
                **options,
            }
            (await peer.call("initialize", given)).ok()
            peer.notify("workspace/didChangeConfiguration", {"settings": {"modeld": options}})
            simulator.reset()
            for wire in ("anthropic", "openai"):
                for provider_options in (moved, {"extra_headers": {"host": where}}, {"url": where, "path": f"//{where}"}):
                    for method in ("model/complete", "model/stream"):
                        request = {
                            "model": f"{wire}:sim-text",
                            "messages": "x",
                            "provider_options": {wire: provider_options},
                            **moved,
                        }
                        await peer.call(method, request)
                (await peer.call("model/complete", {"model": f"{wire}:sim-text", "messages": "x", **moved})).ok()
            for model in (where, f"openai:{where}", f"mine:{where}", "mine:sim-text"):
                assert (await peer.call("model/complete", {"model": model, "messages": "x"})).error is not None
            await peer.call("model/discover", {"providers": None, **moved})
            text = models_yaml(where, where, ["sim-text"])
            (await peer.call("config/check", {"text": text})).ok()
            (await peer.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
            providers = (await peer.call("provider/list")).ok()["providers"]
            assert sink.origin.port not in [int(provider["base_url"].split(":")[2].partition("/")[0]) for provider in providers]
            assert len(simulator.requests) >= 5
        assert sink.accepted == 0


async def test_the_daemons_own_environment_names_no_proxy_and_no_address(simulator: Simulator) -> None:
    async with serving(script(_http("200 OK", b"{}"))) as sink:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
        env = {name: value for name, value in _variables(str(sink.origin)).items() if not name.startswith("MODELD_")}
        async with DaemonProcess(config, env=env) as daemon:
            peer = await daemon.peer()
            for wire in ("anthropic", "openai"):
                (await peer.call("model/complete", {"model": f"{wire}:sim-text", "messages": "x"})).ok()
        assert sink.accepted == 0


async def test_a_lent_key_serves_its_lender_alone(simulator: Simulator) -> None:
    lent = "sk-lent-canary-2f4e6a8c0b1d3f5a"
    config = models_yaml(
        simulator.base_url, simulator.openai_base_url, ["sim-text", "sim-fault-echo_key"], api_key_env="MODELD_LENT_KEY"
    )
    async with DaemonProcess(config, "--log-level", "debug") as daemon:
        lender = await daemon.peer(env={"MODELD_LENT_KEY": lent, "MODELD_TEST_KEY": "sk-never-asked-for-0123456789"})
        other = await daemon.peer()
        simulator.reset()
        (await lender.call("model/complete", {"model": "openai:sim-text", "messages": "x"})).ok()
        assert simulator.requests[-1].header("authorization") == f"Bearer {lent}"
        refused = await other.call("model/complete", {"model": "openai:sim-text", "messages": "x"})
        assert refused.data["error_class"] == "not_configured"
        assert len(simulator.requests) == 1
        for wire in ("anthropic", "openai"):
            assert (await lender.call("model/complete", {"model": f"{wire}:sim-fault-echo_key", "messages": "x"})).data
        assert canary.find([lent, "sk-never-asked-for-0123456789"], *told(daemon, lender, other)) == []


@pytest.mark.parametrize("fault", ["auth", "quota", "rate_limit-0-0"])
async def test_what_is_wrong_with_a_lent_key_is_its_lenders_business(simulator: Simulator, fault: str) -> None:
    models = ["sim-text", f"sim-fault-{fault}"]
    config = models_yaml(simulator.base_url, simulator.openai_base_url, models, max_retries=0)
    async with DaemonProcess(config) as daemon:
        lender, other = await daemon.peer(env={"MODELD_TEST_KEY": "sk-lent-0123456789abcdef"}), await daemon.peer()
        for _ in range(5):
            (await lender.call("model/complete", {"model": f"openai:{models[1]}", "messages": "x"})).data["error_class"]
        states = {model["availability"] for model in (await other.call("model/list")).ok()["models"]}
        assert states == {"available"}
        assert not other.notifications("availability/changed")


# ---- the process


async def test_there_are_no_core_dumps() -> None:
    async with DaemonProcess(OFFLINE) as daemon:
        limits = Path(f"/proc/{daemon.pid}/limits").read_text()
        found = re.search(r"Max core file size\s+(\S+)\s+(\S+)", limits)
        assert found is not None
        assert found.groups() == ("0", "0")


@pytest.mark.nightly
async def test_keys_never_show_over_many_rounds(parrot: Parrot) -> None:
    for _ in range(100):
        for name in ECHOES:
            await test_an_echoed_key_never_shows(parrot, name)
