"""A recording proxy on loopback: passes requests on to a provider's origin and keeps what went over, both ways."""

import asyncio
from collections.abc import Mapping

import msgspec

from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from ..clock import SYSTEM, Clock
from ..credentials.secret import Credential, Secret
from ..limits import CONNECT_TIMEOUT_S, MAX_STREAM_BYTES, MAX_STREAM_S, MIB
from ..providers.call import Call
from ..providers.catalog import all_rows, wire_of
from ..providers.failure import ProviderFailure
from ..runtime import Runtime
from ..upstream.contract import HttpRequest, Origin, Transport, UpstreamError
from .format import Ending
from .loopback import Answer, LoopbackServer, Request

MAX_SESSION_BYTES = 512 * MIB  # of requests and answers, which are kept in memory until the session is over
FINISH_S = 2.0  # a client leaves at the end marker; the rest of the body may take so long
_OF_THE_HOP = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade", "te", "keep-alive")
)
_NOT_KEPT = _OF_THE_HOP | {"cookie"}


class Known(msgspec.Struct, frozen=True):
    """The call that a request body was made from."""

    canonical: CanonicalRequest
    wire_name: str
    stream: bool


class Exchanged(msgspec.Struct):
    """One exchange as it went over the wire; nothing is scrubbed yet. `at_ms` counts from the head of the answer."""

    method: str
    path: str
    request_headers: dict[str, str]
    request_body: bytes
    known: Known | None = None
    status: int = 0
    headers: Mapping[str, str] = {}
    pieces: list[tuple[bytes, float]] = []
    ending: Ending = "cut"

    @property
    def body(self) -> bytes:
        """The whole body of the answer."""
        return b"".join(piece for piece, _ in self.pieces)


class Recorder:
    """The proxy in front of one origin. `exchanges` grows with every answer; `left` counts those that nobody waited for,
    `beyond` those that were too many to be kept, and `unreachable` has the requests that came to no answer.

    Its address holds a secret path, so that nobody else on this machine gets into the recording.
    """

    def __init__(self, origin: Origin, transport: Transport, clock: Clock = SYSTEM) -> None:
        self.exchanges: list[Exchanged] = []
        self.left = 0
        self.beyond = 0
        self._kept_bytes = 0
        self.unreachable: list[str] = []
        self._origin = origin
        self._transport = transport
        self._clock = clock
        self._prefix = f"/{clock.token(16).hex()}"
        self._server = LoopbackServer(self._handle)
        self._known: dict[bytes, Known] = {}
        self._credentials = frozenset(("authorization", "api-key", *(row.key_header.lower() for row in all_rows())))

    @property
    def base_url(self) -> str:
        """What stands in for the provider's origin."""
        return self._server.base_url + self._prefix

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def stop(self) -> None:
        """End what is running, then the connections to the provider."""
        await self._server.stop()
        await self._transport.close()

    def observe(self, runtime: Runtime) -> None:
        """See every call that the runtime is about to make, so that its request is known when it comes by."""
        run = runtime.run

        async def observed(call: Call) -> CanonicalResponse:
            self._learn(call)
            return await run(call)

        runtime.run = observed

    def _learn(self, call: Call) -> None:
        stream = call.consumer is not None
        try:
            body = wire_of(call.spec.wire).encode(call.request, call.spec, stream=stream).body
        except ProviderFailure:
            return  # it will fail the same way in the call itself
        canonical = msgspec.structs.replace(call.request, request_id=None, model=call.spec.id, provider=None, include_raw=False)
        self._known[body] = Known(msgspec.convert(msgspec.to_builtins(canonical), CanonicalRequest), call.spec.wire_name, stream)

    # ---- a request

    async def _handle(self, request: Request, answer: Answer) -> None:
        if not request.target.startswith(f"{self._prefix}/"):
            answer.begin(404, {"content-type": "text/plain"})
            answer.write(b"This is the recorder of modeld; it answers the session that it records.\n")
            answer.end()
            return
        exchanged = Exchanged(
            request.method,
            request.target.removeprefix(self._prefix),
            {name: value for name, value in request.headers if name not in self._credentials and name not in _NOT_KEPT},
            request.body,
            self._known.get(request.body),
        )
        try:
            await self._pass_on(request, exchanged, answer)
        except UpstreamError as error:
            if not error.answered and not exchanged.status:
                self.unreachable.append(error.message)
            answer.cut()
        finally:
            if exchanged.status:
                self._keep(exchanged, answer)

    def _keep(self, exchanged: Exchanged, answer: Answer) -> None:
        if answer.left.is_set() and exchanged.ending == "cut":
            self.left += 1
            return
        size = len(exchanged.body) + len(exchanged.request_body)
        if self._kept_bytes + size > MAX_SESSION_BYTES:
            self.beyond += 1
            return
        self._kept_bytes += size
        self.exchanges.append(exchanged)

    async def _pass_on(self, request: Request, exchanged: Exchanged, answer: Answer) -> None:
        credential, headers = self._split(request.headers)
        outgoing = HttpRequest(
            request.method, self._origin, exchanged.path, headers, request.body, credential, stream=True
        )  # `stream` asks for identity encoding, so that what is kept can be read
        exchange = await self._transport.open(outgoing, connect_timeout_s=CONNECT_TIMEOUT_S, head_timeout_s=MAX_STREAM_S)
        began = self._clock.monotonic()
        exchanged.status, exchanged.headers = exchange.status, dict(exchange.headers)
        answer.begin(exchange.status, _passed(exchange.headers))
        size = 0

        def take(data: bytes) -> bool:
            nonlocal size
            size += len(data)
            if size > MAX_STREAM_BYTES:
                raise UpstreamError("too_large", "the answer is too long to be recorded", answered=True)
            exchanged.pieces.append((data, (self._clock.monotonic() - began) * 1000))
            answer.write(data)
            return False

        pumping = asyncio.ensure_future(exchange.pump(take))
        leaving = asyncio.ensure_future(answer.left.wait())
        try:
            await asyncio.wait((pumping, leaving), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((pumping,), timeout=FINISH_S)
            if pumping.done():
                pumping.result()
                exchanged.ending = "whole"
                answer.end()
        finally:
            leaving.cancel()
            pumping.cancel()
            exchange.close()

    def _split(self, headers: list[tuple[str, str]]) -> tuple[Credential | None, list[tuple[str, str]]]:
        """The credential, bound to the one origin that it is meant for, and the headers without it."""
        secret = next((header for header in headers if header[0] in self._credentials), None)
        rest = [header for header in headers if header[0] not in _OF_THE_HOP and header != secret]
        if secret is None:
            return None, rest
        name, value = secret
        return Credential(Secret(value), name, "", frozenset((str(self._origin),)), "the recorded session"), rest


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    """The answer's headers without those of the connection; the body is handed on decoded."""
    return {name: value for name, value in headers.items() if name not in _OF_THE_HOP and name != "content-encoding"}
