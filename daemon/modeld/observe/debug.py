"""The debug knobs: what the log says beside the usual, and what may be written down of requests and answers. Pure."""

from typing import Any, Final, NamedTuple

MAX_CONTENT: Final = 4 * 1024 * 1024  # characters of one body; more is never written
_WORDS: Final = ("verbose", "token_usage", "cache", "retries", "raw_requests", "raw_responses", "thinking")
_IN_THE_LOG: Final = ("token_usage", "cache", "retries")
_LENGTH: Final = "max_content_length"
_LEVELS: Final = ("debug", "info", "warning", "error", "off")


class InvalidDebug(ValueError):
    """A list of knobs that can't be read. The message says what to write."""


class Debug(NamedTuple):
    """`verbose`: the log says everything. `token_usage`, `cache`, `retries`: counts, cache counts and attempts that are retried
    stand in the log. `raw_requests`, `raw_responses`, `thinking`: what artefacts hold; `thinking` is the reasoning in both.
    `max_content_length`: characters of one body in an artefact. `named` are the knobs that somebody asked for.

    Keys are taken out of everything in any case, and no log line ever holds a body.
    """

    verbose: bool = False
    token_usage: bool = True
    cache: bool = True
    retries: bool = True
    raw_requests: bool = True
    raw_responses: bool = True
    thinking: bool = False
    max_content_length: int = 65_536
    named: frozenset[str] = frozenset()

    @property
    def wants_artefacts(self) -> bool:
        """Whether something was asked for that only artefacts can hold."""
        return bool(self.named & {"raw_requests", "raw_responses", "thinking"})

    def level(self, level: str) -> str:
        """The log level with which what was asked for is seen, where `level` says less."""
        wanted = "debug" if self.verbose else "info" if self.named & set(_IN_THE_LOG) else level
        return _LEVELS[min(_LEVELS.index(level), _LEVELS.index(wanted))]


def parse_debug(text: str) -> Debug:
    """`verbose,raw_requests,no_cache,max_content_length=4000`: knobs to turn on, `no_` before one to turn off.

    Where one of raw_requests and raw_responses is named alone, artefacts hold that one alone. Raises InvalidDebug.
    """
    fields: dict[str, Any] = {}
    for word in filter(None, (part.strip().lower().replace("-", "_") for part in text.split(","))):
        name, equals, value = word.partition("=")
        if name == _LENGTH and equals:
            fields[_LENGTH] = _parse_length(value)
        elif word in _WORDS:
            fields[word] = True
        elif word.removeprefix("no_") in _WORDS:
            fields[word.removeprefix("no_")] = False
        elif "redact" in name:
            raise InvalidDebug("keys are always taken out; remove this word")
        else:
            raise InvalidDebug(
                f"{word[:40]!r} is no debug knob; there are {', '.join(_WORDS)} and {_LENGTH}=N, and no_ turns one off"
            )
    named = frozenset(name for name, value in fields.items() if value is True)
    raw = named & {"raw_requests", "raw_responses"}
    if len(raw) == 1:
        fields.setdefault("raw_responses" if "raw_requests" in raw else "raw_requests", False)
    return Debug(**fields, named=named)


def _parse_length(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) <= MAX_CONTENT:
        raise InvalidDebug(f"{_LENGTH} is a number of characters from 1 to {MAX_CONTENT}")
    return int(value)
