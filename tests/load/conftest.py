"""A provider and a daemon for each module of load tests; a fresh daemon where memory is measured."""

from collections.abc import AsyncIterator

import pytest
from tests.harness.daemon import DaemonProcess, models_yaml

from modeld.simulator import Simulator

FAULTS = ("endless_stream", "endless_line", "gzip_bomb", "giant_event", "hang_mid_stream", "hang_before_headers")
BENCHES = ("n200-s20-d0", "n100-s20-d10000", "n200-s20-d20000", "n2000-s20-d20000", "n500-s2000-d0")
MODELS = ["sim-text", "sim-echo", *(f"sim-fault-{fault}" for fault in FAULTS), *(f"bench-{bench}-f0-b1" for bench in BENCHES)]


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
async def daemon(simulator: Simulator) -> AsyncIterator[DaemonProcess]:
    async with DaemonProcess(config_of(simulator)) as daemon:
        yield daemon


@pytest.fixture
async def fresh(simulator: Simulator) -> AsyncIterator[DaemonProcess]:
    """A daemon that nobody has asked anything: its memory is its own."""
    async with DaemonProcess(config_of(simulator)) as daemon:
        yield daemon


def config_of(simulator: Simulator) -> str:
    return models_yaml(simulator.base_url, simulator.openai_base_url, MODELS, max_retries=0)
