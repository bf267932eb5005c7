"""Token counts of this wire. It has no figures of its prompt cache, and `eval_count` holds the reasoning.

Counts of 0 are left out by the server. Versions before 0.12 left the prompt's count out, too, where all of it was in memory:
an answer without one is counted here. https://docs.ollama.com/api/usage (2026-11-20)
"""

from modeld_protocol.usage import Usage


def decode_usage(prompt: int | None, output: int | None) -> Usage | None:
    """The counts, None where there are none; `estimated` where the prompt's is missing."""
    if prompt is None and output is None:
        return None
    read, written = max(prompt or 0, 0), max(output or 0, 0)
    return Usage(input_tokens=read, output_tokens=written, total_tokens=read + written, estimated=not read)
