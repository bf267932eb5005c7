"""The row of Qwen: DashScope's compatible mode, with regions, token budgets for thinking, and markers for the cache."""

from typing import Any

from modeld_protocol.model import Capabilities, ModelLimits

from ...spec import Quirks
from .row import ALL_EFFORTS, BY_ID, IMAGE_TYPES, INLINE, INLINE_OR_URL, WAV_AND_MP3, ModelRule, ProviderRow

_DOCS = "https://www.alibabacloud.com/help/en/model-studio"
_AI_SDK = "https://www.npmjs.com/package/@ai-sdk/alibaba/v/2.0.58"
_THINKING = f"{_DOCS}/deep-thinking"
_NO_THINKING: dict[str, Any] = {"thinking": "none", "budget_path": None, "thinking_on": {}, "thinking_off": {}}

QWEN = ProviderRow(
    type="qwen",
    wire="openai_chat",
    documentation=f"{_DOCS}/base-url",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    default_path="/compatible-mode/v1",
    # Keys belong to a region and a plan; a wrong pair is a 401. Domains of a workspace go into base_url.
    regions={
        "singapore": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "beijing": "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "virginia": "https://dashscope-us.aliyuncs.com/compatible-mode/v1",
        "hongkong": "https://cn-hongkong.dashscope.aliyuncs.com/compatible-mode/v1",
    },
    key_env="DASHSCOPE_API_KEY",
    prices="alibaba",
    capabilities=Capabilities(
        tool_result_media=True,
        structured_output=False,
        json_object=True,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=INLINE_OR_URL,
        audio_media_types=WAV_AND_MP3,
        audio_sources=INLINE,
        file_sources=BY_ID,
        prompt_cache="explicit",
        file_uploads=True,
    ),
    # Parallel calls are off unless asked for. Reasoning in the history is dropped but by models that preserve it. The cache
    # works by itself; markers, which exclude that, are set where a client asks for them. Uploads are documents whose
    # text is read out: https://www.alibabacloud.com/help/en/model-studio/openai-file-interface (2026-11-20).
    quirks=Quirks(
        max_tokens_field="max_tokens",
        thinking="budget",
        budget_path="thinking_budget",
        thinking_on={"enable_thinking": True},
        thinking_off={"enable_thinking": False},
        temperature_range=(0.0, 1.99),
        top_p_range=(0.01, 1.0),
        parallel_tool_calls=True,
        tool_choices=("none", "auto", "tool"),
        forced_tool_choice_with_thinking=False,
        cache_markers="asked",
        options=("top_k", "repetition_penalty", "preserve_thinking", "enable_search", "search_options"),
        file_purposes=(("", "file-extract"),),
        file_page_size=None,
        file_ids_in_system="fileid://",
    ),
    limits=ModelLimits(min_cache_tokens=1_024),
    rules=(
        ModelRule(
            pattern=r"^qwen(-max|-coder|-math|-long|1\.5|2(\.5)?-|2-|-\d|3-coder|3.*-instruct)",
            reason="Doesn't think.",
            source=_THINKING,
            date="2026-11-20",
            quirks=_NO_THINKING,
        ),
        ModelRule(
            pattern=r"^qwen(3(\.\d)?-\d+(\.\d)?[bt]|3-(next|235b))(?!.*-instruct)",
            reason="Open weights think unless told otherwise.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"thinking_default_on": True},
        ),
        ModelRule(
            pattern=r"-thinking|^qw?vq|^qwq",
            reason="Thinks always.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"thinking_default_on": True, "thinking_can_be_off": False, "thinking_on": {}, "thinking_off": {}},
        ),
        ModelRule(
            pattern=r"^qwen(3\.[6-9]|[4-9])",
            reason="Keeps reasoning of the history in mind, where it is sent back with preserve_thinking.",
            source=_THINKING,
            date="2026-11-20",
            quirks={
                "reasoning_history": "provider",
                "reasoning_turns": "tools",
                "thinking_on": {"enable_thinking": True, "preserve_thinking": True},
            },
        ),
        ModelRule(
            pattern=r"^qwen(3\.[7-9]|[4-9])",
            reason="Follows a schema, and can be made to call any tool.",
            source=_AI_SDK,
            date="2026-11-20",
            quirks={"tool_choices": ("none", "auto", "required", "tool")},
            capabilities={"structured_output": True},
        ),
        ModelRule(
            pattern=r"^qwen[4-9]",
            reason="Thinks unless told otherwise, at levels or within a budget, not both. A summary comes with the whole as "
            "ciphertext, which goes back unchanged on every request. Cache entries may live an hour.",
            source=f"{_DOCS}/cot-summary",
            date="2026-11-20",
            quirks={
                "thinking": "effort",
                "thinking_default_on": True,
                "efforts": ALL_EFFORTS,
                "thinking_display": {"summarized": {"thinking_display": "summarized"}},
                "reasoning_turns": "all",
                "reasoning_bound_to_model": True,
                "cache_ttls": ("5m", "1h"),
            },
        ),
        ModelRule(
            pattern=r"^qwen(-(turbo|plus|max|flash|long|math|coder)(?!.*vl)|2(\.5)?-(?!vl|omni)|3-(max|coder|next|\d))",
            reason="Text only.",
            source=_AI_SDK,
            date="2026-11-20",
            capabilities={"images": False, "image_media_types": [], "tool_result_media": False},
        ),
        ModelRule(
            pattern=r"^qwen-(long|doc)",
            reason="Reads uploaded documents, which a system message names.",
            source=f"{_DOCS}/long-context-qwen-long",
            date="2026-11-20",
            capabilities={"files": True},
        ),
        ModelRule(
            pattern=r"omni",
            reason="Omni models hear.",
            source=_AI_SDK,
            date="2026-11-20",
            capabilities={"audio": True},
        ),
    ),
)
