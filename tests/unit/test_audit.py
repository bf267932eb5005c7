"""The ledger: rows and what becomes of them, queries and sums, repricing, retention, clocks that jump, budgets."""

import asyncio
import os
import time
from typing import Any

import pytest

from modeld.clock import Clock
from modeld.config.schema import BudgetConfig
from modeld.ledger.audit import Audit, CallFacts
from modeld.ledger.budgets import BudgetExceeded, Budgets
from modeld.ledger.pricing import cost_of
from modeld.ledger.store import Store
from modeld.server.errors import RpcError
from modeld.server.handlers.usage import UsageHandlers
from modeld_protocol.errors import REQUEST_FAILED
from modeld_protocol.model import Pricing
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import UsageAggregateParams, UsageQueryParams, UsageRepriceParams
from modeld_protocol.usage import Cost, Metrics, Usage

pytestmark = pytest.mark.anyio

NOON_S = time.mktime((2026, 1, 20, 12, 0, 0, 0, 0, -1))
DAY_S = 86_400.0
PRICES = {"a:x": Pricing(input=3.0, output=15.0, cache_read=0.3, cache_write=3.75, version="v1")}


class Wall:
    """A calendar clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def store():
    store = Store.open(None)
    yield store
    await store.close()


@pytest.fixture
def audit(store: Store, wall: Wall) -> Audit:
    return Audit(store, Clock(wall=wall))


def answer(model: str = "a:x", tokens: tuple[int, int, int, int] = (1_000, 100, 0, 0), **changes: Any) -> CanonicalResponse:
    usage = Usage(*tokens, None, sum(tokens))
    fields: dict[str, Any] = {
        "request_id": "req_1",
        "model": model,
        "provider": model.partition(":")[0],
        "content": [],
        "stop_reason": "end_turn",
        "usage": usage,
        "cost": cost_of(usage, PRICES.get(model))[0],
        "metrics": Metrics(12.5, 2, 3.5, provider_request_id="up-1"),
        "warnings": [],
    }
    return CanonicalResponse(**{**fields, **changes})


async def call(audit: Audit, response: CanonicalResponse | None = None, status: str = "completed", **facts: Any) -> int:
    """One call from its beginning to its end."""
    given = CallFacts(**{"request_id": "req_1", "provider": "a", "model": "a:x", "streamed": True, **facts})
    row, begun = audit.begin(given)
    await written(begun)
    await written(audit.finish(row, status, response, None if status == "completed" else "network"))
    return row[0]


async def written(done: "asyncio.Future[None] | None") -> None:
    if done is not None:
        await done


async def rows(audit: Audit, **params: Any) -> list[Any]:
    return (await audit.query(UsageQueryParams(**params))).rows


# ---- rows


async def test_a_row_from_its_beginning_to_its_end(audit: Audit, wall: Wall) -> None:
    facts = CallFacts("req_1", "a", "a:x", True, "me", "ses_1", "turn_1")
    entry, begun = audit.begin(facts)
    await written(begun)
    (row,) = await rows(audit)
    assert (row.status, row.usage, row.cost, row.finished_at) == ("started", None, None, None)
    assert row.started_at == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(NOON_S))
    wall.now_s += 2
    usage = Usage(1, 2, 3, 4, 1, 10, False, 4, 2, "1h")
    response = answer(usage=usage, served_model="x-2026")
    await written(audit.finish(entry, "completed", response))
    (row,) = await rows(audit)
    assert (row.status, row.usage, row.cost) == ("completed", usage, response.cost)
    assert (row.client_id, row.session_id, row.turn_id, row.streamed) == ("me", "ses_1", "turn_1", True)
    assert (row.latency_ms, row.time_to_first_token_ms, row.attempts, row.provider_request_id) == (12.5, 3.5, 2, "up-1")
    assert (row.stop_reason, row.served_model, row.error_class) == ("end_turn", "x-2026", None)
    assert row.finished_at > row.started_at


async def test_unknown_is_null_and_never_zero(audit: Audit) -> None:
    await call(audit, None, "failed")
    await call(audit, answer("a:free"), "completed", model="a:free")
    entry, begun = audit.begin(CallFacts("req_2", "a", "a:x", False))
    await written(begun)
    await written(audit.finish(entry, "failed", answer(), "auth", charged=False))
    refused, free, failed = await rows(audit)
    assert (failed.usage, failed.cost, failed.error_class) == (None, None, "network")
    assert (free.usage.input_tokens, free.cost) == (1_000, None)
    assert (refused.usage.input_tokens, refused.cost, refused.error_class) == (1_000, None, "auth")
    (free_sum,) = [group for group in (await audit.aggregate(UsageAggregateParams())).groups if group.key == "a:free"]
    assert (free_sum.total_cost, free_sum.cache_savings, free_sum.unpriced_calls) == (None, None, 1)


async def test_a_refused_call_has_its_row_and_counts_as_free(audit: Audit) -> None:
    audit.refuse(CallFacts("req_1", "", "", False, "me"), "model_not_found")
    await asyncio.sleep(0)
    (row,) = await rows(audit)
    assert (row.status, row.error_class, row.provider, row.model, row.usage) == ("failed", "model_not_found", "", "", None)
    (group,) = (await audit.aggregate(UsageAggregateParams())).groups
    assert (group.key, group.calls, group.failed_calls, group.unknown_calls, group.unpriced_calls) == ("", 1, 1, 0, 0)


async def test_an_answer_of_another_model_is_on_its_account(audit: Audit) -> None:
    await call(audit, answer("b:y"))
    assert [(row.provider, row.model) for row in await rows(audit)] == [("b", "b:y")]


async def test_rows_keep_their_order_whatever_the_clock_does(audit: Audit, wall: Wall, store: Store) -> None:
    for number, jump_s in enumerate((0, 365 * DAY_S, -730 * DAY_S, -3_600, 0)):
        wall.now_s += jump_s
        await call(audit, answer(), request_id=f"req_{number}")
    again = Audit(store, Clock(wall=wall))  # a daemon that starts with the clock a year back
    await call(again, answer(), request_id="req_5")
    assert [row.request_id for row in await rows(audit)] == [f"req_{number}" for number in (5, 4, 3, 2, 1, 0)]


async def test_a_restart_settles_what_it_finds_open(audit: Audit, store: Store, wall: Wall) -> None:
    _, begun = audit.begin(CallFacts("req_mine", "a", "a:x", True))
    await written(begun)
    child = await asyncio.create_subprocess_exec("true")
    await child.wait()
    for name, pid, age_s in (("req_dead", child.pid, 1), ("req_alive", os.getppid(), 1), ("req_old", os.getppid(), 3 * 3_600)):
        started_ms = int((wall.now_s - age_s) * 1000)
        await store.write(
            "INSERT INTO calls (seq, pid, request_id, status, started_ms, provider, model, streamed)"
            " VALUES (?, ?, ?, 'started', ?, 'a', 'a:x', 0)",
            (started_ms << 20 | pid, pid, name, started_ms),
        )
    assert await audit.settle_interrupted() == 2
    assert {row.request_id: row.status for row in await rows(audit)} == {
        "req_mine": "started",
        "req_dead": "interrupted",
        "req_alive": "started",
        "req_old": "interrupted",
    }
    wall.now_s += 1
    assert await Audit(store, Clock(wall=wall)).settle_interrupted() == 1, "its own number again, and an earlier life"


# ---- queries


async def test_pages_have_every_row_once_and_filters_hold(audit: Audit, wall: Wall) -> None:
    for number in range(25):
        wall.now_s += 60
        facts = {"model": f"a:{number % 2}", "client_id": f"c{number % 3}", "session_id": f"s{number % 5}"}
        await call(audit, answer(f"a:{number % 2}"), request_id=f"req_{number}", **facts)
    seen: list[str] = []
    cursor = None
    while True:
        page = await audit.query(UsageQueryParams(limit=10, cursor=cursor))
        seen += [row.request_id for row in page.rows]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [f"req_{number}" for number in reversed(range(25))]
    assert len(await rows(audit, model="a:1")) == 12
    assert len(await rows(audit, client_id="c0", session_id="s0")) == 2
    assert len(await rows(audit, since="10m")) == 11
    assert len(await rows(audit, since="10m", until="5m")) == 5
    assert len(await rows(audit, request_id="req_7", status="completed")) == 1
    assert len(await rows(audit, provider="nobody")) == 0
    day = time.strftime("%Y-%m-%d", time.localtime(wall.now_s))
    assert len(await rows(audit, since=day)) == 25
    assert len(await rows(audit, until=day)) == 0
    assert len(await rows(audit, since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall.now_s)))) == 1


@pytest.mark.parametrize(
    "params",
    [
        *({"since": "soon"}, {"until": ""}, {"since": "9" * 30 + "d"}),
        *({"cursor": cursor} for cursor in ("x", "", "²", str(2**63), "9" * 30)),
    ],
)
async def test_what_is_no_time_or_cursor_is_told(audit: Audit, params: dict[str, str]) -> None:
    if params == {"since": "9" * 30 + "d"}:
        assert await rows(audit, **params) == []
        return
    with pytest.raises(ValueError, match=r"write it like|begin again"):
        await audit.query(UsageQueryParams(**params))


async def test_a_ledger_that_can_not_be_read_is_no_defect(audit: Audit, store: Store) -> None:
    handlers = UsageHandlers(audit, PRICES.get)
    await store.write("DROP TABLE calls")
    context: Any = None
    for asked in (
        handlers.query(context, UsageQueryParams()),
        handlers.aggregate(context, UsageAggregateParams("day")),
        handlers.reprice(context, UsageRepriceParams()),
    ):
        with pytest.raises(RpcError, match="modeld doctor") as refused:
            await asked
        assert refused.value.code == REQUEST_FAILED


async def test_sums_are_those_of_the_rows(audit: Audit, wall: Wall) -> None:
    for number in range(12):
        await call(
            audit,
            answer("a:x" if number % 3 else "b:free", (number, 2 * number, 10, 5)),
            model="a:x" if number % 3 else "b:free",
            client_id=f"c{number % 2}",
            session_id="s" if number % 4 == 0 else None,
        )
        wall.now_s += DAY_S / 4
    found = await rows(audit)
    for by, key in (("model", "model"), ("provider", "provider"), ("client", "client_id"), ("session", "session_id")):
        groups = (await audit.aggregate(UsageAggregateParams(group_by=by))).groups
        for group in groups:
            mine = [row for row in found if (getattr(row, key) or "") == group.key]
            assert (group.calls, group.usage.input_tokens) == (len(mine), sum(row.usage.input_tokens for row in mine))
            assert group.usage.total_tokens == sum(row.usage.total_tokens for row in mine)
            costs = [row.cost.total_cost for row in mine if row.cost]
            assert group.total_cost == (pytest.approx(sum(costs), abs=1e-15) if costs else None)
            assert group.unpriced_calls == len(mine) - len(costs)
        assert sum(group.calls for group in groups) == 12
    days = (await audit.aggregate(UsageAggregateParams(group_by="day", model="a:x"))).groups
    assert [day.key for day in days] == sorted(
        {time.strftime("%Y-%m-%d", time.localtime(NOON_S + n * DAY_S / 4)) for n in range(12)}
    )
    assert sum(day.calls for day in days) == 8


async def test_money_of_two_currencies_is_not_added_up(audit: Audit) -> None:
    for currency in ("USD", "USD", "CNY"):
        cost = Cost(currency, 1, 0, 0, 0, 1.0, 0, "configured", "v")
        await call(audit, answer(cost=cost))
    await call(audit, answer(cost=None))
    groups = (await audit.aggregate(UsageAggregateParams())).groups
    assert [(group.key, group.currency, group.calls, group.total_cost) for group in groups] == [
        ("a:x", "USD", 3, 2.0),
        ("a:x", "CNY", 1, 1.0),
    ]


# ---- upkeep


async def test_repricing_takes_the_prices_of_now(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.ledger.audit._CHUNK", 2)
    for _ in range(3):
        await call(audit, answer(tokens=(1_000_000, 0, 0, 0)))
    await call(audit, answer("a:free", tokens=(1_000_000, 0, 0, 0)), model="a:free")
    await call(audit, answer("a:gone"), model="a:gone")
    reported = cost_of(Usage(1_000_000, 0, 0, 0), PRICES["a:x"], 7.0)[0]
    await call(audit, answer(tokens=(1_000_000, 0, 0, 0), cost=reported))
    await call(audit, None, "failed")
    new = {"a:x": Pricing(input=4.0, output=1.0, version="v2"), "a:free": Pricing(input=1.0, output=1.0, version="v2")}
    result = await audit.reprice(UsageRepriceParams(), new.get)
    assert (result.calls, result.changed, result.unpriced) == (6, 5, 1)
    costs = [row.cost and (row.cost.total_cost, row.cost.pricing_version) for row in await rows(audit)]
    assert costs == [None, (7.0, "v2"), None, (1.0, "v2"), (4.0, "v2"), (4.0, "v2"), (4.0, "v2")]
    again = await audit.reprice(UsageRepriceParams(model="a:x"), new.get)
    assert (again.calls, again.changed) == (4, 0)
    assert sum(group.total_cost or 0 for group in (await audit.aggregate(UsageAggregateParams())).groups) == 20.0


async def test_old_rows_are_forgotten(audit: Audit, wall: Wall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.ledger.audit._CHUNK", 3)
    for number in range(10):
        await call(audit, answer(), request_id=f"req_{number}")
        wall.now_s += DAY_S
    assert await audit.forget_old() == 0, "for ever where nothing is said"
    audit.keep_days = 4.5
    assert await audit.forget_old() == 6
    assert [row.request_id for row in await rows(audit)] == ["req_9", "req_8", "req_7", "req_6"]


# ---- budgets


def dollars(amount: float, currency: str = "USD") -> Cost:
    return Cost(currency, amount, 0, 0, 0, amount, 0, "configured", "v")


def budgets(store: Store, first_seq: int = 2**62, **limits: float) -> Budgets:
    made = Budgets(store, first_seq)
    made.limits = {scope: BudgetConfig(limit) for scope, limit in limits.items()}
    return made


async def test_what_runs_is_reserved_and_what_ended_is_spent(store: Store) -> None:
    book = budgets(store, day=1.0)
    one = book.open(NOON_S, "me", None, dollars(0.4))
    two = book.open(NOON_S, "you", None, dollars(0.4))
    assert (one.warnings, [warning.code for warning in two.warnings]) == ([], ["budget_near"])
    with pytest.raises(BudgetExceeded, match=r"day budget of 1 USD.*0\.8 reserved.*budgets\.day\.limit"):
        book.open(NOON_S, "me", None, dollars(0.3))
    book.close(one, dollars(0.05))
    book.close(two, None)
    assert book.spent("day", time.strftime("%Y-%m-%d", time.localtime(NOON_S)), "USD") == 0.05
    book.close(book.open(NOON_S, "me", None, dollars(0.9)), dollars(1.2))  # it may end dearer than it was thought to be
    with pytest.raises(BudgetExceeded, match=r"1\.25 spent today"):
        book.open(NOON_S, "me", None, None)
    book.open(NOON_S + DAY_S, "me", None, dollars(0.9))


async def test_each_client_and_each_session_has_its_own(store: Store) -> None:
    book = budgets(store, client=1.0, session=2.0)
    for number in range(2):
        book.close(book.open(NOON_S + number * DAY_S, "me", "ses_1", dollars(1.0)), dollars(1.0))
    with pytest.raises(BudgetExceeded, match="session budget"):
        book.open(NOON_S + 2 * DAY_S, "me", "ses_1", dollars(0.1))
    with pytest.raises(BudgetExceeded, match="client budget"):
        book.open(NOON_S + DAY_S, "me", "ses_2", dollars(0.1))
    book.open(NOON_S + DAY_S, "you", "ses_2", dollars(0.1))
    book.open(NOON_S + 2 * DAY_S, None, None, dollars(9.0))


async def test_other_money_does_not_count(store: Store) -> None:
    book = budgets(store, day=1.0)
    book.close(book.open(NOON_S, None, None, dollars(50.0, "CNY")), dollars(50.0, "CNY"))
    assert book.open(NOON_S, None, None, dollars(0.1)).warnings == []


async def test_what_was_spent_before_a_restart_counts(audit: Audit, store: Store, wall: Wall) -> None:
    for age_s, client in ((DAY_S, "me"), (60, "me"), (60, "you")):
        wall.now_s = NOON_S - age_s
        await call(audit, answer(cost=dollars(0.4)), client_id=client, session_id="ses_1")
    wall.now_s = NOON_S
    again = Audit(store, Clock(wall=wall))
    limits = {"day": BudgetConfig(1.0), "client": BudgetConfig(0.5), "session": BudgetConfig(1.5)}
    book = Budgets(store, again.first_seq)
    today = time.strftime("%Y-%m-%d", time.localtime(NOON_S))
    assert [
        round(book.spent(*at), 9) for at in (("day", today, "USD"), ("client", f"{today} me", "USD"), ("session", "ses_1", "USD"))
    ] == [0.8, 0.4, 1.2]
    book.limits = limits
    with pytest.raises(BudgetExceeded, match="client budget"):
        book.open(NOON_S, "me", None, dollars(0.15))
    with pytest.raises(BudgetExceeded, match="day budget"):
        book.open(NOON_S, "him", None, dollars(0.25))
    book.open(NOON_S, "him", "ses_1", dollars(0.15))


async def test_rounding_leaves_nothing_reserved(store: Store) -> None:
    book = budgets(store, day=100.0)
    accounts = [book.open(NOON_S, "me", "s", dollars(0.1 * number)) for number in range(1, 30)]
    for account in accounts:
        book.close(account, None)
        book.close(account, None)
    assert book._reserved == {}
