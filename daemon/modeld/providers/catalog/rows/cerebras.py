"""The row of Cerebras: the chat wire, fast, for open models."""

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import IMAGE_TYPES, INLINE_OR_URL, LOW_TO_HIGH, ModelRule, ProviderRow

_DOCS = "https://inference-docs.cerebras.ai"
_REASONING = f"{_DOCS}/capabilities/reasoning"
_MODELS = f"{_DOCS}/models/overview"

CEREBRAS = ProviderRow(
    type="cerebras",
    wire="openai_chat",
    documentation=f"{_DOCS}/api-reference/chat-completions",
    base_url="https://api.cerebras.ai/v1",
    default_path="/v1",
    key_env="CEREBRAS_API_KEY",
    option_headers={"app_name": ("x-cerebras-3rd-party-integration",)},
    prices="cerebras",
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=INLINE_OR_URL,
        prompt_cache="automatic",
    ),
    # No recorded stream ends with [DONE]. The output limit is taken off the rate limit in full, before the answer begins.
    quirks=Quirks(
        end_marker=False,
        thinking="effort",
        efforts=("none", *LOW_TO_HIGH),
        thinking_display={"omitted": {"reasoning_format": "hidden"}},
        reasoning_history="provider",
        options=("clear_thinking", "disable_reasoning", "reasoning_format", "min_completion_tokens"),
    ),
    rules=(
        ModelRule(
            pattern=r"gpt-oss",
            reason="Always thinks, at level low, medium or high.",
            source=_REASONING,
            date="2026-11-20",
            quirks={"thinking_default_on": True, "thinking_can_be_off": False, "efforts": LOW_TO_HIGH},
            limits={"max_context_tokens": 131_072, "max_output_tokens": 32_768},
        ),
        ModelRule(
            pattern=r"zai-glm",
            reason="Thinks unless told otherwise, without levels.",
            source=_REASONING,
            date="2026-11-20",
            quirks={
                "thinking": "switch",
                "thinking_default_on": True,
                "efforts": (),
                "thinking_off": {"reasoning_effort": "none"},
            },
        ),
        ModelRule(
            pattern=r"qwen-3-.*thinking",
            reason="Thinks always; its reasoning is not told apart from the answer.",
            source=_REASONING,
            date="2026-11-20",
            quirks={"thinking": "switch", "thinking_default_on": True, "thinking_can_be_off": False, "efforts": ()},
        ),
        ModelRule(
            pattern=r"llama|qwen-3-.*(instruct|coder)",
            reason="Doesn't think.",
            source=_REASONING,
            date="2026-11-20",
            quirks={"thinking": "none", "efforts": ()},
        ),
        ModelRule(
            pattern=r"qwen-3-32b",
            reason="Puts its reasoning into the content, between tags.",
            source=_REASONING,
            date="2026-11-20",
            quirks={"thinking_default_on": True, "think_tags": True},
        ),
        ModelRule(
            pattern=r"gpt-oss|llama|zai-glm|qwen-3-",
            reason="Text only.",
            source=_MODELS,
            date="2026-11-20",
            capabilities={"images": False, "image_media_types": [], "tool_result_media": False},
        ),
    ),
)
