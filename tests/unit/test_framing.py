"""Framing: which headers are accepted, which are refused, and how."""

import pytest

from modeld_protocol.framing import ForeignProtocol, FrameDecoder, FramingError, frame

BODY = b'{"a":1}'
LONG = b"Content-Length: 7\r\nX-Pad: " + b"p" * 5000


def decode(data: bytes, step: int = 0) -> list[bytes]:
    decoder = FrameDecoder()
    pieces = [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
    return [body for piece in pieces for body in decoder.feed(piece)]


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 7",
        b"content-length: 7",
        b"CONTENT-LENGTH:7",
        b"Content-Length:   7  ",
        b"Content-Length: 007",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 7",
        b"Content-Length: 7\r\nContent-Type: application/vscode-jsonrpc; charset=utf8",
        b"Content-Length: 7\r\nX-More: anything: at all",
    ],
)
def test_accepted_headers(header: bytes, step: int) -> None:
    assert decode((header + b"\r\n\r\n" + BODY) * 2, step) == [BODY, BODY]


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: -7\r\n\r\n",
        b"Content-Length: seven\r\n\r\n",
        b"Content-Length: 7.0\r\n\r\n",
        b"Content-Length: +7\r\n\r\n",
        b"Content-Length: \r\n\r\n",
        b"Content-Length: 7\r\nContent-Length: 7\r\n\r\n",
        b"Content-Type: application/json\r\n\r\n",
        b"Content-Length: 33554433\r\n\r\n",
        b"Content-Length: 1000000000000\r\n\r\n",
        b"Content-Length: " + b"9" * 100 + b"\r\n\r\n",
        b"Content-Length: 7\n\n{}",
        b"Content-Length: 7\n\r\n{}",
        LONG + b"\r\n\r\n" + BODY,
        LONG,
    ],
)
def test_refused_headers(data: bytes, step: int) -> None:
    with pytest.raises(FramingError) as caught:
        decode(data, step)
    assert not isinstance(caught.value, ForeignProtocol)


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 7\r\n\r\n" + BODY,
        b"GET / HTTP/1.1\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b'{"jsonrpc":"2.0"}',
        b"X-First: 1\r\nContent-Length: 7\r\n\r\n" + BODY,
        b"Content-Length: 7\r\nOrigin: https://evil.example\r\n\r\n" + BODY,
        b"Content-Length: 7\r\nSec-Fetch-Mode: no-cors\r\n\r\n" + BODY,
        b"\r\n\r\n",
    ],
)
def test_what_speaks_another_protocol_is_told_apart(data: bytes, step: int) -> None:
    with pytest.raises(ForeignProtocol):
        decode(data, step)


def test_a_browser_is_refused_before_its_line_ends() -> None:
    with pytest.raises(ForeignProtocol):
        list(FrameDecoder().feed(b"P"))


def test_good_messages_come_before_the_error() -> None:
    decoder = FrameDecoder()
    bodies = decoder.feed(frame(BODY) + frame(b"") + b"nonsense")
    assert [next(bodies), next(bodies)] == [BODY, b""]
    with pytest.raises(FramingError):
        next(bodies)


@pytest.mark.parametrize(("data", "idle"), [(b"", True), (frame(BODY), True), (b"Cont", False), (frame(BODY)[:-1], False)])
def test_idle_tells_whether_an_end_here_cuts_something(data: bytes, idle: bool) -> None:
    decoder = FrameDecoder()
    list(decoder.feed(data))
    assert decoder.idle is idle


@pytest.mark.parametrize(("size", "fits"), [(4096, True), (4097, False)])
@pytest.mark.parametrize("step", [0, 1000])
def test_header_bound_is_exact(size: int, fits: bool, step: int) -> None:
    block = b"Content-Length: 7\r\nX: "
    block += b"p" * (size - len(block))
    if fits:
        assert decode(block + b"\r\n\r\n" + BODY, step) == [BODY]
    else:
        with pytest.raises(FramingError, match="longer than 4096"):
            decode(block + b"\r\n\r\n" + BODY, step)
