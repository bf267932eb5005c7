"""The history of a session: which tool calls wait for results, and what may be added to it. Pure.

Invariant: before every message of the assistant, each earlier call has its result; a result answers one call that waits.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from modeld_protocol.content import Block, Message, TextBlock, ToolResultBlock, ToolUseBlock
from modeld_protocol.session import SessionProblem
from modeld_protocol.usage import Warning

from .tool_ids import key_of

UNANSWERED = "The call was not run: the conversation went on without its result."


class Addition:
    """What messages would change: the calls that they open (with the message of each), the calls that they answer."""

    __slots__ = ("answered", "message_ids", "opened", "problems")

    def __init__(self) -> None:
        self.opened: dict[str, ToolUseBlock] = {}
        self.answered: set[str] = set()
        self.message_ids: set[str] = set()
        self.problems: list[SessionProblem] = []


class Pairing:
    """The calls of one history by key, in order: `pending` ones and all that there ever were (`known`)."""

    __slots__ = ("known", "message_ids", "pending")

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.known: set[str] = set()
        self.pending: dict[str, ToolUseBlock] = {}
        self.message_ids: set[str] = set()
        addition = self.weigh(messages)
        self.add(addition)

    def weigh(self, messages: Iterable[Message]) -> Addition:
        """What adding `messages` would mean, with every problem; nothing changes."""
        addition = Addition()
        for message in messages:
            self._weigh_message(message, addition)
        return addition

    def add(self, addition: Addition) -> None:
        """Make it so."""
        self.known |= addition.opened.keys()
        self.pending |= addition.opened
        for key in addition.answered:
            self.pending.pop(key, None)
        self.message_ids |= addition.message_ids

    def _weigh_message(self, message: Message, addition: Addition) -> None:
        def problem(code: str, words: str, tool_use_id: str | None = None) -> None:
            addition.problems.append(SessionProblem(code, words, message.id, tool_use_id))

        if message.id is not None:
            if message.id in self.message_ids or message.id in addition.message_ids:
                problem("message_id_repeated", f"there is a message {message.id[:100]} already; leave the id out for a fresh one")
            addition.message_ids.add(message.id)
        if message.role == "assistant":
            for key, call in self._still_pending(addition):
                problem("tool_call_pending", f"the call {call.id[:100]} has no result before this answer; add it first", call.id)
                addition.answered.add(key)  # said once
        if isinstance(message.content, str):
            if message.role == "tool":
                problem("misplaced_block", "a tool message holds tool_result blocks, not text")
            return
        for block in message.content:
            if type(block) is not TextBlock:
                self._weigh_block(block, message.role, addition, problem)

    def _weigh_block(self, block: Block, role: str, addition: Addition, problem: Callable[..., None]) -> None:
        if isinstance(block, ToolUseBlock):
            key = key_of(block.id)
            if role != "assistant":
                problem("misplaced_block", f"the call {block.id[:100]} belongs into a message of the assistant", block.id)
            elif key in self.known or key in addition.opened:
                problem("tool_call_repeated", f"there is a call {block.id[:100]} already; calls need ids of their own", block.id)
            else:
                addition.opened[key] = block
        elif isinstance(block, ToolResultBlock):
            self._weigh_result(block, role, addition, problem)

    def _weigh_result(self, block: ToolResultBlock, role: str, addition: Addition, problem: Callable[..., None]) -> None:
        key, said = key_of(block.tool_use_id), block.tool_use_id[:100]
        if role not in ("tool", "user"):
            problem("misplaced_block", f"the result of {said} belongs into a tool or user message", block.tool_use_id)
        elif key not in self.known and key not in addition.opened:
            problem("tool_result_unknown", f"no call has the id {said}; send the id of the tool_use", block.tool_use_id)
        elif key in addition.answered or (key in self.known and key not in self.pending):
            problem("tool_result_repeated", f"the call {said} is answered already; leave this result out", block.tool_use_id)
        else:
            addition.answered.add(key)

    def _still_pending(self, addition: Addition) -> list[tuple[str, ToolUseBlock]]:
        waiting = {**self.pending, **addition.opened} if addition.opened else self.pending
        return [(key, call) for key, call in waiting.items() if key not in addition.answered]

    def unanswered(self, addition: Addition) -> list[ToolUseBlock]:
        """The calls that wait still after `addition`."""
        return [call for _, call in self._still_pending(addition)]


def made_by(message: Message) -> tuple[str | None, str | None]:
    """The adapter and the model that made an answer, as the session noted them; None for one that a client brought."""
    metadata = message.metadata or {}
    provider, model = metadata.get("provider"), metadata.get("model")
    return (provider if isinstance(provider, str) else None), (model if isinstance(model, str) else None)


def problems_of(messages: Sequence[Message]) -> list[SessionProblem]:
    """Everything that is wrong with a whole history; calls that still wait for results are no problem."""
    return Pairing().weigh(messages).problems


def pending_problems(pairing: Pairing) -> list[SessionProblem]:
    """The calls that wait, each as a problem of going on."""
    return [
        SessionProblem("tool_call_pending", f"the call {call.id} of {call.name} waits for its result", tool_use_id=call.id)
        for call in pairing.pending.values()
    ]


def closing_message(calls: Sequence[ToolUseBlock], message_id: str) -> tuple[Message, Warning]:
    """An error as the result of each call, and what to say about it: every call is matched by a result or an error."""
    results: list[Block] = [ToolResultBlock(call.id, UNANSWERED, is_error=True) for call in calls]
    ids = [call.id for call in calls]
    told = "tool calls without a result were answered with an error; send tool_result blocks to answer them"
    return Message("tool", results, message_id), Warning("tool_calls_closed", told, detail={"tool_use_ids": ids})


def with_ids(messages: Sequence[Message], new_id: Callable[[str], str]) -> list[Message]:
    """The messages, each with an id: its own, or a fresh one."""
    return [message if message.id else msgspec.structs.replace(message, id=new_id("msg")) for message in messages]


def kept_of_partial(content: Sequence[Block]) -> list[Block]:
    """What of an answer that was cut short may stay in a history: its words. A call that was never run has no result, and
    thinking without its end can't be given back."""
    return [block for block in content if isinstance(block, TextBlock) and block.text.strip()]
