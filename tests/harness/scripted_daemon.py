"""A stand-in for the daemon on a real Unix socket: says exactly what a test tells it to, and keeps what it was told."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def response(request_id: str, text: str = "Hello", stop_reason: str = "end_turn") -> Message:
    """A CanonicalResponse."""
    return {
        "request_id": request_id,
        "model": "test:one",
        "provider": "test",
        "content": [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "usage": USAGE,
        "cost": None,
        "metrics": {"latency_ms": 1.0, "attempts": 1},
        "warnings": [],
    }


def text_delta(text: str) -> Message:
    """A text.delta event."""
    return {"type": "text.delta", "message_id": "m", "content_block_index": 0, "text": text}


START = {"type": "message.start", "message_id": "m", "model": "test:one", "provider": "test"}


def complete(text: str, stop_reason: str = "end_turn") -> Message:
    """The terminal event."""
    content = [{"type": "text", "text": text}]
    return {"type": "message.complete", "message_id": "m", "stop_reason": stop_reason, "final_content": content, "usage": USAGE}


class Wire:
    """The daemon's end of one connection."""

    def __init__(self, sock: socket.socket, epoch: str) -> None:
        self.sock = sock
        self.epoch = epoch
        self.cursor = 0

    def send_bytes(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:  # the client has left, which a test may want
            pass

    def send(self, *messages: Message) -> None:
        """Messages, in one write."""
        bodies = [json.dumps({"jsonrpc": "2.0", **message}).encode() for message in messages]
        self.send_bytes(b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies))

    def reply(self, request: Message, result: Any) -> None:
        self.send({"id": request["id"], "result": result})

    def fail(self, request: Message, code: int, text: str, data: Message | None = None) -> None:
        self.send({"id": request["id"], "error": {"code": code, "message": text, **({"data": data} if data else {})}})

    def event(self, request: Message, *events: Message) -> None:
        """Stream events of a request, in one write."""
        self.send(*(self.event_message(request, event) for event in events))

    def event_message(self, request: Message, event: Message) -> Message:
        self.cursor += 1
        params = {"request_id": request["params"]["request_id"], "epoch": self.epoch, "cursor": self.cursor, "event": event}
        return {"method": "stream/event", "params": params}

    def notify(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def close(self) -> None:
        """As if the daemon had died."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


Handler = Callable[[Wire, Message], None]


class ScriptedDaemon:
    """`handlers` maps a method to what is done when it comes; every connection has a thread. `initialize` is answered."""

    def __init__(self, path: Path, **handlers: Handler) -> None:
        self.path = path
        self.handlers: dict[str, Handler] = {"initialize": self.initialize, **handlers}
        self.received: list[Message] = []
        self.wires: list[Wire] = []
        self.capabilities: Message = {}
        self._news = threading.Condition()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "ScriptedDaemon":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def on(self, method: str, handler: Handler) -> None:
        """What to do when `method` comes."""
        self.handlers[method] = handler

    def initialize(self, wire: Wire, message: Message) -> None:
        modeld = {
            "protocol_version": 1,
            "ir_version": 1,
            "daemon_id": "dm_test",
            "epoch": wire.epoch,
            "features": ["model", "stream"],
            "limits": {"max_message_bytes": 1_000_000, "max_header_bytes": 4096, "max_requests_in_flight": 256},
            **self.capabilities,
        }
        result = {"capabilities": {"experimental": {"modeld": modeld}}, "serverInfo": {"name": "modeld", "version": "0"}}
        wire.reply(message, result)

    def of(self, method: str) -> list[Message]:
        """Every message of one method so far."""
        with self._news:
            return [message for message in self.received if message.get("method") == method]

    def wait_for(self, method: str, count: int = 1, timeout_s: float = 5) -> Message:
        """Wait until `count` messages of `method` have come; gives the last."""
        with self._news:
            found = lambda: [message for message in self.received if message.get("method") == method]  # noqa: E731
            assert self._news.wait_for(lambda: len(found()) >= count, timeout_s), f"no {method} came: {self.received}"
            return found()[count - 1]

    def drop_clients(self) -> None:
        """Close every connection, as a daemon that dies; new ones are accepted."""
        for wire in self.wires:
            wire.close()

    def stop(self) -> None:
        """Be gone."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()
        self.path.unlink(missing_ok=True)
        self.drop_clients()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            wire = Wire(sock, f"ep_{len(self.wires) + 1}")
            self.wires.append(wire)
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with wire.sock, wire.sock.makefile("rb") as stream:
            try:
                while header := stream.readline():
                    length = int(header.partition(b":")[2])
                    assert stream.readline() == b"\r\n"
                    message = json.loads(stream.read(length))
                    with self._news:
                        self.received.append(message)
                        self._news.notify_all()
                    if handler := self.handlers.get(message.get("method", "")):
                        handler(wire, message)
            except OSError:
                pass
