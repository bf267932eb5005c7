"""What is measured: each scenario is a load, and which of its numbers the targets look at."""

from typing import Literal

import msgspec


class Scenario(msgspec.Struct, frozen=True):
    """`total` calls, `concurrency` at once, each of `events` text deltas `pace_us` apart (0: as fast as it goes).
    `history` is (messages, characters each); `streamed` false makes plain calls."""

    name: str
    title: str
    total: int
    concurrency: int
    events: int = 20
    pace_us: int = 0
    streamed: bool = True
    history: tuple[int, int] = (1, 20)
    batch: int = 1

    @property
    def model(self) -> str:
        """The simulator's model that plays this load."""
        return f"bench-n{self.events}-s20-d{self.pace_us}-f0-b{self.batch}"


SCENARIOS = (
    Scenario("calls", "non-streaming call, one after the other", 100, 1, streamed=False, batch=100),
    Scenario("ttft", "time to the first text, one after the other", 100, 1, batch=100),
    Scenario("sat1", "1 stream, saturated", 10, 1, events=200),
    Scenario("sat10", "10 streams, saturated", 20, 10, events=200),
    Scenario("sat100", "100 streams, saturated", 100, 100, events=100),
    Scenario("sat500", "500 streams, saturated", 500, 500, events=100),
    Scenario("paced100", "100 streams, an event every 40 ms", 100, 100, events=50, pace_us=40_000),
    Scenario("hist200k", "call with 200 kB of history", 10, 1, streamed=False, history=(200, 1_000), batch=100),
    Scenario("hist2m", "call with 2 MB of history", 5, 1, streamed=False, history=(200, 10_000), batch=100),
)

Contestant = Literal["raw", "openai", "anthropic", "modeld"]
CONTESTANTS: tuple[Contestant, ...] = ("raw", "openai", "anthropic", "modeld")


class Sample(msgspec.Struct):
    """One round of one contestant. Times in seconds; `cpu_s` is of the process that does the work."""

    cpu_s: float
    wall_s: float
    events: int
    calls_s: list[float]
    first_s: list[float]
