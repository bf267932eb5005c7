"""A raw client for tests: sends any bytes, keeps everything that arrives in order, checks every frame."""

import asyncio
import itertools
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.harness import schemas

Message = dict[str, Any]


class Reply(NamedTuple):
    """A reply, the stream events of the call that came before it, and how long it took."""

    result: Any
    error: Any
    events: list[Message]
    seconds: float

    @property
    def data(self) -> Message:
        """The error's data."""
        assert self.error is not None, f"expected an error, got {self.result}"
        return self.error["data"]

    def ok(self) -> Any:
        """The result; fails where an error came."""
        assert self.error is None, f"unexpected error: {self.error}"
        return self.result

    @property
    def inner(self) -> list[Message]:
        """The canonical events."""
        return [event["event"] for event in self.events]


class Peer:
    """One connection to a daemon. `messages` is everything received, oldest first."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, validate: bool = True) -> None:
        self._reader = reader
        self.writer = writer
        self._validate = validate
        self._ids = itertools.count(1)
        self._methods: dict[Any, str] = {}
        self._arrived = asyncio.Event()
        self._fault: BaseException | None = None
        self.messages: list[Message] = []
        self.closed = False
        self._task = asyncio.create_task(self._receive())

    @classmethod
    async def connect(cls, path: str | Path, *, validate: bool = True) -> "Peer":
        """Connect to a Unix socket, without a handshake."""
        reader, writer = await asyncio.open_unix_connection(str(path), limit=64 * 1024 * 1024)
        return cls(reader, writer, validate=validate)

    @classmethod
    async def connect_tcp(cls, port: int, *, validate: bool = True) -> "Peer":
        """Connect to a TCP port on loopback, without a handshake."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024 * 1024)
        return cls(reader, writer, validate=validate)

    async def __aenter__(self) -> "Peer":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # ---- out

    def send_bytes(self, data: bytes) -> None:
        """Any bytes at all."""
        self.writer.write(data)

    def send_body(self, body: bytes) -> None:
        """One framed body, whatever it is."""
        self.send_bytes(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def send(self, message: Message) -> None:
        """One message, unchecked."""
        self.send_body(json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def request(self, method: str, params: Any = None, *, rpc_id: Any = None, check: bool = True) -> Any:
        """Send a request; returns its id."""
        number = next(self._ids) if rpc_id is None else rpc_id
        self._methods[number] = method
        if self._validate and check:
            schemas.check_params(method, params)
        message: Message = {"jsonrpc": "2.0", "id": number, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        return number

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification."""
        if self._validate:
            schemas.check_params(method, params)
        message: Message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)

    def cancel(self, rpc_id: Any) -> None:
        """Cancel a request."""
        self.notify("$/cancelRequest", {"id": rpc_id})

    # ---- in

    async def _receive(self) -> None:
        try:
            while True:
                length = None
                while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                assert length is not None, "a frame without Content-Length"
                self._take(json.loads(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except BaseException as error:
            self._fault = error
        finally:
            self.closed = True
            self._arrived.set()

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        if self._validate:
            if "method" in message:
                schemas.check_params(message["method"], message.get("params"))
            elif message.get("id") in self._methods:
                schemas.check_reply(self._methods[message["id"]], message)
        self._arrived.set()

    async def until(self, condition, timeout_s: float = 10) -> None:  # type: ignore[no-untyped-def]
        """Wait until `condition()` holds for what has arrived; fails on a bad frame, a close, or in time."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                if self._fault is not None:
                    raise self._fault
                if self.closed:
                    raise ConnectionError("the daemon closed the connection")
                self._arrived.clear()
                if not condition():
                    await self._arrived.wait()

    async def until_closed(self, timeout_s: float = 10) -> None:
        """Wait until the daemon has closed the connection."""
        async with asyncio.timeout(timeout_s):
            await asyncio.wait([self._task])
        if self._fault is not None:
            raise self._fault

    def replies(self, rpc_id: Any) -> list[Message]:
        """Every reply to one id."""
        return [message for message in self.messages if "method" not in message and message.get("id") == rpc_id]

    def notifications(self, method: str) -> list[Message]:
        """The params of every notification of one method."""
        return [message.get("params") for message in self.messages if message.get("method") == method]  # type: ignore[misc]

    def events(self, request_id: str) -> list[Message]:
        """The stream events of one request so far."""
        return [params for params in self.notifications("stream/event") if params["request_id"] == request_id]

    async def reply(self, rpc_id: Any, timeout_s: float = 10, request_id: str | None = None) -> Reply:
        """Wait for the reply to an id; its events are those of `request_id` that came before it."""
        began = time.monotonic()
        await self.until(lambda: self.replies(rpc_id), timeout_s)
        message = self.replies(rpc_id)[0]
        at = next(number for number, one in enumerate(self.messages) if one is message)
        events = [
            one["params"]
            for one in self.messages[:at]
            if one.get("method") == "stream/event" and one["params"]["request_id"] == request_id
        ]
        return Reply(message.get("result"), message.get("error"), events, time.monotonic() - began)

    async def call(self, method: str, params: Any = None, timeout_s: float = 10, *, check: bool = True) -> Reply:
        """Request and reply. A stream gets a request_id of its own unless it has one."""
        if method == "model/stream" and isinstance(params, dict) and "request_id" not in params:
            params = {**params, "request_id": f"req-test-{next(self._ids)}"}
        request_id = params.get("request_id") if isinstance(params, dict) else None
        return await self.reply(self.request(method, params, check=check), timeout_s, request_id)

    async def initialize(self, **options: Any) -> Any:
        """The handshake; `options` are ours. Returns the result."""
        params = {"capabilities": {}, "initializationOptions": {"modeld": {"protocol_versions": [1], **options}}}
        result = (await self.call("initialize", params)).ok()
        self.notify("initialized", {})
        return result

    async def close(self) -> None:
        """Close the connection from this side."""
        self._task.cancel()
        self.writer.close()
        await asyncio.wait([self._task])
        if self._fault is not None and not isinstance(self._fault, asyncio.CancelledError):
            raise self._fault
