"""Where to connect and what to say first: the same for the async and the sync client, and for every reconnect."""

import os
import socket as sockets
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from modeld_protocol.lifecycle import InitializeParams, ModeldCapabilities

from .calls import make_initialize
from .errors import ConnectionLost, DaemonUnavailable, HandshakeFailed, InvalidParams, RpcError

CANCEL_WAIT_S = 1.0  # for the reply to a cancel; the daemon answers within 200 ms
INTERRUPTED = "interrupted while a request was leaving, so the connection was ended with it: call again to reconnect"
CLOSED = "this client is closed: make another with connect()"
NOT_ENTERED = "enter the stream first: `with client.stream(...) as stream`, or `async with` on AsyncClient"
ONCE = "a stream runs once: make another with client.stream(...)"
HANDSHAKE_TIMEOUT_S = 10.0  # a daemon answers in milliseconds; one that was just started, within a second
LEAVING_S = 2.0  # a daemon that dies still accepts for a moment; one that drops everybody must not be asked for ever
LEAVING_PAUSE_S = 0.05
LOST = "the daemon closed the connection or died; the call may have been charged, so it was not repeated: call again to reconnect"


class Target(NamedTuple):
    """The arguments of `connect`."""

    socket: str | os.PathLike[str] | None
    tcp: str | None
    token: str | None
    start: bool
    spawn_args: Sequence[str]
    client_id: str | None
    required: Sequence[str]
    env: Mapping[str, str] | Sequence[str]
    trace: bool

    def __repr__(self) -> str:
        return f"Target({self.tcp or self.socket!s})"  # neither the token nor the values of env

    def dial(self) -> sockets.socket:
        """A connected, blocking socket; starts a daemon where that is allowed."""
        from modeld_protocol.endpoint import socket_path  # here, because the import of pathlib takes 3 ms

        from . import launch

        if self.tcp is not None:
            return launch.connect_tcp(self.tcp)
        try:
            path = socket_path(self.socket)
        except PermissionError as error:
            raise DaemonUnavailable(str(error)) from None
        return launch.connect_or_start(path, self.spawn_args) if self.start else launch.connect(path)

    def initialize(self) -> InitializeParams:
        """The parameters of the handshake; on TCP with the token, read from its file where none was given."""
        token = self.token
        if self.tcp is not None and token is None:
            token = _read_token()
        return make_initialize(self.client_id, self.required, self.env, token, trace=self.trace)


def _read_token() -> str:
    from modeld_protocol.endpoint import token_path

    try:
        path = token_path()
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DaemonUnavailable(f"the TCP token can't be read ({error}): give token=, or use the Unix socket") from None


class DroppedInHandshake(HandshakeFailed):
    """The daemon left while we came in: nothing was asked of it yet, so another one may be tried."""


def refuse_handshake(error: Exception) -> NoReturn:
    """Raise what a failed `initialize` means."""
    if isinstance(error, RpcError):
        raise HandshakeFailed(f"the daemon refused the handshake: {error}") from error
    if isinstance(error, ConnectionLost):
        if str(error) == LOST:
            raise DroppedInHandshake("the daemon closed the connection during the handshake: see its log") from None
        raise HandshakeFailed(f"the handshake failed: {error}") from None
    if isinstance(error, TimeoutError):
        raise HandshakeFailed(f"the daemon did not answer within {HANDSHAKE_TIMEOUT_S:g} s: run `modeld doctor`") from None
    raise error


def check_size(framed: bytes, capabilities: ModeldCapabilities | None, method: str) -> None:
    """Refuse a message that the daemon would close the connection for."""
    if capabilities and len(framed) > (limit := capabilities.limits.max_message_bytes):
        raise InvalidParams(f"{method} of {len(framed)} bytes: the daemon takes {limit}; send files by id or URL", -32602)
