"""The runtime: one immutable snapshot of config, registry and adapters, and the calls that run on it.

The daemon serves it to many clients; `modeld.builder` embeds it in a program. A reload swaps the snapshot; a call keeps
the one it began with.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from modeld_protocol.content import Message
from modeld_protocol.events import AvailabilityChanged, CallCompleted, CallFailed, CallStarted, TraceEvent
from modeld_protocol.model import (
    DiscoverFailure,
    DiscoverParams,
    DiscoverResult,
    KeyStatus,
    ModelInfo,
    Pricing,
    ProviderInfo,
    TokenCountParams,
)
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import CacheCreateParams, FileUploadParams, ProviderCache, ProviderFile
from modeld_protocol.usage import Warning

from .bookkeeping import Books
from .clock import SYSTEM, Clock
from .config.schema import AdapterConfig, Config
from .credentials.redact import Redactor
from .credentials.sources import KeySources
from .keys import KeyRing
from .observe.call_log import CallLog
from .observe.debug import Debug
from .observe.log import logger
from .providers.adapter import WireAdapter
from .providers.assembler import Assembler
from .providers.call import Call
from .providers.catalog import row_of, wire_of
from .providers.contract import ProviderAdapter
from .providers.endpoint import endpoint_of
from .providers.estimate import estimate_input_tokens
from .providers.extras import ProviderExtras
from .providers.failure import ProviderFailure
from .providers.file_owners import Owners, SeenFiles
from .providers.key_queue import KeyQueues
from .providers.link import Link
from .providers.spec import ModelSpec
from .providers.wire.media import decode_base64, media_type_of
from .providers.wire.memory import Memories, Memory
from .providers.wire.multipart import FileContent
from .routing.availability import Availability
from .routing.capabilities import check, validate_history
from .routing.fallbacks import fallbacks_of
from .routing.initiators import admit
from .routing.registry import Registry, account_of, build_registry, capabilities_of, facts_at
from .routing.resolve import resolve
from .upstream.contract import Transport

Env = Mapping[str, str]
Run = Callable[[Call], Awaitable[CanonicalResponse]]
Around = Callable[[Call, Run], Awaitable[CanonicalResponse]]
_log = logger("runtime")
_OF_THE_KEY = ("auth", "quota_exceeded", "rate_limit")
_NO_ENV: Env = {}


class Snapshot(msgspec.Struct, frozen=True):
    """What one version of the config means. `version` counts from 1."""

    version: int
    config: Config
    registry: Registry
    adapters: dict[str, ProviderAdapter]


class Runtime:
    """Runs calls. `environment` supplies keys; `transport` is the HTTP client, the direct one by default; `config_file` is
    what messages name as the place for keys; `books` is where calls are entered, nowhere without it. `debug` says what the log
    tells of calls, `tap` sees what passes to and from providers, `around` is wrapped around each call, the last one outermost."""

    def __init__(
        self,
        config: Config,
        *,
        environment: Env = os.environ,
        transport: Transport | None = None,
        clock: Clock = SYSTEM,
        redactor: Redactor | None = None,
        config_file: str = "models.yaml",
        books: Books | None = None,
        debug: Debug | None = None,
        tap: Callable[[Transport], Transport] | None = None,
        around: Sequence[Around] = (),
    ) -> None:
        self.clock = clock
        self.books = books
        self._debug = debug or Debug()
        self._tap = tap
        self._run: Run = self._dispatch if books is None else partial(books.run, dispatch=self._dispatch)
        for one in around:
            self._run = _inside(one, self._run)
        self.epoch = clock.new_id("ep")
        self.redactor = redactor or Redactor()
        self.calls_total = 0
        self.calls_running = 0
        self.calls_waiting = 0
        self.on_availability: Callable[[AvailabilityChanged], None] = lambda _change: None
        self._transport = transport or _direct_transport()
        self.files = SeenFiles()
        self._availability = Availability(clock.monotonic)
        self._key_queues = KeyQueues(clock)
        self._keys = KeyRing(KeySources(config_file, clock=clock), self.redactor, environment)
        self.snapshot = self._build(config, 1, {})

    # ---- the snapshot

    def apply(self, config: Config, version: int) -> Snapshot:
        """Make `config` what new calls see; running calls keep what they began with."""
        before = self.snapshot.config.adapters
        self.snapshot = self._build(config, version, self.snapshot.adapters)
        for name, adapter in before.items():
            if name not in config.adapters or account_of(config.adapters[name]) != account_of(adapter):
                self.files.forget(name)
        self._availability.forget(config.adapters.keys())
        self._key_queues.keep(config.adapters.keys())
        return self.snapshot

    async def warm_up(self) -> None:
        """Import the wires of the configured providers, one in each turn of the loop, so that no first call waits for it."""
        for wire in {row_of(adapter.type).wire for adapter in self.snapshot.config.adapters.values()}:
            await asyncio.sleep(0)
            wire_of(wire)

    def _build(self, config: Config, version: int, previous: dict[str, ProviderAdapter]) -> Snapshot:
        known = self.snapshot.config.adapters if previous else {}
        adapters = {
            name: previous[name] if known.get(name) == adapter else self._adapter(adapter)
            for name, adapter in config.adapters.items()
        }
        registry = build_registry(config)
        if self.books is not None:
            self.books.follow(config)
        return Snapshot(version, config, registry, adapters)

    def _adapter(self, config: AdapterConfig) -> ProviderAdapter:
        row = row_of(config.type)
        endpoint = endpoint_of(config, row)
        self._keys.learn(config, row)
        link = Link(
            config.name,
            endpoint,
            partial(wire_of, row.wire),
            self._tapped(self._transport_for(config)),
            self._keys.source(config, row, endpoint.origin),
            self.clock,
            self.redactor,
        )
        return WireAdapter(link, self._key_queues, _whole(config.options.get("max_concurrent_calls")))

    def _transport_for(self, config: AdapterConfig) -> Transport:
        """An adapter behind a proxy goes through httpx; every other one shares the direct client and its connections."""
        proxy = config.options.get("proxy")
        if not proxy:
            return self._transport
        from .upstream.httpx_transport import proxied

        return proxied(str(proxy))

    def _tapped(self, transport: Transport) -> Transport:
        return transport if self._tap is None else self._tap(transport)

    # ---- calls

    def prepare(
        self,
        request: CanonicalRequest,
        *,
        stream: bool,
        env: Env | None = None,
        trace: Callable[[TraceEvent], None] | None = None,
        client_id: str | None = None,
        session_id: str | None = None,
        turn_id: str | None = None,
        memories: Memories | None = None,
        files: Owners | None = None,
    ) -> Call:
        """Resolve and check a request; the ids say whose call it is. `memories` are those of a conversation whose calls and
        results pair, and most of whose messages were checked before; `files` says whose the files are that it names, in place of
        what was seen here. Raises ProviderFailure before anything is sent."""
        snapshot = self.snapshot
        if isinstance(request.messages, str):
            request.messages = [Message("user", request.messages)]
        request_id = request.request_id or self.clock.new_id("req")
        spec: ModelSpec | None = None
        files = self.files.owners if files is None else files
        try:
            if request.initiator is not None:
                client_id = admit(snapshot.config.clients, client_id, request.initiator)
            spec = resolve(snapshot.registry, request.model, request.provider)
            if memories is None:
                validate_history(request)
                check(request, spec, stream=stream, files=files)
            else:
                _check_new(request, spec, memories.of(spec), files, stream=stream)
        except ProviderFailure as failure:
            failure.request_id = request_id
            failure.model = failure.model or request.model
            if self.books is not None:
                self.books.refused(failure, spec, stream=stream, client_id=client_id, session_id=session_id, turn_id=turn_id)
            raise
        return Call(
            request,
            spec,
            request_id,
            self.clock.new_id("msg"),
            env=_NO_ENV if env is None else env,
            trace=partial(self._observe, CallLog(self._debug, client_id, session_id, turn_id), trace, bool(env)),
            client_id=client_id,
            session_id=session_id,
            turn_id=turn_id,
            memories=memories,
            files=files,
        )

    def note_refused(
        self, failure: ProviderFailure, *, client_id: str | None, session_id: str | None, turn_id: str | None
    ) -> None:
        """A turn that names no model of ours leaves its row, as `prepare` sees to for every other call that is refused."""
        if self.books is not None:
            self.books.refused(failure, None, stream=True, client_id=client_id, session_id=session_id, turn_id=turn_id)

    def withdraw(self, call: Call) -> None:
        """A prepared call was cancelled before its turn came: nothing was sent; its stream ends as every other, and so does its
        row."""
        call.assembler = assembler = Assembler(call.message_id, call.spec.id, call.spec.provider)
        assembler.complete("cancelled")
        if call.consumer is not None:
            call.consumer.emit([*assembler.take(), assembler.terminal_event()])
        if self.books is not None:
            self.books.withdrawn(call)

    def encoding_warnings(self, request: CanonicalRequest, spec: ModelSpec) -> list[Warning]:
        """What sending `request` to `spec` would warn of; nothing is sent. Raises ProviderFailure where it can't be sent."""
        check(request, spec, stream=True)
        return self.snapshot.adapters[spec.provider].encoding_warnings(request, spec)

    async def run(self, call: Call) -> CanonicalResponse:
        """Run a prepared call, on the books where there are any: streamed if it has a consumer. Raises ProviderFailure."""
        self.calls_total += 1
        self.calls_running += 1
        try:
            return await (self._run(call) if not call.spec.fallbacks else self._run_with_fallbacks(call))
        finally:
            self.calls_running -= 1

    async def _run_with_fallbacks(self, call: Call) -> CanonicalResponse:
        from .standing_in import run_with_fallbacks

        stream = call.consumer is not None
        fallbacks = fallbacks_of(
            self.snapshot.registry, call.spec, call.request, stream=stream, files=call.files, project=call.project
        )
        return await run_with_fallbacks(call, fallbacks, lambda spec: not call.env and self._is_down(spec), self._run)

    def _is_down(self, spec: ModelSpec) -> bool:
        return self._availability.is_down(spec.provider, spec.id)

    def _dispatch(self, call: Call) -> Awaitable[CanonicalResponse]:
        adapter = self.snapshot.adapters[call.spec.provider]
        return adapter.complete(call) if call.consumer is None else adapter.stream(call)

    def _observe(self, log: CallLog, trace: Callable[[TraceEvent], None] | None, lent: bool, event: TraceEvent) -> None:
        """The trace bus of one call: the log and the availability of providers listen, then the client that asked.

        What a provider has against a key that a client lends says nothing about the provider for others.
        """
        log.observe(event)
        changes: list[AvailabilityChanged] | None = None
        if isinstance(event, CallStarted):
            changes = self._availability.started(event.provider, event.model)
        elif isinstance(event, CallCompleted):
            changes = self._availability.succeeded(event.provider, event.model)
        elif isinstance(event, CallFailed):
            if event.error_class == "auth" and (adapter := self.snapshot.config.adapters.get(event.provider)):
                self._keys.rejected(adapter)
            if not (lent and event.error_class in _OF_THE_KEY):
                changes = self._availability.failed(event.provider, event.model, event.error_class)
        if trace is not None:
            trace(event)
        if changes:
            self._changed(changes, trace)

    def _changed(self, changes: list[AvailabilityChanged], trace: Callable[[TraceEvent], None] | None) -> None:
        for change in changes:
            if trace is not None:
                trace(change)
            _log.warning("availability changed", provider=change.provider, model=change.model, state=change.state)
            self.on_availability(change)

    # ---- what there is

    def adapter_config(self, name: str) -> AdapterConfig | None:
        """The config of an adapter, None where there is none of that name."""
        return self.snapshot.config.adapters.get(name)

    def price_of(self, model: str) -> Pricing | None:
        """The price of a configured model by its id, None where there is none."""
        spec = self.snapshot.registry.specs.get(model)
        return spec.pricing if spec is not None else None

    def models(self, env: Env | None = None) -> list[ModelInfo]:
        """Every configured model, in config order."""
        registry = self.snapshot.registry
        infos: list[ModelInfo] = []
        for spec in registry.specs.values():
            missing = self._missing(spec.provider, env)
            infos.append(
                ModelInfo(
                    id=spec.id,
                    provider=spec.provider,
                    wire_name=spec.wire_name,
                    wire=spec.wire,
                    aliases=list(spec.aliases),
                    tier=spec.tier,
                    can_delegate=spec.can_delegate,
                    capabilities=spec.capabilities,
                    limits=spec.limits,
                    pricing=spec.pricing,
                    availability="not_configured" if missing else self._availability.of(spec.provider, spec.id),
                    default=spec.id == registry.default,
                    fallbacks=list(spec.fallbacks),
                    reason=missing or self._availability.reason(spec.provider, spec.id),
                )
            )
        return infos

    def providers(self, env: Env | None = None) -> list[ProviderInfo]:
        """Every configured provider with its row of the capability matrix."""
        snapshot = self.snapshot
        infos: list[ProviderInfo] = []
        keys = self.keys()
        for adapter in snapshot.config.adapters.values():
            row = row_of(adapter.type)
            missing = self._missing(adapter.name, env)
            infos.append(
                ProviderInfo(
                    name=adapter.name,
                    type=adapter.type,
                    wire=row.wire,
                    base_url=str(endpoint_of(adapter, row).origin) + endpoint_of(adapter, row).base_path,
                    availability="not_configured" if missing else self._availability.of(adapter.name, None),
                    capabilities=capabilities_of(adapter),
                    models=[spec.id for spec in snapshot.registry.specs.values() if spec.provider == adapter.name],
                    key_source=self._keys.describe(adapter, row),
                    reason=missing or self._availability.reason(adapter.name, None),
                    documentation=row.documentation,
                    keys=[key for key in keys if adapter.name in key.providers],
                )
            )
        return infos

    def keys(self) -> list[KeyStatus]:
        """How calls with the keys do that are in use at the moment."""
        return list(self._key_queues.in_use())

    @property
    def calls_waiting_for_keys(self) -> int:
        """How many calls wait for their key to open."""
        return self._key_queues.waiting

    def _missing(self, provider: str, env: Env | None) -> str | None:
        adapter = self.snapshot.config.adapters[provider]
        return self._keys.missing(adapter, row_of(adapter.type), env or {})

    # ---- counting and discovery

    def estimate_tokens(self, params: TokenCountParams) -> int:
        """A local estimate; without a model it is that of no model in particular. Raises ProviderFailure."""
        if params.model is None and params.provider is None:
            return estimate_input_tokens(params)
        spec = resolve(self.snapshot.registry, params.model, params.provider)
        return estimate_input_tokens(params, spec.quirks.token_scale)

    async def count_tokens(self, params: TokenCountParams, env: Env | None = None) -> int:
        """The provider's own count. Raises ProviderFailure."""
        spec = resolve(self.snapshot.registry, params.model, params.provider)
        return await self.snapshot.adapters[spec.provider].count_tokens(params, spec, env or {})

    async def discover(self, params: DiscoverParams, env: Env | None = None) -> DiscoverResult:
        """What the providers say they have; one that fails is reported beside the others."""
        snapshot = self.snapshot
        names = params.providers if params.providers is not None else list(snapshot.adapters)
        result = DiscoverResult([])
        configured = {(spec.provider, spec.wire_name) for spec in snapshot.registry.specs.values()}
        for name in names:
            adapter = snapshot.adapters.get(name)
            if adapter is None:
                raise self._no_provider(name)
            try:
                found = await adapter.discover_models(env or {})
            except ProviderFailure as failure:
                result.failures.append(DiscoverFailure(name, failure.error_class, failure.message))
                continue
            for model in found:
                model.configured = (name, model.wire_name) in configured
            result.models += found
        return result

    # ---- what providers keep

    async def upload_file(self, params: FileUploadParams, env: Env | None = None) -> ProviderFile:
        """Give a provider a file to keep. Raises ProviderFailure, as all of these do."""
        extras = self._extras(params.provider)
        data = decode_base64(params.data)
        if data is None:
            raise ProviderFailure("invalid_request", "data is no base64; encode the file's bytes")
        content = FileContent(params.filename, data, media_type_of(params.media_type, params.data))
        kept = await extras.upload(content, env or {})
        self.files.note(kept.file_id, params.provider)
        return kept

    async def list_files(self, provider: str, env: Env | None = None) -> list[ProviderFile]:
        """The files that a provider keeps."""
        found = await self._extras(provider).list_files(env or {})
        for file in found:
            self.files.note(file.file_id, provider)
        return found

    async def delete_file(self, provider: str, file_id: str, env: Env | None = None) -> None:
        """Have a provider forget a file."""
        await self._extras(provider).delete_file(file_id, env or {})

    async def create_cache(self, params: CacheCreateParams, env: Env | None = None) -> ProviderCache:
        """Have a provider keep the beginning of prompts for one model."""
        extras = self._extras(params.provider)
        return await extras.create_cache(params, resolve(self.snapshot.registry, params.model, params.provider), env or {})

    async def list_caches(self, provider: str, env: Env | None = None) -> list[ProviderCache]:
        """The caches that a provider keeps."""
        return await self._extras(provider).list_caches(env or {})

    async def delete_cache(self, provider: str, cache_id: str, env: Env | None = None) -> None:
        """Have a provider forget a cache."""
        await self._extras(provider).delete_cache(cache_id, env or {})

    def _extras(self, provider: str) -> ProviderExtras:
        adapter = self.snapshot.adapters.get(provider)
        if adapter is None:
            raise self._no_provider(provider)
        facts = facts_at(self.snapshot.config.adapters[provider])
        return adapter.extras(facts.capabilities, facts.quirks)

    def _no_provider(self, name: str) -> ProviderFailure:
        known = ", ".join(self.snapshot.adapters) or "none"
        return ProviderFailure("invalid_request", f"no provider is called {name}; configured are: {known}")

    async def close(self) -> None:
        """Cancel what runs and close the connections."""
        for adapter in self.snapshot.adapters.values():
            await adapter.close()
        await self._transport.close()


def _whole(option: object) -> int | None:
    """An option that counts something, None where it doesn't."""
    return option if type(option) is int and option > 0 else None


def _check_new(request: CanonicalRequest, spec: ModelSpec, memory: Memory, files: Owners, *, stream: bool) -> None:
    assert not isinstance(request.messages, str)
    check(request, spec, stream=stream, checked=memory.checked(request.messages), files=files)
    memory.note_checked(request.messages)


def _inside(around: Around, run: Run) -> Run:
    return lambda call: around(call, run)


def _direct_transport() -> Transport:
    from .upstream.client import DirectTransport

    return DirectTransport()
