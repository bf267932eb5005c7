"""The server side alone, in this process: a real Unix socket, the real connection code, and handlers made for tests."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.harness.peer import Peer

from modeld.server.errors import RpcError, shutting_down
from modeld.server.handshake import DaemonIdentity
from modeld.server.listener import Listener
from modeld.server.requests import CallContext
from modeld.server.router import Router
from modeld_protocol.framing import frame

IDENTITY = DaemonIdentity("daemon-1", "epoch-1", "9.9.9")


class Served:
    """Handlers that record what happened to them. `log` holds `started`, `cancelled` and `finished` with the params' name."""

    def __init__(self, path: Path, **listening: Any) -> None:
        self.path = path
        self.log: list[tuple[str, Any]] = []
        self.connections: list[Any] = []
        self.draining = False
        self.gate = asyncio.Event()
        self.router = Router(lambda: shutting_down() if self.draining else None)
        self.router.add("test/echo", lambda context, params: params)
        self.router.add("test/fail", self._fail)
        self.router.add("test/big", lambda context, params: "x" * params["size"])
        self.router.add("test/hang", self._hang)
        self.router.add("test/partial", self._partial)
        self.router.add("test/stubborn", self._stubborn)
        self.router.add("test/events", self._events)
        self.router.add("test/flood", self._flood)
        self.router.add("model/complete", self._hang)
        self.router.add("session/get", lambda context, params: None)
        self.router.add_notification("test/note", lambda context, params: self.log.append(("note", params)))
        self.router.add_notification("test/badNote", self._fail)
        self.listener = Listener(self.router, IDENTITY, **listening)

    def names(self, what: str) -> list[Any]:
        """Params of one kind of record."""
        return [name for kind, name in self.log if kind == what]

    def _fail(self, context: CallContext, params: Any) -> None:
        raise ValueError(" ".join(("secret", "prompt")))  # put together here: the log may show this line

    async def _hang(self, context: CallContext, params: Any) -> Any:
        name = params.get("name") if isinstance(params, dict) else None
        self.log.append(("started", name))
        self.connections.append(context.connection)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.log.append(("cancelled", name))
            raise
        self.log.append(("finished", name))
        return name

    async def _partial(self, context: CallContext, params: Any) -> Any:
        try:
            await self._hang(context, params)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # cleaning up takes a moment, and a second cancel must not cut it short
            raise RpcError(-32800, "stopped", {"partial": "so far"}) from None

    async def _stubborn(self, context: CallContext, params: Any) -> Any:
        try:
            await self._hang(context, params)
        except asyncio.CancelledError:
            return "finished all the same"

    async def _events(self, context: CallContext, params: Any) -> Any:
        for number in range(params["count"]):
            context.notify("test/event", {"number": number})
            if number % params.get("every", 1) == 0:
                await asyncio.sleep(0)
        return params["count"]

    async def _flood(self, context: CallContext, params: Any) -> Any:
        """Sends while the client reads, as a provider's stream would; ends after `count` frames."""
        payload = frame(b'{"jsonrpc":"2.0","method":"test/event","params":{"text":"%b"}}' % (b"x" * 1000))
        sent = 0
        writable = asyncio.Event()
        stop = context.on_writable_change(lambda now: writable.set() if now else writable.clear())
        writable.set()
        try:
            while sent < params["count"]:
                await writable.wait()
                context.send(payload)
                sent += 1
                self.log.append(("sent", sent))
                await asyncio.sleep(0)
        finally:
            stop()
        return sent


@asynccontextmanager
async def serve(path: Path, **listening: Any) -> AsyncIterator[Served]:
    """A listener on `path`, with options of its own; everything is closed at the end."""
    served = Served(path, **listening)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    served.listener.start_unix(sock)
    try:
        yield served
    finally:
        await served.listener.close(0.2)


@asynccontextmanager
async def client(served: Served, *, initialized: bool = True, **options: Any) -> AsyncIterator[Peer]:
    """A raw client."""
    async with await Peer.connect(served.path, validate=False) as peer:
        if initialized:
            await peer.initialize(**options)
        yield peer


async def settle(turns: int = 5) -> None:
    """Let everything that is ready run."""
    for _ in range(turns):
        await asyncio.sleep(0)
