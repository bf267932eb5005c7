"""From an origin to a connected socket: name look-up, both address families in a race, keep-alive probes."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from typing import Any, Final

_HEAD_START_S: Final = 0.25  # RFC 8305: a broken IPv6 route must not cost the whole connect timeout
_MAX_ADDRESSES: Final = 8
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))

Address = tuple[socket.AddressFamily, Any]


def dial(host: str, port: int) -> Coroutine[Any, Any, socket.socket]:
    """A connected, non-blocking socket. Raises OSError; cancelling closes what was opened."""
    literal = _parse_literal(host, port)
    return _connect(literal[0]) if literal else _dial_name(host, port)


async def _dial_name(host: str, port: int) -> socket.socket:
    addresses = await _look_up(host, port)
    return await (_connect(addresses[0]) if len(addresses) == 1 else _race(addresses))


def _parse_literal(host: str, port: int) -> list[Address]:
    """The address of an IP literal, which needs no look-up in a thread."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    return []


async def _look_up(host: str, port: int) -> list[Address]:
    """At most eight addresses, the families in turn, the system's favourite first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(info[0], info[4]) for info in found]
    first = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    turns = [address for pair in zip(first, other, strict=False) for address in pair]
    both = min(len(first), len(other))
    return (turns + first[both:] + other[both:])[:_MAX_ADDRESSES]


async def _connect(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        try:
            sock.connect(where)
        except BlockingIOError:
            await _writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number)) from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _writable(sock: socket.socket) -> None:
    """Until connecting has ended, well or not. The loop's own sock_connect would look the address up in a thread first."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    loop.add_writer(sock.fileno(), _settle, done)
    try:
        await done
    finally:
        loop.remove_writer(sock.fileno())


def _settle(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


async def _race(addresses: list[Address]) -> socket.socket:
    """The first address to connect; each has a head start of 0.25 s over the next, less if it fails sooner."""
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    error: BaseException | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(_connect(waiting.pop(0))))
            timeout_s = _HEAD_START_S if waiting else None
            done, _ = await asyncio.wait(running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                if task.exception() is None:
                    running |= done  # another that won at the same moment is closed below
                    running.discard(task)
                    return task.result()
                error = error or task.exception()
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_loser)
    raise error or OSError("the host has no address")


def _close_loser(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
