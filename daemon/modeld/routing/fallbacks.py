"""Which models may stand in for another: the config's fallbacks, in order, each once. Pure."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from modeld_protocol.content import Message
from modeld_protocol.request import CanonicalRequest

from ..providers.failure import ProviderFailure
from ..providers.file_owners import NOBODY, Owners
from ..providers.spec import ModelSpec
from .capabilities import check
from .registry import Registry

Project = Callable[[ModelSpec], tuple[Sequence[Message], Any]]
"""The messages as another model would see them, and what is to be said about that."""


def fallbacks_of(
    registry: Registry,
    spec: ModelSpec,
    request: CanonicalRequest,
    *,
    stream: bool,
    files: Owners = NOBODY,
    project: Project | None = None,
) -> list[ModelSpec]:
    """The models that may answer `request` in place of `spec`, best first: its own fallbacks, then theirs, none twice, so that
    models may be each other's.

    Left out are those that lack a capability which the request needs; those at another provider, where the request names one;
    and those of another type, where the request has options for the type of `spec` and none for theirs: it wants what only
    that type has. `files` says whose the files are that it names; with `project` a model need only take what it would see.
    """
    may_answer = [other for other in _reachable(registry, spec) if _serves(other, spec, request)]
    return [other for other in may_answer if _takes(other, request, files, project, stream=stream)]


def _reachable(registry: Registry, spec: ModelSpec) -> Iterator[ModelSpec]:
    seen = {spec.id}
    waiting = deque(spec.fallbacks)
    while waiting:
        other = registry.specs.get(waiting.popleft())
        if other is not None and other.id not in seen:
            seen.add(other.id)
            waiting.extend(other.fallbacks)
            yield other


def _serves(other: ModelSpec, spec: ModelSpec, request: CanonicalRequest) -> bool:
    if request.provider and other.provider != spec.provider:
        return False
    options = request.provider_options or {}
    return spec.provider_type not in options or other.provider_type in options


def _takes(other: ModelSpec, request: CanonicalRequest, files: Owners, project: Project | None, *, stream: bool) -> bool:
    try:
        check(request, other, stream=stream, files=files)
    except ProviderFailure:
        if project is None:
            return False
        seen = msgspec.structs.replace(request, messages=list(project(other)[0]))
        return _takes(other, seen, files, None, stream=stream)
    return True
