"""The ids of a session's tool calls: canonical `tu_…` on our side, the provider's own on the wire, in both directions.

The prefix makes the map (`providers/tool_ids.py`); a client may name a call either way. What a prefix can't do is keep calls
apart whose provider counts anew in every answer: those get an id made from their message. Pure.
"""

from collections.abc import Container

from ..providers.tool_ids import PREFIX


def key_of(tool_id: str) -> str:
    """What the canonical and the provider's spelling of an id share."""
    return tool_id.removeprefix(PREFIX) or tool_id


class TakenIds:
    """The canonical ids that an answer may not use again; a view of the session's calls, not a copy."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Container[str]) -> None:
        self._keys = keys

    def __contains__(self, tool_id: object) -> bool:
        return isinstance(tool_id, str) and key_of(tool_id) in self._keys
