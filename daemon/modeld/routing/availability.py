"""Which providers and models answer: a state machine fed by the outcome of every attempt.

It informs people and never blocks a call: an unavailable provider is still tried, and one success heals it. Only a call whose
model has fallbacks passes by, until a probe is due.

    available ── 2 failures in a row ──> degraded ── 5, over 30 s and more ──> unavailable
        ^                                                        │ 30 s later, an attempt starts
        └────────────── a success, from any state <── probing <──┘ (a failure: unavailable again)

A refused key or an exhausted account makes a provider unavailable at once, a model that is not there that model. A rate limit
degrades and no more: who counts requests is there. The network, the key and the account are the provider's, not a model's.
Failures that blame the request change nothing.
"""

from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from modeld_protocol.errors import ErrorClass
from modeld_protocol.events import AvailabilityChanged
from modeld_protocol.model import AvailabilityState

DEGRADED_AFTER = 2  # failures in a row
UNAVAILABLE_AFTER = 5  # failures in a row, of which the first lies at least SUSTAINED_S back
SUSTAINED_S = 30.0
PROBE_AFTER_S = 30.0  # from the last failure to the attempt that counts as a probe

_Verdict = Literal["neutral", "limited", "failing", "down"]

# Reasons are ours alone: a provider's own words may quote one client's request, and every client sees these.
_AT_PROVIDER: dict[str, tuple[_Verdict, str]] = {
    "rate_limit": ("limited", "the provider limits the rate of requests; it heals by itself"),
    "server_error": ("failing", "the provider fails; see its status page"),
    "network": ("failing", "the provider can't be reached; check the network and base_url"),
    "auth": ("down", "the provider refused the key; check the key of this adapter"),
    "quota_exceeded": ("down", "the account's quota is exhausted; check its billing"),
}
_NEUTRAL: tuple[_Verdict, str] = ("neutral", "")
_AT_MODEL: dict[str, tuple[_Verdict, str]] = {
    "rate_limit": ("limited", "the provider limits the rate of requests to this model; it heals by itself"),
    "server_error": ("failing", "the provider fails at this model; see its status page"),
    "model_not_found": ("down", "the provider knows no model of this name; check wire_name, or ask with model/discover"),
}


class Health(msgspec.Struct, frozen=True):
    """What is known of one provider or model. Times are those of the monotonic clock, in seconds."""

    state: AvailabilityState = "available"
    reason: str | None = None
    failures: int = 0
    first_failure_s: float = 0.0
    last_failure_s: float = 0.0


_HEALTHY = Health()


def after_failure(health: Health, verdict: _Verdict, reason: str, now_s: float) -> Health:
    """The health after one more failed attempt."""
    if verdict == "neutral":
        return health
    first_s = health.first_failure_s if health.failures else now_s
    failures = health.failures + 1
    return Health(_failed_state(health.state, verdict, failures, now_s - first_s), reason, failures, first_s, now_s)


def _failed_state(state: AvailabilityState, verdict: _Verdict, failures: int, lasting_s: float) -> AvailabilityState:
    if verdict == "limited":
        return state if state == "available" and failures < DEGRADED_AFTER else "degraded"
    if verdict == "down" or state in ("unavailable", "probing"):
        return "unavailable"
    if verdict == "failing" and failures >= UNAVAILABLE_AFTER and lasting_s >= SUSTAINED_S:
        return "unavailable"
    return "degraded" if failures >= DEGRADED_AFTER else state


def after_start(health: Health, now_s: float) -> Health:
    """The health once an attempt has begun."""
    if health.state == "unavailable" and now_s - health.last_failure_s >= PROBE_AFTER_S:
        return msgspec.structs.replace(health, state="probing")
    return health


class Availability:
    """The health of every provider and model that was called; what was never called is available.

    The verbs return what changed, the provider first. `model` is any name that stays the same for a model.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._health: dict[tuple[str, str | None], Health] = {}

    def started(self, provider: str, model: str) -> list[AvailabilityChanged]:
        """An attempt begins."""
        if not self._health:
            return []
        now_s = self._monotonic()
        return self._move((provider, None), lambda health: after_start(health, now_s)) + self._move(
            (provider, model), lambda health: after_start(health, now_s)
        )

    def succeeded(self, provider: str, model: str) -> list[AvailabilityChanged]:
        """An attempt was answered."""
        if not self._health:
            return []
        return self._move((provider, None), lambda _: _HEALTHY) + self._move((provider, model), lambda _: _HEALTHY)

    def failed(self, provider: str, model: str, error_class: ErrorClass | str) -> list[AvailabilityChanged]:
        """An attempt failed."""
        now_s = self._monotonic()
        changes: list[AvailabilityChanged] = []
        for key, verdicts in (((provider, None), _AT_PROVIDER), ((provider, model), _AT_MODEL)):
            verdict, reason = verdicts.get(error_class, _NEUTRAL)
            changes += self._move(key, lambda health, v=verdict, r=reason: after_failure(health, v, r, now_s))
        return changes

    def of(self, provider: str, model: str | None = None) -> AvailabilityState:
        """The state of a provider, or of a model: the worse of its own and its provider's."""
        return self._worse(provider, model).state

    def is_down(self, provider: str, model: str | None = None) -> bool:
        """Whether a call that has another choice should pass by: unavailable, and not yet due for a probe."""
        if not self._health:
            return False
        worse = self._worse(provider, model)
        return worse.state == "unavailable" and self._monotonic() - worse.last_failure_s < PROBE_AFTER_S

    def reason(self, provider: str, model: str | None = None) -> str | None:
        """Why that is its state, with what to do; None while it is available."""
        worse = self._worse(provider, model)
        return None if worse.state == "available" else worse.reason

    def forget(self, providers: Collection[str]) -> None:
        """Drop what is known of these: they were removed, or configured anew."""
        self._health = {key: health for key, health in self._health.items() if key[0] not in providers}

    def _worse(self, provider: str, model: str | None) -> Health:
        at_provider = self._health.get((provider, None), _HEALTHY)
        at_model = self._health.get((provider, model), _HEALTHY)
        return at_model if _SEVERITY[at_model.state] > _SEVERITY[at_provider.state] else at_provider

    def _move(self, key: tuple[str, str | None], step: Callable[[Health], Health]) -> list[AvailabilityChanged]:
        before = self._health.get(key, _HEALTHY)
        after = step(before)
        if after is before:
            return []
        if after is _HEALTHY:
            del self._health[key]
        else:
            self._health[key] = after
        if after.state == before.state:
            return []
        provider, model = key
        reason = None if after.state == "available" else after.reason
        return [AvailabilityChanged(provider, after.state, model, before.state, reason)]


_SEVERITY: dict[AvailabilityState, int] = {"available": 0, "degraded": 1, "probing": 2, "unavailable": 3, "not_configured": 4}
