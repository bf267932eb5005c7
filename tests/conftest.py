"""What every test shares."""

import signal

import pytest

# A shell starts background jobs with SIGINT ignored, and children inherit that: what tests interrupt must be interruptible.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
