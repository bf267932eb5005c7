"""Checks what tapped daemons wrote down: every frame of every connection, in both directions, against the schemas.

Whoever the client was: the raw peer, the Python client, a command, an editor's library. What a client sent must fit where the
daemon took it; what the daemon refused was wrong on purpose. Frames of one shape are checked once.
"""

import json
from pathlib import Path
from typing import Any

from tests.harness import schemas

from modeld_protocol.framing import FrameDecoder, FramingError


class _Connection:
    """One connection's frames, in order."""

    def __init__(self, seen: set[Any]) -> None:
        self._decoder = FrameDecoder(max_message_bytes=1 << 40)
        self._asked: dict[Any, list[tuple[str, Any]]] = {}
        self._seen = seen

    def received(self, body: bytes) -> None:
        """A body that the daemon read."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict) and isinstance(message.get("method"), str):
            rpc_id = message.get("id")
            if isinstance(rpc_id, str):  # half a surrogate pair comes back as U+FFFD
                rpc_id = rpc_id.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if isinstance(rpc_id, (int, str)):  # an id may be in flight twice, by mistake or on purpose
                self._asked.setdefault(rpc_id, []).append((message["method"], message.get("params")))

    def sent(self, data: bytes) -> None:
        """Bytes that the daemon wrote."""
        for body in self._decoder.feed(data):
            self._check(json.loads(body))

    def _check(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._once("note", message["method"], message.get("params"))
            return
        asked = self._asked.get(message["id"])
        if not asked:
            assert "error" in message, f"a result for a request that nobody made: {str(message)[:200]}"
            return
        method, params = asked.pop(0)
        if any(other != method for other, _ in asked):
            return  # one id for several methods at once, on purpose: which of them this answers can't be told
        self._once("reply", method, message)
        if "result" in message and method != "initialize":
            self._once("asked", method, params)

    def _once(self, kind: str, method: str, value: Any) -> None:
        key = (kind, method, _shape(value))
        if key in self._seen:
            return
        if kind == "reply":
            schemas.check_reply(method, value)
        else:
            schemas.check_params(method, value)
        self._seen.add(key)


def _shape(value: Any, depth: int = 0) -> Any:
    """What a schema could tell apart: the tags of objects, the kinds of their members, the kinds in lists."""
    if isinstance(value, dict) and depth < 12:
        tag = value.get("type")
        members = tuple(sorted((str(key), _shape(member, depth + 1)) for key, member in value.items()))
        return (tag if isinstance(tag, str) else None, members)
    if isinstance(value, list) and depth < 12:
        return ("list", frozenset(map(repr, (_shape(item, depth + 1) for item in value))))
    return type(value).__name__


def check_frames(folder: Path) -> int:
    """Check everything below `folder`; returns how many frames there were. AssertionError says what is wrong."""
    count = 0
    seen: set[Any] = set()
    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        connections: dict[bytes, _Connection] = {}
        while (end := data.find(b"\n", at)) >= 0:
            number, direction, length = data[at:end].split()
            at = end + 1 + int(length)
            if at > len(data):
                break  # the daemon was killed in the middle of a record
            connection = connections.setdefault(number, _Connection(seen))
            try:
                (connection.received if direction == b"i" else connection.sent)(data[end + 1 : at])
            except FramingError as error:
                raise AssertionError(f"{file.name}: {error}") from error
            count += 1
    return count
