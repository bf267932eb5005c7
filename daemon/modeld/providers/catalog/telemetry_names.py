"""What provider types are called in OpenTelemetry's GenAI conventions, where they have a name of their own there.

https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md, `gen_ai.provider.name` (2026-11).
"""

_NAMES = {
    "anthropic-compatible": "anthropic",
    "openai-compatible": "openai",
    "openai-responses": "openai",
    "gemini": "gcp.gemini",
    "kimi": "moonshot_ai",
}


def telemetry_name(type_name: str) -> str:
    """The value of `gen_ai.provider.name` for a provider type: which flavour of API it is."""
    return _NAMES.get(type_name, type_name)
