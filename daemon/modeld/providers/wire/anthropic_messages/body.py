"""Anything of a request as JSON, or the reason why not."""

from typing import Any

import msgspec

from ...failure import ProviderFailure

_ENCODER = msgspec.json.Encoder()


def dump_body(value: Any) -> bytes:
    """JSON. Raises ProviderFailure (`invalid_request`) for what has no place in it."""
    try:
        return _ENCODER.encode(value)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProviderFailure(
            "invalid_request", f"the request can't be written as JSON: {type(error).__name__}; check its text"
        ) from None
