"""What every wire offers: pure functions from canonical to provider bytes and back.

A wire module (`wire/<name>/__init__.py`) exports `WIRE`, an instance of a class with these methods. It sees canonical
types, a ModelSpec and bytes; no socket, no key, no clock. The same input gives the same output, byte for byte.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from modeld_protocol.model import DiscoveredModel, TokenCountParams
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.session import CacheCreateParams, ProviderCache, ProviderFile
from modeld_protocol.usage import Warning

from ..assembler import Assembler
from ..failure import ProviderFailure
from ..spec import ModelSpec, Quirks
from .memory import Memory
from .multipart import FileContent

REQUEST_ID_HEADERS = ("request-id", "x-request-id", "cerebras-request-id", "msh-request-id", "trace-id")
"""Where providers put the id that their support asks for."""


class Encoded(msgspec.Struct):
    """One provider request without its origin and credentials. `path` is appended to the adapter's base URL."""

    path: str
    body: bytes
    headers: dict[str, str] = {}
    warnings: list[Warning] = []
    cache_breakpoints: int = 0
    cache_ttl: Literal["5m", "1h"] | None = None
    method: str = "POST"
    upload: bool = False
    """The path lies below `/upload`, beside the base URL's last part (`…/upload/v1beta/files`)."""
    window_tokens: int | None = None
    """The window to which this provider cuts longer prompts without a word; 0 where it does and the window is unknown, None
    where it says so."""


class StreamDecoder(Protocol):
    """Turns the frames of one stream into calls of one Assembler."""

    done: bool
    """True once the wire's own end marker has come: whatever follows is ignored."""

    def feed(self, event: str, data: bytes) -> bool:
        """One frame: the SSE event name ("" where there is none) and its data. Returns whether it was a sign of life
        of the answer (content, start, usage, stop), which resets idle deadlines; keep-alives return False.
        Raises ProviderFailure where the frame is an error, or where no sense can be made of it."""
        ...

    def end(self) -> None:
        """The body ended. Raises ProviderFailure (`network`) where the stream was cut short."""
        ...


class FileWire(Protocol):
    """What a wire offers besides, where providers that speak it keep files."""

    def encode_upload(self, file: FileContent, quirks: Quirks) -> Encoded:
        """The request that gives the provider a file."""
        ...

    def decode_file(self, body: bytes, provider: str) -> ProviderFile:
        """The file as the provider keeps it. Raises ProviderFailure for what is none."""
        ...

    def encode_list(self, page: str | None, quirks: Quirks) -> Encoded:
        """The request for a page of the files there are."""
        ...

    def decode_list(self, body: bytes, provider: str) -> tuple[list[ProviderFile], str | None]:
        """Files and the next page's token."""
        ...

    def encode_delete(self, file_id: str) -> Encoded:
        """The request that has the provider forget a file."""
        ...


class CacheWire(Protocol):
    """The same for prompts that are cached by name."""

    def encode_create(self, params: CacheCreateParams, model: ModelSpec) -> Encoded:
        """The request that has the provider keep a prompt's beginning. Raises ProviderFailure as `Wire.encode`."""
        ...

    def decode_cache(self, body: bytes, provider: str) -> ProviderCache:
        """The cache as the provider keeps it. Raises ProviderFailure for what is none."""
        ...

    def encode_list(self, page: str | None) -> Encoded:
        """The request for a page of the caches there are."""
        ...

    def decode_list(self, body: bytes, provider: str) -> tuple[list[ProviderCache], str | None]:
        """Caches and the next page's token."""
        ...

    def encode_delete(self, cache_id: str) -> Encoded:
        """The request that has the provider forget a cache."""
        ...


class Wire(Protocol):
    """One provider protocol."""

    name: str
    framing: Literal["sse", "ndjson"]
    files: FileWire | None
    caches: CacheWire | None

    def encode(self, request: CanonicalRequest, model: ModelSpec, *, stream: bool, memory: Memory | None = None) -> Encoded:
        """The bytes are the same with a `memory`, that of a conversation with this model, and cost less. Raises ProviderFailure
        (`capability_mismatch`, `invalid_request`) for what this model or wire can't take."""
        ...

    def decode(self, body: bytes, assembler: Assembler) -> None:
        """A whole (non-streamed) answer into the assembler, through to `complete`. Raises ProviderFailure for an error
        that hides in a 200, and for a body that is no answer (`server_error`)."""
        ...

    def stream_decoder(self, assembler: Assembler, model: ModelSpec) -> StreamDecoder:
        """A decoder for one streamed answer of `model`, which speaks to `assembler`."""
        ...

    def decode_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
        """The failure that an HTTP status of 400 and above, or a body that is no answer, stands for. Any bytes."""
        ...

    def encode_count(self, params: TokenCountParams, model: ModelSpec) -> Encoded | None:
        """The provider's token-count request, None where it has none."""
        ...

    def decode_count(self, body: bytes) -> int:
        """The tokens of a count answer. Raises ProviderFailure where there are none in it."""
        ...

    def encode_discover(self, page: str | None) -> Encoded | None:
        """The request for (a page of) the provider's model list, None where it has none."""
        ...

    def decode_discover(self, body: bytes, provider: str) -> tuple[list[DiscoveredModel], str | None]:
        """Models and the next page's token."""
        ...
