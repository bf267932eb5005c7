"""Accepting clients: the Unix socket, TCP where it was asked for, and what happens when descriptors run out."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable

from modeld.clock import SYSTEM, Clock
from modeld.limits import MAX_CLIENTS, RESERVED_FILES
from modeld.observe.log import logger

from .connection import Connection
from .envelope import encode_error
from .errors import overloaded
from .handshake import DaemonIdentity
from .peer import TokenGate, is_own_user
from .router import Router

_log = logger("server")

BACKLOG = 1024  # two hundred editors may start with the session
ACCEPTS_PER_TICK = 64  # running work has its turn in between
RETRY_ACCEPT_S = 0.25  # how long accepting rests when descriptors are short
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ListenError(Exception):
    """Listening is refused; the message says what to do."""


class Listener:
    """Turns accepted sockets into connections. `on_change` is called with the number of clients after each change."""

    def __init__(
        self,
        router: Router,
        identity: DaemonIdentity,
        *,
        clock: Clock = SYSTEM,
        max_clients: int = MAX_CLIENTS,
        on_change: Callable[[int], None] | None = None,
    ) -> None:
        self.connections: set[Connection] = set()
        self._router = router
        self._identity = identity
        self._clock = clock
        self._max_clients = max_clients
        self._on_change = on_change
        self._doors: list[_Door] = []
        self._accepted = 0
        self._starting: set[asyncio.Task[None]] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    def start_unix(self, sock: socket.socket) -> None:
        """Serve a bound Unix socket (see instance.claim). Peers of other uids are closed without a byte."""
        self._open(sock, None)

    def start_tcp(self, address: str, token: str) -> str:
        """Serve TCP on a loopback `host:port`; returns the address with the port in force.

        ListenError for other addresses and for ports that can't be had.
        """
        host, port = parse_loopback_address(address)
        try:
            sock = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG)
        except OSError as error:
            raise ListenError(f"{address} can't be listened on ({error.strerror}); choose another port with --tcp") from None
        self._open(sock, TokenGate(token, self._clock.monotonic))
        bound = sock.getsockname()
        return f"[{bound[0]}]:{bound[1]}" if ":" in host else f"{bound[0]}:{bound[1]}"

    def stop_accepting(self) -> None:
        """Take nobody new; who connects now is refused by the kernel."""
        for door in self._doors:
            door.close()
        self._doors.clear()

    async def close(self, grace_s: float = 1.0) -> None:
        """Close every connection; those that don't read what is left for them within `grace_s` are cut off."""
        self.stop_accepting()
        for connection in tuple(self.connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_gone.wait(), grace_s)
        for connection in tuple(self.connections):
            connection.abort()

    def serve_accepted(self, sock: socket.socket, gate: TokenGate | None = None) -> None:
        """Serve one connected socket, whoever accepted it."""
        self._accepted += 1
        connection = Connection(
            self._router,
            self._identity,
            self._accepted,
            admit=gate.admit if gate else None,
            on_made=self._add,
            on_lost=self._remove,
        )
        task = asyncio.get_running_loop().create_task(_attach(connection, sock))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def _open(self, sock: socket.socket, gate: TokenGate | None) -> None:
        sock.setblocking(False)
        sock.listen(BACKLOG)
        self._doors.append(_Door(sock, lambda client: self._admit_client(client, gate)))

    def _admit_client(self, client: socket.socket, gate: TokenGate | None) -> None:
        if not is_own_user(client) if gate is None else gate.locked:
            _log.warning("a client was refused", reason="another user" if gate is None else "TCP is locked after wrong tokens")
            return client.close()
        if len(self.connections) + len(self._starting) >= self._max_clients:
            return _refuse(client, f"{self._max_clients} clients are connected")
        return self.serve_accepted(client, gate)

    def _add(self, connection: Connection) -> None:
        self.connections.add(connection)
        self._changed()

    def _remove(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._changed()

    def _changed(self) -> None:
        if self.connections:
            self._all_gone.clear()
        else:
            self._all_gone.set()
        if self._on_change is not None:
            self._on_change(len(self.connections))


class _Door:
    """One listening socket. Accepting rests when descriptors are short, so that running work has what it needs."""

    def __init__(self, sock: socket.socket, admit: Callable[[socket.socket], None]) -> None:
        self._sock = sock
        self._admit = admit
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _accept(self) -> None:
        try:
            for _ in range(ACCEPTS_PER_TICK):
                if _files_are_short(self._sock):
                    return self._rest()
                client, _address = self._sock.accept()
                client.setblocking(False)
                self._admit(client)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                _log.error("accepting failed", reason=error.strerror)
            return self._rest()
        return None

    def _rest(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._retry = self._loop.call_later(RETRY_ACCEPT_S, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._accept)


async def _attach(connection: Connection, sock: socket.socket) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock)
    except OSError as error:
        sock.close()
        _log.warning("a client could not be served", reason=error.strerror)


def _files_are_short(sock: socket.socket) -> bool:
    """Whether the next descriptor would be one of the reserved: the kernel hands out the lowest that is free."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    try:
        next_file = os.dup(sock.fileno())
    except OSError:
        return True
    os.close(next_file)
    return next_file >= limit - min(RESERVED_FILES, limit // 4)


def _refuse(client: socket.socket, reason: str) -> None:
    body = encode_error(None, overloaded(reason))
    with contextlib.suppress(OSError):
        client.send(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    client.close()


def parse_loopback_address(text: str) -> tuple[str, int]:
    """`host:port` of this machine alone; ListenError for any other, with what to write instead."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ListenError(f"--tcp {text}: expected HOST:PORT; write --tcp 127.0.0.1:{port if port.isdigit() else '7878'}")
    if host not in _LOOPBACK:
        raise ListenError(
            f"--tcp {text}: only this machine may connect, so only loopback is listened on; write --tcp 127.0.0.1:{port}"
        )
    return ("127.0.0.1" if host == "localhost" else host), int(port)
