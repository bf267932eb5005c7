"""Takes out of an exchange what is nobody's business: keys, accounts, ids, names. Pure.

What is taken out gives way to a placeholder that depends on it alone, so that an id that comes back in a later request is
still the same id there. What a provider must get back byte for byte (signatures, encrypted reasoning) stays.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from ..credentials.redact import MARK, Redactor
from .leaks import EMAIL, HOME, KEYS, opaque_spans

Edit = tuple[int, int, str]

_PLAIN_HEADERS: Final = frozenset(("content-type", "accept", "retry-after", "retry-after-ms", "x-should-retry", "date"))
_KEPT_HEADERS: Final = re.compile(r"[a-z-]*-(?:version|beta)|x-ratelimit-reset[a-z-]*")
_ID_HEADERS: Final = re.compile(r"[a-z-]*(?:request|trace)-id")

_ACCOUNT: Final = re.compile(
    r'"(?:organi[sz]ation(?:_?(?:id|uuid|name))?|org_?id|workspace_?id|project_?(?:id|number)|account(?:_?(?:id|name|uuid))?'
    r'|user|user_?(?:id|name)|username|e?mail|team_?id|tenant_?id|safety_identifier|end_user_id)"\s*:\s*"([^"\\]+)"',
    re.IGNORECASE,
)
_SECRET: Final = re.compile(
    r'"(?:[a-z-]*api[-_]?key|authorization|password|(?:client[-_]?)?secret|(?:[a-z]+[-_])?token)"\s*:\s*"(?!\[redacted)([^"\\]+)"',
    re.IGNORECASE,
)
_ACCOUNT_IN_WORDS: Final = re.compile(r"\b((?:org|proj|acct|user|ak)-)[A-Za-z0-9]{8,}")
_IDS: Final = re.compile(r"\b((?:req|request|chatcmpl|cmpl|msg|resp|gen|rs)[-_])(?!cassette)[A-Za-z0-9_-]{8,}")
_ID_FIELD: Final = re.compile(r'"(?:request|trace|response)_?id"\s*:\s*"(?!cassette)([^"\\]+)"', re.IGNORECASE)
_UUID: Final = re.compile(r"\b(?!c0de)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\s\"'\\,;<>(){}\[\]]{8,}")
_MIN_NAME_CHARS: Final = 3


class Scrubbed(NamedTuple):
    """A text without its secrets. `edits` are the replaced places of the original, in order."""

    data: bytes
    edits: tuple[Edit, ...]

    def moved(self, place: int) -> int:
        """Where a place of the original is now; one inside a replaced secret is at that secret's end."""
        at = bisect_right(self.edits, place, key=lambda edit: edit[0])
        if at and self.edits[at - 1][1] > place:
            place = self.edits[at - 1][1]
        return place + sum(len(new) - (end - start) for start, end, new in self.edits[:at])


class Scrubber:
    """`redactor` knows the live keys, `names` are those of this user and machine. The same text gives the same result, and
    scrubbing twice changes nothing more."""

    def __init__(self, redactor: Redactor, names: Iterable[str] = ()) -> None:
        self._redactor = redactor
        self._patterns = Redactor()
        known = sorted({name for name in names if len(name) >= _MIN_NAME_CHARS and name not in ("root", "user", "localhost")})
        self._names = re.compile(rf"\b(?:{'|'.join(map(re.escape, known))})\b") if known else None

    def text(self, data: bytes) -> Scrubbed:
        """Any text, in any encoding that contains ASCII."""
        text = data.decode("latin-1")  # a character for each byte, so that places are places in the bytes
        edits = _disjoint(self._edits(text))
        pieces: list[str] = []
        place = 0
        for start, end, new in edits:
            pieces += [text[place:start], new]
            place = end
        return Scrubbed("".join([*pieces, text[place:]]).encode("latin-1"), tuple(edits))

    def knows_in(self, text: str) -> bool:
        """Whether a live key is still in the text, in any form."""
        return self._redactor.scrub(text) != self._patterns.scrub(text)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that a decoder reads, without what they say of the account; all others go."""
        kept: dict[str, str] = {}
        for name, value in sorted((name.lower(), value) for name, value in headers.items()):
            if _ID_HEADERS.fullmatch(name):
                kept[name] = value if value.startswith("cassette") else f"cassette{_digest(value)}"
            elif name in _PLAIN_HEADERS or _KEPT_HEADERS.fullmatch(name):
                kept[name] = self.text(value.encode("latin-1", "replace")).data.decode("latin-1")
        return kept

    def _edits(self, text: str) -> list[Edit]:
        opaque = opaque_spans(text)
        edits = [edit for edit in self._of_words(text, opaque) if edit]
        for pattern, group, replace in _RULES:
            edits += [
                (*found.span(group), replace(found)) for found in pattern.finditer(text) if not _within(opaque, found.start())
            ]
        if self._names is not None:
            edits += [(found.start(), found.end(), "user") for found in self._names.finditer(text)]
        return edits

    def _of_words(self, text: str, opaque: list[tuple[int, int]]) -> Iterable[Edit | None]:
        """Live keys in any of their forms, and what looks like one."""
        if self._redactor.scrub(text) == text:
            return
        for found in _WORD.finditer(text):
            word = found[0]
            clean = self._redactor.scrub(word)
            if clean == word or (_within(opaque, found.start()) and clean == self._patterns.scrub(word)):
                continue
            yield found.start(), found.end(), clean


def _digest(value: str) -> str:
    return sha256(value.encode("utf-8", "replace")).hexdigest()[:8]


def _of_field(found: re.Match[str]) -> str:
    """The value of a member that is known by its name."""
    value = found[1]
    return value if value.startswith("cassette") else f"cassette{_digest(value)}"


def _of_prefixed(found: re.Match[str]) -> str:
    return found[0] if found[0][len(found[1]) :].startswith("cassette") else f"{found[1]}cassette{_digest(found[0])}"


# What to look for, which group of it goes, and what comes in its place.
_RULES: Final[tuple[tuple[re.Pattern[str], int, Callable[[re.Match[str]], str]], ...]] = (
    *((pattern, 0, lambda _: MARK) for pattern in KEYS),
    (_SECRET, 1, lambda _: MARK),
    (_ACCOUNT, 1, _of_field),
    (_ID_FIELD, 1, _of_field),
    (_ACCOUNT_IN_WORDS, 0, _of_prefixed),
    (_IDS, 0, _of_prefixed),
    (_UUID, 0, lambda found: f"c0de{_digest(found[0])[:4]}-0000-4000-8000-00000000{_digest(found[0])[4:]}"),
    (EMAIL, 0, lambda _: "someone@example.com"),
    (HOME, 0, lambda found: found[1] + "user"),
)


def _within(spans: list[tuple[int, int]], place: int) -> bool:
    return any(start <= place < end for start, end in spans)


def _disjoint(edits: list[Edit]) -> list[Edit]:
    """In order, without overlaps: of two at one place the longer one, which has taken out more."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
        if not kept or edit[0] >= kept[-1][1]:
            kept.append(edit)
        elif edit[1] > kept[-1][1]:  # the second begins in the first: both go
            kept[-1] = (kept[-1][0], edit[1], MARK)
    return kept


def scrubbed_chunks(chunks: Iterable[tuple[int, float]], scrubbed: Scrubbed) -> list[tuple[int, float]]:
    """The chunks of a body after it was scrubbed: cut at the same places, and after a secret that a cut went through."""
    moved: list[tuple[int, float]] = []
    place = reached = 0
    for size, at_ms in chunks:
        place += size
        end = scrubbed.moved(place)
        if end > reached:
            moved.append((end - reached, at_ms))
        reached = max(end, reached)
    return moved
