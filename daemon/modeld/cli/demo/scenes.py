"""The scenes of the demo. Each shows one thing and says whether it was as it should be."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from modeld_protocol.content import Message, ToolUseBlock
from modeld_protocol.events import CallCompleted, CallFailed, CallStarted, MessageComplete, MessageStart, TextDelta, TraceEvent
from modeld_protocol.request import Tool
from modeld_protocol.session import UsageAggregateResult

from ..figures import duration, mebibytes, money
from . import provider
from .audience import Check, Title
from .place import cpu_s
from .play import Scene, Stage
from .sharing import handoff, shared
from .stage import Actor, Outcome, fragments_of, in_words, thought_first

MAX_CLOSE_MS = 200
LEAVE_AFTER = 12
_CENT = 0.01
_ARRIVES_S = 2.0

_READ_FILE = Tool("read_file", "Read a text file.", {"type": "object", "properties": {"path": {"type": "string"}}})
_SEARCH = Tool(
    "search",
    "Search the code.",
    {"type": "object", "properties": {"query": {"type": "string"}, "folder": {"type": "string"}}},
)


# ---- 1


async def two_streams(stage: Stage) -> list[Check]:
    """Two clients, two wires, one set of events."""
    editor, agent = await stage.both(stage.editor.ask(provider.WHY), stage.agent.ask(provider.WHAT))
    together = max(editor.began_s, agent.began_s) < min(editor.ended_s, agent.ended_s)
    kinds = [_shape(outcome) for outcome in (editor, agent)]
    return [
        Check("both answers came whole: the deltas are the text", editor.whole and agent.whole),
        Check("they streamed at the same time", together),
        Check("two wires, the same events: " + ", ".join(kinds[0]), kinds[0] == kinds[1] == ["start", "delta", "complete"]),
    ]


def _shape(outcome: Outcome) -> list[str]:
    """The kinds of events in the order of their first."""
    names: dict[type[object], str] = {MessageStart: "start", TextDelta: "delta", MessageComplete: "complete"}
    return list(dict.fromkeys(names.get(type(event), type(event).__name__) for event in outcome.events))


# ---- 2


async def thinking(stage: Stage) -> list[Check]:
    """Reasoning first, then words; and its signature goes back to where it came from."""

    async def twice() -> Outcome:
        first = await stage.editor.ask(provider.PRIME, thinking=True)
        second = await stage.editor.go_on(first.then(Message("user", provider.TWIN)), provider.TWIN, thinking=True)
        signed.append(bool(first.thought and first.thought.provider_raw and first.thought.provider_raw.get("signature")))
        signed.append(second.whole)
        return first

    signed: list[bool] = []
    editor, agent = await stage.both(twice(), stage.agent.ask(provider.FIRST, thinking=True))
    return [
        Check("thinking came before the text, on both wires", thought_first(editor) and thought_first(agent)),
        Check("the signed thinking went back with the next question, and the provider accepted it", signed == [True, True]),
    ]


# ---- 3


async def tools(stage: Stage) -> list[Check]:
    """Calls whose arguments stream in fragments, run by the client, answered."""
    (read, answer), (search, found) = await asyncio.gather(
        _with_tools(stage.editor, provider.READ, _READ_FILE, lambda use: _read_file(stage.folder, use)),
        _with_tools(stage.agent, provider.SEARCH, _SEARCH, lambda use: f"3 matches for {use.input.get('query')}"),
    )
    uses = [*read.tool_uses, *search.tool_uses]
    fragments = [fragments_of(outcome, use) for outcome in (read, search) for use in outcome.tool_uses]
    parsed = [_parsed("".join(pieces)) for pieces in fragments]
    groups = {use.group for use in search.tool_uses}
    return [
        Check(
            f"arguments came in literal fragments ({', '.join(str(len(pieces)) for pieces in fragments)})",
            len(uses) == 3 and parsed == [use.input for use in uses] and all(len(pieces) > 1 for pieces in fragments),
        ),
        Check("two calls made together share a group", len(search.tool_uses) == 2 and len(groups) == 1 and None not in groups),
        Check("the results found their calls, and the models answered", answer.whole and found.whole),
    ]


async def _with_tools(actor: Actor, prompt: str, tool: Tool, run: Callable[[ToolUseBlock], str]) -> tuple[Outcome, Outcome]:
    first = await actor.ask(prompt, tools=[tool])
    messages = first.then(actor.results(first, run))
    return first, await actor.go_on(messages, "(the results)", tools=[tool])


def _read_file(folder: Path, use: ToolUseBlock) -> str:
    return (folder / Path(str(use.input.get("path"))).name).read_text()


def _parsed(text: str) -> Any:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(text)
    return None


# ---- 6


async def cancel(stage: Stage) -> list[Check]:
    """One client leaves in the middle; its connection to the provider is closed, the other client's is not."""
    closed_before = len(stage.simulator.closed_early)
    closed_ms: list[float] = []

    async def leave() -> Outcome:
        outcome = await stage.editor.ask(provider.RECITE, leave_after=LEAVE_AFTER)
        with suppress(TimeoutError):
            await stage.simulator.wait_until(lambda: len(stage.simulator.closed_early) > closed_before, timeout_s=_ARRIVES_S)
            closed_ms.append((stage.simulator.closed_early[-1].at_s - outcome.left_s) * 1000)
            stage.editor.note(f"the provider saw its connection close {closed_ms[0]:.1f} ms later", "good")
        return outcome

    editor, agent = await stage.both(leave(), stage.agent.ask(provider.SUMMARY))
    kept = editor.final is not None and editor.final.stop_reason == "cancelled" and len(editor.streamed_text) > 0
    return [
        Check(f"the provider's connection closed {_after(closed_ms)}", bool(closed_ms) and closed_ms[0] <= MAX_CLOSE_MS),
        Check("what had come was kept, and its tokens are on the bill", kept),
        Check("the other stream went on to its end", agent.whole),
    ]


def _after(closed_ms: list[float]) -> str:
    return f"after {closed_ms[0]:.1f} ms; {MAX_CLOSE_MS} are allowed" if closed_ms else f"within {_ARRIVES_S:g} s"


# ---- 7


async def retry(stage: Stage) -> list[Check]:
    """A busy and a failing provider: asked again by the daemon, while the clients just wait."""
    seen: list[TraceEvent] = []
    complete = asyncio.Event()
    requests_before = len(stage.simulator.requests)
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(_watch(actor, seen, complete)) for actor in (stage.editor, stage.agent)]
        await asyncio.sleep(0)  # the watchers subscribe
        busy, shaky = await stage.both(stage.agent.ask(provider.BUSY), stage.editor.ask(provider.SHAKY))
        with suppress(TimeoutError):
            await asyncio.wait_for(complete.wait(), _ARRIVES_S)
        for watcher in watchers:
            watcher.cancel()
    attempts = [outcome.response.metrics.attempts if outcome.response else 0 for outcome in (busy, shaky)]
    kinds = [sum(isinstance(event, kind) for event in seen) for kind in (CallStarted, CallFailed, CallCompleted)]
    sent = len(stage.simulator.requests) - requests_before
    return [
        Check("a 429 and a 503, each answered at the second attempt", attempts == [2, 2] and busy.whole and shaky.whole),
        Check(f"the trace has every attempt: {kinds[0]} started, {kinds[1]} failed, {kinds[2]} completed", kinds == [4, 2, 2]),
        Check(f"the provider got {sent} requests, the clients sent 2", sent == 4),
    ]


async def _watch(actor: Actor, seen: list[TraceEvent], complete: asyncio.Event) -> None:
    """Collect the trace of one client; `complete` is set once two calls have come to their end."""
    async with actor.client.notifications("trace/event") as notes:
        async for note in notes:
            event: TraceEvent = note.params
            seen.append(event)
            words = in_words(event)
            if words:
                actor.note(*words)
            if sum(isinstance(one, CallCompleted) for one in seen) == 2:
                complete.set()


# ---- 8


async def error(stage: Stage) -> list[Check]:
    """A failure after the first words is told, not hidden: what came is kept, and nothing is charged twice."""
    requests_before = len(stage.simulator.requests)
    broken, overloaded = await stage.both(stage.editor.ask(provider.CUT), stage.agent.ask(provider.OVERLOAD))
    kept = all(_kept(outcome) for outcome in (broken, overloaded))
    classes = [outcome.error.error_class if outcome.error else "none" for outcome in (broken, overloaded)]
    ends = [outcome.count(MessageComplete) for outcome in (broken, overloaded)]
    return [
        Check(f"typed errors: {' and '.join(classes)}", classes == ["network", "server_error"]),
        Check("the words that had come are in the error too, and each stream had one end", kept and ends == [1, 1]),
        Check("nothing was sent again after the first word", len(stage.simulator.requests) - requests_before == 2),
    ]


def _kept(outcome: Outcome) -> bool:
    partial = outcome.final
    return bool(partial and outcome.streamed_text) and partial is not None and _text(partial.content) == outcome.streamed_text


def _text(content: list[Any]) -> str:
    return "".join(getattr(block, "text", "") for block in content)


# ---- 9


async def costs(stage: Stage) -> list[Check]:
    """What it all cost, by client and model."""
    status = await stage.editor.client.status()
    used = cpu_s(stage.daemon_pid)
    own = f"the daemon: {mebibytes(status.rss_bytes)} of memory"
    own += f", {used:.2f} s of CPU" if used is not None else ""
    own += f" for {status.calls_total} calls of {status.clients} clients in {duration(status.uptime_seconds)}"
    stage.audience.bill(stage.bill, own)
    total = stage.bill.total()
    ledger = (await stage.editor.client.call("usage/aggregate", {"group_by": "client"}, UsageAggregateResult)).groups
    rows, sum_ = sum(group.calls for group in ledger), sum(group.total_cost or 0.0 for group in ledger)
    agree = rows == total.calls == status.calls_total > 0 and abs(sum_ - total.cost) < _CENT / 100
    return [
        Check(f"the ledger on disk says the same: {rows} calls, {money(sum_)}", agree),
        Check("cached tokens saved money", total.saved > 0 and total.cost > 0),
        Check("nothing runs any more", status.running_calls == 0 == stage.simulator.running),
    ]


SCENES = (
    Scene(
        Title("streams", "Two streams at once", "Two clients, one daemon, two providers' wires: the events are the same."),
        two_streams,
    ),
    Scene(Title("thinking", "Thinking", "Reasoning streams before the words; its signature is kept and given back."), thinking),
    Scene(Title("tools", "Tools", "Arguments arrive in fragments; the client runs the tool and sends the result."), tools),
    Scene(
        Title("session", "One session, two clients", "The daemon keeps the conversation: both see every turn, whoever takes it."),
        shared,
    ),
    Scene(
        Title("handoff", "Handoff", "Another provider goes on in mid-session; what that changes and costs is said first."),
        handoff,
    ),
    Scene(Title("cancel", "Cancel", "The editor leaves in mid-sentence: the provider's connection closes at once."), cancel),
    Scene(Title("retry", "Retry", "One provider is busy, one is down: the daemon asks again, the clients just wait."), retry),
    Scene(Title("error", "Error", "A stream breaks after its first words: they are kept, and the error has a type."), error),
    Scene(Title("costs", "What it cost", "By client and model, from what the provider reported."), costs),
)
