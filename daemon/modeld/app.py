"""The daemon: the one place where its parts are made and joined, and its life from start to drain."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modeld_protocol.config import ConfigChanged, DaemonStatus, StoreStatus
from modeld_protocol.events import AvailabilityChanged

from . import __version__, limits
from .bookkeeping import Books
from .clock import SYSTEM, Clock
from .config.reload import ConfigSource
from .credentials.redact import Redactor
from .ledger.audit import Audit
from .ledger.journal import Journals
from .ledger.schema import LEDGER
from .ledger.store import FILE_NAME, Store
from .observe.debug import Debug
from .observe.log import logger
from .runtime import Runtime
from .server.connection import Phase
from .server.errors import RpcError, shutting_down
from .server.handlers.config import ConfigHandlers
from .server.handlers.daemon import DaemonHandlers
from .server.handlers.model import ModelHandlers
from .server.handlers.provider import ProviderHandlers
from .server.handlers.provider_extras import ProviderExtraHandlers
from .server.handlers.session import SessionHandlers
from .server.handlers.text_document import CAPABILITIES, TextDocumentHandlers
from .server.handlers.turn import TurnHandlers
from .server.handlers.usage import UsageHandlers
from .server.handshake import DaemonIdentity
from .server.listener import Listener
from .server.router import Router
from .server.stream_encoder import StreamEncoder
from .sessions.fanout import Encode
from .sessions.records import SCHEMA as SESSIONS
from .sessions.records import timestamp
from .sessions.registry import Sessions
from .sessions.retention import Retention
from .sessions.turn import Turns
from .upstream.contract import Transport

if TYPE_CHECKING:
    from .observing import Watches

_log = logger("daemon")
_DRAIN_LOOK_S = 0.01  # how often a draining daemon looks whether something still runs


class Options(msgspec.Struct, frozen=True):
    """How a daemon is started. Without `state_dir` its store lives in memory. `idle_exit_s` 0 means it stays until it is told
    to go; `tcp` is `host:port` or None. With `artefacts` what passes to and from providers is written there, as `debug` says."""

    socket: Path | None
    config: Path | None = None
    state_dir: Path | None = None
    tcp: str | None = None
    idle_exit_s: float = 0
    debug: Debug = Debug()
    artefacts: Path | None = None


class Daemon:
    """Everything that lives as long as the process. `store`, `journals`, `transport` stand in for files and network."""

    def __init__(
        self,
        options: Options,
        source: ConfigSource,
        environment: Mapping[str, str],
        redactor: Redactor,
        clock: Clock = SYSTEM,
        *,
        store: Store | None = None,
        journals: Journals | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.options = options
        self.source = source
        self.clock = clock
        self.daemon_id = clock.new_id("dmn")
        self.started = clock.monotonic()
        self.draining = False
        file = options.state_dir / FILE_NAME if options.state_dir else None
        self.store = store or Store.open(file, clock, (LEDGER, SESSIONS))
        if journals is None and options.state_dir:
            journals = Journals(options.state_dir, self.daemon_id)
        self.audit = Audit(self.store, clock, journals)
        self.watches = _watches(options, environment, self.daemon_id, redactor, clock)
        self.runtime = Runtime(
            source.config,
            environment=environment,
            transport=transport,
            clock=clock,
            redactor=redactor,
            config_file=str(source.place.path),
            books=Books(self.audit, clock),
            debug=options.debug,
            tap=self.watches.tap if self.watches else None,
            around=self.watches.around if self.watches else (),
        )
        if self.watches:
            self.watches.follow(self.runtime)
        self.runtime.on_availability = self._announce_availability
        self.sessions = Sessions(self.store, self.runtime)
        self.turns = Turns(self.sessions, _encoder)
        self.retention = Retention(self.sessions, self.store)
        self.retention.follow(source.config.retention)
        self.router = Router(self._admission)
        self.identity = DaemonIdentity(self.daemon_id, self.runtime.epoch, __version__, language=CAPABILITIES)
        self.listener = Listener(self.router, self.identity, clock=clock, on_change=self._note_clients)
        self._busy_at_s = self.started
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        ModelHandlers(self.runtime).register(self.router)
        ProviderHandlers(self.runtime).register(self.router)
        SessionHandlers(self.sessions, self.turns).register(self.router)
        TurnHandlers(self.turns, self.runtime).register(self.router)
        UsageHandlers(self.audit, self.runtime.price_of).register(self.router)
        ProviderExtraHandlers(self.runtime).register(self.router)
        ConfigHandlers(self.source).register(self.router)
        TextDocumentHandlers(self.source).register(self.router)
        DaemonHandlers(self.status, self.stop).register(self.router)
        self.source.on_change = self.apply_config

    # ---- config

    def apply_config(self, change: ConfigChanged, words: str) -> None:
        """A config was read: put it in force if it is good, and tell every client either way."""
        if change.applied and self.runtime.snapshot.version != change.version:
            self.runtime.apply(self.source.config, change.version)
            self.retention.follow(self.source.config.retention)
        (_log.info if change.applied else _log.warning)(f"config: {words}", version=change.version)
        self._broadcast("config/changed", change)

    def _announce_availability(self, change: AvailabilityChanged) -> None:
        self._broadcast("availability/changed", change)

    def _broadcast(self, method: str, params: Any) -> None:
        for connection in tuple(self.listener.connections):
            if connection.phase is Phase.READY:
                connection.notify(method, params)

    # ---- the end

    def _admission(self) -> RpcError | None:
        return shutting_down() if self.draining else None

    def stop(self, *, force: bool = False) -> None:
        """Begin to drain; a second time, or by force, cancel what runs."""
        if self._stopping.is_set() or force:
            self._forced.set()
        self.draining = True
        self._stopping.set()

    async def serve(self) -> None:
        """Serve until told to stop, then drain."""
        beside = [
            asyncio.create_task(work)
            for work in (
                self.sessions.recover(),
                self.runtime.warm_up(),
                self.source.watch(),
                self._leave_when_idle(),
                self.audit.upkeep(),
                self.retention.run(),
            )
        ]
        try:
            await self._stopping.wait()
            await self._drain()
        finally:
            for task in beside:
                task.cancel()
            await self.listener.close(limits.FAREWELL_S)
            await self.turns.close()
            await self.runtime.close()
            if self.watches:
                await self.watches.close()
            await self.audit.close()
            await self.store.close()

    async def _drain(self) -> None:
        """No new connections and calls; running ones get their time, then they are cancelled and still get their reply."""
        _log.info("draining", running=self._running())
        self.listener.stop_accepting()
        await self._until_quiet(limits.DRAIN_S)
        self._forced.clear()
        for connection in tuple(self.listener.connections):
            connection.cancel_requests()
        self.turns.cancel_all()
        await self._until_quiet(limits.CANCEL_S)

    async def _until_quiet(self, patience_s: float) -> None:
        """Wait until nothing runs, for so long at most; a second request to stop ends the wait."""
        deadline_s = self.clock.monotonic() + patience_s
        while self._running() and not self._forced.is_set() and self.clock.monotonic() < deadline_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._forced.wait(), _DRAIN_LOOK_S)

    def _running(self) -> int:
        """Requests that wait for their answer, or calls without a client, whichever are more."""
        calls = max(self.runtime.calls_running, self.turns.running)
        return max(calls, sum(connection.requests_in_flight for connection in self.listener.connections))

    async def _leave_when_idle(self) -> None:
        """Idle exit: nobody connected and nothing running for the whole time."""
        patience_s = self.options.idle_exit_s
        if not patience_s:
            return
        while True:
            await asyncio.sleep(min(patience_s / 4, 5))
            now_s = self.clock.monotonic()
            if self.listener.connections or self.runtime.calls_running or self.turns.running:
                self._busy_at_s = now_s
            elif now_s - self._busy_at_s >= patience_s:
                _log.info("idle: leaving")
                self.stop()
                return

    def _note_clients(self, _count: int) -> None:
        self._busy_at_s = self.clock.monotonic()

    # ---- what it says of itself

    def status(self) -> DaemonStatus:
        """For `daemon/status`."""
        running = self.runtime.calls_running
        return DaemonStatus(
            version=__version__,
            daemon_id=self.daemon_id,
            epoch=self.runtime.epoch,
            pid=os.getpid(),
            uptime_seconds=self.clock.monotonic() - self.started,
            socket=str(self.options.socket) if self.options.socket else None,
            config_file=str(self.source.file) if self.source.file else None,
            config_version=self.runtime.snapshot.version,
            config_valid=self.source.valid,
            clients=len(self.listener.connections),
            running_calls=running,
            queued_calls=self.runtime.calls_waiting + self.runtime.calls_waiting_for_keys,
            calls_total=self.runtime.calls_total,
            rss_bytes=_rss_bytes(),
            providers={provider.name: provider.availability for provider in self.runtime.providers()},
            draining=self.draining,
            sessions=self.sessions.count(),
            store=self._store_status(),
            keys=self.runtime.keys(),
        )

    def _store_status(self) -> StoreStatus:
        health = self.store.health
        return StoreStatus(
            path=str(health.path) if health.path else None,
            size_bytes=health.size_bytes,
            writable=health.writable,
            waiting=health.waiting + self.audit.waiting,
            last_error=health.last_error,
            last_error_at=timestamp(health.last_error_ms) if health.last_error_ms is not None else None,
            put_aside=str(health.put_aside) if health.put_aside else None,
        )


def _watches(
    options: Options, environment: Mapping[str, str], instance: str, redactor: Redactor, clock: Clock
) -> "Watches | None":
    """What watches calls; its modules are not even imported where nobody asked for it."""
    if options.artefacts is None and not environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    from .observing import Watches

    return Watches(environment, instance, redactor, clock, options.artefacts, options.debug)


def _encoder(request_id: str, epoch: str, session_id: str, turn_id: str, cursor: int) -> Encode:
    """What encodes the events of one turn."""
    return StreamEncoder(request_id, epoch, session_id, turn_id, cursor).encode


def _rss_bytes() -> int | None:
    """Resident memory now, where the system tells (Linux)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where there is one: half the cost of an idle wake-up; the stock loop else."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def quiet_collector() -> None:
    """Keep the cycle collector away from what lives as long as the process, and let it run less often: a thousand open
    streams are many young objects, and nearly all of them die by their reference count."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def handle_signals(daemon: Daemon) -> None:
    """SIGTERM and SIGINT drain; the second one ends it at once."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
