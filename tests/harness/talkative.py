"""A daemon that says all it can, a client that hears all it can, and everything that was said."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.harness.daemon import DaemonProcess, models_yaml
from tests.harness.peer import Peer
from tests.harness.raw_server import RawServer


def http_answer(status: str, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def talkative(server: RawServer, **adapter: Any) -> AsyncIterator[tuple[DaemonProcess, Peer]]:
    """A daemon that logs all it can, and a client that hears all it can."""
    config = models_yaml(str(server.origin), f"{server.origin}/v1", ["m"], max_retries=0, timeout_seconds=2, **adapter)
    async with DaemonProcess(config, "--log-level", "debug") as daemon:
        peer = await daemon.peer(validate=False)
        peer.notify("$/setTrace", {"value": "verbose"})
        yield daemon, peer


def told(daemon: DaemonProcess, *peers: Peer) -> list[str | bytes | Path]:
    """All that left the daemon: its output, its files, what its clients received."""
    files = [path for path in daemon.folder.iterdir() if path != daemon.config]
    return [daemon.output(), *files, *(json.dumps(peer.messages, ensure_ascii=False) for peer in peers)]
