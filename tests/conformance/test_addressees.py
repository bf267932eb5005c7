"""Where requests go, and what they carry there: each provider's key to its own origin and in its own header, and nowhere else."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from tests.conformance.suite.world import UNKNOWN_MODEL, Events, World, config_of, key_of, running_world

from modeld.clock import Clock
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.catalog import all_rows, known_types, row_of
from modeld.providers.catalog.rows import ProviderRow
from modeld.providers.failure import ProviderFailure
from modeld.runtime import Runtime
from modeld.simulator import RecordedRequest, Script, Simulator
from modeld.upstream.contract import Exchange, HttpRequest, UpstreamError
from modeld.upstream.guard import parse_base_url
from modeld_protocol.model import DiscoverParams, TokenCountParams
from modeld_protocol.request import CanonicalRequest

pytestmark = pytest.mark.anyio
ADDRESSED = [row for row in all_rows() if row.base_url]
ENVIRONMENT = {row.key_env: key_of(row) for row in reversed(all_rows()) if row.key_env}


def each(rows: list[ProviderRow]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row.type for row in rows])


# ---- the providers' own addresses


class Watched:
    """A transport that sends nothing and remembers what it was to send."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []

    async def open(self, request: HttpRequest, *, connect_timeout_s: float, head_timeout_s: float) -> Exchange:
        self.requests.append(request)
        raise UpstreamError("connect", "nothing is sent here")

    async def close(self) -> None:
        pass


async def requests_of(row: ProviderRow, **adapter: Any) -> list[HttpRequest]:
    """Everything that a runtime sends for a provider: calls of both kinds, counts, the list of models."""
    watched, model = Watched(), f"{row.type}:{UNKNOWN_MODEL}"
    config = Config(
        {row.type: AdapterConfig(row.type, row.type, max_retries=0, **adapter)},
        {model: ModelConfig(model, row.type, UNKNOWN_MODEL)},
    )
    runtime = Runtime(config, environment=ENVIRONMENT, transport=watched, clock=Clock(chance=lambda: 0.0))
    for consumer in (None, Events()):
        call = runtime.prepare(CanonicalRequest("Hello", model=model), stream=consumer is not None)
        call.consumer = consumer
        with pytest.raises(ProviderFailure):
            await runtime.run(call)
    with pytest.raises(ProviderFailure):
        await runtime.count_tokens(TokenCountParams("Hello", model=model))
    assert (await runtime.discover(DiscoverParams([row.type]))).failures != []
    able = runtime.providers()[0].capabilities
    assert len(watched.requests) == 3 + able.count_tokens
    return watched.requests


def addresses_of(row: ProviderRow) -> dict[str, dict[str, Any]]:
    """A row's base URL and those of its regions, with the options that pick them."""
    regions = {url: {"options": {"region": region}} for region, url in row.regions.items()}
    return {**regions, row.base_url: {}}


@each(ADDRESSED)
async def test_requests_and_keys_go_to_the_rows_own_address(row: ProviderRow) -> None:
    for url, options in addresses_of(row).items():
        origin, path = parse_base_url(url)
        for request in await requests_of(row, **options):
            assert request.origin == origin
            assert request.target.startswith(path.rstrip("/") or "/")
            assert not any(key in str(request.headers) + request.target for key in ENVIRONMENT.values())
            assert not any(key.encode() in request.body for key in ENVIRONMENT.values())
            if not row.needs_key:
                assert request.credential is None
                continue
            assert request.credential is not None
            assert request.credential.allowed_origins == {str(origin)}
            assert request.credential.secret.reveal() == ENVIRONMENT[row.key_env]
            assert (request.credential.header, request.credential.prefix) == (row.key_header, row.key_prefix)


@each(ADDRESSED)
async def test_addresses_are_encrypted_or_local(row: ProviderRow) -> None:
    for url in addresses_of(row):
        origin, _ = parse_base_url(url)
        assert origin.scheme == "https" or origin.host == "localhost"


# ---- headers

BEARER = ("authorization", "Bearer ")
# platform.claude.com/docs/en/api/overview, ai.google.dev/api (2026-11-20)
KEY_HEADERS = {"anthropic": ("x-api-key", ""), "anthropic-compatible": ("x-api-key", ""), "gemini": ("x-goog-api-key", "")}


@each(list(all_rows()))
def test_keys_ride_in_the_documented_header(row: ProviderRow) -> None:
    assert (row.key_header, row.key_prefix) == KEY_HEADERS.get(row.type, BEARER)


ATTRIBUTION = {"options": {"site_url": "https://acme.example", "app_name": "Acme"}}
# What every call carries besides the key: platform.claude.com/docs/en/api/versioning, docs.z.ai/api-reference, and who asks:
# openrouter.ai/docs/app-attribution, inference-docs.cerebras.ai (2026-11-20).
STANDING: dict[str, dict[str, str]] = {
    "anthropic": {"anthropic-version": "2023-06-01"},
    "anthropic-compatible": {"anthropic-version": "2023-06-01"},
    "cerebras": {"x-cerebras-3rd-party-integration": "Acme"},
    "glm": {"accept-language": "en-US,en"},
    "openrouter": {"http-referer": "https://acme.example", "x-openrouter-title": "Acme", "x-title": "Acme"},
}


@each(list(all_rows()))
async def test_standing_and_attribution_headers(row: ProviderRow) -> None:
    """As documented, on every request, and nobody else's."""
    address = {} if row.base_url else {"base_url": "http://127.0.0.1:9/v1"}
    ours = {"content-type"}
    for request in await requests_of(row, **ATTRIBUTION, **address):
        sent = {name.lower(): value for name, value in request.headers if name.lower() not in ours}
        assert sent == STANDING.get(row.type, {})


async def test_without_options_nobody_is_named() -> None:
    for row in ADDRESSED:
        if row.option_headers:
            assert all(name == "content-type" for request in await requests_of(row) for name, _ in request.headers)


# ---- over real sockets


class Place(NamedTuple):
    world: World
    stranger: Simulator


@pytest.fixture(scope="module")
async def place() -> AsyncIterator[Place]:
    async with running_world() as world, Simulator() as stranger:
        yield Place(world, stranger)


def keys_in(request: RecordedRequest) -> dict[str, list[str]]:
    """The headers in which each key stands; no key stands anywhere else."""
    found: dict[str, list[str]] = {}
    for row in all_rows():
        key = key_of(row)
        assert key.encode() not in request.body
        assert key not in request.path
        places = [name for name, value in request.headers if key in value.split()]
        if places:
            found[row.type] = places
    return found


@pytest.mark.parametrize("name", known_types())
async def test_each_key_is_sent_once_in_its_own_header(place: Place, name: str) -> None:
    row, (world, _) = row_of(name), place
    world.simulator.reset()
    model = f"{name}:{UNKNOWN_MODEL}"
    await world.runtime.run(world.runtime.prepare(CanonicalRequest("Hello", model=model), stream=False))
    await world.runtime.discover(DiscoverParams([name]))
    if world.spec(model).capabilities.count_tokens:
        await world.runtime.count_tokens(TokenCountParams("Hello", model=model))
    for request in world.simulator.requests:
        assert keys_in(request) == {name: [row.key_header]}
        assert request.header(row.key_header) == f"{row.key_prefix}{key_of(row)}"


@pytest.mark.parametrize("name", known_types())
async def test_a_redirect_is_not_followed(place: Place, name: str) -> None:
    world, stranger = place
    for stream in (False, True):
        world.simulator.reset()
        world.simulator.push(Script(["Hi."], fault={"name": "redirect", "origin": stranger.base_url}), times=2)
        call = world.runtime.prepare(CanonicalRequest("Hello", model=f"{name}:{UNKNOWN_MODEL}"), stream=stream)
        call.consumer = Events() if stream else None
        with pytest.raises(ProviderFailure):
            await world.runtime.run(call)
        assert len(world.simulator.requests) >= 1
    assert len(stranger.requests) == 0


@pytest.mark.parametrize("name", known_types())
async def test_a_key_that_is_echoed_is_starred(place: Place, name: str) -> None:
    world, _ = place
    world.simulator.reset()
    world.simulator.push(Script(["Hi."], fault="echo_key"))
    with pytest.raises(ProviderFailure) as caught:
        await world.runtime.run(world.runtime.prepare(CanonicalRequest("Hello", model=f"{name}:{UNKNOWN_MODEL}"), stream=False))
    assert caught.value.error_class == "auth"
    assert key_of(row_of(name)) not in f"{caught.value.message} {caught.value.provider_message}"


async def test_a_provider_without_its_key_sends_nothing(place: Place) -> None:
    simulator = place.world.simulator
    runtime = Runtime(config_of(simulator), environment={}, clock=Clock(chance=lambda: 0.0))
    simulator.reset()
    for row in all_rows():
        call = runtime.prepare(CanonicalRequest("Hello", model=f"{row.type}:{UNKNOWN_MODEL}"), stream=False)
        with pytest.raises(ProviderFailure) as caught:
            await runtime.run(call)
        assert caught.value.error_class == "not_configured"
        assert f"KEY_{row.type}".replace("-", "_").upper() in caught.value.message
    assert len(simulator.requests) == 0
    await runtime.close()


async def test_a_gateway_without_files_or_caches_has_none(place: Place) -> None:
    """It speaks the provider's wire, and not to these addresses."""
    config = config_of(place.world.simulator, options={})
    adapters = {
        name: AdapterConfig(name, name, f"{place.stranger.base_url}/gateway/v1", api_key_env=adapter.api_key_env)
        for name, adapter in config.adapters.items()
    }
    environment = {adapter.api_key_env or "": "k" * 20 for adapter in adapters.values()}
    runtime = Runtime(Config(adapters, config.models), environment=environment)
    for name in adapters:
        for ask in (runtime.list_files, runtime.list_caches):
            with pytest.raises(ProviderFailure) as caught:
                await ask(name)
            assert (caught.value.error_class, caught.value.provider) == ("capability_mismatch", name)
    await runtime.close()
