"""The canonical response: what any model answers."""

from typing import Any, Literal

import msgspec

from .content import Block
from .usage import Cost, Metrics, Usage, Warning

StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "content_filter", "refusal", "pause", "cancelled", "error"
]


class CanonicalResponse(msgspec.Struct):
    """The result of `model/complete` and `model/stream`. `model` is the full id `provider:name`."""

    request_id: str
    model: str
    provider: str
    content: list[Block]
    stop_reason: StopReason
    usage: Usage
    cost: Cost | None
    metrics: Metrics
    warnings: list[Warning]
    message_id: str | None = None
    stop_sequence: str | None = None
    served_model: str | None = None
    raw_provider_response: Any = None
