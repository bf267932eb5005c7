"""Tool-call ids: canonical `tu_…` on our side, the provider's own on its side, without a table.

A canonical id is `tu_` and the provider's id; going back to the wire takes the prefix off, so a history returns to the
provider that made it byte for byte, and a stateless client needs no session. An id that another wire would refuse is
re-spelled deterministically.
"""

import hashlib
import re

PREFIX = "tu_"
_PORTABLE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def canonical_tool_id(provider_id: str | None, message_id: str, ordinal: int) -> str:
    """The canonical id of a call; made from the message and the call's ordinal where the provider gave none."""
    return PREFIX + (provider_id or f"{message_id.removeprefix('msg_')}_{ordinal}")


def wire_tool_id(canonical_id: str) -> str:
    """What to send for a canonical id (ids that clients made up themselves go as they are).

    Wires agree on `[A-Za-z0-9_-]` and 64 characters; anything else becomes a hash of itself.
    """
    bare = canonical_id.removeprefix(PREFIX) or canonical_id
    if _PORTABLE.match(bare):
        return bare
    return "call_" + hashlib.sha256(bare.encode("utf-8", "surrogatepass")).hexdigest()[:24]
