"""Token counts of this wire, which are disjoint already: input_tokens excludes what was read from or written to a cache."""

import msgspec

from modeld_protocol.usage import Usage

from .types import IncomingUsage

_DECODER = msgspec.json.Decoder(IncomingUsage)


class UsageCounter:
    """The counts of one answer. Streams repeat them, cumulatively: what comes later overwrites, what is missing stays."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = IncomingUsage()

    def update(self, raw: msgspec.Raw) -> bool:
        """Take in a `usage` object; False where there is none, or none that can be read."""
        try:
            fresh = _DECODER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        for field in IncomingUsage.__struct_fields__:
            value = getattr(fresh, field)
            if value is not None:
                setattr(self._last, field, value)
        return fresh.input_tokens is not None or fresh.output_tokens is not None

    def usage(self, *, final: bool) -> Usage:
        """The counts so far, marked as an estimate until the final ones have come."""
        last = self._last
        split = last.cache_creation
        written = last.cache_creation_input_tokens
        if written is None and split is not None:
            written = (split.ephemeral_5m_input_tokens or 0) + (split.ephemeral_1h_input_tokens or 0)
        found = Usage(
            last.input_tokens or 0,
            last.output_tokens or 0,
            last.cache_read_input_tokens or 0,
            written or 0,
            last.output_tokens_details.thinking_tokens if last.output_tokens_details else None,
            estimated=not final,
            cache_creation_1h_input_tokens=split.ephemeral_1h_input_tokens if split else None,
        )
        found.total_tokens = (
            found.input_tokens + found.output_tokens + found.cached_input_tokens + found.cache_creation_input_tokens
        )
        return found
