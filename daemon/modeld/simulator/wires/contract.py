"""What a simulated wire offers: it reads requests into `Ask` and renders scripts as that provider's bytes. Pure.

A wire is one module in this package that exports `WIRE`; it is found by being there.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, Protocol, get_args

import msgspec

from ..ask import Ask, Call
from ..script import Script

Operation = Literal["generate", "count_tokens", "list_models", "get_model"]
Framing = Literal["sse", "ndjson"]
Kind = Literal[
    "rate_limit",
    "overloaded",
    "server_error",
    "bad_request",
    "auth",
    "forbidden",
    "not_found",
    "route_not_found",
    "unprocessable",
    "too_large",
    "quota",
    "context_overflow",
    "content_filter",
]
"""How a provider says no, in no wire's words."""

KINDS: tuple[Kind, ...] = get_args(Kind)


class Failure(msgspec.Struct):
    """A refusal to be rendered; an empty `message` takes the wire's own wording for the kind."""

    kind: Kind
    message: str = ""
    param: str | None = None
    code: str | None = None
    status: int | None = None


class Rendered(msgspec.Struct):
    """A whole body with its status and headers (without framing headers)."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = []
    content_type: str = "application/json"


class Frame(NamedTuple):
    """One event of a stream. `event` is the SSE name ("" for none); `content` marks what carries a piece of the answer;
    `end` marks the wire's own end marker."""

    event: str
    data: bytes
    content: bool = False
    end: bool = False


class Stamp(msgspec.Struct):
    """What makes one answer differ from the next: ids, and the time in whole seconds since 1970."""

    id: str
    created: int

    def numbered(self, prefix: str, index: int) -> str:
        """The id of the index-th thing inside this answer."""
        return f"{prefix}{self.id}{index:02d}"


class Peek(NamedTuple):
    """As much of a request as a benchmark's answer depends on."""

    model: str
    stream: bool
    include_usage: bool


class SimWire(Protocol):
    """One provider protocol, as its server speaks it."""

    name: str
    title: str
    framing: Framing
    example_base_path: str
    """Appended to the simulator's origin where a client wants a base URL (`/v1`, or nothing)."""
    adapter_type: str
    """The adapter type in models.yaml that speaks this wire."""

    def match(self, method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
        """Which of this wire's operations the request line names, None where it is not this wire's."""
        ...

    def peek(self, call: Call) -> Peek | None:
        """Model and manner of a request, unchecked and in a hurry; None where it can't be read."""
        ...

    def read(self, call: Call, *, require_key: bool, refuse: Mapping[str, Sequence[str]]) -> Ask:
        """The request, checked loosely like the real API does it. Raises Refused."""
        ...

    def frames(self, script: Script, ask: Ask, stamp: Stamp) -> list[Frame]:
        """The stream of one answer, end marker included."""
        ...

    def whole(self, script: Script, ask: Ask, stamp: Stamp) -> bytes:
        """The same answer as one JSON body."""
        ...

    def failure(self, failure: Failure, ask: Ask | None, request_id: str) -> Rendered:
        """An error answer."""
        ...

    def failure_frame(self, failure: Failure, request_id: str) -> Frame:
        """The same error in the middle of a stream."""
        ...

    def noise(self) -> Frame:
        """An event that a tolerant client ignores: unknown to it, and without content."""
        ...

    def keep_alive(self) -> bytes:
        """The bytes that this provider sends while it thinks."""
        ...

    def head(self, request_id: str) -> list[tuple[str, str]]:
        """Headers of every good answer."""
        ...

    def count(self, call: Call, *, require_key: bool) -> Rendered:
        """The token count of a request. Raises Refused."""
        ...

    def models(self, call: Call, names: Sequence[str]) -> Rendered:
        """The list of models, or the one that the path names. Raises Refused."""
        ...


def encode_json(value: Any) -> bytes:
    """JSON as providers write it."""
    return msgspec.json.encode(value)


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _PeekedBody(msgspec.Struct):
    model: str = ""
    stream: bool = False
    stream_options: _StreamOptions | None = None


def peek_body(body: bytes) -> Peek | None:
    """The peek of a wire that has `model` and `stream` at the top of its body; the rest is skipped unread."""
    try:
        seen = msgspec.json.decode(body, type=_PeekedBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return Peek(seen.model, seen.stream, seen.stream_options is not None and seen.stream_options.include_usage)


def estimate_tokens(*parts: Any) -> int:
    """Input tokens of what a request holds: one for every four characters of its JSON, at least one."""
    return max(1, sum(len(part) if isinstance(part, str) else len(encode_json(part)) for part in parts if part) // 4)


def refused_fields(refuse: Mapping[str, Sequence[str]], model: str) -> frozenset[str]:
    """The request fields that the model refuses."""
    return frozenset(field for pattern, fields in refuse.items() if fnmatchcase(model, pattern) for field in fields)


def credential_of(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries, in whichever header."""
    bearer = headers.get("authorization", "")
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or bearer.removeprefix("Bearer ").strip() or None
