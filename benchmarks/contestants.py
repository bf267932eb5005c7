"""The contestants: each makes one call and says how many text deltas came, when the first came, and when it ended."""

import asyncio
import itertools
import time
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec

from .scenarios import Scenario

perf = time.perf_counter


class Outcome(NamedTuple):
    """`events` text deltas; seconds to the first of them and to the end."""

    events: int
    first_s: float
    total_s: float


class Caller(Protocol):
    """One contestant inside its worker process."""

    async def open(self) -> None: ...

    async def call(self, scenario: Scenario, number: int) -> Outcome: ...


def messages_of(scenario: Scenario) -> list[dict[str, str]]:
    """The history of a scenario: user and assistant in turn, the last one the user's."""
    count, size = scenario.history
    roles = ("assistant", "user")
    return [{"role": roles[(count - number) % 2], "content": "x" * size} for number in range(count)]


class _RawConnection(asyncio.Protocol):
    """Counts event ends in the bytes of a response; knows just enough HTTP to see where it is over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def start(self, request: bytes) -> "asyncio.Future[Outcome]":
        self.done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.events, self.first, self.tail, self.expected, self.size = 0, 0.0, b"", -1, 0
        self.began = perf()
        self.transport.write(request)  # type: ignore[attr-defined]
        return self.done

    def data_received(self, data: bytes) -> None:
        if not self.first:
            self.first = perf()
            head = data[: data.find(b"\r\n\r\n")].lower()
            if b"content-length:" in head:
                self.expected = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) + len(head) + 4
        self.size += len(data)
        if self.expected >= 0:
            if self.size >= self.expected:
                self._finish(1)
            return
        self.events += data.count(b"\n\n")
        self.tail = (self.tail + data)[-7:]
        if self.tail.endswith(b"0\r\n\r\n"):
            self._finish(self.events)

    def _finish(self, events: int) -> None:
        self.done.set_result(Outcome(events, self.first - self.began, perf() - self.began))

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "done") and not self.done.done():
            self.done.set_exception(ConnectionError("the simulator closed the connection"))


class Raw:
    """The floor: asyncio reading the bytes, nothing decoded."""

    def __init__(self, base_url: str, _socket: str) -> None:
        self._url = urlsplit(base_url + "/chat/completions")
        self._idle: list[_RawConnection] = []
        self._bodies: dict[str, bytes] = {}

    async def open(self) -> None:
        """Connections are made when they are needed."""

    async def call(self, scenario: Scenario, number: int) -> Outcome:
        """One request on an idle connection."""
        body = self._bodies.get(scenario.name)
        if body is None:
            fields = {"model": scenario.model, "messages": messages_of(scenario), "stream": scenario.streamed}
            body = self._bodies[scenario.name] = msgspec.json.encode(fields)
        head = f"POST {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nContent-Type: application/json\r\n"
        request = f"{head}Authorization: Bearer x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_RawConnection, self._url.hostname, self._url.port)
        outcome = await connection.start(request)
        self._idle.append(connection)
        return outcome


class OpenAI:
    """The `openai` SDK, called directly."""

    def __init__(self, base_url: str, _socket: str) -> None:
        import openai

        self._client = openai.AsyncOpenAI(base_url=base_url, api_key="sk-bench", max_retries=0)

    async def open(self) -> None:
        """Nothing to open."""

    async def call(self, scenario: Scenario, number: int) -> Outcome:
        """One completion."""
        began, first, events = perf(), 0.0, 0
        messages: Any = messages_of(scenario)
        if not scenario.streamed:
            await self._client.chat.completions.create(model=scenario.model, messages=messages)
            return Outcome(1, 0.0, perf() - began)
        async for chunk in await self._client.chat.completions.create(model=scenario.model, messages=messages, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                events += 1
                first = first or perf()
        return Outcome(events, first - began, perf() - began)


class Anthropic:
    """The `anthropic` SDK, called directly, on its own wire."""

    def __init__(self, base_url: str, _socket: str) -> None:
        import anthropic

        root = base_url.removesuffix("/v1")
        self._client = anthropic.AsyncAnthropic(base_url=root, api_key="sk-ant-bench", max_retries=0)

    async def open(self) -> None:
        """Nothing to open."""

    async def call(self, scenario: Scenario, number: int) -> Outcome:
        """One message."""
        began, first, events = perf(), 0.0, 0
        messages: Any = messages_of(scenario)
        if not scenario.streamed:
            await self._client.messages.create(model=scenario.model, messages=messages, max_tokens=4096)
            return Outcome(1, 0.0, perf() - began)
        async for event in await self._client.messages.create(
            model=scenario.model, messages=messages, max_tokens=4096, stream=True
        ):
            if event.type == "content_block_delta":
                events += 1
                first = first or perf()
        return Outcome(events, first - began, perf() - began)


_CALLS_PER_CONNECTION = 60  # below the daemon's bound of calls that one client may run at once
_EVENT = b'"text.delta"'


class _Reply(msgspec.Struct):
    id: Any = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    error: Any = None


class _Envelope(msgspec.Struct):
    request_id: str = ""


class _DaemonConnection(asyncio.Protocol):
    """A client that receives: unframes every message, counts the events of each stream, resolves replies."""

    def __init__(self) -> None:
        from modeld_protocol.framing import FrameDecoder

        self._frames = FrameDecoder()
        self._decode = msgspec.json.Decoder(_Reply).decode
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.counts: dict[bytes, int] = {}
        self.firsts: dict[bytes, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, number: int, method: str, params: Any) -> "asyncio.Future[Any]":
        from modeld_protocol.framing import frame

        self.waiting[number] = future = asyncio.get_running_loop().create_future()
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        self.transport.write(frame(body))  # type: ignore[attr-defined]
        return future

    def data_received(self, data: bytes) -> None:
        for body in self._frames.feed(data):
            if _EVENT in body:
                at = body.find(b'"request_id":"') + 14
                key = body[at : body.find(b'"', at)]
                self.counts[key] = self.counts.get(key, 0) + 1
                if key not in self.firsts:
                    self.firsts[key] = perf()
            elif b'"method":"stream/event"' not in body[:80]:
                self._resolve(body)

    def _resolve(self, body: bytes) -> None:
        reply = self._decode(body)
        future = self.waiting.pop(reply.id, None)
        if future is None:
            return
        if reply.error is not None:
            future.set_exception(RuntimeError(str(reply.error)[:300]))
        else:
            future.set_result(None)


class Modeld:
    """The daemon, with a client that receives; its CPU is that of the daemon's process."""

    def __init__(self, _base_url: str, socket: str) -> None:
        self._socket = socket
        self._connections: list[_DaemonConnection] = []
        self._numbers = itertools.count(1)
        self._params: dict[str, Any] = {}

    async def open(self) -> None:
        """As many connections as 500 streams need."""
        loop = asyncio.get_running_loop()
        for _ in range(-(-500 // _CALLS_PER_CONNECTION)):
            _, connection = await loop.create_unix_connection(_DaemonConnection, self._socket)
            self._connections.append(connection)
            await connection.send(next(self._numbers), "initialize", {"capabilities": {}})

    async def call(self, scenario: Scenario, number: int) -> Outcome:
        """One call over the least busy connection."""
        connection = min(self._connections, key=lambda one: len(one.waiting))
        params = self._params.get(scenario.name)
        if params is None:
            params = self._params[scenario.name] = messages_of(scenario)
        request_number = next(self._numbers)
        request_id = f"bench_{request_number}"
        method = "model/stream" if scenario.streamed else "model/complete"
        fields = {"request_id": request_id, "model": f"bench:{scenario.model}", "messages": params}
        began = perf()
        await connection.send(request_number, method, fields)
        total = perf() - began
        key = request_id.encode()
        events = connection.counts.pop(key, 0)
        return Outcome(events if scenario.streamed else 1, connection.firsts.pop(key, began) - began, total)


KINDS: dict[str, type[Any]] = {"raw": Raw, "openai": OpenAI, "anthropic": Anthropic, "modeld": Modeld}
