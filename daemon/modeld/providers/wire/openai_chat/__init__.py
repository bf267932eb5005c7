"""The OpenAI Chat Completions wire, and that of everybody who speaks it."""

from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest

from ...assembler import Assembler
from ...spec import ModelSpec
from ..contract import Encoded, StreamDecoder
from ..memory import Memory
from ..openai_shared.wire import OpenAIWire
from .count import decode_count, encode_count
from .events import ChatStreamDecoder
from .request import encode_request
from .response import decode_answer


class OpenAIChatWire(OpenAIWire):
    """See Wire."""

    name = "openai_chat"

    def encode(self, request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
        """See Wire."""
        return encode_request(request, model, stream=stream, memory=memory)

    def decode(self, body: bytes, assembler: Assembler) -> None:
        """See Wire."""
        decode_answer(body, assembler)

    def stream_decoder(self, assembler: Assembler, model: ModelSpec) -> StreamDecoder:
        """See Wire."""
        return ChatStreamDecoder(assembler, end_marker=model.quirks.end_marker)

    def encode_count(self, params: TokenCountParams, model: ModelSpec) -> Encoded | None:
        """See Wire. Only a few relatives of this wire count."""
        return encode_count(params, model)

    def decode_count(self, body: bytes) -> int:
        """See Wire."""
        return decode_count(body)


WIRE = OpenAIChatWire()
