"""The runtime inside a program, without the daemon: built step by step, keys from the environment where none is given.

async with RuntimeBuilder().with_env_fallback().build() as runtime:
    reply = await runtime.complete(model="sonnet", messages="Hello")
    async with runtime.stream(model="sonnet", messages="Hello") as stream:
        async for event in stream: ...
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from modeld_protocol.events import Event
from modeld_protocol.model import ModelInfo, Pricing, TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from .config.load import load, render
from .config.schema import AdapterConfig, Config, ModelConfig
from .credentials.secret import Secret
from .providers.catalog import default_key_env, known_types, unknown_type
from .routing.registry import builtin_config
from .runtime import Runtime

if TYPE_CHECKING:
    import httpx

MAX_WAITING_EVENTS = 1_000  # of one stream; a program that lags holds the provider back instead of filling memory
_T = TypeVar("_T")


class ConfigInvalid(ValueError):
    """A config with errors; of a file, `str` has one `file:line:column: severity: message` a line."""


class RuntimeBuilder:
    """Collects what a runtime is made of. Every `with_…` returns the builder and raises ConfigInvalid."""

    def __init__(self) -> None:
        self._adapters: dict[str, AdapterConfig] = {}
        self._models: dict[str, ModelConfig] = {}
        self._default_model: str | None = None
        self._environment: Mapping[str, str] = {}
        self._changes: dict[str, Any] = {}
        self._client: httpx.AsyncClient | None = None

    def with_env_fallback(self, environment: Mapping[str, str] = os.environ) -> Self:
        """Take keys from the environment; without any other adapter, also every provider whose key is there."""
        self._environment = environment
        return self

    def with_config_file(self, path: str | Path) -> Self:
        """Adapters and models of a models.yaml, whose keys come from the environment as in the daemon."""
        self._environment = self._environment or os.environ
        config, problems = load(Path(path), known_types(), self._environment, default_key_env=default_key_env().get)
        if config is None:
            raise ConfigInvalid("\n".join(render(problems)))
        self._adapters |= config.adapters
        self._models |= config.models
        self._default_model = config.default_model or self._default_model
        return self

    def with_provider(self, name: str, type: str | None = None, *, api_key: str | None = None, **fields: Any) -> Self:
        """An adapter; `type` is `name` where it is left out, `fields` are those of models.yaml (`base_url`, `api_key_env`,
        `timeout_seconds`, …)."""
        kind = type or name
        if kind not in known_types():
            raise ConfigInvalid(f"{name}: {unknown_type(kind)}")
        adapter = _converted(name, {"name": name, "type": kind, **fields}, AdapterConfig)
        secret = Secret(api_key) if api_key is not None else None
        self._adapters[name] = msgspec.structs.replace(adapter, api_key=secret)
        return self

    def with_model(self, model_id: str, *, pricing: Pricing | None = None, **fields: Any) -> Self:
        """A model, `provider:name`; `fields` are those of models.yaml (`wire_name`, `aliases`, `tier`, …). With models given,
        the catalog's are not offered."""
        provider, _, name = model_id.partition(":")
        if not provider or not name:
            raise ConfigInvalid(f"{model_id!r} is no model id: write it like provider:name")
        given = {"id": model_id, "adapter": provider, "wire_name": name, "pricing": pricing, **fields}
        self._models[model_id] = _converted(model_id, given, ModelConfig)
        return self

    def with_default_model(self, model: str) -> Self:
        """What a request without a model gets."""
        self._default_model = model
        return self

    def with_timeout(self, seconds: float) -> Self:
        """`timeout_seconds` of every adapter."""
        self._changes["timeout_seconds"] = seconds
        return self

    def with_retries(self, most: int) -> Self:
        """`max_retries` of every adapter."""
        self._changes["max_retries"] = most
        return self

    def with_http_client(self, client: "httpx.AsyncClient") -> Self:
        """Send over this client instead of the built-in one: for proxies, custom certificates, and tests with respx.
        It stays yours to close."""
        self._client = client
        return self

    def build(self) -> "EmbeddedRuntime":
        """The runtime; use it as an async context manager."""
        if self._adapters or self._models:
            config = Config(self._adapters, self._models, self._default_model, bool(self._models))
        else:
            config = msgspec.structs.replace(_builtin(self._environment), default_model=self._default_model)
        adapters = {name: msgspec.structs.replace(adapter, **self._changes) for name, adapter in config.adapters.items()}
        config = msgspec.structs.replace(config, adapters=adapters)
        transport = None
        if self._client is not None:
            from .upstream.httpx_transport import HttpxTransport

            transport = HttpxTransport(self._client)
        try:
            return EmbeddedRuntime(Runtime(config, environment=self._environment, transport=transport))
        except ValueError as error:
            raise ConfigInvalid(str(error)) from None


class EmbeddedRuntime:
    """Stateless calls, without a daemon. Raises ProviderFailure."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runtime.close()

    def models(self) -> list[ModelInfo]:
        """Every configured model."""
        return self._runtime.models()

    def estimate_tokens(self, **fields: Any) -> int:
        """Input tokens, estimated without asking anybody; `fields` are those of TokenCountParams."""
        return self._runtime.estimate_tokens(msgspec.convert(_fields(fields, TokenCountParams), TokenCountParams))

    async def complete(self, **fields: Any) -> CanonicalResponse:
        """One call; `fields` are those of CanonicalRequest. Raises msgspec.ValidationError for values that are none."""
        return await self._runtime.run(self._runtime.prepare(_request(fields), stream=False))

    def stream(self, **fields: Any) -> "EmbeddedStream":
        """One streamed call, as an async context manager and iterator; leaving early cancels it at the provider."""
        return EmbeddedStream(self._runtime, _request(fields))


class EmbeddedStream:
    """The events of one call, then its response. For one consumer."""

    def __init__(self, runtime: Runtime, request: CanonicalRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        self._callbacks: list[Callable[[bool], None]] = []
        self._task: asyncio.Task[CanonicalResponse] | None = None
        self._unwatched = False

    # ---- called by the adapter

    @property
    def writable(self) -> bool:
        """Whether the program keeps up; the provider waits while it doesn't."""
        return self._unwatched or len(self._events) < MAX_WAITING_EVENTS

    def emit(self, events: list[Event]) -> None:
        """Take a batch of events."""
        was_writable = self.writable
        self._events.extend(events)
        self._news.set()
        self._tell(was_writable)

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Be told when `writable` changes; returns how to stop being told."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def _tell(self, was_writable: bool) -> None:
        if self.writable is not was_writable:
            for callback in tuple(self._callbacks):
                callback(self.writable)

    # ---- called by the program

    async def __aenter__(self) -> Self:
        call = self._runtime.prepare(self._request, stream=True)
        call.consumer = self
        self._task = asyncio.create_task(self._runtime.run(call))
        self._task.add_done_callback(lambda _task: self._news.set())
        return self

    async def __aexit__(self, *exc: object) -> None:
        task = self._started()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()

    async def __aiter__(self) -> AsyncIterator[Event]:
        task = self._started()
        while self._events or not task.done():
            if not self._events:
                self._news.clear()
                await self._news.wait()
                continue
            was_writable = self.writable
            event = self._events.popleft()
            self._tell(was_writable)
            yield event
        if not task.cancelled():
            task.result()  # raises what the call failed with, after the events that came before it

    async def response(self) -> CanonicalResponse:
        """The whole response, whether its events were taken or not. Raises ProviderFailure."""
        task = self._started()
        was_writable = self.writable
        self._unwatched = True  # whoever waits here takes no events, and must not be what the provider waits for
        self._tell(was_writable)
        return await asyncio.shield(task)

    def _started(self) -> "asyncio.Task[CanonicalResponse]":
        if self._task is None:
            raise RuntimeError("enter the stream first: `async with runtime.stream(...) as stream`")
        return self._task


def _builtin(environment: Mapping[str, str]) -> Config:
    """Every provider whose key is in the environment; all of them where none is, so that a call says what is missing."""
    config = builtin_config(environment)
    keyed = {name: adapter for name, adapter in config.adapters.items() if environment.get(adapter.api_key_env or "")}
    return msgspec.structs.replace(config, adapters=keyed or config.adapters)


def _converted(what: str, given: dict[str, Any], kind: type[_T]) -> _T:
    """Checked like a models.yaml. Raises ConfigInvalid."""
    try:
        return msgspec.convert(_fields(given, kind), kind)
    except (TypeError, msgspec.ValidationError) as error:
        raise ConfigInvalid(f"{what}: {error}") from None


def _request(fields: dict[str, Any]) -> CanonicalRequest:
    return msgspec.convert(_fields(fields, CanonicalRequest), CanonicalRequest)


def _fields(given: dict[str, Any], kind: Any) -> Any:
    unknown = sorted(given.keys() - set(kind.__struct_fields__))
    if unknown:
        raise TypeError(f"there is no field {', '.join(unknown)}; there are {', '.join(kind.__struct_fields__)}")
    return msgspec.to_builtins(given)
