"""What goes wrong in one run, all of it drawn from the seed: at the provider, on the streams, in the store, to the daemon."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from tests.sim import streams

from modeld.server import output
from modeld.sessions import fanout
from modeld.simulator.plan import Plan, encode_head

FAULT_PHASE_S = 900.0  # of virtual time; afterwards everything works again
ANSWERS = ("reset", "half_open", "cut", "garbled", "duplicate", "delay", "slow", "429", "500", "503", "split")
EVENTS = (
    *("clog_client", "clog_provider", "swizzle", "die", "slow_reader", "reload_valid", "reload_invalid", "rotate_key"),
    *("store_failure", "crash", "restart", "clock_jump"),
)


class Event(msgspec.Struct, frozen=True):
    """Something that happens to the world at `at_s` after the start; `lasts_s` and `number` as the kind needs them."""

    at_s: float
    kind: str
    lasts_s: float
    number: int


class Faults(msgspec.Struct):
    """A run's share of misfortune. `answer_rate` is the part of answers that are spoiled, by one of `answers`."""

    answer_rate: float
    answers: tuple[str, ...]
    events: tuple[Event, ...]
    kernel_bytes: int
    high_water_bytes: int
    ring_bytes: int
    active: bool = True


def draw(seed: int) -> Faults:
    """The faults of a seed: every run has its own few kinds, so that some are quiet and some are dreadful."""
    chance = random.Random(f"{seed} faults")
    kinds = [kind for kind in EVENTS if chance.random() < 0.4]
    span_s = chance.choice((5.0, 60.0, FAULT_PHASE_S * 0.6))
    events = [
        Event(
            chance.random() * span_s,
            chance.choice(kinds),
            chance.choice((0.01, 0.5, 5.0, 40.0, 300.0)) * chance.random(),
            chance.randrange(1 << 20),
        )
        for _ in range(chance.randrange(12) if kinds else 0)
    ]
    return Faults(
        chance.choice((0.0, 0.1, 0.3, 0.8)),
        tuple(kind for kind in ANSWERS if chance.random() < 0.5) or ANSWERS,
        tuple(sorted(events, key=lambda event: event.at_s)),
        chance.choice((128, 4_096, 65_536)),
        chance.choice((512, 8_192, 256 * 1024)),
        chance.choice((2_000, 4 * 1024 * 1024)),
    )


@contextmanager
def narrowed(faults: Faults) -> Iterator[None]:
    """Buffers as small as the seed wants them, so that short answers meet the limits of long ones."""
    before = streams.KERNEL_BYTES, output.WRITE_HIGH_WATER_BYTES, output.WRITE_LOW_WATER_BYTES, fanout.Ring.__init__.__defaults__
    streams.KERNEL_BYTES = faults.kernel_bytes
    output.WRITE_HIGH_WATER_BYTES = faults.high_water_bytes
    output.WRITE_LOW_WATER_BYTES = faults.high_water_bytes // 4
    fanout.Ring.__init__.__defaults__ = (0, faults.ring_bytes)
    try:
        yield
    finally:
        streams.KERNEL_BYTES, output.WRITE_HIGH_WATER_BYTES, output.WRITE_LOW_WATER_BYTES = before[:3]
        fanout.Ring.__init__.__defaults__ = before[3]


def spoil(plan: Plan, faults: Faults, chance: random.Random) -> Plan:
    """The plan of an answer, with what goes wrong with it."""
    if not faults.active or chance.random() >= faults.answer_rate:
        return plan
    return _spoiled(plan, chance.choice(faults.answers), chance)


def _spoiled(plan: Plan, kind: str, chance: random.Random) -> Plan:
    replace = msgspec.structs.replace
    writes = list(plan.writes)
    at = chance.randrange(len(writes))
    if kind in ("reset", "half_open", "cut"):
        whole = b"".join(writes)
        ending = {"reset": "reset", "half_open": "hang", "cut": "close"}[kind]
        kept = whole[: chance.randrange(len(whole))]
        return replace(plan, writes=[kept] if kept else [], ending=ending) if kept else Plan([b"H"], ending=ending)
    if kind == "garbled":
        data = bytearray(writes[at])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        writes[at] = bytes(data)
    elif kind == "duplicate":
        writes.insert(at, writes[at])
    elif kind == "split":
        writes[at : at + 1] = [writes[at][place : place + 1] for place in range(len(writes[at]))]
    elif kind == "delay":
        return replace(plan, first_delay_s=chance.choice((1.0, 60.0, 600.0)) * chance.random())
    elif kind == "slow":
        return replace(plan, delay_s=chance.choice((0.05, 1.0, 30.0)) * chance.random())
    else:
        return _refusal(int(kind), chance)
    return replace(plan, writes=writes)


def _refusal(status: int, chance: random.Random) -> Plan:
    wait = [("retry-after", str(chance.randrange(90)))] if chance.random() < 0.5 else []
    return Plan([encode_head(status, [("content-length", "0"), *wait])], status=status)
