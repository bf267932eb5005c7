"""What puts VS Code in place for its tests: where it goes, what it says when it can't, that it does nothing twice."""

import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "clients" / "vscode" / "test" / "setup.sh"
COMMANDS = ("bash", "cat", "flock", "ln", "mkdir", "mv", "sh", "tail")


def commands(folder: Path, **scripts: str) -> Path:
    """A PATH of its own: what the script needs, and stand-ins for the rest."""
    folder.mkdir()
    for name in COMMANDS:
        found = shutil.which(name)
        if found is not None:
            (folder / name).symlink_to(found)
    for name, script in {"uname": "echo Linux", "id": "echo 1000", **scripts}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def run(path: Path, cache: Path | None, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing of the environment but what is given."""
    env = {"PATH": str(path), "HOME": str(home)}
    if cache is not None:
        env["MODELD_VSCODE_TEST_DIR"] = str(cache)
    bash = str(path / "bash")
    return subprocess.run([bash, str(SETUP), *arguments], env=env, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("system", "place"), [("Linux", ".cache/modeld/vscode-test"), ("Darwin", "Library/Caches/modeld/vscode-test")]
)
def test_the_cache_is_where_the_platform_has_it(tmp_path: Path, system: str, place: str) -> None:
    path = commands(tmp_path / "bin", uname=f"echo {system}")
    assert run(path, None, tmp_path, "--print").stdout.strip() == str(tmp_path / place)
    assert run(path, tmp_path / "own", tmp_path, "--print").stdout.strip() == str(tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_what_is_missing_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    result = run(commands(tmp_path / "bin"), tmp_path / "cache", tmp_path)
    assert result.returncode == 1
    assert "sudo apt-get install chromium" in result.stderr
    assert "MODELD_TEST_CHROMIUM" in result.stderr


def test_a_failed_install_shows_the_end_of_its_log(tmp_path: Path) -> None:
    path = commands(tmp_path / "bin", **{"id": "echo 0", "apt-get": "echo no such package >&2; exit 100"})
    result = run(path, tmp_path / "cache", tmp_path)
    assert result.returncode == 1
    assert "no such package" in result.stderr
    assert str(tmp_path / "cache" / "apt.log") in result.stderr


def test_what_is_there_is_not_installed_again(tmp_path: Path) -> None:
    path, cache = commands(tmp_path / "bin", chromium="exit 0"), tmp_path / "cache"
    versions = dict(line.split("=") for line in SETUP.read_text().splitlines() if "_VERSION=" in line and "=$" not in line)
    for name in ("node", "playwright-core", "code-server"):
        key = f"{name.removesuffix('-core').replace('-', '_').upper()}_VERSION"
        (cache / f"{name}-{versions[key]}").mkdir(parents=True)
        (cache / f"{name}-{versions[key]}" / "ready").touch()
    result = run(path, cache, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    assert "ready" in result.stdout
    assert (cache / "paths.json").read_text().count(str(path / "chromium")) == 1
