"""`Client`: the same as AsyncClient without await, for any number of threads. There is no event loop behind it."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from modeld_protocol import config, model
from modeld_protocol.events import Event, StreamGap, TextDelta
from modeld_protocol.lifecycle import Limits, ModeldCapabilities
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from .blocking import SyncConnection, SyncExchange, SyncSubscription
from .calls import (
    CountFields,
    Notification,
    RequestFields,
    decode_event,
    decode_notification,
    decode_result,
    make_count,
    make_request,
)
from .errors import ConnectionLost
from .mux import Subscription
from .target import CANCEL_WAIT_S, CLOSED, NOT_ENTERED, ONCE, Target

if TYPE_CHECKING:
    from modeld_protocol.session import TurnStartParams

    from .sync_sessions import Sessions

T = TypeVar("T")


Connect = Callable[[], SyncConnection]


class Client:
    """A connection to the daemon, for any number of threads. Made by `Client.connect`.

    An interrupted call (Ctrl-C) is cancelled at the provider. When the daemon dies, calls in flight fail with
    ConnectionLost and the next call connects again; `epoch` then has another value.
    """

    def __init__(self, target: Target, timeout_s: float | None) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._connection: SyncConnection | None = None
        self._capabilities: ModeldCapabilities | None = None
        self._subscriptions: list[Subscription] = []
        self._mux_lock = threading.Lock()
        self._connect_lock = threading.Lock()
        self._closed = False

    @classmethod
    def connect(
        cls,
        socket: str | os.PathLike[str] | None = None,
        *,
        client_id: str | None = None,
        start: bool = True,
        required: Sequence[str] = (),
        env: Mapping[str, str] | Sequence[str] = (),
        trace: bool = False,
        tcp: str | None = None,
        token: str | None = None,
        spawn_args: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Self:
        """As `AsyncClient.connect`. With `timeout_s`, a call is cancelled and raises TimeoutError when neither its reply nor
        the next event of its stream has come for so long."""
        client = cls(Target(socket, tcp, token, start, spawn_args, client_id, required, env, trace), timeout_s)
        client._ready()
        return client

    # ---- the connection

    @property
    def epoch(self) -> str:
        """Which run of the daemon this is: cursors of another epoch mean nothing."""
        return self._known().epoch

    @property
    def daemon_id(self) -> str:
        """The daemon's id."""
        return self._known().daemon_id

    @property
    def features(self) -> list[str]:
        """What the daemon can do."""
        return self._known().features

    @property
    def limits(self) -> Limits:
        """The daemon's bounds for one client."""
        return self._known().limits

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled by the daemon. The daemon lives on."""
        with self._connect_lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close(CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ready(self) -> SyncConnection:
        """The live connection, opened again where the last one was lost."""
        connection = self._connection
        if connection is not None and connection.lost is None:
            return connection
        with self._connect_lock:
            if self._closed:
                raise ConnectionLost(CLOSED)
            if self._connection is None or self._connection.lost is not None:
                connection = SyncConnection.open(self._target, self._mux_lock, self._subscriptions)
                self._connection, self._capabilities = connection, connection.capabilities
            return self._connection

    def _known(self) -> ModeldCapabilities:
        if self._capabilities is None:
            raise RuntimeError("not connected yet: use Client.connect()")
        return self._capabilities

    # ---- models

    def complete(self, request: CanonicalRequest | None = None, /, **fields: Unpack[RequestFields]) -> CanonicalResponse:
        """One call, one answer. Takes the fields of CanonicalRequest, or a ready one; raises RequestFailed."""
        return self.call("model/complete", make_request(request, **fields), CanonicalResponse)

    def stream(
        self, request: CanonicalRequest | None = None, /, *, detach: bool = False, **fields: Unpack[RequestFields]
    ) -> "Stream":
        """One call, as it comes. Use with `with`; `detach=True` lets it run on when the block is left."""
        return Stream(self._ready, make_request(request, **fields), self._mux_lock, self._timeout_s, detach=detach)

    def models(self) -> list[model.ModelInfo]:
        """Every configured model."""
        return self.call("model/list", None, model.ModelList).models

    def providers(self) -> list[model.ProviderInfo]:
        """Every configured provider, with what it can do and how it does."""
        return self.call("provider/list", None, model.ProviderList).providers

    def discover(self, providers: Sequence[str] | None = None, *, refresh: bool = False) -> model.DiscoverResult:
        """Which models the providers have, asked of them; `refresh` asks again."""
        chosen = None if providers is None else list(providers)
        return self.call("model/discover", model.DiscoverParams(chosen, refresh), model.DiscoverResult)

    def estimate_tokens(self, request: CanonicalRequest | None = None, /, **fields: Unpack[CountFields]) -> model.TokenCount:
        """Input tokens, estimated by the daemon."""
        return self.call("model/estimateTokens", make_count(request, **fields), model.TokenCount)

    def count_tokens(self, request: CanonicalRequest | None = None, /, **fields: Unpack[CountFields]) -> model.TokenCount:
        """Input tokens, counted by the provider."""
        return self.call("model/countTokens", make_count(request, **fields), model.TokenCount)

    # ---- sessions

    @property
    def sessions(self) -> "Sessions":
        """Durable conversations."""
        from .sync_sessions import Access, Sessions

        return Sessions(Access(self.call, self._ready, self._mux_lock, self._timeout_s))

    # ---- the daemon

    def status(self) -> config.DaemonStatus:
        """How the daemon does."""
        return self.call("daemon/status", None, config.DaemonStatus)

    def stop_daemon(self, *, force: bool = False) -> config.StopResult:
        """End the daemon for everybody, after running calls; `force` does not wait for them."""
        return self.call("daemon/stop", config.StopParams(force), config.StopResult)

    def config_get(self) -> config.ConfigGetResult:
        """The configuration in force, without keys."""
        return self.call("config/get", None, config.ConfigGetResult)

    def config_check(self, file: str | None = None, text: str | None = None) -> config.CheckResult:
        """What is wrong with a configuration: the one in force, `file`, or `text`."""
        return self.call("config/check", config.CheckParams(file, text), config.CheckResult)

    def config_reload(self) -> config.ReloadResult:
        """Read the configuration file again now."""
        return self.call("config/reload", None, config.ReloadResult)

    # ---- anything

    @overload
    def call(self, method: str, params: object = None) -> Any: ...
    @overload
    def call(self, method: str, params: object, result_type: type[T]) -> T: ...
    def call(self, method: str, params: object = None, result_type: type[T] | None = None) -> T:
        """Any method of the protocol; plain JSON comes back where no `result_type` is given."""
        result = self._ready().call(method, {} if params is None else params, self._timeout_s)
        return decode_result(method, result, result_type)

    def notifications(self, *methods: str) -> "Notifications":
        """Notifications of these methods, or of all but `stream/event`, from `with` on. `trace/event` needs
        `connect(trace=True)`."""
        return Notifications(SyncSubscription(self._mux_lock, methods), self._subscriptions, self._ready)


class Stream:
    """A streamed call, made by `Client.stream` and started by `with`: AsyncStream without await."""

    _method = "model/stream"

    def __init__(
        self,
        connect: Connect,
        request: "CanonicalRequest | TurnStartParams",
        lock: threading.Lock,
        timeout_s: float | None,
        *,
        detach: bool,
    ) -> None:
        self._connect = connect
        self._params = request
        self._timeout_s = timeout_s
        self._detach = detach
        self._exchange = SyncExchange(lock, request.request_id)
        self._connection: SyncConnection | None = None

    @property
    def request_id(self) -> str:
        """The id that the daemon's ledger and trace events know this call by."""
        return self._exchange.request_id or ""

    @property
    def gaps(self) -> list[StreamGap]:
        """What the daemon could not deliver in time; the response is whole nevertheless."""
        return self._exchange.gaps

    def __enter__(self) -> Self:
        if self._connection is not None:
            raise RuntimeError(ONCE)
        self._connection = self._connect()
        self._connection.start(self._exchange, self._method, self._params)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        connection, exchange = self._started(), self._exchange
        connection.mute(exchange)
        if exchange.done or self._detach:
            return
        connection.cancel(exchange)
        try:
            connection.wait_done(exchange, CANCEL_WAIT_S)
        except TimeoutError:
            pass

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        connection = self._started()
        while (raw := connection.next_event(self._exchange, self._timeout_s)) is not None:
            event = decode_event(raw)
            if event is not None:
                return event
        raise StopIteration

    def text(self) -> Iterator[str]:
        """Only the text of the answer, piece by piece."""
        for event in self:
            if isinstance(event, TextDelta):
                yield event.text

    def response(self) -> CanonicalResponse:
        """The whole response, once it is there; events may be taken before, after, or not at all."""
        return self._reply(CanonicalResponse)

    def _reply(self, result_type: type[T]) -> T:
        self._started().wait_done(self._exchange, self._timeout_s)
        return decode_result(self._method, self._exchange.reply(), result_type)

    def _started(self) -> SyncConnection:
        if self._connection is None:
            raise RuntimeError(NOT_ENTERED)
        return self._connection


class Notifications:
    """A subscription, made by `Client.notifications` and open inside `with`: AsyncNotifications without await."""

    def __init__(self, subscription: SyncSubscription, all_of_them: list[Subscription], connect: Connect) -> None:
        self._subscription = subscription
        self._all = all_of_them
        self._connect = connect

    @property
    def dropped(self) -> int:
        """How many were lost because they were taken too slowly."""
        return self._subscription.dropped

    def __enter__(self) -> Self:
        self._connect()
        with self._subscription.news:
            self._all.append(self._subscription)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._subscription.news:
            self._all.remove(self._subscription)

    def __iter__(self) -> Iterator[Notification]:
        return self

    def __next__(self) -> Notification:
        item = self.get(None)
        assert item is not None
        return item

    def get(self, timeout_s: float | None) -> Notification | None:
        """The next one, or None where none has come for `timeout_s`."""
        subscription = self._subscription
        with subscription.news:
            if subscription not in self._all:
                raise RuntimeError("enter the subscription first: `with client.notifications(...) as notifications`")
            if not subscription.news.wait_for(lambda: subscription.waiting or subscription.failure, timeout_s):
                return None
            item = subscription.take()
        return decode_notification(*item)
