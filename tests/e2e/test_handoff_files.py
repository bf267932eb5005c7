"""A file that one provider keeps, in a session that goes to another and back, and in calls without a session."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess
from tests.harness.peer import Message, Peer
from tests.harness.sessions import create, messages_of, turn

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
NOTE = "Another provider keeps it"
FAILING = "sim-fault-server_error-0-500"


def config_of(simulator: Simulator) -> str:
    """Two providers that read files by id, and one more name for the second."""
    chat = {"base_url": simulator.openai_base_url, "api_key_env": "MODELD_TEST_KEY", "max_retries": 0}
    adapters: dict[str, Any] = {
        "anthropic": {"type": "anthropic", **chat, "base_url": simulator.base_url},
        "openai": {"type": "openai", **chat},
        "openai-responses": {"type": "openai-responses", **chat},
    }
    able = {"files": True, "images": True, "file_ids": True, "file_sources": [], "image_sources": []}
    models: dict[str, Any] = {
        f"{name}:sim-text": {"adapter": name, "wire_name": "sim-text", "capabilities": able} for name in adapters
    }
    fallback = {"wire_name": FAILING, "capabilities": able, "fallbacks": ["openai:sim-text"]}
    models[f"anthropic:{FAILING}"] = {"adapter": "anthropic", **fallback}
    return json.dumps({"adapters": adapters, "models": models})


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def daemon(simulator: Simulator) -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess(config_of(simulator)) as daemon:
        yield daemon


@pytest.fixture
async def peer(daemon: DaemonProcess) -> AsyncIterator[Peer]:
    async with await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        yield peer


async def upload(peer: Peer, provider: str) -> str:
    params = {"provider": provider, "filename": "report.pdf", "data": "aGk=", "media_type": "application/pdf"}
    return (await peer.call("file/upload", params)).ok()["file_id"]


def naming(file_id: str, **source: Any) -> list[Message]:
    block = {"type": "file", "source": {"kind": "file_id", "file_id": file_id, **source}, "filename": "report.pdf"}
    return [{"role": "user", "content": [{"type": "text", "text": "Read this."}, block]}]


def sent(simulator: Simulator, number: int = -1) -> str:
    return simulator.requests[number].body.decode()


def items(simulator: Simulator) -> list[str]:
    return [json.dumps(one) for one in json.loads(sent(simulator))["messages"]]


@pytest.mark.parametrize("how", ["uploaded here", "named by the client", "first answered there"])
async def test_there_and_back(peer: Peer, simulator: Simulator, how: str) -> None:
    file_id = await upload(peer, "anthropic") if how == "uploaded here" else "file_unseen"
    given = naming(file_id, provider="anthropic") if how == "named by the client" else naming(file_id)
    session_id = await create(peer)
    (await turn(peer, session_id, given)).ok()
    at_home = items(simulator)
    assert file_id in at_home[0]
    assert '"provider"' not in at_home[0]
    before = await messages_of(peer, session_id)
    preview = (await peer.call("handoff/preview", {"session_id": session_id, "model": "openai:sim-text"})).ok()
    assert [(one["code"], one["detail"]) for one in preview["dropped"]] == [("content_dropped", {"count": 1})]
    assert (preview["refused"], preview["kept"]) == ([], 2)
    moved = (await turn(peer, session_id, "Go on.", model="openai:sim-text")).ok()
    assert moved["handoff"]["dropped"] == preview["dropped"]
    away = items(simulator)
    assert file_id not in sent(simulator)
    assert NOTE in away[0]
    (await turn(peer, session_id, "And on.", model="openai:sim-text")).ok()
    assert items(simulator)[: len(away)] == away, "what was sent there goes out again as it was"
    back = (await turn(peer, session_id, "Back.")).ok()
    assert items(simulator)[: len(at_home)] == at_home
    assert NOTE not in sent(simulator)
    assert back["handoff"]["dropped"] == []
    assert (await messages_of(peer, session_id))[: len(before)] == before, "what is stored is never changed"


async def test_a_name_of_the_same_account_reads_it(peer: Peer, simulator: Simulator) -> None:
    session_id = await create(peer, "openai:sim-text")
    file_id = await upload(peer, "openai")
    (await turn(peer, session_id, naming(file_id))).ok()
    moved = (await turn(peer, session_id, "Go on.", model="openai-responses:sim-text")).ok()
    assert file_id in sent(simulator)
    assert moved["handoff"]["dropped"] == []


async def test_a_turn_that_brings_another_providers_file_is_refused(peer: Peer, simulator: Simulator) -> None:
    file_id = await upload(peer, "anthropic")
    session_id = await create(peer, "openai:sim-text")
    (await turn(peer, session_id, "Hello.")).ok()
    requests = len(simulator.requests)
    reply = await turn(peer, session_id, naming(file_id))
    assert reply.data["error_class"] == "capability_mismatch"
    assert "file/upload" in reply.error["message"]
    assert len(simulator.requests) == requests
    (await turn(peer, session_id, "Never mind.")).ok()
    assert file_id not in sent(simulator)


async def test_what_a_session_knows_outlives_the_daemon(simulator: Simulator, tmp_path: Path) -> None:
    config, args = config_of(simulator), ("--state-dir", str(tmp_path))
    async with DaemonProcess(config, *args) as daemon, await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        file_id = await upload(peer, "anthropic")
        session_id = await create(peer, "openai:sim-text")
        (await peer.call("session/append", {"session_id": session_id, "messages": naming(file_id)})).ok()
        (await turn(peer, session_id, "Go on.")).ok()
        before = items(simulator)
        assert NOTE in before[0]
        forked = (await peer.call("session/fork", {"session_id": session_id})).ok()["session"]["session_id"]
        export = (await peer.call("session/export", {"session_id": session_id})).ok()
    async with DaemonProcess(config, *args) as daemon, await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        imported = (await peer.call("session/import", export)).ok()["session"]["session_id"]
        for one in (session_id, forked, imported):
            (await turn(peer, one, "And on.")).ok()
            assert items(simulator)[: len(before)] == before
        (await turn(peer, session_id, "Home.", model="anthropic:sim-text")).ok()
        assert file_id in sent(simulator)


async def test_what_a_refused_turn_told_of_a_file_is_kept_with_the_next_messages(simulator: Simulator, tmp_path: Path) -> None:
    config, args = config_of(simulator), ("--state-dir", str(tmp_path))
    async with DaemonProcess(config, *args) as daemon, await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        file_id = await upload(peer, "anthropic")
        session_id = await create(peer, "openai:sim-text")
        assert (await turn(peer, session_id, naming(file_id))).data["error_class"] == "capability_mismatch"
        (await peer.call("session/append", {"session_id": session_id, "messages": naming(file_id)})).ok()
    async with DaemonProcess(config, *args) as daemon, await Peer.connect(daemon.socket) as peer:
        await peer.initialize()
        (await turn(peer, session_id, "Go on.")).ok()
        assert NOTE in items(simulator)[0]


async def test_a_call_that_names_another_providers_file_is_refused_before_it_is_sent(peer: Peer, simulator: Simulator) -> None:
    file_id = await upload(peer, "anthropic")
    requests = len(simulator.requests)
    for messages in (naming(file_id), naming("file_unseen", provider="anthropic")):
        for method in ("model/complete", "model/stream"):
            reply = await peer.call(method, {"model": "openai:sim-text", "messages": messages})
            assert reply.data["error_class"] == "capability_mismatch"
            assert "anthropic keeps" in reply.error["message"]
            assert "file/upload" in reply.error["message"]
    assert len(simulator.requests) == requests
    (await peer.call("model/complete", {"model": "anthropic:sim-text", "messages": naming(file_id)})).ok()
    (await peer.call("model/complete", {"model": "openai:sim-text", "messages": naming("file_unseen")})).ok()
    assert "file_unseen" in sent(simulator), "nobody knows whose it is"


async def test_a_listed_file_is_known_too(daemon: DaemonProcess, peer: Peer, simulator: Simulator) -> None:
    file_id = await upload(peer, "anthropic")
    async with DaemonProcess(config_of(simulator)) as other, await Peer.connect(other.socket) as newcomer:
        await newcomer.initialize()
        asked = {"model": "openai:sim-text", "messages": naming(file_id)}
        (await newcomer.call("model/complete", asked)).ok()
        (await newcomer.call("file/list", {"provider": "anthropic"})).ok()
        assert (await newcomer.call("model/complete", asked)).data["error_class"] == "capability_mismatch"


async def test_a_fallback_without_the_file_is_not_asked(peer: Peer, simulator: Simulator) -> None:
    file_id = await upload(peer, "anthropic")
    requests = len(simulator.requests)
    reply = await peer.call("model/complete", {"model": f"anthropic:{FAILING}", "messages": naming(file_id)})
    assert reply.data["error_class"] == "server_error"
    assert len(simulator.requests) == requests + 1
    session_id = await create(peer)
    (await turn(peer, session_id, naming(file_id))).ok()
    stood_in = (await turn(peer, session_id, "Go on.", model=f"anthropic:{FAILING}")).ok()
    assert {"fallback_used", "content_dropped"} <= {warning["code"] for warning in stood_in["warnings"]}
    assert NOTE in sent(simulator)
    assert file_id not in sent(simulator)
