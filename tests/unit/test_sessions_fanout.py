"""The ring and the fan-out: whoever follows gets every event once, in order, or is told which ones are gone."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.server.stream_encoder import StreamEncoder
from modeld.sessions.fanout import Feed, Ring, skip_frames
from modeld.sessions.patience import HOLD_BYTES, Patience
from modeld_protocol.events import StreamEvent, StreamGap, TextDelta
from modeld_protocol.framing import FrameDecoder, frame


class Line:
    """A client's connection: takes what it is sent while `writable`."""

    def __init__(self) -> None:
        self.writable = True
        self.closed = False
        self.sent = b""
        self.told: list[Any] = []
        self._writable: list[Callable[[bool], None]] = []
        self._closed: list[Callable[[], None]] = []
        self.room: int | None = None

    def send(self, frames: bytes) -> None:
        self.sent += frames
        if self.room is not None:
            self.room -= len(frames)
            if self.room <= 0:
                self.writable = False

    def notify(self, method: str, params: Any) -> None:
        self.told.append((method, params))

    def on_writable_change(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        self._writable.append(callback)
        return lambda: self._writable.remove(callback)

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._closed.append(callback)
        return lambda: self._closed.remove(callback) if callback in self._closed else None

    def become(self, writable: bool, room: int | None = None) -> None:
        self.writable, self.room = writable, room
        for callback in list(self._writable):
            callback(writable)

    def leave(self) -> None:
        self.closed = True
        for callback in list(self._closed):
            callback()

    @property
    def cursors(self) -> list[int]:
        bodies = FrameDecoder().feed(self.sent)
        return [msgspec.json.decode(body)["params"]["cursor"] for body in bodies]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        return [(gap.first, gap.last) for method, gap in self.told if method == "stream/gap" and isinstance(gap, StreamGap)]


def delta(text: str = "x") -> TextDelta:
    return TextDelta("msg_1", 0, text)


class World:
    """A feed whose callbacks run when asked."""

    def __init__(self, cursor: int = 0, ring_bytes: int | None = None) -> None:
        self.soon: list[Callable[[], None]] = []
        self.feed = Feed("ses_1", "ep_1", cursor, self.soon.append)
        if ring_bytes is not None:
            self.feed.ring = Ring(cursor, ring_bytes)
        self.begin()

    def begin(self) -> None:
        encoder = StreamEncoder("req_1", "ep_1", "ses_1", "turn_1", self.feed.cursor + 1)
        self.feed.begin("req_1", encoder.encode)

    def publish(self, count: int = 1) -> None:
        self.feed.publish([delta() for _ in range(count)])

    def run(self) -> None:
        while self.soon:
            self.soon.pop(0)()


def test_every_follower_gets_the_same_bytes_once() -> None:
    world, one, two, stranger = World(), Line(), Line(), Line()
    for line in (one, two, two):
        assert world.feed.follow(line, None) == 0
    world.feed.attach(one)
    world.publish(3)
    world.feed.detach(one)
    world.publish()
    assert one.sent == two.sent
    assert one.cursors == [1, 2, 3, 4]
    world.feed.unfollow(two)
    world.publish()
    assert two.cursors == [1, 2, 3, 4]
    assert not stranger.sent


def test_a_starter_gets_its_turn_and_nothing_else() -> None:
    world, line = World(), Line()
    world.publish()
    world.feed.attach(line)
    world.publish(2)
    world.feed.detach(line)
    world.publish()
    assert line.cursors == [2, 3]
    assert not world.feed.busy


@pytest.mark.parametrize(
    ("epoch", "cursor", "reason"),
    [
        (None, None, None),
        ("ep_1", None, None),
        ("ep_1", 5, None),
        ("ep_1", 0, None),
        (None, 3, None),
        ("ep_2", 3, "epoch_changed"),
        ("ep_2", None, "epoch_changed"),
        ("ep_1", 6, "cursor_unknown"),
        ("ep_1", -1, "cursor_unknown"),
    ],
)
def test_reset_reasons(epoch: str | None, cursor: int | None, reason: str | None) -> None:
    world = World()
    world.publish(5)
    assert world.feed.reset_reason(epoch, cursor) == reason


def test_what_left_the_ring_is_a_reset() -> None:
    world = World(ring_bytes=1000)
    for _ in range(20):
        world.publish()
    first = world.feed.ring.first
    assert 1 < first <= 20
    assert world.feed.reset_reason("ep_1", first - 1) is None
    assert world.feed.reset_reason("ep_1", first - 2) == "cursor_evicted"
    assert World(cursor=7).feed.reset_reason("ep_1", 6) == "cursor_evicted"
    assert World(cursor=7).feed.reset_reason("ep_1", 7) is None


@pytest.mark.parametrize("cursor", range(7))
def test_resuming_brings_the_rest_after_the_reply(cursor: int) -> None:
    world, line = World(), Line()
    world.publish(2)
    world.publish(4)
    assert world.feed.follow(line, cursor) == cursor
    assert not line.sent, "the reply goes first"
    world.publish()
    world.run()
    world.publish()
    assert line.cursors == list(range(cursor + 1, 9))


def test_one_that_lags_is_caught_up_and_holds_up_nobody() -> None:
    world, slow, quick = World(), Line(), Line()
    world.feed.follow(slow, None)
    world.feed.follow(quick, None)
    world.publish()
    slow.become(False)
    world.publish(5)
    assert slow.cursors == [1]
    assert quick.cursors == [1, 2, 3, 4, 5, 6]
    slow.become(True)
    world.publish()
    assert slow.cursors == quick.cursors
    assert not slow.gaps


def test_one_that_lags_too_far_is_told_what_is_gone() -> None:
    world, slow = World(ring_bytes=1000), Line()
    world.feed.follow(slow, None)
    world.publish()
    slow.become(False)
    for _ in range(30):
        world.publish()
    slow.become(True)
    ((first, last),) = slow.gaps
    assert first == 2
    assert slow.cursors == [1, *range(last + 1, 32)]


def test_the_starter_gets_everything_before_its_reply() -> None:
    world, line = World(), Line()
    world.feed.attach(line)
    line.become(False)
    world.publish(4)
    world.feed.detach(line)
    assert line.cursors == [1, 2, 3, 4]


def test_who_unsubscribes_before_it_was_caught_up_hears_nothing_more() -> None:
    world, line = World(), Line()
    world.publish(4)
    world.feed.follow(line, 1)
    world.feed.unfollow(line)
    assert world.feed.follow(line, None) == 4, "a snapshot holds these four"
    world.run()
    assert not line.sent
    world.publish()
    assert line.cursors == [5]


def test_who_leaves_is_forgotten() -> None:
    world, line = World(), Line()
    world.feed.follow(line, None)
    world.publish()
    line.leave()
    assert not world.feed.busy
    world.publish()
    assert line.cursors == [1]


def test_frames_are_skipped_whole() -> None:
    frames = b"".join(frame(b"%d" % number * number) for number in range(1, 5))
    assert skip_frames(frames, 0) == frames
    assert list(FrameDecoder().feed(skip_frames(frames, 3))) == [b"4444"]
    assert skip_frames(frames, 4) == b""


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["stop", "read", "run", "follow", "resume", "begin"]), st.integers(0, 3000)),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([600, 3000, 10**6]))
@settings(max_examples=150, deadline=None)
def test_nothing_is_missing_and_nothing_comes_twice(steps: list[tuple[str, int]], ring_bytes: int) -> None:
    world, line = World(ring_bytes=ring_bytes), Line()
    since: int | None = None
    for what, number in steps:
        if what == "publish":
            world.publish(number)
        elif what == "stop":
            line.become(False)
        elif what == "read":
            line.become(True, number)
        elif what == "run":
            world.run()
        elif what == "begin":
            world.begin()
        elif since is None:
            cursor = None if what == "follow" else number % (world.feed.cursor + 1)
            if world.feed.reset_reason("ep_1", cursor) is None:
                since = world.feed.follow(line, cursor)
    line.become(True)
    world.run()
    line.become(True)
    if since is not None:
        gone = {cursor for first, last in line.gaps for cursor in range(first, last + 1)}
        assert len(line.cursors) == len(set(line.cursors))
        assert line.cursors == sorted(line.cursors)
        assert gone.isdisjoint(line.cursors)
        assert gone.union(line.cursors) == set(range(since + 1, world.feed.cursor + 1))
    assert world.feed.ring.held_bytes <= ring_bytes


def test_the_ring_forgets_its_places_too() -> None:
    ring = Ring(0, 5_000)
    for _ in range(20_000):
        ring.append(1, b"x" * 100)
    assert ring.held_bytes <= 5_000
    assert len(ring._frames) < 4_000
    assert ring.last == 20_000
    assert [last for last, _ in ring.after(ring.first - 1)] == list(range(ring.first, 20_001))


def test_events_say_where_they_belong() -> None:
    world, line = World(), Line()
    world.feed.follow(line, None)
    world.publish()
    (body,) = FrameDecoder().feed(line.sent)
    event = msgspec.convert(msgspec.json.decode(body)["params"], StreamEvent)
    assert (event.session_id, event.turn_id, event.epoch, event.cursor) == ("ses_1", "turn_1", "ep_1", 1)


# ---- the provider waits for those who read


class Lever:
    """What a turn's provider is told, and the timer that `Patience` sets."""

    def __init__(self, feed: Feed) -> None:
        self.told: list[bool] = []
        self.due: Callable[[], None] | None = None
        feed.patience = Patience(self.told.append, self.later)

    def later(self, delay_s: float, callback: Callable[[], None]) -> "Lever":
        self.due = callback
        return self

    def cancel(self) -> None:
        self.due = None

    def ring(self) -> None:
        due, self.due = self.due, None
        assert due is not None
        due()


LARGE = HOLD_BYTES // 4


def test_a_slow_reader_is_waited_for_and_a_stopped_one_is_not() -> None:
    world = World()
    slow, stopped, quick = Line(), Line(), Line()
    for line in (slow, stopped, quick):
        world.feed.follow(line, None)
    lever = Lever(world.feed)
    slow.become(False)
    stopped.become(False)
    for _ in range(4):
        world.feed.publish([delta("x" * LARGE)])
    assert lever.told == [False]
    lever.ring()
    slow.become(True, room=LARGE)
    lever.ring()
    assert lever.told == [False], "the slow one took something"
    slow.become(True)
    assert lever.told == [False, True]
    assert lever.due is None
    for _ in range(36):
        world.feed.publish([delta("x" * LARGE)])
    assert lever.told == [False, True], "the other one isn't waited for again"
    assert slow.cursors == quick.cursors == list(range(1, 41))
    later = Lever(world.feed)
    for _ in range(4):
        world.feed.publish([delta("x" * LARGE)])
    assert later.told == [], "nor in the next turn"
    stopped.become(True)
    assert [method for method, _ in stopped.told] == ["stream/gap"]
    stopped.become(False)
    for _ in range(4):
        world.feed.publish([delta("x" * LARGE)])
    assert later.told == [False], "it has read again"


@pytest.mark.parametrize("leaves", [True, False])
def test_nobody_waits_for_who_is_gone_or_when_the_turn_has_ended(leaves: bool) -> None:
    world = World()
    line = Line()
    world.feed.follow(line, None)
    lever = Lever(world.feed)
    line.become(False)
    for _ in range(4):
        world.feed.publish([delta("x" * LARGE)])
    assert lever.told == [False]
    if leaves:
        line.leave()
        assert lever.told == [False, True]
    else:
        assert world.feed.patience is not None
        world.feed.patience.close()
    assert lever.due is None
