"""Where a history may be cut in two: after any message that leaves no tool call without its result. Pure."""

from collections.abc import Sequence

from modeld_protocol.content import Message
from modeld_protocol.session import ForkPoint, ForkPoints

from .history import Pairing

SPLITS_CALL = "tool_call_pending"


def fork_points(messages: Sequence[Message]) -> ForkPoints:
    """Every message, as a safe point to fork after it, or as an unsafe one with the reason."""
    points = ForkPoints([], [])
    pairing = Pairing()
    for message in messages:
        pairing.add(pairing.weigh((message,)))
        message_id = message.id or ""
        if pairing.pending:
            points.unsafe.append(ForkPoint(message_id, SPLITS_CALL))
        else:
            points.fork_points.append(ForkPoint(message_id))
    return points


def count_until(messages: Sequence[Message], message_id: str | None) -> int | None:
    """How many messages a fork after `message_id` has; without one, as many as are safe. None where the message is unknown or
    unsafe to fork after."""
    safe = {point.message_id for point in fork_points(messages).fork_points}
    if message_id is not None:
        at = next((number for number, message in enumerate(messages) if message.id == message_id), None)
        return None if at is None or message_id not in safe else at + 1
    for count in range(len(messages), 0, -1):
        if messages[count - 1].id in safe:
            return count
    return 0
