"""One daemon per socket, in a private place: modes, links, stale sockets, races of real processes."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modeld.server import instance
from modeld.server.instance import EXIT_ALREADY_RUNNING, EXIT_UNSAFE_PLACE, InstanceError, claim, is_served

ROOTS = [str(Path(__file__).parents[2] / root) for root in ("daemon", "protocol", "clients/python")]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}

# Serves for as long as its stdin is open; tells on stdout that it does, on stderr why it doesn't.
DAEMON = """
import sys
from modeld.server.instance import InstanceError, claim
try:
    one = claim(sys.argv[1])
except InstanceError as error:
    print(error.message, file=sys.stderr)
    sys.exit(error.exit_code)
one.socket.listen(100)
print("serving", flush=True)
sys.stdin.read()
one.release()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A private directory."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def open_umask() -> Iterator[None]:
    mask = os.umask(0)
    yield
    os.umask(mask)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def start(path: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", DAEMON, str(path)], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=ENV)


def refused(path: Path, exit_code: int = EXIT_UNSAFE_PLACE) -> str:
    began = time.monotonic()
    with pytest.raises(InstanceError) as caught:
        claim(path)
    assert time.monotonic() - began < 1
    assert caught.value.exit_code == exit_code
    return caught.value.message


@pytest.mark.usefixtures("open_umask")
def test_what_is_made_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "s"
    one = claim(path)
    assert [mode(made) for made in (path.parent.parent, path.parent, path, Path(f"{path}.lock"))] == [0o700, 0o700, 0o600, 0o600]
    assert os.umask(0) == 0, "the umask is put back"
    one.release()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("loose", [0o777, 0o755, 0o750, 0o701, 0o1777])
def test_an_open_directory_is_refused_with_the_repair(place: Path, loose: int) -> None:
    place.chmod(loose)
    message = refused(place / "s")
    assert f"chmod 700 {place}" in message
    assert list(place.iterdir()) == []
    subprocess.run(["chmod", "700", place], check=True)
    claim(place / "s").release()


def test_a_linked_directory_is_refused(place: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place)
    assert "symbolic link" in refused(link / "s")
    assert list(place.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away needs root")
def test_a_foreign_directory_is_refused(place: Path) -> None:
    os.chown(place, 65534, -1)
    assert "belongs to uid 65534" in refused(place / "s")


def test_a_file_as_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "no directory" in refused(tmp_path / "file" / "s")


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "directory", "fifo"])
def test_what_is_no_socket_is_left_alone(place: Path, tmp_path: Path, kind: str) -> None:
    path = place / "s"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(victim if kind == "link" else tmp_path / "nowhere")
    before = path.lstat()
    assert "left alone" in refused(path)
    assert path.lstat() == before
    assert victim.read_text() == "precious"


def test_a_linked_lock_is_refused(place: Path, tmp_path: Path) -> None:
    (place / "s.lock").symlink_to(tmp_path / "victim")
    refused(place / "s")
    assert not (tmp_path / "victim").exists()


def test_a_stale_socket_is_replaced(place: Path) -> None:
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    one = claim(path)
    one.socket.listen()
    assert is_served(str(path))
    one.release()
    assert not is_served(str(path))


def test_a_served_socket_is_left_alone_even_without_a_lock(place: Path) -> None:
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "modeld stop" in refused(path, EXIT_ALREADY_RUNNING)
        assert is_served(str(path))


def test_a_path_that_is_too_long_is_told(place: Path) -> None:
    assert "longer than a socket's path" in refused(place / ("x" * 108))
    room = instance.MAX_SOCKET_PATH_BYTES - len(os.fsencode(place)) - 1
    if room > 0:
        claim(place / ("x" * room)).release()


def test_release_leaves_a_socket_that_is_not_ours(place: Path) -> None:
    path = place / "s"
    one = claim(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        one.release()
        one.release()
        assert path.exists()


def test_a_second_start_fails_at_once_and_harms_nothing(place: Path) -> None:
    path = place / "s"
    one = claim(path)
    one.socket.listen()
    inode = path.stat().st_ino
    assert "modeld stop" in refused(path, EXIT_ALREADY_RUNNING)
    assert path.stat().st_ino == inode
    assert is_served(str(path))
    one.release()
    claim(path).release()


def test_who_holds_the_lock_without_serving_is_waited_for(place: Path) -> None:
    path = place / "s"
    one = claim(path)
    began = time.monotonic()
    with pytest.raises(InstanceError) as caught:
        claim(path, wait_s=0.2)
    assert 0.2 <= time.monotonic() - began < 2
    assert caught.value.exit_code == EXIT_ALREADY_RUNNING
    one.release()


def test_a_leaving_daemon_is_succeeded(place: Path) -> None:
    path = place / "s"
    first = start(path)
    assert first.stdout is not None
    assert first.stdout.readline() == "serving\n"
    first.kill()  # its socket file stays behind
    first.communicate()
    second = start(path)
    assert second.stdout is not None
    assert second.stdout.readline() == "serving\n"
    second.communicate("")
    assert second.returncode == 0
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_exactly_one_serves(place: Path, stale: bool) -> None:
    path = place / "s"
    if stale:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    rivals = [start(path) for _ in range(20)]
    serving: list[Any] = []
    for rival in rivals:
        assert rival.stdout is not None
        if rival.stdout.readline() == "serving\n":
            serving.append(rival)
    assert len(serving) == 1
    losers = [rival for rival in rivals if rival not in serving]
    for loser in losers:
        _, err = loser.communicate()
        assert loser.returncode == EXIT_ALREADY_RUNNING
        assert "serves" in err
    assert is_served(str(path))
    serving[0].communicate("")
    assert list(place.iterdir()) == []


def test_the_process_is_hardened() -> None:
    script = (
        "import os, resource; from modeld.server.process import *; os.umask(0); harden_process(); raise_open_files();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE)[0], oct(os.umask(0)))"
    )
    command = f"ulimit -S -n 256; exec {sys.executable} -c '{script}'"
    out = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=ENV, check=True).stdout.split()
    assert out[:2] == ["(0,", "0)"]
    assert int(out[2]) > 256
    assert out[3] == "0o77"
