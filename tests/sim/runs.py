"""One run from one seed."""

import gc
import logging

from tests.sim.actors import live
from tests.sim.faults import Faults, draw, narrowed
from tests.sim.loop import VirtualLoop, run
from tests.sim.world import Outcome, World


def drive(seed: int, faults: Faults | None = None) -> Outcome:
    """A whole run; `faults` replaces what the seed would draw."""
    drawn = faults or draw(seed)
    log = logging.getLogger("modeld")
    level, handlers = log.level, log.handlers
    collecting = gc.isenabled()
    gc.disable()  # a collection runs finalizers whenever it likes

    async def main(loop: VirtualLoop) -> Outcome:
        return await live(World(seed, loop, drawn))

    try:
        with narrowed(drawn):
            return run(main)
    finally:
        if collecting:
            gc.enable()
        log.handlers = handlers
        log.setLevel(level)
        log.propagate = True
