"""The exporter of telemetry: batches, a bounded queue, losses counted, collectors that come back; and the list of headers."""

import asyncio
import json

import pytest

from modeld.observe import export
from modeld.observe.export import MAX_BATCH, MAX_QUEUED, Exporter
from modeld.observe.otlp import MAX_SERIES, METRICS_PATH, OVERFLOW, TRACES_PATH, Envelope, Histogram, encode_attributes
from modeld.observing import parse_headers

pytestmark = pytest.mark.anyio


class Post:
    """What was sent, and what is answered: `statuses` in turn, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.batches: list[list[int]] = []
        self.metrics = 0

    async def __call__(self, path: str, body: bytes) -> int:
        await asyncio.sleep(0)
        status = self.statuses.pop(0) if self.statuses else 200
        if path == METRICS_PATH:
            self.metrics += 1
        else:
            assert path == TRACES_PATH
            self.batches.append(json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"])
        return status


def exporter(post: Post) -> Exporter:
    return Exporter(Envelope({"service.name": "t"}, "modeld", "1"), lambda: None, post)


async def test_a_full_batch_goes_at_once_and_the_rest_at_the_end() -> None:
    post = Post()
    out = exporter(post)
    for number in range(MAX_BATCH + 3):
        out.add(b"%d" % number)
    async with asyncio.timeout(2):  # less than the interval
        while sum(map(len, post.batches)) < MAX_BATCH:
            await asyncio.sleep(0)
    await out.close()
    assert [number for batch in post.batches for number in batch] == list(range(MAX_BATCH + 3))
    assert max(map(len, post.batches)) == MAX_BATCH
    assert out.dropped == 0


async def test_a_part_of_a_batch_goes_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "INTERVAL_S", 0.02)
    post = Post()
    out = exporter(post)
    for wave in range(2):
        out.add(b"%d" % wave)
        async with asyncio.timeout(2):
            while len(post.batches) <= wave:
                await asyncio.sleep(0.001)
    await out.close()
    assert post.batches == [[0], [1]]


async def test_a_full_queue_loses_the_oldest_and_counts_them() -> None:
    post = Post()
    out = exporter(post)
    for number in range(MAX_QUEUED + 10):
        out.add(b"%d" % number)
    await out.close()
    sent = [number for batch in post.batches for number in batch]
    assert sent == list(range(10, MAX_QUEUED + 10))
    assert out.dropped == 10


@pytest.mark.parametrize(("status", "kept"), [(0, True), (503, True), (429, True), (400, False), (401, False)])
async def test_what_may_be_sent_again_is(status: int, kept: bool) -> None:
    post = Post(status)
    out = exporter(post)
    for number in range(3):
        out.add(b"%d" % number)
    await out.flush()
    assert post.batches == [[0, 1, 2]]
    await out.flush()
    assert post.batches[1:] == ([[0, 1, 2]] if kept else [])
    assert out.dropped == (0 if kept else 3)
    await out.close()


async def test_a_close_while_a_batch_is_on_its_way_loses_nothing() -> None:
    started = asyncio.Event()

    class Slow(Post):
        async def __call__(self, path: str, body: bytes) -> int:
            if not started.is_set():
                started.set()
                await asyncio.sleep(60)
            return await super().__call__(path, body)

    post = Slow()
    out = exporter(post)
    for number in range(MAX_BATCH):
        out.add(b"%d" % number)
    await started.wait()
    await out.close()
    assert [len(batch) for batch in post.batches] == [MAX_BATCH]


async def test_a_histogram_counts_into_bounds_that_include_their_end_and_its_series_are_bounded() -> None:
    histogram = Histogram("h", "s", "d", (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.record(value, (("a", 1),))
    encoded = histogram.encode(1, 2)
    assert encoded is not None
    (point,) = encoded["histogram"]["dataPoints"]
    assert point["bucketCounts"] == ["2", "2", "1"]
    assert (point["count"], point["sum"], point["min"], point["max"]) == ("5", 14.0, 0.5, 9.0)
    for number in range(MAX_SERIES + 50):
        histogram.record(1.0, (("a", number),))
    encoded = histogram.encode(1, 2)
    assert encoded is not None
    points = encoded["histogram"]["dataPoints"]
    assert len(points) == MAX_SERIES + 1
    (rest,) = [point for point in points if point["attributes"] == encode_attributes(dict(OVERFLOW))]
    assert int(rest["count"]) == 51 - 1
    assert Histogram("h", "s", "d", (1.0,)).encode(1, 2) is None


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("", []),
        ("a=b", [("a", "b")]),
        (" A = b , c=d%20e%3D ", [("a", "b"), ("c", "d e=")]),
        ("authorization=Basic%20eHg=,nothing", [("authorization", "Basic eHg=")]),
    ],
)
async def test_headers_are_read_as_the_variable_has_them(text: str, headers: list[tuple[str, str]]) -> None:
    assert parse_headers(text) == headers
