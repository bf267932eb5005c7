"""What to type after the demo: with the keys that are here, with an Ollama that listens, or without either."""

import os
import shutil
import sys
from pathlib import Path

from ...config.locations import config_place
from ..nearby import keys_here, keys_in_words, ollama_config, ollama_models, wrapped


def next_steps(config: str | None) -> list[str]:
    """Lines for people; asks whether an Ollama listens on this machine."""
    path = config_place(config, os.environ).path
    commands = [
        ('modeld ask "Why is the sky blue?"', "one question, its answer as it comes"),
        ("modeld chat --session new", "a conversation that the daemon keeps"),
        ("modeld usage", "what it cost, by model, day, client"),
        ("modeld models", "the models there are"),
        ("modeld simulate", "this demo's provider, for your tests"),
        ("modeld doctor", "what this installation still lacks"),
    ]
    lines = [f"  {command:<36}{what}" for command, what in commands]
    return [*_where(), "Next:", *lines, "", *_keys(), *_config(path), *_ollama(path)]


def _where() -> list[str]:
    """How to call `modeld` by its name where the shell does not find it, as after `make demo`."""
    here = Path(sys.argv[0]).absolute()
    if shutil.which("modeld") or here.name != "modeld" or not here.exists():
        return []
    return [f'First: export PATH="{here.parent}:$PATH"']


def _keys() -> list[str]:
    found = keys_here(os.environ)
    if found:
        return [f"{key.variable} is set: `modeld ask -p {key.provider} hi` uses it." for key in found]
    return wrapped(f"No key is set. With one of these, `modeld ask` just works: {keys_in_words()}.")


def _config(path: Path) -> list[str]:
    missing = [] if path.exists() else ["  (not there, and not needed while keys are in the environment)"]
    return [f"Config: {path}", *missing]


def _ollama(path: Path) -> list[str]:
    models = ollama_models()
    if models is None:
        return []
    return [
        f"An Ollama listens on this machine. To use it, have these lines in {path}:",
        *(f"  {line}" for line in ollama_config(models)),
    ]
