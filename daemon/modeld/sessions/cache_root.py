"""What a session's requests begin with, as it is stored: after a restart, and in a fork, a cached prefix is known still. Pure.

Messages are never stored twice: a history only grows, so what a request held is made anew from how many messages it had and how
they were projected. Of everything else a digest is kept, enough to say which part differs.
"""

from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from modeld_protocol.content import Message

from ..providers.cache_care import Sent
from ..providers.file_owners import NOBODY, Owners
from ..providers.spec import ModelSpec
from .reasoning import project

MAX_MARKS = 64  # turns back to which a fork still knows what was cached
_encode = msgspec.json.Encoder(order="deterministic").encode


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """After so many messages of the history a request was answered, so many tokens of it being in the provider's cache."""

    count: int
    read_tokens: int
    written_tokens: int


class CacheRoot(msgspec.Struct, omit_defaults=True, frozen=True):
    """The newest request of a session that was answered. `refused_before` and `as_text` are how its history was projected,
    `parameters`, `tools` and `system` digests; `at_ms` is wall time. `marks` are the turns that began alike, oldest first."""

    model: str
    parameters: str
    tools: str
    system: str
    at_ms: int
    ttl_s: float
    marks: tuple[Mark, ...]
    refused_before: int = 0
    as_text: bool = False


class Known:
    """A part that is known by its digest alone; equal to whatever has it."""

    __slots__ = ("digest",)
    __hash__ = None  # pyright: ignore[reportAssignmentType] - equal things of other types have other hashes

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def __eq__(self, other: object) -> bool:
        return self.digest == (other.digest if isinstance(other, Known) else digest_of(other))


def digest_of(part: Any) -> str:
    """A digest of tools, parameters or a system prompt; no text can be told from it."""
    return blake2b(_encode(part), digest_size=9).hexdigest()


class Digests(NamedTuple):
    """The digests of three parts of a request, with the parts, so that they are made once for as long as these stay."""

    parts: tuple[Any, Any, Any]
    digests: tuple[str, str, str]

    def fit(self, sent: Sent) -> bool:
        """Whether they are those of this request."""
        parameters, tools, system = self.parts
        return tools is sent.tools and system is sent.system and parameters == sent.parameters


def digests_of(sent: Sent) -> Digests:
    """The digests of a request's parameters, tools and system prompt."""
    parts = (sent.parameters, sent.tools, sent.system)
    return Digests(parts, (digest_of(parts[0]), digest_of(parts[1]), digest_of(parts[2])))


class Projected(NamedTuple):
    """How the messages of a request were made of the first `length` of the history."""

    length: int
    refused_before: int
    as_text: bool


def root_of(sent: Sent, how: Projected, before: CacheRoot | None, digests: tuple[str, str, str], now_ms: int) -> CacheRoot:
    """What to store of a request that was answered; `digests` are those of its parameters, tools and system prompt."""
    mark = Mark(how.length, sent.read_tokens, sent.written_tokens)
    parameters, tools, system = digests
    marks: tuple[Mark, ...] = ()
    if before is not None and (sent.model, *digests) == (before.model, before.parameters, before.tools, before.system):
        marks = tuple(old for old in before.marks if old.count < mark.count)[1 - MAX_MARKS :]
    return CacheRoot(sent.model, parameters, tools, system, now_ms, sent.ttl_s, (*marks, mark), how.refused_before, how.as_text)


def forked(root: CacheRoot | None, count: int) -> CacheRoot | None:
    """The root of a fork that has the first `count` messages; None where nothing is known of what was cached then."""
    if root is None:
        return None
    marks = tuple(mark for mark in root.marks if mark.count <= count)
    return msgspec.structs.replace(root, marks=marks) if marks else None


def restored(
    root: CacheRoot, history: list[Message], spec: ModelSpec | None, now_ms: int, now_s: float, files: Owners = NOBODY
) -> Sent:
    """The request as it was sent, for a comparison. `spec` is that of its model, None where it is no longer configured; `files`
    says whose the files are that it names."""
    mark = root.marks[-1]
    messages: list[Message] = []
    if spec is not None:
        sent = history[: mark.count]
        messages = project(sent, spec, as_text=root.as_text, refused_before=root.refused_before, files=files).messages
    return Sent(
        root.model,
        Known(root.parameters),
        Known(root.tools),
        Known(root.system),
        tuple(messages),
        mark.read_tokens,
        mark.written_tokens,
        now_s - max(0, now_ms - root.at_ms) / 1000,
        root.ttl_s,
    )
