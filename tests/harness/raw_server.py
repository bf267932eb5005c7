"""A TCP server that says exactly what a test tells it to: whole answers, broken ones, or nothing."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from modeld.upstream.contract import HttpRequest, Origin


class Call:
    """One connection as the script sees it."""

    def __init__(self, server: "RawServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.number = server.accepted
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """Head and body of the next request; b"" where the client left instead."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            whole = head + (await self._reader.readexactly(int(lengths[0])) if lengths else b"")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.server.requests.append(whole)
        return whole

    async def head(self) -> None:
        """Read the head of a request alone; the body stays in the socket."""
        await self._reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> bool:
        """Whether the client still reads."""
        try:
            self._writer.write(data)
            await self._writer.drain()
            return not self._writer.is_closing()
        except ConnectionError:
            return False

    async def flood(self, piece: bytes) -> None:
        """The piece until the client leaves."""
        while await self.send(piece):
            pass

    async def until_gone(self) -> None:
        """Wait for the client to leave."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.server.gone.append(time.perf_counter())

    def reset(self) -> None:
        """Close with a reset packet rather than an orderly end."""
        self._writer.transport.abort()


Script = Callable[[Call], Awaitable[None]]


class RawServer:
    """What came: connections, requests, and when clients left while a script waited for that."""

    def __init__(self) -> None:
        self.origin = Origin("http", "127.0.0.1", 0)
        self.accepted = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.gone: list[float] = []

    def get(self, **fields: object) -> HttpRequest:
        """A request to this server; fields of HttpRequest override."""
        given = {"method": "POST", "origin": self.origin, "target": "/v1/x", "headers": [], "body": b"{}"} | fields
        return HttpRequest(**given)  # type: ignore[arg-type]


def script(answer: bytes, *, pieces: int = 0, then: str = "close") -> Script:
    """Every request on every connection gets these bytes, in one write or in pieces of so many; `then` close, wait, reset or
    again."""

    async def run(call: Call) -> None:
        while await call.request():
            for start in range(0, len(answer), pieces or max(len(answer), 1)):
                if not await call.send(answer[start : start + (pieces or len(answer))]):
                    return
                if pieces:
                    await asyncio.sleep(0)
            if then == "reset":
                call.reset()
            if then == "wait":
                await call.until_gone()
            if then != "again":
                return

    return run


@asynccontextmanager
async def serving(run: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """The script on a loopback port for the length of the block; nothing of it is left afterwards."""
    server = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server.accepted += 1
        server.open += 1
        try:
            await run(Call(server, reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            server.open -= 1
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, limit=1 << 22)
    server.origin = Origin("https" if tls else "http", "127.0.0.1", listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def open_files() -> int:
    """The file descriptors of this process."""
    return len(os.listdir("/dev/fd"))


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait until the condition holds, and fail if it doesn't."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.001)


async def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate of its own for 127.0.0.1, and a client's that trusts it. Raises FileNotFoundError
    without openssl."""
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    process = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", *curve, *files, *names, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=folder / "cert.pem")
