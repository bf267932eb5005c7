"""Token counts of the Gemini wire, made disjoint.

https://ai.google.dev/api/generate-content#UsageMetadata (2026-11-20): the prompt's count includes cached tokens, the
candidates' count excludes thoughts; what hosted tools gave the model to read is counted apart.
"""

from modeld_protocol.usage import Usage

from .types import WireUsage


def counts_anything(wire: WireUsage) -> bool:
    """Whether the object holds a count; some hold only what kind of traffic it was."""
    return wire.prompt_token_count is not None or wire.candidates_token_count is not None or wire.thoughts_token_count is not None


def decode_usage(wire: WireUsage) -> Usage:
    """Disjoint counts."""
    thoughts = wire.thoughts_token_count
    cached = max(wire.cached_content_token_count or 0, 0)
    uncached = max((wire.prompt_token_count or 0) - cached, 0) + max(wire.tool_use_prompt_token_count or 0, 0)
    output = max(wire.candidates_token_count or 0, 0) + max(thoughts or 0, 0)
    return Usage(uncached, output, cached, 0, None if thoughts is None else max(thoughts, 0), uncached + output + cached)
