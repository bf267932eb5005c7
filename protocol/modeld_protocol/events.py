"""Canonical stream events, and the notifications that carry them."""

from typing import Any

import msgspec

from .content import Block, ProviderRaw
from .response import StopReason
from .usage import Usage


class _Event(msgspec.Struct, tag_field="type", omit_defaults=True):
    """Base of every stream event; the tag field is `type`."""

    message_id: str


class MessageStart(_Event, tag="message.start"):
    """The first event of a stream."""

    model: str
    provider: str


class TextDelta(_Event, tag="text.delta"):
    """More text of the block `content_block_index`."""

    content_block_index: int
    text: str


class ThinkingDelta(_Event, tag="thinking.delta"):
    """Reasoning text; the last delta of a block may be empty and carry the signature in `provider_raw`."""

    content_block_index: int
    text: str
    provider_raw: ProviderRaw | None = None


class ToolUseStart(_Event, tag="tool.use_start"):
    """A tool call begins."""

    content_block_index: int
    tool_use_id: str
    tool_name: str
    group: str | None = None


class ToolUseInputDelta(_Event, tag="tool.use_input_delta"):
    """`partial_json` is the provider's literal fragment."""

    content_block_index: int
    tool_use_id: str
    partial_json: str


class ToolUseEnd(_Event, tag="tool.use_end"):
    """`final_input` is the parsed object, `{}` where the arguments did not parse."""

    content_block_index: int
    tool_use_id: str
    final_input: dict[str, Any]


class MessageComplete(_Event, tag="message.complete"):
    """The one terminal event of a stream."""

    stop_reason: StopReason
    final_content: list[Block]
    usage: Usage


Event = MessageStart | TextDelta | ThinkingDelta | ToolUseStart | ToolUseInputDelta | ToolUseEnd | MessageComplete


class StreamEvent(msgspec.Struct, omit_defaults=True):
    """The parameters of `stream/event`. `cursor` rises by one with every event of `epoch`'s stream."""

    request_id: str
    epoch: str
    cursor: int
    event: Event
    session_id: str | None = None
    turn_id: str | None = None


class StreamGap(msgspec.Struct, omit_defaults=True):
    """The parameters of `stream/gap`: events `first` to `last` were not delivered."""

    request_id: str
    epoch: str
    first: int
    last: int
    reason: str
    session_id: str | None = None


class _TraceEvent(msgspec.Struct, tag_field="type"):
    """Base of the trace bus, which never mixes with stream events. `retry_count` is 0 for the first attempt."""

    request_id: str
    provider: str
    model: str
    retry_count: int


class CallStarted(_TraceEvent, tag="llm.call_started"):
    """An attempt is about to be sent."""

    streaming: bool = False


class CallWaiting(_TraceEvent, tag="llm.call_waiting"):
    """The call waits before its key: the provider throttles it, or as many calls as may run with it are running. `ahead` counts
    those that wait already; `wait_ms` is how long the key is closed, where that is known."""

    ahead: int = 0
    wait_ms: float | None = None


class CallFallback(_TraceEvent, tag="llm.call_fallback"):
    """Another model is called in place of `model`; `why` is the error class of its failure, or `unavailable`."""

    fallback_model: str = ""
    why: str = ""


class CachePrefixChanged(_TraceEvent, tag="llm.cache_prefix_changed"):
    """A turn's request did not begin as the session's last one, or its provider had the beginning no longer: `tokens` were not
    read from the cache, which cost so much more (null where a price is unknown). `part` is the first that differs: `model`,
    `parameters`, `tools`, `system`, `message` (`message` is its number), or `expired` or `evicted` where nothing does. `path` is
    that part in the request."""

    part: str = ""
    tokens: int = 0
    cost: float | None = None
    currency: str | None = None
    message: int | None = None
    path: str | None = None
    session_id: str | None = None
    turn_id: str | None = None


class CallCompleted(_TraceEvent, tag="llm.call_completed"):
    """An attempt brought a whole answer."""

    usage: Usage | None = None
    stop_reason: StopReason | None = None
    latency_ms: float | None = None


class CallFailed(_TraceEvent, tag="llm.call_failed"):
    """An attempt failed; `will_retry` says whether another follows."""

    error_class: str = "other"
    provider_status: int | None = None
    will_retry: bool = False
    latency_ms: float | None = None


class AvailabilityChanged(msgspec.Struct, tag_field="type", tag="availability.changed", omit_defaults=True):
    """A provider or model became available, degraded, unavailable or is being probed."""

    provider: str
    state: str
    model: str | None = None
    previous: str | None = None
    reason: str | None = None


TraceEvent = CallStarted | CallWaiting | CallFallback | CachePrefixChanged | CallCompleted | CallFailed | AvailabilityChanged
