"""Ollama's own wire: `POST /api/chat`, one JSON object a line."""

from collections.abc import Mapping
from typing import Literal

from modeld_protocol.model import DiscoveredModel, TokenCountParams
from modeld_protocol.request import CanonicalRequest

from ...assembler import Assembler
from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import CacheWire, Encoded, FileWire, StreamDecoder
from ..memory import Memory
from .errors import decode_failure
from .events import LineStreamDecoder
from .request import encode_request
from .response import decode_answer, decode_models


class OllamaWire:
    """See Wire. Pure; one instance serves every adapter."""

    name = "ollama"
    framing: Literal["sse", "ndjson"] = "ndjson"
    files: FileWire | None = None
    caches: CacheWire | None = None

    def encode(self, request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
        """See Wire."""
        return encode_request(request, model, stream=stream, memory=memory)

    def decode(self, body: bytes, assembler: Assembler) -> None:
        """See Wire."""
        decode_answer(body, assembler)

    def stream_decoder(self, assembler: Assembler, model: ModelSpec) -> StreamDecoder:
        """See Wire."""
        return LineStreamDecoder(assembler)

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
        """See Wire."""
        return decode_failure(status, headers, body)

    def encode_count(self, params: TokenCountParams, model: ModelSpec) -> Encoded | None:
        """None: this wire has no token count."""
        return None

    def decode_count(self, body: bytes) -> int:
        """Never called: `encode_count` gives no request."""
        raise ProviderFailure("capability_mismatch", "this wire has no token count; model/estimateTokens counts locally")

    def encode_discover(self, page: str | None) -> Encoded | None:
        """`GET /api/tags`: the models on the server's disk, in one page."""
        return Encoded("/api/tags", b"", method="GET")

    def decode_discover(self, body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
        """See Wire."""
        return decode_models(body, provider), None


WIRE = OllamaWire()
