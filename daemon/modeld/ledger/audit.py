"""The ledger: a row per call, begun before its request leaves and finished before its client hears the end."""

import asyncio
import os
import sqlite3
from collections.abc import Callable

import msgspec

from modeld_protocol.model import Pricing
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import (
    UsageAggregateParams,
    UsageAggregateResult,
    UsageQueryParams,
    UsageQueryResult,
    UsageRepriceParams,
    UsageRepriceResult,
)
from modeld_protocol.usage import Cost

from ..clock import Clock
from ..observe.log import logger
from . import queries
from .journal import Journals
from .posting import BEGUN, ENDED, ENDED_COLUMNS, Posting
from .pricing import cost_of
from .store import Store

MAX_ID_CHARS = 256  # of what a client calls itself and its requests
INTERRUPTED_MS = 2 * 3_600_000  # no call lives that long: its process is gone even if another one has its id now
RETENTION_EVERY_S = 3_600.0
_PAUSE_S = 0.02  # between two chunks, for whoever wants to write
_CHUNK = 500  # rows of one transaction of upkeep: 5 ms

_REPRICE = "UPDATE calls SET currency=?, total_cost=?, cache_savings=?, cost=? WHERE seq=?"
_INTERRUPT = "UPDATE calls SET status='interrupted' WHERE seq=? AND status='started'"

_NOTHING = (None,) * (len(ENDED_COLUMNS) - 14)  # of an end after `finished_ms`: nothing is known

Begun = tuple[int, int, str, str, int, str, str, int, str | None, str | None, str | None, str | None]
"""The row of a call that has begun, in the order of its columns."""

Prices = Callable[[str], Pricing | None]
"""The price of a model by its id, None where there is none now."""

_log = logger("ledger")
_encode = msgspec.json.Encoder().encode


class CallFacts(msgspec.Struct):
    """What is known of a call before it begins. Empty `provider` and `model` where it never came to one."""

    request_id: str
    provider: str
    model: str
    streamed: bool
    client_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    adapter_version: str | None = None


class Audit:
    """Writes and reads the rows of calls. What it returns to be awaited is the commit; it raises StoreError."""

    def __init__(self, store: Store, clock: Clock, journals: Journals | None = None) -> None:
        self._store = store
        self._clock = clock
        self._posting = Posting(store, journals)
        self._pid = os.getpid()
        self._salt = int.from_bytes(clock.token(2), "big") >> 4 << 8
        self._seq = self.first_seq = self._begin_seq()
        self.keep_days: float | None = None

    @property
    def store(self) -> Store:
        """Where the rows are."""
        return self._store

    @property
    def waiting(self) -> int:
        """How many rows are not in the store yet."""
        return self._posting.waiting

    def _begin_seq(self) -> int:
        left = self._posting.take_over()
        ((highest,),) = self._store.read_now("SELECT max(seq) FROM calls")
        return max((highest or 0) + 1, left + 1, self._seq_of(self._now_ms()))

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)

    def _seq_of(self, now_ms: int) -> int:
        """Milliseconds, then 12 bits of chance that keep processes with one store apart, then 8 bits to count with."""
        return now_ms << 20 | self._salt

    # ---- writing

    def begin(self, facts: CallFacts) -> tuple[Begun, "asyncio.Future[None] | None"]:
        """Write the row of a call that is about to be sent: the row, and its commit, None where it is written down already."""
        row = self._begun(facts, "started", self._now_ms())
        return row, self._posting.enter(BEGUN, row, keep=False)

    def _begun(self, facts: CallFacts, status: str, now_ms: int) -> Begun:
        seq = now_ms << 20 | self._salt
        self._seq = seq = seq if seq > self._seq else self._seq + 1
        client_id = facts.client_id
        return (
            seq,
            self._pid,
            facts.request_id[:MAX_ID_CHARS],
            status,
            now_ms,
            facts.provider[:MAX_ID_CHARS],
            facts.model[:MAX_ID_CHARS],  # what was asked for, where there is no such model
            int(facts.streamed),
            client_id and client_id[:MAX_ID_CHARS],
            facts.session_id,
            facts.turn_id,
            facts.adapter_version,
        )

    def refuse(self, facts: CallFacts, error_class: str, status: str = "failed") -> None:
        """Write the row of a call that ended before anything was sent; its commit is not waited for."""
        now_ms = self._now_ms()
        done = self._posting.enter(ENDED, (*self._begun(facts, status, now_ms), error_class, now_ms, *_NOTHING), keep=False)
        if done is not None:
            done.add_done_callback(_told)

    def finish(
        self, row: Begun, status: str, outcome: CanonicalResponse | None, error_class: str | None = None, *, charged: bool = True
    ) -> "asyncio.Future[None] | None":
        """Complete a row; as `begin`. `outcome` is what the call came to, None where nothing was made of it; `charged` is false
        where the provider refused the call, so that what it would have cost is no cost."""
        seq, pid, request_id, _, started_ms, provider, model, *whose = row
        now_ms = self._now_ms()
        if outcome is None:
            values = (seq, pid, request_id, status, started_ms, provider, model, *whose, error_class, now_ms, *_NOTHING)
            return self._posting.enter(ENDED, values, keep=True)
        usage, metrics, cost = outcome.usage, outcome.metrics, outcome.cost if charged else None
        values = (
            seq,
            pid,
            request_id,
            status,
            started_ms,
            outcome.provider,
            outcome.model,
            *whose,
            error_class,
            now_ms,
            outcome.stop_reason,
            metrics.latency_ms,
            metrics.time_to_first_token_ms,
            metrics.attempts,
            metrics.provider_request_id,
            outcome.served_model,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_input_tokens,
            usage.cache_creation_input_tokens,
            usage.cache_creation_1h_input_tokens,
            usage.reasoning_tokens,
            usage.estimated,
            usage.cache_breakpoints,
            usage.cache_ttl,
            *_money(cost),
        )
        return self._posting.enter(ENDED, values, keep=True)

    async def close(self) -> None:
        """Have every row in the store."""
        await self._posting.close()

    # ---- reading

    async def query(self, params: UsageQueryParams) -> UsageQueryResult:
        """Rows, newest first. Raises ValueError for a date or cursor that is none."""
        select = queries.plan_rows(params, self._now_ms())
        await self._posting.catch_up()
        return await self._store.read(lambda connection: queries.fetch_rows(connection, select))

    async def aggregate(self, params: UsageAggregateParams) -> UsageAggregateResult:
        """Sums by group. Raises ValueError for a date that is none."""
        select = queries.plan_groups(params, self._now_ms())
        await self._posting.catch_up()
        return await self._store.read(lambda connection: queries.fetch_groups(connection, select))

    # ---- upkeep

    async def reprice(self, params: UsageRepriceParams, prices: Prices) -> UsageRepriceResult:
        """Price stored calls again, from their token counts and the prices of now. What a provider reported stays the total;
        rows of models without a price now keep what they have. Raises ValueError for a date that is none."""
        result = UsageRepriceResult(0, 0, 0)
        where, values = queries.plan_pricing(params, self._now_ms())
        await self._posting.catch_up()
        after = 0
        while True:
            rows = await self._store.read(_some_usage(where, (after, *values)))
            if not rows:
                return result
            changes = [change for row in rows if (change := _repriced(row, prices, result)) is not None]
            if changes:
                await self._store.write_many([(_REPRICE, change) for change in changes])
            after = rows[-1][0]

    async def settle_interrupted(self) -> int:
        """Mark the calls whose daemon died: nobody will finish them. Returns how many there were."""
        now_ms = self._now_ms()
        await self._posting.catch_up()
        open_rows: list[tuple[int, int, int]] = await self._store.read(
            lambda connection: connection.execute("SELECT seq, pid, started_ms FROM calls WHERE status = 'started'").fetchall()
        )
        dead = [seq for seq, pid, started_ms in open_rows if self._dead(seq, pid, now_ms - started_ms)]
        for at in range(0, len(dead), _CHUNK):
            await self._store.write_many([(_INTERRUPT, (seq,)) for seq in dead[at : at + _CHUNK]])
        if dead:
            _log.warning("calls were interrupted", count=len(dead))
        return len(dead)

    def _dead(self, seq: int, pid: int, age_ms: int) -> bool:
        if pid == self._pid:
            return seq < self.first_seq
        return age_ms > INTERRUPTED_MS or not _alive(pid)

    async def forget_old(self) -> int:
        """Delete the rows that are older than `keep_days`; returns how many."""
        if self.keep_days is None:
            return 0
        before_ms = self._now_ms() - int(self.keep_days * 86_400_000)
        gone = 0
        while count := await self._store.beside(_forget_some(before_ms)):
            gone += count
            await asyncio.sleep(_PAUSE_S)
        if gone:
            await self._store.compact()
            _log.info("old calls forgotten", count=gone, keep_days=self.keep_days)
        return gone

    async def upkeep(self) -> None:
        """For as long as the daemon lives: settle what a death left open, and forget what is too old."""
        self._posting.ready()
        while True:
            try:
                await self.settle_interrupted()
                await self.forget_old()
            except Exception as error:
                _log.error("upkeep failed", exception=error)
            await asyncio.sleep(RETENTION_EVERY_S)


def _forget_some(before_ms: int) -> Callable[[sqlite3.Connection], int]:
    some = "SELECT seq FROM calls WHERE started_ms < ? ORDER BY started_ms LIMIT ?"
    sql = f"DELETE FROM calls WHERE seq IN ({some})"  # noqa: S608 - constants
    return lambda connection: connection.execute(sql, (before_ms, _CHUNK)).rowcount


def _money(cost: Cost | None) -> tuple[str | None, float | None, float | None, bytes | None]:
    if cost is None:
        return None, None, None, None
    return cost.currency, cost.total_cost, cost.cache_savings, _encode(cost)


def _some_usage(where: str, values: tuple[object, ...]) -> Callable[[sqlite3.Connection], list[queries.PricedRow]]:
    return lambda connection: queries.fetch_pricing(connection, where, values, _CHUNK)


def _repriced(row: queries.PricedRow, prices: Prices, result: UsageRepriceResult) -> tuple[object, ...] | None:
    """The new money of one row; None where it stays."""
    seq, model, usage, old = row
    result.calls += 1
    pricing = prices(model)
    reported = old.total_cost if old is not None and old.source in ("provider_reported", "mixed") else None
    cost = None if pricing is None else cost_of(usage, pricing, reported)[0]
    if cost is None:
        result.unpriced += 1
        return None
    if cost == old:
        return None
    result.changed += 1
    return (*_money(cost), seq)


def _told(done: "asyncio.Future[None]") -> None:
    if (error := done.exception()) is not None:
        _log.error("a refused call has no row", reason=type(error).__name__)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
