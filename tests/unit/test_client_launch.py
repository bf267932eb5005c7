"""Finding and starting the daemon, against a small program in its place: real processes, real sockets."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modeld_client import launch
from modeld_client.errors import DaemonUnavailable

STAND_IN = """
import fcntl, os, socket, sys, time
arguments = sys.argv[1:]
path = arguments[arguments.index("--socket") + 1]
with open(path + ".starts", "a") as starts:
    starts.write(f"{os.getpid()} {os.getcwd()} {os.environ.get('MODELD_CONFIG')} {' '.join(arguments)}\\n")
mode = os.environ.get("STAND_IN", "serve")
if mode == "crash":
    sys.exit("cannot read models.yaml:3:1")
if mode == "hang":
    time.sleep(60)
if mode == "lose" and not os.path.exists(path + ".lost"):
    open(path + ".lost", "w").close()
    sys.exit(3)
lock = open(path + ".lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(3)
time.sleep(0.2)
if os.path.exists(path):
    os.unlink(path)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(64)
while True:
    peer, _ = server.accept()
    peer.sendall(str(os.getpid()).encode())
    peer.close()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A socket path in a directory yet to be made; what was started there is ended afterwards."""
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(launch, "_program", lambda: [sys.executable, str(program)])
    path = tmp_path / "new" / "run" / "d.sock"
    yield path
    for line in starts(path):
        try:
            os.kill(int(line.split()[0]), signal.SIGKILL)
        except ProcessLookupError:
            pass


def starts(path: Path) -> list[str]:
    log = Path(f"{path}.starts")
    return log.read_text().splitlines() if log.exists() else []


def answer(sock: socket.socket) -> str:
    with sock:
        return sock.recv(64).decode()


def test_starts_a_daemon_that_the_next_caller_shares(place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELD_CONFIG", "models.yaml")
    first = answer(launch.connect_or_start(place, ["--config", "here.yaml", "--state-dir=state"]))
    assert answer(launch.connect_or_start(place)) == first == answer(launch.connect(place))
    (line,) = starts(place)
    pid, cwd, config, arguments = line.split(" ", 3)
    assert pid == first
    assert cwd == "/"
    assert config == str(tmp_path / "models.yaml")
    assert arguments == f"--socket {place} --idle-exit 600 --config {tmp_path}/here.yaml --state-dir={tmp_path}/state"
    assert stat.S_IMODE(place.parent.stat().st_mode) == stat.S_IMODE(place.parent.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.with_suffix(".log").stat().st_mode) == 0o600
    assert os.getsid(int(pid)) == int(pid)


def test_many_starters_share_one_daemon(place):
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(answer(launch.connect_or_start(place)))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert len(set(answers)) == 1
    assert len(starts(place)) == 1


def test_a_lost_race_is_no_failure(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "lose")
    assert answer(launch.connect_or_start(place)) == starts(place)[-1].split()[0]
    assert len(starts(place)) == 2


def test_a_stale_socket_is_no_daemon(place):
    place.parent.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
    with pytest.raises(launch.NotListening, match="start one with"):
        launch.connect(place)
    assert answer(launch.connect_or_start(place)) == starts(place)[0].split()[0]


def test_a_daemon_that_crashes_is_reported_at_once_with_its_words(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "crash")
    place.parent.mkdir(parents=True, mode=0o700)
    place.with_suffix(".log").write_text("an older line\n")
    begin = time.monotonic()
    with pytest.raises(DaemonUnavailable) as failure:
        launch.connect_or_start(place)
    assert time.monotonic() - begin < 5
    assert "code 1" in str(failure.value)
    assert "cannot read models.yaml:3:1" in str(failure.value)
    assert "modeld doctor" in str(failure.value)
    assert "an older line" not in str(failure.value)


def test_a_daemon_that_never_serves_meets_the_deadline(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "hang")
    begin = time.monotonic()
    with pytest.raises(DaemonUnavailable, match="did not open its socket in time"):
        launch.connect_or_start(place, timeout_s=0.4)
    assert 0.4 <= time.monotonic() - begin < 2


def test_a_full_backlog_is_waited_for(tmp_path):
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        held = [launch.connect(path)]
        accepting = threading.Timer(0.2, lambda: held.append(server.accept()[0]))
        accepting.start()
        held.append(launch.connect(path))
        accepting.join()
        for sock in held:
            sock.close()


def regular_file(tmp: Path) -> Path:
    (tmp / "d.sock").write_text("precious")
    return tmp / "d.sock"


def link_to_a_socket(tmp: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp / "real.sock"))
    (tmp / "d.sock").symlink_to(tmp / "real.sock")
    return tmp / "d.sock"


def too_long(tmp: Path) -> Path:
    (tmp / ("n" * 100)).mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp / "s"))
    (tmp / "s").rename(tmp / ("n" * 100) / "d.sock")
    return tmp / ("n" * 100) / "d.sock"


def open_directory(tmp: Path) -> Path:
    tmp.chmod(0o755)
    return tmp / "d.sock"


def link_for_a_directory(tmp: Path) -> Path:
    (tmp / "real").mkdir(mode=0o700)
    (tmp / "link").symlink_to(tmp / "real")
    return tmp / "link" / "d.sock"


REFUSED = [
    (regular_file, "is not a socket"),
    (link_to_a_socket, "is not a socket"),
    (too_long, "too long .*MODELD_RUNTIME_DIR"),
    (open_directory, "chmod 700"),
    (link_for_a_directory, "not a directory of yours"),
]


@pytest.mark.parametrize(("prepare", "message"), REFUSED)
def test_an_unsafe_place_is_refused_and_nothing_is_started(prepare, message, tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setattr(launch, "_spawn_detached", lambda *_: pytest.fail("a daemon was started"))
    with pytest.raises(DaemonUnavailable, match=message):
        launch.connect_or_start(prepare(tmp_path), timeout_s=0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_users_socket_and_daemon_are_refused(tmp_path):
    path = tmp_path / "d.sock"
    code = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
os.setuid(65534)
server.listen()
print("listening", flush=True)
input()
"""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
        assert daemon.stdin and daemon.stdout
        assert daemon.stdout.readline() == b"listening\n"
        with pytest.raises(DaemonUnavailable, match="runs as uid 65534"):
            launch.connect(path)
        os.chown(path, 65534, 65534)
        with pytest.raises(DaemonUnavailable, match="belongs to uid 65534"):
            launch.connect(path)
        daemon.stdin.close()


@pytest.mark.parametrize("address", ["10.0.0.1:80", "example.com:80", "127.0.0.1", "127.0.0.1:http"])
def test_tcp_is_loopback_only(address):
    with pytest.raises(DaemonUnavailable, match="no loopback address"):
        launch.connect_tcp(address)


def test_without_an_installed_modeld_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DaemonUnavailable, match="pip install modeld"):
        launch._program()
