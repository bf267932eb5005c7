"""Why a cached prefix was not read again: the parts of one turn's request against those of the last. Pure.

Providers cache what a request begins with: the model with its parameters, tools, system prompt, messages, in this order. Parts
are kept by reference and compared by identity first, so that an unchanged history costs no more than a walk over pointers.
"""

from typing import Any, Literal, NamedTuple

from modeld_protocol.content import Message
from modeld_protocol.model import Pricing
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.usage import Usage, Warning

from ..ledger.pricing import cost_of

CODE = "cache_prefix_changed"
Part = Literal["model", "parameters", "tools", "system", "message"]

_TTL_S = {"5m": 300.0, "1h": 3_600.0, None: 300.0}


class Sent(NamedTuple):
    """The prefix of a request that was answered, how much of it was in a cache then, and when (monotonic seconds). Parameters,
    tools and system prompt are whatever compares as they do."""

    model: str
    parameters: Any
    tools: Any
    system: Any
    messages: tuple[Message, ...]
    read_tokens: int
    written_tokens: int
    at_s: float
    ttl_s: float


class Difference(NamedTuple):
    """The first part that differs; of a message, its number in the history."""

    part: Part
    message: int | None = None


def sent_of(request: CanonicalRequest, model: str, usage: Usage, at_s: float) -> Sent:
    """What to remember of a request. Parameters are those that providers take into the cache's key; sampling is none of them."""
    messages = request.messages
    assert not isinstance(messages, str)
    parameters = (request.thinking, request.tool_choice, request.response_format, request.cache, request.provider_options)
    ttl_s = _TTL_S[usage.cache_ttl]
    read, written = usage.cached_input_tokens, usage.cache_creation_input_tokens
    return Sent(model, parameters, request.tools, request.system_prompt, tuple(messages), read, written, at_s, ttl_s)


def first_difference(before: Sent, after: Sent) -> Difference | None:
    """Where `after` stops to be a continuation of `before`; None where it is one."""
    if before.model != after.model:
        return Difference("model")
    if before.parameters != after.parameters:
        return Difference("parameters")
    if before.tools != after.tools:
        return Difference("tools")
    if before.system != after.system:
        return Difference("system")
    count = len(before.messages)
    if before.messages == after.messages[:count]:
        return None
    return _first_message(before, after)


def _first_message(before: Sent, after: Sent) -> Difference | None:
    """Ids and metadata are never sent, so they don't count; but a mark in metadata asks for a cache marker."""
    for index, message in enumerate(before.messages):
        if index >= len(after.messages) or not _same(message, after.messages[index]):
            return Difference("message", index)
    return None


def _same(one: Message, other: Message) -> bool:
    if one is other:
        return True
    marked = [bool(message.metadata and message.metadata.get("cache")) for message in (one, other)]
    return one.role == other.role and marked[0] == marked[1] and one.content == other.content


def lost_prefix(before: Sent | None, after: Sent, pricing: Pricing | None) -> Warning | None:
    """The warning that a prefix which was cached at the last turn was not read again in full: what changed first, and what it
    cost. None where nothing was lost."""
    if before is None or not before.read_tokens + before.written_tokens:
        return None
    difference = first_difference(before, after)
    fell = after.read_tokens < before.read_tokens or not after.read_tokens
    lost = before.read_tokens + before.written_tokens - after.read_tokens
    if lost <= 0 or (difference is None and not fell):
        return None
    cost, currency = _extra_cost(lost, after, pricing)
    detail: dict[str, Any] = {"part": difference.part if difference else _gone(before, after), "tokens": lost, "cost": cost}
    if difference is not None and difference.message is not None:
        detail["message"] = difference.message
    if currency is not None:
        detail["currency"] = currency
    path = _PATHS.get(detail["part"]) if difference is None or difference.message is None else f"messages[{difference.message}]"
    price = "" if cost is None else f", which cost {cost:.6f} {currency} more"
    told = f"{_WORDS[detail['part']].format(index=detail.get('message'))}: {lost} tokens were not read from the cache{price}"
    return Warning(CODE, told, path, detail)


def _gone(before: Sent, after: Sent) -> str:
    return "expired" if after.at_s - before.at_s > before.ttl_s else "evicted"


def _extra_cost(lost: int, after: Sent, pricing: Pricing | None) -> tuple[float | None, str | None]:
    """What the tokens cost anew over what they would have cost from the cache; None where a price is unknown."""
    if pricing is None or pricing.cache_read is None:
        return None, None
    written = min(lost, after.written_tokens)
    anew, _ = cost_of(Usage(input_tokens=lost - written, cache_creation_input_tokens=written), pricing)
    cached, _ = cost_of(Usage(cached_input_tokens=lost), pricing)
    if anew is None or cached is None:
        return None, None
    return anew.total_cost - cached.total_cost, pricing.currency


_PATHS = {"model": "model", "tools": "tools", "system": "system_prompt"}
_WORDS = {
    "model": "another model answers than at the last turn",
    "parameters": "thinking, tool choice, response format, cache or provider options differ from the last turn's",
    "tools": "the tools differ from the last turn's",
    "system": "the system prompt differs from the last turn's",
    "message": "message {index} differs from what was sent at the last turn",
    "expired": "the request begins as at the last turn, and the provider's cache has expired since",
    "evicted": "the request begins as at the last turn, and the provider had it no longer in its cache",
}
