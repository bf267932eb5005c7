"""Request heads: the bytes, and what may not become one. A credential goes to its own origins alone."""

import pytest

from modeld import __version__
from modeld.credentials.secret import Credential, Secret
from modeld.upstream.contract import HttpRequest, Origin
from modeld.upstream.headers import RequestRefused, encode_head

HOME = Origin("https", "api.example.com", 443)
KEY = Credential(Secret("k3y-value"), "Authorization", "Bearer ", frozenset({str(HOME)}), "EXAMPLE_API_KEY")


def request(**fields):
    given = {
        "method": "POST",
        "origin": HOME,
        "target": "/v1/x",
        "headers": [("content-type", "application/json")],
        "body": b"{}",
    }
    return HttpRequest(**(given | fields))


def test_the_bytes_of_a_head():
    assert encode_head(request(credential=KEY, stream=True)) == (
        b"POST /v1/x HTTP/1.1\r\n"
        b"host: api.example.com\r\n"
        b"accept-encoding: identity\r\n"
        b"content-type: application/json\r\n"
        b"user-agent: modeld/" + __version__.encode() + b"\r\n"
        b"Authorization: Bearer k3y-value\r\n"
        b"content-length: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("fields", "line", "present"),
    [
        ({}, "accept-encoding: gzip", True),
        ({"method": "GET", "body": b""}, "content-length", False),
        ({"method": "POST", "body": b""}, "content-length: 0", True),
        ({"origin": Origin("http", "127.0.0.1", 8080)}, "host: 127.0.0.1:8080\r", True),
        ({"origin": Origin("http", "::1", 80)}, "host: [::1]\r", True),
        ({"headers": [("User-Agent", "editor/1")]}, "modeld/", False),
        ({"headers": [("authorization", "Bearer other")], "credential": KEY}, "other", False),
        ({"headers": [("authorization", "Bearer other")]}, "authorization: Bearer other", True),
        ({"headers": [("x-note", "caf\xe9")]}, "x-note: caf\xe9", True),
    ],
)
def test_lines_of_a_head(fields, line, present):
    assert (line in encode_head(request(**fields)).decode("latin-1")) is present


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": [("x-a", "1\r\nx-b: 2")]},
        {"headers": [("x-a", "1\n")]},
        {"headers": [("x-a", "\x00")]},
        {"headers": [("x-a", "日")]},
        {"headers": [("x a", "1")]},
        {"headers": [("x-a:", "1")]},
        {"headers": [("", "1")]},
        {"headers": [("Host", "evil.example")]},
        {"headers": [("content-length", "0")]},
        {"headers": [("Transfer-Encoding", "chunked")]},
        {"target": "/v1 HTTP/1.1\r\nx: y"},
        {"target": "v1"},
        {"target": "/ü"},
        {"method": "POST /"},
    ],
)
def test_what_would_change_the_request_is_refused(fields):
    with pytest.raises(RequestRefused) as caught:
        encode_head(request(**fields))
    assert (caught.value.fault, caught.value.answered) == ("protocol", False)


@pytest.mark.parametrize(
    "origin",
    [
        Origin("http", "api.example.com", 443),
        Origin("https", "api.example.com", 8443),
        Origin("https", "api.example.com.evil.example", 443),
        Origin("https", "evil.example", 443),
    ],
)
def test_a_credential_stays_with_its_origins(origin):
    with pytest.raises(RequestRefused) as caught:
        encode_head(request(origin=origin, credential=KEY))
    message = str(caught.value)
    assert str(HOME) in message
    assert str(origin) in message
    assert "EXAMPLE_API_KEY" in message
    assert "k3y" not in message


@pytest.mark.parametrize("value", ["k3y\n", "k3y\r\nx-evil: 1", " k3y", "k3y\x00", "k3y-日"])
def test_a_key_that_no_header_can_carry_is_named_by_its_source_alone(value):
    broken = Credential(Secret(value), "x-api-key", "", frozenset({str(HOME)}), "EXAMPLE_API_KEY")
    with pytest.raises(RequestRefused, match="EXAMPLE_API_KEY") as caught:
        encode_head(request(credential=broken))
    assert "k3y" not in str(caught.value)
