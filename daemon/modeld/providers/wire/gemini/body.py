"""Anything of a request as JSON, or the reason why not."""

from typing import Any

import msgspec

from ...failure import ProviderFailure

_encode_body = msgspec.json.Encoder().encode


def dump_body(value: Any) -> bytes:
    """JSON. Raises ProviderFailure (`invalid_request`) for what has no place in it."""
    try:
        return _encode_body(value)
    except UnicodeEncodeError:
        raise ProviderFailure("invalid_request", "a text holds half of a surrogate pair; send valid Unicode") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProviderFailure("invalid_request", f"a value can't be written as JSON ({error}); send plain JSON values") from None
