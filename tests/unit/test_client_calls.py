"""How calls are written and how replies are read: tables of cases."""

import json

import msgspec
import pytest

from modeld_client import calls, errors
from modeld_protocol.content import Message
from modeld_protocol.events import TextDelta
from modeld_protocol.model import ModelList
from modeld_protocol.request import CanonicalRequest, Tool


def encoded(value: object) -> dict:
    return json.loads(msgspec.json.encode(value))


STARTED = {"type": "llm.call_started", "request_id": "r", "provider": "p", "model": "m", "retry_count": 0}
FUTURE = {"messages": [{"role": "user", "content": "Hi", "later": 1}]}
REQUESTS = [
    ({"messages": "Hi"}, {"messages": "Hi"}),
    ({"messages": [Message("user", "Hi")]}, {"messages": [{"role": "user", "content": "Hi"}]}),
    (
        {"messages": [{"role": "user", "content": "Hi", "later": 1}]},
        {"messages": [{"role": "user", "content": "Hi", "later": 1}]},
    ),
    ({"messages": "Hi", "model": "sonnet", "temperature": 0}, {"messages": "Hi", "model": "sonnet", "temperature": 0}),
    ({"messages": "Hi", "tools": [{"name": "t"}]}, {"messages": "Hi", "tools": [{"name": "t"}]}),
    ({"messages": "Hi", "thinking": {"mode": "on"}}, {"messages": "Hi", "thinking": {"mode": "on"}}),
    ({"messages": "Hi", "model": None, "include_raw": False}, {"messages": "Hi"}),
]


@pytest.mark.parametrize(("fields", "expected"), REQUESTS)
def test_a_request_holds_what_was_given_and_an_id(fields, expected):
    sent = encoded(calls.make_request(None, **fields))
    assert sent.pop("request_id").startswith("req_")
    assert sent == expected


def test_a_ready_request_is_not_changed_and_fields_win():
    ready = CanonicalRequest("Hi", model="a", request_id="mine")
    assert encoded(calls.make_request(ready, model="b")) == {"messages": "Hi", "model": "b", "request_id": "mine"}
    assert ready == CanonicalRequest("Hi", model="a", request_id="mine")
    with pytest.raises(TypeError, match="messages="):
        calls.make_request(None, model="a")


def test_request_ids_are_unique_and_sort_by_time(monkeypatch):
    ids = []
    for second in range(1, 200):
        monkeypatch.setattr("time.time_ns", lambda second=second: 1_700_000_000_000_000_000 + second * 1_000_000_000)
        ids.append(calls.new_request_id())
    assert ids == sorted(set(ids))
    assert {len(number) for number in ids} == {36}


def test_a_count_takes_its_part_of_a_request():
    ready = CanonicalRequest("Hi", model="a", temperature=1, tools=[Tool("t")])
    assert encoded(calls.make_count(ready)).keys() == {"messages", "model", "tools"}


@pytest.mark.parametrize(("env", "sent"), [((), {}), (["SET", "UNSET"], {"SET": "s3cret"}), ({"OTHER": "x"}, {"OTHER": "x"})])
def test_only_what_is_asked_for_is_passed_of_the_environment(env, sent, monkeypatch):
    monkeypatch.setenv("SET", "s3cret")
    monkeypatch.delenv("UNSET", raising=False)
    params = encoded(calls.make_initialize("me", ["trace"], env, "t0ken", trace=True))
    options = params["initializationOptions"]["modeld"]
    assert options.get("env", {}) == sent
    assert (options["client_id"], options["required"], options["token"]) == ("me", ["trace"], "t0ken")
    assert options.get("protocol_versions", [1]) == [1]
    assert params["trace"] == "messages"


def data(error_class: str, **more) -> dict:
    return {"error_class": error_class, "message": "why", **more}


PARTIAL = {"request_id": "r", "model": "a:b", "provider": "a", "content": [{"type": "from_the_future"}]}
FAILURES = [
    (-32602, None, errors.InvalidParams),
    (-32601, None, errors.MethodNotFound),
    (-32001, None, errors.Overloaded),
    (-32600, {"any": "thing"}, errors.RpcError),
    (-32603, None, errors.RpcError),
    (-32800, None, errors.Cancelled),
    (-32800, data("cancelled"), errors.Cancelled),
    *((-32803, data(error_class), kind) for error_class, kind in errors.BY_CLASS.items()),
    (-32803, data("other"), errors.RequestFailed),
    (-32803, data("from_the_future", retryable=True), errors.RequestFailed),
    (-32803, data("rate_limit", partial=PARTIAL, retry_after_seconds=3), errors.RateLimited),
    (-32803, ["no", "object"], errors.RpcError),
    (-32803, data("auth", retryable="yes"), errors.RpcError),
]


@pytest.mark.parametrize(("code", "detail", "kind"), FAILURES)
def test_an_error_becomes_its_exception(code, detail, kind):
    body = {"code": code, "message": "what to do next", **({} if detail is None else {"data": detail})}
    failure = calls.decode_failure(msgspec.Raw(json.dumps(body).encode()))
    assert type(failure) is kind
    assert str(failure) == "what to do next"
    assert failure.code == code
    if isinstance(failure, errors.RequestFailed) and detail:
        assert failure.retryable is bool(detail.get("retryable"))
        assert failure.retry_after_seconds == detail.get("retry_after_seconds")


def test_every_error_class_of_the_protocol_has_its_exception():
    from typing import get_args

    from modeld_protocol.errors import ErrorClass

    assert set(get_args(ErrorClass)) - {"other"} == set(errors.BY_CLASS)


KNOWN_EVENT = {"type": "text.delta", "message_id": "m", "content_block_index": 0, "text": "a", "later": 1}


def test_events_of_a_later_protocol_are_skipped_and_broken_ones_are_not():
    def decode(value):
        return calls.decode_event(msgspec.Raw(json.dumps(value).encode()))

    assert decode(KNOWN_EVENT) == TextDelta("m", 0, "a")
    assert decode({"type": "citation.delta", "message_id": "m"}) is None
    for broken in ({"type": "text.delta"}, {"message_id": "m"}, [], 5):
        with pytest.raises(errors.UnreadableReply, match="update"):
            decode(broken)


NOTIFICATIONS = [
    ("config/changed", {"applied": True, "version": 2, "problems": []}, "ConfigChanged"),
    ("availability/changed", {"type": "availability.changed", "provider": "p", "state": "degraded"}, "AvailabilityChanged"),
    (
        "trace/event",
        {"type": "llm.call_started", "request_id": "r", "provider": "p", "model": "m", "retry_count": 0},
        "CallStarted",
    ),
    ("trace/event", {"type": "llm.later", "request_id": "r"}, "dict"),
    ("later/thing", [1], "list"),
    ("config/changed", {"shape": "of the future"}, "dict"),
]


@pytest.mark.parametrize(("method", "params", "kind"), NOTIFICATIONS)
def test_notifications_are_typed_where_they_are_known(method, params, kind):
    notification = calls.decode_notification(method, msgspec.Raw(json.dumps(params).encode()))
    assert notification.method == method
    assert type(notification.params).__name__ == kind


def test_an_unreadable_result_names_the_method_and_the_way_out():
    with pytest.raises(errors.UnreadableReply, match=r"model/list .*update"):
        calls.decode_result("model/list", msgspec.Raw(b'{"models": 5}'), ModelList)
