"""Finds the cassette that answers a request: by path, model and manner, and among several by body. Pure."""

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlencode

import msgspec

from ..credentials.redact import Redactor
from .format import Cassette
from .scrub import Scrubber

_IRRELEVANT: Final = frozenset(("metadata", "user", "safety_identifier", "stream_options"))  # say nothing of what is asked
_KEYS_OF_QUERY: Final = frozenset(("key",))


class Draw(NamedTuple):
    """A cassette for a request. `exact`: it was recorded with the same body."""

    cassette: Cassette
    exact: bool


class _Key(NamedTuple):
    """What must be equal."""

    method: str
    path: str
    model: str
    stream: bool


class _Card(NamedTuple):
    cassette: Cassette
    body: bytes


class Deck:
    """The cassettes of one replay. Those that were recorded with the same request come one after the other, as they were
    recorded, and then from the first again: a retry sees first the failure and then the answer."""

    def __init__(self, cassettes: Iterable[Cassette], *, strict: bool = False) -> None:
        self._strict = strict
        self._scrubber = Scrubber(Redactor())
        self._cards: dict[_Key, list[_Card]] = {}
        self._drawn: dict[str, int] = {}
        self.providers: dict[str, list[Cassette]] = {}
        for cassette in cassettes:
            request = cassette.request
            body = b"" if request.body is None else msgspec.json.encode(request.body)
            key = _key(request.method, request.path, body)
            self._cards.setdefault(key, []).append(_Card(cassette, self._normal(body)))
            self.providers.setdefault(cassette.provider, []).append(cassette)

    def draw(self, method: str, target: str, body: bytes) -> Draw | None:
        """The cassette for a request; `target` may begin with `/<provider>`, and then only that provider's count."""
        provider, path = self._split(target)
        cards = self._cards.get(_key(method, path, body), [])
        if provider is not None:
            cards = [card for card in cards if card.cassette.provider == provider]
        normal = self._normal(body)
        same = [card for card in cards if card.body == normal]
        if not same and (self._strict or not cards):
            return None
        card = min(same or cards, key=lambda card: self._drawn.get(card.cassette.name, 0))
        self._drawn[card.cassette.name] = self._drawn.get(card.cassette.name, 0) + 1
        return Draw(card.cassette, bool(same))

    def _split(self, target: str) -> tuple[str | None, str]:
        first, slash, rest = target[1:].partition("/")
        return (first, f"/{rest}") if slash and first in self.providers else (None, target)

    def _normal(self, body: bytes) -> bytes:
        """The body as it would have been recorded, whatever the order of its members."""
        body = self._scrubber.text(body).data
        value = _decoded(body)
        if not isinstance(value, dict):
            return body
        fields = {name: held for name, held in cast("dict[str, Any]", value).items() if name not in _IRRELEVANT}
        return msgspec.json.encode(fields, order="deterministic")


def _key(method: str, target: str, body: bytes) -> _Key:
    value = _decoded(body)
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    path, _, query = target.partition("?")
    query = urlencode(sorted(pair for pair in parse_qsl(query) if pair[0] not in _KEYS_OF_QUERY))
    return _Key(method, f"{path}?{query}", str(fields.get("model", "")), bool(fields.get("stream", False)))


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def models_of(cassettes: Collection[Cassette]) -> dict[str, str]:
    """The wire names of the models by the ids that they were asked for by, sorted."""
    found: dict[str, str] = {}
    for cassette in cassettes:
        request = cassette.request
        if request.model is not None:
            name = request.model.wire_name
            asked = request.canonical.model if request.canonical else None
            found["".join((asked or f"{cassette.provider}:{name}").split())] = name  # an id has no spaces, a name may
    return dict(sorted(found.items()))
