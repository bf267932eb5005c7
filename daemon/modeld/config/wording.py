"""What a message may repeat of a config file: short values that can't be keys."""

import re
from collections.abc import Collection, Iterable

_MAX_QUOTED_CHARS = 80
_MAX_CANDIDATES = 2_000  # names to compare a misspelled one with; more takes longer than a person would look
_HIDDEN = "(not shown)"

_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth|cookie|bearer", re.IGNORECASE)
_KEY_PREFIX = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|csk|xai|hf|r8|ghp|gho|github_pat|glpat|xox[abprs]|pplx|tgp|nvapi)[-_][\w-]{4}|(?<![A-Za-z0-9])(?:AKIA|AIza|ey[IJ])\w|bearer\s",
    re.IGNORECASE,
)
_KEY_WORD = re.compile(r"secret|passw|api.?key", re.IGNORECASE)
_KEY_SEGMENT = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}|[A-Za-z0-9+=]{28,}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_ENV_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def names_a_secret(name: str) -> bool:
    """Whether a field or header of this name is likely to hold a key."""
    return _SECRET_NAME.search(name) is not None


def looks_like_key(text: str) -> bool:
    """Whether `text` may be a key that was put where it doesn't belong. Errs on the side of yes."""
    return any(pattern.search(text) for pattern in (_KEY_PREFIX, _KEY_SEGMENT, _UUID))


def quote(text: str) -> str:
    """A value as `'text'`, shortened and on one line, or words in its place where it may be a key or a password."""
    return _HIDDEN if _KEY_WORD.search(text) else quote_name(text)


def quote_name(text: str) -> str:
    """The name of a field, like `quote`; names speak of keys and secrets without being any."""
    if looks_like_key(text):
        return _HIDDEN
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: _MAX_QUOTED_CHARS + 1])
    return f"'{shown}'" if len(shown) <= _MAX_QUOTED_CHARS else f"'{shown[:_MAX_QUOTED_CHARS]}…'"


def quote_variable(name: str) -> str:
    """The name of an environment variable, or words in its place where a key may have been written instead of a name."""
    usual = _ENV_NAME.fullmatch(name) and ("_" in name or len(name) <= 16)
    return name if usual and not _UUID.search(name) and not name.startswith(("AKIA", "AIZA")) else _HIDDEN


def hide_keys(words: str) -> str:
    """A sentence without the words that may be keys."""
    return re.sub(r"[^\s,;:'`()]+", lambda word: _HIDDEN if looks_like_key(word[0]) else word[0], words)


def suggest(text: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest of `candidates`, or nothing."""
    near = nearest(text, candidates)
    return f"; did you mean {quote_name(near)}?" if near is not None else ""


def nearest(text: str, candidates: Iterable[str]) -> str | None:
    """The one of `candidates` that `text` was probably meant to be."""
    import difflib

    if len(text) > _MAX_QUOTED_CHARS or looks_like_key(text):
        return None
    among = [name for name, _ in zip(candidates, range(_MAX_CANDIDATES), strict=False)]
    lowered = {name.lower(): name for name in reversed(among)}
    near = difflib.get_close_matches(text.lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else None


def listed(names: Collection[str], most: int = 24) -> str:
    """`a, b, c`, cut off with an ellipsis."""
    shown = [name for name, _ in zip(names, range(most), strict=False)]
    return ", ".join(shown) + (", …" if len(names) > most else "")
