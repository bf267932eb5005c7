"""Takes secrets out of text before it is logged, stored or sent to a client."""

import base64
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

MARK: Final = "[redacted]"

_MIN_SECRET_CHARS: Final = 8  # a shorter one ("none", "ollama") is no secret, and its letters occur in any text
_MAX_SECRETS: Final = 256  # values known at once; with 5 to 10 forms each a look-up stays below 0.2 ms per KiB

# Something whose name says that its value is secret: a header, a JSON member, a query parameter, an environment variable.
_NAMED: Final = r"""["']?\s*[:=]\s*["']?)(?!(?i:bearer|basic)\b|\[redacted)[^\s"',;&}\\]{6,}"""
_AFTER: Final = rf"\1{MARK}"

# A pattern is tried only where one of its anchors occurs in the text in lower case, which few texts have. Each anchor costs
# 0.4 us per KiB.
_FORMATS: Final = tuple(
    (tuple(anchors.split("|")), re.compile(pattern), replacement)
    for anchors, pattern, replacement in (
        ("sk-", r"\bsk-[A-Za-z0-9_\-]{8,}", MARK),
        ("aiza", r"AIza[A-Za-z0-9_\-]{16,}", MARK),
        ("gsk_|xai-|hf_|ghp_", r"\b(?:gsk_|xai-|hf_|ghp_)[A-Za-z0-9_\-]{8,}", MARK),
        ("eyj", r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*", MARK),  # a JSON web token
        ("bearer|basic ", r"(?i)\b((?:bearer|basic)(?:\s+|%20))[A-Za-z0-9_\-.~+/=%]{6,}", _AFTER),
        ("api-key|api_key|apikey", rf"(?i)(api[-_]?key{_NAMED}", _AFTER),
        ("authorization", rf"(?i)(authorization{_NAMED}", _AFTER),
        ("secret", rf"(?i)(secret{_NAMED}", _AFTER),
        ("password", rf"(?i)(password{_NAMED}", _AFTER),
        ("_token", rf"(_token{_NAMED}", _AFTER),
        ("key=", r"([?&]key=)[^\s\"'&]{6,}", _AFTER),
    )
)


_ANCHORS: Final = tuple(anchor for anchors, _, _ in _FORMATS for anchor in anchors)


class Redactor:
    """Scrubs the live values it was told of, in plain, base64, URL-encoded and JSON-escaped form, and what looks like a key.

    A value that was replaced stays known, because a provider may echo it late; the oldest go beyond 256 values.
    """

    __slots__ = ("_forms", "_values")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: dict[str, tuple[str, ...]] = {}
        self._forms: tuple[str, ...] = ()
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """A secret's plain value, from now on. Values of less than 8 characters are left to the patterns."""
        if len(value) < _MIN_SECRET_CHARS or value in self._values:
            return
        self._values[value] = tuple(_forms(value))
        if len(self._values) > _MAX_SECRETS:
            del self._values[next(iter(self._values))]
        every = {form for forms in self._values.values() for form in forms}
        # Longest first: a secret that begins another must not leave the other's rest behind.
        self._forms = tuple(sorted(every, key=lambda form: (-len(form), form)))

    def scrub(self, text: str) -> str:
        """The text with a mark in place of every secret."""
        # A search for a fixed string skips by its length, which beats one regex of all of them tenfold.
        for form in self._forms:
            if form in text:
                text = text.replace(form, MARK)
        lowered = text.lower()
        if not any(map(lowered.__contains__, _ANCHORS)):
            return text
        for anchors, pattern, replacement in _FORMATS:
            for anchor in anchors:
                if anchor in lowered:
                    text = pattern.sub(replacement, text)
                    break
        return text


def bounded(text: str, max_chars: int) -> str:
    """The text, cut to `max_chars` characters with a word about what is missing. Scrub first: a cut secret isn't found."""
    if len(text) <= max_chars:
        return text
    note = f"… ({len(text)} characters in all)"
    return text[: max(0, max_chars - len(note))] + note[:max_chars]


def _forms(value: str) -> set[str]:
    """The ways in which the value may stand in a text."""
    plain = value.encode(errors="surrogatepass")
    forms = {value, quote(plain, safe=""), quote_plus(plain), json.dumps(value)[1:-1]}
    for before in range(3):  # what stands before the value shifts its digits; those that hold its own bits alone stay
        encoded = base64.b64encode(b" " * before + plain)[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6].decode()
        forms.update((encoded, encoded.translate(_URL_SAFE)))
    return {form for form in forms if len(form) >= _MIN_SECRET_CHARS}


_URL_SAFE: Final = str.maketrans("+/", "-_")
