"""Token counts of the Gemini wire, made disjoint.

https://ai.google.dev/api/generate-content#UsageMetadata (2026-11-20): the prompt's count includes cached tokens, the
candidates' count excludes thoughts; what hosted tools gave the model to read is counted apart.
"""

from modeld_protocol.usage import Usage

from .types import WireUsage


def decode_usage(wire: WireUsage) -> Usage | None:
    """Disjoint counts, None where the object counts nothing."""
    prompt, answer, thoughts = wire.prompt_token_count, wire.candidates_token_count, wire.thoughts_token_count
    if prompt is None and answer is None and thoughts is None:
        return None
    cached = max(wire.cached_content_token_count or 0, 0)
    uncached = max((prompt or 0) - cached, 0) + max(wire.tool_use_prompt_token_count or 0, 0)
    output = max(answer or 0, 0) + max(thoughts or 0, 0)
    return Usage(uncached, output, cached, 0, None if thoughts is None else max(thoughts, 0), uncached + output + cached)
