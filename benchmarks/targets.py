"""The targets, as ratios inside one run wherever a machine's speed would matter."""

from collections.abc import Iterator

import msgspec


class Figures(msgspec.Struct):
    """Medians by `scenario/contestant`, the daemon's own start-up and memory, and by `measure/part` what is measured of it alone;
    ratios are medians of those of each round."""

    cpu_us: dict[str, float] = {}
    events_s: dict[str, float] = {}
    call_us: dict[str, float] = {}
    first_us: dict[str, float] = {}
    events: dict[str, float] = {}
    start_ms: float | None = None
    forward_ms: float | None = None
    idle_mib: float | None = None
    client_kib: float | None = None
    stream_kib: float | None = None
    measured: dict[str, float] = {}
    ratios: dict[str, float] = {}


class Verdict(msgspec.Struct):
    """One target: what was wanted, what was measured."""

    name: str
    wanted: str
    measured: str
    met: bool


def judge(figures: Figures) -> list[Verdict]:
    """Every target that this run can speak to."""
    return [*_ratios(figures), *_added(figures), *_absolutes(figures), *_measured(figures)]


def _at_most(name: str, value: float, limit: float, unit: str = "x") -> Verdict:
    return Verdict(name, f"≤ {limit:g} {unit}", f"{value:.3f} {unit}", value <= limit)


def _ratios(figures: Figures) -> Iterator[Verdict]:
    cpu = figures.cpu_us

    def ratio(scenario: str, base: str) -> float | None:
        mine, other = cpu.get(f"{scenario}/modeld"), cpu.get(f"{scenario}/{base}")
        return mine / other if mine and other else None

    for scenario in ("sat1", "sat10", "sat100", "sat500"):
        for base, limit in (("openai", 0.08), ("raw", 3.5)):
            value = ratio(scenario, base)
            if value is not None:
                yield _at_most(f"CPU per event, {scenario}, against {base}", value, limit)
        yield from _throughput(figures, scenario)
    for scenario, limit in (("paced100", 0.18), ("hist200k", 1 / 25), ("hist2m", 1 / 5)):
        value = ratio(scenario, "openai")
        if value is not None:
            yield _at_most(f"CPU, {scenario}, against openai", value, limit)
    if "sat1/modeld" in cpu and "sat500/modeld" in cpu:
        yield _at_most("CPU per event of 500 streams against one", cpu["sat500/modeld"] / cpu["sat1/modeld"], 2)


def _throughput(figures: Figures, scenario: str) -> Iterator[Verdict]:
    mine, openai = figures.events_s.get(f"{scenario}/modeld"), figures.events_s.get(f"{scenario}/openai")
    if mine and openai:
        yield Verdict(f"events per second, {scenario}, against openai", "≥ 7 x", f"{mine / openai:.1f} x", mine / openai >= 7)
    got, wanted = figures.events.get(f"{scenario}/modeld"), figures.events.get(f"{scenario}/openai")
    if got is not None and wanted is not None:
        yield Verdict(f"events lost, {scenario}", "0", f"{wanted - got:.0f}", got == wanted)


def _added(figures: Figures) -> Iterator[Verdict]:
    for name, scenario, table in (("call", "calls", figures.call_us), ("first event", "ttft", figures.first_us)):
        raw, openai, mine = (table.get(f"{scenario}/{kind}") for kind in ("raw", "openai", "modeld"))
        if raw is not None and openai is not None and mine is not None:
            yield _at_most(f"time added per {name}, against openai", (mine - raw) / (openai - raw), 0.25)


def _absolutes(figures: Figures) -> Iterator[Verdict]:
    rows = (
        ("process start to accepting", figures.start_ms, 300, "ms"),
        ("--stdio start to first reply", figures.forward_ms, 150, "ms"),
        ("memory, idle", figures.idle_mib, 45, "MiB"),
        ("memory per idle client", figures.client_kib, 16, "KiB"),
        ("memory per open stream", figures.stream_kib, 16, "KiB"),
    )
    for name, value, limit, unit in rows:
        if value is not None:
            yield _at_most(name, value, limit, unit)


def _measured(figures: Figures) -> Iterator[Verdict]:
    for prefix, name, limit in (
        ("wires/", "CPU per event against the Chat wire", 1.3),
        ("turns/", "turn behind 1,000 messages against 10", 2),
    ):
        for part, value in figures.ratios.items():
            if part.startswith(prefix):
                yield _at_most(f"{name}, {part.removeprefix(prefix)}", value, limit)
    for part, name, limit, unit in (
        ("fanout/10, more per subscriber", "fan-out, per event and subscriber, 10 of them", 2, "µs"),
        ("fanout/100, more per subscriber", "fan-out, per event and subscriber, 100 of them", 2, "µs"),
        ("journal/more per event", "journal of a session, per event", 1, "µs"),
        ("stored/ms of a page", "session/list with 10,000 stored", 20, "ms"),
        ("stored/KiB per session", "memory per idle session", 4, "KiB"),
    ):
        if part in figures.measured:
            yield _at_most(name, figures.measured[part], limit, unit)
