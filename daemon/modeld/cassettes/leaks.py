"""Looks for what must not be in a cassette: keys, accounts, addresses, private names. Pure; knows no live values."""

import re
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

LeakKind = Literal["key", "opaque", "email", "host", "home", "address", "cookie"]

KEYS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"\bsk-[A-Za-z0-9_-]{8,}",
        r"\bAIza[A-Za-z0-9_-]{16,}",
        r"\b(?:gsk_|xai-|hf_|gh[pousr]_|github_pat_|glpat-|npm_|pplx-|fw_|r8_|nvapi-|csk-|tvly-|ya29\.)[A-Za-z0-9_-]{10,}",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"(?i)\b(?:bearer|basic)\s+(?!\[)[A-Za-z0-9_\-.~+/=]{12,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    )
)
EMAIL: Final = re.compile(r"\b[A-Za-z0-9._%+-]+@(?!example\.)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b")
HOME: Final = re.compile(r"((?:/home/|/Users/|\\Users\\+))(?!user\b)[A-Za-z0-9._-]+")

# Members whose values are a provider's opaque state, or media: long, and of no meaning to anybody else.
_OPAQUE_MEMBERS: Final = re.compile(
    r'\\?"(?:signature|thought_?signature|encrypted_(?:content|stdout|index)|data|reasoning_opaque)\\?"\s*:\s*\\?"([^"\\]*)',
    re.IGNORECASE,
)
_MEDIA: Final = re.compile(r";base64,([A-Za-z0-9+/=]+)")
_LONG: Final = re.compile(r"[A-Za-z0-9+/_=-]{40,}")
_HEX: Final = re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{32,}\b")
_URL_HOST: Final = re.compile(r"(?i)\bhttps?://(?:[^/\s\"'\\@]*@)?([A-Za-z0-9.-]+)")
_BARE_HOST: Final = re.compile(
    r"(?i)(?<![\w@./-])((?:[a-z0-9-]+\.)+(?:com|net|org|io|ai|dev|cn|cloud|app|internal|local|corp|lan|intranet))\b(?!\()"
)
_IPV4: Final = re.compile(r"(?<![\d.])(?!127\.|0\.0\.0\.0)\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.])")
_COOKIE: Final = re.compile(r'(?i)"(?:set-)?cookie"\s*:')


_PLAIN: Final[tuple[tuple[LeakKind, re.Pattern[str]], ...]] = (
    ("email", EMAIL),
    ("home", HOME),
    ("address", _IPV4),
    ("cookie", _COOKIE),
)


class Leak(NamedTuple):
    """Something that looks like a secret, at that place of the text; `hint` says enough to find it and not what it is."""

    kind: LeakKind
    place: int
    hint: str


def find_leaks(text: str, hosts: Collection[str] = ()) -> list[Leak]:
    """Everything that looks like a secret. `hosts` may be named, with what is below them; example.com and its like too."""
    leaks = [_leak("key", found) for pattern in KEYS for found in pattern.finditer(text)]
    opaque = opaque_spans(text)
    leaks += [
        _leak("opaque", found)
        for pattern in (_LONG, _HEX)
        for found in pattern.finditer(text)
        if not any(start <= found.start() < end for start, end in opaque) and (pattern is _HEX or _is_mixed(found[0]))
    ]
    for kind, pattern in _PLAIN:
        leaks += [_leak(kind, found) for found in pattern.finditer(text)]
    leaks += [
        Leak("host", found.start(1), found[1])
        for pattern in (_URL_HOST, _BARE_HOST)
        for found in pattern.finditer(text)
        if not _is_known(found[1].lower().rstrip("."), hosts)
    ]
    return sorted(set(leaks), key=lambda leak: leak.place)


def opaque_spans(text: str) -> list[tuple[int, int]]:
    """Where a text holds opaque state or media, declared by the name of its member."""
    return [found.span(1) for pattern in (_OPAQUE_MEMBERS, _MEDIA) for found in pattern.finditer(text)]


def _leak(kind: LeakKind, found: re.Match[str]) -> Leak:
    return Leak(kind, found.start(), f"{found[0][:6]}… ({len(found[0])} characters)")


def _is_mixed(word: str) -> bool:
    """Names and paths are long too, but a token of chance has letters of both cases and digits."""
    return bool(re.search(r"[a-z]", word) and re.search(r"[A-Z]", word) and re.search(r"\d.*\d.*\d", word))


def _is_known(host: str, hosts: Collection[str]) -> bool:
    if host in ("localhost", "127.0.0.1") or host.endswith((".invalid", ".example")):
        return True
    known = (*hosts, "example.com", "example.org", "example.net")
    return any(host == name or host.endswith(f".{name}") for name in known)
