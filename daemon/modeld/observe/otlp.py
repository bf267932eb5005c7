"""OTLP over HTTP in its JSON encoding: attributes, spans, histograms and the envelopes they travel in. Pure.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding (2026-11): names in camel case, ids in hexadecimal, integers of
64 bits as strings, enumerations as numbers.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

Value = str | bool | int | float | list[str]
Attributes = Mapping[str, Value]
Series = tuple[tuple[str, Value], ...]
"""The attributes of one series of a metric, hashable."""

TRACES_PATH: Final = "/v1/traces"
METRICS_PATH: Final = "/v1/metrics"
KIND_CLIENT: Final = 3
STATUS_ERROR: Final = {"code": 2}
MAX_SERIES: Final = 1_000  # of one metric; further ones are counted together
OVERFLOW: Final[Series] = (("otel.metric.overflow", True),)
_CUMULATIVE: Final = 2


class Span(msgspec.Struct, rename="camel", omit_defaults=True):
    """One span. Ids in hexadecimal, times in nanoseconds since 1970 as strings; see `span_times`."""

    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    attributes: list[dict[str, Any]]
    parent_span_id: str = ""
    status: dict[str, int] = {}


class _Point(msgspec.Struct):
    """What one series of a histogram came to since the start."""

    counts: list[int]
    count: int = 0
    total: float = 0
    least: float = 0
    most: float = 0


class Histogram:
    """A histogram with fixed bounds, cumulative since the start, of at most MAX_SERIES series and one for all others."""

    def __init__(self, name: str, unit: str, description: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self._unit = unit
        self._description = description
        self._bounds = bounds
        self._points: dict[Series, _Point] = {}

    def record(self, value: float, series: Series) -> None:
        """Count one value."""
        point = self._points.get(series)
        if point is None:
            if len(self._points) >= MAX_SERIES:
                series = OVERFLOW
            point = self._points.setdefault(series, _Point([0] * (len(self._bounds) + 1), 0, 0, value, value))
        point.counts[bisect_left(self._bounds, value)] += 1
        point.count += 1
        point.total += value
        point.least = min(point.least, value)
        point.most = max(point.most, value)

    def encode(self, start_ns: int, now_ns: int) -> dict[str, Any] | None:
        """The metric as it stands; None where nothing was counted."""
        if not self._points:
            return None
        points = [
            {
                "attributes": encode_attributes(dict(series)),
                "startTimeUnixNano": str(start_ns),
                "timeUnixNano": str(now_ns),
                "count": str(point.count),
                "sum": point.total,
                "min": point.least,
                "max": point.most,
                "bucketCounts": [str(count) for count in point.counts],
                "explicitBounds": self._bounds,
            }
            for series, point in self._points.items()
        ]
        histogram = {"dataPoints": points, "aggregationTemporality": _CUMULATIVE}
        return {"name": self.name, "unit": self._unit, "description": self._description, "histogram": histogram}


def encode_attributes(attributes: Attributes) -> list[dict[str, Any]]:
    """Attributes as pairs of key and typed value."""
    return [{"key": key, "value": _encode_value(value)} for key, value in attributes.items()]


def _encode_value(value: Value) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [_encode_value(one) for one in value]}}


class Envelope:
    """Who is speaking: the resource and the scope, encoded once."""

    def __init__(self, resource: Attributes, scope: str, version: str) -> None:
        self._resource = msgspec.json.encode({"attributes": encode_attributes(resource)})
        self._scope = msgspec.json.encode({"name": scope, "version": version})

    def spans(self, encoded: Iterable[bytes]) -> bytes:
        """The body of a request to TRACES_PATH, of spans that are encoded already."""
        return self._wrap(b"resourceSpans", b"scopeSpans", b"spans", b",".join(encoded))

    def metrics(self, metrics: Iterable[dict[str, Any]]) -> bytes:
        """The body of a request to METRICS_PATH."""
        return self._wrap(b"resourceMetrics", b"scopeMetrics", b"metrics", msgspec.json.encode(list(metrics))[1:-1])

    def _wrap(self, outer: bytes, inner: bytes, name: bytes, content: bytes) -> bytes:
        head = b'{"%b":[{"resource":%b,"%b":[{"scope":%b,"%b":[' % (outer, self._resource, inner, self._scope, name)
        return head + content + b"]}]}]}"
