"""Client against a scripted daemon on a real socket: the same without await, and what threads add to it."""

import os
import signal
import threading
import time

import pytest
from tests.harness.scripted_daemon import START, ScriptedDaemon, complete, response, text_delta

from modeld_client import (
    Cancelled,
    Client,
    ConnectionLost,
    DaemonUnavailable,
    HandshakeFailed,
    InvalidParams,
    NetworkFailed,
    NotConfigured,
    StreamOverrun,
    blocking,
    mux,
    sync,
)
from modeld_protocol.config import ConfigChanged
from modeld_protocol.events import MessageComplete, MessageStart, TextDelta


@pytest.fixture
def daemon(tmp_path):
    with ScriptedDaemon(tmp_path / "d.sock") as scripted:
        scripted.on("model/complete", lambda wire, message: wire.reply(message, response(message["params"]["request_id"])))
        scripted.on("daemon/status", lambda wire, message: wire.reply(message, {"epoch": wire.epoch}))
        yield scripted


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    deadline = time.monotonic() + 5
    while any(thread.name == "modeld-client-reader" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a reader thread outlived its client"
        time.sleep(0.01)


def connect(daemon: ScriptedDaemon, **options) -> Client:
    return Client.connect(daemon.path, start=False, **options)


def hello(wire, message) -> None:
    wire.event(message, START)
    wire.event(message, text_delta("Hel"), {"type": "from.the_future", "message_id": "m"}, text_delta("lo"))
    wire.event(message, complete("Hello"))
    wire.reply(message, response(message["params"]["request_id"]))


def endless(wire, message) -> None:
    wire.event(message, START, text_delta("Hel"))


def never(wire, message) -> None:
    pass


def answer_cancels(daemon: ScriptedDaemon) -> None:
    data = {"error_class": "cancelled", "message": "cancelled", "partial": response("r", "Hel", "cancelled")}
    daemon.on("$/cancelRequest", lambda wire, message: wire.fail({"id": message["params"]["id"]}, -32800, "cancelled", data))


# ---- connecting


def test_connect_call_close(daemon):
    with connect(daemon, client_id="me", trace=True) as client:
        assert client.complete(messages="Hi").content[0].text == "Hello"
        assert (client.epoch, client.daemon_id, client.limits.max_requests_in_flight) == ("ep_1", "dm_test", 256)
    with pytest.raises(ConnectionLost, match="closed"):
        client.complete(messages="Hi")
    client.close()
    assert [message["method"] for message in daemon.received] == ["initialize", "initialized", "model/complete"]
    assert daemon.received[0]["params"]["trace"] == "messages"


HANDSHAKES = [
    (lambda wire, message: wire.fail(message, -32602, "this daemon speaks 2"), "speaks 2"),
    (lambda wire, message: wire.close(), "during the handshake"),
    (lambda wire, message: wire.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no modeld daemon"),
    (lambda wire, message: wire.reply(message, {"capabilities": {}}), "no modeld daemon"),
    (never, "did not answer"),
]


@pytest.mark.parametrize(("handler", "message"), HANDSHAKES)
def test_a_failed_handshake_says_why(daemon, handler, message, monkeypatch):
    monkeypatch.setattr(blocking, "HANDSHAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(blocking, "LEAVING_S", 0.2)
    daemon.on("initialize", handler)
    with pytest.raises(HandshakeFailed, match=message):
        connect(daemon)


def test_a_daemon_that_leaves_while_we_come_in_is_tried_again(daemon):
    def leave_once(wire, message):
        wire.close() if len(daemon.wires) == 1 else daemon.initialize(wire, message)

    daemon.on("initialize", leave_once)
    with connect(daemon) as client:
        assert client.epoch == "ep_2"


# ---- calls


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
def test_every_method_sends_its_params_and_reads_its_result(daemon, name, arguments, method, params, result):
    daemon.on(method, lambda wire, message: wire.reply(message, result))
    with connect(daemon) as client:
        answer = getattr(client, name)(**arguments)
    assert daemon.of(method)[0]["params"] == params
    field = next(iter(result))
    assert (answer if isinstance(answer, list) else getattr(answer, field)) == result[field]


def test_many_threads_share_a_connection_and_each_gets_its_own_answer(daemon):
    lock, waiting = threading.Lock(), []

    def hold(wire, message):
        with lock:
            waiting.append(message)
            if len(waiting) % 20 == 0:
                for held in reversed(waiting[-20:]):
                    wire.reply(held, response(held["params"]["request_id"], held["params"]["messages"]))

    daemon.on("model/complete", hold)
    answers: dict[str, str] = {}

    def ask(name: str) -> None:
        for number in range(5):
            asked = f"{name}.{number} " + "x" * 20_000
            answers[asked] = client.complete(messages=asked).content[0].text

    with connect(daemon) as client:
        threads = [threading.Thread(target=ask, args=(str(number),)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert len(answers) == 100
    assert all(asked == answer for asked, answer in answers.items())


def test_errors_are_typed_and_a_message_too_large_stays_here(daemon):
    data = {"error_class": "not_configured", "message": "set KEY"}
    daemon.on("model/complete", lambda wire, message: wire.fail(message, -32803, "set KEY", data))
    with connect(daemon) as client:
        with pytest.raises(NotConfigured, match="set KEY"):
            client.complete(messages="Hi")
        with pytest.raises(InvalidParams, match="takes 1000000"):
            client.complete(messages="x" * 1_000_000)
        assert client.call("daemon/status") == {"epoch": "ep_1"}


def test_a_timeout_and_an_interrupt_cancel_the_call(daemon):
    daemon.on("model/complete", never)
    with connect(daemon, timeout_s=0.1) as client, pytest.raises(TimeoutError, match="timeout_s"):
        client.complete(messages="Hi")
    assert daemon.wait_for("$/cancelRequest")["params"]["id"] == daemon.of("model/complete")[0]["id"]
    with connect(daemon) as client:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()  # as Ctrl-C: to the process
        with pytest.raises(KeyboardInterrupt):
            client.complete(messages="Hi")
        assert client.call("daemon/status") == {"epoch": "ep_2"}
    assert daemon.wait_for("$/cancelRequest", 2)["params"]["id"] == daemon.of("model/complete")[1]["id"]


@pytest.mark.parametrize("method", ["model/complete", "model/stream"])
def test_an_interrupt_while_a_request_leaves_ends_its_connection(daemon, monkeypatch, method):
    """It may have left already, or half of it; the connection's end tells the daemon, and nobody waits for an answer."""
    daemon.on(method, never)
    whole = blocking.SyncConnection._write

    def interrupted(self, framed):
        whole(self, framed)
        if method.encode() in framed:
            daemon.wait_for(method)
            raise KeyboardInterrupt

    monkeypatch.setattr(blocking.SyncConnection, "_write", interrupted)
    with connect(daemon, timeout_s=5) as client:
        stream = client.stream(messages="Hi")
        starts = {"model/complete": lambda: client.complete(messages="Hi"), "model/stream": stream.__enter__}
        with pytest.raises(KeyboardInterrupt):
            starts[method]()
        if method == "model/stream":
            with pytest.raises(ConnectionLost, match="interrupted"):
                stream.response()
        assert client.call("daemon/status") == {"epoch": "ep_2"}


# ---- streams


def test_a_stream_gives_typed_events_then_the_response(daemon):
    daemon.on("model/stream", hello)
    with connect(daemon) as client:
        with client.stream(messages="Hi") as stream:
            assert [type(event) for event in stream] == [MessageStart, TextDelta, TextDelta, MessageComplete]
            assert stream.response().request_id == stream.request_id
        with client.stream(messages="Hi") as stream:
            assert stream.response().stop_reason == "end_turn"
            assert "".join(stream.text()) == "Hello"
    assert not daemon.of("$/cancelRequest")
    with pytest.raises(RuntimeError, match="enter the stream"):
        next(client.stream(messages="Hi"))


def test_a_failure_comes_after_the_events_before_it(daemon):
    def fail(wire, message):
        wire.event(message, START, text_delta("Hel"))
        wire.fail(message, -32803, "reset", {"error_class": "network", "message": "reset"})

    daemon.on("model/stream", fail)
    with connect(daemon) as client, client.stream(messages="Hi") as stream:
        assert [type(next(stream)) for _ in range(2)] == [MessageStart, TextDelta]
        for ending in (lambda: next(stream), stream.response):
            with pytest.raises(NetworkFailed, match="reset"):
                ending()


def test_leaving_early_cancels_and_waits_for_the_reply(daemon):
    daemon.on("model/stream", endless)
    answer_cancels(daemon)
    with connect(daemon) as client:
        with client.stream(messages="Hi") as stream:
            for event in stream:
                if isinstance(event, TextDelta):
                    break
        assert len(daemon.of("$/cancelRequest")) == 1
        with pytest.raises(Cancelled) as cancelled:
            stream.response()
        assert cancelled.value.partial is not None


def test_leaving_does_not_hang_on_a_daemon_that_never_answers(daemon, monkeypatch):
    monkeypatch.setattr(sync, "CANCEL_WAIT_S", 0.1)
    daemon.on("model/stream", endless)
    with connect(daemon) as client:
        start = time.monotonic()
        with client.stream(messages="Hi"):
            pass
        assert time.monotonic() - start < 2
        assert client.call("daemon/status") == {"epoch": "ep_1"}


def test_a_detached_stream_runs_on(daemon):
    daemon.on("model/stream", endless)
    with connect(daemon) as client:
        with client.stream(messages="Hi", detach=True) as stream:
            assert isinstance(next(stream), MessageStart)
        assert client.call("daemon/status") == {"epoch": "ep_1"}  # whatever was sent before has arrived
        assert not daemon.of("$/cancelRequest")
        daemon.wires[0].reply(daemon.of("model/stream")[0], response(stream.request_id))
        assert stream.response().request_id == stream.request_id


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


def test_a_consumer_that_lags_stops_the_daemon_while_calls_are_answered(daemon, monkeypatch):
    monkeypatch.setattr(mux, "PAUSE_BYTES", 50_000)
    monkeypatch.setattr(mux, "RESUME_BYTES", 10_000)
    sent = threading.Event()
    daemon.on("model/stream", flood(5_000, sent))
    with connect(daemon) as client, client.stream(messages="Hi") as stream:
        assert not sent.wait(0.4)  # 5 MB do not fit into the socket
        assert 50_000 < stream._exchange.held_bytes < 500_000
        assert client.call("daemon/status") == {"epoch": "ep_1"}
        assert [text.split()[0] for text in stream.text()] == [str(number) for number in range(5_000)]
    assert sent.wait(5)


def test_a_stream_that_overruns_fails_alone_and_still_has_its_response(daemon, monkeypatch):
    monkeypatch.setattr(mux, "PAUSE_BYTES", 50_000)
    monkeypatch.setattr(mux, "OVERRUN_BYTES", 200_000)
    daemon.on("model/stream", flood(2_000, threading.Event()))
    with connect(daemon) as client, client.stream(messages="Hi") as stream:
        assert stream.response().stop_reason == "end_turn"
        with pytest.raises(StreamOverrun, match="response"):
            list(stream)


def test_a_large_request_goes_out_while_a_full_stream_comes_in(daemon, monkeypatch):
    """A daemon that sends and does not read until its output is taken: the client must read while it writes."""
    monkeypatch.setattr(mux, "PAUSE_BYTES", 50_000)

    def send(wire, message):  # on the connection's own thread: nothing is read before all is sent
        for number in range(3_000):
            wire.event(message, text_delta(f"{number} " + "x" * 1_000))
        wire.reply(message, response(message["params"]["request_id"]))

    daemon.on("model/stream", send)
    with connect(daemon, timeout_s=10) as client, client.stream(messages="Hi") as stream:
        assert client.complete(messages="x" * 900_000).stop_reason == "end_turn"
        assert sum(1 for _ in stream) == 3_000


# ---- losing the daemon


def test_when_the_daemon_dies_calls_fail_and_the_next_one_reconnects(daemon):
    daemon.on("model/stream", endless)
    with connect(daemon) as client:
        with client.stream(messages="Hi") as stream:
            assert [type(next(stream)) for _ in range(2)] == [MessageStart, TextDelta]
            daemon.drop_clients()
            with pytest.raises(ConnectionLost, match="call again"):
                next(stream)
        assert client.call("daemon/status") == {"epoch": "ep_2"}
        assert client.epoch == "ep_2"
        assert len(daemon.of("model/stream")) == 1  # nothing was repeated
        daemon.stop()
        with pytest.raises((ConnectionLost, DaemonUnavailable)):
            client.models()
        with pytest.raises(DaemonUnavailable, match="start one with"):
            client.models()


def test_closing_from_another_thread_fails_what_still_runs(daemon):
    daemon.on("model/list", never)
    client = connect(daemon)
    closer = threading.Thread(target=lambda: (daemon.wait_for("model/list"), client.close()))
    closer.start()
    with pytest.raises(ConnectionLost, match="closed"):
        client.models()
    closer.join(5)


# ---- notifications


def test_notifications_come_to_those_who_asked(daemon):
    def reload(wire, message):
        wire.notify("later/thing", {"a": 1})
        wire.notify("config/changed", {"applied": True, "version": 2, "problems": []})
        wire.reply(message, {"applied": True, "version": 2, "problems": []})

    daemon.on("config/reload", reload)
    with connect(daemon) as client, client.notifications("config/changed") as some, client.notifications() as all_of_them:
        client.config_reload()
        assert next(some) == ("config/changed", ConfigChanged(True, 2, []))
        assert [next(all_of_them).method, next(all_of_them).method] == ["later/thing", "config/changed"]
        assert some.get(0.02) is None
        daemon.drop_clients()
        with pytest.raises(ConnectionLost):
            next(some)
    with pytest.raises(RuntimeError, match="enter the subscription"):
        next(some)
