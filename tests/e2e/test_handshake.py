"""Promises A: the handshake, the life of a connection, and that it is one client's own."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.e2e.conftest import World
from tests.harness import vscode_initialize
from tests.harness.checks import check_stream
from tests.harness.peer import Peer, Reply

pytestmark = pytest.mark.anyio
SLOW = {"model": "openai:sim-slow-60", "messages": "Hello", "request_id": "slow"}


@pytest.fixture
async def fresh(world: World) -> AsyncIterator[Peer]:
    """A client that has not said anything yet."""
    async with await Peer.connect(world.daemon.socket, validate=False) as peer:
        yield peer


def params(**options: Any) -> dict[str, Any]:
    return {"capabilities": {}, "initializationOptions": {"modeld": options}}


def modeld(result: Any) -> Any:
    return result["capabilities"]["experimental"]["modeld"]


async def usable(peer: Peer) -> bool:
    return (await peer.call("daemon/status")).ok()["pid"] > 0


@pytest.mark.parametrize(
    "method", ["model/list", "model/complete", "daemon/stop", "shutdown", "no/such", "$/no/such", "session/get"]
)
@pytest.mark.parametrize("given", [None, {}, {"messages": "x"}, 5, [1]])
async def test_a_request_before_initialize(fresh: Peer, method: str, given: Any) -> None:
    assert (await fresh.call(method, given)).error["code"] == -32002
    await fresh.initialize()
    assert await usable(fresh)


NOTES = [
    *(
        "initialized",
        "$/cancelRequest",
        "$/setTrace",
        "textDocument/didOpen",
        "no/such",
        "$/no/such",
        "daemon/stop",
        "initialize",
    ),
]


@pytest.mark.parametrize("method", NOTES)
async def test_a_notification_before_initialize_is_dropped(fresh: Peer, method: str) -> None:
    for given in (None, {}, {"id": 1, "value": "messages"}, 5):
        fresh.notify(method, given)
    await fresh.initialize()
    assert await usable(fresh)
    assert len(fresh.messages) == 2, "the replies to initialize and status, and nothing else"


async def test_initialize_answers_in_full(world: World, fresh: Peer) -> None:
    result = (await fresh.call("initialize", params(protocol_versions=[1]))).ok()
    assert result["serverInfo"]["name"] == "modeld"
    assert result["serverInfo"]["version"]
    ours = modeld(result)
    assert ours["protocol_version"] == 1
    assert ours["ir_version"] == 1
    assert ours["daemon_id"]
    assert ours["epoch"]
    assert {"model", "stream", "config"} <= set(ours["features"])
    assert ours["limits"]["max_message_bytes"] == 32 * 1024 * 1024
    assert ours["limits"]["max_header_bytes"] == 4096
    assert ours["limits"]["max_requests_in_flight"] == 256
    status = (await fresh.call("daemon/status")).ok()
    assert (status["daemon_id"], status["epoch"]) == (ours["daemon_id"], ours["epoch"])
    assert status["version"] == result["serverInfo"]["version"]
    assert status["pid"] == world.daemon.pid


@pytest.mark.parametrize("versions", [[], [0], [2], [99, 7], [-1]])
async def test_no_common_version(fresh: Peer, versions: list[int]) -> None:
    error = (await fresh.call("initialize", params(protocol_versions=versions))).error
    assert error["code"] < 0
    assert error["data"]["supported"] == [1]
    assert "1" in error["message"]
    await fresh.initialize()
    assert await usable(fresh)


@pytest.mark.parametrize("versions", [[1], [0, 1], [1, 2, 3], [99, 1, 0], [1, 1]])
async def test_the_highest_common_version(fresh: Peer, versions: list[int]) -> None:
    assert modeld((await fresh.call("initialize", params(protocol_versions=versions))).ok())["protocol_version"] == 1


async def test_a_missing_feature(fresh: Peer) -> None:
    error = (await fresh.call("initialize", params(required=["model", "telepathy"]))).error
    assert "telepathy" in error["message"]
    assert error["data"]["missing"] == ["telepathy"]
    features = modeld((await fresh.call("initialize", params())).ok())["features"]
    assert error["data"]["available"] == features
    assert all(feature in error["message"] for feature in features)


async def test_required_features_that_exist(world: World, fresh: Peer) -> None:
    features = modeld(await fresh.initialize())["features"]
    async with await Peer.connect(world.daemon.socket) as peer:
        assert modeld(await peer.initialize(required=features))["features"] == features


@pytest.mark.parametrize(
    "again", [params(), params(required=["telepathy"]), params(client_id="other"), None, {"capabilities": 5}]
)
async def test_a_second_initialize(fresh: Peer, again: Any) -> None:
    await fresh.initialize(client_id="first")
    number = fresh.request("model/stream", SLOW)
    assert (await fresh.call("initialize", again)).error["code"] == -32600
    check_stream(await fresh.reply(number, request_id="slow"), "end_turn")
    assert await usable(fresh)


WRONG = [
    params(protocol_versions="1"),
    params(protocol_versions=["1"]),
    params(protocol_versions=[1.5]),
    params(protocol_versions={"1": 1}),
    params(required="model"),
    params(required=[1]),
    params(client_id=7),
    params(token=["x"]),
    params(trusted="yes"),
    params(env=[]),
    params(env={"NAME": 1}),
    {"capabilities": {}, "initializationOptions": {"modeld": 5}},
    {"capabilities": {}, "initializationOptions": {"modeld": []}},
    {"capabilities": "all"},
    {"capabilities": {}, "processId": "me"},
    {"capabilities": {}, "clientInfo": 5},
    {"capabilities": {}, "trace": 1},
    [1],
    5,
    "x",
]


@pytest.mark.parametrize("given", WRONG, ids=json.dumps)
async def test_wrong_types_may_be_tried_again(fresh: Peer, given: Any) -> None:
    error = (await fresh.call("initialize", given)).error
    assert error["code"] == -32602
    assert "`$" in error["message"]
    await fresh.initialize()
    assert await usable(fresh)


async def test_shutdown_and_exit(world: World, fresh: Peer) -> None:
    await fresh.initialize()
    reply = await fresh.call("shutdown")
    assert reply.ok() is None
    for method in ("model/list", "initialize", "shutdown", "no/such", "model/complete"):
        assert (await fresh.call(method)).error["code"] == -32600
    fresh.notify("$/setTrace", {"value": "off"})
    fresh.notify("exit")
    await fresh.until_closed()
    async with await Peer.connect(world.daemon.socket) as other:
        await other.initialize()
        assert await usable(other)


async def test_shutdown_answers_what_runs(fresh: Peer) -> None:
    await fresh.initialize()
    number = fresh.request("model/stream", {"model": "openai:sim-fault-hang_mid_stream", "messages": "x", "request_id": "h"})
    await fresh.until(lambda: fresh.events("h"))
    assert (await fresh.call("shutdown")).ok() is None
    assert (await fresh.reply(number, request_id="h")).error["code"] == -32800


@pytest.mark.parametrize("initialized", [True, False])
async def test_exit_without_shutdown(world: World, peer: Peer, fresh: Peer, initialized: bool) -> None:
    if initialized:
        await fresh.initialize()
    fresh.notify("exit")
    await fresh.until_closed()
    assert await usable(peer)
    assert (await peer.call("daemon/status")).ok()["pid"] == world.daemon.pid


async def test_one_clients_end_is_not_anothers(peer: Peer, fresh: Peer) -> None:
    number = peer.request("model/stream", SLOW)
    await peer.until(lambda: peer.events("slow"))
    await fresh.initialize()
    await fresh.call("shutdown")
    fresh.notify("exit")
    await fresh.until_closed()
    assert not peer.replies(number), "it still runs"
    check_stream(await peer.reply(number, request_id="slow"), "end_turn")


BARE = [
    None,
    {},
    {"capabilities": {}},
    {"processId": None, "rootUri": None, "capabilities": {}},
    {
        "processId": 1,
        "clientInfo": {"name": "editor"},
        "rootUri": "file:///x",
        "capabilities": {"general": {}},
        "trace": "verbose",
    },
    {"capabilities": {}, "initializationOptions": None},
    {"capabilities": {}, "initializationOptions": {}},
    {"capabilities": {}, "initializationOptions": {"modeld": None}},
    {"capabilities": {}, "initializationOptions": {"another": {"tool": 1}}},
    {"capabilities": {}, "initializationOptions": ["anything"]},
    {"capabilities": {"general": {"positionEncodings": "utf-8"}}},
]


@pytest.mark.parametrize("given", [*BARE, vscode_initialize.PARAMS, vscode_initialize.EMPTY_WINDOW])
async def test_any_lsp_client_may_initialize(fresh: Peer, given: Any) -> None:
    result = (await fresh.call("initialize", given)).ok()
    assert modeld(result)["protocol_version"] == 1
    fresh.notify("initialized", {})
    assert await usable(fresh)
    assert (await fresh.call("shutdown")).ok() is None


async def test_unknown_fields_are_ignored(fresh: Peer) -> None:
    given = params(protocol_versions=[1], mood="sunny", nested={"deep": [1, {"a": None}]}, required=[])
    given["initializationOptions"]["modelx"] = 5
    given["future"] = {"x": 1}
    assert modeld((await fresh.call("initialize", given)).ok())["protocol_version"] == 1


@pytest.mark.parametrize("method", ["no/such", "", "model/", "MODEL/LIST", "$/no/such", "größe/🙂", "x" * 100_000, "model/list "])
async def test_unknown_methods_and_notifications(peer: Peer, method: str) -> None:
    assert (await peer.call(method, {"any": 1})).error["code"] == -32601
    peer.notify(method, {"any": 1})
    assert await usable(peer)
    assert len(peer.messages) == 3, "an unknown notification is not answered"


async def test_two_clients_see_one_daemon(world: World) -> None:
    first, second = [await (await Peer.connect(world.daemon.socket)).__aenter__() for _ in range(2)]
    try:
        ours = [modeld(await one.initialize()) for one in (first, second)]
        assert ours[0]["daemon_id"] == ours[1]["daemon_id"]
        assert ours[0]["epoch"] == ours[1]["epoch"]
        for rpc_id in ("a string", "", "ü🙂", "1", 2**53, -7, 0):
            reply: Reply = await first.reply(first.request("daemon/status", rpc_id=rpc_id))
            assert reply.ok()["epoch"] == ours[0]["epoch"]
            assert any(message.get("id") == rpc_id and type(message["id"]) is type(rpc_id) for message in first.messages)
    finally:
        await asyncio.gather(first.close(), second.close())


async def test_initialize_itself_may_have_a_string_id(fresh: Peer) -> None:
    number = fresh.request("initialize", params(), rpc_id="init-1")
    assert modeld((await fresh.reply(number)).ok())["daemon_id"]


async def test_the_limits_hold_as_announced(peer: Peer) -> None:
    padding = "x" * (32 * 1024 * 1024 - 100)
    body = json.dumps({"jsonrpc": "2.0", "id": 900, "method": "daemon/status", "params": {"x": padding}}).encode()
    assert len(body) < 32 * 1024 * 1024
    peer.send_body(body + b" " * (32 * 1024 * 1024 - len(body)))
    assert (await peer.reply(900, 20)).ok()["pid"]
