"""Promises F: sessions are kept, turns extend them, calls and results stay paired, whatever happens."""

import asyncio
import json
import time
from typing import Any

import pytest
from tests.e2e.conftest import MODELS, WIRES, World
from tests.harness.checks import check_stream, text_of
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer
from tests.harness.sessions import (
    TOOL,
    begin_turn,
    calls_of,
    create,
    messages_of,
    problems_of,
    results_for,
    session_events,
    turn,
    wire_pairs,
)

from modeld.simulator.script import Script, ToolCallStep

pytestmark = pytest.mark.anyio


# ---- F1, F2, F21: the records


async def test_create_get_list_update_delete(peer: Peer) -> None:
    fields = {"system_prompt": "Be brief.", "tools": [TOOL], "metadata": {"a": {"b": [1, None]}}, "policy": {"mine": 1}}
    session_id = await create(peer, **fields)
    got = (await peer.call("session/get", {"session_id": session_id})).ok()
    assert got["messages"] == []
    assert {name: got["session"][name] for name in fields} == fields
    listed = (await peer.call("session/list", {"limit": 1})).ok()
    assert [one["session_id"] for one in listed["sessions"]] == [session_id]
    changed = {"session_id": session_id, "model": "openai:sim-text", "metadata": {"c": 2}, "system_prompt": "Be long."}
    updated = (await peer.call("session/update", changed)).ok()["session"]
    assert {name: updated[name] for name in changed} == changed
    assert updated["tools"] == [TOOL], "what isn't given stays"
    assert (await peer.call("session/delete", {"session_id": session_id})).ok() == {"deleted": True}
    assert session_id in (await peer.call("session/get", {"session_id": session_id})).error["message"]


async def test_lists_page_through_all_sessions_once(peer: Peer) -> None:
    made: list[str] = []
    for _ in range(7):
        made.append(await create(peer))
        await asyncio.sleep(0.002)  # their times are in milliseconds
    seen: list[str] = []
    cursor: str | None = None
    while len(seen) < len(made):
        page = (await peer.call("session/list", {"limit": 3, **({"cursor": cursor} if cursor else {})})).ok()
        seen += [one["session_id"] for one in page["sessions"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert seen[:7] == made[::-1], "the last updated first, each once"
    refused = await peer.call("session/list", {"cursor": "nonsense"})
    assert refused.data["error_class"] == "invalid_request"


BLOCKS = [
    {"type": "text", "text": "Größe 🙂 \u2028 \u0000 end"},
    {"type": "json", "value": {"a": [1, 2.5, None, {"b": "c"}]}},
    {"type": "image", "source": {"kind": "base64", "data": "iVBORw0KGgo="}, "media_type": "image/png", "detail": "low"},
    {"type": "file", "source": {"kind": "url", "url": "https://example.com/a.pdf"}, "filename": "a.pdf"},
]
THOUGHT = {"type": "thinking", "text": "", "provider_raw": {"provider": "anthropic", "model": "m", "signature": "c2ln+/=="}}
CALL = {"type": "tool_use", "id": "toolu_given", "name": "weather", "input": {"city": "Oslo", "n": 1.0}, "group": "g"}


async def test_append_keeps_everything_byte_for_byte(peer: Peer) -> None:
    session_id = await create(peer)
    given = [
        {"id": "m-1", "role": "user", "content": BLOCKS, "metadata": {"k": [1]}},
        {"id": "m-2", "role": "assistant", "content": [THOUGHT, {"type": "text", "text": "hm"}, CALL]},
        {"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "toolu_given", "content": "12°", "is_error": True}]},
        {"role": "user", "content": "a string stays a string"},
    ]
    ids = (await peer.call("session/append", {"session_id": session_id, "messages": given})).ok()["message_ids"]
    assert ids[:2] == ["m-1", "m-2"]
    assert all(one.startswith("msg_") for one in ids[2:])
    stored = await messages_of(peer, session_id)
    expected = [{**message, "id": message_id} for message, message_id in zip(given, ids, strict=True)]
    assert stored == expected


async def test_an_unknown_session_is_named_by_every_method(peer: Peer) -> None:
    ref = {"session_id": "ses_nowhere"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("get", ref),
        ("update", ref),
        ("append", {**ref, "messages": []}),
        ("fork", ref),
        ("forkPoints", ref),
        ("validate", ref),
        ("export", ref),
        ("subscribe", ref),
        ("unsubscribe", ref),
        ("delete", ref),
    ]
    methods = [(f"session/{name}", params) for name, params in calls]
    methods += [
        ("turn/start", {**ref, "input": "x"}),
        ("turn/cancel", ref),
        ("handoff/preview", {**ref, "model": "openai:sim-text"}),
    ]
    for method, params in methods:
        reply = await peer.call(method, params)
        assert reply.error["code"] == -32803, method
        assert reply.data["error_class"] == "invalid_request"
        assert "ses_nowhere" in reply.error["message"]


# ---- F3, F4, F23: turns


@pytest.mark.parametrize("wire", WIRES)
async def test_a_turn_extends_the_history(peer: Peer, simulator: Any, wire: str) -> None:
    session_id = await create(peer, f"{wire}:sim-text", system_prompt="Be brief.")
    first = await turn(peer, session_id, "One")
    result = first.ok()
    assert {"turn_id", "message", "stop_reason", "usage", "cost", "warnings"} <= result.keys()
    inner = [event["event"] for event in first.events]
    assert inner[0]["type"] == "message.start"
    assert inner[-1]["type"] == "message.complete"
    assert inner[-1]["final_content"] == result["message"]["content"]
    assert [event["cursor"] for event in first.events] == list(range(1, len(first.events) + 1))
    assert {(event["session_id"], event["turn_id"]) for event in first.events} == {(session_id, result["turn_id"])}
    second = (await turn(peer, session_id, "Two")).ok()
    stored = await messages_of(peer, session_id)
    assert [message["role"] for message in stored] == ["user", "assistant", "user", "assistant"]
    assert stored[1] == result["message"]
    assert stored[3] == second["message"]
    sent = simulator.requests[-1].body.decode()
    assert sent.index("One") < sent.index(text_of(result["message"]["content"])[:20]) < sent.index("Two")
    rows = (await peer.call("usage/query", {"session_id": session_id})).ok()["rows"]
    assert len(rows) == 2


async def test_input_may_be_messages_and_overrides_hold_for_the_turn(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-text", system_prompt="Usual words.")
    given = [{"id": "in-1", "role": "user", "content": "A"}, {"role": "user", "content": [{"type": "text", "text": "B"}]}]
    fields = {"model": "openai:sim-text", "system_prompt": "Other words.", "tools": [TOOL], "max_output_tokens": 33}
    result = (await turn(peer, session_id, given, **fields)).ok()
    sent = simulator.requests[-1].json()
    assert sent["messages"][0]["content"] == "Other words."
    assert sent["tools"][0]["function"]["name"] == "weather"
    assert 33 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    assert result["model"] == "openai:sim-text"
    (await turn(peer, session_id, "C")).ok()
    later = simulator.requests[-1].json()
    assert later["model"] == "sim-text"
    assert "Usual words." in json.dumps(later["system"])
    assert "tools" not in later
    assert (await messages_of(peer, session_id))[0]["id"] == "in-1"
    session = (await peer.call("session/get", {"session_id": session_id})).ok()["session"]
    assert session["model"] == "anthropic:sim-text"


async def test_the_starter_gets_its_events_once_subscribed_or_not(peer: Peer) -> None:
    session_id = await create(peer)
    apart = await turn(peer, session_id)
    (await peer.call("session/subscribe", {"session_id": session_id})).ok()
    followed = await turn(peer, session_id)
    for reply in (apart, followed):
        check = [event["cursor"] for event in reply.events]
        assert check == sorted(set(check))
        assert reply.events[-1]["event"]["type"] == "message.complete"
    assert len(session_events(peer, session_id)) == len(apart.events) + len(followed.events)


# ---- F5, F6, F7: tools


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("script", "count"), [("tool", 1), ("parallel-tools-2", 2)])
async def test_tool_calls_then_their_results(peer: Peer, simulator: Any, wire: str, script: str, count: int) -> None:
    session_id = await create(peer, f"{wire}:sim-{script}", tools=[TOOL])
    asked = (await turn(peer, session_id)).ok()
    ids = calls_of(asked["message"])
    assert len(ids) == count
    assert all(one.startswith("tu_") for one in ids)
    assert asked["stop_reason"] == "tool_use"
    session = (await peer.call("session/get", {"session_id": session_id})).ok()["session"]
    assert session["pending_tool_use_ids"] == ids
    done = (await turn(peer, session_id, results_for(ids))).ok()
    assert done["stop_reason"] == "end_turn"
    calls, results = wire_pairs(simulator.requests[-1].json())
    assert calls == results
    assert calls == [one.removeprefix("tu_") for one in ids]
    assert await problems_of(peer, session_id) == []


async def test_a_result_for_an_unknown_or_answered_call_is_refused(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-tool", tools=[TOOL])
    ids = calls_of((await turn(peer, session_id)).ok()["message"])
    before = await messages_of(peer, session_id)
    requests = len(simulator.requests)
    unknown = await turn(peer, session_id, results_for(["tu_other"]))
    assert unknown.data["error_class"] == "invalid_request"
    assert "tu_other" in unknown.error["message"]
    appended = await peer.call("session/append", {"session_id": session_id, "messages": results_for(["tu_other"])})
    assert appended.data["error_class"] == "invalid_request"
    assert await messages_of(peer, session_id) == before
    assert [problem["tool_use_id"] for problem in await problems_of(peer, session_id)] == ids, "F7: it names the pending call"
    (await turn(peer, session_id, results_for(ids))).ok()
    again = await turn(peer, session_id, results_for(ids))
    assert again.data["error_class"] == "invalid_request"
    assert len(simulator.requests) == requests + 1


@pytest.mark.parametrize("wire", WIRES)
async def test_plain_text_never_breaks_the_pairing(peer: Peer, simulator: Any, wire: str) -> None:
    session_id = await create(peer, f"{wire}:sim-parallel-tools-2", tools=[TOOL])
    ids = calls_of((await turn(peer, session_id)).ok()["message"])
    partly = (await peer.call("session/append", {"session_id": session_id, "messages": results_for(ids[:1])})).ok()
    assert partly["message_ids"]
    result = (await turn(peer, session_id, "Never mind.", model=f"{wire}:sim-text")).ok()
    closed = [warning for warning in result["warnings"] if warning["code"] == "tool_calls_closed"]
    assert closed[0]["detail"] == {"tool_use_ids": ids[1:]}
    calls, results = wire_pairs(simulator.requests[-1].json())
    assert sorted(calls) == sorted(results)
    assert await problems_of(peer, session_id) == []
    assert (await turn(peer, session_id, results_for(ids[1:]))).error["code"] == -32803


async def test_a_policy_may_refuse_instead(peer: Peer) -> None:
    session_id = await create(peer, "openai:sim-tool", tools=[TOOL], policy={"pending_calls": "refuse"})
    ids = calls_of((await turn(peer, session_id)).ok()["message"])
    refused = await turn(peer, session_id, "Never mind.")
    assert ids[0] in refused.error["message"]
    assert (await peer.call("session/create", {"policy": {"pending_calls": "maybe"}})).data["error_class"] == "invalid_request"


async def test_a_provider_that_repeats_its_ids(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "openai:sim-text", tools=[TOOL])
    seen: list[str] = []
    for _ in range(3):
        simulator.push(Script(steps=[ToolCallStep("weather", {"city": "Oslo"}, id="call_0")]))
        ids = calls_of((await turn(peer, session_id)).ok()["message"])
        seen += ids
        (await turn(peer, session_id, results_for(ids))).ok()
    assert len(set(seen)) == 3
    calls, results = wire_pairs(simulator.requests[-1].json())
    assert calls == results
    assert len(set(calls)) == 3


# ---- F11, F12: forks, export, import


async def test_a_fork_has_the_history_and_its_own_future(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-echo", system_prompt="s")
    first = (await turn(peer, session_id, "shared")).ok()
    (await turn(peer, session_id, "later")).ok()
    fork = (await peer.call("session/fork", {"session_id": session_id, "message_id": first["message"]["id"]})).ok()["session"]
    assert fork["parent_id"] == session_id
    assert fork["cache_root"] == session_id
    whole = (await peer.call("session/fork", {"session_id": session_id})).ok()["session"]
    assert await messages_of(peer, whole["session_id"]) == await messages_of(peer, session_id)
    (await turn(peer, fork["session_id"], "elsewhere")).ok()
    assert "later" not in simulator.requests[-1].body.decode()
    histories = [await messages_of(peer, one) for one in (session_id, fork["session_id"])]
    assert histories[0][:2] == histories[1][:2]
    assert histories[0][2:] != histories[1][2:]


async def test_fork_points_never_split_a_call_from_its_result(peer: Peer) -> None:
    session_id = await create(peer, "openai:sim-parallel-tools-2", tools=[TOOL])
    asked = (await turn(peer, session_id)).ok()
    ids = calls_of(asked["message"])
    pending = (await peer.call("session/fork", {"session_id": session_id})).ok()["session"]
    assert len(await messages_of(peer, pending["session_id"])) == 1, "without a place: the last safe one"
    for one in ids:
        (await peer.call("session/append", {"session_id": session_id, "messages": results_for([one])})).ok()
    points = (await peer.call("session/forkPoints", {"session_id": session_id})).ok()
    messages = [message["id"] for message in await messages_of(peer, session_id)]
    assert [point["message_id"] for point in points["fork_points"]] == [messages[0], messages[3]]
    assert [point["message_id"] for point in points["unsafe"]] == messages[1:3]
    assert all(point["reason"] for point in points["unsafe"])
    refused = await peer.call("session/fork", {"session_id": session_id, "message_id": messages[1]})
    assert refused.data["error_class"] == "invalid_request"


async def test_export_and_import(peer: Peer) -> None:
    session_id = await create(peer, "anthropic:sim-tool", tools=[TOOL], system_prompt="s", metadata={"k": 1})
    asked = (await turn(peer, session_id)).ok()
    exported = (await peer.call("session/export", {"session_id": session_id})).ok()
    imported = (await peer.call("session/import", exported)).ok()["session"]
    assert imported["session_id"] != session_id
    assert {name: imported[name] for name in ("model", "system_prompt", "metadata", "tools")} == {
        "model": "anthropic:sim-tool",
        "system_prompt": "s",
        "metadata": {"k": 1},
        "tools": [TOOL],
    }
    assert await messages_of(peer, imported["session_id"]) == await messages_of(peer, session_id)
    done = (await turn(peer, imported["session_id"], results_for(calls_of(asked["message"])))).ok()
    assert done["stop_reason"] == "end_turn"
    broken = {**exported, "messages": results_for(["tu_nowhere"])}
    assert (await peer.call("session/import", broken)).data["error_class"] == "invalid_request"


# ---- F19, F20, D15: one writer, failures, clients that leave


async def test_a_second_turn_is_refused_while_one_runs(world: World, peer: Peer) -> None:
    session_id = await create(peer, "openai:sim-slow-60")
    number, request_id = begin_turn(peer, session_id, "first")
    await peer.until(lambda: peer.events(request_id))
    async with await Peer.connect(world.daemon.socket) as other:
        await other.initialize()
        second = await turn(other, session_id, "second")
        appended = await other.call("session/append", {"session_id": session_id, "messages": [{"role": "user", "content": "x"}]})
    assert second.data["error_class"] == "invalid_request"
    assert appended.data["error_class"] == "invalid_request"
    (await peer.reply(number)).ok()
    assert [message["role"] for message in await messages_of(peer, session_id)] == ["user", "assistant"]


async def test_turns_queue_where_the_policy_says_so(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "openai:sim-echo", policy={"concurrent_turns": "queue"})
    started = [begin_turn(peer, session_id, f"turn {number}") for number in range(4)]
    replies = [await peer.reply(number, request_id=request_id) for number, request_id in started]
    assert [text_of(reply.ok()["message"]["content"]) for reply in replies] == [f"turn {number}" for number in range(4)]
    assert [message["role"] for message in await messages_of(peer, session_id)] == ["user", "assistant"] * 4
    cursors = [event["cursor"] for event in session_events(peer, session_id)]
    assert cursors == list(range(1, len(cursors) + 1))


async def test_one_that_waits_may_be_cancelled(peer: Peer) -> None:
    session_id = await create(peer, "openai:sim-slow-60", policy={"concurrent_turns": "queue"})
    first, _ = begin_turn(peer, session_id, "first")
    waiting, _ = begin_turn(peer, session_id, "second")
    third, _ = begin_turn(peer, session_id, "third", model="openai:sim-text")
    peer.cancel(waiting)
    assert (await peer.reply(waiting)).error["code"] == -32800
    assert not peer.replies(first)
    (await peer.reply(first)).ok()
    (await peer.reply(third)).ok()
    assert len(await messages_of(peer, session_id)) == 4


FAILURES = ["fault-bad_request", "fault-auth", "fault-context_overflow", "fault-garbage_200", "fault-error_event_first"]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", FAILURES)
async def test_a_failed_turn_leaves_nothing_behind(peer: Peer, wire: str, fault: str) -> None:
    session_id = await create(peer, f"{wire}:sim-tool", tools=[TOOL])
    ids = calls_of((await turn(peer, session_id)).ok()["message"])
    before = await messages_of(peer, session_id)
    failed = await turn(peer, session_id, results_for(ids), model=f"{wire}:sim-{fault}")
    assert failed.error["code"] == -32803
    assert failed.events[-1]["event"]["stop_reason"] == "error"
    assert await messages_of(peer, session_id) == before
    (await turn(peer, session_id, results_for(ids))).ok()
    assert await problems_of(peer, session_id) == []


@pytest.mark.parametrize("wire", WIRES)
async def test_words_that_came_before_a_failure_stay(peer: Peer, simulator: Any, wire: str) -> None:
    session_id = await create(peer, f"{wire}:sim-fault-reset_mid_stream")
    failed = await turn(peer, session_id, "Question")
    words = text_of(failed.data["partial"]["content"])
    assert words
    stored = await messages_of(peer, session_id)
    assert [message["role"] for message in stored] == ["user", "assistant"]
    assert text_of(stored[1]["content"]) == words
    assert stored[1]["metadata"]["stop_reason"] == "error"
    (await turn(peer, session_id, "Again", model=f"{wire}:sim-text")).ok()
    assert words in simulator.requests[-1].body.decode()


async def test_a_turn_that_can_t_begin_changes_nothing(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "openai:sim-text")
    for fields in ({"model": "openai:nowhere"}, {"tool_choice": {"type": "required"}}):
        assert (await turn(peer, session_id, "x", **fields)).error["code"] == -32803
    assert (await turn(peer, session_id, [])).data["error_class"] == "invalid_request"
    assert not simulator.requests
    assert await messages_of(peer, session_id) == []
    (await turn(peer, session_id)).ok()


async def test_cancel_by_the_starter_keeps_what_came(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "openai:sim-slow-60")
    number, request_id = begin_turn(peer, session_id)
    await peer.until(lambda: len(peer.events(request_id)) >= 4)
    peer.cancel(number)
    reply = await peer.reply(number, request_id=request_id)
    assert reply.error["code"] == -32800
    assert reply.events[-1]["event"]["stop_reason"] == "cancelled"
    words = text_of(reply.data["partial"]["content"])
    stored = await messages_of(peer, session_id)
    assert text_of(stored[-1]["content"]) == words
    (await turn(peer, session_id, "go on", model="openai:sim-text")).ok()


async def test_a_turn_and_its_cancel_in_one_packet(peer: Peer) -> None:
    session_id = await create(peer, "openai:sim-slow-60")
    for _ in range(10):
        number, _ = begin_turn(peer, session_id)
        peer.cancel(number)
        assert (await peer.reply(number)).error["code"] == -32800
    assert await messages_of(peer, session_id) == []
    (await turn(peer, session_id, model="openai:sim-text")).ok()


@pytest.mark.parametrize("detach", [False, True])
async def test_a_client_that_leaves(world: World, peer: Peer, simulator: Any, detach: bool) -> None:
    session_id = await create(peer, "openai:sim-slow-60")
    leaving = await Peer.connect(world.daemon.socket)
    await leaving.initialize()
    _, request_id = begin_turn(leaving, session_id, detach=detach)
    await leaving.until(lambda: len(leaving.events(request_id)) >= 2)
    began = time.monotonic()
    await leaving.close()
    if not detach:
        await simulator.wait_until(lambda: simulator.closed_early)
        assert simulator.closed_early[0].at_s - began < 0.2
    async with asyncio.timeout(10):
        while "running_turn_id" in (session := (await peer.call("session/get", {"session_id": session_id})).ok()["session"]):
            await asyncio.sleep(0.02)
    assert session["last_turn"]["status"] == ("completed" if detach else "cancelled")
    assert bool(simulator.closed_early) is not detach
    if detach:
        stored = await messages_of(peer, session_id)
        assert text_of(stored[-1]["content"]).endswith("left this machine.")


# ---- F22: a long session


@pytest.mark.parametrize("wire", WIRES)
async def test_a_hundred_turns(world: World, peer: Peer, simulator: Any, wire: str) -> None:
    session_id = await create(peer, f"{wire}:sim-text", system_prompt="s", tools=[TOOL])
    (await turn(peer, session_id, "warm up")).ok()
    times: list[float] = []
    previous = ""
    rss = 0
    for number in range(100):
        began = time.monotonic()
        (await turn(peer, session_id, f"Turn {number}: {'words ' * 20}")).ok()
        times.append(time.monotonic() - began)
        sent = json.dumps(simulator.requests[-1].json()["messages"], ensure_ascii=False)[:-1]
        assert sent.startswith(previous), "what was sent before is sent again as it was"
        previous = sent
        if number == 20:
            rss = world.daemon.rss_bytes()
    early, late = sorted(times[:20])[10], sorted(times[-20:])[10]
    print(f"{wire}: turn {early * 1000:.2f} ms at the beginning, {late * 1000:.2f} ms after 100")
    assert late < 3 * early + 0.005
    assert world.daemon.rss_bytes() - rss < 16 * 1024 * 1024


# ---- G2, G3: after kill -9


async def test_after_a_kill_turns_have_ended_and_what_was_acknowledged_is_there() -> None:
    from modeld.simulator import Simulator

    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)
        daemon = await DaemonProcess(config).start()
        try:
            peer = await daemon.peer()
            kept, open_one = await create(peer, "openai:sim-text"), await create(peer, "openai:sim-slow-60")
            done = (await turn(peer, kept, "Hello", detach=True)).ok()
            ids = (await peer.call("session/append", {"session_id": kept, "messages": [{"role": "user", "content": "x"}]})).ok()
            followed = (await peer.call("session/subscribe", {"session_id": open_one})).ok()
            _, request_id = begin_turn(peer, open_one, "in flight")
            await peer.until(lambda: len(peer.events(request_id)) >= 3)
            assert daemon.process is not None
            daemon.process.kill()
            await daemon.process.wait()
            await daemon.start()
            peer = await daemon.peer()
            stored = await messages_of(peer, kept)
            assert stored[1] == done["message"]
            assert [stored[-1]["id"]] == ids["message_ids"]
            session = (await peer.call("session/get", {"session_id": open_one})).ok()["session"]
            assert "running_turn_id" not in session
            assert session["last_turn"]["status"] == "interrupted"
            again = {"session_id": open_one, "epoch": followed["epoch"], "cursor": 2}
            reset = (await peer.call("session/subscribe", again)).ok()
            assert reset["reset"] == "epoch_changed"
            assert reset["epoch"] != followed["epoch"]
            assert reset["snapshot"]["messages"] == []
            check = await turn(peer, open_one, "again", model="openai:sim-text")
            check_stream(check._replace(result=None, error={}), "end_turn")
        finally:
            for one in daemon.peers:
                await one.close()
            await daemon.__aexit__()
