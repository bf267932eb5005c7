"""The row of DeepSeek: the chat wire, thinking on by default, reasoning back in turns with tool calls."""

from typing import Any

from modeld_protocol.model import Capabilities, ModelLimits

from ...spec import Quirks
from .row import ANY_SOURCE, IMAGE_TYPES, ModelRule, ProviderRow

_DOCS = "https://api-docs.deepseek.com"
_THINKING = f"{_DOCS}/guides/thinking_mode"
_MODELS = f"{_DOCS}/quick_start/pricing"
_LITELLM = "https://pypi.org/project/litellm/1.109.1/"
_NO_HISTORY: dict[str, Any] = {"reasoning_history": "omit", "reasoning_required": None}

DEEPSEEK = ProviderRow(
    type="deepseek",
    wire="openai_chat",
    documentation=f"{_DOCS}/api/create-chat-completion",
    base_url="https://api.deepseek.com",
    key_env="DEEPSEEK_API_KEY",
    prices="deepseek",
    capabilities=Capabilities(
        structured_output=False, json_object=True, image_sources=ANY_SOURCE, prompt_cache="automatic", file_uploads=True
    ),
    # Sampling parameters are taken while thinking, and have no effect. Level xhigh is taken and means high; medium has no
    # meaning of its own. In a turn with tool calls every assistant message needs its reasoning, or the request is refused; in
    # the others it is ignored: https://api-docs.deepseek.com/guides/thinking_mode (2026-11-20). Forced choice beside thinking
    # is not documented. Uploads are images (https://api-docs.deepseek.com/guides/files_api), named in a part of type
    # file (https://api-docs.deepseek.com/guides/vision, 2026-11-20).
    quirks=Quirks(
        max_tokens_field="max_tokens",
        thinking="effort",
        thinking_default_on=True,
        efforts=("low", "high", "xhigh", "max"),
        thinking_on={"thinking": {"type": "enabled"}},
        thinking_off={"thinking": {"type": "disabled"}},
        sampling_with_thinking=False,
        forced_tool_choice_with_thinking=False,
        max_function_count=128,
        max_stop_sequences=16,
        reasoning_history="provider",
        reasoning_turns="tools",
        reasoning_required="reasoning_content",
        image_file_part=True,
    ),
    limits=ModelLimits(min_cache_tokens=64),
    rules=(
        ModelRule(
            pattern=r"deepseek-(v4|flash)",
            reason="A million tokens go in, 393,216 come out.",
            source=_MODELS,
            date="2026-11-20",
            limits={"max_context_tokens": 1_048_576, "max_output_tokens": 393_216},
        ),
        ModelRule(
            pattern=r"flash",
            reason="Reads images: the older names of Flash are served by V4.1 Flash, which does. Pro refuses the part.",
            source=_MODELS,
            date="2026-11-20",
            capabilities={"images": True, "image_media_types": IMAGE_TYPES, "tool_result_media": True},
        ),
        ModelRule(
            pattern=r"deepseek-(chat|v[23])",
            reason="The third generation doesn't think under these names.",
            source=_LITELLM,
            date="2026-11-20",
            quirks={"thinking": "none", "thinking_default_on": False, "efforts": (), **_NO_HISTORY},
        ),
        ModelRule(
            pattern=r"deepseek-(reasoner|r1)",
            reason="Always thinks, and refuses a history with reasoning.",
            source=_LITELLM,
            date="2026-11-20",
            quirks={
                "thinking": "switch",
                "thinking_on": {},
                "thinking_off": {},
                "thinking_can_be_off": False,
                "efforts": (),
                **_NO_HISTORY,
            },
        ),
    ),
)
