"""Rows of calls on their way: written into the journal at once, and from there posted to the store, many in one transaction.

A row has two entries, its beginning and its end. The end holds everything that the beginning does, so that either may be posted
without the other, in any order, and twice. A beginning whose end has come before it was posted is never posted by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ..observe.log import logger
from .journal import Journal, Journals, Left, Record
from .store import RETRY_S, Statement, Store, StoreError

POST_S = 0.25  # from an entry until it is in the store
MAX_WAITING = 256  # entries that are posted before that time, so that no transaction is long

BEGUN_COLUMNS = (
    *("seq", "pid", "request_id", "status", "started_ms", "provider", "model", "streamed"),
    *("client_id", "session_id", "turn_id", "adapter_version"),
)
ENDED_COLUMNS = (
    *BEGUN_COLUMNS,
    *("error_class", "finished_ms", "stop_reason", "latency_ms", "time_to_first_token_ms", "attempts", "provider_request_id"),
    *("served_model", "input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_input_tokens"),
    *("cache_creation_1h_input_tokens", "reasoning_tokens", "estimated", "cache_breakpoints", "cache_ttl"),
    *("currency", "total_cost", "cache_savings", "cost"),
)
_COLUMNS = (BEGUN_COLUMNS, ENDED_COLUMNS)

Kind = Literal[0, 1]
BEGUN: Kind = 0
ENDED: Kind = 1

_Batch = dict[int, Statement]  # by the row's number: an end takes the place of its beginning
_Done = asyncio.Future[None]

_log = logger("ledger")


def _insert(names: Sequence[str]) -> str:
    return f"INSERT INTO calls ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) ON CONFLICT (seq) DO "  # noqa: S608


_KEPT = ("seq", "pid", "request_id", "started_ms")
_STATEMENTS = (
    _insert(_COLUMNS[BEGUN]) + "NOTHING",
    # What has ended stays as it is, repriced perhaps since then.
    _insert(_COLUMNS[ENDED])
    + "UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[ENDED] if name not in _KEPT)
    + " WHERE calls.status IN ('started', 'interrupted') AND calls.pid = excluded.pid",
)


class Posting:
    """The way of rows into `store`: over a journal where there are `journals`, else each by itself."""

    def __init__(self, store: Store, journals: Journals | None = None) -> None:
        self._store = store
        self._journals = journals
        self._journal: Journal | None = None
        self._open_at_s = 0.0
        self._waiting: _Batch = {}
        self._on_its_way: set[_Done] = set()
        self._behind = False  # the store didn't take what waits
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many rows are not in the store yet."""
        return len(self._waiting)

    def ready(self) -> None:
        """Open the journal now, so that the first call finds it open."""
        if self._journal is None:
            self._open()

    def enter(self, kind: Kind, values: tuple[Any, ...], *, keep: bool) -> _Done | None:
        """Write an entry down, `values` in the order of its columns: None where that is done, else its commit to wait for, which
        raises StoreError. With `keep` it isn't forgotten where it can't be written now."""
        journal = self._journal or self._open()
        shut = not keep and (self._behind or self._store.failing is not None)
        if shut or journal is None or not journal.append((kind, values)):
            return self._write_through(kind, values, keep=keep)
        self._waiting[values[0]] = (_STATEMENTS[kind], values)
        if len(self._waiting) >= MAX_WAITING:
            self.post()
        elif self._timer is None:
            self._look_later()
        return None

    def _write_through(self, kind: Kind, values: tuple[Any, ...], *, keep: bool) -> _Done:
        """The slow way, without a journal: a commit."""
        self.post()
        statement = (_STATEMENTS[kind], values)
        done = self._store.write(*statement)
        if keep and done.done():
            self._posted(done, {values[0]: statement})
        elif keep:
            done.add_done_callback(lambda done: self._posted(done, {values[0]: statement}))
        return done

    def _open(self) -> Journal | None:
        now_s = asyncio.get_running_loop().time()
        if self._journals is None or now_s < self._open_at_s:
            return None
        try:
            self._journal = self._journals.open()
        except OSError as error:
            self._open_at_s = now_s + RETRY_S
            _log.error("no journal can be made; each row is committed by itself", reason=str(error))
        return self._journal

    # ---- into the store

    def post(self) -> None:
        """Write what waits into the store, at once where that can be."""
        if self._waiting and self._store.failing is None:
            batch, self._waiting = self._waiting, {}
            self._write(list(batch.values()), lambda done: self._posted(done, batch))
        self._look_later()

    def _write(self, statements: list[Statement], then: Callable[[_Done], None]) -> None:
        done = self._store.write_many(statements)
        self._store.commit_now()
        if done.done():
            then(done)
        else:  # another process writes just now
            self._on_its_way.add(done)
            done.add_done_callback(self._on_its_way.discard)
            done.add_done_callback(then)

    def _posted(self, done: _Done, batch: _Batch) -> None:
        error = _error_of(done)
        if isinstance(error, StoreError):
            for seq, statement in batch.items():
                known = self._waiting.get(seq)
                if known is None or len(known[1]) < len(statement[1]):  # an end says more than a beginning
                    self._waiting[seq] = statement
            self._behind = True
            self._look_later()
            return
        self._behind = False
        if error is not None:
            self._write_apart(list(batch.values()), error)
        if self._journal is not None and not self._waiting and not self._on_its_way:
            self._journal.clear()

    def _write_apart(self, statements: list[Statement], error: BaseException) -> None:
        """One of them can't be written, which shall not keep the others away. The log tells of the one."""
        _log.error("rows can't be written together", count=len(statements), reason=type(error).__name__)
        for statement in statements if len(statements) > 1 else ():
            self._store.write_soon(*statement)
        self._store.commit_now()

    def _look_later(self) -> None:
        if self._waiting and self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(POST_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self.post()

    # ---- what others left, and the end

    def take_over(self) -> int:
        """Post what is in the journals of other processes, dead or alive; returns the highest number of their rows, else 0."""
        highest = 0
        for left in self._journals.others() if self._journals is not None else ():
            batch: _Batch = {}
            for record in left.records:
                if (statement := statement_of(record)) is not None:
                    batch[statement[1][0]] = statement
            highest = max([highest, *batch])
            self._write(list(batch.values()), lambda done, left=left, batch=batch: self._taken(done, left, batch))
        return highest

    def _taken(self, done: _Done, left: Left, batch: _Batch) -> None:
        error = _error_of(done)
        if isinstance(error, StoreError):
            _log.error("a journal that was left behind is not taken over yet", reason=error.message)
        elif error is not None:
            self._write_apart(list(batch.values()), error)
        left.close(taken_over=not isinstance(error, StoreError))

    async def catch_up(self) -> None:
        """Have everything in the store that was entered until now, here and by processes that died or live beside this one."""
        self.take_over()
        self.post()
        while self._on_its_way:
            await asyncio.wait(self._on_its_way)

    async def close(self) -> None:
        """Post what waits and let go of the journal; where the store takes nothing it stays for the next process."""
        self._closed = True
        self.post()
        while self._on_its_way:
            await asyncio.wait(self._on_its_way)
        if self._timer is not None:
            self._timer.cancel()
        if self._journal is not None:
            self._journal.close()
        self._journal = self._journals = None


def _error_of(done: _Done) -> BaseException | None:
    return None if done.cancelled() else done.exception()


def statement_of(record: Record) -> Statement | None:
    """What a record of a journal says, None where it says nothing that we know."""
    kind, values = record
    if kind not in (BEGUN, ENDED) or len(values) != len(_COLUMNS[kind]) or type(values[0]) is not int:
        return None
    return (_STATEMENTS[kind], values) if all(map(_fits, values)) else None


def _fits(value: object) -> bool:
    """Whether it has a place in a column."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return value is None or isinstance(value, str | float | bytes)
