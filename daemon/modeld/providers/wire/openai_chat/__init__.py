"""The OpenAI Chat Completions wire, and that of everybody who speaks it."""

from collections.abc import Mapping
from typing import Literal

from modeld_protocol.model import DiscoveredModel, TokenCountParams
from modeld_protocol.request import CanonicalRequest

from ...assembler import Assembler
from ...failure import ProviderFailure
from ...spec import ModelSpec
from ..contract import CacheWire, Encoded, FileWire, StreamDecoder
from ..memory import Memory
from ..openai_shared.errors import decode_failure
from ..openai_shared.files import OpenAIFiles
from ..openai_shared.model_list import decode_models
from .count import decode_count, encode_count
from .events import ChatStreamDecoder
from .request import encode_request
from .response import decode_answer


class OpenAIChatWire:
    """See Wire. Pure; one instance serves every adapter."""

    name = "openai_chat"
    framing: Literal["sse", "ndjson"] = "sse"
    files: FileWire | None = OpenAIFiles()
    caches: CacheWire | None = None

    def encode(self, request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
        """See Wire."""
        return encode_request(request, model, stream=stream, memory=memory)

    def decode(self, body: bytes, assembler: Assembler) -> None:
        """See Wire."""
        decode_answer(body, assembler)

    def stream_decoder(self, assembler: Assembler, model: ModelSpec) -> StreamDecoder:
        """See Wire."""
        return ChatStreamDecoder(assembler, end_marker=model.quirks.end_marker)

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
        """See Wire."""
        return decode_failure(status, headers, body)

    def encode_count(self, params: TokenCountParams, model: ModelSpec) -> Encoded | None:
        """See Wire. Only a few relatives of this wire count."""
        return encode_count(params, model)

    def decode_count(self, body: bytes) -> int:
        """See Wire."""
        return decode_count(body)

    def encode_discover(self, page: str | None) -> Encoded | None:
        """`GET /models`: one page, always."""
        return Encoded("/models", b"", method="GET")

    def decode_discover(self, body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
        """See Wire."""
        return decode_models(body, provider), None


WIRE = OpenAIChatWire()
