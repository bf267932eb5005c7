"""What a config is read against in this process: the catalog and the environment."""

import os

from ..config.layers import ConfigSurroundings
from ..config.schema import Config
from ..providers.catalog import default_key_env, known_types
from ..routing.registry import build_registry, builtin_config


def surroundings() -> ConfigSurroundings:
    """The surroundings of a config, as the daemon and `--check-config` see them."""
    return ConfigSurroundings(known_types(), default_key_env().get, os.environ, builtin_config, _offered, _verify)


def _offered(config: Config) -> list[str]:
    """Every name that `default_model` may be where the config leaves the models to the catalog."""
    if _verify(config) is not None:
        return []
    registry = build_registry(config)
    return [*registry.specs, *registry.aliases]


def _verify(config: Config) -> str | None:
    """What the catalog refuses of a well-formed config: options and overrides that name what there is not."""
    try:
        build_registry(config)
    except ValueError as error:
        return str(error)
    return None
