"""What is measured of the daemon alone: CPU of its process by wire, by subscriber, by length of history; sessions in store."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from .client import Client
from .memory import settled_kib
from .processes import Daemon, Simulator
from .targets import Figures
from .worker import cpu_of

WIRES = ("openai_chat", "anthropic_messages", "openai_responses", "gemini", "ollama")
STREAM = "bench-n2000-s20-d0-f0-b20"
SINGLE = "bench-n400-s20-d1000-f0-b1"
SHORT = "bench-n10-s20-d0-f0-b10"
SUBSCRIBERS = (1, 10, 100)
HISTORIES = (10, 1_000)
STORED = 10_000
_TYPES = ("openai-compatible", "anthropic-compatible", "openai", "gemini", "ollama")
_TEXT = "the quick brown fox jumps over the lazy dog and then writes some code in python. " * 3


class Measure(msgspec.Struct, frozen=True):
    """`run` adds to the figures, all under names that begin with the measure's own; `unit` is theirs."""

    name: str
    title: str
    unit: str
    run: Callable[[Figures, Simulator, int], Coroutine[Any, Any, None]]


def _daemon(simulator: Simulator) -> Daemon:
    """A daemon with an adapter for each wire, named as it; every model is there as `<wire>:<model>`."""
    root = simulator.base_url.removesuffix("/v1")
    urls = {"openai-compatible": simulator.base_url, "openai": simulator.base_url}
    adapters = {wire: (kind, urls.get(kind, root)) for wire, kind in zip(WIRES, _TYPES, strict=True)}
    return Daemon(adapters, (STREAM, SINGLE, SHORT))


async def _cpu_us(daemon: Daemon, work: Awaitable[Any]) -> float:
    """µs of CPU that the daemon spends while `work` is done."""
    before = cpu_of(daemon.process.pid)
    await work
    return (cpu_of(daemon.process.pid) - before) * 1e6


async def _together(works: Iterable[Awaitable[Any]]) -> None:
    await asyncio.gather(*works)


async def _one_by_one(client: Client, method: str, params: Sequence[Any]) -> None:
    for one in params:
        await client.call(method, one)


# ---- wires


async def wires(figures: Figures, simulator: Simulator, rounds: int) -> None:
    """CPU per event of the same streams over every wire; ratios are of figures of the same round."""
    daemon, streams = _daemon(simulator), 4
    spent: dict[str, list[float]] = {wire: [] for wire in WIRES}
    try:
        async with await Client.connect(str(daemon.socket)) as client:
            for number in range(rounds + 1):
                for wire in WIRES:
                    before = client.events
                    params = {"model": f"{wire}:{STREAM}", "messages": "hello"}
                    cpu_us = await _cpu_us(daemon, _together(client.call("model/stream", params) for _ in range(streams)))
                    if number:  # the first round warms up
                        spent[wire].append(cpu_us / (client.events - before))
    finally:
        daemon.stop()
    for wire, values in spent.items():
        figures.measured[f"wires/{wire}"] = statistics.median(values)
        if wire != WIRES[0]:
            ratios = [mine / chat for mine, chat in zip(values, spent[WIRES[0]], strict=True)]
            figures.ratios[f"wires/{wire}"] = statistics.median(ratios)


# ---- sessions


def _history(count: int) -> list[dict[str, Any]]:
    """A history of an agent: questions, calls of a tool, their results, answers."""
    messages: list[dict[str, Any]] = []
    for number in range(0, count, 4):
        call = {"type": "tool_use", "id": f"tu_{number}", "name": "read", "input": {"path": f"src/{number}.py"}}
        result = {"type": "tool_result", "tool_use_id": f"tu_{number}", "content": _TEXT}
        messages += [
            {"role": "user", "content": _TEXT},
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, call]},
            {"role": "tool", "content": [result]},
            {"role": "assistant", "content": [{"type": "text", "text": _TEXT}]},
        ]
    return messages[:count] if count % 4 == 0 else messages[: count // 4 * 4] + messages[:1] + messages[3:4]


async def _session(client: Client, model: str, messages: int) -> str:
    session = {"session_id": "", "model": model, "created_at": "", "updated_at": ""}
    params = {"ir_version": 1, "session": session, "messages": _history(messages)}
    return (await client.call("session/import", params))["session"]["session_id"]


def _turn(session_id: str) -> dict[str, Any]:
    return {"session_id": session_id, "input": "go on"}


async def turns(figures: Figures, simulator: Simulator, rounds: int) -> None:
    """CPU per turn behind a short and a long history, over every wire. The provider's time is no CPU of the daemon."""
    daemon, timed = _daemon(simulator), 12
    spent: dict[str, list[float]] = {f"{wire}/{count}": [] for wire in WIRES for count in HISTORIES}
    try:
        async with await Client.connect(str(daemon.socket)) as client:
            for number in range(rounds + 1):
                for wire in WIRES:
                    sessions = {count: await _session(client, f"{wire}:{SHORT}", count) for count in HISTORIES}
                    for count, session_id in sessions.items():
                        await _one_by_one(client, "turn/start", [_turn(session_id)] * 2)  # read from the store, encoded once
                        cpu_us = await _cpu_us(daemon, _one_by_one(client, "turn/start", [_turn(session_id)] * timed))
                        if number:
                            spent[f"{wire}/{count}"].append(cpu_us / timed)
    finally:
        daemon.stop()
    figures.measured |= {f"turns/{name}": statistics.median(values) for name, values in spent.items()}
    short, long = HISTORIES
    for wire in WIRES:
        pairs = zip(spent[f"{wire}/{long}"], spent[f"{wire}/{short}"], strict=True)
        figures.ratios[f"turns/{wire}"] = statistics.median(mine / base for mine, base in pairs)


async def fanout(figures: Figures, simulator: Simulator, rounds: int) -> None:
    """CPU per event of a turn that others follow, and what each of them adds, where every event is a write of its own."""
    daemon, model = _daemon(simulator), f"{WIRES[0]}:{SINGLE}"
    spent: dict[int, list[float]] = {count: [] for count in SUBSCRIBERS}
    try:
        async with await Client.connect(str(daemon.socket)) as starter:
            followers = [await Client.connect(str(daemon.socket)) for _ in range(max(SUBSCRIBERS))]
            for number in range(rounds + 1):
                for count in SUBSCRIBERS:
                    session_id = (await starter.call("session/create", {"model": model}))["session"]["session_id"]
                    for follower in followers[:count]:
                        await follower.call("session/subscribe", {"session_id": session_id})
                    before = starter.events
                    cpu_us = await _cpu_us(daemon, starter.call("turn/start", _turn(session_id)))
                    events = starter.events - before
                    for follower in followers[:count]:
                        await follower.saw(events)
                        follower.events = 0
                        await follower.call("session/unsubscribe", {"session_id": session_id})
                    if number:
                        spent[count].append(cpu_us / events)
            for follower in followers:
                follower.close()
    finally:
        daemon.stop()
    alone = spent[SUBSCRIBERS[0]]
    for count in SUBSCRIBERS:
        figures.measured[f"fanout/{count}"] = statistics.median(spent[count])
        if count > SUBSCRIBERS[0]:
            added = [(many - one) / (count - SUBSCRIBERS[0]) for many, one in zip(spent[count], alone, strict=True)]
            figures.measured[f"fanout/{count}, more per subscriber"] = statistics.median(added)


async def journal(figures: Figures, simulator: Simulator, rounds: int) -> None:
    """CPU per event of a turn against that of the same stream without a session."""
    daemon, model = _daemon(simulator), f"{WIRES[0]}:{STREAM}"
    spent: dict[str, list[float]] = {"stream": [], "turn": []}
    try:
        async with await Client.connect(str(daemon.socket)) as client:
            for number in range(rounds + 1):
                session_id = (await client.call("session/create", {"model": model}))["session"]["session_id"]
                works = {
                    "stream": ("model/stream", {"model": model, "messages": "go on"}),
                    "turn": ("turn/start", _turn(session_id)),
                }
                for name, (method, params) in works.items():
                    before = client.events
                    cpu_us = await _cpu_us(daemon, _one_by_one(client, method, [params] * 3))
                    if number:
                        spent[name].append(cpu_us / (client.events - before))
    finally:
        daemon.stop()
    figures.measured |= {f"journal/{name}": statistics.median(values) for name, values in spent.items()}
    more = [turn - stream for turn, stream in zip(spent["turn"], spent["stream"], strict=True)]
    figures.measured["journal/more per event"] = statistics.median(more)


# ---- the store


async def stored(figures: Figures, simulator: Simulator, _rounds: int) -> None:
    """Many sessions of a few messages: time of a page of the list, and memory of each that nobody uses."""
    daemon, model, at_once = _daemon(simulator), f"{WIRES[0]}:{SHORT}", 50
    took_ms: list[float] = []
    try:
        async with await Client.connect(str(daemon.socket)) as client:

            async def make(count: int) -> None:
                for _ in range(0, count, at_once):
                    await _together(_session(client, model, 4) for _ in range(at_once))

            async def use(count: int) -> None:
                for _ in range(count):
                    await client.call("turn/start", _turn(await _session(client, model, 4)))

            await make(500)  # what the first ones cost is the store's own, once
            await use(100)
            before_kib = settled_kib(daemon)
            await make(STORED - 1_000)
            await use(1_000)
            figures.measured["stored/KiB per session"] = max(0.0, settled_kib(daemon) - before_kib) / STORED
            cursor: str | None = None
            for _ in range(STORED // 100):
                began = time.perf_counter()
                page = await client.call("session/list", {"cursor": cursor} if cursor else {})
                took_ms.append((time.perf_counter() - began) * 1000)
                cursor = page.get("next_cursor")
    finally:
        daemon.stop()
    figures.measured["stored/ms of a page"] = statistics.median(took_ms)


MEASURES = (
    Measure("wires", "the same streams over every wire", "µs of CPU per event", wires),
    Measure("turns", "a turn behind 10 and behind 1,000 messages", "µs of CPU per turn", turns),
    Measure("fanout", "a turn that 1, 10 and 100 clients follow, an event every ms", "µs of CPU per event", fanout),
    Measure("journal", "a turn against a stream without a session", "µs of CPU per event", journal),
    Measure("stored", "10,000 sessions in the store", "", stored),
)
