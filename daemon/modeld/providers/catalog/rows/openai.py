"""Rows of OpenAI, on both of its wires, and of any endpoint that speaks its chat wire."""

from modeld_protocol.model import Capabilities, ModelLimits

from ...spec import Quirks
from .row import (
    ALL_EFFORTS,
    ANY_SOURCE,
    IMAGE_TYPES,
    INLINE,
    INLINE_OR_ID,
    INLINE_OR_URL,
    LOW_TO_HIGH,
    LOW_TO_MAX,
    WAV_AND_MP3,
    ModelRule,
    ProviderRow,
)

_OPENAI_DOCS = "https://platform.openai.com/docs"
_CHAT_API = f"{_OPENAI_DOCS}/api-reference/chat/create"
_RESPONSES_API = f"{_OPENAI_DOCS}/api-reference/responses/create"
_EFFORTS = "https://learn.microsoft.com/en-us/javascript/api/@azure/ai-projects/reasoningeffort"
_REASONING = f"{_OPENAI_DOCS}/guides/reasoning"
_AI_SDK_OPENAI = "https://www.npmjs.com/package/@ai-sdk/openai/v/4.0.118"
_REASONS = {"system_role": "developer", "stop": False, "thinking": "effort", "thinking_default_on": True}
_ALWAYS_REASONS = {"thinking_can_be_off": False, "sampling": "none"}

OPENAI = ProviderRow(
    type="openai",
    wire="openai_chat",
    documentation=_CHAT_API,
    base_url="https://api.openai.com/v1",
    default_path="/v1",
    key_env="OPENAI_API_KEY",
    prices="openai",
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
        prompt_cache="automatic",
        file_uploads=True,
    ),
    # Requests with one prompt_cache_key go to one cache: https://www.npmjs.com/package/@ai-sdk/openai/v/4.0.118 (2026-11-20).
    quirks=Quirks(thinking="effort", efforts=ALL_EFFORTS, session_cache_keys=True),
    limits=ModelLimits(min_cache_tokens=1_024),
    rules=(
        ModelRule(
            pattern=r"^(ft:)?(gpt-\d|o\d|chatgpt-)",
            reason="Audio goes in and out of audio models only.",
            source=_CHAT_API,
            date="2026-11-20",
            capabilities={"audio": False},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-([6-9]|\d\d)",
            reason="From GPT-6 on, models reason at effort low to max and take neither sampling parameters nor stop sequences.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={**_REASONS, **_ALWAYS_REASONS, "efforts": LOW_TO_MAX},
            limits={"max_context_tokens": 1_050_000, "max_output_tokens": 128_000},
        ),
        ModelRule(
            pattern=r"^gpt-6-(sol|luna)|^gpt-6\.1-terra",
            reason="These also have effort none, and take sampling parameters then.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={"thinking_can_be_off": True, "sampling": "without_reasoning", "efforts": ("none", *LOW_TO_MAX)},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5",
            reason="GPT-5 reasons at effort minimal to high and takes neither sampling parameters nor stop sequences.",
            source=_EFFORTS,
            date="2026-11-20",
            quirks={**_REASONS, **_ALWAYS_REASONS, "efforts": ("minimal", *LOW_TO_HIGH)},
            limits={"max_context_tokens": 400_000, "max_output_tokens": 128_000},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5[.-][1-9](?!\d)",
            reason="5.1 has effort none to high, and takes sampling parameters at none.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={"thinking_can_be_off": True, "sampling": "without_reasoning", "efforts": ("none", *LOW_TO_HIGH)},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5[.-][2-9](?!\d)",
            reason="From 5.2 on also effort xhigh.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={"efforts": ("none", *LOW_TO_HIGH, "xhigh")},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5[.-][12](?!\d)",
            reason="5.1 and 5.2 reason only where asked to: their effort is none by default.",
            source=_EFFORTS,
            date="2026-11-20",
            quirks={"thinking_default_on": False},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5[.-][6-9](?!\d)",
            reason="From 5.6 on also effort max; on this endpoint function tools are refused unless effort is none.",
            source="https://github.com/itzcrazykns/vane/issues/1173",
            date="2026-11-20",
            quirks={"efforts": ("none", *LOW_TO_MAX), "tools_with_reasoning": False},
            limits={"max_context_tokens": 1_050_000},
        ),
        ModelRule(
            pattern=r"^gpt-5-chat",
            reason="The chat variant doesn't reason and has neither tools nor structured output.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={
                "system_role": "system",
                "stop": True,
                "thinking": "none",
                "thinking_default_on": False,
                "thinking_can_be_off": True,
                "sampling": "any",
                "efforts": (),
            },
            capabilities={"tools": False, "parallel_tools": False, "structured_output": False, "json_object": False},
            limits={"max_context_tokens": 128_000, "max_output_tokens": 16_384},
        ),
        ModelRule(
            pattern=r"^(ft:)?o\d",
            reason="The o-series reasons at effort low to high and takes neither sampling parameters nor stop sequences.",
            source=_REASONING,
            date="2026-11-20",
            quirks={**_REASONS, **_ALWAYS_REASONS, "efforts": LOW_TO_HIGH},
            limits={"max_context_tokens": 200_000, "max_output_tokens": 100_000},
        ),
        ModelRule(
            pattern=r"^(ft:)?(gpt-[34]|chatgpt-4o|gpt-audio)",
            reason="GPT-4.1 and earlier don't reason.",
            source=_REASONING,
            date="2026-11-20",
            quirks={"thinking": "none", "efforts": ()},
        ),
        ModelRule(
            pattern=r"^(ft:)?(gpt-3|gpt-4(?![.o])|gpt-4o-2024-05-13|chatgpt-4o)",
            reason="Structured output came with gpt-4o-2024-08-06.",
            source=f"{_OPENAI_DOCS}/guides/structured-outputs",
            date="2026-11-20",
            capabilities={"structured_output": False},
        ),
        ModelRule(
            pattern=r"^(ft:)?(gpt-3|gpt-4-(0|32k)|o3-mini|o1-mini)|^gpt-4$",
            reason="No image input.",
            source=f"{_OPENAI_DOCS}/guides/images-vision",
            date="2026-11-20",
            capabilities={"images": False, "image_media_types": [], "files": False},
        ),
        ModelRule(
            pattern=r"-audio",
            reason="Audio models take audio, and no images.",
            source=f"{_OPENAI_DOCS}/guides/audio",
            date="2026-11-20",
            capabilities={"audio": True, "images": False, "image_media_types": [], "structured_output": False},
        ),
        ModelRule(
            pattern=r"-search-preview",
            reason="Search preview models take neither sampling parameters nor tools.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={"sampling": "none"},
            capabilities={"tools": False, "parallel_tools": False},
        ),
    ),
)

OPENAI_COMPATIBLE = ProviderRow(
    type="openai-compatible",
    telemetry_name="openai",
    wire="openai_chat",
    documentation=_CHAT_API,
    default_path="/v1",
    needs_key=False,
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_sources=INLINE_OR_URL,
        audio=True,
        audio_media_types=WAV_AND_MP3,
        audio_sources=INLINE,
        files=True,
        file_sources=INLINE_OR_ID,
        prompt_cache="automatic",
    ),
    # Others know the older name of the limit (Ollama, llama.cpp and vLLM take no other, or both).
    quirks=Quirks(max_tokens_field="max_tokens", thinking="effort", efforts=ALL_EFFORTS),
)

OPENAI_RESPONSES = ProviderRow(
    type="openai-responses",
    telemetry_name="openai",
    wire="openai_responses",
    documentation=_RESPONSES_API,
    base_url="https://api.openai.com/v1",
    default_path="/v1",
    key_env="OPENAI_API_KEY",
    prices="openai",
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=ANY_SOURCE,
        files=True,
        file_sources=ANY_SOURCE,
        prompt_cache="automatic",
        count_tokens=True,
        file_uploads=True,
    ),
    # The provider takes reasoning of another model out of the input: it is bound to the model that made it. Keys of caches are
    # those of its other wire.
    quirks=Quirks(thinking="effort", efforts=ALL_EFFORTS, stop=False, reasoning_bound_to_model=True, session_cache_keys=True),
    limits=ModelLimits(min_cache_tokens=1_024),
    rules=(
        *OPENAI.rules,
        ModelRule(
            pattern=r".",
            reason="On this wire no model has stop sequences or takes audio, and every model has tools while it reasons.",
            source=_RESPONSES_API,
            date="2026-11-20",
            quirks={"stop": False, "tools_with_reasoning": True},
            capabilities={"audio": False},
        ),
        ModelRule(
            pattern=r"^gpt-5(\.\d)?-codex|^codex-",
            reason="The codex models always reason, at effort low to high.",
            source="https://github.com/openai/codex/issues/6647",
            date="2026-11-20",
            quirks={**_REASONS, **_ALWAYS_REASONS, "efforts": LOW_TO_HIGH},
        ),
        ModelRule(
            pattern=r"^gpt-5\.([2-9]-codex|1-codex-max)",
            reason="From 5.1-codex-max on also effort xhigh.",
            source=_EFFORTS,
            date="2026-11-20",
            quirks={"efforts": (*LOW_TO_HIGH, "xhigh")},
        ),
        ModelRule(
            pattern=r"^gpt-5-pro",
            reason="Reasons at effort high alone.",
            source=_EFFORTS,
            date="2026-11-20",
            quirks={"efforts": ("high",)},
            limits={"max_output_tokens": 272_000},
        ),
    ),
)
