"""Promises F13 to F18, H2, J13, K1: everybody who follows a session sees the same, whenever they come, and nobody else does."""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import World
from tests.harness.checks import text_of
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Message, Peer
from tests.harness.sessions import begin_turn, create, messages_of, session_events, turn

from modeld.simulator import Simulator

pytestmark = pytest.mark.anyio


PACED = "bench-n100-s20-d2000-f0-b1"
BULK = "bench-n20000-s100-d0-f0-b1"  # more than the ring holds
MUCH = "bench-n6000-s100-d0-f0-b1"  # more than buffers hold
MODELS = [MUCH, "sim-text", "sim-echo", "sim-long-200", "sim-slow-60", "sim-fault-bad_request", PACED, BULK]


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with (
        Simulator() as simulator,
        DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)) as daemon,
    ):
        yield World(daemon, simulator)


@pytest.fixture
async def other(world: World) -> AsyncIterator[Peer]:
    """A second client."""
    async with await Peer.connect(world.daemon.socket) as other:
        await other.initialize()
        yield other


async def follow(peer: Peer, session_id: str, **fields: Any) -> Message:
    return (await peer.call("session/subscribe", {"session_id": session_id, **fields})).ok()


async def ended(peer: Peer, session_id: str, turns: int = 1) -> list[Message]:
    """The session's events at this client, once `turns` turns have ended."""

    def ends() -> int:
        return sum(event["event"]["type"] == "message.complete" for event in session_events(peer, session_id))

    await peer.until(lambda: ends() >= turns)
    return session_events(peer, session_id)


def cursors(events: list[Message]) -> list[int]:
    return [event["cursor"] for event in events]


async def test_two_subscribers_and_the_starter_see_the_same(world: World, peer: Peer, other: Peer) -> None:
    session_id = await create(peer, "anthropic:sim-long-200")
    async with await Peer.connect(world.daemon.socket) as third:
        await third.initialize()
        await follow(other, session_id)
        await follow(third, session_id)
        await follow(third, session_id)
        reply = await turn(peer, session_id)
        seen = [await ended(one, session_id) for one in (other, third)]
    assert seen[0] == seen[1] == reply.events
    assert cursors(reply.events) == list(range(1, len(reply.events) + 1))
    changes = [note["change"] for note in other.notifications("session/changed")]
    assert changes == ["turn_started", "turn_ended"]
    assert not peer.notifications("session/changed"), "it does not follow"


@pytest.mark.parametrize("offset", range(10))
async def test_a_late_subscriber_gets_a_snapshot_and_the_rest(peer: Peer, other: Peer, offset: int) -> None:
    session_id = await create(peer, f"openai:{PACED}")
    (await turn(peer, session_id, "before", model="openai:sim-text")).ok()
    first = len(session_events(peer, session_id))
    number, request_id = begin_turn(peer, session_id, "go")
    await peer.until(lambda: len(peer.events(request_id)) > offset * 9)
    joined = await follow(other, session_id)
    result = (await peer.reply(number)).ok()
    late = await ended(other, session_id)
    assert cursors(late) == list(range(joined["cursor"] + 1, result["cursor"] + 1))
    snapshot = joined["snapshot"]
    assert len(snapshot["messages"]) == 2
    running = snapshot["turn"]
    assert running["turn_id"] == result["turn_id"]
    assert running["input"][0]["content"] == "go"
    text = text_of(running["content"]) + "".join(
        event["event"]["text"] for event in late if event["event"]["type"] == "text.delta"
    )
    assert text == text_of(result["message"]["content"])
    assert joined["cursor"] >= first + offset * 9 - 1


@pytest.mark.parametrize("seen", [0, 1, 7, 50, 99])
async def test_reconnect_with_a_cursor_brings_the_rest(world: World, peer: Peer, seen: int) -> None:
    session_id = await create(peer, f"openai:{PACED}")
    leaving = await Peer.connect(world.daemon.socket)
    await leaving.initialize()
    epoch = (await follow(leaving, session_id))["epoch"]
    number, request_id = begin_turn(peer, session_id)
    await leaving.until(lambda: len(session_events(leaving, session_id)) >= seen)
    had = session_events(leaving, session_id)[:seen]
    await leaving.close()
    async with await Peer.connect(world.daemon.socket) as back:
        await back.initialize()
        resumed = await follow(back, session_id, epoch=epoch, cursor=had[-1]["cursor"] if had else 0)
        assert "snapshot" not in resumed
        assert "reset" not in resumed
        reply = await peer.reply(number, request_id=request_id)
        rest = await ended(back, session_id)
    assert [*had, *rest] == reply.events


async def test_cursors_go_on_over_turns_and_resume_after_the_end(world: World, peer: Peer, other: Peer) -> None:
    session_id = await create(peer)
    epoch = (await follow(other, session_id))["epoch"]
    replies = [await turn(peer, session_id) for _ in range(3)]
    sent = [event for reply in replies for event in reply.events]
    assert cursors(sent) == list(range(1, len(sent) + 1))
    assert await ended(other, session_id, 3) == sent
    async with await Peer.connect(world.daemon.socket) as back:
        await back.initialize()
        at = replies[0].ok()["cursor"]
        await follow(back, session_id, epoch=epoch, cursor=at)
        assert await ended(back, session_id, 2) == sent[at:]
        await follow(back, session_id, epoch=epoch, cursor=len(sent))
        (await turn(peer, session_id)).ok()
        assert cursors((await ended(back, session_id, 3))[-18:])[-1] > len(sent)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"epoch": "ep_of_another_life", "cursor": 3}, "epoch_changed"),
        ({"epoch": "ep_of_another_life"}, "epoch_changed"),
        ({"cursor": 100_000}, "cursor_unknown"),
        ({"cursor": -1}, "cursor_unknown"),
    ],
)
async def test_what_can_t_be_resumed_is_a_reset_with_a_snapshot(
    peer: Peer, other: Peer, fields: dict[str, Any], reason: str
) -> None:
    session_id = await create(peer)
    result = (await turn(peer, session_id)).ok()
    reset = await follow(other, session_id, **fields)
    assert reset["reset"] == reason
    assert reset["cursor"] == result["cursor"]
    assert reset["snapshot"]["messages"] == await messages_of(peer, session_id)
    reply = await turn(peer, session_id)
    assert await ended(other, session_id) == reply.events


async def test_unsubscribe_ends_the_events_and_strangers_get_none(peer: Peer, other: Peer) -> None:
    session_id = await create(peer)
    (await turn(peer, session_id, "CANARY-INPUT")).ok()
    await follow(other, session_id)
    first = await turn(peer, session_id)
    assert await ended(other, session_id) == first.events
    (await other.call("session/unsubscribe", {"session_id": session_id})).ok()
    (await turn(peer, session_id)).ok()
    (await other.call("daemon/status")).ok()
    assert session_events(other, session_id) == first.events


async def test_nothing_of_one_client_reaches_another(peer: Peer, other: Peer) -> None:
    session_id = await create(peer, "openai:sim-echo", system_prompt="CANARY-PROMPT", metadata={"k": "CANARY-META"})
    await turn(peer, session_id, "CANARY-INPUT")
    await turn(peer, session_id, "CANARY-MORE", model="openai:sim-fault-bad_request")
    await turn(peer, session_id, "CANARY-MORE", model="openai:CANARY-MODEL")
    (await other.call("daemon/status")).ok()
    own = await create(other, "openai:sim-text")
    (await turn(other, own)).ok()
    assert "CANARY" not in json.dumps(other.messages)
    assert session_id not in json.dumps(other.messages)


async def test_another_client_may_cancel(peer: Peer, other: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-slow-60")
    await follow(other, session_id)
    number, request_id = begin_turn(peer, session_id)
    await peer.until(lambda: len(peer.events(request_id)) >= 4)
    assert (await other.call("turn/cancel", {"session_id": session_id, "turn_id": "turn_other"})).ok() == {"cancelled": False}
    began = time.monotonic()
    assert (await other.call("turn/cancel", {"session_id": session_id})).ok() == {"cancelled": True}
    reply = await peer.reply(number, request_id=request_id)
    assert reply.error["code"] == -32800
    await simulator.wait_until(lambda: simulator.closed_early)
    assert simulator.closed_early[0].at_s - began < 0.2
    seen = await ended(other, session_id)
    assert seen == reply.events
    assert seen[-1]["event"]["stop_reason"] == "cancelled"
    assert (await other.call("turn/cancel", {"session_id": session_id})).ok() == {"cancelled": False}
    assert len(peer.replies(number)) == 1


# ---- H2: one that doesn't read


def deaf_client(path: Path, *requests: Message) -> socket.socket:
    """A client that shakes hands, sends requests, reads their replies, and then nothing more."""
    client = socket.socket(socket.AF_UNIX)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(os.fspath(path))
    initialize = {"capabilities": {}, "initializationOptions": {"modeld": {"protocol_versions": [1]}}}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": initialize}
    received = b""
    for request in (hello, *requests):
        body = json.dumps(request).encode()
        client.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        before = received.count(b'"jsonrpc"')
        while received.count(b'"jsonrpc"') == before:
            received += client.recv(65536)
    return client


async def test_a_subscriber_that_does_not_read_holds_up_nobody(world: World) -> None:
    peer, other = [await world.daemon.peer(validate=False) for _ in range(2)]
    session_id = await create(peer, f"openai:{MUCH}")
    subscribe = {"jsonrpc": "2.0", "id": 1, "method": "session/subscribe", "params": {"session_id": session_id}}
    await follow(other, session_id)
    alone = time.monotonic()
    (await turn(peer, session_id)).ok()
    alone = time.monotonic() - alone
    peer.messages.clear()
    deaf = await asyncio.to_thread(deaf_client, world.daemon.socket, subscribe)
    try:
        rss = world.daemon.rss_bytes()
        began = time.monotonic()
        reply = await turn(peer, session_id)
        took = time.monotonic() - began
        assert (await ended(other, session_id, 2))[-len(reply.events) :] == reply.events
        assert took < 2 * alone + 1
        assert world.daemon.rss_bytes() - rss < 40 * 1024 * 1024
    finally:
        deaf.close()


async def test_one_that_reads_again_is_caught_up_or_told_of_the_gap(world: World) -> None:
    peer = await world.daemon.peer(validate=False)
    session_id = await create(peer, f"openai:{BULK}")
    subscribe = {"jsonrpc": "2.0", "id": 1, "method": "session/subscribe", "params": {"session_id": session_id}}
    deaf = await asyncio.to_thread(deaf_client, world.daemon.socket, subscribe)
    number, request_id = begin_turn(peer, session_id)
    last = (await peer.reply(number, 60, request_id)).ok()["cursor"]  # so many events take a client seconds on a busy machine
    reader, writer = await asyncio.open_unix_connection(sock=deaf, limit=64 * 1024 * 1024)
    async with Peer(reader, writer, validate=False) as back:
        await ended(back, session_id)
        assert len(back.notifications("stream/gap")) == 1
        for client in (back, peer):  # the starter too may be slower than a stream of nothing but bulk
            whole_but_for_gaps(client, session_id, last)
        epoch = (await follow(back, session_id))["epoch"]
        late = await follow(back, session_id, epoch=epoch, cursor=1)
    assert (late["reset"], late["cursor"]) == ("cursor_evicted", last), "a reset with a snapshot, not a gap in silence"
    assert len(late["snapshot"]["messages"]) == 2


def whole_but_for_gaps(client: Peer, session_id: str, last: int) -> None:
    """Every cursor up to `last` came once, in its place, or lies in a gap that was told there."""
    expected = 1
    for message in client.messages:
        params = message.get("params") or {}
        if params.get("session_id") != session_id or message["method"] not in ("stream/event", "stream/gap"):
            continue
        gap = message["method"] == "stream/gap"
        assert params["first" if gap else "cursor"] == expected
        expected = params["last" if gap else "cursor"] + 1
    assert expected == last + 1


# ---- K1: stdio and socket share sessions


async def test_stdio_and_socket_clients_share_sessions(world: World, peer: Peer) -> None:
    process = await asyncio.create_subprocess_exec(
        *world.daemon.command("--stdio"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=world.daemon.env,
        limit=64 * 1024 * 1024,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    async with Peer(process.stdout, process.stdin) as editor:
        await editor.initialize()
        session_id = await create(editor, "openai:sim-text")
        await follow(peer, session_id)
        reply = await turn(editor, session_id, "from the editor")
        assert await ended(peer, session_id) == reply.events
        (await turn(peer, session_id, "from the socket")).ok()
        assert len(await messages_of(editor, session_id)) == 4
    await process.wait()
