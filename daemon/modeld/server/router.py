"""Which handler serves which method, with its params decoder: the table every connection dispatches by."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from modeld_protocol.methods import METHODS

from .errors import RpcError, invalid_params, method_not_available, method_not_found
from .requests import CallContext

STARTS_CALLS = frozenset(
    (
        "model/complete",
        "model/stream",
        "model/discover",
        "model/countTokens",
        "turn/start",
        "file/upload",
        "file/list",
        "file/delete",
        "cache/create",
        "cache/list",
        "cache/delete",
    )
)
"""Methods that talk to a provider: they ask for admission first, so that a draining daemon takes on nothing new."""

_MISSING = "Object missing required field `"

Handler = Callable[[CallContext, Any], Any]
"""`(CallContext, params) -> result`; an `async def` runs in a task of its own, a `def` at once: keep those short."""

Decode = Callable[[bytes], Any]
"""The params of one message from their bytes; raises msgspec.ValidationError, RecursionError, ValueError."""

Admission = Callable[[], RpcError | None]
"""None lets a new call start, an error refuses it."""


class Route(msgspec.Struct, frozen=True):
    """How one method is served."""

    handler: Handler
    decode: Decode
    is_async: bool
    starts_call: bool


class Router:
    """Handlers by method. Filled once at start-up; read by every connection.

    `add` serves a request, `add_notification` a notification of a client. The params type comes from the METHODS table;
    a method outside it (LSP's own textDocument/*) names its type, or gets plain dicts and lists.
    """

    def __init__(self, admission: Admission | None = None) -> None:
        self._admission = admission
        self._requests: dict[str, Route] = {}
        self._notifications: dict[str, Route] = {}

    def add(self, method: str, handler: Handler, params: Any = None, decode: Decode | None = None) -> None:
        """Serve `method` with `handler`; a second handler for one method is a defect of the caller (ValueError). `decode` reads
        its params where their type alone doesn't say how."""
        if method in self._requests:
            raise ValueError(f"{method} has a handler already")
        if params is None:
            params = METHODS[method].params if method in METHODS else Any
        self._requests[method] = _route(handler, params, method in STARTS_CALLS, decode)

    def add_notification(self, method: str, handler: Handler, params: Any = Any) -> None:
        """Call `handler` for each notification `method` that decodes; the others are dropped, as JSON-RPC says."""
        if method in self._notifications:
            raise ValueError(f"{method} has a handler already")
        self._notifications[method] = _route(handler, params, False)

    def request(self, method: str) -> Route:
        """The route of a request; RpcError where there is none, or where a new call is not admitted now."""
        route = self._requests.get(method)
        if route is None:
            raise method_not_available(method) if method in METHODS else method_not_found(method)
        if route.starts_call and self._admission is not None:
            refusal = self._admission()
            if refusal is not None:
                raise refusal
        return route

    def notification(self, method: str) -> Route | None:
        """The route of a client's notification; None where nobody listens."""
        return self._notifications.get(method)


def decode_params(route: Route, raw: msgspec.Raw | bytes) -> Any:
    """The typed params of one message (missing and null come in as `{}`). RpcError -32602 says what is wrong and where."""
    try:
        return route.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid_params(describe_validation_error(error)) from None
    except RecursionError:
        raise invalid_params("nested too deeply") from None
    except ValueError:
        raise invalid_params("not readable as UTF-8 JSON of the expected shape") from None


def describe_validation_error(error: msgspec.ValidationError) -> str:
    """What is wrong and the path of it, without the tag or enum value that msgspec's text may repeat.

    "Invalid value 'x' - at `$.type`" becomes "Invalid value - at `$.type`"; a missing field's path is the field's own.
    """
    what, _, path = str(error).rpartition(" - at ")
    if not what:  # at the top, which msgspec leaves unsaid
        what, path = path, "`$`"
    if what.startswith("Invalid "):
        what = what.partition("'")[0].rstrip()
    elif what.startswith(_MISSING):
        path = f"{path[:-1]}.{what.removeprefix(_MISSING)}"
    return f"{what} - at {path}"


def _route(handler: Handler, params: Any, starts_call: bool, decode: Decode | None = None) -> Route:
    return Route(handler, decode or msgspec.json.Decoder(params).decode, inspect.iscoroutinefunction(handler), starts_call)
