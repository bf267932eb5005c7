"""Dispatch and cancellation on one connection, over a real socket."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.served import Served, client, serve

from modeld.limits import MAX_REQUESTS_IN_FLIGHT

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path / "s") as running:
        yield running


def code(reply: Any) -> int:
    assert reply.error is not None, reply
    return reply.error["code"]


async def test_sync_and_async_handlers_answer(served: Served) -> None:
    async with client(served) as peer:
        assert (await peer.call("test/echo", {"a": "é"})).ok() == {"a": "é"}
        assert (await peer.call("test/events", {"count": 3})).ok() == 3
        assert (await peer.call("session/get", {"session_id": "s"})).ok() is None


@pytest.mark.parametrize("params", [None, {}])
async def test_missing_params_count_as_empty(served: Served, params: Any) -> None:
    async with client(served) as peer:
        assert (await peer.call("test/echo", params)).ok() == {}


async def test_null_params_count_as_empty(served: Served) -> None:
    async with client(served) as peer:
        peer.send({"jsonrpc": "2.0", "id": 5, "method": "test/echo", "params": None})
        assert (await peer.reply(5)).ok() == {}


@pytest.mark.parametrize("rpc_id", [0, -7, 2**70, "", "text", "7", "\u2028"])
async def test_ids_come_back_as_they_are(served: Served, rpc_id: Any) -> None:
    async with client(served) as peer:
        peer.request("test/echo", {"a": 1}, rpc_id=rpc_id)
        assert (await peer.reply(rpc_id)).ok() == {"a": 1}
        assert type(peer.messages[-1]["id"]) is type(rpc_id)


async def test_unknown_and_unavailable_methods(served: Served) -> None:
    async with client(served) as peer:
        unknown = await peer.call("no/such")
        assert code(unknown) == -32601
        assert "no/such" in unknown.error["message"]
        unavailable = await peer.call("session/export", {"session_id": "s"})
        assert code(unavailable) == -32601
        assert "not available in this version" in unavailable.error["message"]
        peer.send({"jsonrpc": "2.0", "method": "no/such"})
        assert (await peer.call("test/echo", {"still": 1})).ok() == {"still": 1}


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"model": "m", "messages": [{"id": "1", "role": "canary", "content": "x"}]}, "messages"),
        ({"model": 5, "messages": []}, "$.model"),
        ([1, "canary"], "object"),
        ("canary", "object"),
        (7, "object"),
    ],
)
async def test_invalid_params_name_the_path_and_not_the_value(served: Served, params: Any, path: str) -> None:
    async with client(served) as peer:
        reply = await peer.call("model/complete", params)
        assert code(reply) == -32602
        assert reply.error["message"].startswith("Invalid params: ")
        assert path in reply.error["message"]
        assert "canary" not in reply.error["message"]
        assert served.log == []


async def test_a_lone_surrogate_is_repaired(served: Served) -> None:
    async with client(served) as peer:
        peer.send_body(
            rb'{"jsonrpc":"2.0","id":70,"method":"test/echo","params":{"a":"x\ud83d","b":"\ud83d\ude00","c":"\\ud83d"}}'
        )
        assert (await peer.reply(70)).ok() == {"a": "x\ufffd", "b": "\U0001f600", "c": "\\ud83d"}


async def test_a_message_inside_params_is_data(served: Served) -> None:
    inner = {"jsonrpc": "2.0", "id": 1, "method": "exit"}
    async with client(served) as peer:
        assert (await peer.call("test/echo", inner)).ok() == inner


async def test_a_defect_tells_the_client_nothing_and_the_log_no_values(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with client(served) as peer:
        reply = await peer.call("test/fail", {})
        peer.notify("test/badNote", {})
        assert (await peer.call("test/echo", {})).ok() == {}
    assert code(reply) == -32603
    assert set(reply.error) == {"code", "message"}
    assert "secret" not in reply.error["message"]
    assert "Traceback" not in reply.error["message"]
    fields = [vars(record).get("fields", {}) for record in caplog.records]
    assert {said["exception"] for said in fields if "exception" in said} >= {"ValueError"}
    assert "secret prompt" not in caplog.text + str(fields)


async def test_replies_come_when_they_are_ready(served: Served) -> None:
    async with client(served) as peer:
        slow = peer.request("test/hang", {"name": "slow"})
        assert (await peer.call("test/echo", {"fast": 1})).ok() == {"fast": 1}
        served.gate.set()
        assert (await peer.reply(slow)).ok() == "slow"


async def test_a_reply_never_overtakes_its_events(served: Served) -> None:
    async with client(served) as peer:
        rpc_id = peer.request("test/events", {"count": 500, "every": 7})
        assert (await peer.reply(rpc_id)).ok() == 500
        assert [event["number"] for event in peer.notifications("test/event")] == list(range(500))
        assert peer.messages[-1]["id"] == rpc_id


async def test_notifications_reach_their_handler_in_order(served: Served) -> None:
    async with client(served) as peer:
        for number in range(20):
            peer.notify("test/note", {"n": number})
        await peer.call("test/echo", {})
        assert served.names("note") == [{"n": number} for number in range(20)]


async def test_the_same_id_twice(served: Served) -> None:
    async with client(served) as peer:
        peer.request("test/hang", {"name": "first"}, rpc_id=7)
        peer.request("test/echo", {"name": "second"}, rpc_id=7)
        await peer.until(lambda: peer.replies(7))
        served.gate.set()
        await peer.until(lambda: len(peer.replies(7)) == 2)
        refused, answered = peer.replies(7)
        assert refused["error"]["code"] == -32600
        assert answered["result"] == "first"
        assert (await peer.call("test/echo", {})).ok() == {}


async def test_ids_never_cross_connections(served: Served) -> None:
    async with client(served) as one, client(served) as other:
        one.request("test/hang", {"name": "one"}, rpc_id=7)
        other.request("test/hang", {"name": "other"}, rpc_id=7)
        other.cancel(7)
        assert code(await other.reply(7)) == -32800
        assert "one" not in served.names("cancelled")
        served.gate.set()
        assert (await one.reply(7)).ok() == "one"


async def test_beyond_the_bound_requests_are_refused_and_cancels_get_through(served: Served) -> None:
    async with client(served) as peer, client(served) as other:
        ids = [peer.request("test/hang", {"name": number}) for number in range(MAX_REQUESTS_IN_FLIGHT + 10)]
        for rpc_id in ids[MAX_REQUESTS_IN_FLIGHT:]:
            assert code(await peer.reply(rpc_id)) == -32001
        assert (await other.call("test/echo", {"a": 1})).ok() == {"a": 1}
        for rpc_id in ids:
            peer.cancel(rpc_id)
        for rpc_id in ids[:MAX_REQUESTS_IN_FLIGHT]:
            assert code(await peer.reply(rpc_id)) == -32800
        assert (await peer.call("test/echo", {"b": 2})).ok() == {"b": 2}
        assert all(len(peer.replies(rpc_id)) == 1 for rpc_id in ids)


async def test_large_bodies_in_flight_are_bounded(served: Served) -> None:
    big = {"name": 1, "pad": "x" * (24 * 1024 * 1024)}
    async with client(served) as peer:
        ids = [peer.request("test/hang", big) for _ in range(3)]
        assert code(await peer.reply(ids[2], 30)) == -32001
        served.gate.set()
        assert (await peer.reply(ids[0])).ok() == 1


# ---- cancellation


async def test_cancel_of_a_running_request(served: Served) -> None:
    async with client(served) as peer:
        rpc_id = peer.request("test/hang", {"name": "a"})
        await _until(lambda: served.names("started"))
        for _ in range(3):
            peer.cancel(rpc_id)
        assert code(await peer.reply(rpc_id)) == -32800
        peer.cancel(rpc_id)
        await peer.call("test/echo", {})
        assert len(peer.replies(rpc_id)) == 1
        assert served.names("cancelled") == ["a"]


async def test_request_and_cancel_in_one_packet_never_start(served: Served) -> None:
    async with client(served) as peer:
        request = b'{"jsonrpc":"2.0","id":9,"method":"test/hang","params":{"name":"never"}}'
        cancel = b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":9}}'
        head = b"Content-Length: %d\r\n\r\n%b"
        peer.send_bytes(head % (len(request), request) + head % (len(cancel), cancel))
        assert code(await peer.reply(9)) == -32800
        await peer.call("test/echo", {})
        assert len(peer.replies(9)) == 1
        assert served.log == []
        peer.request("test/echo", {"free": "again"}, rpc_id=9)
        await peer.until(lambda: len(peer.replies(9)) == 2)
        assert peer.replies(9)[1]["result"] == {"free": "again"}


async def test_a_handler_may_answer_its_cancel(served: Served) -> None:
    async with client(served) as peer:
        rpc_id = peer.request("test/partial", {})
        await _until(lambda: served.names("started"))
        peer.cancel(rpc_id)
        peer.cancel(rpc_id)
        reply = await peer.reply(rpc_id)
        assert reply.error == {"code": -32800, "message": "stopped", "data": {"partial": "so far"}}


async def test_a_result_that_was_ready_wins_over_its_cancel(served: Served) -> None:
    async with client(served) as peer:
        rpc_id = peer.request("test/stubborn", {})
        await _until(lambda: served.names("started"))
        peer.cancel(rpc_id)
        assert (await peer.reply(rpc_id)).ok() == "finished all the same"


@pytest.mark.parametrize("params", [None, {}, {"id": 99}, {"id": None}, {"id": [1]}, [1], "x"])
async def test_cancels_of_nothing_are_ignored(served: Served, params: Any) -> None:
    async with client(served) as peer:
        peer.notify("$/cancelRequest", params)
        assert (await peer.call("test/echo", {})).ok() == {}
        assert len(peer.messages) == 2  # initialize and echo


@pytest.mark.parametrize("leave", ["close", "abort", "half-close"])
async def test_a_client_that_leaves_takes_its_requests_along(served: Served, leave: str) -> None:
    gone: list[str] = []
    async with client(served) as stays:
        rpc_id = stays.request("test/hang", {"name": "stays"})
        async with client(served) as leaves:
            leaves.request("test/hang", {"name": "leaves"})
            await _until(lambda: "leaves" in served.names("started"))
            served.connections[-1].on_close(lambda: gone.append("leaves"))
            if leave == "abort":
                leaves.writer.transport.abort()
            elif leave == "half-close":
                leaves.writer.write_eof()
            else:
                leaves.writer.close()
            await _until(lambda: served.names("cancelled") == ["leaves"])
        await _until(lambda: gone == ["leaves"])
        assert len(served.listener.connections) == 1
        served.gate.set()
        assert (await stays.reply(rpc_id)).ok() == "stays"


async def test_nothing_of_a_client_stays_in_memory(served: Served) -> None:
    gc.disable()  # reference counts alone: the daemon's collector runs rarely
    try:
        async with client(served) as peer:
            rpc_id = peer.request("test/hang", {"name": "a"})
            await _until(lambda: served.names("started"))
            left = weakref.ref(served.connections.pop())
            left().on_close(lambda: None)
            peer.cancel(rpc_id)
            await peer.reply(rpc_id)
        await _until(lambda: left() is None)
    finally:
        gc.enable()


async def test_the_daemon_may_cancel_everything_with_replies(served: Served) -> None:
    async with client(served) as peer:
        ids = [peer.request("test/hang", {"name": number}) for number in range(3)]
        await _until(lambda: len(served.names("started")) == 3)
        for connection in served.listener.connections:
            connection.cancel_requests()
        assert [code(await peer.reply(rpc_id)) for rpc_id in ids] == [-32800] * 3
        await served.listener.close()
        await peer.until_closed()


async def test_while_draining_no_call_starts(served: Served) -> None:
    served.draining = True
    async with client(served) as peer:
        reply = await peer.call("model/complete", {"model": "m", "messages": []})
        assert code(reply) == -32001
        assert "shutting down" in reply.error["message"]
        assert (await peer.call("test/echo", {})).ok() == {}
        assert served.log == []


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
