"""Files in a session that providers keep: who has each, and what other providers get in place of it. Pure.

Whoever is known to have given out an id has the file; else whoever was the first to answer a request that names it. As with
reasoning, nothing is taken out of the stored messages: back at its provider an id goes out as it did.
"""

from collections.abc import Iterable, Sequence

import msgspec

from modeld_protocol.content import (
    AudioBlock,
    Block,
    FileBlock,
    FileIdSource,
    ImageBlock,
    MediaBlock,
    Message,
    ResultBlock,
    TextBlock,
    ToolResultBlock,
)

from ..providers.file_owners import Owners, file_ids_in, owner_elsewhere, reads_files_of
from ..providers.spec import ModelSpec
from .history import made_by

_WHAT: dict[type, str] = {ImageBlock: "An image", AudioBlock: "Audio", FileBlock: "A file"}


class SessionFiles:
    """Whose the files are that one session names. `known` is what was noted when they came. `owners` only grows, and `version`
    with it."""

    def __init__(self, known: Owners) -> None:
        self.owners: dict[str, tuple[str, ...]] = dict(known)
        self.version = 0
        self._unanswered: dict[str, None] = {}

    def learn(self, messages: Iterable[Message]) -> None:
        """What messages say that come at the end of the history."""
        for message in messages:
            for source in file_ids_in(message):
                if source.provider:
                    self.note(source.file_id, source.provider)
                elif source.file_id not in self.owners:
                    self._unanswered[source.file_id] = None
            if self._unanswered and message.role == "assistant" and (provider := made_by(message)[0]) is not None:
                for file_id in self._unanswered:
                    self.note(file_id, provider)
                self._unanswered.clear()

    def news(self, messages: Iterable[Message], seen: Owners) -> dict[str, tuple[str, ...]]:
        """Of the files in `messages` those that are `seen`, and not known here: worth being noted."""
        found = (source.file_id for message in messages for source in file_ids_in(message) if not source.provider)
        return {file_id: seen[file_id] for file_id in found if file_id in seen and file_id not in self.owners}

    def note(self, file_id: str, *providers: str) -> None:
        """These have it."""
        owners = self.owners.get(file_id, ())
        new = tuple(name for name in providers if name not in owners)
        if new:
            self.owners[file_id] = owners + new
            self.version += 1

    def any_elsewhere(self, spec: ModelSpec) -> bool:
        """Whether the model's provider may lack one of them."""
        return any(not reads_files_of(name, spec) for owners in self.owners.values() for name in owners)


def project_files(message: Message, owners: Owners, spec: ModelSpec) -> tuple[Message, int]:
    """A message with a note in words for each file that is elsewhere, and in how many blocks; itself where there is none."""
    if isinstance(message.content, str):
        return message, 0
    blocks = [_project_block(block, owners, spec) for block in message.content]
    count = sum(new is not old for new, old in zip(blocks, message.content, strict=True))
    return (msgspec.structs.replace(message, content=blocks), count) if count else (message, 0)


def _project_block(block: Block, owners: Owners, spec: ModelSpec) -> Block:
    if isinstance(block, MediaBlock):
        return _project_media(block, owners, spec)
    if isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
        return _project_result(block, block.content, owners, spec)
    return block


def _project_result(block: ToolResultBlock, content: Sequence[ResultBlock], owners: Owners, spec: ModelSpec) -> ToolResultBlock:
    parts = [_project_media(part, owners, spec) if isinstance(part, MediaBlock) else part for part in content]
    same = all(new is old for new, old in zip(parts, content, strict=True))
    return block if same else msgspec.structs.replace(block, content=parts)


def _project_media(block: MediaBlock, owners: Owners, spec: ModelSpec) -> TextBlock | MediaBlock:
    if not isinstance(block.source, FileIdSource) or owner_elsewhere(block.source, owners, spec) is None:
        return block
    name = f" ({block.filename})" if block.filename else ""
    return TextBlock(f"[{_WHAT[type(block)]}{name} was given here. Another provider keeps it, so it can't be read any more.]")
