"""What a config is read against in this process: the catalog and the environment."""

import os

from ..config.layers import ConfigSurroundings
from ..providers.catalog import default_key_env, known_types
from ..routing.registry import builtin_config


def surroundings() -> ConfigSurroundings:
    """The surroundings of a config, as the daemon and `--check-config` see them."""
    return ConfigSurroundings(known_types(), default_key_env().get, os.environ, builtin_config)
