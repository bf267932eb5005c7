"""Sessions and turns as strangers call them: least params, nulls, unknown fields, other shapes of the same; on two daemons."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.e2e.conftest import World
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Message, Peer
from tests.harness.sessions import TOOL, begin_turn, calls_of, create, messages_of, results_for, session_events, turn, wire_pairs

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio
MODELS = ["sim-text", "sim-echo", "sim-tool", "sim-parallel-tools-2", "sim-thinking-tool", "sim-slow-60", "sim-fault-bad_request"]


def config_of(simulator: Simulator) -> str:
    config = json.loads(models_yaml(simulator.base_url, simulator.openai_base_url, MODELS, max_retries=0))
    config["default_model"] = "openai:sim-echo"
    config["models"]["anthropic:sim-text"]["aliases"] = ["friend"]
    return json.dumps(config)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with Simulator() as simulator, DaemonProcess(config_of(simulator)) as daemon:
        yield World(daemon, simulator)


@pytest.fixture
async def other(world: World) -> AsyncIterator[Peer]:
    async with await Peer.connect(world.daemon.socket) as peer:
        await peer.initialize()
        yield peer


async def call(peer: Peer, method: str, params: Any = None) -> Any:
    """A call whose params may be none of the schema's."""
    return await peer.call(method, params, check=False)


# ---- what may be left out, and what may be there besides

NOTHING = [None, {}, {"model": None, "system_prompt": None, "tools": None, "metadata": None, "policy": None}, {"later": [1]}]


@pytest.mark.parametrize("params", NOTHING, ids=["none", "empty", "null", "unknown"])
async def test_a_session_of_defaults_runs_on_the_default_model(peer: Peer, params: Any) -> None:
    session = (await call(peer, "session/create", params)).ok()["session"]
    assert session["session_id"].startswith("ses_")
    assert session["model"] is None
    result = (await call(peer, "turn/start", {"session_id": session["session_id"], "input": "Say this.", "later": 1})).ok()
    assert result["message"]["content"][0]["text"] == "Say this."
    assert result["model"] == "openai:sim-echo"
    assert {"turn_id", "message", "stop_reason", "usage", "cost", "warnings", "handoff"} <= result.keys()


async def test_an_alias_stays_what_the_client_called_it(peer: Peer) -> None:
    session_id = await create(peer, "friend")
    assert (await turn(peer, session_id)).ok()["model"] == "anthropic:sim-text"
    assert (await peer.call("session/get", {"session_id": session_id})).ok()["session"]["model"] == "friend"


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("session/create", {"model": "nobody:nothing"}),
    ("session/create", {"policy": {"concurrent_turns": "maybe"}}),
    ("session/update", {"model": "nobody:nothing"}),
    ("session/update", {"policy": {"pending_calls": 1}}),
    ("session/fork", {"message_id": "msg_nowhere"}),
    ("turn/start", {"input": "x", "model": "nobody:nothing"}),
    ("turn/start", {"input": "x", "provider": "nobody"}),
    ("turn/start", {"input": [{"role": "tool", "content": "text"}]}),
    ("turn/start", {"input": [{"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "tu_1", "content": "x"}]}]}),
    ("session/append", {"messages": [{"id": "m", "role": "user", "content": "a"}, {"id": "m", "role": "user", "content": "b"}]}),
    ("handoff/preview", {"model": "nobody:nothing"}),
]
MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("turn/start", {}),
    ("turn/start", {"input": None}),
    ("turn/start", {"input": {"role": "user", "content": "x"}}),
    ("turn/start", {"input": [{"role": "robot", "content": "x"}]}),
    ("turn/start", {"input": "x", "tool_choice": "auto"}),
    ("turn/start", {"input": "x", "timeout_seconds": 0}),
    ("turn/start", {"input": "x", "max_output_tokens": -1}),
    ("turn/start", {"input": "x", "temperature": -0.1}),
    ("turn/start", {"input": "x", "top_p": 1.5}),
    ("turn/start", {"input": [{"role": "user", "content": [{"type": "smell"}]}]}),
    ("session/append", {"messages": "text"}),
    ("session/subscribe", {"cursor": "first"}),
    ("session/update", {"metadata": []}),
    ("handoff/preview", {}),
]


@pytest.mark.parametrize(("method", "fields"), REFUSED + MALFORMED)
async def test_what_can_t_be_is_a_typed_error_and_changes_nothing(
    peer: Peer, world: World, method: str, fields: dict[str, Any]
) -> None:
    session_id = await create(peer, "openai:sim-echo", metadata={"k": 1})
    (await turn(peer, session_id, "before")).ok()
    before = (await peer.call("session/get", {"session_id": session_id})).ok()
    asked = len(world.simulator.requests)
    reply = await call(peer, method, {"session_id": session_id, **fields} if method != "session/create" else fields)
    if (method, fields) in MALFORMED:
        assert reply.error["code"] == -32602
    else:
        assert reply.data["error_class"] in ("invalid_request", "model_not_found")
        assert reply.data["retryable"] is False
    assert len(world.simulator.requests) == asked
    assert (await peer.call("session/get", {"session_id": session_id})).ok() == before
    (await turn(peer, session_id, "after")).ok()


# ---- tool results in every shape


def _one_message(ids: list[str]) -> list[Message]:
    blocks = [{"type": "tool_result", "tool_use_id": one, "content": "sunny"} for one in ids]
    return [{"role": "tool", "content": blocks}]


def _by_the_user(ids: list[str]) -> list[Message]:
    return [{**_one_message(ids)[0], "role": "user"}]


def _backwards(ids: list[str]) -> list[Message]:
    return [message for one in reversed(ids) for message in results_for([one])]


def _with_blocks(ids: list[str]) -> list[Message]:
    content = [{"type": "text", "text": "sunny"}, {"type": "json", "value": {"degrees": 20}}]
    return [{"role": "tool", "content": [{"type": "tool_result", "tool_use_id": one, "content": content}]} for one in ids]


def _with_words(ids: list[str]) -> list[Message]:
    return [*results_for(ids), {"id": f"said-{ids[0]}", "role": "user", "content": "And now?"}]


def _failed(ids: list[str]) -> list[Message]:
    message = _one_message(ids)[0]
    return [{**message, "content": [{**block, "is_error": True} for block in message["content"]]}]


SHAPES = [_one_message, _by_the_user, _backwards, _with_blocks, _with_words, _failed]


@pytest.mark.parametrize("how", ["turn", "append"])
@pytest.mark.parametrize("away", ["anthropic", "openai"])
@pytest.mark.parametrize("home", ["anthropic", "openai"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_results_come_in_any_shape_and_from_any_client(
    peer: Peer, other: Peer, world: World, shape: Any, home: str, away: str, how: str
) -> None:
    session_id = await create(peer, f"{home}:sim-parallel-tools-2", tools=[TOOL])
    ids = calls_of((await turn(peer, session_id)).ok()["message"])
    assert len(ids) == 2
    given = shape(ids)
    if how == "append":
        (await other.call("session/append", {"session_id": session_id, "messages": given})).ok()
        given = []
    (await turn(other, session_id, given, model=f"{away}:sim-text")).ok()
    body = world.simulator.requests[-1].json()
    calls, results = wire_pairs(body)
    assert sorted(calls) == sorted(results)
    assert calls == [one.removeprefix("tu_") for one in ids]
    assert json.dumps(body).count("sunny") == 2
    assert (await peer.call("session/validate", {"session_id": session_id})).ok() == {"valid": True, "problems": []}


GIVEN_IDS = ["call_1", "toolu_x", "tu_mine", "a.b:c/d e", "ünï", "x" * 200]


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
async def test_ids_that_a_client_brings_pair_on_every_wire(peer: Peer, world: World, wire: str) -> None:
    session_id = await create(peer, f"{wire}:sim-text", tools=[TOOL])
    calls = [{"type": "tool_use", "id": one, "name": "weather", "input": {"n": 1}} for one in GIVEN_IDS]
    history = [
        {"role": "user", "content": "q"},
        {"id": "mine", "role": "assistant", "content": calls},
        *results_for(GIVEN_IDS[::-1]),
    ]
    (await peer.call("session/append", {"session_id": session_id, "messages": history})).ok()
    assert calls_of((await messages_of(peer, session_id))[1]) == GIVEN_IDS
    for model in (f"{wire}:sim-text", "anthropic:sim-text", "openai:sim-text"):
        (await turn(peer, session_id, "go", model=model)).ok()
        sent, answered = wire_pairs(world.simulator.requests[-1].json())
        assert len(set(sent)) == len(GIVEN_IDS)
        assert sorted(sent) == sorted(answered)


# ---- a turn that runs, seen and touched by another client


async def test_what_others_may_do_while_a_turn_runs(peer: Peer, other: Peer) -> None:
    session_id = await create(peer, "openai:sim-slow-60")
    (await turn(peer, session_id, "before", model="openai:sim-text")).ok()
    number, request_id = begin_turn(peer, session_id, "go")
    await peer.until(lambda: len(peer.events(request_id)) >= 2)
    ref = {"session_id": session_id}
    session = (await other.call("session/get", ref)).ok()["session"]
    assert session["running_turn_id"]
    for method, fields in (("turn/start", {"input": "x"}), ("session/append", {"messages": [{"role": "user", "content": "x"}]})):
        refused = await other.call(method, {**ref, **fields})
        assert refused.data["error_class"] == "invalid_request"
        assert refused.data["retryable"] is True, "it may be sent again once the turn is over"
        assert session["running_turn_id"] in refused.error["message"]
    fork = (await other.call("session/fork", ref)).ok()["session"]["session_id"]
    assert len(await messages_of(other, fork)) == 2
    assert len((await other.call("session/export", ref)).ok()["messages"]) == 2
    assert (await other.call("session/update", {**ref, "metadata": {"k": 2}})).ok()["session"]["metadata"] == {"k": 2}
    joined = (await other.call("session/subscribe", ref)).ok()
    assert joined["snapshot"]["turn"]["turn_id"] == session["running_turn_id"]
    cancel = {**ref, "turn_id": session["running_turn_id"]}
    assert (await other.call("turn/cancel", cancel)).ok() == {"cancelled": True}
    assert (await peer.reply(number)).error["code"] == -32800
    assert session_events(other, session_id)[-1]["event"]["stop_reason"] == "cancelled"
    assert not session_events(other, fork)


async def test_a_session_that_is_deleted_ends_its_turn(peer: Peer, other: Peer, world: World) -> None:
    session_id = await create(peer, "openai:sim-slow-60")
    (await other.call("session/subscribe", {"session_id": session_id})).ok()
    number, request_id = begin_turn(peer, session_id)
    await other.until(lambda: len(other.events(request_id)) >= 2)
    (await other.call("session/delete", {"session_id": session_id})).ok()
    reply = await peer.reply(number, request_id=request_id)
    assert reply.error["code"] == -32800
    assert [event["event"]["type"] for event in reply.events].count("message.complete") == 1
    await other.until(lambda: other.notifications("session/changed")[-1:][0]["change"] == "deleted")
    assert session_id in (await turn(peer, session_id)).error["message"]
    listed = (await peer.call("session/list", {"limit": 1000})).ok()["sessions"]
    assert session_id not in {one["session_id"] for one in listed}


async def test_a_turn_and_its_session_s_end_in_one_packet(peer: Peer) -> None:
    """Whichever comes first: the turn has an end of its own, or there is no such session; never an answer without events."""
    for _ in range(20):
        session_id = await create(peer, "openai:sim-text")
        number, request_id = begin_turn(peer, session_id)
        deleted = peer.request("session/delete", {"session_id": session_id})
        reply = await peer.reply(number, request_id=request_id)
        (await peer.reply(deleted)).ok()
        ends = [event["event"]["type"] for event in reply.events].count("message.complete")
        assert ends == (1 if reply.events or reply.error is None else 0)
        if reply.error is not None and reply.error["code"] != -32800:
            assert session_id in reply.error["message"]


# ---- what an export holds is enough


async def test_an_export_goes_on_in_another_daemon(peer: Peer, world: World) -> None:
    session_id = await create(peer, "anthropic:sim-thinking-tool", tools=[TOOL], system_prompt="Be brief.", metadata={"k": 1})
    ids = calls_of((await turn(peer, session_id)).ok()["message"])
    exported = (await peer.call("session/export", {"session_id": session_id})).ok()
    (await turn(peer, session_id, results_for(ids))).ok()
    stayed = world.simulator.requests[-1].json()
    async with DaemonProcess(config_of(world.simulator)) as elsewhere:
        stranger = await elsewhere.peer()
        taken = json.loads(json.dumps(exported))
        imported = (await call(stranger, "session/import", taken)).ok()["session"]
        assert await messages_of(stranger, imported["session_id"]) == exported["messages"]
        assert (imported["system_prompt"], imported["metadata"], imported["tools"]) == ("Be brief.", {"k": 1}, [TOOL])
        (await turn(stranger, imported["session_id"], results_for(ids))).ok()
        assert world.simulator.requests[-1].json() == stayed, "to the provider it is the same conversation, signatures and all"
        again = (await call(stranger, "session/import", {**taken, "later": 1})).ok()["session"]
        assert again["session_id"] != imported["session_id"]


# ---- subscriptions


async def test_a_cursor_from_any_point_brings_exactly_the_rest(peer: Peer, world: World) -> None:
    session_id = await create(peer, "openai:sim-text")
    joined = (await peer.call("session/subscribe", {"session_id": session_id})).ok()
    epoch = joined["epoch"]
    assert joined["cursor"] == 0, "a session without a turn has had no event, however many sessions there were"
    for _ in range(2):
        (await turn(peer, session_id)).ok()
    events = session_events(peer, session_id)
    for at in range(len(events) + 1):
        async with await Peer.connect(world.daemon.socket) as back:
            await back.initialize()
            resumed = (await back.call("session/subscribe", {"session_id": session_id, "epoch": epoch, "cursor": at})).ok()
            assert resumed == {"epoch": epoch, "cursor": at}
            await back.until(lambda back=back, at=at: len(session_events(back, session_id)) == len(events) - at)
            assert session_events(back, session_id) == events[at:]


@pytest.mark.parametrize("when", ["running", "ended"])
async def test_who_left_a_detached_turn_comes_back_for_the_rest(peer: Peer, world: World, when: str) -> None:
    session_id = await create(peer, "openai:sim-slow-60")
    leaving = await Peer.connect(world.daemon.socket)
    await leaving.initialize()
    epoch = (await leaving.call("session/subscribe", {"session_id": session_id})).ok()["epoch"]
    _, request_id = begin_turn(leaving, session_id, "go", detach=True)
    await leaving.until(lambda: len(leaving.events(request_id)) >= 3)
    had = list(leaving.events(request_id))
    await leaving.close()

    async def ended() -> bool:
        session = (await peer.call("session/get", {"session_id": session_id})).ok()["session"]
        return session["last_turn"]["status"] == "completed"

    async with asyncio.timeout(10):
        while when == "ended" and not await ended():
            await asyncio.sleep(0.02)
    async with await Peer.connect(world.daemon.socket) as back:
        await back.initialize()
        again = {"session_id": session_id, "epoch": epoch, "cursor": had[-1]["cursor"]}
        assert (await back.call("session/subscribe", again)).ok() == {"epoch": epoch, "cursor": had[-1]["cursor"]}
        await back.until(lambda: [event["event"]["type"] for event in back.events(request_id)][-1:] == ["message.complete"])
        events = [*had, *back.events(request_id)]
    assert [event["cursor"] for event in events] == list(range(1, len(events) + 1))
    text = "".join(event["event"].get("text", "") for event in events)
    stored = await messages_of(peer, session_id)
    assert [message["role"] for message in stored] == ["user", "assistant"]
    assert stored[1]["content"] == events[-1]["event"]["final_content"] == [{"type": "text", "text": text}]


async def test_three_clients_of_three_kinds_share_a_session(world: World) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            *world.daemon.command("--stdio"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=world.daemon.env,
            limit=64 * 1024 * 1024,
        )
        for _ in range(2)
    ]
    pipes = [(process.stdout, process.stdin) for process in processes]
    editors = [Peer(out, into) for out, into in pipes if out is not None and into is not None]
    third = await Peer.connect(world.daemon.socket)
    try:
        for peer in (*editors, third):
            await peer.initialize()
        session_id = await create(editors[0], "anthropic:sim-text")
        for peer in (*editors, third):
            (await peer.call("session/subscribe", {"session_id": session_id})).ok()
        for peer in (*editors, third):
            (await turn(peer, session_id, "Hello")).ok()
        count = len(session_events(third, session_id))
        for peer in editors:
            await peer.until(lambda peer=peer: len(session_events(peer, session_id)) == count)
            assert session_events(peer, session_id) == session_events(third, session_id)
            assert await messages_of(peer, session_id) == await messages_of(third, session_id)
    finally:
        for peer in (*editors, third):
            await peer.close()
        for process in processes:
            await process.wait()
