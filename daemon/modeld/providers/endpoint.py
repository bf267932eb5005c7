"""From an adapter's config and its catalog row to where its requests go."""

from .. import limits
from ..config.schema import AdapterConfig
from ..upstream.guard import parse_base_url
from .catalog import ProviderRow, base_url_of
from .link import Endpoint


def endpoint_of(config: AdapterConfig, row: ProviderRow) -> Endpoint:
    """The endpoint of an adapter; `base_url` is what the provider's own SDK takes, a bare host gets the row's path. Raises
    ValueError for a region that the row does not have."""
    origin, path = parse_base_url(base_url_of(row, config.base_url, config.options))
    given = {**row.headers, **_option_headers(config, row), **config.extra_headers}
    headers = {name.lower(): value for name, value in given.items()}
    return Endpoint(
        origin,
        path.rstrip("/") or row.default_path,
        tuple(headers.items()),
        config.timeout_seconds,
        float(config.options.get("idle_timeout_seconds", limits.IDLE_TIMEOUT_S)),
        config.max_retries,
    )


def _option_headers(config: AdapterConfig, row: ProviderRow) -> dict[str, str]:
    """Headers that the row takes from the adapter's options, as who the calls are attributed to."""
    given = [(names, config.options.get(option)) for option, names in row.option_headers.items()]
    return {name: value for names, value in given if isinstance(value, str) and value for name in names}
