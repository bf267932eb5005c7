"""`modeld --stdio --isolated`: one client on stdin and stdout, served by this process.

Two threads copy between the descriptors and a socket pair, so that pipes, sockets, files and terminals all work, and no
descriptor that others share is made non-blocking.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable

from .connection import Connection, Phase
from .handshake import DaemonIdentity
from .router import Router

PIECE_BYTES = 64 * 1024
FINISH_S = 2.0  # for what was written to reach stdout


def take_stdout() -> int:
    """A private copy of descriptor 1, which from now on means stderr: a stray print can't break the protocol.

    Call it before anything that might write.
    """
    out = os.dup(1)
    os.dup2(2, 1)
    return out


async def serve_stdio(
    router: Router,
    identity: DaemonIdentity,
    output_file: int,
    input_file: int = 0,
    on_made: Callable[[Connection], None] | None = None,
) -> int:
    """Serve until the client says exit or its input ends. Returns LSP's exit code: 0 after shutdown, else 1."""
    loop = asyncio.get_running_loop()
    lost = asyncio.Event()
    written = asyncio.Event()
    connection = Connection(router, identity, 1, on_made=on_made, on_lost=lambda _: lost.set())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    def report_written() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(written.set)

    threading.Thread(target=_copy_in, args=(input_file, theirs), daemon=True).start()
    threading.Thread(target=_copy_out, args=(theirs, output_file, report_written), daemon=True).start()
    await loop.connect_accepted_socket(lambda: connection, ours)
    await lost.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(written.wait(), FINISH_S)
    return 0 if connection.phase is Phase.SHUT_DOWN else 1


def _copy_in(source: int, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(source, PIECE_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _copy_out(source: socket.socket, sink: int, done: Callable[[], None]) -> None:
    try:
        while data := source.recv(PIECE_BYTES):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(sink, rest) :]
    except OSError:  # nobody reads stdout any more: the client is gone
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)
    done()
