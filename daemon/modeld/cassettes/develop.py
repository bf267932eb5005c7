"""From what went over the wire to a cassette: scrubbed, with what must come of it, and looked at for what is left."""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from modeld_protocol.request import CanonicalRequest

from .format import (
    Cassette,
    CassetteAdapter,
    CassetteInvalid,
    CassetteModel,
    CassetteRequest,
    CassetteResponse,
    chunks_of,
    render_cassette,
)
from .leaks import Leak, find_leaks
from .recorder import Exchanged
from .scrub import Scrubber, scrubbed_chunks
from .update import updated


class Developed(msgspec.Struct, frozen=True):
    """A cassette that may be written unless `leaks` has a key; `redactions` counts the places that were scrubbed."""

    cassette: Cassette
    redactions: int
    leaks: list[tuple[str, Leak]]

    @property
    def is_safe(self) -> bool:
        """Whether nothing is left in it that looks like a key."""
        return all(leak.kind != "key" for _, leak in self.leaks)


async def develop(
    exchanged: Exchanged,
    provider: str,
    case: str,
    adapter: CassetteAdapter,
    models: Iterable[CassetteModel],
    scrubber: Scrubber,
    hosts: Collection[str] = (),
) -> Developed:
    """The cassette of an exchange. `hosts` are those that may be named in it."""
    body = scrubber.text(exchanged.body)
    chunks = scrubbed_chunks(chunks_of(exchanged.pieces), body)
    response = CassetteResponse(
        exchanged.status,
        scrubber.headers(exchanged.headers),
        chunks=chunks if len(chunks) > 1 else [],
        ending=exchanged.ending,
    )
    request, redactions = _request(exchanged, adapter, models, scrubber)
    cassette = Cassette(provider, case, request, response, body.data)
    if request.canonical is not None:
        cassette = await _expected(cassette)
    leaks = leaks_of(cassette, hosts)
    for name, data in render_cassette(cassette).items():
        if scrubber.knows_in(data.decode("utf-8", "replace")):
            leaks.append((name, Leak("key", 0, "the key of this session")))
    return Developed(cassette, redactions + len(body.edits), leaks)


def leaks_of(cassette: Cassette, hosts: Collection[str] = ()) -> list[tuple[str, Leak]]:
    """What looks like a secret in the files of a cassette, by file."""
    files = render_cassette(cassette)
    return [(name, leak) for name, data in files.items() for leak in find_leaks(data.decode("utf-8", "replace"), hosts)]


async def _expected(cassette: Cassette) -> Cassette:
    """With request and expectation made from the scrubbed canonical request, as every test will make them."""
    try:
        return await updated(cassette)
    except CassetteInvalid:  # a client's own bytes that its wire would not send again: kept for replay, not for tests
        return msgspec.structs.replace(cassette, request=msgspec.structs.replace(cassette.request, canonical=None))


def _request(
    exchanged: Exchanged, adapter: CassetteAdapter, models: Iterable[CassetteModel], scrubber: Scrubber
) -> tuple[CassetteRequest, int]:
    known = exchanged.known
    body = scrubber.text(exchanged.request_body)
    canonical, model, redactions = None, None, len(body.edits)
    if known is not None:
        text = scrubber.text(msgspec.json.encode(known.canonical))
        canonical = msgspec.json.decode(text.data, type=CanonicalRequest)
        model = next((m for m in models if m.wire_name == known.wire_name), CassetteModel(known.wire_name))
        redactions += len(text.edits)
    request = CassetteRequest(
        adapter,
        model,
        canonical,
        known.stream if known else False,
        exchanged.method,
        scrubber.text(exchanged.path.encode()).data.decode(),
        scrubber.headers(exchanged.request_headers),
        _json(body.data),
    )
    return request, redactions


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
