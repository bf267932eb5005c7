"""The row of Ollama: a server on the user's machine, or its cloud, for nothing.

Which models there are is the server's affair; rules know the families of its library by name. A model that was given another
name, or comes from elsewhere, has the base, and the server says itself what it can't do.
"""

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import INLINE, LOW_TO_HIGH, ModelRule, ProviderRow

_DOCS = "https://docs.ollama.com"
_LIBRARY = "https://ollama.com/search"

OLLAMA = ProviderRow(
    type="ollama",
    wire="ollama",
    documentation=f"{_DOCS}/api/chat",
    base_url="http://localhost:11434",
    needs_key=False,
    free=True,
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_sources=INLINE,
    ),
    # Prompts stay in memory, which is neither told nor charged: as far as a client can know, there is no cache.
    # No tool_choice, neither here nor on the compatible endpoint; `think` takes a level of any model that thinks:
    # https://docs.ollama.com/capabilities/thinking (2026-11-20).
    quirks=Quirks(
        thinking="effort",
        efforts=(*LOW_TO_HIGH, "max"),
        forced_tool_choice=False,
        image_urls=False,
        reasoning_history="provider",
    ),
    rules=(
        ModelRule(
            pattern=r"^(library/)?gpt-oss\b",
            reason="Thinks at one of three levels and ignores true and false: it can't be turned off.",
            source=f"{_DOCS}/capabilities/thinking",
            date="2026-11-20",
            quirks={"efforts": LOW_TO_HIGH, "thinking_can_be_off": False, "thinking_off_ignored": True},
            capabilities={"images": False, "tool_result_media": False},
        ),
        ModelRule(
            pattern=r"^(library/)?(llama[23]?|codellama|tinyllama|gemma[23]?|codegemma|mistral(-nemo)?|mixtral|codestral|phi3?"
            r"|qwen2?|starcoder2?|vicuna|llava(-llama3|-phi3)?|bakllava|moondream|llama3\.[123](-vision)?|qwen2\.5(-coder|vl)?)(:|$)",
            reason="Made before models thought.",
            source=f"{_LIBRARY}?c=thinking",
            date="2026-11-20",
            quirks={"thinking": "none", "efforts": ()},
        ),
        ModelRule(
            pattern=r"^(library/)?(llama[23]?|codellama|tinyllama|gemma[23]?|gemma3n|codegemma|phi3?|phi4|starcoder2?|vicuna"
            r"|llava(-llama3|-phi3)?|bakllava|moondream|llama3\.2-vision|qwen2\.5vl)(:|$)",
            reason="No tools of their own: the server refuses them.",
            source=f"{_LIBRARY}?c=tools",
            date="2026-11-20",
            quirks={"tool_dialect": "tagged"},
        ),
        ModelRule(
            pattern=r"^(library/)?(llama[23]?|llama3\.[123]|codellama|tinyllama|gemma2?|codegemma|mistral(-nemo)?|mixtral|codestral"
            r"|phi3?|phi4|qwen[23]?|qwen2\.5(-coder)?|qwen3-coder|deepseek-(r1|v3(\.1)?)|starcoder2?|vicuna|qwq)(:|$)"
            r"|^(library/)?gemma3:(270m|1b)",
            reason="Read no images.",
            source=f"{_LIBRARY}?c=vision",
            date="2026-11-20",
            capabilities={"images": False, "tool_result_media": False},
        ),
    ),
)
