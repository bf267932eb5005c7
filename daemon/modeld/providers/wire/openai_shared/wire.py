"""What the OpenAI wires have in common: their framing, their errors, their files and their list of models."""

from collections.abc import Mapping
from typing import Literal

from modeld_protocol.model import DiscoveredModel

from ...failure import ProviderFailure
from ..contract import CacheWire, Encoded, FileWire
from .errors import decode_failure
from .files import OpenAIFiles
from .model_list import decode_models


class OpenAIWire:
    """See Wire. Pure; one instance serves every adapter."""

    framing: Literal["sse", "ndjson"] = "sse"
    files: FileWire | None = OpenAIFiles()
    caches: CacheWire | None = None

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
        """See Wire."""
        return decode_failure(status, headers, body)

    def encode_discover(self, page: str | None) -> Encoded | None:
        """`GET /models`: one page, always."""
        return Encoded("/models", b"", method="GET")

    def decode_discover(self, body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
        """See Wire."""
        return decode_models(body, provider), None
