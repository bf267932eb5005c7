"""The JSON-RPC 2.0 envelope: what every message looks like, read once and left undecoded inside."""

import re
from typing import Any

import msgspec

RequestId = int | str


class Inbound(msgspec.Struct):
    """Any message, with its payload left as raw JSON. `id` is checked by the reader: null, fractions and objects are refused."""

    jsonrpc: str
    id: Any = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RpcErrorObject(msgspec.Struct, omit_defaults=True):
    """JSON-RPC's error object."""

    code: int
    message: str
    data: Any = msgspec.UNSET


class Response(msgspec.Struct):
    """A successful reply."""

    id: RequestId | None
    result: Any
    jsonrpc: str = "2.0"


class ErrorResponse(msgspec.Struct):
    """A failed reply; `id` is null where the request could not be read."""

    id: RequestId | None
    error: RpcErrorObject
    jsonrpc: str = "2.0"


class Request(msgspec.Struct):
    """A request."""

    id: RequestId
    method: str
    params: Any
    jsonrpc: str = "2.0"


class Notification(msgspec.Struct):
    """A notification."""

    method: str
    params: Any
    jsonrpc: str = "2.0"


class CancelParams(msgspec.Struct):
    """LSP's `$/cancelRequest`."""

    id: RequestId


class ProgressParams(msgspec.Struct):
    """LSP's `$/progress`."""

    token: RequestId
    value: Any


class LogMessageParams(msgspec.Struct):
    """`type` as in LSP: 1 error, 2 warning, 3 info, 4 log."""

    type: int
    message: str


class Empty(msgspec.Struct):
    """Parameters of a method that takes none; unknown fields are ignored."""


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def repair_surrogates(body: bytes) -> bytes:
    """`body` with every escaped half of a surrogate pair that stands alone replaced by U+FFFD.

    Editors cut text between the halves, JavaScript's encoder passes that on, and msgspec refuses such a message as a whole.
    Escapes are read in order, so that `\\ud83d` (a backslash and four letters) stays what it is.
    """
    return _ESCAPE.sub(_repair_escape, body)


def _repair_escape(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1] is None else rb"\ufffd"
