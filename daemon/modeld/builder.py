"""The runtime inside a program, without the daemon: built step by step, keys from the environment where none is given.

async with RuntimeBuilder().with_env_fallback().build() as runtime:
    reply = await runtime.complete(model="sonnet", messages="Hello")
    async with runtime.stream(model="sonnet", messages="Hello") as stream:
        async for event in stream: ...
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from modeld_protocol.events import Event
from modeld_protocol.model import ModelInfo, Pricing
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse

from .config.load import load, render
from .config.schema import AdapterConfig, Config, ModelConfig
from .credentials.secret import Secret
from .providers.catalog import default_key_env, known_types
from .routing.registry import builtin_config
from .runtime import Runtime

if TYPE_CHECKING:
    import httpx

_REQUEST_FIELDS = frozenset(CanonicalRequest.__struct_fields__)


class ConfigInvalid(ValueError):
    """A config file with errors; `str` has one `file:line:column: severity: message` a line."""


class RuntimeBuilder:
    """Collects what a runtime is made of. Every `with_…` returns the builder."""

    def __init__(self) -> None:
        self._adapters: dict[str, AdapterConfig] = {}
        self._models: dict[str, ModelConfig] = {}
        self._default_model: str | None = None
        self._environment: Mapping[str, str] = {}
        self._timeout_s: float | None = None
        self._max_retries: int | None = None
        self._client: httpx.AsyncClient | None = None

    def with_env_fallback(self, environment: Mapping[str, str] = os.environ) -> Self:
        """Take keys from the environment; without any other adapter, also every provider whose key is there."""
        self._environment = environment
        return self

    def with_config_file(self, path: str | Path) -> Self:
        """Adapters and models of a models.yaml. Raises ConfigInvalid."""
        environment = self._environment or os.environ
        config, problems = load(Path(path), known_types(), environment, default_key_env=default_key_env().get)
        if config is None:
            raise ConfigInvalid("\n".join(render(problems)))
        self._adapters |= config.adapters
        self._models |= config.models
        self._default_model = config.default_model or self._default_model
        return self

    def with_provider(self, name: str, type: str | None = None, *, api_key: str | None = None, **fields: Any) -> Self:
        """An adapter; `fields` are those of models.yaml (`base_url`, `api_key_env`, `api_key_command`, …)."""
        secret = Secret(api_key) if api_key is not None else None
        self._adapters[name] = AdapterConfig(name=name, type=type or name, api_key=secret, **fields)
        return self

    def with_model(self, model_id: str, *, pricing: Pricing | None = None, **fields: Any) -> Self:
        """A model, `provider:name`; `fields` are those of models.yaml (`wire_name`, `aliases`, `tier`, …)."""
        provider, _, name = model_id.partition(":")
        given = {"adapter": provider, "wire_name": name, **fields}
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}  # pyright: ignore[reportUnknownArgumentType]
        self._models[model_id] = ModelConfig(id=model_id, pricing=pricing, **given)
        return self

    def with_default_model(self, model: str) -> Self:
        """What a request without a model gets."""
        self._default_model = model
        return self

    def with_timeout(self, seconds: float) -> Self:
        """`timeout_seconds` of every adapter."""
        self._timeout_s = seconds
        return self

    def with_retries(self, most: int) -> Self:
        """`max_retries` of every adapter."""
        self._max_retries = most
        return self

    def with_http_client(self, client: "httpx.AsyncClient") -> Self:
        """Send over this client instead of the built-in one: for proxies, custom certificates, and tests with respx."""
        self._client = client
        return self

    def build(self) -> "EmbeddedRuntime":
        """The runtime; use it as an async context manager."""
        if self._adapters:
            config = Config(self._adapters, self._models, self._default_model, bool(self._models))
        else:
            config = builtin_config(self._environment)
        changes: dict[str, Any] = {}
        if self._timeout_s is not None:
            changes["timeout_seconds"] = self._timeout_s
        if self._max_retries is not None:
            changes["max_retries"] = self._max_retries
        adapters = {name: msgspec.structs.replace(adapter, **changes) for name, adapter in config.adapters.items()}
        transport = None
        if self._client is not None:
            from .upstream.httpx_transport import HttpxTransport

            transport = HttpxTransport(self._client)
        config = msgspec.structs.replace(config, adapters=adapters)
        return EmbeddedRuntime(Runtime(config, environment=self._environment, transport=transport))


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

    async def complete(self, **fields: Any) -> CanonicalResponse:
        """One call; `fields` are those of CanonicalRequest."""
        return await self._runtime.run(self._runtime.prepare(_request(fields), stream=False))

    def stream(self, **fields: Any) -> "EmbeddedStream":
        """One streamed call, as an async context manager and iterator; leaving early cancels it at the provider."""
        return EmbeddedStream(self._runtime, _request(fields))


class EmbeddedStream:
    """The events of one call, then its response."""

    def __init__(self, runtime: Runtime, request: CanonicalRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._events: asyncio.Queue[list[Event] | None] = asyncio.Queue()
        self._task: asyncio.Task[CanonicalResponse] | None = None

    @property
    def writable(self) -> bool:
        """The program takes events as fast as it reads them; memory bounds the rest."""
        return True

    def emit(self, events: list[Event]) -> None:
        """Called by the adapter."""
        self._events.put_nowait(events)

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        """Never called: `writable` does not change."""
        return lambda: None

    async def __aenter__(self) -> Self:
        call = self._runtime.prepare(self._request, stream=True)
        call.consumer = self
        self._task = asyncio.create_task(self._runtime.run(call))
        self._task.add_done_callback(lambda _task: self._events.put_nowait(None))
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (events := await self._events.get()) is not None:
            for event in events:
                yield event

    async def response(self) -> CanonicalResponse:
        """The whole response. Raises ProviderFailure."""
        assert self._task is not None
        return await asyncio.shield(self._task)


def _request(fields: dict[str, Any]) -> CanonicalRequest:
    unknown = fields.keys() - _REQUEST_FIELDS
    if unknown:
        raise TypeError(f"no such request field: {', '.join(sorted(unknown))}")
    return msgspec.convert(msgspec.to_builtins(fields), CanonicalRequest)
