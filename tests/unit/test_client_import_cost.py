"""The client must not slow down the start of what uses it."""

import os
import statistics
import subprocess
import sys

import pytest

PATHS = os.pathsep.join(path for path in sys.path if path)
BASELINE = "import asyncio, msgspec, anyio"
ROUNDS = 9


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """Bytecode is cached, as where the package is installed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": PATHS, "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode"))}


def run(statement: str, env: dict[str, str]) -> str:
    return subprocess.run([sys.executable, "-c", statement], env=env, capture_output=True, text=True, check=True).stdout


def cpu_ms(statement: str, env: dict[str, str]) -> float:
    timed = f"import time; start = time.process_time(); {statement}; print((time.process_time() - start) * 1000)"
    return float(run(timed, env))


def test_importing_both_clients_costs_little_more_than_their_dependencies(env):
    statements = [BASELINE, "import modeld_client", "from modeld_client import AsyncClient, Client"]
    for statement in statements:
        run(statement, env)  # writes the bytecode
    rounds = [[cpu_ms(statement, env) for statement in statements] for _ in range(ROUNDS)]  # in turn: noise hits all alike
    baseline, package, clients = (statistics.median(samples) for samples in zip(*rounds, strict=True))
    assert package < 0.7 * baseline
    assert clients < 1.5 * baseline  # 1.2 on an idle machine


LIGHT = [
    ("import modeld_client", {"asyncio", "msgspec", "anyio", "socket"}),
    ("import modeld_client.launch", {"asyncio", "msgspec", "anyio", "subprocess", "pathlib"}),
    ("from modeld_client import DaemonUnavailable", {"asyncio", "msgspec", "anyio"}),
    ("from modeld_client import Client", {"asyncio", "anyio", "modeld"}),
    ("from modeld_client import AsyncClient", {"modeld", "httpx", "platformdirs", "uvloop", "trio", "modeld_protocol.session"}),
]


@pytest.mark.parametrize(("statement", "absent"), LIGHT)
def test_nothing_is_imported_that_is_not_needed(statement, absent, env):
    modules = set(run(f"import sys; {statement}; print(*sys.modules)", env).split())
    assert not absent & modules


def test_every_exported_name_is_there():
    import modeld_client

    assert {name for name in modeld_client.__all__ if getattr(modeld_client, name).__name__ != name} == set()
    assert dir(modeld_client) == sorted(modeld_client.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        modeld_client.Nothing  # noqa: B018
