"""The row of OpenRouter: one chat wire before the models of everybody, with costs as charged."""

from typing import Any

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import ALL_EFFORTS, IMAGE_TYPES, INLINE, INLINE_OR_ID, INLINE_OR_URL, WAV_AND_MP3, ModelRule, ProviderRow

_DOCS = "https://openrouter.ai/docs"
_CACHING = f"{_DOCS}/guides/features/prompt-caching"
_REASONING = f"{_DOCS}/use-cases/reasoning-tokens"
_NO_THINKING: dict[str, Any] = {"thinking": "none", "efforts": (), "thinking_on": {}, "thinking_off": {}, "budget_path": None}

OPENROUTER = ProviderRow(
    type="openrouter",
    wire="openai_chat",
    documentation=f"{_DOCS}/api-reference/overview",
    base_url="https://openrouter.ai/api/v1",
    default_path="/api/v1",
    key_env="OPENROUTER_API_KEY",
    # https://openrouter.ai/docs/app-attribution (2026-11-20); the second name of the title is the older one.
    option_headers={"site_url": ("http-referer",), "app_name": ("x-openrouter-title", "x-title")},
    prices="openrouter",
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=INLINE_OR_URL,
        audio=True,
        audio_media_types=WAV_AND_MP3,
        audio_sources=INLINE,
        files=True,
        file_sources=INLINE_OR_ID,
        file_uploads=True,
        prompt_cache="automatic",
    ),
    # Without require_parameters a provider that knows no tools or schemas may get the request, and they are dropped in
    # silence. With it `max_completion_tokens` finds no provider at many models, the older name does:
    # https://github.com/openstory-so/openstory/pull/1318 (2026-11-20). Reasoning goes back as the list that came, to the
    # model that made it, since signatures and ciphertext are its vendor's. A stream that failed tells its counts in the frame
    # after the error: https://openrouter.ai/docs/api-reference/errors (2026-11-20). Uploads have no purpose, and are named by id
    # in parts of type file: https://openrouter.ai/docs/api/api-reference/files/upload-a-file,
    # https://pypi.org/project/openrouter/1.3.84/ (2026-11-20).
    quirks=Quirks(
        max_tokens_field="max_tokens",
        body_with_tools={"provider": {"require_parameters": True}},
        thinking="effort",
        efforts=ALL_EFFORTS,
        effort_path="reasoning.effort",
        budget_path="reasoning.max_tokens",
        thinking_on={"reasoning": {"enabled": True}},
        thinking_off={"reasoning": {"enabled": False}},
        thinking_display={"summarized": {}, "omitted": {"reasoning": {"exclude": True}}},
        reasoning_history="provider",
        reasoning_bound_to_model=True,
        reports_cost=True,
        usage_after_error=True,
        file_purposes=(),
        options=(
            *("provider", "models", "route", "transforms", "plugins", "session_id", "reasoning", "usage", "cache_control"),
            *("top_k", "top_a", "min_p", "repetition_penalty"),
        ),
    ),
    rules=(
        ModelRule(
            pattern=r"^anthropic/",
            reason="Prompts are cached up to markers, for 5 minutes or an hour.",
            source=_CACHING,
            date="2026-11-20",
            quirks={"cache_markers": "always", "cache_ttls": ("5m", "1h")},
            capabilities={"prompt_cache": "explicit"},
        ),
        ModelRule(
            pattern=r"^(google|qwen)/",
            reason="Prompts are cached by themselves, and up to markers where these are set.",
            source=_CACHING,
            date="2026-11-20",
            quirks={"cache_markers": "asked"},
            capabilities={"prompt_cache": "explicit"},
        ),
        ModelRule(
            pattern=r"^openai/(gpt-[5-9](?!.*-chat)|o\d)",
            reason="Takes neither sampling parameters nor stop sequences, and at least 16 tokens of output.",
            source="https://platform.openai.com/docs/guides/reasoning",
            date="2026-11-20",
            quirks={"sampling": "none", "stop": False, "min_output_tokens": 16, "thinking_default_on": True},
        ),
        ModelRule(
            pattern=r"^openai/(gpt-[34]|chatgpt)|^anthropic/claude-(2|3(?!\.7))|^meta-llama/|^amazon/nova-(lite|micro|pro)-v1",
            reason="Doesn't reason.",
            source=_REASONING,
            date="2026-11-20",
            quirks=_NO_THINKING,
        ),
        ModelRule(
            pattern=r"^moonshotai/",
            reason="Makes ids such as `functions.name:0`, which go back verbatim.",
            source="https://platform.kimi.ai/docs/api/chat",
            date="2026-11-20",
            quirks={"tool_ids": "verbatim"},
        ),
    ),
)
