"""`modeld demo` itself: sets the stage, plays the scenes, cleans up, and says whether everything was as it should be."""

import argparse
import asyncio
import contextlib
import io
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from modeld_client import AsyncClient
from modeld_client.errors import ModeldError

from ...simulator import Simulator
from ..terminal import console, paint, say
from . import provider
from .audience import CLIENTS, Audience, Check, PlainAudience
from .bill import Bill
from .ending import next_steps
from .place import DemoFailed, PrivateDaemon
from .play import Scene, Stage
from .scenes import SCENES
from .stage import Actor

if TYPE_CHECKING:
    from rich.live import Live

    from .screen import Screen

_SCENE_TIMEOUT_S = 20.0
_FRAME_S = 1 / 16
_SVG_SIZE = (112, 50)  # columns and lines; the scenes from the third on are to be seen


class Tempo(msgspec.Struct, frozen=True):
    """How fast it goes: between the pieces of a stream, in the provider's refusal, after a scene, at the end."""

    pace_ms: float
    retry_after_s: float
    scene_pause_s: float


SHOW = Tempo(pace_ms=24, retry_after_s=0.7, scene_pause_s=0.7)
FAST = Tempo(pace_ms=4, retry_after_s=0.2, scene_pause_s=0)


def run(options: argparse.Namespace) -> int:
    """Play; 0 where every scene did what it should."""
    with asyncio.Runner() as runner:
        try:
            failed = runner.run(_until_signalled(_demo(options)))
        except BrokenPipeError:  # nobody reads any more (`modeld demo | head`)
            raise
        except (DemoFailed, ModeldError, OSError) as error:
            say(f"modeld demo: {error}; `modeld doctor` looks for the cause", "red")
            return 1
        except asyncio.CancelledError:  # SIGTERM or SIGHUP: everything is cleaned up
            return 1
    for line in _ending(failed, options.config):
        print(line)
    return 1 if failed else 0


async def _until_signalled(demo: Awaitable[list[str]]) -> list[str]:
    """SIGTERM and a closed terminal end it like Ctrl-C does: with everything cleaned up."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await demo


async def _demo(options: argparse.Namespace) -> list[str]:
    """Play before the audience there is; returns what was not as it should be."""
    if options.svg:
        return await _drawn(Path(options.svg))
    plain = options.plain or not _is_roomy()
    tempo = FAST if options.fast or plain else SHOW
    return await (_play(PlainAudience(), tempo) if plain else _live(tempo))


def _is_roomy() -> bool:
    """Whether stdout is a terminal that the picture fits on."""
    from .screen import MIN_HEIGHT, MIN_WIDTH

    if not sys.stdout.isatty():
        return False
    size = console(sys.stdout).size
    return size.width >= MIN_WIDTH and size.height >= MIN_HEIGHT


def _ending(failed: list[str], config: str | None) -> list[str]:
    if failed:
        return ["", *(paint(f"FAILED: {said}", "red", sys.stdout) for said in failed), "`modeld doctor` looks for the cause."]
    return ["", paint("Everything did what it should.", "green", sys.stdout), *next_steps(config)]


# ---- on a terminal, and on paper


async def _live(tempo: Tempo) -> list[str]:
    from rich.live import Live

    from .screen import Screen

    screen = Screen(console(sys.stdout), [scene.title for scene in SCENES])
    with Live(console=screen.console, auto_refresh=False, transient=False) as live:
        drawing = asyncio.create_task(_draw(live, screen))
        try:
            return await _play(screen, tempo)
        finally:
            drawing.cancel()
            live.update(screen.render(), refresh=True)


async def _draw(live: "Live", screen: "Screen") -> None:
    """A frame now and then, in this task: nothing else may change the picture while it is drawn."""
    while True:
        live.update(screen.render(), refresh=True)
        await asyncio.sleep(_FRAME_S)


async def _drawn(file: Path) -> list[str]:
    """The last picture, as an SVG."""
    from rich.console import Console

    from .picture import as_svg
    from .screen import Screen

    width, height = _SVG_SIZE
    paper = Console(
        width=width,
        height=height,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    screen = Screen(paper, [scene.title for scene in SCENES], max_height=height)
    failed = await _play(screen, FAST)
    paper.print(screen.render())
    _write(file, as_svg(paper))
    return failed


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


# ---- the play


async def _play(audience: Audience, tempo: Tempo) -> list[str]:
    """Play every scene; returns what was not as it should be."""
    failed: list[str] = []
    async with _stage(audience, tempo) as stage:
        for number, scene in enumerate(SCENES, 1):
            audience.scene(number, len(SCENES), scene.title)
            checks = await _played(scene, stage)
            audience.judged(checks)
            failed += [f"{scene.title.short}: {check.said}" for check in checks if not check.held]
            await asyncio.sleep(tempo.scene_pause_s)
    return failed


async def _played(scene: Scene, stage: Stage) -> list[Check]:
    """A scene's checks; one that breaks off is a check that didn't hold, and the play goes on."""
    try:
        async with asyncio.timeout(_SCENE_TIMEOUT_S):
            return await scene.play(stage)
    except TimeoutError:
        return [Check(f"the scene did not end within {_SCENE_TIMEOUT_S:g} s", False)]
    except Exception as error:
        return [Check(f"the scene broke off: {_named(error)}", False)]


def _named(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return f"{type(error).__name__}: {error}"


@asynccontextmanager
async def _stage(audience: Audience, tempo: Tempo) -> AsyncGenerator[Stage]:
    """The simulator, the private daemon and two clients of it; all gone afterwards."""
    bill = Bill()
    async with contextlib.AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(provider.scenario(tempo.pace_ms, tempo.retry_after_s)))
        daemon = await stack.enter_async_context(PrivateDaemon(simulator.base_url, simulator.openai_base_url))
        actors: list[Actor] = []
        for name, model in zip(CLIENTS, (provider.WRITER, provider.CODER), strict=True):
            client = await stack.enter_async_context(
                AsyncClient.connect(daemon.socket, client_id=f"demo-{name}", start=False, trace=True)
            )
            actors.append(Actor(name, client, model, audience, bill))
        editor, agent = actors
        yield Stage(editor, agent, simulator, audience, bill, daemon.folder, daemon.pid)
