"""Puts tool calls together from fragments, whatever a server makes of index, id and name.

The plain form sends id and name once and counts calls by `index`. Seen besides: no index, the same index for every call,
id and name as "" or repeated in later fragments, a new id in every fragment, a whole call at once.
"""

from typing import Final

from ...assembler import Assembler
from .types import FunctionPart, ToolCallPart

_LEGACY_INDEX: Final = -1  # `function_call` of the old API: at most one, beside all indexes


class _Call:
    """One call. `started` once its name has come and the assembler knows of it; until then `pending` keeps its arguments."""

    __slots__ = ("id", "key", "name", "pending", "started")

    def __init__(self, key: int) -> None:
        self.key = key
        self.id = ""
        self.name = ""
        self.pending: list[str] = []
        self.started = False


class ToolCalls:
    """The calls of one answer. Keys towards the assembler are ordinals, so that a reused index is a new call."""

    __slots__ = ("_assembler", "_by_id", "_by_index", "_count", "_last", "_unnamed")

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._count = 0
        self._unnamed: list[_Call] = []

    def take(self, parts: list[ToolCallPart]) -> bool:
        """Fragments of one delta. Returns whether they said something."""
        alive = False
        for part in parts:
            function = part.function
            name, arguments = (function.name or "", function.arguments or "") if function is not None else ("", "")
            call = self._find(part, name)
            if name or arguments or part.id:
                alive = True
            self._add(call, part.id or "", name, arguments)
        return alive

    def take_legacy(self, function: FunctionPart) -> bool:
        """`function_call` of the old API."""
        return self.take([ToolCallPart(_LEGACY_INDEX, None, function)])

    def finish(self) -> None:
        """No more fragments: what never got a name can't be called."""
        for call in self._unnamed:
            raw = "".join(call.pending)
            self._assembler.warn("stream_repaired", "a tool call without a name was left out", raw=raw)
        self._unnamed = []

    def _find(self, part: ToolCallPart, name: str) -> _Call:
        id = part.id or ""
        call = self._last if part.index is None else self._by_index.get(part.index)
        if part.index is None and id:
            call = self._by_id.get(id) or (call if call is not None and not call.id and not name else None)
        if call is None or self._is_another(call, id, name, indexed=part.index is not None):
            call = _Call(self._count)
            self._count += 1
            self._unnamed.append(call)
        if part.index is not None:
            self._by_index[part.index] = call
        self._last = call
        return call

    @staticmethod
    def _is_another(call: _Call, id: str, name: str, *, indexed: bool) -> bool:
        """Whether a fragment begins another call than the one that its place names."""
        if not name or not call.name:
            return False
        if id and call.id:
            return id != call.id
        return not indexed

    def _add(self, call: _Call, id: str, name: str, arguments: str) -> None:
        if id and not call.id:
            call.id = id
            self._by_id[id] = call
        if name and not call.started:
            call.name = name
            call.started = True
            self._unnamed.remove(call)
            self._assembler.tool(call.key, call.id or None, name)
            arguments, call.pending = "".join(call.pending) + arguments, []
        if not arguments:
            return
        if call.started:
            self._assembler.tool_arguments(call.key, arguments)
        else:
            call.pending.append(arguments)
