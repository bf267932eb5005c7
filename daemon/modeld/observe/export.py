"""The way of telemetry out of the process: a bounded queue, batches by time or number, losses counted, nobody kept waiting."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from .log import logger
from .otlp import METRICS_PATH, TRACES_PATH, Envelope

Send = Callable[[str, bytes], Awaitable[int]]
"""Posts a body to a path; the status of the answer, 0 where there was none. Never raises."""
Metrics = Callable[[], bytes | None]
"""The body of the metrics as they stand; None where there is nothing new."""

MAX_BATCH: Final = 512  # spans
MAX_QUEUED: Final = 2_048  # spans; the oldest go first
INTERVAL_S: Final = 5.0
FAREWELL_S: Final = 1.0  # for the last batch, when the daemon leaves
_AGAIN: Final = (0, 429, 502, 503, 504)  # what the protocol calls retryable, and no answer at all

_log = logger("otel")


class Exporter:
    """Takes encoded spans and sends them with the metrics. Belongs to the event loop of its first span. `dropped` counts spans
    that were lost, to a full queue or to a collector that refused them."""

    def __init__(self, envelope: Envelope, metrics: Metrics, send: Send) -> None:
        self.dropped = 0
        self._envelope = envelope
        self._metrics = metrics
        self._send = send
        self._queue: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def add(self, span: bytes) -> None:
        """Queue one span; never waits."""
        queue = self._queue
        if len(queue) >= MAX_QUEUED:
            queue.popleft()
            self.dropped += 1
        queue.append(span)
        self._changed.set()
        if len(queue) >= MAX_BATCH:
            self._full.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what there is, for a moment at most, and stop."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.flush()
        if self._queue:
            _log.warning("spans were not delivered", spans=len(self._queue))

    async def flush(self) -> None:
        """Send everything queued, batch by batch, until a batch has to wait for better times; then the metrics."""
        while self._queue and await self._send_batch():
            pass
        body = self._metrics()
        if body is not None:
            self._note(await self._send(METRICS_PATH, body))

    async def _run(self) -> None:
        """Nothing runs while nothing comes; then what has come goes out after a while, or at once where it is a batch."""
        while True:
            await self._changed.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), INTERVAL_S)
            self._changed.clear()
            self._full.clear()
            await self.flush()
            if self._queue:
                self._changed.set()

    async def _send_batch(self) -> bool:
        """One batch; False where it is to be tried again later."""
        batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
        try:
            status = await self._send(TRACES_PATH, self._envelope.spans(batch))
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        self._note(status)
        if status in _AGAIN:
            self._put_back(batch)
            return False
        if status >= 300:
            self.dropped += len(batch)
        return True

    def _put_back(self, batch: list[bytes]) -> None:
        room = MAX_QUEUED - len(self._queue)
        kept = batch[len(batch) - room :] if room < len(batch) else batch
        self.dropped += len(batch) - len(kept)
        self._queue.extendleft(reversed(kept))

    def _note(self, status: int) -> None:
        """Say when it begins to fail and when it works again, once each."""
        failing = not 200 <= status < 300
        if failing and not self._failing:
            what = f"answered {status}" if status else "did not answer"
            _log.warning(f"the collector {what}; check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS")
        if self._failing and not failing:
            _log.warning("the collector takes telemetry again", dropped_spans=self.dropped)
        self._failing = failing
