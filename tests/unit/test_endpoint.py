"""Where the socket is: the same place that platformdirs names, told without importing it."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import platformdirs
import pytest

from modeld_protocol.endpoint import SOCKET_NAME, runtime_dir, socket_path, token_path


def make(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


def private(tmp: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(make(tmp / "private", 0o700))}


def trailing_slash(tmp: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(make(tmp / "private", 0o700)) + "/"}


def missing(tmp: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp / "not-yet")}


def open_to_others(tmp: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(make(tmp / "open", 0o755))}


def symlink(tmp: Path) -> dict[str, str]:
    make(tmp / "real", 0o700)
    (tmp / "link").symlink_to(tmp / "real")
    return {"XDG_RUNTIME_DIR": str(tmp / "link")}


def regular_file(tmp: Path) -> dict[str, str]:
    (tmp / "file").write_text("")
    return {"XDG_RUNTIME_DIR": str(tmp / "file")}


def below_a_writable_directory(tmp: Path) -> dict[str, str]:
    make(tmp / "shared", 0o777)
    return {"XDG_RUNTIME_DIR": str(make(tmp / "shared" / "mine", 0o700))}


def relative(tmp: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": "somewhere/else"}


def unset(tmp: Path) -> dict[str, str]:
    return {}


CASES = [
    private, trailing_slash, missing, open_to_others, symlink, regular_file, below_a_writable_directory, relative, unset,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_runtime_directory_is_where_platformdirs_says(case, tmp_path, monkeypatch):
    temp = make(tmp_path / "temp", 0o700)
    env = {"HOME": str(tmp_path), "TMPDIR": str(temp), **case(tmp_path)}
    for name in ("XDG_RUNTIME_DIR", "TMPDIR", "TEMP", "TMP", "HOME", "MODELD_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", None)  # the module caches what it found first
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = platformdirs.user_runtime_dir("modeld")
    assert runtime_dir(env) == Path(expected)


@pytest.mark.skipif(sys.platform == "darwin", reason="there the last resort lies in the home directory")
def test_a_planted_last_resort_is_refused_with_the_variable_to_set(tmp_path):
    if os.path.isdir(f"/run/user/{os.geteuid()}"):
        pytest.skip("this machine has a better place")
    (tmp_path / f"runtime-{os.geteuid()}").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="set MODELD_RUNTIME_DIR"):
        runtime_dir({"TMPDIR": str(tmp_path)})


def test_explicit_places_win_and_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = {"MODELD_RUNTIME_DIR": "run"}
    assert runtime_dir(env) == tmp_path / "run"
    assert socket_path(None, env) == tmp_path / "run" / SOCKET_NAME == tmp_path / "run" / "modeld-1.sock"
    assert socket_path("other.sock", env) == tmp_path / "other.sock"
    assert token_path(env) == tmp_path / "run" / "token"


def test_it_imports_nothing_heavy():
    code = "import sys, modeld_protocol.endpoint; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    modules = result.stdout.split()
    assert not {"asyncio", "msgspec", "anyio", "platformdirs", "tempfile"} & set(modules)
