"""What a scenario is, and the list of them all."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.conformance.suite.world import Case

from modeld_protocol.model import Capabilities

Run = Callable[[Case], Awaitable[None]]
BOTH = (False, True)
STREAMED = (True,)
ONCE = (False,)


class Scenario(NamedTuple):
    """`needs` are capabilities (`images`), or entries of their lists (`image_sources:url`): where one is missing the scenario
    must be refused. `untold` names the wires that have no word for what the scenario is about, with the reason."""

    name: str
    run: Run
    needs: tuple[str, ...]
    modes: tuple[bool, ...]
    untold: dict[str, str]

    def declared(self, able: Capabilities) -> bool:
        return all(_has(able, need) for need in self.needs)


SCENARIOS: list[Scenario] = []


def scenario(
    *needs: str, modes: tuple[bool, ...] = BOTH, untold: dict[str, str] | None = None, name: str | None = None
) -> Callable[[Run], Run]:
    """Adds a function to the list, under its own name unless it is given another."""

    def add(run: Run) -> Run:
        SCENARIOS.append(Scenario(name or run.__name__, run, needs, modes, untold or {}))
        return run

    return add


def _has(able: Capabilities, need: str) -> bool:
    name, _, entry = need.partition(":")
    held = getattr(able, name)
    return entry in held if entry else held not in (False, "none", [])
