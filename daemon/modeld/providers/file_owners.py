"""Whose a file is: its id means something to the provider alone that keeps it. Pure.

An id that nobody has seen may be anybody's: it goes to whoever is asked.
"""

from collections.abc import Iterator, Mapping

from modeld_protocol.content import AudioBlock, Block, FileBlock, FileIdSource, ImageBlock, Message, ToolResultBlock

from .. import limits
from .spec import ModelSpec

Owners = Mapping[str, tuple[str, ...]]
"""By file id the names of the providers that are known to keep it."""

NOBODY: Owners = {}
_MEDIA = (ImageBlock, AudioBlock, FileBlock)


class SeenFiles:
    """The ids that providers gave out or listed here; the newest, as far as there is room."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[str, ...]] = {}

    @property
    def owners(self) -> Owners:
        """Whose they are; a view that stays right."""
        return self._owners

    def note(self, file_id: str, provider: str) -> None:
        """`provider` keeps this file."""
        owners = self._owners.pop(file_id, ())
        self._owners[file_id] = owners if provider in owners else (*owners, provider)
        if len(self._owners) > limits.MAX_FILES_SEEN:
            del self._owners[next(iter(self._owners))]

    def forget(self, provider: str) -> None:
        """What goes by that name is another provider now, or none."""
        for file_id, owners in tuple(self._owners.items()):
            if provider in owners:
                self._owners[file_id] = tuple(name for name in owners if name != provider)


def owner_elsewhere(source: FileIdSource, owners: Owners, spec: ModelSpec) -> str | None:
    """The provider that keeps a file which that of `spec` is known not to have; None where it has it, or nobody knows."""
    known = (source.provider,) if source.provider else owners.get(source.file_id, ())
    return None if not known or any(reads_files_of(name, spec) for name in known) else known[0]


def reads_files_of(provider: str, spec: ModelSpec) -> bool:
    """Whether the model's provider has the files that were given to `provider`."""
    return provider == spec.provider or provider in spec.files_with


def file_ids_in(message: Message) -> Iterator[FileIdSource]:
    """The files that a message names, those in results of tools too."""
    if isinstance(message.content, str):
        return
    for block in message.content:
        yield from _in_block(block)


def _in_block(block: Block) -> Iterator[FileIdSource]:
    if isinstance(block, _MEDIA):
        if isinstance(block.source, FileIdSource):
            yield block.source
    elif isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
        for part in block.content:
            if isinstance(part, _MEDIA) and isinstance(part.source, FileIdSource):
                yield part.source
