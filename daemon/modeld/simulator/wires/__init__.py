"""The wires of the simulator: every module here that exports `WIRE`, found by being there."""

import importlib
import pkgutil
from functools import cache
from typing import cast

from .contract import SimWire


@cache
def all_wires() -> tuple[SimWire, ...]:
    """Every wire, in the order of the modules' names; the first that knows a path answers it."""
    found: list[SimWire] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda one: one.name):
        wire = getattr(importlib.import_module(f"{__name__}.{module.name}"), "WIRE", None)
        if wire is not None:
            found.append(cast(SimWire, wire))
    return tuple(found)


@cache
def flavoured_wires() -> tuple[SimWire, ...]:
    """The relatives of a wire: the same, each below a path of its own, with what its provider does otherwise."""
    from .chat_flavours import WIRES

    return cast("tuple[SimWire, ...]", WIRES)
