"""Takes secrets out of text before it is logged, stored or sent to a client."""

import base64
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

MARK: Final = "[redacted]"

_MIN_SECRET_CHARS: Final = 8  # a shorter one ("none", "ollama") is no secret, and its letters occur in any text
_MAX_SECRETS: Final = 256  # values known at once; with 8 forms each a look-up stays below 0.2 ms per KiB

# A pattern is tried only where one of its anchors occurs in the text in lower case: most texts have none.
_FORMATS: Final = tuple(
    (tuple(anchors.split("|")), re.compile(pattern), replacement)
    for anchors, pattern, replacement in (
        ("sk-", r"\bsk-[A-Za-z0-9_\-]{8,}", MARK),
        ("aiza", r"AIza[A-Za-z0-9_\-]{16,}", MARK),
        ("gsk_|xai-|hf_|pplx-|nvapi-", r"\b(?:gsk_|xai-|hf_|pplx-|nvapi-)[A-Za-z0-9_\-]{8,}", MARK),
        ("ghp_|gho_|ghu_|ghs_|github_pat_", r"\b(?:gh[pous]_|github_pat_)[A-Za-z0-9_]{8,}", MARK),
        ("akia|asia", r"\bA[KS]IA[A-Z0-9]{12,}", MARK),
        ("ya29.", r"\bya29\.[A-Za-z0-9_\-]{8,}", MARK),
        ("eyj", r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*", MARK),
        ("bearer|basic ", r"(?i)\b(bearer|basic)(\s+|%20)[A-Za-z0-9_\-.~+/=%]{6,}", rf"\1\2{MARK}"),
        (
            # A header, a JSON member or a query parameter whose name says that its value is secret.
            "api-key|api_key|apikey|auth-key|access_key|access-key|accesskey|authorization|secret|password|access_token"
            "|access-token|refresh_token|refresh-token|id_token|session_token|session-token|auth_token|auth-token|?key=|&key="
            "|?token=|&token=",
            r"""(?ix)
            ( (?: (?:api|auth|access) [-_]? key | authorization | client[-_]?secret | password
                | \b (?:access|refresh|id|session|auth) [-_] token ) ["']? \s* [:=] \s* ["']? | [?&] (?:key|token) = )
            (?! (?:bearer|basic) \b | \[redacted\] ) [^\s"',;&}\\]{6,}""",
            rf"\1{MARK}",
        ),
    )
)


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
    forms = {value, quote(plain, safe=""), quote_plus(plain), quote(plain, safe="").lower(), json.dumps(value)[1:-1]}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        # Inside something longer, such as `user:key`, the value starts at one of three offsets, and only the digits that
        # hold nothing but its own bits are known.
        whole = encoded[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6].decode()
        forms.update((whole, whole.translate(_URL_SAFE)))
    return {form for form in forms if len(form) >= _MIN_SECRET_CHARS}


_URL_SAFE: Final = str.maketrans("+/", "-_")
