"""Framing, for any bytes and any split of them."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from modeld_protocol.framing import FrameDecoder, FramingError, frame

HEADERISH = st.sampled_from(
    [
        b"Content-Length: ",
        b"content-length:",
        b"Content-Type: x",
        b"Host: a",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"3",
        b"0",
        b"GET ",
    ]
)
NOISE = st.lists(HEADERISH | st.binary(max_size=6), max_size=20).map(b"".join)
MESSAGES = st.lists(st.binary(max_size=40), max_size=6)


def decode(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    """The bodies, and whether an error came."""
    decoder = FrameDecoder(max_message_bytes=100, max_header_bytes=64)
    bodies: list[bytes] = []
    try:
        for piece in pieces:
            bodies.extend(decoder.feed(piece))
    except FramingError:
        return bodies, True
    return bodies, False


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


@settings(max_examples=300, deadline=None)
@given(MESSAGES, st.lists(st.integers(0, 10_000), max_size=10))
def test_every_split_gives_the_messages(messages: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(frame, messages))
    assert decode(split(data, cuts)) == (messages, False)


@settings(max_examples=600, deadline=None)
@given(MESSAGES, NOISE, st.lists(st.integers(0, 10_000), max_size=10))
def test_every_split_of_anything_ends_alike(messages: list[bytes], noise: bytes, cuts: list[int]) -> None:
    data = b"".join(map(frame, messages)) + noise
    whole, whole_failed = decode([data])
    some, some_failed = decode(split(data, cuts))
    bytewise, bytewise_failed = decode([data[at : at + 1] for at in range(len(data))])
    assert whole[: len(messages)] == messages
    assert some == whole == bytewise
    assert some_failed == bytewise_failed
    # A piece that ends early may hide why it is wrong, never the other way round.
    assert whole_failed == bytewise_failed
