"""What a cassette is: one exchange with a provider as four small files. Pure.

`cassettes/<provider>/<case>/` holds
  request.json    the canonical request, and what the wire makes of it: method, path, headers without credentials, body
  response.json   status, headers that matter, where the body was cut into pieces and when each came, what is odd about it
  body.<kind>     the body's bytes as they came: sse, ndjson, json, html or txt
  expected.json   the canonical events and response, or the failure, that must come of it
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from modeld_protocol.request import CanonicalRequest

from .layout import lay_out_json

REQUEST, RESPONSE, EXPECTED = "request.json", "response.json", "expected.json"
BODY = "body."

Ending = Literal["whole", "cut"]
Kind = Literal["sse", "ndjson", "json", "html", "txt"]


class CassetteInvalid(ValueError):
    """Files that are no cassette; the message names file and reason."""


class CassetteAdapter(msgspec.Struct, frozen=True, omit_defaults=True):
    """The adapter that the exchange went through. `base_path` is that of its base URL where it isn't the catalog's;
    `options` are the quirks that its config set."""

    type: str
    base_path: str | None = None
    options: dict[str, Any] = {}


class CassetteModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """The model as its config had it."""

    wire_name: str
    capabilities: dict[str, Any] = {}
    limits: dict[str, int | None] = {}


class CassetteRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """`path` is the target on the provider's origin, with query. `canonical` is None for a request that is no call of a
    model, or that no runtime made; then `body` is all there is."""

    adapter: CassetteAdapter
    model: CassetteModel | None = None
    canonical: CanonicalRequest | None = None
    stream: bool = False
    method: str = "POST"
    path: str = ""
    headers: dict[str, str] = {}
    body: Any = None


class CassetteResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """`quirk` is one sentence on what the case is about and where that is documented. `chunks` are the pieces of the body as
    [bytes, milliseconds since the head came]; none: in one piece. `ending` is cut where the connection broke."""

    status: int = 200
    headers: dict[str, str] = {}
    quirk: str = ""
    chunks: list[tuple[int, float]] = []
    ending: Ending = "whole"


class Cassette(msgspec.Struct, frozen=True):
    """One exchange. `expected` is None until `update` has made it."""

    provider: str
    case: str
    request: CassetteRequest
    response: CassetteResponse
    body: bytes
    expected: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """`provider/case`."""
        return f"{self.provider}/{self.case}"

    def pieces(self) -> list[tuple[bytes, float]]:
        """The body as it came: pieces, and milliseconds since the head."""
        if not self.response.chunks:
            return [(self.body, 0.0)] if self.body else []
        found: list[tuple[bytes, float]] = []
        place = 0
        for size, at_ms in self.response.chunks:
            found.append((self.body[place : place + size], at_ms))
            place += size
        return found


def parse_cassette(provider: str, case: str, files: Mapping[str, bytes]) -> Cassette:
    """A cassette from its files by name. Raises CassetteInvalid."""
    name = f"{provider}/{case}"
    bodies = [file for file in files if file.startswith(BODY)]
    if len(bodies) != 1:
        raise CassetteInvalid(f"{name}: there must be one file body.*, there are {len(bodies)}")
    request = _parse(name, REQUEST, files, CassetteRequest)
    response = _parse(name, RESPONSE, files, CassetteResponse)
    expected = _parse(name, EXPECTED, files, dict[str, Any]) if EXPECTED in files else None
    body = files[bodies[0]]
    size = sum(chunk for chunk, _ in response.chunks)
    if response.chunks and size != len(body):
        raise CassetteInvalid(
            f"{name}/{RESPONSE}: the chunks are {size} bytes, {bodies[0]} has {len(body)}; "
            "`python -m modeld.cassettes.update --recut` cuts it anew"
        )
    return Cassette(provider, case, request, response, body, expected)


def _parse(name: str, file: str, files: Mapping[str, bytes], kind: Any) -> Any:
    try:
        return msgspec.json.decode(files[file], type=kind)
    except KeyError:
        raise CassetteInvalid(f"{name}: there is no {file}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CassetteInvalid(f"{name}/{file}: {error}") from None


def render_cassette(cassette: Cassette) -> dict[str, bytes]:
    """The files of a cassette by name; the same cassette gives the same bytes."""
    files = {
        REQUEST: render_json(cassette.request),
        RESPONSE: render_json(cassette.response),
        BODY + kind_of(cassette.body): cassette.body,
    }
    if cassette.expected is not None:
        files[EXPECTED] = render_json(cassette.expected)
    return files


def render_json(value: Any) -> bytes:
    """A value as JSON for people."""
    return lay_out_json(msgspec.to_builtins(value)).encode()


def kind_of(body: bytes) -> Kind:
    """What a body is, by its bytes: content types lie."""
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    if text.startswith((b"data:", b"event:", b"id:", b"retry:", b":")):
        return "sse"
    if text.startswith(b"<"):
        return "html"
    if _is_json(text):
        return "json"
    lines = [line for line in text.split(b"\n") if line.strip()]
    return "ndjson" if len(lines) > 1 and _is_json(lines[0]) else "txt"


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict | list)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def chunks_of(pieces: Iterable[tuple[bytes, float]]) -> list[tuple[int, float]]:
    """What response.json says of pieces and their times."""
    return [(len(piece), round(at_ms, 1)) for piece, at_ms in pieces]


def recut(body: bytes, every_ms: float = 20.0) -> list[tuple[int, float]]:
    """Chunks for a body that was written by hand: one for each event of a stream, one for anything else."""
    kind = kind_of(body)
    if kind not in ("sse", "ndjson"):
        return []
    separator = (b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n") if kind == "sse" else b"\n"
    events = [event + separator for event in body.split(separator)]
    events[-1] = events[-1].removesuffix(separator)
    sizes = [len(event) for event in events if event]
    return [(size, round(place * every_ms, 1)) for place, size in enumerate(sizes)]
