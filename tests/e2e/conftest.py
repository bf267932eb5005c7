"""One simulator and one daemon for each module of end-to-end tests, and a fresh client for each test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.frames import check_frames
from tests.harness.peer import Peer

from modeld.simulator import Simulator

MODELS = [
    *(f"sim-{name}" for name in ("text", "echo", "long-200", "long-5000", "slow-60", "thinking", "redacted", "tool")),
    *(f"sim-{name}" for name in ("parallel-tools-2", "structured", "refusal", "max-tokens-16", "stop", "cached", "difficult")),
    *(f"sim-{name}" for name in ("empty", "pause", "agent-2", "content-filter", "thinking-tool")),
    *(f"sim-fault-{name}" for name in ("rate_limit-1-0.2", "rate_limit-0-0", "overloaded", "server_error-0-500")),
    *(f"sim-fault-{name}" for name in ("server_error-1-503", "bad_request", "auth", "forbidden", "not_found", "unprocessable")),
    *(f"sim-fault-{name}" for name in ("quota", "context_overflow", "html_502", "garbage_200", "empty_200", "error_in_200")),
    *(f"sim-fault-{name}" for name in ("hang_before_headers", "hang_before_first_event", "hang_mid_stream", "keepalive_only")),
    *(f"sim-fault-{name}" for name in ("reset_before_headers", "reset_mid_stream", "close_mid_stream", "echo_key", "crlf")),
    *(f"sim-fault-{name}" for name in ("cut_without_end_marker", "error_event_first", "error_event_mid_stream", "bom")),
    *(f"sim-fault-{name}" for name in ("invalid_utf8", "lone_surrogate", "split_every_byte", "comments", "unknown_events")),
    *(f"sim-fault-{name}" for name in ("no_usage", "duplicate_finish", "endless_line", "endless_stream", "giant_event")),
    *(f"sim-fault-{name}" for name in ("gzip_bomb", "deep_json", "lying_content_length", "double_content_length")),
    *(f"sim-fault-{name}" for name in ("header_flood", "invalid_tool_arguments", "truncated_tool_call", "slow_drip")),
    *(f"sim-fault-retry_after_hostile-{value}" for value in ("-5", "soon", "86400")),
    "bench-n200-s20-d0-f0-b1",
    "bench-n100-s20-d10000-f0-b1",
]
WIRES = ("anthropic", "openai")


TAP = Path(__file__).parents[1] / "harness" / "tap"


@pytest.fixture(scope="module", autouse=True)
def frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every daemon of the module writes down its frames, and every one is checked against the schemas."""
    folder = tmp_path_factory.mktemp("frames")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(TAP), os.environ.get("PYTHONPATH")))))
        patch.setenv("MODELD_TEST_FRAMES", str(folder))
        patch.syspath_prepend(str(TAP))
        yield
    check_frames(folder)


class World(NamedTuple):
    """A daemon whose providers are the simulator."""

    daemon: DaemonProcess
    simulator: Simulator


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS)
        async with DaemonProcess(config) as daemon:
            yield World(daemon, simulator)


@pytest.fixture(scope="module")
async def impatient() -> AsyncIterator[World]:
    """A daemon that waits one second for providers and never retries."""
    async with Simulator() as simulator:
        config = models_yaml(simulator.base_url, simulator.openai_base_url, MODELS, timeout_seconds=1, max_retries=0)
        async with DaemonProcess(config) as daemon:
            yield World(daemon, simulator)


@pytest.fixture
async def peer(world: World) -> AsyncIterator[Peer]:
    async with await Peer.connect(world.daemon.socket) as peer:
        await peer.initialize()
        yield peer


@pytest.fixture
async def hasty(impatient: World) -> AsyncIterator[Peer]:
    """A client of the impatient daemon."""
    async with await Peer.connect(impatient.daemon.socket) as peer:
        await peer.initialize()
        yield peer


@pytest.fixture
def simulator(world: World) -> Any:
    world.simulator.reset()
    return world.simulator
