"""The row of Kimi: Moonshot's chat wire, reasoning required beside tool calls, ids of calls as the model wrote them."""

from typing import Any

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import IMAGE_TYPES, INLINE_OR_ID, ModelRule, ProviderRow

_DOCS = "https://platform.kimi.ai/docs"
_CHAT = f"{_DOCS}/api/chat"
_AI_SDK = "https://www.npmjs.com/package/@ai-sdk/moonshotai/v/3.0.60"
_LITELLM = "https://pypi.org/project/litellm/1.109.1/"
_ENABLED = {"thinking": {"type": "enabled"}}
_ALWAYS_ON: dict[str, Any] = {"thinking": "switch", "thinking_can_be_off": False, "efforts": (), "thinking_on": {}}

KIMI = ProviderRow(
    type="kimi",
    telemetry_name="moonshot_ai",
    wire="openai_chat",
    documentation=_CHAT,
    base_url="https://api.moonshot.ai/v1",
    default_path="/v1",
    regions={"international": "https://api.moonshot.ai/v1", "china": "https://api.moonshot.cn/v1"},
    key_env="MOONSHOT_API_KEY",
    prices="moonshotai",
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=INLINE_OR_ID,
        prompt_cache="automatic",
        count_tokens=True,
        file_uploads=True,
    ),
    # The base is the third generation: always thinking, at level low, high or max, sampling fixed. Models make ids such as
    # `functions.name:0`, which go back verbatim. Images by URL are not fetched. `$schema` in a tool's schema breaks it.
    # Uploads say what they are for; requests may name images and videos, while text is extracted for clients to fetch and send:
    # https://platform.kimi.ai/docs/api/files-upload, https://platform.kimi.ai/docs/guide/use-kimi-vision-model (2026-11-20).
    # A session's id is its prompt_cache_key: https://www.npmjs.com/package/@ai-sdk/moonshotai/v/3.0.60 (2026-11-20).
    quirks=Quirks(
        thinking="effort",
        thinking_default_on=True,
        thinking_can_be_off=False,
        efforts=("low", "high", "max"),
        sampling="none",
        max_function_count=128,
        session_cache_keys=True,
        max_stop_sequences=5,
        max_stop_bytes=32,
        ignored_schema_keywords=("$schema",),
        tool_ids="verbatim",
        image_urls=False,
        prefill_mark="partial",
        reasoning_history="provider",
        reasoning_required="reasoning_content",
        count_path="/tokenizers/estimate-token-count",
        file_purposes=(("image/", "image"), ("video/", "video"), ("", "file-extract")),
        file_page_size=None,
        image_file_url="ms://",
        options=("thinking",),
    ),
    rules=(
        ModelRule(
            pattern=r"kimi-k3",
            reason="A million tokens of context.",
            source=_LITELLM,
            date="2026-11-20",
            limits={"max_context_tokens": 1_048_576},
        ),
        ModelRule(
            pattern=r"kimi-k2[.-]",
            reason="262,144 tokens of context.",
            source=_LITELLM,
            date="2026-11-20",
            limits={"max_context_tokens": 262_144},
        ),
        ModelRule(
            pattern=r"kimi-k2\.[56]",
            reason="Thinks unless told otherwise, without levels.",
            source=_CHAT,
            date="2026-11-20",
            quirks={
                "thinking": "switch",
                "thinking_can_be_off": True,
                "efforts": (),
                "thinking_on": _ENABLED,
                "thinking_off": {"thinking": {"type": "disabled"}},
            },
        ),
        ModelRule(
            pattern=r"kimi-k2\.7",
            reason="Thinks always, without levels.",
            source=_CHAT,
            date="2026-11-20",
            quirks={**_ALWAYS_ON, "thinking_on": _ENABLED},
        ),
        ModelRule(
            pattern=r"kimi-k2\.(6|7-code)",
            reason="Refuses tool_choice required.",
            source=_AI_SDK,
            date="2026-11-20",
            quirks={"tool_choices": ("none", "auto", "tool")},
        ),
        ModelRule(
            pattern=r"kimi-k2-thinking|kimi-thinking",
            reason="Thinks always, has no switch, and takes sampling parameters.",
            source=_CHAT,
            date="2026-11-20",
            quirks={**_ALWAYS_ON, "sampling": "any", "temperature_range": (0.0, 1.0)},
        ),
        ModelRule(
            pattern=r"moonshot-v1|kimi-latest|kimi-k2(?![.\d]|-thinking)",
            reason="Doesn't think, and takes a temperature from 0 to 1.",
            source=_CHAT,
            date="2026-11-20",
            quirks={
                "thinking": "none",
                "thinking_default_on": False,
                "thinking_can_be_off": True,
                "efforts": (),
                "sampling": "any",
                "temperature_range": (0.0, 1.0),
                "reasoning_history": "omit",
                "reasoning_required": None,
            },
        ),
        ModelRule(
            pattern=r"moonshot-v1(?!.*vision)|kimi-k2(?![.\d])",
            reason="Text only.",
            source=_CHAT,
            date="2026-11-20",
            capabilities={"images": False, "image_media_types": [], "tool_result_media": False},
        ),
    ),
)
