"""A slow reader costs bounded memory and pauses its provider; who reads nothing at all is dropped, on the clock of the test."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.harness.daemon import DaemonProcess
from tests.load.crowd import MIB, Deaf, Light, encode, ping, settled_rss, show, until

from modeld.limits import SLOW_CLIENT_TIMEOUT_S, WRITE_HARD_LIMIT_BYTES, WRITE_HIGH_WATER_BYTES
from modeld.server.output import Output
from modeld.simulator import Simulator
from modeld_protocol.framing import FrameDecoder

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

ENDLESS = {"model": "openai:sim-fault-endless_stream", "messages": "x", "request_id": "endless"}
PACED = {"model": "openai:bench-n100-s20-d10000-f0-b1", "messages": "x"}


async def standing_still(figure: Callable[[], int], still_s: float = 0.3) -> int:
    """Wait until a figure is above zero and stays the same."""
    async with asyncio.timeout(10):
        while True:
            seen = figure()
            await asyncio.sleep(still_s)
            if seen and figure() == seen:
                return seen


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_slow_reader_pauses_its_provider_and_nobody_elses(fresh: DaemonProcess, simulator: Simulator, wire: str) -> None:
    other = await Light.connect(fresh.socket)
    await ping(other, 20, method="model/complete", params={"model": f"{wire}:sim-text", "messages": "x"})
    before = await settled_rss(fresh)
    slow = Deaf(fresh.socket)
    number = slow.request("model/stream", {**ENDLESS, "model": f"{wire}:sim-fault-endless_stream"})
    waiting = await standing_still(lambda: simulator.stats()["buffered_bytes"])
    grown = await settled_rss(fresh) - before
    print(f"a slow reader of an endless stream: {grown / MIB:.2f} MiB here, {waiting / MIB:.2f} MiB wait at the provider")
    assert grown < 4 * MIB
    beside = asyncio.create_task(ping(other, 30))
    assert (await other.call("model/stream", PACED))["stop_reason"] == "end_turn"
    assert other.events >= 101
    show("a call beside a slow reader", await beside)
    assert simulator.stats()["buffered_bytes"] == waiting, "its provider rests while others stream"
    await check_that_it_goes_on(slow, number)
    slow.close()
    other.close()
    await until(lambda: simulator.running == 0)


async def check_that_it_goes_on(slow: Deaf, number: int) -> None:
    """Read some megabytes of what waits and of what comes then: no event is missing. Then cancel it."""
    decoder = FrameDecoder()
    messages: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(messages) < 20_000:
            messages += [json.loads(body) for body in decoder.feed(await slow.read())]
        slow.send(encode("$/cancelRequest", {"id": number}))
        while messages[-1].get("id") != number:
            messages += [json.loads(body) for body in decoder.feed(await slow.read())]
    cursors = [message["params"]["cursor"] for message in messages if message.get("method") == "stream/event"]
    assert cursors == list(range(len(cursors)))
    assert messages[-1]["error"]["code"] == -32800
    last = messages[-2]["params"]["event"]
    assert (last["type"], last["stop_reason"]) == ("message.complete", "cancelled")
    deltas = [message["params"]["event"].get("text", "") for message in messages[:-2] if message.get("method") == "stream/event"]
    assert "".join(block["text"] for block in last["final_content"]) == "".join(deltas)


async def test_a_reader_that_is_slower_than_its_provider_gets_all_of_it(fresh: DaemonProcess) -> None:
    """Ten kilobytes at a time out of a stream that comes as fast as it can."""
    slow = Deaf(fresh.socket)
    slow.request("model/stream", {"model": "openai:bench-n500-s2000-d0-f0-b1", "messages": "x"})
    await asyncio.sleep(0.3)
    data = b""
    async with asyncio.timeout(30):
        while b'"id":1,' not in data[-100_000:] and b'"id": 1,' not in data[-100_000:]:
            data += await asyncio.get_running_loop().sock_recv(slow.sock, 10_000)
    assert len(re.findall(rb'"type":"text.delta"', data)) == 500
    slow.close()


# ---- the end of patience, on a clock of our own


class ManualLoop:
    """`call_later` and `call_soon` of a loop whose clock the test moves."""

    class Handle:
        def __init__(self, at_s: float, callback: Callable[[], None]) -> None:
            self.at_s = at_s
            self.callback = callback
            self.cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    def __init__(self) -> None:
        self.now_s = 0.0
        self._handles: list[ManualLoop.Handle] = []

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> Handle:
        handle = self.Handle(self.now_s + delay_s, lambda: callback(*args))
        self._handles.append(handle)
        return handle

    def call_soon(self, callback: Callable[..., None], *args: Any) -> Handle:
        return self.call_later(0, callback, *args)

    def advance(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while due := [handle for handle in self._handles if handle.at_s <= end_s and not handle.cancelled]:
            handle = min(due, key=lambda one: one.at_s)
            self._handles.remove(handle)
            self.now_s = max(self.now_s, handle.at_s)
            handle.callback()
        self.now_s = end_s

    @property
    def pending(self) -> int:
        return sum(not handle.cancelled for handle in self._handles)


class Pipe:
    """A transport whose reader takes what the test says."""

    def __init__(self) -> None:
        self.held = 0
        self.owner: Output | None = None

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.high, self.low = high, low

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        before, self.held = self.held, self.held + len(data)
        if before <= self.high < self.held and self.owner is not None:
            self.owner.pause()

    def take(self, size: int) -> None:
        before, self.held = self.held, max(0, self.held - size)
        if before > self.low >= self.held and self.owner is not None:
            self.owner.resume()


class Slow:
    """An Output over a manual loop and a pipe; `dropped` holds the reasons."""

    def __init__(self) -> None:
        self.loop, self.pipe = ManualLoop(), Pipe()
        self.dropped: list[str] = []
        self.output = Output(cast("Any", self.pipe), cast("Any", self.loop), self.dropped.append)
        self.pipe.owner = self.output

    def fill(self) -> None:
        """More than the high-water mark."""
        self.output.send(b"x" * (WRITE_HIGH_WATER_BYTES + 1))
        self.loop.advance(0)
        assert not self.output.writable


def test_who_reads_nothing_for_the_whole_time_is_dropped() -> None:
    slow = Slow()
    slow.fill()
    slow.loop.advance(SLOW_CLIENT_TIMEOUT_S - 0.001)
    assert slow.dropped == []
    slow.loop.advance(0.002)
    assert len(slow.dropped) == 1
    assert f"{SLOW_CLIENT_TIMEOUT_S:.0f} s" in slow.dropped[0]


def test_who_reads_a_byte_now_and_then_is_kept() -> None:
    slow = Slow()
    slow.fill()
    for _ in range(10):
        slow.loop.advance(SLOW_CLIENT_TIMEOUT_S - 1)
        slow.pipe.take(1)
    assert slow.dropped == []
    slow.loop.advance(2 * SLOW_CLIENT_TIMEOUT_S)
    assert len(slow.dropped) == 1, "and dropped once it stops"


def test_who_has_caught_up_has_all_the_time_in_the_world() -> None:
    slow = Slow()
    slow.fill()
    slow.pipe.take(10**9)
    assert slow.output.writable
    assert slow.loop.pending == 0
    slow.loop.advance(10 * SLOW_CLIENT_TIMEOUT_S)
    assert slow.dropped == []


def test_what_one_client_may_leave_unread_is_bounded() -> None:
    slow = Slow()
    piece = b"x" * MIB
    while not slow.dropped and slow.pipe.held < 10 * WRITE_HARD_LIMIT_BYTES:
        slow.output.send(piece)
    assert WRITE_HARD_LIMIT_BYTES < slow.pipe.held <= WRITE_HARD_LIMIT_BYTES + 2 * MIB


def test_a_closed_output_leaves_no_timer_and_lets_producers_go() -> None:
    slow = Slow()
    told: list[bool] = []
    slow.output.watch(told.append)
    slow.fill()
    slow.output.close()
    assert told == [False, True]
    assert slow.loop.pending == 0
    slow.loop.advance(10 * SLOW_CLIENT_TIMEOUT_S)
    assert slow.dropped == []
