"""The handshake and LSP's lifecycle on one connection."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.served import Served, client, serve

from modeld_protocol.lifecycle import FEATURES

pytestmark = pytest.mark.anyio

VS_CODE = {
    "processId": 4711,
    "clientInfo": {"name": "Visual Studio Code", "version": "1.99.0"},
    "locale": "en",
    "rootPath": "/tmp/x",
    "rootUri": "file:///tmp/x",
    "capabilities": {
        "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True, "resourceOperations": ["create"]}},
        "textDocument": {"publishDiagnostics": {"relatedInformation": True, "tagSupport": {"valueSet": [1, 2]}}},
        "general": {"positionEncodings": ["utf-16"], "staleRequestSupport": {"cancel": True, "retryOnContentModified": []}},
        "notebookDocument": {"synchronization": {"dynamicRegistration": True}},
    },
    "trace": "off",
    "workspaceFolders": [{"uri": "file:///tmp/x", "name": "x"}],
    "workDoneToken": 5,
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path / "s") as running:
        yield running


def options(**ours: Any) -> dict[str, Any]:
    return {"capabilities": {}, "initializationOptions": {"modeld": ours}}


async def test_before_initialize(served: Served) -> None:
    async with client(served, initialized=False) as peer:
        for method in ("test/echo", "shutdown", "no/such"):
            reply = await peer.call(method, {})
            assert reply.error["code"] == -32002
            assert "initialize" in reply.error["message"]
        peer.notify("test/note", {"dropped": True})
        peer.cancel(1)
        await peer.initialize()
        assert (await peer.call("test/echo", {"a": 1})).ok() == {"a": 1}
        assert served.log == []
        assert len(peer.messages) == 5


async def test_the_answer_in_full(served: Served) -> None:
    async with client(served, initialized=False) as peer:
        result = await peer.initialize()
        assert result["serverInfo"] == {"name": "modeld", "version": "9.9.9"}
        assert result["capabilities"]["experimental"]["modeld"] == {
            "protocol_version": 1,
            "ir_version": 1,
            "daemon_id": "daemon-1",
            "epoch": "epoch-1",
            "features": list(FEATURES),
            "limits": {"max_message_bytes": 32 * 1024 * 1024, "max_header_bytes": 4096, "max_requests_in_flight": 256},
        }


@pytest.mark.parametrize(
    "params",
    [
        VS_CODE,
        {"capabilities": {}},
        {"processId": None, "clientInfo": None, "rootUri": None, "capabilities": {}, "initializationOptions": None},
        {"capabilities": {}, "initializationOptions": "anything"},
        {"capabilities": {}, "initializationOptions": [1]},
        {"capabilities": {}, "initializationOptions": {"other": 1, "modeld": None}},
        options(protocol_versions=[99, 1, 7], later_field={"a": 1}),
        options(required=list(FEATURES)),
        {},
        None,
    ],
)
async def test_accepted_params(served: Served, params: Any) -> None:
    async with client(served, initialized=False) as peer:
        result = (await peer.call("initialize", params)).ok()
        assert result["capabilities"]["experimental"]["modeld"]["protocol_version"] == 1


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ([], "object"),
        ({"capabilities": []}, "$.capabilities"),
        ({"processId": "canary", "capabilities": {}}, "$.processId"),
        (options(protocol_versions="canary"), "$.initializationOptions.modeld.protocol_versions"),
        (options(env={"A": 5}), "$.initializationOptions.modeld.env[...]"),
        (options(trusted="canary"), "$.initializationOptions.modeld.trusted"),
        ({"initializationOptions": {"modeld": "canary"}}, "$.initializationOptions.modeld"),
        (options(env={"A": "x" * 70_000}), "$.initializationOptions.modeld.env"),
    ],
)
async def test_wrong_types_may_be_tried_again(served: Served, params: Any, path: str) -> None:
    async with client(served, initialized=False) as peer:
        reply = await peer.call("initialize", params)
        assert reply.error["code"] == -32602
        assert path in reply.error["message"]
        assert "canary" not in reply.error["message"]
        await peer.initialize()
        assert (await peer.call("test/echo", {})).ok() == {}


@pytest.mark.parametrize("versions", [[], [99], [0, 2]])
async def test_no_common_version(served: Served, versions: list[int]) -> None:
    async with client(served, initialized=False) as peer:
        reply = await peer.call("initialize", options(protocol_versions=versions))
        assert reply.error["code"] == -32602
        assert reply.data == {"supported": [1]}
        await peer.initialize()


async def test_a_missing_feature(served: Served) -> None:
    async with client(served, initialized=False) as peer:
        reply = await peer.call("initialize", options(required=["model", "telepathy"]))
        assert reply.data == {"missing": ["telepathy"], "available": list(FEATURES)}
        assert "telepathy" in reply.error["message"]


async def test_a_second_initialize_harms_nothing(served: Served) -> None:
    async with client(served, client_id="first") as peer:
        rpc_id = peer.request("test/hang", {"name": "runs"})
        assert (await peer.call("initialize", options(client_id="second"))).error["code"] == -32600
        served.gate.set()
        assert (await peer.reply(rpc_id)).ok() == "runs"
        assert [one.client.client_id for one in served.listener.connections] == ["first"]


async def test_what_the_client_said_reaches_handlers(served: Served) -> None:
    async with client(served, client_id="me", trusted=True, env={"KEY": "canary"}) as peer:
        (connection,) = served.listener.connections
        state = connection.client
        assert (state.client_id, state.trusted, state.env, state.trace, state.number) == ("me", True, {"KEY": "canary"}, False, 1)
        assert "canary" not in repr(state)
        for value, expected in [("verbose", True), (None, True), ("off", False), ("messages", True)]:
            peer.notify("$/setTrace", {"value": value})
            await peer.call("test/echo", {})
            assert state.trace is expected


async def test_shutdown_then_exit_ends_this_connection_only(served: Served) -> None:
    async with client(served) as stays, client(served) as leaves:
        runs = stays.request("test/hang", {"name": "stays"})
        own = leaves.request("test/hang", {"name": "own"})
        await leaves.call("test/echo", {})
        assert (await leaves.call("shutdown")).ok() is None
        assert (await leaves.reply(own)).error["code"] == -32800
        for method in ("test/echo", "shutdown", "initialize"):
            assert (await leaves.call(method, {})).error["code"] == -32600
        leaves.notify("exit")
        await leaves.until_closed()
        served.gate.set()
        assert (await stays.reply(runs)).ok() == "stays"


@pytest.mark.parametrize("initialized", [True, False])
async def test_exit_without_shutdown_ends_this_connection_only(served: Served, initialized: bool) -> None:
    async with client(served) as stays, client(served, initialized=initialized) as leaves:
        leaves.request("test/echo", {}, rpc_id=50)
        leaves.notify("exit")
        leaves.request("test/echo", {}, rpc_id=51)
        await leaves.until_closed()
        assert len(leaves.replies(50)) == 1
        assert leaves.replies(51) == []
        assert (await stays.call("test/echo", {})).ok() == {}
