"""Promise C11, driven by the schemas: every fault that they can tell, in every method, over every transport."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.examples import CANARY, CANARY_NUMBER, Examples, Fault
from tests.harness.peer import Peer

from modeld.simulator import Simulator
from modeld_protocol.methods import METHODS
from modeld_protocol.schema import documents

pytestmark = pytest.mark.anyio
DOCUMENTS = documents()
BATCH = 200  # replies that may wait unread at once
OPTIONS = "$.initializationOptions.modeld"
SERVED = [  # at least: a method that comes later is tested as soon as it is there
    *("model/list", "model/discover", "model/estimateTokens", "model/countTokens", "model/complete", "model/stream"),
    *("provider/list", "config/check", "config/reload", "config/get", "daemon/status", "daemon/stop"),
]


def faults(file: str) -> list[Fault]:
    """Each kind of fault once at each place."""
    examples = Examples(DOCUMENTS[f"methods/{file}.json"])
    found: dict[tuple[str, str], Fault] = {}
    for value in examples.valid():
        for fault in examples.faulty(value):
            if fault.value is not None:  # null params stand for none
                found.setdefault((fault.what, fault.path), fault)
    return list(found.values())


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[DaemonProcess]:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["text", "sim-text"])
        async with DaemonProcess(config, "--tcp", "127.0.0.1:0") as daemon:
            yield daemon
        assert not simulator.requests, "nothing was sent upstream"


@asynccontextmanager
async def connected(daemon: DaemonProcess, transport: str) -> AsyncIterator[tuple[Peer, dict[str, Any]]]:
    """A raw client, and what its `initialize` needs."""
    if transport == "unix":
        async with await Peer.connect(daemon.socket, validate=False) as peer:
            yield peer, {}
    elif transport == "tcp":
        found = re.search(r"127\.0\.0\.1:(\d+)", daemon.output())
        assert found is not None
        async with await Peer.connect_tcp(int(found[1]), validate=False) as peer:
            yield peer, {"token": (daemon.runtime_dir / "token").read_text().strip()}
    else:
        async with spawned(daemon, *transport.split()) as peer:
            yield peer, {}


@asynccontextmanager
async def spawned(daemon: DaemonProcess, *arguments: str) -> AsyncIterator[Peer]:
    """A client of a `modeld --stdio` process."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *daemon.command(*arguments), stdin=pipe, stdout=pipe, env=daemon.env, limit=64 * 1024 * 1024
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with Peer(process.stdout, process.stdin, validate=False) as peer:
        yield peer
    async with asyncio.timeout(10):
        await process.wait()


TRANSPORTS = ["unix", "tcp", "--stdio", "--stdio --isolated"]


async def refusals(peer: Peer, method: str, given: list[tuple[str, Any]]) -> list[str]:
    """Send every value; each must be refused with its path. Returns the messages."""
    messages: list[str] = []
    for start in range(0, len(given), BATCH):
        ids = [peer.request(method, value) for _, value in given[start : start + BATCH]]
        await peer.until(lambda last=ids[-1]: peer.replies(last))
        by_id = {message.get("id"): message for message in peer.messages}
        for (path, value), one in zip(given[start : start + BATCH], ids, strict=True):
            error = by_id[one].get("error")
            assert error is not None, f"{method} took {value}"
            assert error["code"] == -32602, (method, value, error)
            assert f"`{path}`" in error["message"], (method, path, error["message"])
            assert "data" not in error
            messages.append(error["message"])
        peer.messages.clear()
    return messages


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_malformed_params_are_refused_with_their_path_and_without_their_value(
    daemon: DaemonProcess, transport: str
) -> None:
    tested: list[str] = []
    async with connected(daemon, transport) as (peer, options):
        await peer.initialize(**options)
        for method in METHODS:
            given = [(fault.path, fault.value) for fault in faults(f"{method.replace('/', '.')}.params")]
            if method in ("initialize", "shutdown") or await _is_missing(peer, method, given[0][1]):
                continue
            for message in await refusals(peer, method, given):
                assert CANARY not in message
                assert str(CANARY_NUMBER) not in message
            tested.append(method)
            assert (await peer.call("daemon/status")).ok()["draining"] is False
    assert set(SERVED) <= set(tested)


async def _is_missing(peer: Peer, method: str, params: Any) -> bool:
    return (await peer.call(method, params)).error["code"] == -32601


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_malformed_initialize_is_refused_and_may_be_tried_again(daemon: DaemonProcess, transport: str) -> None:
    async with connected(daemon, transport) as (peer, options):
        outer = [(fault.path, fault.value) for fault in faults("initialize.params") if fault.path != "$.initializationOptions"]
        inner = [(fault.path.replace("$", OPTIONS, 1), _initialize(fault.value)) for fault in faults("initialize.options")]
        if transport == "tcp":  # nothing but the token is judged before the token, and not for long
            outer, inner = outer[:20], inner[:20]
        messages = await refusals(peer, "initialize", outer + inner)
        assert not any(CANARY in message or str(CANARY_NUMBER) in message for message in messages)
        result = await peer.initialize(**options)
        assert result["serverInfo"]["name"] == "modeld"


def _initialize(options: Any) -> dict[str, Any]:
    return {"capabilities": {}, "initializationOptions": {"modeld": options}}


WRITTEN = [
    ("model/complete", {"messages": [{"role": CANARY, "content": "x"}]}, "$.messages[0].role"),
    ("model/stream", {"messages": [{"content": CANARY}]}, "$.messages[0].role"),
    ("model/complete", {"messages": [{"role": "user", "content": [{"type": CANARY}]}]}, "$.messages[0].content[0].type"),
    ("model/complete", {"messages": [{"role": "user", "content": [{"text": CANARY}]}]}, "$.messages[0].content[0].type"),
    ("model/stream", {"model": CANARY}, "$.messages"),
    ("model/complete", {"messages": "x", "temperature": CANARY}, "$.temperature"),
    ("model/complete", {"messages": "x", "provider_options": {"anthropic": CANARY}}, "$.provider_options[...]"),
    ("model/estimateTokens", [CANARY], "$"),
    ("config/check", {"text": [CANARY]}, "$.text"),
    ("initialize", {"initializationOptions": {"modeld": CANARY}}, OPTIONS),
    ("initialize", {"initializationOptions": {"modeld": {"required": [CANARY, 5]}}}, f"{OPTIONS}.required[1]"),
]


@pytest.mark.parametrize(("method", "params", "path"), WRITTEN)
async def test_paths_read_as_written(daemon: DaemonProcess, method: str, params: Any, path: str) -> None:
    async with await Peer.connect(daemon.socket, validate=False) as peer:
        if method != "initialize":
            await peer.initialize()
        for message in await refusals(peer, method, [(path, params)]):
            assert CANARY not in message


async def test_nothing_of_it_is_in_the_log(daemon: DaemonProcess) -> None:
    found = [Path(daemon.log), *daemon.state_dir.rglob("*")]
    assert not [file for file in found if file.is_file() and CANARY.encode() in file.read_bytes()]
