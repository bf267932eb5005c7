"""The frame decoders: any cut of the body gives the same frames, and the frames are those of the standard."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modeld.upstream.contract import UpstreamError
from modeld.upstream.ndjson import NdjsonDecoder
from modeld.upstream.sse import SseDecoder

TOKENS = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"\r\n\r\n",
            b":",
            b": c",
            b"data",
            b"data:",
            b"data: ",
            b"event: ",
            b"event:",
            b"id: 1",
        ),
        *(b"x", b" ", b"{}", b"\xef\xbb\xbf", b"\xef", "\u2028\u0085\v".encode()),
        *(b"data: [DONE]\n\n", b"event: ping\ndata: {}\n\n"),
    ]
)
BODIES = st.lists(TOKENS, max_size=14).map(b"".join)


def run(decoder, pieces):
    """Every frame, and the fault that ended the body if one did."""
    frames = []
    try:
        for piece in pieces:
            frames += decoder.feed(piece)
        return frames + decoder.end(), None
    except UpstreamError as error:
        return frames, error.fault


def by_the_standard(body):
    """The algorithm of the HTML standard word for word, a byte at a time: slow, and nothing like the decoder."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    lines, line, position = [], b"", 0
    while position < len(body):
        byte = body[position : position + 1]
        if byte in b"\r\n":
            lines.append(line)
            line = b""
            position += body[position : position + 2] == b"\r\n"
        else:
            line += byte
        position += 1
    frames, name, data = [], "", None
    for text in [*lines, line, b""]:
        if text == b"":
            if data is not None:
                frames.append((name, data[:-1]))
            name, data = "", None
            continue
        field, value = text, b""
        if b":" in text:
            field, value = text[: text.index(b":")], text[text.index(b":") + 1 :]
            value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data = (data or b"") + value + b"\n"
        elif field == b"event":
            name = value.decode(errors="replace")
    return frames


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"event: ping\ndata: {}\n\n", [("ping", b"{}")]),
        (b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\ndata: 3\n\n", [("a", b"1"), ("b", b"2"), ("", b"3")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\r", [("", b"a"), ("", b"b"), ("", b"c")]),
        (b": PROCESSING\n\n: PROCESSING\n\ndata: a\n\n", [("", b"a")]),
        (b"data: a\ndata: b\ndata:\n\n", [("", b"a\nb\n")]),
        (b"data:a\n\ndata:  b\n\ndata\n\n", [("", b"a"), ("", b" b"), ("", b"")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"\n\n\ndata: a\n\n\n\n", [("", b"a")]),
        (b"event: named only\n\ndata: a\n\n", [("", b"a")]),
        ("data: a\u2028b\u0085c\vd\n\n".encode(), [("", "a\u2028b\u0085c\vd".encode())]),
        (b"data: a\n\ndata: unfinished", [("", b"a"), ("", b"unfinished")]),
        (b"data: a\n\nevent: cut", [("", b"a")]),
        (b"event: x\nid: 7\nretry: 10\ndata: a\n\n", [("x", b"a")]),
        (b"event: \xff\ndata: a\n\n", [("�", b"a")]),
        (b"", []),
    ],
)
def test_sse_frames_by_every_cut_in_two_and_by_single_bytes(body, frames):
    assert by_the_standard(body) == frames
    for cut in range(len(body) + 1):
        assert run(SseDecoder(), [body[:cut], body[cut:]]) == (frames, None), cut
    assert run(SseDecoder(), [body[i : i + 1] for i in range(len(body))]) == (frames, None)


@settings(max_examples=400, deadline=None)
@given(body=BODIES, data=st.data())
@example(body=b"data: a\r\n\r\ndata: b\r\n\r\n", data=None)
@example(body=b"data: a\r\n\rdata: b\r\r\n", data=None)
def test_sse_is_the_standard_at_every_cut(body, data):
    expected = (by_the_standard(body), None)
    assert run(SseDecoder(), [body]) == expected
    assert run(SseDecoder(), [body[i : i + 1] for i in range(len(body))]) == expected
    for first, second in itertools.combinations(range(len(body) + 1), 2) if data is None else [two_cuts(body, data)]:
        assert run(SseDecoder(), [body[:first], b"", body[first:second], body[second:]]) == expected


def two_cuts(body, data):
    return sorted(data.draw(st.lists(st.integers(0, len(body)), min_size=2, max_size=2)))


@settings(max_examples=200, deadline=None)
@given(body=BODIES, cut=st.integers(0, 60), line=st.integers(1, 12), event=st.integers(1, 20))
def test_sse_limits_do_not_depend_on_the_cut(body, cut, line, event):
    whole = run(SseDecoder(line, event), [body])
    assert run(SseDecoder(line, event), [body[:cut], body[cut:]]) == whole
    assert run(SseDecoder(line, event), [body[i : i + 1] for i in range(len(body))]) == whole


@pytest.mark.parametrize(
    ("decoder", "body", "frames"),
    [
        (SseDecoder(8, 64), b"data: a\n\n" + b"x" * 9, [("", b"a")]),
        (SseDecoder(8, 64), b"data: a\n\ndata: too long\n\ndata: b\n\n", [("", b"a")]),
        (SseDecoder(64, 16), b"data: a\n\n" + b": c\n" * 5, [("", b"a")]),
        (SseDecoder(8, 64), b"x" * 9, []),
        (NdjsonDecoder(8), b"{}\n" + b"x" * 9, [("", b"{}")]),
        (NdjsonDecoder(8), b"{}\n" + b"x" * 9 + b"\n{}\n", [("", b"{}")]),
        (NdjsonDecoder(8), b"x" * 9, []),
    ],
)
def test_too_large_after_the_frames_before_it(decoder, body, frames):
    assert run(decoder, [body]) == (frames, "too_large")
    with pytest.raises(UpstreamError, match="longer than"):
        decoder.feed(b"")


NDJSON_TOKENS = st.sampled_from([b"\n", b"\r\n", b"{}", b'{"a":1}', b" ", b"\xef\xbb\xbf", "\u2028".encode(), b"\r", b"x"])


@settings(max_examples=200, deadline=None)
@given(body=st.lists(NDJSON_TOKENS, max_size=12).map(b"".join), cut=st.integers(0, 40))
def test_ndjson_is_a_frame_a_line_at_every_cut(body, cut):
    lines = body.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    expected = [("", line.strip(b" \t\r")) for line in lines if line.strip(b" \t\r")]
    assert run(NdjsonDecoder(), [body]) == (expected, None)
    assert run(NdjsonDecoder(), [body[:cut], body[cut:]]) == (expected, None)
    assert run(NdjsonDecoder(), [body[i : i + 1] for i in range(len(body))]) == (expected, None)
