"""Tells where a provider cut a prompt without a word: by its own count of it, against the window and against ours. Pure."""

from typing import Final

from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.usage import Usage, Warning

from .estimate import Tally, estimate_input_tokens

_MIN_TOKENS: Final = 2_000  # no server has a smaller window by default
_SUSPICIOUS: Final = 0.6  # of our estimate, which is 15 % off at most for the texts that it is made for
_BYTES_PER_TOKEN: Final = 6  # more of them to a token than any text has: worth a closer look
_NEXT_STEP: Final = "set limits.max_context_tokens of the model to what the conversation needs, or shorten it"


def cut_warning(
    request: CanonicalRequest, usage: Usage, window_tokens: int, sent_bytes: int, tally: Tally | None = None
) -> Warning | None:
    """The warning that what was sent is not all that the model read. `window_tokens` is 0 where the window is unknown, `tally`
    that of the conversation, where it is one."""
    read, total = usage.input_tokens, usage.input_tokens + usage.output_tokens
    if window_tokens and total >= window_tokens:
        message = f"the conversation fills the window of {window_tokens} tokens, and the server drops its beginning unasked"
        return Warning("content_dropped", f"{message}; {_NEXT_STEP}", "messages")
    if usage.estimated or read * _BYTES_PER_TOKEN > sent_bytes:
        return None
    expected = _expected_tokens(request, tally or Tally())
    if expected < _MIN_TOKENS or read >= _SUSPICIOUS * expected:
        return None
    message = f"the server read {read} tokens of a prompt of about {expected}: it may have dropped the beginning unasked"
    return Warning("content_dropped", f"{message}; {_NEXT_STEP}", "messages")


def _expected_tokens(request: CanonicalRequest, tally: Tally) -> int:
    """What the model should have read at least, without the reasoning of earlier turns, which servers leave out on purpose; 0
    where there are media, whose size in tokens is the model's affair."""
    params = TokenCountParams(request.messages, system_prompt=request.system_prompt, tools=request.tools)
    tokens = estimate_input_tokens(params, tally=tally)
    return 0 if tally.media else tokens - tally.reasoning
