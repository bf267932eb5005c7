"""A client on the demo's stage: asks, shows what it receives to the audience, and keeps what became of it."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from modeld_client import AsyncClient, AsyncSession, AsyncSessionFeed, SessionEvent
from modeld_client.calls import RequestFields
from modeld_client.errors import RequestFailed
from modeld_client.session_calls import TurnFields
from modeld_protocol.content import Message, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from modeld_protocol.events import (
    CallFailed,
    CallStarted,
    Event,
    MessageComplete,
    TextDelta,
    ThinkingDelta,
    ToolUseInputDelta,
    TraceEvent,
)
from modeld_protocol.request import Thinking, Tool
from modeld_protocol.response import CanonicalResponse
from modeld_protocol.session import TurnResult

from ..figures import cost, tokens
from .audience import Audience, Tone
from .bill import Bill


class Outcome(msgspec.Struct):
    """What became of one call. Times are on the monotonic clock; `left_s` is when the reader left early, 0 where it stayed."""

    messages: list[Message]
    events: list[Event] = []
    began_s: float = 0.0
    ended_s: float = 0.0
    left_s: float = 0.0
    response: CanonicalResponse | None = None
    error: RequestFailed | None = None

    @property
    def final(self) -> CanonicalResponse | None:
        """The answer, or what there was of it."""
        return self.response or (self.error.partial if self.error else None)

    @property
    def whole(self) -> bool:
        """An answer that came to its own end, whose deltas are its text."""
        return self.response is not None and text_of(self.response) == self.streamed_text

    @property
    def streamed_text(self) -> str:
        """The text deltas, joined."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def tool_uses(self) -> list[ToolUseBlock]:
        """The calls that the model makes."""
        return [block for block in self.final.content if isinstance(block, ToolUseBlock)] if self.final else []

    @property
    def thought(self) -> ThinkingBlock | None:
        """The first block of reasoning."""
        blocks = self.final.content if self.final else []
        return next((block for block in blocks if isinstance(block, ThinkingBlock)), None)

    def count(self, kind: type[Event]) -> int:
        """How many events of a kind came."""
        return sum(isinstance(event, kind) for event in self.events)

    def then(self, *more: Message) -> list[Message]:
        """The conversation so far, with the answer, and what comes next."""
        said = [Message("assistant", self.final.content)] if self.final else []
        return [*self.messages, *said, *more]


def text_of(response: CanonicalResponse) -> str:
    """The text of an answer."""
    return "".join(block.text for block in response.content if isinstance(block, TextBlock))


class Turned(msgspec.Struct):
    """What became of a turn on a session."""

    result: TurnResult
    events: list[Event]

    @property
    def whole(self) -> bool:
        """An answer whose deltas are its text."""
        said = "".join(block.text for block in self.result.message.blocks() if isinstance(block, TextBlock))
        return bool(said) and said == "".join(event.text for event in self.events if isinstance(event, TextDelta))


class Actor:
    """One of the two clients."""

    def __init__(self, name: str, client: AsyncClient, model: str, audience: Audience, bill: Bill) -> None:
        self.name = name
        self.client = client
        self.model = model
        self._audience = audience
        self._bill = bill

    def note(self, text: str, tone: Tone = "dim") -> None:
        """Show something that happened."""
        self._audience.note(self.name, text, tone)

    async def ask(self, prompt: str, **fields: Any) -> Outcome:
        """A fresh question."""
        return await self.go_on([Message("user", prompt)], prompt, **fields)

    async def go_on(
        self,
        messages: list[Message],
        shown: str,
        *,
        tools: Sequence[Tool] = (),
        thinking: bool = False,
        leave_after: int | None = None,
    ) -> Outcome:
        """A conversation that goes on, streamed to the audience; with `leave_after`, the reader leaves after so many deltas."""
        self._audience.asked(self.name, self.model, shown)
        request: RequestFields = {"model": self.model, "messages": messages, "tools": tools}
        if thinking:
            request["thinking"] = Thinking("adaptive")
        outcome = Outcome(messages, began_s=time.monotonic())
        try:
            await self._read(request, outcome, leave_after)
        except RequestFailed as error:
            outcome.error = error
        outcome.ended_s = time.monotonic()
        self._audience.ended(self.name)
        self._bill.add(self.name, self.model, outcome.final)
        self._sum_up(outcome)
        return outcome

    async def _read(self, request: RequestFields, outcome: Outcome, leave_after: int | None) -> None:
        stream = self.client.stream(**request)
        async with stream:
            async for event in stream:
                outcome.events.append(event)
                self._audience.event(self.name, event)
                if leave_after is not None and outcome.count(TextDelta) >= leave_after:
                    outcome.left_s = time.monotonic()
                    break
        outcome.response = await stream.response()

    async def turn(self, session: AsyncSession, prompt: str, model: str, *, thinking: bool = False) -> Turned:
        """A turn on a session that the daemon keeps, streamed to the audience."""
        self._audience.asked(self.name, model, prompt)
        fields: TurnFields = {"model": model}
        if thinking:
            fields["thinking"] = Thinking("adaptive")
        events: list[Event] = []
        try:
            async with session.turn(prompt, **fields) as turn:
                async for event in turn:
                    events.append(event)
                    self._audience.event(self.name, event)
                result = await turn.result()
        except RequestFailed as error:
            self._bill.add(self.name, model, error.partial)
            raise
        finally:
            self._audience.ended(self.name)
        self._bill.add(self.name, model, result)
        self._sum_up_answer(result)
        return Turned(result, events)

    async def follow(self, feed: AsyncSessionFeed, other: str) -> list[SessionEvent]:
        """What another client's turn brings, to its end, shown as one's own would be."""
        self.note(f"sees the {other}'s turn:")
        seen: list[SessionEvent] = []
        async for item in feed:
            seen.append(item)
            self._audience.event(self.name, item.event)
            if isinstance(item.event, MessageComplete):
                break
        self._audience.ended(self.name)
        return seen

    def _sum_up(self, outcome: Outcome) -> None:
        final, error = outcome.final, outcome.error
        if error is not None:
            tone: Tone = "warn" if outcome.left_s else "bad"
            status = f", HTTP {error.provider_status}" if error.provider_status else ""
            retry = "may be tried again" if error.retryable else "not to be tried again"
            self.note("cancelled" if outcome.left_s else f"error {error.error_class}{status}: {retry}", tone)
        elif final is not None:
            self._sum_up_answer(final)

    def _sum_up_answer(self, final: CanonicalResponse | TurnResult) -> None:
        usage = final.usage
        counts = [
            f"{tokens(usage.input_tokens + usage.cache_creation_input_tokens)} in",
            f"{tokens(usage.output_tokens)} out",
        ]
        if usage.cached_input_tokens:
            counts.append(f"{tokens(usage.cached_input_tokens)} cached")
        self.note(f"{final.stop_reason}: {', '.join(counts)}, {cost(final.cost)}", "good")

    def results(self, outcome: Outcome, run: Any) -> Message:
        """What the tools say to every call, as the one message that the model wants."""
        blocks: list[Any] = []
        for use in outcome.tool_uses:
            said = str(run(use))
            self.note(f"result of {use.name}: {' '.join(said.split())}")
            blocks.append(ToolResultBlock(use.id, said))
        return Message("tool", blocks)


def fragments_of(outcome: Outcome, use: ToolUseBlock) -> list[str]:
    """The literal pieces that the arguments of a call came in."""
    mine = [event for event in outcome.events if isinstance(event, ToolUseInputDelta)]
    return [event.partial_json for event in mine if event.tool_use_id == use.id]


def thought_first(outcome: Outcome) -> bool:
    """Whether the reasoning came before the words."""
    kinds = [type(event) for event in outcome.events if isinstance(event, ThinkingDelta | TextDelta)]
    return ThinkingDelta in kinds and TextDelta in kinds and kinds.index(ThinkingDelta) < kinds.index(TextDelta)


def in_words(event: TraceEvent) -> tuple[str, Tone] | None:
    """A trace event as the audience sees it; None for those that the answer itself tells."""
    if isinstance(event, CallFailed):
        after = "modeld tries again" if event.will_retry else "no more tries"
        return (
            f"trace: attempt {event.retry_count + 1} failed, {event.error_class}, HTTP {event.provider_status}: {after}",
            "warn",
        )
    if isinstance(event, CallStarted) and event.retry_count:
        return f"trace: attempt {event.retry_count + 1} started", "dim"
    return None
