"""A client that writes bytes as it likes: right and wrong frames, and what comes back for them."""

import json
import re
from typing import Any

from tests.harness.daemon import DaemonProcess
from tests.harness.peer import Peer


async def connect(daemon: DaemonProcess, transport: str = "unix", *, initialize: bool = True) -> Peer:
    """A raw client; closed with `async with`."""
    if transport == "unix":
        peer, options = await Peer.connect(daemon.socket, validate=False), {}
    else:
        found = re.search(r"127\.0\.0\.1:(\d+)", daemon.output())
        assert found is not None
        peer = await Peer.connect_tcp(int(found[1]), validate=False)
        options = {"token": (daemon.runtime_dir / "token").read_text().strip()}
    if initialize:
        await peer.initialize(**options)
    return peer


async def usable(peer: Peer) -> None:
    """It is answered still."""
    assert (await peer.call("daemon/status")).ok()["pid"]


def framed(body: bytes | str, header: bytes = b"Content-Length: %d\r\n\r\n") -> bytes:
    """A body behind its header."""
    body = body.encode() if isinstance(body, str) else body
    return header % len(body) + body


def status(rpc_id: Any, **fields: Any) -> bytes:
    """The body of a request that asks for little; `fields` change it."""
    return json.dumps({"jsonrpc": "2.0", "id": rpc_id, "method": "daemon/status", **fields}, ensure_ascii=False).encode()


def text_request(rpc_id: Any, text: str) -> bytes:
    """The body of a request that holds a text."""
    return status(rpc_id, method="model/estimateTokens", params={"messages": text})


async def answer(peer: Peer, data: bytes, timeout_s: float = 10) -> Any:
    """The next message after these bytes."""
    before = len(peer.messages)
    peer.send_bytes(data)
    await peer.until(lambda: len(peer.messages) > before, timeout_s)
    return peer.messages[before]


async def refused(peer: Peer, data: bytes, timeout_s: float = 5) -> list[Any]:
    """What comes between these bytes and the close."""
    before = len(peer.messages)
    peer.send_bytes(data)
    await peer.until_closed(timeout_s)
    return peer.messages[before:]


def check_refusal(found: list[Any]) -> None:
    """A parse error without an id, or a close without a word."""
    assert len(found) <= 1
    for message in found:
        assert (message["error"]["code"], message["id"]) == (-32700, None)
