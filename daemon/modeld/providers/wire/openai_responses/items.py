"""Takes the output items of one answer into the assembler: an item begins, grows, is finished.

Assembler keys: an item's is its output index, a content part's is one of the numbers behind it, so that no two are equal.
What a finished item holds is authoritative: what its deltas left out is added, its opaque state is kept. Items without a
canonical form (hosted tools, compaction) are kept whole, to be sent back as they came.
"""

from typing import Any, Final, cast

import msgspec

from modeld_protocol.content import OpaqueBlock, ProviderRaw

from ...assembler import Assembler, parse_arguments

_SHIFT: Final = 16  # content parts within an item: more would be somebody's joke
_CALL_FIELDS = frozenset(("type", "id", "call_id", "name", "arguments", "status"))
_BETWEEN_PARTS = "\n\n"


class _Item:
    """One output item. `pieces` is what was shown of a call's arguments or of reasoning, `source` and `part` where the
    reasoning came from; `opaque` is the state of a block that is filled in."""

    __slots__ = ("called", "done", "kind", "opaque", "part", "phase", "pieces", "source")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.done = False
        self.called = False
        self.phase: str | None = None
        self.opaque: ProviderRaw | None = None
        self.pieces: list[str] = []
        self.source: str | None = None
        self.part = 0


class ItemReader:
    """The items of one answer. `response_id` is set where the provider keeps the answer: then blocks name it, for
    `previous_response_id`."""

    __slots__ = ("_add_text", "_assembler", "_items", "_last", "_parts", "response_id")

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._add_text = assembler.text
        self._items: dict[int, _Item] = {}
        self._parts: dict[int, list[str]] = {}  # what was shown of content parts that may still grow, by key
        self._last = 0
        self.response_id: str | None = None

    @property
    def finished(self) -> int:
        """How many items are whole."""
        return sum(item.done for item in self._items.values())

    def is_open(self, index: int) -> bool:
        """Whether an item has begun and isn't finished."""
        item = self._items.get(index)
        return item is not None and not item.done

    def begin(self, index: int, item: dict[str, Any]) -> None:
        """An item, as far as it is known at its beginning; said again, it changes nothing."""
        if index < 0:
            index = self._last + 1 if self._items else 0
        if index not in self._items:
            self._begin(index, item)

    def _begin(self, index: int, item: dict[str, Any]) -> _Item:
        kind = item.get("type")
        begun = self._items[index] = _Item(kind if isinstance(kind, str) else "")
        self._last = index
        match begun.kind:
            case "message":
                begun.phase = _text(item.get("phase"))
            case "reasoning":
                self._assembler.thinking("", index << _SHIFT, explicit=True)
            case "function_call":
                self._begin_call(index, begun, item)
            case "":
                pass
            case _:
                begun.opaque = {**self._origin(), "item": item}
                self._assembler.whole(OpaqueBlock(begun.opaque), index << _SHIFT, explicit=True)
        return begun

    def _begin_call(self, index: int, call: _Item, item: dict[str, Any]) -> None:
        name, call_id = _text(item.get("name")), _text(item.get("call_id")) or _text(item.get("id"))
        if name:
            call.called = True
            self._assembler.tool(index << _SHIFT, call_id, name, explicit=True)

    # ---- growing

    def text(self, index: int, part: int, text: str) -> None:
        """Words of a message."""
        key = ((index if index >= 0 else self._last) << _SHIFT) + part + 1
        shown = self._parts.get(key)
        if shown is None:
            self._parts[key] = [text]
        else:
            shown.append(text)
        self._add_text(text, key, explicit=True)

    def refusal(self, index: int, part: int, text: str) -> None:
        """Words of refusal."""
        key = ((index if index >= 0 else self._last) << _SHIFT) + part + 1
        self._parts.setdefault(key, []).append(text)
        self._assembler.refusal(text, key)

    def next_part(self, index: int, part: int) -> None:
        """A content part begins: the one before it is whole."""
        index = index if index >= 0 else self._last
        item = self._items.get(index)
        if part < 1:
            return
        key = (index << _SHIFT) + part
        if item is not None and item.phase is not None:
            self._attach({"phase": item.phase}, key)
        self._assembler.close(key)

    def thought(self, index: int, source: str, part: int, text: str) -> None:
        """Reasoning, from its summary or from its own words, whichever comes first: both would be the same twice."""
        index = index if index >= 0 else self._last
        item = self._items.get(index) or self._begin(index, {"type": "reasoning"})
        if item.source is None:
            item.source = source
        elif item.source != source:
            return
        elif item.part != part:
            text = _BETWEEN_PARTS + text
        item.part = part
        item.pieces.append(text)
        self._assembler.thinking(text, index << _SHIFT, explicit=True)

    def arguments(self, index: int, fragment: str) -> None:
        """A literal fragment of a call's arguments. Those of a call that nobody announced come with the finished item."""
        index = index if index >= 0 else self._last
        item = self._items.get(index)
        if item is not None and item.called:
            item.pieces.append(fragment)
            self._assembler.tool_arguments(index << _SHIFT, fragment)

    # ---- finished

    def finish(self, index: int, item: dict[str, Any]) -> None:
        """An item as it stays."""
        index = index if index >= 0 else self._last
        known = self._items.get(index)
        if known is None or not known.kind:
            known = self._begin(index, item)
        if known.done:
            return
        known.done = True
        match known.kind:
            case "message":
                self._finish_message(index, known, item)
            case "reasoning":
                self._finish_reasoning(index, known, item)
            case "function_call":
                self._finish_call(index, known, item)
            case _:
                if known.opaque is not None:
                    known.opaque["item"] = item
        self._assembler.close(index << _SHIFT)

    def _finish_message(self, index: int, known: _Item, item: dict[str, Any]) -> None:
        phase = _text(item.get("phase")) or known.phase
        state: ProviderRaw = {"phase": phase} if phase else {}
        base = index << _SHIFT
        for key, part in enumerate(_objects(item.get("content")), base + 1):
            self._finish_part(key, part, state)
        for key in [key for key in self._parts if key >> _SHIFT == index]:  # what the finished item does not repeat
            del self._parts[key]
            self._attach(state, key)
            self._assembler.close(key)

    def _finish_part(self, key: int, part: dict[str, Any], state: ProviderRaw) -> None:
        assembler = self._assembler
        kind = part.get("type")
        if kind == "refusal":
            assembler.refusal(self._rest(self._parts.pop(key, []), part.get("refusal")), key)
        elif kind in ("output_text", "text"):
            rest = self._rest(self._parts.pop(key, []), part.get("text"))
            if rest:
                assembler.text(rest, key, explicit=True)
            annotations = part.get("annotations")
            self._attach({**state, "annotations": annotations} if annotations else state, key)
        else:
            said = f"the answer holds {str(kind)[:40]}, for which there is no block; it was left out"
            assembler.warn("content_dropped", said)
        assembler.close(key)

    def _finish_reasoning(self, index: int, known: _Item, item: dict[str, Any]) -> None:
        summary, words = _texts(item.get("summary")), _texts(item.get("content"))
        shown = summary if (known.source or ("summary" if summary else "content")) == "summary" else words
        rest = self._rest(known.pieces, _BETWEEN_PARTS.join(shown))
        state = {name: value for name, value in item.items() if value is not None}
        self._assembler.thinking(rest, index << _SHIFT, {**self._origin(), "item": state}, explicit=True)

    def _finish_call(self, index: int, known: _Item, item: dict[str, Any]) -> None:
        if not known.called:
            self._begin_call(index, known, item)
        said = item.get("arguments")
        literal = msgspec.json.encode(said).decode() if isinstance(said, dict) else said
        if not known.called:
            self._assembler.warn("stream_repaired", "a tool call without a name was left out", raw=_text(literal))
            return
        rest = self._rest(known.pieces, literal)
        if rest:
            self._assembler.tool_arguments(index << _SHIFT, rest)
        self._attach(_call_state(item, "".join([*known.pieces, rest])), index << _SHIFT, call=True)

    def _rest(self, pieces: list[str], whole: Any) -> str:
        """What was not shown yet of the whole."""
        if not isinstance(whole, str) or not whole:
            return ""
        shown = "".join(pieces)
        if whole.startswith(shown):
            return whole[len(shown) :]
        self._assembler.warn("stream_repaired", "a finished item differs from its deltas; what was streamed was kept")
        return ""

    def _attach(self, state: ProviderRaw, key: int, *, call: bool = False) -> None:
        if self.response_id is not None:
            state = {**state, "response_id": self.response_id}
        if state:
            self._assembler.attach({**self._assembler.origin, **state}, key, "tool" if call else "text")

    def _origin(self) -> ProviderRaw:
        origin = self._assembler.origin
        return origin if self.response_id is None else {**origin, "response_id": self.response_id}


def _call_state(item: dict[str, Any], literal: str) -> ProviderRaw:
    """What of a call the canonical block does not hold: further members of the item, and its arguments where they would not
    be written the same again: what goes back must be the prefix that the provider knows."""
    state: ProviderRaw = {}
    more = {name: value for name, value in item.items() if name not in _CALL_FIELDS and value is not None}
    if more:
        state["item"] = more
    parsed = parse_arguments(literal)
    if parsed is not None and msgspec.json.encode(parsed) != literal.encode("utf-8", "surrogatepass"):
        state["arguments"] = literal
    return state


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(parts: Any) -> list[str]:
    return [text for part in _objects(parts) if (text := _text(part.get("text"))) is not None]


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", item) for item in cast("list[Any]", value) if isinstance(item, dict)]
