"""One client's connection: bytes in, messages dispatched by the router, replies out. The LSP lifecycle lives here.

Invariants: a request gets one reply, or none once the client is gone; a client's ids never leave its connection; a message
costs bounded memory before anybody has looked at it; after the client is gone nothing of it runs on.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from sys import intern
from typing import Any, cast

import msgspec

from modeld.limits import LINGER_S, MAX_MESSAGE_BYTES, TOKEN_TIMEOUT_S
from modeld.observe.log import logger
from modeld_protocol.errors import INTERNAL_ERROR, PARSE_ERROR
from modeld_protocol.framing import ForeignProtocol, FramingError
from modeld_protocol.jsonrpc import CancelParams, Notification, RequestId, Response
from modeld_protocol.lifecycle import SetTraceParams

from .envelope import Message, UnreadableMessage, encode_error, read_message
from .errors import RpcError, internal_error, invalid_request, not_initialized, request_cancelled
from .handshake import DaemonIdentity, WrongToken, negotiate, traces
from .input import Input
from .output import Output
from .requests import CallContext, ClientState, InFlight, RequestTable
from .router import Route, Router, decode_params

_log = logger("server")
_encode = msgspec.json.Encoder().encode
_decode_cancel = msgspec.json.Decoder(CancelParams).decode
_decode_trace = msgspec.json.Decoder(SetTraceParams).decode
_UNSET = msgspec.UNSET

Admit = Callable[[str | None], bool]
"""Judges the token of a connection that needs one."""


class Phase(Enum):
    """Where the connection stands in LSP's lifecycle."""

    NEW = auto()
    READY = auto()
    SHUT_DOWN = auto()


class Connection(asyncio.Protocol):
    """Serves one client over one transport. `on_lost` is called once, when nothing of the client is left but its tasks."""

    def __init__(
        self,
        router: Router,
        identity: DaemonIdentity,
        number: int,
        *,
        admit: Admit | None = None,
        on_made: Callable[["Connection"], None] | None = None,
        on_lost: Callable[["Connection"], None] | None = None,
    ) -> None:
        self.client = ClientState(number, f"client-{number}")
        self.phase = Phase.NEW
        self.closed = False
        self.exited = False
        self._router = router
        self._identity = identity
        self._admit = admit
        self._on_made = on_made
        self._on_lost = on_lost
        self._requests = RequestTable()
        self._close_callbacks: dict[object, Callable[[], None]] = {}
        self._notification_tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # ---- what handlers use

    @property
    def writable(self) -> bool:
        """False while more than the high-water mark waits to be read."""
        return self._output.writable

    @property
    def requests_in_flight(self) -> int:
        """Requests that run in tasks and are not answered yet."""
        return len(self._requests)

    def send(self, frames: bytes) -> None:
        """Send framed messages, in order with replies; nothing happens once the connection is closed."""
        if not self.closed:
            self._output.send(frames)

    def flush(self) -> None:
        """Let what was sent leave now, and not at the end of this loop tick."""
        if not self.closed:
            self._output.flush()

    def notify(self, method: str, params: Any) -> None:
        """Send one notification."""
        if not self.closed:
            self._output.send_body(_encode(Notification(method, params)))

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Call back with `writable` at each change, and with True when the connection ends; returns the unsubscriber."""
        return self._output.watch(callback)

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once when the client is gone, after its requests were cancelled; returns the unsubscriber."""
        key = object()
        self._close_callbacks[key] = callback
        return lambda: self._close_callbacks.pop(key, None) and None

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._output = Output(self._transport, self._loop, self._drop)
        self._input = Input(self._transport, self._loop, self._output, self._dispatch, self._fail_framing)
        if self._admit is not None:
            self._timers["token"] = self._loop.call_later(TOKEN_TIMEOUT_S, self._close_unadmitted)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._input.feed(data)

    def eof_received(self) -> bool:
        """The client sends no more: its requests end, what is written is delivered, the connection closes."""
        self.close()
        return False

    def pause_writing(self) -> None:
        """The client reads too slowly: producers pause."""
        self._output.pause()

    def resume_writing(self) -> None:
        """The client has caught up: producers go on, and so does reading."""
        self._output.resume()
        self._input.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: everything of it is cancelled, without replies."""
        self._end()
        self._output.close()
        for timer in self._timers.values():
            timer.cancel()
        for callback in list(self._close_callbacks.values()):
            callback()
        self._close_callbacks.clear()
        if self._on_lost is not None:
            self._on_lost(self)

    # ---- the end

    def close(self) -> None:
        """Cancel this client's requests, deliver what is written, close. A client that doesn't read has LINGER_S."""
        if self.closed:
            return
        self._output.flush()
        self._end()
        self._transport.close()
        self._timers["linger"] = self._loop.call_later(LINGER_S, self._transport.abort)

    def abort(self) -> None:
        """Close at once; what waits to be written is lost."""
        self._end()
        self._transport.abort()

    def cancel_requests(self) -> None:
        """Cancel every request in flight as if the client had asked for it: each is still answered."""
        for entry in self._requests.cancel_all():
            self._reply_error(entry.rpc_id, request_cancelled())

    def _end(self) -> None:
        self.closed = True
        self._input.close()
        self._requests.cancel_all()
        for task in self._notification_tasks:
            task.cancel()

    def _drop(self, reason: str) -> None:
        _log.warning("a client was dropped", number=self.client.number, reason=reason)
        self.abort()

    def _close_unadmitted(self) -> None:
        if self.phase is Phase.NEW:
            self.close()

    # ---- dispatch

    def _fail_framing(self, error: FramingError) -> None:
        """The stream can't be followed any further. What speaks another protocol, a browser above all, is told nothing."""
        if not isinstance(error, ForeignProtocol) and self._admit is None:
            self._reply_error(None, RpcError(PARSE_ERROR, f"Parse error: {error}. The connection is closed; connect again."))
        self.close()

    def _dispatch(self, body: bytes) -> None:
        try:
            message = read_message(body)
        except UnreadableMessage as error:
            return self._refuse_unreadable(error)
        rpc_id, method = message.id, message.method
        if method is _UNSET:
            return None
        if rpc_id is _UNSET:
            return self._take_notification(method, message)
        try:
            self._take_request(rpc_id, method, message, len(body))
        except WrongToken as error:
            self._reply_error(rpc_id, error)
            self.close()
        except RpcError as error:
            self._reply_error(rpc_id, error)
        except Exception as error:
            self._reply_error(rpc_id, self._report(method, error))
        return None

    def _refuse_unreadable(self, error: UnreadableMessage) -> None:
        if self._admit is not None and self.phase is Phase.NEW:
            return self.close()
        return self._reply_error(error.rpc_id, error)

    def _take_request(self, rpc_id: RequestId, method: str, message: Message, size: int) -> None:
        if self.phase is not Phase.READY or method in ("initialize", "shutdown"):
            return self._take_lifecycle_request(rpc_id, method, message)
        self._requests.check(rpc_id, size)
        route = self._router.request(method)
        params = decode_params(route, message.params)
        context = CallContext(self, rpc_id)
        if route.is_async:
            entry = self._requests.add(rpc_id, size)
            entry.task = self._loop.create_task(self._run(entry, intern(method), route, context, params), name="request")
        else:
            self._reply(rpc_id, route.handler(context, params))
        return None

    async def _run(self, entry: InFlight, method: str, route: Route, context: CallContext, params: Any) -> None:
        entry.started = True
        rpc_id = entry.rpc_id
        try:
            body = _encode_result(rpc_id, await route.handler(context, params))
        except asyncio.CancelledError:
            body = encode_error(rpc_id, request_cancelled())
        except RpcError as error:
            body = encode_error(rpc_id, error)
        except Exception as error:
            body = encode_error(rpc_id, self._report(method, error))
        if self._requests.remove(entry) and not self.closed:
            self._output.send_body(body)
            if not self._requests:
                self._output.flush()  # nothing else is asked for that it could be joined with

    def _take_notification(self, method: str, message: Message) -> None:
        if method == "exit":
            self.exited = True
            return self.close()
        if self.phase is not Phase.READY:
            return self._close_unadmitted() if self._admit is not None else None
        if method == "$/cancelRequest":
            return self._cancel(message.params)
        if method == "$/setTrace":
            return self._set_trace(message.params)
        route = self._router.notification(method)
        if route is not None:
            self._start_notification(method, route, message.params)
        return None

    def _start_notification(self, method: str, route: Route, raw: msgspec.Raw) -> None:
        try:
            outcome = route.handler(CallContext(self, None), decode_params(route, raw))
        except RpcError as error:
            _log.info("a notification was ignored", method=method[:80], number=self.client.number, code=error.code)
            return
        except Exception as error:
            self._report(method, error)
            return
        if route.is_async:
            task = self._loop.create_task(self._run_notification(method, outcome))
            self._notification_tasks.add(task)
            task.add_done_callback(self._notification_tasks.discard)

    async def _run_notification(self, method: str, work: Any) -> None:
        try:
            await work
        except Exception as error:
            self._report(method, error)

    def _report(self, method: str, error: Exception) -> RpcError:
        _log.error("a handler failed", exception=error, method=method)
        return internal_error()

    # ---- lifecycle

    def _take_lifecycle_request(self, rpc_id: RequestId, method: str, message: Message) -> None:
        if self.phase is Phase.SHUT_DOWN:
            raise invalid_request("the connection is shut down; send exit, and connect again")
        if self.phase is Phase.READY:
            if method == "initialize":
                raise invalid_request("initialize was sent before; connect again to change what it said")
            return self._shut_down(rpc_id)
        if method == "initialize":
            return self._initialize(rpc_id, message.params)
        if self._admit is not None:
            return self.close()
        raise not_initialized()

    def _initialize(self, rpc_id: RequestId, params: msgspec.Raw) -> None:
        self.client, result = negotiate(params, self._identity, self.client.number, self._admit)
        self.phase = Phase.READY
        self._admit = None
        self._reply(rpc_id, result)

    def _shut_down(self, rpc_id: RequestId) -> None:
        self.phase = Phase.SHUT_DOWN
        self._reply(rpc_id, None)
        self.cancel_requests()

    def _cancel(self, params: msgspec.Raw) -> None:
        try:
            entry = self._requests.cancel(_decode_cancel(params).id)
        except (ValueError, RecursionError):
            return
        if entry is not None:
            self._reply_error(entry.rpc_id, request_cancelled())

    def _set_trace(self, params: msgspec.Raw) -> None:
        try:
            self.client.trace = traces(_decode_trace(params).value)
        except (ValueError, RecursionError):
            return

    # ---- replies

    def _reply(self, rpc_id: RequestId, result: Any) -> None:
        self._output.send_body(_encode_result(rpc_id, result))

    def _reply_error(self, rpc_id: RequestId | None, error: RpcError) -> None:
        if not self.closed:
            self._output.send_body(encode_error(rpc_id, error))


def _encode_result(rpc_id: RequestId, result: Any) -> bytes:
    body = _encode(Response(rpc_id, result))
    if len(body) > MAX_MESSAGE_BYTES:
        raise RpcError(INTERNAL_ERROR, f"The result has {len(body)} bytes, a message at most {MAX_MESSAGE_BYTES}; ask for less.")
    return body
