"""Budgets: what is spent, what is promised to running calls, and what still may be. Amounts in the budget's currency.

A budget holds for everything in a day, for each client in a day, or for each session as long as it lives. A call reserves
what it may cost before it is sent; when it ends, what it did cost takes the reservation's place. Days are those of the
machine's time zone.
"""

import time
from collections.abc import Mapping
from typing import Literal

import msgspec

from modeld_protocol.usage import Cost, Warning

from ..config.schema import BudgetConfig
from .store import Store

DEFAULT_WARN_SHARE = 0.8
ASSUMED_OUTPUT_TOKENS = 4_096  # reserved for a call that sets no max_output_tokens: few answers are longer
_DAYS_KEPT = 4

Scope = Literal["day", "client", "session"]
_WHOSE = {"day": "today", "client": "by this client today", "session": "by this session"}
_THEN = {"day": "tomorrow", "client": "tomorrow", "session": "in a new session"}


class BudgetExceeded(Exception):
    """A call would go over a budget; nothing was sent. `message` says which, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Account(msgspec.Struct):
    """Where a call's money goes: the day, client and session whose it is, and what is reserved for it in which currency."""

    day: str
    client_id: str | None
    session_id: str | None
    currency: str | None = None
    reserved: float = 0.0
    warnings: list[Warning] = []

    def keys(self) -> dict[Scope, str]:
        """By scope."""
        keys: dict[Scope, str] = {"day": self.day}
        if self.client_id is not None:
            keys["client"] = f"{self.day} {self.client_id}"
        if self.session_id is not None:
            keys["session"] = self.session_id
        return keys


_Spent = dict[tuple[Scope, str, str], float]  # by scope, key and currency


class Budgets:
    """What is spent since the process began, by day, client and session; what came before is asked of the store once a key.

    `first_seq` is the number of this process's first call. Use it from the event loop alone.
    """

    def __init__(self, store: Store, first_seq: int) -> None:
        self.limits: Mapping[str, BudgetConfig] = {}
        self._store = store
        self._first_seq = first_seq
        self._spent: _Spent = {}
        self._before: _Spent = {}
        self._reserved: _Spent = {}
        self._days: list[str] = []
        self._minute = -1
        self._day = ""

    def open(self, now_s: float, client_id: str | None, session_id: str | None, estimate: Cost | None) -> Account:
        """Reserve what a call may cost. `estimate` is None where no price is known: such a call counts for nothing, and is
        refused only once a budget is used up. Raises BudgetExceeded, StoreError; nothing is reserved then."""
        minute = now_s // 60
        if minute != self._minute:
            self._minute, self._day = minute, self._day_of(now_s)
        account = Account(self._day, client_id, session_id)
        if estimate is not None:
            account.currency, account.reserved = estimate.currency, estimate.total_cost
        if self.limits:
            for scope, key in account.keys().items():
                if scope in self.limits:
                    self._check(scope, key, self.limits[scope], account)
        if account.reserved:
            self._move(self._reserved, account, account.currency, account.reserved)
        return account

    def close(self, account: Account, cost: Cost | None) -> None:
        """A call has ended: what it cost takes the place of what was reserved."""
        if account.reserved:
            self._move(self._reserved, account, account.currency, -account.reserved)
            account.reserved = 0.0
        if cost is not None:
            self._move(self._spent, account, cost.currency, cost.total_cost)

    def spent(self, scope: Scope, key: str, currency: str) -> float:
        """What was spent under one key, before this process too."""
        at = (scope, key, currency)
        if at not in self._before:
            self._before[at] = self._from_store(scope, key, currency)
        return self._before[at] + self._spent.get(at, 0.0)

    # ---- inside

    def _day_of(self, now_s: float) -> str:
        day = time.strftime("%Y-%m-%d", time.localtime(now_s))
        if day not in self._days:
            self._begin_day(day)
        return day

    def _begin_day(self, day: str) -> None:
        """Forget the day that was begun longest ago. Some are kept: a clock may jump ahead and come back."""
        self._days.append(day)
        if len(self._days) <= _DAYS_KEPT:
            return
        gone = self._days.pop(0)
        for table in (self._spent, self._before):
            for at in [at for at in table if at[0] != "session" and at[1].startswith(gone)]:
                del table[at]

    def _check(self, scope: Scope, key: str, budget: BudgetConfig, account: Account) -> None:
        held = self._reserved.get((scope, key, budget.currency), 0.0)
        spent = self.spent(scope, key, budget.currency)
        amount = account.reserved if account.currency == budget.currency else 0.0
        currency = budget.currency
        if spent >= budget.limit or spent + held + amount > budget.limit:
            raise BudgetExceeded(
                f"the {scope} budget of {_amount(budget.limit)} {currency} would be exceeded: {_amount(spent)} spent"
                f" {_WHOSE[scope]}, {_amount(held)} reserved by running calls, and this call may cost {_amount(amount)};"
                f" nothing was sent. Go on {_THEN[scope]}, set a smaller max_output_tokens, or raise budgets.{scope}.limit"
                " in models.yaml"
            )
        if spent + held + amount >= _warn_at(budget):
            near = f"{_amount(spent + held + amount)} of the {scope} budget of {_amount(budget.limit)} {currency}"
            message = f"{near} are spent, or may be by this call and those that run"
            detail = {"scope": scope, "spent": spent, "reserved": held, "limit": budget.limit, "currency": currency}
            account.warnings.append(Warning("budget_near", f"{message}; beyond the limit calls are refused", detail=detail))

    @staticmethod
    def _move(table: _Spent, account: Account, currency: str | None, amount: float) -> None:
        if currency is None or not amount:
            return
        for scope, key in account.keys().items():
            at = (scope, key, currency)
            left = table.get(at, 0.0) + amount
            if abs(left) < 1e-12:  # what rounding leaves of a reservation
                table.pop(at, None)
            else:
                table[at] = left

    def _from_store(self, scope: Scope, key: str, currency: str) -> float:
        """The sum of the calls that other processes began, before this one."""
        sql = "SELECT coalesce(sum(total_cost), 0.0) FROM calls WHERE seq < ? AND currency = ? AND "
        if scope == "session":
            terms, values = "session_id = ?", (key,)
        else:
            day, _, client_id = key.partition(" ")
            since_ms = int(time.mktime(time.strptime(day, "%Y-%m-%d")) * 1000)
            terms, values = "started_ms >= ?", (since_ms,)
            if scope == "client":
                terms, values = f"{terms} AND client_id = ?", (*values, client_id)
        ((total,),) = self._store.read_now(sql + terms, (self._first_seq, currency, *values))
        return float(total)


def _warn_at(budget: BudgetConfig) -> float:
    return budget.limit * DEFAULT_WARN_SHARE if budget.warn is None else budget.warn


def _amount(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if value else "0"
