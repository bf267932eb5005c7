"""From an adapter's config and its catalog row to where its requests go."""

from .. import limits
from ..config.schema import AdapterConfig
from ..upstream.guard import parse_base_url
from .catalog import ProviderRow
from .link import Endpoint


def endpoint_of(config: AdapterConfig, row: ProviderRow) -> Endpoint:
    """The endpoint of an adapter; `base_url` is what the provider's own SDK takes, a bare host gets the row's path."""
    origin, path = parse_base_url(config.base_url or row.base_url)
    headers = {name.lower(): value for name, value in {**row.headers, **config.extra_headers}.items()}
    return Endpoint(
        origin,
        path.rstrip("/") or row.default_path,
        tuple(headers.items()),
        config.timeout_seconds,
        float(config.options.get("idle_timeout_seconds", limits.IDLE_TIMEOUT_S)),
        config.max_retries,
    )
