"""The mux without IO: what it does with bytes, and when it asks for a pause."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld_client import mux as mux_module
from modeld_client.errors import ConnectionLost, MethodNotFound, StreamOverrun, UnreadableReply
from modeld_client.mux import Exchange, Mux, Subscription


def wire(**message) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def event(request_id: str, number: int, padding: int = 0) -> bytes:
    params = {"request_id": request_id, "epoch": "e", "cursor": number, "event": {"n": number, "pad": "x" * padding}}
    return wire(method="stream/event", params=params)


def make(*request_ids: str | None) -> tuple[Mux, list[Exchange], list[Subscription]]:
    subscription = Subscription(lambda: None, ())
    mux = Mux([subscription])
    exchanges = [Exchange(lambda: None, request_id) for request_id in request_ids]
    for exchange in exchanges:
        mux.open(exchange, "model/stream", {})
    return mux, exchanges, [subscription]


def numbers(mux: Mux, exchange: Exchange) -> list[int]:
    taken = []
    while (raw := mux.take(exchange)) is not None:
        taken.append(json.loads(bytes(raw))["n"])
    return taken


TRAFFIC = [
    event("a", 1), event("b", 2), event("nobody", 3), wire(method="config/changed", params={"version": 1}),
    event("a", 4), wire(id=99, result=None), wire(id=1, result={"whole": True}), event("b", 5),
    wire(id=7, method="workspace/configuration", params={"items": []}), wire(id=2, error={"code": -32601, "message": "no such"}),
]  # fmt: skip


@given(st.lists(st.integers(1, 60), max_size=40))
def test_any_split_of_the_bytes_delivers_the_same(sizes):
    mux, (first, second), (subscription,) = make("a", "b")
    data = b"".join(TRAFFIC)
    for size in [*sizes, len(data)]:
        mux.feed(data[:size])
        data = data[size:]
    assert numbers(mux, first) == [1, 4]
    assert numbers(mux, second) == [2, 5]
    assert json.loads(bytes(first.reply())) == {"whole": True}
    with pytest.raises(MethodNotFound, match="no such"):
        second.reply()
    assert [(method, json.loads(bytes(raw))) for method, raw in subscription.waiting] == [("config/changed", {"version": 1})]
    assert b'"id":7,"error":{"code":-32601' in b"".join(mux.outbox)


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"Content-Length: 2\r\n\r\n[]", b"Content-Length: 1\r\n\r\n{"]
)
def test_what_is_no_daemon_ends_the_connection(data):
    mux, _, _ = make("a")
    with pytest.raises(UnreadableReply):
        mux.feed(data)


ODD = [
    wire(id={"a": 1}, result=1), wire(id=None, result=1), wire(id=3), wire(method="stream/event", params=[1]),
    wire(method="stream/event"), wire(method="stream/event", params={"request_id": 5}), wire(method="stream/gap", params={}),
    wire(method="later/thing", params=[1, 2]), wire(id=1.5, result={}),
]  # fmt: skip


@pytest.mark.parametrize("message", ODD)
def test_odd_messages_harm_nobody(message):
    mux, (exchange,), _ = make("a")
    mux.feed(message + wire(id=1, result=3, error=None))
    assert bytes(exchange.reply()) == b"3"


def fill(mux: Mux, exchange: Exchange) -> None:
    """Events until the bound of 1,000 bytes."""
    while exchange.held_bytes <= 1_000:
        assert not mux.paused
        mux.feed(event(str(exchange.request_id), 0, 130))
    assert mux.paused


def test_a_full_stream_pauses_reading_unless_somebody_waits(monkeypatch):
    monkeypatch.setattr(mux_module, "PAUSE_BYTES", 1_000)
    monkeypatch.setattr(mux_module, "RESUME_BYTES", 300)
    mux, (slow, quick), _ = make("slow", "quick")
    fill(mux, slow)
    mux.waiters += 1
    assert not mux.paused
    mux.waiters -= 1
    assert mux.paused
    while mux.paused:
        assert mux.take(slow)
    assert 0 < slow.held_bytes < 300
    mux.feed(event("quick", 1, 2_000))
    assert mux.paused
    mux.mute(quick)
    assert not mux.paused
    fill(mux, slow)
    mux.feed(wire(id=1, result={}))  # nothing more can come for it
    assert not mux.paused
    assert slow.done


def test_an_overrun_keeps_what_was_there_then_fails_but_the_reply_comes(monkeypatch):
    monkeypatch.setattr(mux_module, "OVERRUN_BYTES", 1_000)
    monkeypatch.setattr(mux_module, "PAUSE_BYTES", 500)
    mux, (exchange,), _ = make("a")
    for number in range(50):
        mux.feed(event("a", number, 200))
    assert exchange.held_bytes < 1_500
    for number in range(len(exchange.events)):
        assert json.loads(bytes(mux.take(exchange) or b""))["n"] == number
    with pytest.raises(StreamOverrun, match="response"):
        mux.take(exchange)
    mux.feed(wire(id=1, result={"whole": True}))
    assert json.loads(bytes(exchange.reply())) == {"whole": True}


def test_a_lost_connection_fails_everything_in_flight_once():
    woken: list[str] = []
    subscription = Subscription(lambda: woken.append("subscription"), ())
    mux = Mux([subscription])
    done, open_ = Exchange(lambda: woken.append("done")), Exchange(lambda: woken.append("open"), "a")
    mux.open(done, "x", {})
    mux.open(open_, "y", {})
    mux.feed(wire(id=1, result=1) + event("a", 1))
    mux.lose("gone; call again")
    assert woken == ["done", "open", "open", "subscription"]
    assert bytes(done.reply()) == b"1"
    assert numbers(mux, open_) == [1]
    with pytest.raises(ConnectionLost, match="gone; call again"):
        open_.reply()
    with pytest.raises(ConnectionLost):
        subscription.take()


def test_a_subscriber_that_lags_keeps_the_newest(monkeypatch):
    mux, _, (subscription,) = make()
    chosen = Subscription(lambda: None, ["config/changed"])
    mux.subscriptions.append(chosen)
    for number in range(1_005):
        mux.feed(wire(method="trace/event", params={"n": number}))
    mux.feed(wire(method="config/changed", params={"n": 0}))
    assert subscription.dropped == 6
    assert json.loads(bytes(subscription.take()[1])) == {"n": 6}
    assert [method for method, _ in chosen.waiting] == ["config/changed"]
