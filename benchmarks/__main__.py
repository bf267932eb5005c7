"""`python -m benchmarks`: every scenario, contestants interleaved, medians, a table, and the targets."""

import argparse
import asyncio
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import memory
from .measures import MEASURES, Measure
from .processes import BENCH, Daemon, Simulator, Worker, models_of_scenarios
from .scenarios import CONTESTANTS, SCENARIOS, Sample, Scenario
from .targets import Figures, Verdict, judge

Samples = dict[str, dict[str, list[Sample]]]
NAMES = (*(scenario.name for scenario in SCENARIOS), "memory", *(measure.name for measure in MEASURES))


def main() -> int:
    """Run, print, judge; 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", metavar="NAMES", help=f"of {', '.join(NAMES)}; all without it")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    parser.add_argument("--json", metavar="FILE", type=Path, help="every sample")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"--only: there is no {', '.join(unknown)}; there are {', '.join(NAMES)}")
    chosen = [scenario for scenario in SCENARIOS if scenario.name in names]
    measures = [measure for measure in MEASURES if measure.name in names]
    kinds = [kind for kind in CONTESTANTS if kind in options.contestants.split(",")]
    out = Console()
    simulator = Simulator()
    try:
        samples, figures = _compare(chosen, kinds, simulator, options.rounds, out, memory="memory" in names)
        for measure in measures:
            asyncio.run(measure.run(figures, simulator, options.rounds))
    finally:
        simulator.stop()
    for scenario in chosen:
        out.print(_table(scenario, samples[scenario.name]))
    for measure in measures:
        out.print(_measured(measure, figures))
    verdicts = judge(figures)
    out.print(_verdicts(verdicts))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode({"samples": samples, "figures": figures})))
    return 0 if all(verdict.met for verdict in verdicts) else 1


def _compare(
    chosen: list[Scenario], kinds: list[str], simulator: Simulator, rounds: int, out: Console, *, memory: bool
) -> tuple[Samples, Figures]:
    """The scenarios and the daemon's own start-up and memory, as far as they are asked for."""
    if not chosen and not memory:
        return {}, Figures()
    daemon = Daemon({BENCH: ("openai-compatible", simulator.base_url)}, models_of_scenarios())
    try:
        samples = _measure(chosen, kinds, simulator, daemon, rounds, out) if chosen else {}
        figures = _figures(samples)
        if memory:
            _measure_process(figures, daemon, simulator)
    finally:
        daemon.stop()
    return samples, figures


def _measure(
    chosen: list[Scenario], kinds: list[str], simulator: Simulator, daemon: Daemon, rounds: int, out: Console
) -> Samples:
    samples: Samples = {scenario.name: defaultdict(list) for scenario in chosen}
    workers = {kind: Worker(kind, simulator.base_url, daemon) for kind in kinds}  # type: ignore[arg-type]
    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(chosen) * (rounds + 1) * len(kinds))
        for scenario in chosen:
            for number in range(rounds + 1):
                for kind, worker in workers.items():
                    progress.update(task, description=f"{scenario.name} {kind}")
                    sample = worker.round(scenario)
                    if number:  # the first round warms connections and caches
                        samples[scenario.name][kind].append(sample)
                    progress.advance(task)
    for worker in workers.values():
        worker.stop()
    return samples


def _figures(samples: Samples) -> Figures:
    figures = Figures()
    for name, by_kind in samples.items():
        for kind, rounds in by_kind.items():
            events = statistics.median(sample.events for sample in rounds)
            calls = [call for sample in rounds for call in sample.calls_s]
            firsts = [first for sample in rounds for first in sample.first_s]
            figures.cpu_us[f"{name}/{kind}"] = statistics.median(sample.cpu_s / max(sample.events, 1) for sample in rounds) * 1e6
            figures.events_s[f"{name}/{kind}"] = statistics.median(sample.events / sample.wall_s for sample in rounds)
            figures.call_us[f"{name}/{kind}"] = statistics.median(calls) * 1e6
            figures.first_us[f"{name}/{kind}"] = statistics.median(firsts) * 1e6
            figures.events[f"{name}/{kind}"] = events
    return figures


def _measure_process(figures: Figures, daemon: Daemon, simulator: Simulator) -> None:
    figures.start_ms = memory.start_ms(daemon)
    figures.forward_ms = memory.forward_ms(daemon)
    daemon.restart_s()
    figures.idle_mib, figures.client_kib = memory.client_kib(daemon)
    figures.idle_mib /= 1024
    daemon.restart_s()
    figures.stream_kib = memory.stream_kib(daemon, simulator)


def _table(scenario: Scenario, by_kind: dict[str, list[Sample]]) -> Table:
    table = Table(title=f"{scenario.name}: {scenario.title}", title_justify="left")
    unit = "event" if scenario.streamed else "call"
    for column in ("", f"CPU µs/{unit}", "x openai", "x raw", f"{unit}s/s", "median µs", "first µs"):
        table.add_column(column, justify="right" if column else "left")
    figures = _figures({scenario.name: by_kind})
    for kind in by_kind:
        key = f"{scenario.name}/{kind}"

        def ratio(other: str, key: str = key) -> str:
            base = figures.cpu_us.get(f"{scenario.name}/{other}")
            return f"{figures.cpu_us[key] / base:.3f}" if base else ""

        first = f"{figures.first_us[key]:.0f}" if scenario.streamed else ""
        table.add_row(
            kind,
            f"{figures.cpu_us[key]:.2f}",
            ratio("openai"),
            ratio("raw"),
            f"{figures.events_s[key]:.0f}",
            f"{figures.call_us[key]:.0f}",
            first,
        )
    return table


def _measured(measure: Measure, figures: Figures) -> Table:
    table = Table(title=f"{measure.name}: {measure.title}", title_justify="left")
    for column in ("", measure.unit, "x"):
        table.add_column(column, justify="right" if column else "left")
    prefix = f"{measure.name}/"
    for part, value in figures.measured.items():
        if part.startswith(prefix):
            ratio = figures.ratios.get(part)
            table.add_row(part.removeprefix(prefix), f"{value:.2f}", "" if ratio is None else f"{ratio:.2f}")
    for part, ratio in figures.ratios.items():
        if part.startswith(prefix) and part not in figures.measured:
            table.add_row(part.removeprefix(prefix), "", f"{ratio:.2f}")
    return table


def _verdicts(verdicts: list[Verdict]) -> Table:
    table = Table(title="targets", title_justify="left")
    for column in ("target", "wanted", "measured", ""):
        table.add_column(column)
    for verdict in verdicts:
        mark = "[green]met[/green]" if verdict.met else "[red]missed[/red]"
        table.add_row(verdict.name, verdict.wanted, verdict.measured, mark)
    return table


if __name__ == "__main__":
    sys.exit(main())
