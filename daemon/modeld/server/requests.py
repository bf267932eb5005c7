"""Requests in flight: what a handler is given, and the table that cancels, bounds and finishes them."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from modeld.limits import MAX_BYTES_IN_FLIGHT_PER_CLIENT, MAX_CALLS_RUNNING_PER_CLIENT, MAX_REQUESTS_IN_FLIGHT
from modeld_protocol.jsonrpc import RequestId

from .errors import invalid_request, overloaded


def _call_slots() -> asyncio.Semaphore:
    return asyncio.Semaphore(MAX_CALLS_RUNNING_PER_CLIENT)


class ClientState(msgspec.Struct, eq=False):
    """Who is at the other end of one connection, as it said at `initialize`. `number` counts connections from 1.

    `env` holds values for key variables that the config already names; they are secrets: never logged, never shown.
    `trace` is true while the client wants trace/event. `position_encodings` are LSP's, best first. `call_slots` bounds how
    many calls of this client talk to providers at once; the others wait in order.
    """

    number: int
    client_id: str
    name: str | None = None
    version: str | None = None
    protocol_version: int = 1
    trusted: bool = False
    trace: bool = False
    env: dict[str, str] = {}
    position_encodings: list[str] = []
    call_slots: asyncio.Semaphore = msgspec.field(default_factory=_call_slots)

    def __repr__(self) -> str:
        return f"ClientState(number={self.number}, client_id={self.client_id!r})"


class ClientConnection(Protocol):
    """What handlers and sessions may do with a connection."""

    @property
    def client(self) -> ClientState:
        """Who is at the other end."""
        ...

    @property
    def writable(self) -> bool:
        """False while more than the high-water mark waits to be read: stop producing events, not replies."""
        ...

    @property
    def closed(self) -> bool:
        """True once nothing can be sent any more."""
        ...

    def send(self, frames: bytes) -> None:
        """Send framed messages, in order with replies; joined with everything else of this loop tick. No-op once closed."""
        ...

    def flush(self) -> None:
        """Let what was sent leave now, and not at the end of this loop tick."""
        ...

    def notify(self, method: str, params: Any) -> None:
        """Send one notification, in order with `send`."""
        ...

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back with `writable` at each change, and with True when the connection ends; returns the unsubscriber."""
        ...

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once when the client is gone, after its requests were cancelled; returns the unsubscriber."""
        ...


class CallContext:
    """Given to a handler: the connection a message came from, and its id (None for a notification)."""

    __slots__ = ("connection", "rpc_id")

    def __init__(self, connection: ClientConnection, rpc_id: RequestId | None) -> None:
        self.connection = connection
        self.rpc_id = rpc_id

    @property
    def client(self) -> ClientState:
        """Who sent the message."""
        return self.connection.client

    @property
    def writable(self) -> bool:
        """See ClientConnection.writable."""
        return self.connection.writable

    def send(self, frames: bytes) -> None:
        """Send framed bytes to this client; they arrive before a reply that is returned later."""
        self.connection.send(frames)

    def flush(self) -> None:
        """See ClientConnection.flush."""
        self.connection.flush()

    def notify(self, method: str, params: Any) -> None:
        """Send one notification to this client."""
        self.connection.notify(method, params)

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """See ClientConnection.on_writable_change."""
        return self.connection.on_writable_change(callback)


class InFlight:
    """One request that runs in a task. `started` turns true with the task's first step, `cancelled` with the first cancel."""

    __slots__ = ("cancelled", "rpc_id", "size", "started", "task")

    def __init__(self, rpc_id: RequestId, size: int) -> None:
        self.rpc_id = rpc_id
        self.size = size
        self.started = False
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None


class RequestTable:
    """The requests in flight of one connection: ids never leave it, so that clients can't reach each other's.

    Invariant: an entry is removed by whoever answers it, and only what is in the table gets an answer.
    """

    __slots__ = ("_bytes", "_entries")

    def __init__(self) -> None:
        self._entries: dict[RequestId, InFlight] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, rpc_id: RequestId, size: int) -> None:
        """RpcError -32600 when `rpc_id` is in flight, -32001 when there is no room for one more request of `size` bytes."""
        if rpc_id in self._entries:
            raise invalid_request("this id is in flight already; give every request an id of its own")
        if len(self._entries) >= MAX_REQUESTS_IN_FLIGHT:
            raise overloaded(f"{MAX_REQUESTS_IN_FLIGHT} requests of this client are in flight")
        if self._bytes + size > MAX_BYTES_IN_FLIGHT_PER_CLIENT and self._entries:
            raise overloaded(f"requests in flight hold more than {MAX_BYTES_IN_FLIGHT_PER_CLIENT} bytes")

    def add(self, rpc_id: RequestId, size: int) -> InFlight:
        """Take up a request that `check` has let pass."""
        entry = self._entries[rpc_id] = InFlight(rpc_id, size)
        self._bytes += size
        return entry

    def remove(self, entry: InFlight) -> bool:
        """True for the one caller who may answer `entry`."""
        if self._entries.get(entry.rpc_id) is not entry:
            return False
        del self._entries[entry.rpc_id]
        self._bytes -= entry.size
        return True

    def cancel(self, rpc_id: RequestId) -> InFlight | None:
        """Cancel a running request, once. Returns its entry, already removed, when the task had not taken its first step:
        its handler never runs, so the caller answers."""
        entry = self._entries.get(rpc_id)
        if entry is None or entry.cancelled:
            return None
        return self._cancel(entry)

    def cancel_all(self) -> list[InFlight]:
        """Cancel everything; returns the entries that the caller must answer."""
        return [entry for running in list(self._entries.values()) if not running.cancelled and (entry := self._cancel(running))]

    def _cancel(self, entry: InFlight) -> InFlight | None:
        entry.cancelled = True
        if entry.task is not None:
            entry.task.cancel()
        if entry.started:
            return None
        self.remove(entry)
        return entry
