"""From an adapter's config and its catalog row to where its requests go."""

from .. import limits
from ..config.schema import AdapterConfig
from ..upstream.guard import parse_origin
from .catalog import ProviderRow
from .link import Endpoint


def endpoint_of(config: AdapterConfig, row: ProviderRow) -> Endpoint:
    """The endpoint of an adapter; `base_url` is what the provider's own SDK takes."""
    origin, path = parse_origin(config.base_url or row.base_url)
    if not path and row.default_path:
        path = row.default_path
    headers = {name.lower(): value for name, value in {**row.headers, **config.extra_headers}.items()}
    return Endpoint(
        origin,
        path.rstrip("/"),
        tuple(headers.items()),
        config.timeout_seconds,
        float(config.options.get("idle_timeout_seconds", limits.IDLE_TIMEOUT_S)),
        config.max_retries,
    )
