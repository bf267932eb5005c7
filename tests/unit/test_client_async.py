"""AsyncClient against a scripted daemon on a real socket."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import anyio
import pytest
from tests.harness.scripted_daemon import START, ScriptedDaemon, Wire, complete, response, text_delta

from modeld_client import (
    AsyncClient,
    Cancelled,
    ConnectionLost,
    DaemonUnavailable,
    HandshakeFailed,
    InvalidParams,
    NetworkFailed,
    RateLimited,
    StreamOverrun,
    mux,
    target,
)
from modeld_protocol.config import ConfigChanged
from modeld_protocol.events import MessageComplete, MessageStart, TextDelta

pytestmark = pytest.mark.anyio


@pytest.fixture
def daemon(tmp_path):
    with ScriptedDaemon(tmp_path / "d.sock") as scripted:
        scripted.on("model/complete", lambda wire, message: wire.reply(message, response(message["params"]["request_id"])))
        scripted.on("daemon/status", lambda wire, message: wire.reply(message, {"epoch": wire.epoch}))
        yield scripted


def connect(daemon: ScriptedDaemon, **options):
    return AsyncClient.connect(daemon.path, start=False, **options)


def hello(wire: Wire, message) -> None:
    wire.event(message, START)
    wire.event(message, text_delta("Hel"), {"type": "from.the_future", "message_id": "m"}, text_delta("lo"))
    wire.event(message, complete("Hello"))
    wire.reply(message, response(message["params"]["request_id"]))


def endless(wire: Wire, message) -> None:
    wire.event(message, START, text_delta("Hel"))


def answer_cancels(daemon: ScriptedDaemon) -> None:
    """Reply to every cancelled request as the daemon would."""
    partial = response("r", "Hel", "cancelled")
    data = {"error_class": "cancelled", "message": "cancelled", "partial": partial}
    daemon.on("$/cancelRequest", lambda wire, message: wire.fail({"id": message["params"]["id"]}, -32800, "cancelled", data))


# ---- connecting


@pytest.mark.parametrize("way", ["async with", "await"])
async def test_both_ways_to_connect(daemon, way):
    if way == "await":
        client = await connect(daemon, client_id="me")
    else:
        client = await contextlib.AsyncExitStack().enter_async_context(connect(daemon, client_id="me"))
    assert (await client.complete(messages="Hi")).content[0].text == "Hello"
    assert (client.epoch, client.daemon_id, client.features) == ("ep_1", "dm_test", ["model", "stream"])
    await client.aclose()
    with pytest.raises(ConnectionLost, match="closed"):
        await client.complete(messages="Hi")
    assert [message["method"] for message in daemon.received] == ["initialize", "initialized", "model/complete"]
    assert daemon.received[0]["params"]["initializationOptions"]["modeld"] == {"client_id": "me", "protocol_versions": [1]}


def test_it_works_under_plain_asyncio(daemon):
    async def main() -> str:
        async with connect(daemon) as client:
            return (await client.complete(messages="Hi")).model

    assert asyncio.run(main()) == "test:one"


def refuse(wire, message):
    wire.fail(message, -32602, "No common protocol version; this daemon speaks 2.")


HANDSHAKES = [
    ({"initialize": refuse}, {}, "this daemon speaks 2"),
    ({"initialize": lambda wire, message: wire.close()}, {}, "during the handshake"),
    ({"initialize": lambda wire, message: wire.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")}, {}, "no modeld daemon"),
    ({"initialize": lambda wire, message: wire.reply(message, {"capabilities": {}})}, {}, "no modeld daemon"),
    ({"initialize": lambda wire, message: None}, {}, "within 0.2 s"),
    ({}, {"protocol_version": 2}, "speaks protocol 2"),
]


@pytest.mark.parametrize(("handlers", "capabilities", "message"), HANDSHAKES)
async def test_a_failed_handshake_says_why(daemon, handlers, capabilities, message, monkeypatch):
    from modeld_client import transport

    monkeypatch.setattr(transport, "HANDSHAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(target, "HANDSHAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(transport, "LEAVING_S", 0.2)
    daemon.handlers |= handlers
    daemon.capabilities = capabilities
    with pytest.raises(HandshakeFailed, match=message):
        await connect(daemon)


async def test_a_daemon_that_leaves_while_we_come_in_is_tried_again(daemon):
    def leave_once(wire, message):
        wire.close() if len(daemon.wires) == 1 else daemon.initialize(wire, message)

    daemon.on("initialize", leave_once)
    async with connect(daemon) as client:
        assert client.epoch == "ep_2"


async def test_without_a_daemon_and_without_leave_to_start_one(tmp_path):
    with pytest.raises(DaemonUnavailable, match="start one with `modeld"):
        await AsyncClient.connect(tmp_path / "none.sock", start=False)


async def test_tcp_sends_the_token_of_the_runtime_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELD_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "token").write_text("t0ken\n")
    with ScriptedDaemon(tmp_path / "d.sock") as daemon, socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=lambda: daemon._serve(Wire(server.accept()[0], "ep_tcp")), daemon=True)
        accepting.start()
        async with AsyncClient.connect(tcp=f"127.0.0.1:{server.getsockname()[1]}") as client:
            assert client.epoch == "ep_tcp"
        assert daemon.received[0]["params"]["initializationOptions"]["modeld"]["token"] == "t0ken"
        (tmp_path / "token").unlink()
    assert "t0ken" not in repr(client._target)


# ---- calls


async def test_replies_find_their_calls_in_any_order(daemon):
    waiting = []

    def hold(wire, message):
        waiting.append(message)
        if len(waiting) == 50:
            for held in reversed(waiting):
                wire.reply(held, response(held["params"]["request_id"], held["params"]["messages"]))

    daemon.on("model/complete", hold)
    answers: dict[int, str] = {}

    async def ask(number: int) -> None:
        answers[number] = (await client.complete(messages=f"m{number}")).content[0].text

    async with connect(daemon) as client, anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(ask, number)
    assert answers == {number: f"m{number}" for number in range(50)}


METHODS = [
    ("models", {}, "model/list", {}, {"models": []}),
    ("providers", {}, "provider/list", {}, {"providers": []}),
    ("discover", {"providers": ["a"], "refresh": True}, "model/discover", {"providers": ["a"], "refresh": True}, {"models": []}),
    ("estimate_tokens", {"messages": "Hi"}, "model/estimateTokens", {"messages": "Hi"}, {"input_tokens": 1, "estimated": True}),
    ("count_tokens", {"messages": "Hi"}, "model/countTokens", {"messages": "Hi"}, {"input_tokens": 1, "estimated": False}),
    ("config_get", {}, "config/get", {}, {"file": None, "version": 1, "config": {}, "problems": []}),
    ("config_check", {"text": "x"}, "config/check", {"text": "x"}, {"valid": True, "problems": []}),
    ("config_reload", {}, "config/reload", {}, {"applied": True, "version": 1, "problems": []}),
    ("stop_daemon", {"force": True}, "daemon/stop", {"force": True}, {"stopping": True}),
]


@pytest.mark.parametrize(("name", "arguments", "method", "params", "result"), METHODS)
async def test_every_method_sends_its_params_and_reads_its_result(daemon, name, arguments, method, params, result):
    daemon.on(method, lambda wire, message: wire.reply(message, result))
    async with connect(daemon) as client:
        answer = await getattr(client, name)(**arguments)
    assert daemon.of(method)[0]["params"] == params
    first = next(iter(result.values()))
    assert answer == [] or first in (getattr(answer, next(iter(result))), [])


async def test_a_failed_call_is_its_exception_and_the_client_goes_on(daemon):
    data = {"error_class": "rate_limit", "message": "slow down", "retryable": True, "retry_after_seconds": 2.5}
    daemon.on("model/complete", lambda wire, message: wire.fail(message, -32803, "slow down", data))
    async with connect(daemon) as client:
        with pytest.raises(RateLimited, match="slow down") as failure:
            await client.complete(messages="Hi")
        assert (failure.value.retryable, failure.value.retry_after_seconds) == (True, 2.5)
        assert await client.call("daemon/status") == {"epoch": "ep_1"}


async def test_a_message_the_daemon_would_close_for_is_refused_here(daemon):
    async with connect(daemon) as client:
        with pytest.raises(InvalidParams, match="takes 1000000"):
            await client.complete(messages="x" * 1_000_000)
        assert (await client.complete(messages="x" * 900_000)).stop_reason == "end_turn"
        assert client._connection is not None
        assert not client._connection.mux._pending


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_cancelling_a_call_cancels_it_at_the_daemon(daemon, how):
    daemon.on("model/complete", lambda wire, message: None)
    async with connect(daemon) as client:
        if how == "scope":
            with anyio.move_on_after(0.05) as scope:
                await client.complete(messages="Hi")
            assert scope.cancelled_caught
        else:
            task = asyncio.create_task(client.complete(messages="Hi"))
            await anyio.to_thread.run_sync(daemon.wait_for, "model/complete")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        cancelled = await anyio.to_thread.run_sync(daemon.wait_for, "$/cancelRequest")
        assert cancelled["params"]["id"] == daemon.of("model/complete")[0]["id"]
        assert (await client.call("daemon/status")) == {"epoch": "ep_1"}


# ---- streams


async def test_a_stream_gives_typed_events_then_the_response(daemon):
    daemon.on("model/stream", hello)
    async with connect(daemon) as client, client.stream(messages="Hi") as stream:
        events = [event async for event in stream]
        reply = await stream.response()
    assert [type(event) for event in events] == [MessageStart, TextDelta, TextDelta, MessageComplete]
    assert reply.request_id == stream.request_id == daemon.of("model/stream")[0]["params"]["request_id"]
    assert not daemon.of("$/cancelRequest")


async def test_text_and_response_in_any_order(daemon):
    daemon.on("model/stream", hello)
    async with connect(daemon) as client:
        async with client.stream(messages="Hi") as stream:
            assert [text async for text in stream.text()] == ["Hel", "lo"]
        async with client.stream(messages="Hi") as stream:
            assert (await stream.response()).stop_reason == "end_turn"
            assert "".join([text async for text in stream.text()]) == "Hello"
        assert (await stream.response()).content[0].text == "Hello"  # also after the block


async def test_a_stream_is_entered_first_and_once(daemon):
    daemon.on("model/stream", hello)
    async with connect(daemon) as client:
        stream = client.stream(messages="Hi")
        with pytest.raises(RuntimeError, match="enter the stream"):
            await anext(stream)
        async with stream:
            pass
        with pytest.raises(RuntimeError, match="once"):
            await stream.__aenter__()


async def test_a_failure_comes_after_the_events_before_it(daemon):
    def fail(wire, message):
        wire.event(message, START, text_delta("Hel"), complete("Hel", "error"))
        data = {"error_class": "network", "message": "reset", "partial": response("r", "Hel", "error")}
        wire.fail(message, -32803, "reset", data)

    daemon.on("model/stream", fail)
    async with connect(daemon) as client, client.stream(messages="Hi") as stream:
        assert [type(await anext(stream)) for _ in range(3)] == [MessageStart, TextDelta, MessageComplete]
        for ending in (anext(stream), stream.response()):
            with pytest.raises(NetworkFailed, match="reset") as failure:
                await ending
            assert failure.value.partial is not None
            assert failure.value.partial.content[0].text == "Hel"


async def test_leaving_early_cancels_and_waits_for_the_reply(daemon):
    daemon.on("model/stream", endless)
    answer_cancels(daemon)
    async with connect(daemon) as client:
        async with client.stream(messages="Hi") as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
        assert [message["params"]["id"] for message in daemon.of("$/cancelRequest")] == [daemon.of("model/stream")[0]["id"]]
        with pytest.raises(Cancelled) as cancelled:
            await stream.response()
        assert cancelled.value.partial is not None
        assert cancelled.value.partial.content[0].text == "Hel"


async def test_leaving_by_an_error_or_a_cancel_cancels_too(daemon):
    daemon.on("model/stream", endless)
    async with connect(daemon) as client:
        with anyio.fail_after(5):
            with anyio.move_on_after(0.05):
                async with client.stream(messages="Hi") as stream:
                    async for _ in stream:
                        pass
        assert await anyio.to_thread.run_sync(daemon.wait_for, "$/cancelRequest")
        answer_cancels(daemon)
        with pytest.raises(ZeroDivisionError):
            async with client.stream(messages="Hi"):
                raise ZeroDivisionError
        assert await anyio.to_thread.run_sync(daemon.wait_for, "$/cancelRequest", 2)


async def test_a_daemon_that_never_answers_the_cancel_holds_nobody(daemon, monkeypatch):
    from modeld_client import stream as stream_module

    monkeypatch.setattr(stream_module, "CANCEL_WAIT_S", 0.1)
    daemon.on("model/stream", endless)
    async with connect(daemon) as client:
        with anyio.fail_after(3):
            async with client.stream(messages="Hi"):
                pass
        assert await client.call("daemon/status") == {"epoch": "ep_1"}


async def test_a_detached_stream_runs_on(daemon):
    daemon.on("model/stream", endless)
    async with connect(daemon) as client:
        async with client.stream(messages="Hi", detach=True) as stream:
            assert isinstance(await anext(stream), MessageStart)
        assert await client.call("daemon/status") == {"epoch": "ep_1"}  # whatever was sent before has arrived
        assert not daemon.of("$/cancelRequest")
        wire = daemon.wires[0]
        wire.event(daemon.of("model/stream")[0], text_delta("lo"), complete("Hello"))
        wire.reply(daemon.of("model/stream")[0], response(stream.request_id))
        assert (await stream.response()).request_id == stream.request_id


async def test_streams_do_not_mix(daemon):
    def interleave(wire, message):
        held = daemon.of("model/stream")
        if len(held) < 3:
            return
        for number in range(20):
            wire.send(*(wire.event_message(one, text_delta(f"{one['params']['messages']}{number} ")) for one in held))
        for one in held:
            wire.reply(one, response(one["params"]["request_id"]))

    daemon.on("model/stream", interleave)
    texts: dict[str, str] = {}

    async def read(name: str) -> None:
        async with client.stream(messages=name) as stream:
            texts[name] = "".join([text async for text in stream.text()])

    async with connect(daemon) as client, anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(read, name)
    assert texts == {name: "".join(f"{name}{number} " for number in range(20)) for name in "abc"}


async def test_a_gap_is_kept_with_its_stream(daemon):
    def gap(wire, message):
        params = {"request_id": message["params"]["request_id"], "epoch": "e", "first": 2, "last": 5, "reason": "slow"}
        wire.notify("stream/gap", params)
        hello(wire, message)

    daemon.on("model/stream", gap)
    async with connect(daemon) as client, client.stream(messages="Hi") as stream:
        assert (await stream.response()).stop_reason == "end_turn"
        assert [(one.first, one.last) for one in stream.gaps] == [(2, 5)]


# ---- back-pressure


def flood(count: int, done: threading.Event):
    def send(wire, message):
        def run():
            for number in range(count):
                wire.event(message, text_delta(f"{number} " + "x" * 1_000))
            wire.reply(message, response(message["params"]["request_id"]))
            done.set()

        threading.Thread(target=run, daemon=True).start()

    return send


async def test_a_consumer_that_lags_stops_the_daemon_and_then_gets_everything(daemon, monkeypatch):
    monkeypatch.setattr(mux, "PAUSE_BYTES", 50_000)
    monkeypatch.setattr(mux, "RESUME_BYTES", 10_000)
    sent = threading.Event()
    daemon.on("model/stream", flood(5_000, sent))
    async with connect(daemon) as client, client.stream(messages="Hi") as stream:
        while not stream._exchange.held_bytes > 50_000:
            await anyio.sleep(0.01)
        await anyio.sleep(0.2)
        assert not sent.is_set()  # 5 MB do not fit into the socket
        assert stream._exchange.held_bytes < 500_000
        texts = [text.split()[0] async for text in stream.text()]
    assert texts == [str(number) for number in range(5_000)]
    assert await anyio.to_thread.run_sync(sent.wait, 5)


async def test_another_call_is_answered_while_a_stream_is_not_read(daemon, monkeypatch):
    monkeypatch.setattr(mux, "PAUSE_BYTES", 50_000)
    daemon.on("model/stream", flood(5_000, threading.Event()))
    async with connect(daemon) as client, client.stream(messages="Hi") as stream:
        async for event in stream:
            assert isinstance(event, TextDelta)
            with anyio.fail_after(5):
                assert await client.call("daemon/status") == {"epoch": "ep_1"}
            if event.text.startswith("20 "):
                break


async def test_a_stream_that_overruns_fails_alone_and_still_has_its_response(daemon, monkeypatch):
    monkeypatch.setattr(mux, "PAUSE_BYTES", 50_000)
    monkeypatch.setattr(mux, "OVERRUN_BYTES", 200_000)
    daemon.on("model/stream", flood(2_000, threading.Event()))
    async with connect(daemon) as client, client.stream(messages="Hi") as stream:
        assert (await stream.response()).stop_reason == "end_turn"
        with pytest.raises(StreamOverrun, match="response"):
            async for _ in stream:
                pass


# ---- losing the daemon


async def test_when_the_daemon_dies_calls_fail_and_the_next_one_reconnects(daemon):
    daemon.on("model/stream", endless)
    daemon.on("model/list", lambda wire, message: None)
    failures = []

    async def lose() -> None:
        with pytest.raises(ConnectionLost, match="call again") as failure:
            await client.models()
        failures.append(failure.value)

    async with connect(daemon) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(lose)
            group.start_soon(lose)
            await anyio.to_thread.run_sync(daemon.wait_for, "model/list", 2)
            async with client.stream(messages="Hi") as stream:
                assert [type(await anext(stream)) for _ in range(2)] == [MessageStart, TextDelta]
                daemon.drop_clients()
                with pytest.raises(ConnectionLost):
                    await anext(stream)
        assert len(failures) == 2
        assert client.epoch == "ep_1"
        assert await client.call("daemon/status") == {"epoch": "ep_2"}
        assert client.epoch == "ep_2"
        assert len(daemon.of("model/list")) == 2  # nothing was repeated
        assert len(daemon.of("initialize")) == 2


async def test_many_calls_at_once_share_one_new_connection(daemon):
    async with connect(daemon) as client:
        daemon.drop_clients()
        while client._connection is not None and client._connection.lost is None:
            await anyio.sleep(0.005)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(client.call, "daemon/status")
    assert len(daemon.wires) == 2


async def test_when_the_daemon_stays_away_the_error_says_how_to_start_it(daemon):
    async with connect(daemon) as client:
        daemon.stop()
        with pytest.raises((ConnectionLost, DaemonUnavailable)):
            await client.models()
        with pytest.raises(DaemonUnavailable, match="start one with"):
            await client.models()


async def test_closing_the_client_fails_what_still_runs(daemon):
    daemon.on("model/list", lambda wire, message: None)
    async with anyio.create_task_group() as group:
        client = await connect(daemon)

        async def wait() -> None:
            with pytest.raises(ConnectionLost, match="closed"):
                await client.models()

        group.start_soon(wait)
        await anyio.to_thread.run_sync(daemon.wait_for, "model/list")
        await client.aclose()


# ---- notifications


async def test_notifications_come_to_those_who_asked(daemon):
    def reload(wire, message):
        wire.notify("config/changed", {"applied": True, "version": 2, "problems": []})
        wire.notify("later/thing", {"a": 1})
        wire.reply(message, {"applied": True, "version": 2, "problems": []})

    daemon.on("config/reload", reload)
    async with (
        connect(daemon) as client,
        client.notifications("config/changed") as some,
        client.notifications() as all_of_them,
    ):
        await client.config_reload()
        assert (await anext(some)) == ("config/changed", ConfigChanged(True, 2, []))
        assert [(await anext(all_of_them)).method, (await anext(all_of_them)).method] == ["config/changed", "later/thing"]
        with anyio.move_on_after(0.02) as scope:
            await anext(some)
        assert scope.cancelled_caught
        daemon.drop_clients()
        with pytest.raises(ConnectionLost):
            await anext(some)
    with pytest.raises(RuntimeError, match="enter the subscription"):
        await anext(some)
    assert client._subscriptions == []


async def test_a_request_of_the_daemon_is_answered_with_method_not_found(daemon):
    replies = threading.Event()
    daemon.on("", lambda wire, message: replies.set())
    async with connect(daemon) as client:
        daemon.wires[0].send({"id": 5, "method": "workspace/configuration", "params": {}})
        await client.call("daemon/status")
        assert await anyio.to_thread.run_sync(replies.wait, 5)
    (answer,) = (message for message in daemon.received if "method" not in message)
    assert (answer["id"], answer["error"]["code"]) == (5, -32601)


# ---- cost


async def test_an_event_costs_microseconds(daemon):
    """3 us on an idle machine for events that arrive together; the bound here is generous."""
    count = 20_000
    body = json.dumps({"jsonrpc": "2.0", "method": "stream/event", "params": {
        "request_id": "req_cost", "epoch": "ep_01234567890123456789", "cursor": 1, "event": text_delta("a few words of text"),
    }}).encode()  # fmt: skip
    batch = b"Content-Length: %d\r\n\r\n%b" % (len(body), body) * 500

    def send(wire, message):
        for _ in range(count // 500):
            wire.send_bytes(batch)
        wire.reply(message, response("req_cost"))

    daemon.on("model/stream", send)
    best = float("inf")
    async with connect(daemon) as client:
        for _ in range(3):
            async with client.stream(messages="Hi", request_id="req_cost") as stream:
                start = time.thread_time()
                seen = 0
                async for _ in stream:
                    seen += 1
                best = min(best, (time.thread_time() - start) / count * 1e6)
            assert seen == count
    assert best < 10
