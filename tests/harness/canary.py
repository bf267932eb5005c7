"""Looks for texts that must not be there: in what a process printed, wrote and sent, in every form they may take."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote


def forms(secret: str) -> set[bytes]:
    """The ways in which a secret may stand in bytes: as it is, in base64 at each of three offsets, URL-encoded, in JSON."""
    plain = secret.encode()
    found = {plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), plain.hex().encode()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + plain)
        inner = encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]  # what doesn't depend on its neighbours
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def find(secrets: Iterable[str], *places: str | bytes | Path) -> list[str]:
    """Where a secret is found: file names, or the text around it. Folders are searched whole, names included."""
    wanted = [(secret, form) for secret in secrets for form in forms(secret)]
    found: list[str] = []
    for place in places:
        for name, data in _contents(place):
            found += [f"{name}: {_around(data, form)}" for _, form in wanted if form in data]
    return found


def _contents(place: str | bytes | Path) -> Iterable[tuple[str, bytes]]:
    if isinstance(place, Path):
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            yield "a file's name", str(path.relative_to(place.parent)).encode()
            if path.is_file():
                yield str(path), path.read_bytes()
    else:
        yield "a text", place.encode() if isinstance(place, str) else place


def _around(data: bytes, form: bytes) -> str:
    at = data.index(form)
    return repr(data[max(0, at - 80) : at + len(form) + 40])
