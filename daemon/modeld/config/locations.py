"""Where the daemon finds its config and keeps its state, unless told."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

CONFIG_VARIABLE = "MODELD_CONFIG"
STATE_VARIABLE = "MODELD_STATE_DIR"
CONFIG_NAME = "models.yaml"


class ConfigPlace(NamedTuple):
    """The config file. `required` where someone named it: then its absence is an error, not a reason for the built-in one."""

    path: Path
    required: bool


def config_place(explicit: str | None, env: Mapping[str, str]) -> ConfigPlace:
    """`--config`, else MODELD_CONFIG, else models.yaml in the platform's config directory; absolute, links not followed."""
    named = explicit or env.get(CONFIG_VARIABLE)
    return ConfigPlace(_absolute(named), True) if named else ConfigPlace(default_config_path(), False)


def default_config_path() -> Path:
    """models.yaml in the platform's config directory for this user."""
    import platformdirs

    return platformdirs.user_config_path("modeld", appauthor=False) / CONFIG_NAME


def state_dir(explicit: str | None, env: Mapping[str, str]) -> Path:
    """`--state-dir`, else MODELD_STATE_DIR, else the platform's state directory; not created."""
    if named := explicit or env.get(STATE_VARIABLE):
        return _absolute(named)
    import platformdirs

    return platformdirs.user_state_path("modeld", appauthor=False)


def _absolute(named: str) -> Path:
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError:  # a `~user` that doesn't exist
        return Path(named).absolute()
