"""The blocking connection: a thread reads and delivers, callers write for themselves and sleep until there is news."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from modeld_protocol.lifecycle import ModeldCapabilities

from .calls import decode_capabilities
from .errors import ConnectionLost, InvalidParams, RpcError, UnreadableReply
from .mux import Exchange, Feed, Mux, Subscription, notification
from .target import (
    HANDSHAKE_TIMEOUT_S,
    INTERRUPTED,
    LEAVING_PAUSE_S,
    LEAVING_S,
    LOST,
    DroppedInHandshake,
    Target,
    check_size,
    refuse_handshake,
)

READ_BYTES = 256 * 1024


class SyncExchange(Exchange):
    """An exchange that threads can wait for; `news` shares the lock of its connection."""

    def __init__(self, lock: threading.Lock, request_id: str | None = None) -> None:
        self.news = threading.Condition(lock)
        super().__init__(self.news.notify_all, request_id)


class SyncFeed(Feed):
    """A feed that threads can wait for."""

    def __init__(self, lock: threading.Lock, session_id: str) -> None:
        self.news = threading.Condition(lock)
        super().__init__(self.news.notify_all, session_id)


class SyncSubscription(Subscription):
    """A subscription that one thread can wait for."""

    def __init__(self, lock: threading.Lock, methods: Iterable[str]) -> None:
        self.news = threading.Condition(lock)
        super().__init__(self.news.notify_all, methods)


class SyncConnection:
    """One connection. `lock` guards the mux; `write_lock` keeps frames whole, and is never held together with it."""

    def __init__(self, sock: socket.socket, lock: threading.Lock, subscriptions: list[Subscription]) -> None:
        self.lock = lock
        self.write_lock = threading.Lock()
        self.mux = Mux(subscriptions)
        self.lost: str | None = None
        self.capabilities: ModeldCapabilities | None = None
        self._sock = sock
        self._may_read = threading.Condition(lock)
        self._reader = threading.Thread(target=self._read, name="modeld-client-reader", daemon=True)
        self._reader.start()

    @classmethod
    def open(cls, target: Target, lock: threading.Lock, subscriptions: list[Subscription]) -> "SyncConnection":
        """Connect, and agree on the protocol; again where the daemon was just leaving."""
        deadline = time.monotonic() + LEAVING_S
        while True:
            connection = cls(target.dial(), lock, subscriptions)
            try:
                connection._initialize(target)
                return connection
            except DroppedInHandshake:
                if time.monotonic() > deadline:
                    raise
            time.sleep(LEAVING_PAUSE_S)

    def _initialize(self, target: Target) -> None:
        try:
            result = self.call("initialize", target.initialize(), HANDSHAKE_TIMEOUT_S)
            self.capabilities = decode_capabilities(result)
        except (RpcError, ConnectionLost, TimeoutError) as error:
            self.close("the handshake failed")
            refuse_handshake(error)
        except BaseException:
            self.close("the handshake failed")
            raise
        self._write(notification("initialized", {}))

    # ---- calls

    def start(self, exchange: SyncExchange, method: str, params: Any) -> None:
        """Send a request; raises ConnectionLost where the connection is gone already. An interrupt meanwhile ends the connection:
        whether the request has left is unknown then, so nothing less can take it back."""
        with self.lock:
            if self.lost is not None:
                raise ConnectionLost(self.lost)
            framed = self.mux.open(exchange, method, params)
            try:
                check_size(framed, self.capabilities, method)
            except InvalidParams:
                self.mux.forget(exchange)
                raise
            self._wait_begins()  # while we write, the reader must go on reading: the daemon may wait for that
        try:
            try:
                self._write(framed)
            finally:
                with self.lock:
                    self.mux.waiters -= 1
        except KeyboardInterrupt:
            self._lose(INTERRUPTED)
            raise

    def cancel(self, exchange: SyncExchange) -> None:
        """Ask the daemon to cancel; the reply still comes."""
        if not exchange.done:
            self._write(self.mux.cancel(exchange))

    def call(self, method: str, params: Any, timeout_s: float | None) -> msgspec.Raw:
        """One request and its result; an interrupt and a timeout cancel it at the daemon."""
        exchange = SyncExchange(self.lock)
        self.start(exchange, method, params)
        try:
            self.wait_done(exchange, timeout_s)
        except BaseException:
            self.cancel(exchange)
            with self.lock:
                self.mux.forget(exchange)
            raise
        return exchange.reply()

    def next_event(self, exchange: SyncExchange | SyncFeed, timeout_s: float | None) -> msgspec.Raw | None:
        """The next event of a stream; None at its end. Raises what the call failed with."""
        with self.lock:
            raw = self.mux.take(exchange)
            if raw is None and not exchange.done:
                self._wait(exchange, lambda: exchange.has_news, timeout_s)
                raw = self.mux.take(exchange)
            if not self.mux.paused:
                self._may_read.notify()
        if raw is None:
            exchange.reply()
        return raw

    def wait_done(self, exchange: SyncExchange, timeout_s: float | None) -> None:
        """Until the reply to `exchange` has come, or can't come any more."""
        with self.lock:
            self._wait(exchange, lambda: exchange.done, timeout_s)

    def _wait(self, exchange: SyncExchange | SyncFeed, ready: Callable[[], bool], timeout_s: float | None) -> None:
        self._wait_begins()
        try:
            if not exchange.news.wait_for(ready, timeout_s):
                raise TimeoutError(f"no answer for {timeout_s:g} s: the call was cancelled; allow more with timeout_s")
        finally:
            self.mux.waiters -= 1

    def _wait_begins(self) -> None:
        self.mux.waiters += 1
        self._may_read.notify()

    def mute(self, exchange: SyncExchange) -> None:
        """Nobody takes its events any more."""
        with self.lock:
            self.mux.mute(exchange)
            self._may_read.notify()

    # ---- bytes

    def close(self, reason: str) -> None:
        """End the connection; calls in flight fail with `reason`."""
        self._lose(reason)
        if threading.current_thread() is not self._reader:
            self._reader.join()

    def _write(self, framed: bytes) -> None:
        try:
            with self.write_lock:
                self._sock.sendall(framed)
        except OSError:  # whoever waits for the reply hears it from there
            self._lose(LOST)

    def _lose(self, reason: str) -> None:
        with self.lock:
            if self.lost is None:
                self.lost = reason
                self.mux.lose(reason)
            self._may_read.notify()
        try:
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes the reader, which closes it
        except OSError:
            pass

    def _read(self) -> None:
        reason = LOST
        try:
            while data := self._sock.recv(READ_BYTES):
                with self.lock:
                    self.mux.feed(data)
                    answers, self.mux.outbox = self.mux.outbox, []
                    self._may_read.wait_for(lambda: not self.mux.paused or self.lost is not None)
                for answer in answers:
                    self._write(answer)
        except OSError:
            pass
        except UnreadableReply as error:
            reason = str(error)
        self._lose(reason)
        with self.write_lock:
            self._sock.close()
