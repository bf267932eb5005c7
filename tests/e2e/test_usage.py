"""Promises C23 and E18: a row per call, whatever became of it; sums of what was served; money to the cent; budgets."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import WIRES, World
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.ledger import ledger_on_disk
from tests.harness.peer import Peer

from modeld.bookkeeping import Books
from modeld.clock import SYSTEM
from modeld.config.schema import AdapterConfig, BudgetConfig, Config, ModelConfig
from modeld.credentials.secret import Secret
from modeld.ledger.audit import Audit
from modeld.ledger.store import FILE_NAME, Store, StoreError
from modeld.providers.failure import ProviderFailure
from modeld.runtime import Runtime
from modeld.simulator import Simulator
from modeld_protocol.request import CanonicalRequest

pytestmark = pytest.mark.anyio

METHODS = ("model/complete", "model/stream")
COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_input_tokens", "total_tokens")


async def row_of(peer: Peer, request_id: str) -> dict[str, Any]:
    """The one row of a request."""
    (row,) = (await peer.call("usage/query", {"request_id": request_id})).ok()["rows"]
    return row


# ---- what was served


@pytest.mark.parametrize("wire", WIRES)
async def test_every_answer_has_its_row(world: World, wire: str) -> None:
    peer = await world.daemon.peer(client_id=f"rows-{wire}")
    served: list[dict[str, Any]] = []
    for number, model in enumerate(("text", "cached", "thinking", "refusal", "max-tokens-16", "empty", "difficult")):
        for method in METHODS:
            request_id = f"req-row-{wire}-{number}-{method}"
            params = {"model": f"{wire}:sim-{model}", "messages": "Hello", "request_id": request_id}
            answer = (await peer.call(method, params)).ok()
            row = await row_of(peer, request_id)
            assert (row["status"], row["usage"], row["cost"]) == ("completed", answer["usage"], answer["cost"])
            assert (row["model"], row["provider"], row["client_id"]) == (answer["model"], wire, f"rows-{wire}")
            assert (row["stop_reason"], row["streamed"]) == (answer["stop_reason"], method == "model/stream")
            served.append(answer)
    for by in ("client", "model", "provider", "day"):
        groups = (await peer.call("usage/aggregate", {"group_by": by, "client_id": f"rows-{wire}"})).ok()["groups"]
        assert sum(group["calls"] for group in groups) == len(served)
        for count in COUNTS:
            assert sum(group["usage"][count] for group in groups) == sum(answer["usage"][count] for answer in served)


async def test_no_request_without_a_row_and_no_end_before_it_is_complete(world: World) -> None:
    peer = await world.daemon.peer()

    def statuses(request_id: str) -> list[str]:
        connection = ledger_on_disk(world.daemon.state_dir)
        try:
            return [row[0] for row in connection.execute("SELECT status FROM calls WHERE request_id = ?", (request_id,))]
        finally:
            connection.close()

    for wire in WIRES:
        request_id = f"req-order-{wire}"
        number = peer.request("model/stream", {"model": f"{wire}:sim-slow-60", "messages": "x", "request_id": request_id})
        await peer.until(lambda request_id=request_id: peer.events(request_id))
        assert statuses(request_id) == ["started"]
        await peer.until(
            lambda request_id=request_id: any(e["event"]["type"] == "message.complete" for e in peer.events(request_id))
        )
        assert statuses(request_id) == ["completed"]
        (await peer.reply(number)).ok()


async def test_a_row_holds_no_text(world: World, tmp_path: Path) -> None:
    peer = await world.daemon.peer()
    (await peer.call("model/complete", {"model": "openai:sim-echo", "messages": "canary-of-the-ledger"})).ok()
    await peer.call("model/complete", {"model": "canary-of-the-ledger", "messages": "x"})
    stored = b"".join(file.read_bytes() for file in world.daemon.state_dir.iterdir())
    assert b"openai:sim-echo" in stored
    assert b"canary-of-the-ledger" not in stored


# ---- what was not


FAULTS = ["rate_limit-0-0", "overloaded", "server_error-0-500", "auth", "not_found", "bad_request", "quota", "context_overflow"]
FAULTS += ["garbage_200", "empty_200", "error_in_200", "reset_before_headers", "reset_mid_stream", "close_mid_stream", "html_502"]
FAULTS += ["error_event_first", "error_event_mid_stream", "hang_before_headers", "hang_mid_stream", "cut_without_end_marker"]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("method", METHODS)
async def test_every_failed_call_leaves_one_row(impatient: World, hasty: Peer, wire: str, method: str) -> None:
    for fault in FAULTS:
        request_id = f"req-{wire}-{method}-{fault}"
        params = {"model": f"{wire}:sim-fault-{fault}", "messages": "Hello", "request_id": request_id}
        reply = await hasty.call(method, params)
        row = await row_of(hasty, request_id)
        if reply.error is None:
            assert (row["status"], row["usage"]) == ("completed", reply.result["usage"])
            continue
        assert (row["status"], row["error_class"]) == ("failed", reply.data["error_class"]), fault
        if method == "model/stream":
            assert row["usage"] == reply.inner[-1]["usage"], "what its terminal event said"
        assert row["usage"]["estimated"], fault
    assert (await hasty.call("model/complete", {"model": f"{wire}:sim-text", "messages": "x"})).ok()["stop_reason"] == "end_turn"


REFUSED = [
    ({"model": "nobody:nothing", "messages": "x"}, "model_not_found", ""),
    (
        {
            "model": "openai:sim-text",
            "messages": [{"role": "tool", "content": [{"type": "tool_result", "tool_use_id": "tu_1", "content": ""}]}],
        },
        "invalid_request",
        "openai:sim-text",
    ),
]


@pytest.mark.parametrize(("params", "error_class", "model"), REFUSED)
async def test_a_call_that_is_never_sent_leaves_its_row_too(
    peer: Peer, params: dict[str, Any], error_class: str, model: str
) -> None:
    request_id = f"req-refused-{error_class}"
    assert (await peer.call("model/complete", {**params, "request_id": request_id})).data["error_class"] == error_class
    row = await row_of(peer, request_id)
    assert (row["status"], row["error_class"], row["model"], row["usage"]) == ("failed", error_class, model, None)


async def test_a_turn_that_names_no_model_leaves_its_row_too(peer: Peer) -> None:
    session = (await peer.call("session/create", {})).ok()["session"]["session_id"]
    params = {"session_id": session, "input": "x", "model": "nobody:nothing", "request_id": "req-turn-nobody"}
    reply = await peer.call("turn/start", params)
    assert reply.data["error_class"] == "model_not_found"
    assert reply.data["request_id"] == "req-turn-nobody"
    row = await row_of(peer, "req-turn-nobody")
    assert (row["status"], row["error_class"], row["session_id"]) == ("failed", "model_not_found", session)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cancelled_call_and_one_whose_client_left_are_on_the_books(world: World, peer: Peer, wire: str) -> None:
    params = {"model": f"{wire}:sim-slow-60", "messages": "Hello there, tell me a long story"}
    cancelled, left = f"req-cancelled-{wire}", f"req-left-{wire}"
    number = peer.request("model/stream", {**params, "request_id": cancelled})
    await peer.until(lambda: len(peer.events(cancelled)) > 3)
    peer.cancel(number)
    reply = await peer.reply(number, request_id=cancelled)
    row = await row_of(peer, cancelled)
    assert reply.error["code"] == -32800
    assert (row["status"], row["error_class"], row["stop_reason"]) == ("cancelled", "cancelled", "cancelled")
    assert row["usage"] == reply.inner[-1]["usage"]
    assert row["usage"]["estimated"]
    assert row["usage"]["output_tokens"] > 0
    guest = await Peer.connect(world.daemon.socket)
    await guest.initialize()
    guest.request("model/stream", {**params, "request_id": left})
    await guest.until(lambda: len(guest.events(left)) > 3)
    await guest.close()
    async with asyncio.timeout(5):
        while (row := await row_of(peer, left))["status"] == "started":
            await asyncio.sleep(0.01)
    assert (row["status"], row["usage"]["estimated"]) == ("cancelled", True)


async def test_a_call_cancelled_before_its_provider_answers_is_on_the_books(world: World, peer: Peer) -> None:
    number = peer.request(
        "model/complete", {"model": "openai:sim-fault-hang_before_headers", "messages": "x", "request_id": "req-early"}
    )
    async with asyncio.timeout(5):
        while not (await peer.call("usage/query", {"request_id": "req-early"})).ok()["rows"]:
            await asyncio.sleep(0.01)
    peer.cancel(number)
    assert (await peer.reply(number)).error["code"] == -32800
    assert (await row_of(peer, "req-early"))["status"] == "cancelled"


async def test_a_daemon_that_is_stopped_leaves_no_row_open() -> None:
    async with Simulator() as simulator:
        daemon = DaemonProcess(models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-fault-hang_mid_stream"]))
        async with daemon:
            peer = await daemon.peer()
            for number in range(20):
                model = f"{WIRES[number % 2]}:sim-fault-hang_mid_stream"
                peer.request("model/stream", {"model": model, "messages": "x", "request_id": f"req-{number}"})
            await peer.until(lambda: len({event["request_id"] for event in peer.notifications("stream/event")}) == 20)
            daemon.signal()
            await asyncio.sleep(0.05)
            daemon.signal()  # patience is tested elsewhere
            assert await daemon.wait() == 0
            connection = sqlite3.connect(daemon.state_dir / FILE_NAME)
            found = connection.execute("SELECT status, estimated, count(*) FROM calls GROUP BY 1, 2").fetchall()
            connection.close()
            assert found == [("cancelled", 1, 20)]
            assert [path.name for path in daemon.state_dir.iterdir()] == [FILE_NAME], "neither a log nor a journal is left"


async def test_two_daemons_with_one_state_directory_share_the_ledger() -> None:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, ["sim-text"])
        async with DaemonProcess(config) as one, DaemonProcess(config, "--state-dir", str(one.state_dir)) as other:
            peers = [await daemon.peer() for daemon in (one, other)]

            async def work(peer: Peer, name: str) -> None:
                running = [
                    peer.request(
                        "model/complete", {"model": "openai:sim-text", "messages": "x", "request_id": f"{name}-{number}"}
                    )
                    for number in range(50)
                ]
                for rpc_id in running:
                    (await peer.reply(rpc_id, timeout_s=30)).ok()

            await asyncio.gather(*(work(peer, name) for peer, name in zip(peers, "ab", strict=True)))
            for peer in peers:
                rows = (await peer.call("usage/query", {"limit": 1_000})).ok()["rows"]
                assert sorted(row["request_id"] for row in rows) == sorted(f"{name}-{n}" for name in "ab" for n in range(50))
                assert {row["status"] for row in rows} == {"completed"}


# ---- money


# Prices per million tokens: input 3,000, output 15,000, read 300, write 4,000. The simulator's answer has 20 tokens of input
# beside 1,000 read from a cache and 300 written to it, and 16 of output: 0.06 + 0.24 + 0.30 + 1.20.
PRICING = {"input": 3_000, "output": 15_000, "cache_read": 300, "cache_write": 4_000}
ALL = {"input_cost": "0.06", "output_cost": "0.24", "cache_read_cost": "0.30", "cache_write_cost": "1.20", "total_cost": "1.80"}
NO_WRITES = {**ALL, "input_cost": "0.96", "cache_write_cost": "0.00", "total_cost": "1.50"}  # writes are input on this wire
NO_CACHE = {**NO_WRITES, "input_cost": "3.96", "cache_read_cost": "0.00", "total_cost": "4.20"}
GOLDEN = {
    **dict.fromkeys(("anthropic", "anthropic-compatible", "openai", "openai-responses", "deepseek", "qwen", "glm", "kimi"), ALL),
    **dict.fromkeys(("minimax", "openrouter", "groq", "cerebras", "openai-compatible"), ALL),
    "gemini": NO_WRITES,
    "ollama": NO_CACHE,
}
AT_ROOT = ("anthropic", "anthropic-compatible", "gemini", "ollama")


def priced(simulator: Simulator, **more: Any) -> str:
    adapters = {
        name: {
            "type": name,
            "base_url": simulator.base_url if name in AT_ROOT else simulator.openai_base_url,
            "api_key_env": "MODELD_TEST_KEY",
        }
        for name in GOLDEN
    }
    models = {
        f"{name}:{model}": {"adapter": name, "wire_name": model, "pricing": PRICING}
        for name in GOLDEN
        for model in ("sim-cached", "sim-slow-60")
    }
    return json.dumps({"adapters": adapters, "models": models, **more})


@pytest.fixture(scope="module")
async def shop() -> AsyncIterator[World]:
    """Every provider type, with prices that make a call cost dollars."""
    async with Simulator() as simulator, DaemonProcess(priced(simulator)) as daemon:
        yield World(daemon, simulator)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", GOLDEN)
async def test_golden_costs(shop: World, name: str, method: str) -> None:
    peer = await shop.daemon.peer(client_id="golden")
    request_id = f"req-{name}-{method}"
    answer = (await peer.call(method, {"model": f"{name}:sim-cached", "messages": "hi", "request_id": request_id})).ok()
    cost = (await row_of(peer, request_id))["cost"]
    assert cost == answer["cost"]
    assert {part: f"{cost[part]:.2f}" for part in ALL} == GOLDEN[name]
    assert f"{cost['cache_savings']:.2f}" == ("0.00" if name == "ollama" else "2.70")
    assert (cost["currency"], cost["source"]) == ("USD", "configured")


async def test_the_sum_is_that_of_the_rows_and_repricing_changes_it(shop: World) -> None:
    peer = await shop.daemon.peer(client_id="repricing")
    for name in GOLDEN:
        (await peer.call("model/complete", {"model": f"{name}:sim-cached", "messages": "hi"})).ok()
    mine = {"client_id": "repricing"}
    (group,) = (await peer.call("usage/aggregate", {**mine, "group_by": "client"})).ok()["groups"]
    assert group["total_cost"] == pytest.approx(13 * 1.80 + 1.5 + 4.2, abs=1e-12)
    config = json.loads(shop.daemon.config.read_text())
    before = json.dumps(config)
    for model in config["models"].values():
        model["pricing"] = {**PRICING, "output": 0}
    try:
        shop.daemon.config.write_text(json.dumps(config))
        (await peer.call("config/reload")).ok()
        done = (await peer.call("usage/reprice", mine)).ok()
        assert done == {"calls": 15, "changed": 15, "unpriced": 0}
        (group,) = (await peer.call("usage/aggregate", {**mine, "group_by": "client"})).ok()["groups"]
        assert group["total_cost"] == pytest.approx(13 * 1.56 + 1.26 + 3.96, abs=1e-12)
    finally:
        shop.daemon.config.write_text(before)
        (await peer.call("config/reload")).ok()


# ---- budgets


async def test_a_budget_warns_then_refuses_before_anything_is_sent() -> None:
    async with Simulator() as simulator:
        config = priced(simulator, budgets={"client": {"limit": 9.0, "warn": 3.0}})
        async with DaemonProcess(config) as daemon:
            peer = await daemon.peer(client_id="spender")
            call = {"model": "openai:sim-cached", "messages": "hi", "max_output_tokens": 16}
            codes: list[list[str]] = []
            for _ in range(6):
                reply = await peer.call("model/complete", call)
                if reply.error is not None:
                    break
                codes.append([warning["code"] for warning in reply.result["warnings"]])
            assert codes == [[], [], *[["budget_near"]] * 3]
            assert reply.data["error_class"] == "quota_exceeded"
            assert "budgets.client.limit" in reply.error["message"]
            assert len(simulator.requests) == 5
            (row, *_) = (await peer.call("usage/query", {"limit": 1})).ok()["rows"]
            assert (row["status"], row["error_class"], row["cost"]) == ("failed", "quota_exceeded", None)
            assert {one["availability"] for one in (await peer.call("provider/list")).ok()["providers"]} == {"available"}
            other = await daemon.peer(client_id="saver")
            (await other.call("model/complete", call)).ok()
            raised = {**json.loads(config), "budgets": {"client": {"limit": 20.0}}}
            daemon.config.write_text(json.dumps(raised))
            (await peer.call("config/reload")).ok()
            (await peer.call("model/complete", call)).ok()


async def test_who_calls_through_a_client_is_named_limited_and_refused() -> None:
    async with Simulator() as simulator:
        config = priced(simulator, budgets={"client": {"limit": 3.0}}, clients={"editor": {"allow": ["acme.agent", "other.*"]}})
        async with DaemonProcess(config) as daemon:
            peer = await daemon.peer(client_id="editor")
            call = {"model": "openai:sim-cached", "messages": "hi", "max_output_tokens": 16}
            for initiator, whose in (("Acme.Agent", "editor/acme.agent"), ("other.one", "editor/other.one"), (None, "editor")):
                request = {**call, "request_id": f"req-by-{initiator}", **({"initiator": initiator} if initiator else {})}
                (await peer.call("model/stream", request)).ok()
                assert (await row_of(peer, request["request_id"]))["client_id"] == whose
            served = len(simulator.requests)
            refused = await peer.call("model/complete", {**call, "initiator": "stranger.tool", "request_id": "req-stranger"})
            assert refused.data["error_class"] == "auth"
            assert "clients.editor.allow" in refused.error["message"]
            row = await row_of(peer, "req-stranger")
            assert (row["status"], row["client_id"], row["cost"]) == ("failed", "editor", None)
            assert len(simulator.requests) == served
            assert {one["availability"] for one in (await peer.call("provider/list")).ok()["providers"]} == {"available"}
            # A budget of each client is one of each initiator.
            spent = [await peer.call("model/complete", {**call, "initiator": "acme.agent"}) for _ in range(2)]
            assert spent[-1].data["error_class"] == "quota_exceeded"
            (await peer.call("model/complete", {**call, "initiator": "other.two"})).ok()
            # What is allowed is read again with the config.
            daemon.config.write_text(json.dumps({**json.loads(config), "clients": {}}))
            (await peer.call("config/reload")).ok()
            (await peer.call("model/complete", {**call, "initiator": "stranger.tool"})).ok()


async def test_running_calls_hold_what_they_may_cost() -> None:
    async with Simulator() as simulator:
        config = priced(simulator, budgets={"day": {"limit": 40.0}})
        async with DaemonProcess(config) as daemon:
            peer = await daemon.peer()
            call = {"model": "openai:sim-slow-60", "messages": "hi", "max_output_tokens": 1_000}  # $15 and a little
            running = [peer.request("model/stream", {**call, "request_id": f"req-{number}"}) for number in range(5)]
            replies = [await peer.reply(number, timeout_s=20) for number in running]
            refused = [reply for reply in replies if reply.error is not None]
            assert len(refused) == 3
            assert {reply.data["error_class"] for reply in refused} == {"quota_exceeded"}
            assert "reserved by running calls" in refused[0].error["message"]
            (await peer.call("model/complete", {**call, "model": "openai:sim-cached"})).ok()


# ---- when nothing can be written


async def test_without_a_row_nothing_is_sent(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        adapter = AdapterConfig("openai", "openai", base_url=simulator.openai_base_url, api_key=Secret("k"))
        config = Config({"openai": adapter}, {"openai:sim-text": ModelConfig("openai:sim-text", "openai", "sim-text")})
        store = Store.open(tmp_path / FILE_NAME)
        runtime = Runtime(config, environment={}, books=Books(Audit(store, SYSTEM), SYSTEM))
        try:
            await runtime.run(runtime.prepare(CanonicalRequest(messages="x", model="openai:sim-text"), stream=False))
            ((pages,),) = store.read_now("PRAGMA page_count")
            store.read_now(f"PRAGMA max_page_count = {pages}")
            with pytest.raises(StoreError):
                await store.write("CREATE TABLE too_much AS SELECT zeroblob(100000)")
            sent = len(simulator.requests)
            with pytest.raises(ProviderFailure, match=r"nothing was sent.*free space") as caught:
                await runtime.run(runtime.prepare(CanonicalRequest(messages="x", model="openai:sim-text"), stream=False))
            assert (caught.value.error_class, caught.value.retryable, len(simulator.requests)) == ("other", True, sent)
        finally:
            await runtime.close()
            await store.close()


async def test_without_a_look_at_its_budget_nothing_is_sent(tmp_path: Path) -> None:
    async with Simulator() as simulator:
        adapter = AdapterConfig("openai", "openai", base_url=simulator.openai_base_url, api_key=Secret("k"))
        models = {"openai:sim-text": ModelConfig("openai:sim-text", "openai", "sim-text")}
        config = Config({"openai": adapter}, models, budgets={"day": BudgetConfig(limit=1.0)})
        store = Store.open(tmp_path / FILE_NAME)
        runtime = Runtime(config, environment={}, books=Books(Audit(store, SYSTEM), SYSTEM))
        try:
            await store.write("DROP TABLE calls")
            with pytest.raises(ProviderFailure, match=r"nothing was sent.*modeld doctor") as caught:
                await runtime.run(runtime.prepare(CanonicalRequest(messages="x", model="openai:sim-text"), stream=False))
            assert (caught.value.error_class, caught.value.retryable, len(simulator.requests)) == ("other", True, 0)
        finally:
            await runtime.close()
            await store.close()
