"""What a wire keeps of a conversation between two requests: its beginning, encoded. Pure.

A history grows at its end, so that what it was encoded to, up to its last answer, is what the next request begins with. Those
bytes go out again as they are: the same as if every message were encoded anew, without the work.
"""

from operator import is_
from typing import Any, Protocol

import msgspec

from modeld_protocol.content import Message

from ..estimate import Tally
from ..spec import ModelSpec

MAX_MODELS = 2  # of one conversation: who goes over to another model often comes back


class Beginning(msgspec.Struct, frozen=True):
    """`messages` as one wire sends them under the conditions `key`: their items as JSON with commas between, in pieces, and the
    `state` with which encoding goes on behind them."""

    messages: list[Message]
    key: tuple[Any, ...]
    items: list[bytes]
    size_bytes: int
    state: Any


class Memory:
    """The beginning of one conversation as one model gets it; how much of it is known to be something that the model can take,
    and what it comes to in tokens."""

    __slots__ = ("_checked", "_kept", "spec", "tally")

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.spec = spec
        self._kept: Beginning | None = None
        self._checked: list[Message] = []
        self.tally = Tally()

    def checked(self, messages: list[Message]) -> int:
        """How many of the first messages were checked before."""
        known = self._checked
        return len(known) if len(known) <= len(messages) and all(map(is_, known, messages)) else 0

    def note_checked(self, messages: list[Message]) -> None:
        """The model can take them all."""
        self._checked = messages

    @property
    def held_bytes(self) -> int:
        """How much is kept."""
        return self._kept.size_bytes if self._kept is not None else 0

    def take(self, messages: list[Message], key: tuple[Any, ...]) -> Beginning | None:
        """What was kept, where `messages` begin with the very same objects. It is gone then until it is kept again, so that an
        encoding which fails half-way leaves nothing wrong behind."""
        kept, self._kept = self._kept, None
        if kept is None or kept.key != key or len(kept.messages) >= len(messages):
            return None
        return kept if all(map(is_, kept.messages, messages)) else None

    def keep(self, beginning: Beginning) -> None:
        """Keep a beginning for the next request."""
        self._kept = beginning


class Memories:
    """The memories of one conversation, of the models that it was sent to last."""

    __slots__ = ("_by_model",)

    def __init__(self) -> None:
        self._by_model: dict[str, Memory] = {}

    def of(self, spec: ModelSpec) -> Memory:
        """That of a model; an empty one where the model is described otherwise than before."""
        memory = self._by_model.pop(spec.id, None)
        if memory is None or memory.spec is not spec:
            memory = Memory(spec)
        self._by_model[spec.id] = memory
        if len(self._by_model) > MAX_MODELS:
            del self._by_model[next(iter(self._by_model))]
        return memory

    @property
    def held_bytes(self) -> int:
        """How much they keep."""
        return sum(memory.held_bytes for memory in self._by_model.values())


class HistoryEncoder(Protocol):
    """A wire's encoder of a history, which can stop behind an answer and go on from there."""

    def add(self, messages: list[Message], start: int, end: int) -> None:
        """Encode `messages[start:end]`; their numbers are those of the whole list."""
        ...

    def freeze(self) -> tuple[bytes, Any] | None:
        """Behind an answer: take out the items that nothing to come can change, as a JSON array, and copy the state. None where
        that is impossible here."""
        ...

    def go_on(self, state: Any) -> None:
        """Be as when `freeze` gave `state`, which must stay as it is."""
        ...


def encode_history(
    encoder: HistoryEncoder, messages: list[Message], start: int, memory: Memory | None, key: tuple[Any, ...] = ()
) -> list[bytes]:
    """Encode `messages` from `start` on. Returns the items that go before those which the encoder holds then, as `Beginning` has
    them; none without a memory. `key` is what the items depend on besides the messages and the model."""
    end = len(messages)
    if memory is None or not end or messages[-1].role == "assistant":  # that one may be continued, and looks different then
        encoder.add(messages, start, end)
        return []
    begun = memory.take(messages, key)
    items: list[bytes] = []
    size_bytes = 0
    if begun is not None:
        encoder.go_on(begun.state)
        items, size_bytes, start = begun.items, begun.size_bytes, len(begun.messages)
    behind = _behind_answers(messages, start)
    if behind > start:
        encoder.add(messages, start, behind)
        start = behind
        frozen = encoder.freeze()
        begun = None
        if frozen is not None:
            more, state = frozen[0][1:-1], frozen[1]
            if more:
                items = [*items, b"," + more] if items else [more]
            size_bytes += len(more)
            begun = Beginning(messages[:behind], key, items, size_bytes, state)
    encoder.add(messages, start, end)
    if begun is not None:
        memory.keep(begun)
    return items


def _behind_answers(messages: list[Message], start: int) -> int:
    for number in range(len(messages), start, -1):
        if messages[number - 1].role == "assistant":
            return number
    return start


_PLACE = b"\x00"  # which JSON never holds


def with_place(beginning: list[bytes], rest: list[Any]) -> list[Any]:
    """The items of a JSON array: a place for those that are JSON already, then `rest`."""
    return [msgspec.Raw(_PLACE), *rest] if beginning else rest


def filled(body: bytes, beginning: list[bytes]) -> bytes:
    """The JSON with the beginning in its place. What is long is copied once, here."""
    if not beginning:
        return body
    before, _, after = body.partition(_PLACE)
    return b"".join((before, *beginning, after))
