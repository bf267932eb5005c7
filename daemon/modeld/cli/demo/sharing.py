"""The scenes on a session that the daemon keeps: two clients on it, then another provider."""

import asyncio

from modeld_protocol.content import ThinkingBlock
from modeld_protocol.session import HandoffReport

from ..figures import money, tokens
from . import provider
from .audience import Check
from .play import Stage
from .stage import Actor


async def shared(stage: Stage) -> list[Check]:
    """One takes a turn and the other sees it as it streams, then the other way round; the history has both."""
    mine = await stage.editor.client.sessions.create(model=provider.WRITER, system_prompt="Be brief.")
    theirs = await stage.agent.client.sessions.get(mine.id)
    stage.session_id = mine.id
    async with mine.subscribe() as of_editor, theirs.subscribe() as of_agent:
        async with asyncio.TaskGroup() as group:
            watched = group.create_task(stage.agent.follow(of_agent, "editor"))
            turned = group.create_task(stage.editor.turn(mine, provider.PLAN, provider.WRITER))
        own = [await anext(of_editor) for _ in watched.result()]
        async with asyncio.TaskGroup() as group:
            back = group.create_task(stage.editor.follow(of_editor, "agent"))
            joined = group.create_task(stage.agent.turn(theirs, provider.JOIN, provider.WRITER))
    pairs = [(turned.result(), watched.result()), (joined.result(), back.result())]
    same = all([item.event for item in seen] == turn.events and turn.whole for turn, seen in pairs)
    cursors = [item.cursor for item in (*own, *back.result())]
    roles = [message.role for message in await mine.messages()]
    return [
        Check(f"each saw the other's turn as it streamed: {len(cursors)} events, the same in the same order", same),
        Check("the cursors go on from turn to turn, without a gap", cursors == list(range(1, len(cursors) + 1))),
        Check("one history: two questions, two answers", roles == ["user", "assistant"] * 2),
    ]


async def handoff(stage: Stage) -> list[Check]:
    """To another provider in mid-session and back: nothing is lost that the provider at home needs again."""
    session = await stage.editor.client.sessions.get(stage.session_id)
    before = len(await session.messages())
    thought = await stage.editor.turn(session, provider.PUZZLE, provider.WRITER, thinking=True)
    preview = await session.preview(provider.CODER)
    _show(stage.editor, preview)
    theirs = await stage.agent.client.sessions.get(stage.session_id)
    away = await stage.agent.turn(theirs, provider.OVER, provider.CODER)
    report = away.result.handoff
    home = await stage.editor.turn(session, provider.HOME, provider.WRITER, thinking=True)
    signatures = [_signature(block) for block in thought.result.message.blocks() if isinstance(block, ThinkingBlock)]
    sent = stage.simulator.requests[-1].body.decode()
    kept = bool(signatures) and all(signature and signature in sent for signature in signatures)
    told = report is not None and _shape(report) == _shape(preview)
    both_costs = preview.cost is not None and preview.stay_cost is not None
    return [
        Check("the preview said what the switch then did, and what it costs in tokens and money", told and both_costs),
        Check(
            "the other provider answered from the whole conversation", away.whole and len(await session.messages()) == before + 6
        ),
        Check("back at home the signed reasoning is there again, byte for byte", kept and home.whole),
    ]


def _show(actor: Actor, report: HandoffReport) -> None:
    """The report of a preview, as a person needs it."""
    actor.note(f"preview: {report.from_model} → {report.to_model}")
    actor.note(f"{report.kept} blocks as they are, {len(report.degraded)} changed, {len(report.dropped)} left out")
    for warning in (*report.degraded, *report.dropped):
        actor.note(warning.message)
    costs = f"{money(report.cost, report.currency or 'USD')} there, {money(report.stay_cost, report.currency or 'USD')} here"
    actor.note(f"{tokens(report.input_tokens)} tokens to read: {costs}")


def _shape(report: HandoffReport) -> tuple[list[str], list[str]]:
    return [one.code for one in report.degraded], [one.code for one in report.dropped]


def _signature(block: ThinkingBlock) -> str | None:
    raw = block.provider_raw or {}
    found = raw.get("signature")
    return found if isinstance(found, str) else None
