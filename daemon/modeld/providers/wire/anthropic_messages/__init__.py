"""The Messages wire: `/v1/messages`, its streams, its token counts and its model list.

Paths begin with `/v1`, so that a base URL is what the provider's own SDK takes: `https://api.anthropic.com`.
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
from .events import MessagesStreamDecoder
from .files import MessagesFiles
from .request import api_headers, encode, encode_count
from .response import decode_count, decode_message, decode_models


class MessagesWire:
    """See Wire."""

    name = "anthropic_messages"
    framing: Literal["sse", "ndjson"] = "sse"
    files: FileWire | None = MessagesFiles()
    caches: CacheWire | None = None

    def encode(self, request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
        """See Wire."""
        return encode(request, model, stream=stream, memory=memory)

    def decode(self, body: bytes, assembler: Assembler) -> None:
        """See Wire."""
        decode_message(body, assembler)

    def stream_decoder(self, assembler: Assembler, model: ModelSpec) -> MessagesStreamDecoder:
        """See Wire."""
        return MessagesStreamDecoder(assembler, model)

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
        after = f"&after_id={quote(page, safe='')}" if page else ""
        return Encoded(f"/v1/models?limit=1000{after}", b"", api_headers(), method="GET")

    def decode_discover(self, body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
        """See Wire."""
        return decode_models(body, provider)


WIRE: Wire = MessagesWire()
