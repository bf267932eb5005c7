"""`AsyncClient`: every method of the daemon, on asyncio."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import anyio

from modeld_protocol import config, model
from modeld_protocol.lifecycle import Limits, ModeldCapabilities
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from .calls import CountFields, Notification, RequestFields, decode_notification, decode_result, make_count, make_request
from .errors import ConnectionLost
from .mux import Subscription
from .stream import AsyncStream, Connect
from .target import CLOSED, Target
from .transport import AsyncConnection, AsyncSubscription

if TYPE_CHECKING:
    from .sessions import AsyncSessions

T = TypeVar("T")


class AsyncClient:
    """A connection to the daemon, for tasks of one event loop. Made by `AsyncClient.connect`.

    Any number of calls may run at once. Cancelling a call's task or scope cancels it at the provider. When the daemon dies,
    calls in flight fail with ConnectionLost and the next call connects again; `epoch` then has another value.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: AsyncConnection | None = None
        self._capabilities: ModeldCapabilities | None = None
        self._subscriptions: list[Subscription] = []
        self._lock = anyio.Lock()
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
    ) -> "Connecting":
        """Find the daemon, start it where there is none, and shake hands. Use with `async with` or `await`.

        `socket`: its path, where it is not the user's own daemon. `start=False`: fail with DaemonUnavailable instead of
        starting one. `required`: features the daemon must have. `env`: key variables for this connection's calls, as names
        to be looked up or as a mapping; nothing is passed unless asked for. `trace`: receive `trace/event` notifications.
        `tcp`: `127.0.0.1:PORT`, with `token` or the token file. `spawn_args`: command line of a daemon that gets started.
        """
        return Connecting(cls(Target(socket, tcp, token, start, spawn_args, client_id, required, env, trace)))

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

    async def aclose(self) -> None:
        """Close the connection; calls in flight are cancelled by the daemon. The daemon lives on."""
        self._closed = True
        if self._connection is not None:
            self._connection.close(CLOSED)
            await asyncio.sleep(0)  # lets the transport close its socket

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def _ready(self) -> AsyncConnection:
        """The live connection, opened again where the last one was lost."""
        connection = self._connection
        if connection is not None and connection.lost is None:
            return connection
        async with self._lock:
            if self._closed:
                raise ConnectionLost(CLOSED)
            if self._connection is None or self._connection.lost is not None:
                self._connection = await AsyncConnection.open(self._target, self._subscriptions)
                self._capabilities = self._connection.capabilities
            return self._connection

    def _known(self) -> ModeldCapabilities:
        if self._capabilities is None:
            raise RuntimeError("not connected yet: `await AsyncClient.connect()` first")
        return self._capabilities

    # ---- models

    async def complete(self, request: CanonicalRequest | None = None, /, **fields: Unpack[RequestFields]) -> CanonicalResponse:
        """One call, one answer. Takes the fields of CanonicalRequest, or a ready one; raises RequestFailed."""
        return await self.call("model/complete", make_request(request, **fields), CanonicalResponse)

    def stream(
        self, request: CanonicalRequest | None = None, /, *, detach: bool = False, **fields: Unpack[RequestFields]
    ) -> AsyncStream:
        """One call, as it comes. Use with `async with`; `detach=True` lets it run on when the block is left."""
        return AsyncStream(self._ready, make_request(request, **fields), detach=detach)

    async def models(self) -> list[model.ModelInfo]:
        """Every configured model."""
        return (await self.call("model/list", None, model.ModelList)).models

    async def providers(self) -> list[model.ProviderInfo]:
        """Every configured provider, with what it can do and how it does."""
        return (await self.call("provider/list", None, model.ProviderList)).providers

    async def discover(self, providers: Sequence[str] | None = None, *, refresh: bool = False) -> model.DiscoverResult:
        """Which models the providers have, asked of them; `refresh` asks again."""
        chosen = None if providers is None else list(providers)
        return await self.call("model/discover", model.DiscoverParams(chosen, refresh), model.DiscoverResult)

    async def estimate_tokens(
        self, request: CanonicalRequest | None = None, /, **fields: Unpack[CountFields]
    ) -> model.TokenCount:
        """Input tokens, estimated by the daemon."""
        return await self.call("model/estimateTokens", make_count(request, **fields), model.TokenCount)

    async def count_tokens(self, request: CanonicalRequest | None = None, /, **fields: Unpack[CountFields]) -> model.TokenCount:
        """Input tokens, counted by the provider."""
        return await self.call("model/countTokens", make_count(request, **fields), model.TokenCount)

    # ---- sessions

    @property
    def sessions(self) -> "AsyncSessions":
        """Durable conversations."""
        from .sessions import AsyncSessions

        return AsyncSessions(self.call, self._ready)

    # ---- the daemon

    async def status(self) -> config.DaemonStatus:
        """How the daemon does."""
        return await self.call("daemon/status", None, config.DaemonStatus)

    async def stop_daemon(self, *, force: bool = False) -> config.StopResult:
        """End the daemon for everybody, after running calls; `force` does not wait for them."""
        return await self.call("daemon/stop", config.StopParams(force), config.StopResult)

    async def config_get(self) -> config.ConfigGetResult:
        """The configuration in force, without keys."""
        return await self.call("config/get", None, config.ConfigGetResult)

    async def config_check(self, file: str | None = None, text: str | None = None) -> config.CheckResult:
        """What is wrong with a configuration: the one in force, `file`, or `text`."""
        return await self.call("config/check", config.CheckParams(file, text), config.CheckResult)

    async def config_reload(self) -> config.ReloadResult:
        """Read the configuration file again now."""
        return await self.call("config/reload", None, config.ReloadResult)

    # ---- anything

    @overload
    async def call(self, method: str, params: object = None) -> Any: ...
    @overload
    async def call(self, method: str, params: object, result_type: type[T]) -> T: ...
    async def call(self, method: str, params: object = None, result_type: type[T] | None = None) -> T:
        """Any method of the protocol; plain JSON comes back where no `result_type` is given."""
        connection = await self._ready()
        return decode_result(method, await connection.call(method, {} if params is None else params), result_type)

    def notifications(self, *methods: str) -> "AsyncNotifications":
        """Notifications of these methods, or of all but `stream/event`, from `async with` on. `trace/event` needs
        `connect(trace=True)`."""
        return AsyncNotifications(AsyncSubscription(methods), self._subscriptions, self._ready)


class AsyncNotifications:
    """A subscription, made by `AsyncClient.notifications` and open inside `async with`. For one consumer, for whom the
    newest 1,000 are kept when it lags.

    Raises ConnectionLost when the connection ends: what was missed can't be known. Subscribe again then.
    """

    def __init__(self, subscription: AsyncSubscription, all_of_them: list[Subscription], connect: Connect) -> None:
        self._subscription = subscription
        self._all = all_of_them
        self._connect = connect

    @property
    def dropped(self) -> int:
        """How many were lost because they were taken too slowly."""
        return self._subscription.dropped

    async def __aenter__(self) -> Self:
        await self._connect()
        self._all.append(self._subscription)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._all.remove(self._subscription)

    def __aiter__(self) -> AsyncIterator[Notification]:
        return self

    async def __anext__(self) -> Notification:
        if self._subscription not in self._all:
            raise RuntimeError("enter the subscription first: `async with client.notifications(...) as notifications`")
        await self._subscription.wait()
        return decode_notification(*self._subscription.take())


class Connecting:
    """What `AsyncClient.connect` gives: `async with` it, or `await` it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._client.__aenter__().__await__()

    async def __aenter__(self) -> AsyncClient:
        return await self._client.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.aclose()
