"""Which models may stand in for another: the config's fallbacks, in order, each once. Pure."""

from collections import deque
from collections.abc import Iterator

from modeld_protocol.request import CanonicalRequest

from ..providers.failure import ProviderFailure
from ..providers.spec import ModelSpec
from .capabilities import check
from .registry import Registry


def fallbacks_of(registry: Registry, spec: ModelSpec, request: CanonicalRequest, *, stream: bool) -> list[ModelSpec]:
    """The models that may answer `request` in place of `spec`, best first: its own fallbacks, then theirs, none twice, so that
    models may be each other's.

    Left out are those that lack a capability which the request needs; those at another provider, where the request names one;
    and those of another type, where the request has options for the type of `spec` and none for theirs: it wants what only
    that type has.
    """
    return [other for other in _reachable(registry, spec) if _may_answer(other, spec, request, stream=stream)]


def _reachable(registry: Registry, spec: ModelSpec) -> Iterator[ModelSpec]:
    seen = {spec.id}
    waiting = deque(spec.fallbacks)
    while waiting:
        other = registry.specs.get(waiting.popleft())
        if other is not None and other.id not in seen:
            seen.add(other.id)
            waiting.extend(other.fallbacks)
            yield other


def _may_answer(other: ModelSpec, spec: ModelSpec, request: CanonicalRequest, *, stream: bool) -> bool:
    if request.provider and other.provider != spec.provider:
        return False
    options = request.provider_options or {}
    if spec.provider_type in options and other.provider_type not in options:
        return False
    try:
        check(request, other, stream=stream)
    except ProviderFailure:
        return False
    return True
