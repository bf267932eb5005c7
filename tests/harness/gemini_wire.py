"""What the tests of the Gemini wire share: specs, the vendor's own types and SDK, recorded traffic, played streams."""

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from google import genai
from google.genai import types

from modeld.providers.assembler import Assembler
from modeld.providers.catalog import facts_of, row_of
from modeld.providers.failure import ProviderFailure
from modeld.providers.spec import ModelSpec, Quirks
from modeld.providers.wire.contract import Encoded
from modeld.providers.wire.gemini import WIRE
from modeld.upstream.sse import SseDecoder
from modeld_protocol.model import Capabilities, ModelLimits
from modeld_protocol.request import CanonicalRequest

RECORDED = Path(__file__).parents[3] / "shared/recorded/gemini"
ORIGIN = {"provider": "gemini", "model": "m-1"}


def spec(quirks: Quirks | None = None, **changes: Any) -> ModelSpec:
    """A model of this wire that can do everything but what `quirks` says."""
    model = ModelSpec(
        "google:m-1", "google", "gemini", "gemini", "m-1", Capabilities(), ModelLimits(), quirks or row_of("gemini").quirks
    )
    return msgspec.structs.replace(model, **changes)


def known(wire_name: str) -> ModelSpec:
    """A model as the catalog knows it."""
    return spec(facts_of(row_of("gemini"), wire_name).quirks, wire_name=wire_name, id=f"google:{wire_name}")


def encode(request: Mapping[str, Any] | CanonicalRequest, model: ModelSpec | None = None, *, stream: bool = False) -> Encoded:
    """A request, given as JSON, through the wire."""
    if not isinstance(request, CanonicalRequest):
        request = msgspec.convert({"messages": "Hi", **request}, CanonicalRequest)
    return WIRE.encode(request, model or spec(), stream=stream)


def checked_body(encoded: Encoded) -> dict[str, Any]:
    """The body, after the vendor's types have had a look: they forbid what they don't know."""
    body = json.loads(encoded.body)
    for content in body["contents"]:
        types.Content.model_validate_json(json.dumps(content))
    for tool in body.get("tools", []):
        types.Tool.model_validate(tool)
    for setting in body.get("safetySettings", []):
        types.SafetySetting.model_validate(setting)
    if "systemInstruction" in body:
        types.Content.model_validate(body["systemInstruction"])
    if "toolConfig" in body:
        types.ToolConfig.model_validate(body["toolConfig"])
    config = dict(body.get("generationConfig", {}))
    types.GenerateContentConfig.model_validate({"imageConfig": config.pop("imageConfig", None), "store": body.get("store")})
    types.GenerationConfig.model_validate(config)
    return body


# ---- answers


def assembler() -> Assembler:
    return Assembler("msg_1", "google:m-1", "google", provider_type="gemini", wire_name="m-1")


def play(chunks: Iterable[Any], *, ends: bool = True) -> Assembler:
    """Chunks of a stream, as JSON values or bytes, through the wire."""
    found = assembler()
    decoder = WIRE.stream_decoder(found, spec())
    for chunk in chunks:
        decoder.feed("", chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode())
    if ends:
        decoder.end()
    return found


def decode(body: Any) -> Assembler:
    """A whole answer, as a JSON value or bytes, through the wire."""
    found = assembler()
    WIRE.decode(body if isinstance(body, bytes) else json.dumps(body).encode(), found)
    return found


def chunk(*parts: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    """A chunk with these parts; a string is a text part."""
    content = {"role": "model", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}
    candidate: dict[str, Any] = {"index": 0, **({"content": content} if parts else {})}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def call(name: str, args: Any = None, **more: Any) -> dict[str, Any]:
    """A functionCall part; `signature` and `id` where given."""
    signature = more.pop("signature", None)
    held = {"name": name, **({"args": args} if args is not None else {}), **more}
    return {"functionCall": held, **({"thoughtSignature": signature} if signature else {})}


STOP = {"candidates": [{"finishReason": "STOP"}]}


# ---- recordings


class Recording(msgspec.Struct):
    """One exchange, as far as it matters here. `kind` is `sse`, `array` or `whole`."""

    id: str
    status: int
    headers: dict[str, str]
    body: bytes
    kind: str


def recordings() -> list[Recording]:
    """All there are, sorted."""
    found: list[Recording] = []
    for path in sorted(RECORDED.glob("*.json")):
        raw = json.loads(path.read_text("utf-8"))
        response = raw["response"]
        body = response["body"].encode()
        kind = "sse" if body.lstrip().startswith(b"data:") else "array" if body.lstrip().startswith(b"[") else "whole"
        headers = {str(name).lower(): str(value) for name, value in (response.get("headers") or {}).items()}
        found.append(Recording(raw["id"], response["status"], headers, body, kind))
    return found


def each(found: list[Recording]) -> pytest.MarkDecorator:
    """One test for each of them, or one that skips."""
    return pytest.mark.parametrize("recording", found or [None], ids=[one.id for one in found] or ["none"])


def frames_of(body: bytes, cuts: Iterable[int] = ()) -> list[tuple[str, bytes]]:
    """The frames of a body that arrives cut at `cuts`."""
    decoder = SseDecoder()
    edges = [0, *sorted(cuts), len(body)]
    frames = [frame for start, end in pairwise(edges) for frame in decoder.feed(body[start:end])]
    return [*frames, *decoder.end()]


def replay(recording: Recording, cuts: Iterable[int] = ()) -> tuple[Assembler, ProviderFailure | None]:
    """The answer of a recording, and how it failed."""
    found = assembler()
    try:
        if recording.kind != "sse":
            WIRE.decode(recording.body, found)
            return found, None
        decoder = WIRE.stream_decoder(found, spec())
        for event, data in frames_of(recording.body, cuts):
            decoder.feed(event, data)
        decoder.end()
    except ProviderFailure as failure:
        found.complete("error")
        return found, failure
    return found, None


def sdk_chunks(recording: Recording) -> list[types.GenerateContentResponse]:
    """What the vendor's client reads in the same bytes; arrays as the stream they would have been."""
    body, stream = recording.body, recording.kind != "whole"
    if recording.kind == "array":
        body = b"".join(b"data: %b\r\n\r\n" % json.dumps(item).encode() for item in json.loads(body))
    kind = "text/event-stream" if stream else "application/json"

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": kind}, content=body)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    client = genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=http))
    config = types.GenerateContentConfig(automatic_continuation=False)
    if stream:
        return list(client.models.generate_content_stream(model="m", contents="Hi", config=config))
    return [client.models.generate_content(model="m", contents="Hi", config=config)]
