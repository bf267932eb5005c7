"""Start-up times and memory: idle, per idle client, per open stream."""

import socket
import statistics
import subprocess
import time

import msgspec

from modeld_protocol.framing import frame

from .processes import Daemon, Simulator

CLIENTS = 200
STREAMS = 480
STILL_S = 0.5


def _send(sock: socket.socket, number: int, method: str, params: object) -> None:
    sock.sendall(frame(msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})))


def _initialized(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    _send(sock, 1, "initialize", {"capabilities": {}})
    sock.recv(65536)
    return sock


def settled_kib(daemon: Daemon) -> float:
    """RSS once it stands still: a daemon that accepts has still to load what its start could do without."""
    seen, since = daemon.rss_kib, time.monotonic()
    while time.monotonic() - since < STILL_S:
        time.sleep(0.02)
        now = daemon.rss_kib
        if abs(now - seen) > 64:
            seen, since = now, time.monotonic()
    return daemon.rss_kib


def start_ms(daemon: Daemon, rounds: int = 5) -> float:
    """Median milliseconds from process start to accepting."""
    return statistics.median(daemon.restart_s() for _ in range(rounds)) * 1000


def forward_ms(daemon: Daemon, rounds: int = 7) -> float:
    """Median milliseconds from the start of a `--stdio` process to its first reply out of the running daemon."""
    request = frame(msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}))
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        process = subprocess.Popen(
            daemon.command("--stdio"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=daemon.environment
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request)
        process.stdin.flush()
        process.stdout.read(16)
        times.append(time.perf_counter() - began)
        process.stdin.close()
        process.wait(10)
    return statistics.median(times) * 1000


def client_kib(daemon: Daemon) -> tuple[float, float]:
    """KiB of RSS: idle, and per idle client."""
    idle = settled_kib(daemon)
    clients = [_initialized(str(daemon.socket)) for _ in range(CLIENTS)]
    grown = settled_kib(daemon) - idle
    for client in clients:
        client.close()
    return idle, grown / CLIENTS


def stream_kib(daemon: Daemon, _simulator: Simulator) -> float:
    """KiB of RSS per stream that is open and quiet, the clients' own connections counted out."""
    clients = [_initialized(str(daemon.socket)) for _ in range(STREAMS // 60)]
    time.sleep(0.2)
    before = daemon.rss_kib
    for client in clients:
        for number in range(2, 62):
            _send(client, number, "model/stream", {"model": "bench:sim-fault-hang_mid_stream", "messages": "hello"})
    time.sleep(2.0)
    grown = daemon.rss_kib - before
    for client in clients:
        client.close()
    return grown / (len(clients) * 60)
