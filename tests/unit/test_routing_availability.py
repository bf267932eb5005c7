"""Availability: what outcomes do to providers and models, on a clock of the test's own."""

import pytest

from modeld.routing.availability import Availability
from modeld_protocol.events import AvailabilityChanged


class Time:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def seen(time: Time) -> Availability:
    return Availability(time)


def play(seen: Availability, time: Time, script: str) -> list[str]:
    """`script` holds error classes, `ok`, `start` and `+seconds`; the answer is every change as `name:state`."""
    changes: list[AvailabilityChanged] = []
    for step in script.split():
        if step.startswith("+"):
            time.now_s += float(step)
        elif step == "ok":
            changes += seen.succeeded("p", "p:m")
        elif step == "start":
            changes += seen.started("p", "p:m")
        else:
            changes += seen.failed("p", "p:m", step)
    return [f"{change.model or change.provider}:{change.state}" for change in changes]


@pytest.mark.parametrize(
    ("script", "changes", "provider", "model"),
    [
        ("ok", [], "available", "available"),
        ("server_error", [], "available", "available"),
        ("server_error ok server_error ok", [], "available", "available"),
        ("server_error server_error", ["p:degraded", "p:m:degraded"], "degraded", "degraded"),
        (
            "server_error server_error ok",
            ["p:degraded", "p:m:degraded", "p:available", "p:m:available"],
            "available",
            "available",
        ),
        # many failures at once are not sustained ones
        ("network " * 9, ["p:degraded"], "degraded", "degraded"),
        ("network network network network +30 network", ["p:degraded", "p:unavailable"], "unavailable", "unavailable"),
        ("network network network +60 network", ["p:degraded"], "degraded", "degraded"),
        # the key and the account are the provider's
        ("auth", ["p:unavailable"], "unavailable", "unavailable"),
        ("quota_exceeded", ["p:unavailable"], "unavailable", "unavailable"),
        ("auth ok", ["p:unavailable", "p:available"], "available", "available"),
        # a missing model is the model's
        ("model_not_found", ["p:m:unavailable"], "available", "unavailable"),
        # a rate limit never means that nobody is there
        ("rate_limit " * 6 + "+60 " + "rate_limit", ["p:degraded", "p:m:degraded"], "degraded", "degraded"),
        ("auth rate_limit", ["p:unavailable", "p:degraded"], "degraded", "degraded"),
        # a request's own fault is nobody's
        ("invalid_request context_overflow content_filter cancelled capability_mismatch other", [], "available", "available"),
        ("auth invalid_request", ["p:unavailable"], "unavailable", "unavailable"),
        # probing
        ("auth +29 start", ["p:unavailable"], "unavailable", "unavailable"),
        ("auth +30 start", ["p:unavailable", "p:probing"], "probing", "probing"),
        ("auth +30 start ok", ["p:unavailable", "p:probing", "p:available"], "available", "available"),
        ("auth +30 start server_error", ["p:unavailable", "p:probing", "p:unavailable"], "unavailable", "unavailable"),
        ("auth +30 start auth +29 start", ["p:unavailable", "p:probing", "p:unavailable"], "unavailable", "unavailable"),
    ],
)
def test_outcomes(seen: Availability, time: Time, script: str, changes: list[str], provider: str, model: str) -> None:
    assert play(seen, time, script) == changes
    assert (seen.of("p"), seen.of("p", "p:m")) == (provider, model)


def test_a_change_says_from_what_to_what_and_why(seen: Availability) -> None:
    down = seen.failed("p", "p:m", "auth")
    assert down == [
        AvailabilityChanged("p", "unavailable", None, "available", "the provider refused the key; check the key of this adapter")
    ]
    assert seen.reason("p") == seen.reason("p", "p:m") == down[0].reason
    assert seen.succeeded("p", "p:m") == [AvailabilityChanged("p", "available", None, "unavailable", None)]
    assert seen.reason("p") is None


def test_one_model_says_nothing_of_another_and_one_provider_nothing_of_the_next(seen: Availability) -> None:
    seen.failed("p", "p:m", "model_not_found")
    assert (seen.of("p", "p:other"), seen.of("q"), seen.of("q", "p:m")) == ("available", "available", "available")
    seen.failed("q", "q:m", "auth")
    assert seen.of("p") == "available"


def test_a_success_at_one_model_heals_the_provider_and_not_the_other_model(seen: Availability, time: Time) -> None:
    play(seen, time, "server_error server_error")
    seen.succeeded("p", "p:other")
    assert (seen.of("p"), seen.of("p", "p:m")) == ("available", "degraded")


def test_a_provider_configured_anew_starts_afresh(seen: Availability) -> None:
    seen.failed("p", "p:m", "auth")
    seen.failed("q", "q:m", "auth")
    seen.forget(["p"])
    assert (seen.of("p"), seen.of("p", "p:m"), seen.of("q")) == ("available", "available", "unavailable")
