"""The distribution: a wheel built from the sdist, installed in an environment of its own, works from an empty directory."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONLINE = not os.environ.get("MODELD_TEST_OFFLINE")
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ONLINE, reason="MODELD_TEST_OFFLINE is set; this installs packages"),
]


def run(*command: str | Path, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MODELD"))}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_a_wheel_from_the_sdist_works(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "build", cwd=tmp_path)
    run(python, "-m", "build", "-q", "--outdir", tmp_path / "dist", ROOT, cwd=tmp_path)  # the wheel is built from the sdist
    sdist, wheel = next((tmp_path / "dist").glob("*.tar.gz")), next((tmp_path / "dist").glob("*.whl"))
    inside = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {"modeld", "modeld_protocol", "modeld_client"} <= inside
    assert all(name.startswith("modeld") for name in inside)
    data = zipfile.ZipFile(wheel).namelist()
    assert "modeld/providers/catalog/models.json" in data
    assert "modeld_client/py.typed" in data
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if "/tests/" in name or "node_modules" in name]
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(environment / "bin" / "modeld", "--version", cwd=empty).startswith("modeld ")
    out = run(environment / "bin" / "modeld", "demo", "--plain", "--fast", cwd=empty)
    assert "modeld ask" in out
    assert sys.version_info >= (3, 11)
