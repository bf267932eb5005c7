"""What the scenes of the demo play with, and what a scene is."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from ...simulator import Simulator
from .audience import Audience, Check, Title
from .bill import Bill
from .stage import Actor, Outcome


class Stage(msgspec.Struct):
    """What the scenes play with."""

    editor: Actor
    agent: Actor
    simulator: Simulator
    audience: Audience
    bill: Bill
    folder: Path
    daemon_pid: int
    session_id: str = ""

    async def both(self, first: Awaitable[Outcome], second: Awaitable[Outcome]) -> tuple[Outcome, Outcome]:
        """Two calls at once."""
        async with asyncio.TaskGroup() as group:
            one, two = group.create_task(_awaited(first)), group.create_task(_awaited(second))
        return one.result(), two.result()


async def _awaited(call: Awaitable[Outcome]) -> Outcome:
    return await call


Play = Callable[[Stage], Awaitable[list[Check]]]


class Scene(msgspec.Struct, frozen=True):
    """A scene and its title."""

    title: Title
    play: Play
