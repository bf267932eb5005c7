"""The async connection: bytes between an asyncio socket and the mux, and the waiting for what the mux delivers."""

import asyncio
import socket
import time
from collections.abc import Iterable
from typing import Any, cast

import anyio
import anyio.to_thread
import msgspec

from modeld_protocol.lifecycle import ModeldCapabilities

from .calls import decode_capabilities
from .errors import ConnectionLost, InvalidParams, RpcError, UnreadableReply
from .mux import Exchange, Feed, Mux, Subscription, notification
from .target import (
    HANDSHAKE_TIMEOUT_S,
    LEAVING_PAUSE_S,
    LEAVING_S,
    LOST,
    DroppedInHandshake,
    Target,
    check_size,
    refuse_handshake,
)


class _Waiters:
    """The tasks that wait for news of one exchange."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)


class AsyncExchange(Exchange):
    """An exchange that tasks of the running loop can wait for, with `wait`, until there is news."""

    def __init__(self, request_id: str | None = None) -> None:
        waiters = _Waiters()
        self.wait = waiters.wait
        super().__init__(waiters.wake, request_id)


class AsyncFeed(Feed):
    """A feed that tasks of the running loop can wait for, with `wait`, until there is news."""

    def __init__(self, session_id: str) -> None:
        waiters = _Waiters()
        self.wait = waiters.wait
        super().__init__(waiters.wake, session_id)


class AsyncSubscription(Subscription):
    """A subscription that one task can wait for."""

    def __init__(self, methods: Iterable[str]) -> None:
        super().__init__(self._wake, methods)
        self._news = anyio.Event()

    def _wake(self) -> None:
        self._news.set()

    async def wait(self) -> None:
        """Until a notification waits or the connection has ended."""
        if not self.waiting and self.failure is None:
            self._news = anyio.Event()
            await self._news.wait()


class AsyncConnection(asyncio.Protocol):
    """One connection. It needs no task of its own: the loop calls in with bytes, and the mux wakes who waits."""

    def __init__(self, subscriptions: list[Subscription]) -> None:
        self.mux = Mux(subscriptions)
        self.lost: str | None = None
        self.capabilities: ModeldCapabilities | None = None
        self._transport: asyncio.Transport | None = None
        self._reading = True

    @classmethod
    async def open(cls, target: Target, subscriptions: list[Subscription]) -> "AsyncConnection":
        """Connect, and agree on the protocol; again where the daemon was just leaving."""
        deadline = time.monotonic() + LEAVING_S
        while True:
            try:
                return await cls._open(target, subscriptions)
            except DroppedInHandshake:
                if time.monotonic() > deadline:
                    raise
            await anyio.sleep(LEAVING_PAUSE_S)

    @classmethod
    async def _open(cls, target: Target, subscriptions: list[Subscription]) -> "AsyncConnection":
        sock = await _dial(target)
        try:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            make = loop.create_connection if target.tcp is not None else loop.create_unix_connection
            _, connection = await make(lambda: cls(subscriptions), sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            await connection._initialize(target)
        except BaseException:
            connection.close("the handshake failed")
            raise
        return connection

    async def _initialize(self, target: Target) -> None:
        params = target.initialize()
        try:
            with anyio.fail_after(HANDSHAKE_TIMEOUT_S):
                result = await self.call("initialize", params)
        except (RpcError, ConnectionLost, TimeoutError) as error:
            refuse_handshake(error)
        self.capabilities = decode_capabilities(result)
        self._write(notification("initialized", {}))

    # ---- calls

    def start(self, exchange: AsyncExchange, method: str, params: Any) -> None:
        """Send a request; raises ConnectionLost where the connection is gone already."""
        if self.lost is not None:
            raise ConnectionLost(self.lost)
        framed = self.mux.open(exchange, method, params)
        try:
            check_size(framed, self.capabilities, method)
        except InvalidParams:
            self.mux.forget(exchange)
            raise
        self._write(framed)

    def cancel(self, exchange: AsyncExchange) -> None:
        """Ask the daemon to cancel; the reply still comes."""
        if not exchange.done:
            self._write(self.mux.cancel(exchange))

    async def call(self, method: str, params: Any) -> msgspec.Raw:
        """One request and its result; leaving early, for whatever reason, cancels it at the daemon."""
        exchange = AsyncExchange()
        self.start(exchange, method, params)
        try:
            await self.wait_done(exchange)
        except BaseException:
            self.cancel(exchange)
            self.mux.forget(exchange)
            raise
        return exchange.reply()

    async def wait(self, exchange: AsyncExchange | AsyncFeed) -> None:
        """Until `exchange` has news. Whoever waits keeps the connection reading, however full other streams are."""
        self.mux.waiters += 1
        self.read_on()
        try:
            await exchange.wait()
        finally:
            self.mux.waiters -= 1

    async def wait_done(self, exchange: AsyncExchange) -> None:
        """Until the reply to `exchange` has come, or can't come any more."""
        while not exchange.done:
            await self.wait(exchange)

    # ---- bytes

    def read_on(self) -> None:
        """Read again after a pause, if there was one and its reason is gone."""
        if not self._reading and not self.mux.paused and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def close(self, reason: str) -> None:
        """End the connection; calls in flight fail with `reason`."""
        self._lose(reason)
        if self._transport is not None:
            self._transport.abort()

    def _write(self, framed: bytes) -> None:
        if self._transport is not None and self.lost is None:
            self._transport.write(framed)

    def _lose(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason
            self.mux.lose(reason)

    # ---- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports derive from none of asyncio's

    def data_received(self, data: bytes) -> None:
        """Deliver, then pause where a consumer is too far behind."""
        try:
            self.mux.feed(data)
        except UnreadableReply as error:
            return self.close(str(error))
        while self.mux.outbox:
            self._write(self.mux.outbox.pop(0))
        if self.mux.paused and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._lose(LOST)


async def _dial(target: Target) -> socket.socket:
    """In a thread, because starting a daemon takes a while; a cancelled caller leaves no socket behind."""
    abandoned = False

    def dial() -> socket.socket:
        sock = target.dial()
        if abandoned:
            sock.close()
        return sock

    try:
        return await anyio.to_thread.run_sync(dial, abandon_on_cancel=True)
    except BaseException:
        abandoned = True
        raise
