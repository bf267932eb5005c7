"""A key that went out in a header is starred out of the answer, wherever the pieces are cut."""

import pytest

from modeld.credentials.secret import Credential, Secret
from modeld.upstream.contract import HttpRequest, Origin
from modeld.upstream.echo import KeyMask, key_to_mask

KEY = b"sk-live-0123456789abcdef"
STARS = b"*" * len(KEY)
BODIES = [
    b"nothing here",
    b'{"you": "' + KEY + b'"}',
    KEY,
    KEY + KEY,
    b"almost sk-live-0123456789abcdeX and sk-live-",
    b"sk-live-sk-live-0123456789abcdef!",
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("size", [1, 2, 7, 23, 24, 25, 1000])
def test_every_cut_gives_the_same_masked_body(body: bytes, size: int) -> None:
    seen: list[bytes] = []
    mask = KeyMask(KEY, lambda data: bool(seen.append(data)))
    for start in range(0, len(body), size):
        mask.feed(body[start : start + size])
    mask.end()
    assert b"".join(seen) == body.replace(KEY, STARS)


def test_the_sinks_word_is_passed_on() -> None:
    assert KeyMask(KEY, lambda data: True).feed(b"data: [DONE]") is True


@pytest.mark.parametrize(
    ("key", "body", "masked"),
    [(KEY.decode(), b"hello", True), (KEY.decode(), b"my key is " + KEY, False), ("short", b"hello", False)],
)
def test_only_a_key_that_the_prompt_does_not_hold_is_masked(key: str, body: bytes, masked: bool) -> None:
    credential = Credential(Secret(key), "authorization", "Bearer ", frozenset(), "here")
    request = HttpRequest("POST", Origin("https", "host", 443), "/", [], body, credential)
    assert (key_to_mask(request) is not None) == masked
    assert key_to_mask(HttpRequest("POST", Origin("https", "host", 443), "/", [], body)) is None
