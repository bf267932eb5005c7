"""Prompts that a provider cuts without a word: seen by its own count of them."""

from typing import Any

import msgspec
import pytest

from modeld.providers.estimate import estimate_input_tokens
from modeld.providers.truncation import cut_warning
from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.usage import Usage

PROSE = "The quick brown fox jumps over the lazy dog and then writes some code in Python. "
LONG = PROSE * 500  # about 8,000 tokens
IMAGE = {"type": "image", "source": {"kind": "base64", "data": "aGk="}}


def asked(messages: Any) -> CanonicalRequest:
    return msgspec.convert({"messages": messages}, CanonicalRequest)


def warned(messages: Any, read: int, window: int = 0, written: int = 10, *, estimated: bool = False) -> bool:
    request = asked(messages)
    usage = Usage(input_tokens=read, output_tokens=written, estimated=estimated)
    warning = cut_warning(request, usage, window, len(msgspec.json.encode(request)))
    assert warning is None or (warning.code == "content_dropped" and "; set limits.max_context_tokens" in warning.message)
    return warning is not None


TOKENS = estimate_input_tokens(TokenCountParams(LONG))


@pytest.mark.parametrize(
    ("messages", "read", "window", "written", "cut"),
    [
        (LONG, TOKENS, 0, 10, False),
        (LONG, round(TOKENS * 0.8), 0, 10, False),
        (LONG, 4_095, 0, 10, True),
        (LONG, 4_095, 4_096, 1, True),
        (LONG, 2_000, 4_096, 1, True),
        (LONG, TOKENS, 16_384, 10, False),
        ("Hi", 8, 0, 10, False),
        ("Hi", 8, 4_096, 4_088, True),
        ("Hi", 8, 4_096, 4_000, False),
        (PROSE * 50, 10, 0, 10, False),
        ([{"role": "user", "content": [{"type": "text", "text": LONG}, IMAGE]}], 4_000, 0, 10, False),
        ([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": [IMAGE]}]}], 4, 0, 10, False),
        (
            [{"role": "assistant", "content": [{"type": "thinking", "text": LONG}]}, {"role": "user", "content": "Hi"}],
            9,
            0,
            10,
            False,
        ),
        ([{"role": "assistant", "content": [{"type": "text", "text": LONG}]}, {"role": "user", "content": "Hi"}], 9, 0, 10, True),
    ],
)
def test_what_was_read_against_what_was_sent(messages: Any, read: int, window: int, written: int, cut: bool) -> None:
    assert warned(messages, read, window, written) == cut


def test_our_own_count_proves_nothing() -> None:
    assert not warned(LONG, 10, estimated=True)
