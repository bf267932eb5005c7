"""Many light clients, deaf ones and loud ones, and the figures that load tests print."""

import asyncio
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.harness.daemon import DaemonProcess

from modeld_protocol.framing import FrameDecoder, frame

KIB = 1024
MIB = 1024 * KIB
INITIALIZE = {"capabilities": {}, "initializationOptions": {"modeld": {"protocol_versions": [1]}}}


def encode(method: str, params: Any, rpc_id: int | None = None) -> bytes:
    """One framed message."""
    message = {"jsonrpc": "2.0", "method": method, "params": params, **({} if rpc_id is None else {"id": rpc_id})}
    return frame(json.dumps(message).encode())


class Light(asyncio.Protocol):
    """A client that costs next to nothing: it counts events, remembers when they came, and keeps replies."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._decoder = FrameDecoder()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.transport: asyncio.Transport
        self.events = 0
        self.gaps_s: list[float] = []
        self._last_s = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, path: Path, *, initialize: bool = True) -> "Light":
        _, client = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        if initialize:
            await client.call("initialize", INITIALIZE)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for body in self._decoder.feed(data):
            if b'"stream/event"' in body[:40]:
                self._count_event()
                continue
            message = json.loads(body)
            waiting = self._waiting.pop(message.get("id"), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    def _count_event(self) -> None:
        self.events += 1
        now = time.monotonic()
        if self._last_s:
            self.gaps_s.append(now - self._last_s)
        self._last_s = now

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the daemon closed the connection"))

    def start(self, method: str, params: Any = None) -> "asyncio.Future[Any]":
        """Send a request; gives a future of the whole reply."""
        number = next(self._ids)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.transport.write(encode(method, params or {}, number))
        return waiting

    async def call(self, method: str, params: Any = None, timeout_s: float = 30) -> Any:
        """The result; fails where an error came."""
        async with asyncio.timeout(timeout_s):
            reply = await self.start(method, params)
        assert "result" in reply, reply
        return reply["result"]

    def close(self) -> None:
        """Leave; nobody waits for what was asked any more."""
        for waiting in self._waiting.values():
            waiting.cancel()
        self.transport.close()


class Deaf:
    """A client that writes and does not read until told to."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.sock.setblocking(False)
        self._ids = itertools.count(1)
        self.send(encode("initialize", INITIALIZE, 0))

    def send(self, data: bytes) -> int:
        """As much as the kernel takes; returns how much."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def request(self, method: str, params: Any) -> int:
        number = next(self._ids)
        data = encode(method, params, number)
        assert self.send(data) == len(data), "the kernel takes no more"
        return number

    async def read(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, 256 * KIB)

    def close(self) -> None:
        self.sock.close()


# ---- figures


def percentile(times: Iterable[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def show(what: str, times_s: list[float]) -> tuple[float, float]:
    """Print and return p50 and p99, in seconds."""
    p50, p99 = percentile(times_s, 0.5), percentile(times_s, 0.99)
    print(f"{what}: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, max {max(times_s) * 1000:.1f} ms of {len(times_s)}")
    return p50, p99


async def ping(
    client: Light, count: int = 50, pause_s: float = 0.004, method: str = "daemon/status", params: Any = None
) -> list[float]:
    """How long each of `count` calls took."""
    times: list[float] = []
    for _ in range(count):
        began = time.monotonic()
        await client.call(method, params)
        times.append(time.monotonic() - began)
        await asyncio.sleep(pause_s)
    return times


async def until(condition: Callable[[], bool], timeout_s: float = 10, step_s: float = 0.005) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(step_s)


async def settled_rss(daemon: DaemonProcess, timeout_s: float = 10) -> int:
    """Its resident bytes once they stand still: a daemon that has just started still loads what it needs later."""
    end = time.monotonic() + timeout_s
    last, since = daemon.rss_bytes(), time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < 0.4:
        await asyncio.sleep(0.02)
        now = daemon.rss_bytes()
        if abs(now - last) > 64 * KIB:
            last, since = now, time.monotonic()
    return daemon.rss_bytes()


class Peak:
    """How much its resident memory grows at most while the block runs; looks 500 times a second."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self.bytes = 0

    async def __aenter__(self) -> "Peak":
        self._before = await settled_rss(self._daemon)
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        self.bytes = max(self.bytes, self._daemon.rss_bytes() - self._before)

    async def _look(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._daemon.rss_bytes() - self._before)
            await asyncio.sleep(0.002)


def cpu_s(daemon: DaemonProcess) -> float:
    """The CPU time that it has used (Linux)."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
