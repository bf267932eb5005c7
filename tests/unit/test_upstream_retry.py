"""Retry headers and backoff: what providers send, and what they shouldn't."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.upstream.retry import backoff_s, parse_retry_after, should_retry_header

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500.5", "retry-after": "20"}, 1.5005),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 20),
        ({"retry-after-ms": "-1", "retry-after": "20"}, 20),
        ({"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT"}, 30),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:07 GMT"}, None),
        ({"retry-after": "Sun, 31 Feb 1994 08:49:07 GMT"}, None),
        ({"retry-after": "Sun, 06 Xyz 1994 08:49:07 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "1000000000"}, 1e9),
        ({"retry-after": "9" * 5_000}, None),
        ({"retry-after": "٣"}, None),
        ({"x-ratelimit-reset-tokens": "1m2.5s", "x-ratelimit-remaining-tokens": "0"}, 62.5),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-remaining-tokens": "0"}, 0.02),
        ({"x-ratelimit-reset-requests": "1h0m1s"}, 3601),
        ({"x-ratelimit-reset-requests": "2m", "x-ratelimit-remaining-requests": "14"}, None),
        (
            {
                "x-ratelimit-reset-requests": "2m59.56s",
                "x-ratelimit-remaining-requests": "14",
                "x-ratelimit-reset-tokens": "7.66s",
                "x-ratelimit-remaining-tokens": "0",
            },
            7.66,
        ),
        ({"x-ratelimit-reset-requests": "5s", "x-ratelimit-reset-tokens": "9s"}, 9),
        ({"x-ratelimit-reset": "12.5"}, 12.5),
        ({"x-ratelimit-reset": "784111787"}, 784_111_787),  # below 1e9 it is a number of seconds, absurd or not
        ({"x-ratelimit-reset": "1994-11-06T08:49:47Z"}, 10),
        ({"x-ratelimit-reset": "1994-11-06T08:49:47"}, 10),
        ({"x-ratelimit-reset": "1994-11-06T08:00:00Z"}, None),
        ({"x-ratelimit-reset": "later"}, None),
        ({"x-ratelimit-reset": ""}, None),
        ({"retry-after": "3", "x-ratelimit-reset": "9"}, 3),
    ],
)
def test_parse_retry_after(headers, seconds):
    assert parse_retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("reset", "now"), [("1700000030", 1.7e9), ("1700000030000", 1.7e9)])
def test_a_reset_may_be_a_date_as_a_number(reset, now):
    assert parse_retry_after({"x-ratelimit-reset": reset}, now) == pytest.approx(30)


NAMES = st.sampled_from(
    ["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-reset-tokens", "x-ratelimit-remaining"]
)
VALUES = (
    st.text(max_size=20) | st.text("0123456789.:-+TZmsdh eENaif", max_size=25) | st.datetimes().map(str) | st.floats().map(str)
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, VALUES))
def test_parse_retry_after_never_raises_and_is_never_negative(headers):
    seconds = parse_retry_after(headers, NOW)
    assert seconds is None or 0 < seconds < float("inf")


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("false", False), (" True ", True), ("", None), ("yes", None), (None, None)]
)
def test_should_retry_header(value, expected):
    assert should_retry_header({} if value is None else {"x-should-retry": value}) is expected


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [(0, 0.5, 0.25), (1, 1.0, 1.0), (3, 0.5, 2.0), (9, 1.0, 8.0), (10**6, 1.0, 8.0), (4, 0.0, 0.0)],
)
def test_backoff_is_full_jitter_below_a_cap(attempt, chance, seconds):
    assert backoff_s(attempt, chance, base_s=0.5, cap_s=8.0) == seconds
