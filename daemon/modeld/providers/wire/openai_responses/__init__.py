"""The OpenAI Responses wire, and that of everybody who speaks it."""

from modeld_protocol.model import TokenCountParams
from modeld_protocol.request import CanonicalRequest

from ...assembler import Assembler
from ...spec import ModelSpec
from ..contract import Encoded, StreamDecoder
from ..memory import Memory
from ..openai_shared.wire import OpenAIWire
from .events import ResponsesStreamDecoder
from .request import encode_count, encode_request
from .response import decode_answer, decode_count


class OpenAIResponsesWire(OpenAIWire):
    """See Wire."""

    name = "openai_responses"

    def encode(self, request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
        """See Wire."""
        return encode_request(request, model, stream=stream, memory=memory)

    def decode(self, body: bytes, assembler: Assembler) -> None:
        """See Wire."""
        decode_answer(body, assembler)

    def stream_decoder(self, assembler: Assembler, model: ModelSpec) -> StreamDecoder:
        """See Wire."""
        return ResponsesStreamDecoder(assembler, end_marker=model.quirks.end_marker)

    def encode_count(self, params: TokenCountParams, model: ModelSpec) -> Encoded | None:
        """`POST /responses/input_tokens`."""
        return encode_count(params, model)

    def decode_count(self, body: bytes) -> int:
        """See Wire."""
        return decode_count(body)


WIRE = OpenAIResponsesWire()
