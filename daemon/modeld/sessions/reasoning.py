"""Reasoning in a session: kept in the stored history as it came, shown to the model that made it, kept from the others; and
files, which only the provider that keeps them can read. Pure.

Nothing is ever taken out of the stored messages, so what is parked while another model answers goes back byte for byte. What
changes is the copy that a request carries. The wires leave out what is another provider's; here is what they can't know: the
endpoint that a message came from, the session's policy, and what a provider has refused before. The same history gives the
same copy every time, so the prefix that was sent stays what it was.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from modeld_protocol.content import Block, Message, RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from modeld_protocol.usage import Warning

from ..providers.file_owners import NOBODY, Owners
from ..providers.spec import ModelSpec
from .files import project_files
from .history import made_by


class Projection(NamedTuple):
    """The messages to send, and what has to be said about them."""

    messages: list[Message]
    warnings: list[Warning]


class _Count:
    def __init__(self) -> None:
        self.elsewhere = 0
        self.as_text = 0
        self.refused = 0
        self.files = 0

    def copy(self) -> "_Count":
        copied = _Count()
        copied.elsewhere, copied.as_text = self.elsewhere, self.as_text
        copied.refused, copied.files = self.refused, self.files
        return copied


def holds_state(message: Message) -> bool:
    """Whether an answer holds reasoning or state of a provider: words and calls alone are the same for all."""
    if message.role != "assistant" or isinstance(message.content, str):
        return False
    return any(getattr(block, "provider_raw", None) is not None or isinstance(block, ThinkingBlock) for block in message.content)


class Projector:
    """The history of one session as one model is to see it: made once, then brought up to date with what is new. `files` says
    whose the files are that it names."""

    def __init__(self, spec: ModelSpec, *, as_text: bool = False, refused_before: int = 0, files: Owners = NOBODY) -> None:
        self.conditions = (spec, as_text, refused_before)
        self._as_text = as_text and spec.quirks.reasoning_history != "text"  # that wire quotes all reasoning by itself
        self._files = files
        self._sent: list[Message] = []
        self._count = _Count()

    def project(self, history: Sequence[Message], more: Sequence[Message] = ()) -> Projection:
        """`history`, which is longer each time at most, with `more` behind it, which need not come again. A file that `more`
        names stays, whoever has it: that is for a check to refuse."""
        known = len(self._sent)
        self._sent += self._projected(self._without_files(history[known:]), known, self._count)
        if not more:
            return Projection(list(self._sent), _warnings(self._count))
        count = self._count.copy()
        return Projection([*self._sent, *self._projected(more, len(self._sent), count)], _warnings(count))

    def _without_files(self, messages: Sequence[Message]) -> list[Message]:
        """Without those of other providers."""
        if not self._files:
            return list(messages)
        found = [project_files(message, self._files, self.conditions[0]) for message in messages]
        self._count.files += sum(count for _, count in found)
        return [message for message, _ in found]

    def _projected(self, messages: Sequence[Message], number: int, count: "_Count") -> Iterator[Message]:
        spec, _, refused_before = self.conditions
        for at, message in enumerate(messages, number):
            yield _project_message(message, spec, count, refused=at < refused_before, as_text=self._as_text)


def project(
    messages: list[Message], spec: ModelSpec, *, as_text: bool = False, refused_before: int = 0, files: Owners = NOBODY
) -> Projection:
    """The history as `spec` is to see it. `as_text`: what other models thought goes along in tags. `refused_before`: in so many
    first messages the provider has refused the signatures of its own reasoning, so that they are left out. `files` says whose
    the files are that it names."""
    return Projector(spec, as_text=as_text, refused_before=refused_before, files=files).project(messages)


def _project_message(message: Message, spec: ModelSpec, count: _Count, *, refused: bool, as_text: bool) -> Message:
    """The message itself where nothing of it changes."""
    if message.role != "assistant" or isinstance(message.content, str):
        return message
    blocks = [_project_block(block, message, spec, count, refused=refused, as_text=as_text) for block in message.content]
    if all(new is old for new, old in zip(blocks, message.content, strict=True)):
        return message
    return msgspec.structs.replace(message, content=[block for block in blocks if block is not None])


def _project_block(
    block: Block, message: Message, spec: ModelSpec, count: _Count, *, refused: bool, as_text: bool
) -> Block | None:
    """The block to send; None to leave it out."""
    if isinstance(block, ThinkingBlock | RedactedThinkingBlock):
        return _project_reasoning(block, message, spec, count, refused=refused, as_text=as_text)
    state = block.provider_raw if isinstance(block, TextBlock | ToolUseBlock) else None
    if state is not None and _of_type(state, spec) and (refused or _elsewhere(message, spec)):
        return msgspec.structs.replace(block, provider_raw=None)
    return block


def _project_reasoning(
    block: ThinkingBlock | RedactedThinkingBlock,
    message: Message,
    spec: ModelSpec,
    count: _Count,
    *,
    refused: bool,
    as_text: bool,
) -> Block | None:
    raw = block.provider_raw or {}
    ours = _of_type(raw, spec)
    if ours and refused:
        count.refused += 1
        return None
    elsewhere = ours and _elsewhere(message, spec)
    other_model = ours and spec.quirks.reasoning_bound_to_model and raw.get("model") != spec.wire_name
    if as_text and (not ours or elsewhere or other_model) and isinstance(block, ThinkingBlock) and block.text.strip():
        count.as_text += 1
        return TextBlock(f"<thinking>\n{block.text}\n</thinking>\n\n")
    if elsewhere:
        count.elsewhere += 1
        return None
    return block


def _of_type(raw: dict[str, object], spec: ModelSpec) -> bool:
    return raw.get("provider") in (spec.provider_type, spec.provider)


def _elsewhere(message: Message, spec: ModelSpec) -> bool:
    """State is bound to the endpoint that made it: two adapters of one type are two endpoints."""
    provider, _ = made_by(message)
    return provider is not None and provider != spec.provider


def _warnings(count: _Count) -> list[Warning]:
    found: list[Warning] = []
    if count.elsewhere:
        told = "reasoning is sent back to the endpoint that made it alone; it was left out"
        found.append(Warning("content_dropped", told, "messages", {"count": count.elsewhere}))
    if count.as_text:
        told = "reasoning of other models goes along as text, as the session's policy says"
        found.append(Warning("content_projected", told, "messages", {"count": count.as_text}))
    if count.refused:
        told = "the provider refused its reasoning of earlier turns; it is left out from now on"
        found.append(Warning("content_dropped", told, "messages", {"count": count.refused}))
    if count.files:
        told = "another provider keeps these files, so that a note stands for each; give them to this one too with file/upload"
        found.append(Warning("content_dropped", told, "messages", {"count": count.files}))
    return found
