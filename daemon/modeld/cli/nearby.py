"""What there is to talk to from here: keys in the environment, a model server on this machine. And what to do without."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from ..providers.catalog import all_rows

OLLAMA_ADDRESS = ("127.0.0.1", 11434)  # https://docs.ollama.com/faq, 2026-11-20: where it listens unless told
_PROBE_S = 0.5
_WIDTH = 78
_MAX_PROBE_BYTES = 1024 * 1024


class KeyHere(msgspec.Struct, frozen=True):
    """A provider type and the variable that its key is in."""

    provider: str
    variable: str


def known_keys() -> list[KeyHere]:
    """Every variable that a provider's key is looked up in, with the first provider type of the catalog that does."""
    keys = [KeyHere(row.type, row.key_env) for row in all_rows() if row.key_env and row.needs_key]
    return list({key.variable: key for key in reversed(keys)}.values())[::-1]


def keys_here(environment: Mapping[str, str]) -> list[KeyHere]:
    """The providers whose key is in the environment."""
    return [key for key in known_keys() if environment.get(key.variable)]


def keys_in_words() -> str:
    """The variables of all providers, one of which is enough."""
    return ", ".join(key.variable for key in known_keys())


def ollama_models(address: tuple[str, int] = OLLAMA_ADDRESS) -> list[str] | None:
    """The models of the Ollama that listens on this machine; None where none does. Takes half a second at most."""
    import http.client

    connection = http.client.HTTPConnection(*address, timeout=_PROBE_S)
    try:
        connection.request("GET", "/api/tags")
        body = connection.getresponse().read(_MAX_PROBE_BYTES)
        listed: Any = msgspec.json.decode(body)
        models = cast("list[dict[str, Any]]", listed["models"])
        return [str(model["name"]) for model in models]
    except (OSError, http.client.HTTPException, msgspec.DecodeError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def ollama_config(models: list[str], address: tuple[str, int] = OLLAMA_ADDRESS) -> list[str]:
    """The lines of a models.yaml that reaches it."""
    host, port = address
    name = models[0] if models else "NAME"
    return [
        "adapters:",
        f"  ollama: {{type: openai-compatible, base_url: 'http://{host}:{port}/v1'}}",
        "models:",
        f"  'ollama:{name}': {{adapter: ollama}}",
    ]


def first_steps(config: Path, environment: Mapping[str, str], ollama: list[str] | None) -> list[str]:
    """What to do where no model can be asked yet."""
    lines = [
        *wrapped(f"Set the key of a provider that you have, and ask again: {keys_in_words()}.", "  "),
        f"  Or name another source of keys in {config}.",
    ]
    if ollama is not None:
        lines += ["  Or use the Ollama that listens on this machine, with these lines in that file:"]
        lines += [f"      {line}" for line in ollama_config(ollama)]
    tried = [key.variable for key in keys_here(environment)]
    if tried:
        lines += wrapped(f"{' and '.join(tried)} is set here, but the config in force doesn't use it: see `modeld doctor`.", "  ")
    return [
        *lines,
        "  Without a key: `modeld demo` shows everything, and `modeld simulate` is a provider",
        "  on this machine that answers from scripts.",
    ]


def wrapped(text: str, indent: str = "") -> list[str]:
    """A sentence as lines of a terminal."""
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
