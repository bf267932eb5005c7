"""What the simulator offers, as tables for people and as data, and the models.yaml that reaches it. Pure."""

from typing import Any

from .builtin import BUILTINS
from .faults import FAULTS, Param, params_of
from .script import Scenario
from .wires import all_wires, flavoured_wires

CONFIG_MARK = "# Written by `modeld simulate`: a provider on this machine that answers from scripts."
_BENCH = "bench-n<events>-s<characters per event>-d<delay us>-f<first delay us>-b<events per write>"


def list_data(scenario: Scenario) -> dict[str, Any]:
    """Scripts, faults and wires as data."""
    return {
        "wires": [{"name": wire.name, "title": wire.title} for wire in all_wires()],
        "flavours": [
            {"name": wire.name, "type": wire.adapter_type, "base_path": wire.example_base_path} for wire in flavoured_wires()
        ],
        "scripts": [
            {"model": f"sim-{row.name}", "summary": row.summary, "number": row.number, "number_means": row.number_means}
            for row in BUILTINS.values()
        ],
        "scenario_scripts": [f"sim-{name}" for name in scenario.scripts],
        "faults": [
            {
                "model": f"sim-fault-{fault.name}",
                "summary": fault.summary,
                "params": [{"name": one.name, "default": one.default, "meaning": one.meaning} for one in params_of(fault)],
            }
            for fault in FAULTS.values()
        ],
        "bench": _BENCH,
    }


def list_text(scenario: Scenario) -> str:
    """The same for people."""
    scripts = [(_with_number(f"sim-{row.name}", row.number), row.summary + _means(row.number_means)) for row in BUILTINS.values()]
    scripts += [(f"sim-{name}", "from the scenario") for name in scenario.scripts]
    faults = [(f"sim-fault-{fault.name}", _fault_line(fault.summary, params_of(fault))) for fault in FAULTS.values()]
    return "\n".join(
        [
            "Scripts, by model name:",
            *_columns(scripts),
            "",
            "Faults, by model name; values follow in the order given, as in sim-fault-rate_limit-2-0.5.",
            "times is how many requests a fault hits before all is well (0: all). What follows a + in a model name only keeps",
            "the counts of two users apart.",
            *_columns(faults),
            "",
            "Relatives of Chat Completions, by the type of their adapter and their base URL's path:",
            *_columns([(wire.adapter_type, wire.example_base_path) for wire in flavoured_wires()]),
            "",
            "Benchmarks, by model name:",
            f"  {_BENCH}",
            "",
            'A request may carry the header x-modeld-sim: {"script": ..., "fault": ..., "pace_ms": ..., "first_delay_ms": ...}.',
        ]
    )


def _with_number(name: str, number: int | None) -> str:
    return name if number is None else f"{name}-{number}"


def _means(number_means: str) -> str:
    return f" (number: {number_means})" if number_means else ""


def _fault_line(summary: str, params: tuple[Param, ...]) -> str:
    shown = ", ".join(
        f"{one.name}={one.default:g}" if isinstance(one.default, float) else f"{one.name}={one.default}" for one in params
    )
    return f"{summary} [{shown}]"


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def base_urls(origin: str) -> dict[str, str]:
    """The base URL that each adapter type takes."""
    return {wire.adapter_type: origin + wire.example_base_path for wire in all_wires()}


def config_text(base_url: str, scenario: Scenario, *, whole: bool) -> str:
    """A models.yaml with an adapter for each wire. `whole` lists the faults too."""
    names = [*scenario.scripts, *(name for name in BUILTINS if name not in scenario.scripts)]
    names += [f"fault-{name}" for name in FAULTS] if whole else []
    lines = [CONFIG_MARK, "adapters:"]
    urls = base_urls(base_url)
    lines += [f"  sim-{kind}: {{type: {kind}, base_url: {url!r}, api_key: sim}}" for kind, url in urls.items()]
    lines.append("models:")
    for kind in urls:
        adapter = f"sim-{kind}"
        lines += [f"  {adapter}:{name}: {{adapter: {adapter}, wire_name: sim-{name}}}" for name in names]
    first = all_wires()[0].adapter_type
    return "\n".join([*lines, f"default_model: sim-{first}:echo", ""])
