"""stdin and stdout: the forwarder to a shared daemon, and the daemon in one process. Real processes, pipes and sockets."""

import asyncio
import json
import os
import pty
import socket
import subprocess
import sys
import tempfile
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.served import Served, serve

from modeld.server.forward import EXIT_CONNECTION_LOST, EXIT_NO_DAEMON, LifecycleWatch
from modeld_protocol.errors import ErrorData

pytestmark = pytest.mark.anyio

ROOTS = [str(Path(__file__).parents[2] / root) for root in ("daemon", "protocol", "clients/python", "")]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}

FORWARD = """
import socket, sys
from modeld.server.forward import Forwarder
daemon = socket.socket(socket.AF_UNIX)
daemon.connect(sys.argv[1])
sys.exit(Forwarder(daemon).run())
"""

ISOLATED = """
import asyncio, os, sys
from modeld.server.handshake import DaemonIdentity
from modeld.server.router import Router
from modeld.server.stdio import serve_stdio, take_stdout
out = take_stdout()
print("a stray print")
router = Router()
router.add("test/echo", lambda context, params: params)
async def hang(context, params):
    await asyncio.sleep(100)
router.add("test/hang", hang)
code = asyncio.run(serve_stdio(router, DaemonIdentity("d", "e", "1"), out))
os._exit(code)
"""


def framed(method: str, params: Any = None, rpc_id: int | None = None) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params, **({} if rpc_id is None else {"id": rpc_id})}
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


HELLO = framed("initialize", {"capabilities": {}}, 1)
SHUTDOWN, EXIT = framed("shutdown", None, 90), framed("exit")


def unframe(data: bytes) -> list[Any]:
    """Every message; fails where anything else stands between."""
    messages: list[Any] = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        name, _, length = head.partition(b": ")
        assert name == b"Content-Length", head[:100]
        messages.append(json.loads(data[: int(length)]))
        data = data[int(length) :]
    return messages


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path / "s") as running:
        yield running


async def spawn(script: str, *arguments: str, stdin: Any = subprocess.PIPE, stdout: Any = subprocess.PIPE) -> Any:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=ENV, limit=2**16
    )


async def read_message(process: Any) -> Any:
    async with asyncio.timeout(20):
        head = await process.stdout.readuntil(b"\r\n\r\n")
        assert head.startswith(b"Content-Length: "), head
        return json.loads(await process.stdout.readexactly(int(head[16:-4])))


async def finish(process: Any, data: bytes | None = b"") -> tuple[int, bytes, bytes]:
    async with asyncio.timeout(20):
        out, err = await process.communicate(data)
    return process.returncode, out, err


# ---- both ways alike


@pytest.fixture(params=["forwarded", "isolated"])
async def process(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[Any]:
    one = await (spawn(FORWARD, str(served.path)) if request.param == "forwarded" else spawn(ISOLATED))
    yield one
    if one.returncode is None:
        one.kill()
        await one.wait()


@pytest.mark.parametrize(("last", "code"), [(SHUTDOWN + EXIT, 0), (EXIT, 1)])
async def test_exit_code_follows_lsp(process: Any, last: bytes, code: int) -> None:
    process.stdin.write(HELLO + framed("test/echo", {"a": "é"}, 2) + last)
    out = await process.stdout.read()
    assert await process.wait() == code
    messages = unframe(out)
    assert [message.get("id") for message in messages] == [1, 2, *([90] if code == 0 else [])]
    assert messages[1]["result"] == {"a": "é"}


@pytest.mark.parametrize(("last", "code"), [(SHUTDOWN, 0), (b"", 1)])
async def test_the_end_of_stdin_ends_it_and_what_was_asked_is_answered(process: Any, last: bytes, code: int) -> None:
    returncode, out, _ = await finish(process, HELLO + framed("test/echo", {}, 2) + last)
    assert returncode == code
    assert [message["id"] for message in unframe(out)][:2] == [1, 2]


async def test_five_megabytes_both_ways_at_once(process: Any) -> None:
    text = "é" * 2_500_000
    process.stdin.write(HELLO + framed("test/echo", {"text": text}, 2) + framed("test/echo", {"text": text}, 3))
    await asyncio.sleep(0.2)  # not read meanwhile: both pipes are full
    assert (await read_message(process))["id"] == 1
    for rpc_id in (2, 3):
        message = await read_message(process)
        assert message["id"] == rpc_id
        assert message["result"]["text"] == text
    returncode, _, _ = await finish(process, SHUTDOWN + EXIT)
    assert returncode == 0


async def test_it_ends_when_nobody_reads_stdout(process: Any) -> None:
    process.stdin.write(HELLO)
    await read_message(process)
    process._transport.get_pipe_transport(1).close()
    process.stdin.write(framed("test/echo", {}, 2))
    async with asyncio.timeout(10):
        assert await process.wait() == 1


@pytest.mark.parametrize("kind", ["file", "socket", "terminal"])
@pytest.mark.parametrize("way", ["forwarded", "isolated"])
async def test_any_kind_of_descriptor(served: Served, kind: str, way: str) -> None:
    data = HELLO + framed("test/echo", {"a": 1}, 2) + SHUTDOWN + EXIT
    arguments = (FORWARD, str(served.path)) if way == "forwarded" else (ISOLATED,)
    if kind == "file":
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
            source.write(data)
            source.seek(0)
            process = await spawn(*arguments, stdin=source, stdout=sink)
            assert (await finish(process, None))[0] == 0
            sink.seek(0)
            out = sink.read()
    elif kind == "socket":
        ours, theirs = socket.socketpair()
        process = await spawn(*arguments, stdin=theirs, stdout=theirs)
        theirs.close()
        ours.sendall(data)
        assert (await finish(process, None))[0] == 0
        out = ours.recv(65536)
        ours.close()
    else:
        master, slave = pty.openpty()
        tty.setraw(slave)
        process = await spawn(*arguments, stdin=slave, stdout=slave)
        os.write(master, data)
        assert (await finish(process, None))[0] == 0
        out = os.read(master, 65536)
        os.close(slave)
        os.close(master)
    assert [message["id"] for message in unframe(out)] == [1, 2, 90]


# ---- the forwarder


async def test_a_closed_stdin_takes_the_requests_along(served: Served) -> None:
    process = await spawn(FORWARD, str(served.path))
    process.stdin.write(HELLO + framed("test/hang", {"name": "streams"}, 2))
    await read_message(process)
    assert (await finish(process))[0] == 1
    async with asyncio.timeout(5):
        while served.listener.connections:
            await asyncio.sleep(0.002)
    assert served.names("cancelled") == served.names("started")


async def test_a_killed_forwarder_takes_the_requests_along(served: Served) -> None:
    process = await spawn(FORWARD, str(served.path))
    process.stdin.write(HELLO + framed("test/hang", {"name": "streams"}, 2))
    await read_message(process)
    async with asyncio.timeout(5):
        while not served.names("started"):
            await asyncio.sleep(0.002)
        process.kill()
        while served.names("cancelled") != ["streams"]:
            await asyncio.sleep(0.002)
    await process.wait()


async def test_a_daemon_that_dies_ends_it_with_its_own_code(served: Served) -> None:
    process = await spawn(FORWARD, str(served.path))
    process.stdin.write(HELLO)
    await read_message(process)
    for connection in tuple(served.listener.connections):
        connection.abort()
    async with asyncio.timeout(10):
        assert await process.wait() == EXIT_CONNECTION_LOST
    assert b"connection to the daemon was lost" in await process.stderr.read()


async def test_no_daemon_to_be_had(tmp_path: Path) -> None:
    script = "import sys; from modeld.server.forward import forward; sys.exit(forward(sys.argv[1], [], 3.0))"
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    process = await spawn(script, str(place / "s"))
    code, out, err = await finish(process, HELLO)
    assert code == EXIT_NO_DAEMON
    assert b"chmod 700" in err
    head, _, body = out.partition(b"\r\n\r\n")  # the request that waited is told too
    assert head == b"Content-Length: %d" % len(body)
    error = json.loads(body)["error"]
    assert error["code"] == -32803
    assert error["data"]["reason"] == "no_daemon"
    assert set(ErrorData.__struct_fields__) <= set(error["data"])
    assert "chmod 700" in error["message"]


@pytest.mark.parametrize(
    ("data", "shut_down", "exited"),
    [
        (HELLO, False, False),
        (HELLO + SHUTDOWN, True, False),
        (HELLO + EXIT, False, True),
        (SHUTDOWN + EXIT, True, True),
        (EXIT + SHUTDOWN, False, True),
        (framed("test/echo", {"method": "exit"}), False, False),
        (framed("test/echo", {"text": '"exit" "shutdown"'}), False, False),
        (framed("test/echo", {"pad": "x" * 5000}) + SHUTDOWN + EXIT, True, True),
        (b"content-length:33\r\nX: y\r\n\r\n" + b'{"jsonrpc":"2.0","method":"exit"}', False, True),
        (b"Content-Length: x\r\n\r\n" + EXIT, False, False),
        (b"no frames at all " * 1000 + EXIT, False, False),
        (framed("x") + b'Content-Length: 8\r\n\r\n"exit" x' + SHUTDOWN + EXIT, True, True),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000, 10**6])
def test_the_watch_sees_shutdown_and_exit_however_they_are_split(data: bytes, shut_down: bool, exited: bool, step: int) -> None:
    watch = LifecycleWatch()
    for at in range(0, len(data), step):
        watch.feed(data[at : at + step])
    assert (watch.shut_down, watch.exited) == (shut_down, exited)


def test_the_forwarder_imports_next_to_nothing() -> None:
    script = "import sys; before = set(sys.modules); import modeld.server.forward; print(*(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENV, check=True).stdout.split()
    assert not {"asyncio", "msgspec", "json", "logging", "threading", "re"} & set(out)
