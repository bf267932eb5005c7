"""The config in force: the user's file if there is one, else what the environment's keys allow."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import msgspec

from modeld_protocol.config import Problem

from .adapter_checks import KeyEnv
from .check import Offered, Verify, check
from .load import load
from .locations import ConfigPlace
from .schema import Config


class ConfigSurroundings(msgspec.Struct, frozen=True):
    """What a config is read against: the catalog's adapter types, the variable that each takes its key from unless told, the
    environment, the config that stands in where there is no file, the names of the models that the catalog has, and what the
    catalog refuses: `verify` says in words what is wrong with a config that is well-formed, None where nothing is."""

    known_types: Collection[str]
    default_key_env: KeyEnv
    env: Mapping[str, str]
    builtin: Callable[[Mapping[str, str]], Config]
    offered: Offered | None = None
    verify: Verify | None = None

    def load(self, path: Path) -> tuple[Config | None, list[Problem]]:
        """Read and check one file. Blocks on the disk."""
        env, key_env = self.env, self.default_key_env
        return load(path, self.known_types, env, default_key_env=key_env, offered=self.offered, verify=self.verify)

    def check(self, text: bytes, file: str) -> tuple[Config | None, list[Problem]]:
        """Check a text as if it were the content of `file`."""
        env, key_env = self.env, self.default_key_env
        return check(text, file, self.known_types, env, default_key_env=key_env, offered=self.offered, verify=self.verify)


class Effective(msgspec.Struct, frozen=True):
    """`config` is None exactly where a problem is an error; `from_file` is false for the built-in config."""

    config: Config | None
    problems: list[Problem]
    from_file: bool


def effective(place: ConfigPlace, surroundings: ConfigSurroundings) -> Effective:
    """The config for `place`. A file that nobody named may be missing; any other fault of a file is an error. Blocks."""
    config, problems = surroundings.load(place.path)
    if not place.required and [problem.code for problem in problems] == ["missing_file"]:
        return Effective(surroundings.builtin(surroundings.env), [], from_file=False)
    return Effective(config, problems, from_file=True)
