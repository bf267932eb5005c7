"""Lets a daemon under test write down every frame: found by any Python whose PYTHONPATH names this folder.

Each record is `<connection> <i|o> <bytes>\\n` and the bytes, in MODELD_TEST_FRAMES/<pid>; tests/harness/frames.py reads them.
"""

import itertools
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_TAPPED = "modeld.server.connection"


class _Finder:
    """Loads the module as ever, then taps its class."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _TAPPED:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_tap(module: ModuleType) -> None:
                load(module)
                _tap(module)

            spec.loader.exec_module = load_and_tap  # type: ignore[method-assign]
        return spec


def _tap(module: Any) -> None:
    sink = open(os.path.join(os.environ["MODELD_TEST_FRAMES"], str(os.getpid())), "ab", buffering=0)  # noqa: SIM115
    connection_made, dispatch, send = module.Connection.connection_made, module.Connection._dispatch, module.Output.send
    numbers: dict[int, int] = {}  # of the connection whose output has this identity now
    count = itertools.count(1)

    def record(output: int, direction: bytes, data: bytes) -> None:
        sink.write(b"%d %b %d\n%b" % (numbers.get(output, 0), direction, len(data), data))

    def connection_made_tapped(self: Any, transport: Any) -> None:
        connection_made(self, transport)
        numbers[id(self._output)] = next(count)

    def dispatch_tapped(self: Any, body: bytes) -> Any:
        record(id(self._output), b"i", body)
        return dispatch(self, body)

    def send_tapped(self: Any, frames: bytes) -> Any:
        record(id(self), b"o", frames)
        return send(self, frames)

    module.Connection.connection_made = connection_made_tapped
    module.Connection._dispatch = dispatch_tapped
    module.Output.send = send_tapped  # what it sends goes through here, bodies and replies too


if "MODELD_TEST_FRAMES" in os.environ:
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
