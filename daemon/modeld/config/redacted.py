"""A config as data for people: where keys come from, never what they are."""

from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from .schema import AdapterConfig, Config
from .wording import looks_like_key, names_a_secret, quote_variable

_REDACTED = "(redacted)"


def redacted(config: Config) -> dict[str, Any]:
    """The config as plain data for `config/get`: where keys come from, never what they are."""
    return {
        "adapters": {name: _redacted_adapter(adapter) for name, adapter in config.adapters.items()},
        "models": {
            model_id: {**msgspec.to_builtins(model), "options": _scrubbed(model.options)}
            for model_id, model in config.models.items()
        },
        "default_model": config.default_model,
        "models_given": config.models_given,
        "budgets": msgspec.to_builtins(config.budgets),
        "retention": msgspec.to_builtins(config.retention),
        "clients": msgspec.to_builtins(config.clients),
    }


def key_source(adapter: AdapterConfig, default_env: str | None = None) -> str | None:
    """Where an adapter's key comes from, in words: `api_key in the config file`, `environment variable NAME`, …; None where it
    names no source and its type has no variable."""
    if adapter.api_key is not None:
        return "api_key in the config file"
    if adapter.api_key_env is not None:
        return f"environment variable {quote_variable(adapter.api_key_env)}"
    if adapter.api_key_command is not None:
        return f"command {_program(adapter.api_key_command)}"
    if adapter.api_key_keyring is not None:
        return f"keyring {_scrubbed(adapter.api_key_keyring)}"
    return f"environment variable {default_env}" if default_env else None


def _redacted_adapter(adapter: AdapterConfig) -> dict[str, Any]:
    return {
        "type": adapter.type,
        "base_url": _without_query(adapter.base_url),
        "key_source": key_source(adapter),
        "timeout_seconds": adapter.timeout_seconds,
        "max_retries": adapter.max_retries,
        "extra_headers": dict.fromkeys(adapter.extra_headers, _REDACTED),
        "options": _scrubbed(adapter.options),
    }


def _without_query(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query=_REDACTED if parts.query else "", fragment="").geturl()


def _program(command: tuple[str, ...]) -> str:
    return _scrubbed(command[0]) + (" …" if len(command) > 1 else "")


def _scrubbed(value: Any, name: str = "") -> Any:
    """Plain data with everything replaced that may be a key, by its name or by its looks."""
    if isinstance(value, dict):
        return {key: _scrubbed(item, key) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_scrubbed(item, name) for item in cast("list[Any]", value)]
    if isinstance(value, str) and (names_a_secret(name) or looks_like_key(value)):
        return _REDACTED
    return value
