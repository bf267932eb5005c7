"""JSON-RPC errors as exceptions: what a handler raises to answer its request with an error."""

from typing import Any

from modeld_protocol.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_INITIALIZED,
    OVERLOADED,
    REQUEST_CANCELLED,
)


class RpcError(Exception):
    """Answers a request with `code` and `message`; `data` is any value msgspec can encode, None leaves it out."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def invalid_request(message: str) -> RpcError:
    """-32600: the message breaks the protocol."""
    return RpcError(INVALID_REQUEST, message)


def invalid_params(message: str, data: Any = None) -> RpcError:
    """-32602; `message` names the path that is wrong and never the value found there."""
    return RpcError(INVALID_PARAMS, f"Invalid params: {message}", data)


def method_not_found(name: str) -> RpcError:
    """-32601 for a name outside the protocol."""
    return RpcError(METHOD_NOT_FOUND, f"Method {name[:80]!r} is unknown; see the protocol's method table.")


def method_not_available(name: str) -> RpcError:
    """-32601 for a method of the protocol that this daemon does not serve."""
    return RpcError(METHOD_NOT_FOUND, f"Method {name!r} is not available in this version of the daemon; update modeld to use it.")


def not_initialized() -> RpcError:
    """-32002: something came before `initialize`."""
    return RpcError(NOT_INITIALIZED, "Not initialized; send initialize first.")


def overloaded(reason: str) -> RpcError:
    """-32001: nothing was done and nothing sent; `reason` says what is full."""
    return RpcError(OVERLOADED, f"{reason}; try again later.")


def shutting_down() -> RpcError:
    """-32001 while the daemon drains. `data.reason` lets a client connect anew at once instead of trying again later."""
    return RpcError(OVERLOADED, "The daemon is shutting down; connect again to start a new one.", {"reason": "shutting_down"})


def request_cancelled(data: Any = None) -> RpcError:
    """-32800; `data` is what had come until then."""
    return RpcError(REQUEST_CANCELLED, "Request cancelled", data)


def internal_error() -> RpcError:
    """-32603: a defect of the daemon; what happened is in its log, never in the message."""
    return RpcError(INTERNAL_ERROR, "Internal error; the daemon's log says where. Please report it.")
