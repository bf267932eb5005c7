"""The Gemini wire: `generateContent`, its streams, its token counts and its model list.

Paths begin below the version, so that a base URL is `https://host/v1beta`. The key never stands in a URL.
"""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from modeld_protocol.model import DiscoveredModel, TokenCountParams
from modeld_protocol.request import CanonicalRequest

from ...assembler import Assembler
from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import CacheWire, Encoded, FileWire, Wire
from ..memory import Memory
from .errors import decode_failure
from .events import GeminiStreamDecoder, decode_answer
from .keeping import GeminiCaches, GeminiFiles
from .listing import decode_count, decode_models
from .request import encode_count, encode_request

_PAGE_SIZE = 1_000


class GeminiWire:
    """See Wire."""

    name = "gemini"
    framing: Literal["sse", "ndjson"] = "sse"
    files: FileWire | None = GeminiFiles()
    caches: CacheWire | None = GeminiCaches()

    def encode(self, request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
        """See Wire."""
        return encode_request(request, model, stream=stream, memory=memory)

    def decode(self, body: bytes, assembler: Assembler) -> None:
        """See Wire. The body may also be a whole stream as one JSON array, which servers send that ignore `alt=sse`."""
        decode_answer(body, assembler)

    def stream_decoder(self, assembler: Assembler, model: ModelSpec) -> GeminiStreamDecoder:
        """See Wire."""
        return GeminiStreamDecoder(assembler, {"provider": model.provider_type, "model": model.wire_name})

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
        """See Wire."""
        return decode_failure(status, headers, body)

    def encode_count(self, params: TokenCountParams, model: ModelSpec) -> Encoded | None:
        """See Wire."""
        return encode_count(params, model)

    def decode_count(self, body: bytes) -> int:
        """See Wire."""
        return decode_count(body)

    def encode_discover(self, page: str | None) -> Encoded | None:
        """See Wire."""
        token = f"&pageToken={quote(page, safe='')}" if page else ""
        return Encoded(f"/models?pageSize={_PAGE_SIZE}{token}", b"", method="GET")

    def decode_discover(self, body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
        """See Wire."""
        return decode_models(body, provider)


WIRE: Wire = GeminiWire()
