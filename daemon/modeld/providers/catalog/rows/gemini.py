"""The row of the Gemini wire."""

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import ANY_SOURCE, LOW_TO_HIGH, ModelRule, ProviderRow

_DOCS = "https://ai.google.dev/gemini-api/docs"
_THINKING = f"{_DOCS}/thinking"
_CACHING = f"{_DOCS}/caching"
_SIGNATURES = f"{_DOCS}/thought-signatures"
_MODELS = f"{_DOCS}/models"
_AI_SDK = "https://www.npmjs.com/package/@ai-sdk/google/v/4.0.121"
_MINIMAL_TO_HIGH = ("minimal", *LOW_TO_HIGH)
# https://ai.google.dev/gemini-api/docs/audio (2026-11-20)
_AUDIO_TYPES = [f"audio/{kind}" for kind in ("wav", "mpeg", "aiff", "aac", "ogg", "flac")]
_NO_THINKING = {
    "thinking": "none",
    "thinking_default_on": False,
    "thinking_can_be_off": True,
    "thinking_budget": None,
    "efforts": (),
    "display": None,
}

GEMINI = ProviderRow(
    type="gemini",
    telemetry_name="gcp.gemini",
    wire="gemini",
    documentation="https://ai.google.dev/api/generate-content",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    default_path="/v1beta",
    key_header="x-goog-api-key",
    key_prefix="",
    key_env="GEMINI_API_KEY",
    prices="google",
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_media_types=["image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"],
        image_sources=ANY_SOURCE,
        audio=True,
        audio_media_types=_AUDIO_TYPES,
        audio_sources=ANY_SOURCE,
        files=True,
        file_sources=ANY_SOURCE,
        prompt_cache="automatic",
        count_tokens=True,
        file_uploads=True,
        explicit_caches=True,
    ),
    # Thoughts come only where they are asked for. Calls that carry no signature are refused from Gemini 3 on; this one stands
    # in for those that another model made: https://ai.google.dev/gemini-api/docs/thought-signatures (2026-11-20).
    quirks=Quirks(
        thinking="effort",
        thinking_default_on=True,
        thinking_budget=(1, 65_536),
        efforts=_MINIMAL_TO_HIGH,
        display="summarized",
        stand_in_signature="skip_thought_signature_validator",
    ),
    rules=(
        ModelRule(
            pattern=r"gemini-(2\.5|[3-9]|\d\d|flash-latest|flash-lite-latest|pro-latest)",
            reason="Since 2.5 a million tokens go in and 65,536 come out.",
            source=_MODELS,
            date="2026-11-20",
            limits={"max_context_tokens": 1_048_576, "max_output_tokens": 65_536},
        ),
        ModelRule(
            pattern=r"gemini-([3-9]|\d\d|flash-latest|flash-lite-latest|pro-latest)",
            reason="From Gemini 3 on, thinking has levels and no off; budgets are still taken. 4,096 tokens are cached.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"thinking_can_be_off": False},
            limits={"min_cache_tokens": 4_096},
        ),
        ModelRule(
            pattern=r"gemini-3-flash",
            reason="Prompts of 1,024 tokens are cached.",
            source=_CACHING,
            date="2026-11-20",
            limits={"min_cache_tokens": 1_024},
        ),
        ModelRule(
            pattern=r"gemini-(3[\d.]*-pro|3\.([7-9]|\d\d)-flash(?!-lite)|4|flash-latest|pro-latest)",
            reason="No level minimal.",
            source=_AI_SDK,
            date="2026-11-20",
            quirks={"efforts": LOW_TO_HIGH},
        ),
        ModelRule(
            pattern=r"gemini-3-pro",
            reason="The first of the third generation has the levels low and high alone.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"efforts": ("low", "high")},
        ),
        ModelRule(
            pattern=r"gemini-4[\d.]*-hydrogen",
            reason="The one model with level xhigh.",
            source=_AI_SDK,
            date="2026-11-20",
            quirks={"efforts": (*LOW_TO_HIGH, "xhigh")},
        ),
        ModelRule(
            pattern=r"gemini-([12]([.-]|$)|(pro|flash)-1\.5|pro$|pro-vision)|gemma-?[123]|learnlm",
            reason="Before Gemini 3: results of tools are text, a schema and tools exclude each other, calls need no signature.",
            source=_AI_SDK,
            date="2026-11-20",
            quirks={"media_in_tool_results": False, "schema_with_tools": False, "stand_in_signature": None},
        ),
        ModelRule(
            pattern=r"gemini-2\.5",
            reason="Thinking takes a budget: 0 turns it off, -1 leaves it to the model.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"thinking": "budget", "thinking_budget": (1, 24_576), "efforts": ()},
            limits={"min_cache_tokens": 1_024},
        ),
        ModelRule(
            pattern=r"gemini-2\.5-flash-lite",
            reason="Thinks only where asked to, with at least 512 tokens.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"thinking_default_on": False, "thinking_budget": (512, 24_576)},
        ),
        ModelRule(
            pattern=r"gemini-2\.5-pro",
            reason="Always thinks, with 128 to 32,768 tokens; prompts of 4,096 tokens are cached.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"thinking_can_be_off": False, "thinking_budget": (128, 32_768)},
            limits={"min_cache_tokens": 4_096},
        ),
        ModelRule(
            pattern=r"gemini-(1|2\.0(?!.*thinking)|2-|(pro|flash)-1\.5|pro$|pro-vision)|gemma-?[123]|learnlm",
            reason="Gemini 2.0 and earlier, and the open models of its time, don't think.",
            source=_THINKING,
            date="2026-11-20",
            quirks=_NO_THINKING,
            limits={"max_output_tokens": 8_192},
        ),
        ModelRule(
            pattern=r"gemma-?[123]",
            reason="The open models up to the third take no system prompt, no tools and no schema.",
            source=f"{_DOCS}/gemma_on_gemini_api",
            date="2026-11-20",
            quirks={"system_role": "user"},
            capabilities={
                "tools": False,
                "parallel_tools": False,
                "structured_output": False,
                "json_object": False,
                "audio": False,
            },
        ),
        ModelRule(
            pattern=r"-image|-tts|nano-banana",
            reason="Models that draw or speak have no tools.",
            source=_MODELS,
            date="2026-11-20",
            capabilities={"tools": False, "parallel_tools": False},
        ),
        ModelRule(
            pattern=r"gemini-2.*(-image|-tts)",
            reason="Before Gemini 3, models that draw or speak don't think and follow no schema.",
            source=_MODELS,
            date="2026-11-20",
            quirks=_NO_THINKING,
            capabilities={"structured_output": False, "json_object": False},
            limits={"max_context_tokens": 32_768, "max_output_tokens": 8_192},
        ),
    ),
)
