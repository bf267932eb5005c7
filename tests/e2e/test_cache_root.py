"""The root of a session's prompt cache outlives the daemon, and forks inherit it: what breaks the prefix there is told too."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Message, Peer
from tests.harness.sessions import TOOL, create, messages_of, turn

from modeld.simulator import Simulator
from modeld.simulator.script import Script, SimUsage, TextStep

pytestmark = pytest.mark.anyio
MODEL = "anthropic:sim-cached"
PRICE = {"input": 3.0, "output": 15.0, "cache_read": 0.3, "cache_write": 3.75}
CODE = "cache_prefix_changed"


@pytest.fixture
async def cold() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def place(cold: Simulator) -> AsyncIterator[DaemonProcess]:
    names = ["sim-cached", "sim-thinking", "sim-fault-bad_request"]
    config: dict[str, Any] = json.loads(models_yaml(cold.base_url, cold.openai_base_url, names))
    for name in (MODEL, "openai:sim-cached"):
        config["models"][name]["pricing"] = PRICE
    async with DaemonProcess(json.dumps(config)) as daemon:
        yield daemon


async def client(daemon: DaemonProcess) -> Peer:
    peer = await daemon.peer(trace=True)
    peer.notify("$/setTrace", {"value": "messages"})
    return peer


async def again(daemon: DaemonProcess) -> Peer:
    """A client of a new daemon on the same state, the old one having been killed."""
    assert daemon.process is not None
    daemon.process.kill()
    await daemon.process.wait()
    await daemon.start()
    return await client(daemon)


async def told(peer: Peer, session_id: str, given: str = "And now?", **fields: Any) -> list[Message]:
    """What a turn says of its prefix: the same in its warnings and on the trace bus."""
    before = len(peer.notifications("trace/event"))
    reply = await turn(peer, session_id, given, **fields)
    warnings = [warning for warning in reply.ok()["warnings"] if warning["code"] == CODE]
    traced = [event for event in peer.notifications("trace/event")[before:] if event["type"] == f"llm.{CODE}"]
    assert len(traced) == len(warnings)
    for warning, event in zip(warnings, traced, strict=True):
        for name, value in warning["detail"].items():
            assert event[name] == value, name
        assert event["session_id"] == session_id
        assert event["turn_id"] == reply.ok()["turn_id"]
        assert event.get("path") == warning.get("path")
    return [warning["detail"] for warning in warnings]


CHANGES: list[tuple[str, dict[str, Any], str | None]] = [
    ("nothing", {}, None),
    ("sampling", {"temperature": 0.5}, None),
    ("system", {"system_prompt": "Be long."}, "system"),
    ("tools", {"tools": [{**TOOL, "description": "Other words."}]}, "tools"),
    ("parameters", {"tool_choice": {"type": "none"}}, "parameters"),
    ("model", {"model": "openai:sim-cached"}, "model"),
]


@pytest.mark.parametrize("how", ["restart", "fork", "fork-of-fork", "fork-and-restart"])
async def test_what_broke_the_prefix_is_told_over_restarts_and_forks(place: DaemonProcess, how: str) -> None:
    peer = await client(place)
    session_id = await create(peer, MODEL, system_prompt="Be brief.", tools=[TOOL])
    assert await told(peer, session_id, "Hello.") == []
    assert await told(peer, session_id, "More.") == []
    forks: list[str] = []
    for _ in CHANGES:
        source = session_id
        for _ in range(how.count("fork")):
            source = (await peer.call("session/fork", {"session_id": source})).ok()["session"]["session_id"]
        forks.append(source)
    if "restart" in how:
        peer = await again(place)
    for (change, fields, part), fork in zip(CHANGES, forks, strict=True):
        details = await told(peer, fork, **fields)
        assert [detail["part"] for detail in details] == ([part] if part else []), change
        lines = [json.loads(line) for line in place.output().splitlines() if "cached prefix lost" in line]
        assert [line["part"] for line in lines if line["session_id"] == fork] == [detail["part"] for detail in details]
        for detail in details:
            assert detail["tokens"] > 0
            assert detail["currency"] == "USD"
            assert detail["cost"] > 0
        if how == "restart":
            break  # one session, and the first turn after the restart is the one that counts


@pytest.mark.parametrize(("change", "fields", "part"), CHANGES[1:], ids=[row[0] for row in CHANGES[1:]])
async def test_the_first_turn_after_a_restart(
    place: DaemonProcess, change: str, fields: dict[str, Any], part: str | None
) -> None:
    peer = await client(place)
    session_id = await create(peer, MODEL, system_prompt="Be brief.", tools=[TOOL])
    assert await told(peer, session_id, "Hello.") == []
    peer = await again(place)
    assert [detail["part"] for detail in await told(peer, session_id, **fields)] == ([part] if part else [])
    assert await told(peer, session_id, **fields) == [], "and then it is the beginning that counts"


async def test_a_fork_from_the_middle_knows_what_was_cached_there(place: DaemonProcess) -> None:
    peer = await client(place)
    session_id = await create(peer, MODEL, system_prompt="Be brief.")
    for number in range(3):
        assert await told(peer, session_id, f"Turn {number}") == []
    messages = await messages_of(peer, session_id)
    for at in (0, 1, 3):
        fork = {"session_id": session_id, "message_id": messages[at]["id"]}
        same, other = [(await peer.call("session/fork", fork)).ok()["session"] for _ in range(2)]
        assert same["cache_root"] == other["cache_root"] == session_id
        assert await told(peer, same["session_id"]) == []
        parts = [detail["part"] for detail in await told(peer, other["session_id"], system_prompt="Be long.")]
        assert parts == ["system"], f"after message {at}"
    unknown = (await peer.call("session/export", {"session_id": session_id})).ok()
    imported = (await peer.call("session/import", unknown)).ok()["session"]["session_id"]
    assert await told(peer, imported, system_prompt="Be long.") == [], "another root: nothing of it is cached"


async def test_forks_share_the_key_of_their_root(place: DaemonProcess, cold: Simulator) -> None:
    """Where a provider finds its cache by a key, a session and its forks send one; a client's own comes first."""

    def key() -> str | None:
        return cold.requests[-1].json().get("prompt_cache_key")

    peer = await client(place)
    one, stranger = await create(peer, "openai:sim-cached"), await create(peer, "openai:sim-cached")
    (await turn(peer, one)).ok()
    assert key() == one
    fork = (await peer.call("session/fork", {"session_id": one})).ok()["session"]["session_id"]
    peer = await again(place)
    cases: list[tuple[str, dict[str, Any], str | None]] = [
        (one, {}, one),
        (fork, {}, one),
        (fork, {"cache": {"mode": "auto"}}, one),
        (fork, {"cache": {"key": "mine"}}, "mine"),
        (fork, {"cache": {"mode": "off"}}, None),
        (stranger, {}, stranger),
        (one, {"model": "anthropic:sim-cached", "cache": {"mode": "auto"}}, None),
    ]
    for session_id, fields, expected in cases:
        result = (await turn(peer, session_id, **fields)).ok()
        assert key() == expected
        assert "cache.key" not in {warning.get("path") for warning in result["warnings"]}


@pytest.mark.parametrize("restart", [False, True])
async def test_the_first_message_that_differs_is_named(place: DaemonProcess, restart: bool) -> None:
    """Another policy for other models' reasoning changes what is sent of the second message."""
    peer = await client(place)
    session_id = await create(peer, "openai:sim-cached")
    (await turn(peer, session_id, "Think.", model="anthropic:sim-thinking")).ok()
    assert await told(peer, session_id) == []
    peer = await again(place) if restart else peer
    assert await told(peer, session_id) == []
    peer = await again(place) if restart else peer
    (await peer.call("session/update", {"session_id": session_id, "policy": {"foreign_reasoning": "text"}})).ok()
    (detail,) = await told(peer, session_id)
    assert (detail["part"], detail["message"]) == ("message", 1)


@pytest.mark.parametrize("restart", [False, True])
async def test_a_cache_that_ran_cold_is_told_from_a_change(place: DaemonProcess, cold: Simulator, restart: bool) -> None:
    """The same beginning, and the provider has it no longer: nobody's fault here, and it is said what it cost."""
    peer = await client(place)
    session_id = await create(peer, MODEL)
    assert await told(peer, session_id, "Hello.") == []
    assert await told(peer, session_id) == []
    assert (await turn(peer, session_id, model="anthropic:sim-fault-bad_request")).error is not None
    assert await told(peer, session_id) == [], "a failed turn changes nothing"
    peer = await again(place) if restart else peer
    cold.push(Script([TextStep("Cold.")], usage=SimUsage(input=20, cache_write=1_300)))
    (detail,) = await told(peer, session_id)
    assert (detail["part"], detail["tokens"]) == ("evicted", 1_300)
    assert detail["cost"] == pytest.approx(1_300 * (3.75 - 0.3) / 1e6)
