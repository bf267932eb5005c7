"""One contestant in a process of its own: reads scenario names from stdin, writes samples to stdout."""

import asyncio
import gc
import resource
import sys
import time

import msgspec

from .contestants import KINDS, Caller, Outcome
from .scenarios import SCENARIOS, Sample, Scenario


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, threads included: the POSIX clock of its pid on Linux."""
    return time.clock_gettime(((~pid) << 3) | 2)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _round(caller: Caller, scenario: Scenario, daemon_pid: int) -> Sample:
    outcomes: list[Outcome] = []
    numbers = iter(range(scenario.total))

    async def one_after_the_other() -> None:
        for number in numbers:
            outcomes.append(await caller.call(scenario, number))  # noqa: PERF401 - awaited one after the other, on purpose

    gc.collect()
    clock = (lambda: cpu_of(daemon_pid)) if daemon_pid else _own_cpu
    cpu, wall = clock(), time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(scenario.concurrency)))
    return Sample(
        clock() - cpu,
        time.perf_counter() - wall,
        sum(outcome.events for outcome in outcomes),
        [outcome.total_s for outcome in outcomes],
        [outcome.first_s for outcome in outcomes],
    )


async def _serve(kind: str, base_url: str, socket: str, daemon_pid: int) -> None:
    caller: Caller = KINDS[kind](base_url, socket)
    await caller.open()
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while name := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        sample = await _round(caller, by_name[name], daemon_pid)
        sys.stdout.write(msgspec.json.encode(sample).decode() + "\n")
        sys.stdout.flush()


def main() -> None:
    """`worker KIND BASE_URL SOCKET DAEMON_PID`."""
    kind, base_url, socket, pid = sys.argv[1:5]
    asyncio.run(_serve(kind, base_url, socket, int(pid)))


if __name__ == "__main__":
    main()
