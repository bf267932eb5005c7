"""Provider rows: what each provider is, where it departs from its wire, and which of its models depart further. Data only.

A further provider that is only data is one more row here, its models in `models.json` and a cassette. Rules are applied in
order, every one whose pattern is found in the wire name; a later rule wins. A name that no rule knows has the row's base,
which allows everything: a guess must not refuse what the provider would have taken.
"""

from typing import Any

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits

from ..spec import Quirks


class ModelRule(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the models whose wire name contains `pattern` (a regular expression, case-insensitive).

    `quirks`, `capabilities` and `limits` hold only what changes. Capabilities that follow from quirks (thinking, efforts,
    forced tool choice, sampling, stop sequences) are not given here: `load` derives them.
    """

    pattern: str
    reason: str
    source: str
    date: str
    quirks: dict[str, Any] = {}
    capabilities: dict[str, Any] = {}
    limits: dict[str, Any] = {}


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One provider type.

    `base_url` is what the provider's own SDK takes, "" where the config must give one; `default_path` is appended where a
    base URL has no path. The key goes into `key_header` after `key_prefix`; `key_env` is the variable it is looked up in
    where the config names none. `prices` is the provider's name in prices.json; `free` marks one that charges nothing.
    """

    type: str
    wire: str
    documentation: str
    capabilities: Capabilities
    quirks: Quirks = Quirks()
    limits: ModelLimits = msgspec.field(default_factory=ModelLimits)
    base_url: str = ""
    default_path: str = ""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    key_env: str | None = None
    needs_key: bool = True
    headers: dict[str, str] = {}
    prices: str | None = None
    free: bool = False
    rules: tuple[ModelRule, ...] = ()


PLANNED_TYPES = (
    "openai-responses",
    "gemini",
    "deepseek",
    "qwen",
    "glm",
    "kimi",
    "minimax",
    "openrouter",
    "groq",
    "cerebras",
    "ollama",
)
"""Types that the protocol names and this version has no row for."""

_ALL_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LOW_TO_MAX = ("low", "medium", "high", "xhigh", "max")
_LOW_TO_HIGH = ("low", "medium", "high")
_IMAGE_TYPES = ["image/jpeg", "image/png", "image/gif", "image/webp"]

# ---- Anthropic

_ANTHROPIC_DOCS = "https://platform.claude.com/docs/en"
_MESSAGES_API = f"{_ANTHROPIC_DOCS}/api/messages"
_API_VERSION = f"{_ANTHROPIC_DOCS}/api/migration-2026-10-21"
_TO_SONNET_5 = f"{_ANTHROPIC_DOCS}/models/sonnet-5/migration-guide"
_TO_SONNET_5_5 = f"{_ANTHROPIC_DOCS}/models/sonnet-5-5/migration-guide"
_TO_OPUS_5 = f"{_ANTHROPIC_DOCS}/models/opus-5/migration-guide"
_CACHING = f"{_ANTHROPIC_DOCS}/build-with-claude/prompt-caching"
_AI_SDK_ANTHROPIC = "https://www.npmjs.com/package/@ai-sdk/anthropic/v/4.0.105"

_ANTHROPIC = ProviderRow(
    type="anthropic",
    wire="anthropic_messages",
    documentation=f"{_ANTHROPIC_DOCS}/api/overview",
    base_url="https://api.anthropic.com",
    key_header="x-api-key",
    key_prefix="",
    key_env="ANTHROPIC_API_KEY",
    prices="anthropic",
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=False,
        images=True,
        image_media_types=_IMAGE_TYPES,
        files=True,
        file_ids=True,
        prompt_cache="explicit",
        count_tokens=True,
    ),
    quirks=Quirks(
        max_tokens_field="max_tokens",
        thinking="adaptive",
        efforts=_LOW_TO_MAX,
        display="summarized",
        api_version="2023-06-01",
    ),
    limits=ModelLimits(min_cache_tokens=1_024),
    rules=(
        ModelRule(
            pattern=r"claude-[a-z]+-\d",
            reason="Since API version 2026-10-21 no model takes temperature or top_p; models of 4.7 and later took only their "
            "defaults before.",
            source=_API_VERSION,
            date="2026-11-20",
            quirks={"sampling": "none", "api_version": "2026-10-21"},
            limits={"max_context_tokens": 1_000_000, "max_output_tokens": 128_000},
        ),
        ModelRule(
            pattern=r"claude-[a-z]+-\d",
            reason="The fifth generation thinks unless told otherwise, refuses a last assistant message, and makes about 30 % "
            "more tokens of a text than 4.6.",
            source=_TO_SONNET_5,
            date="2026-11-20",
            quirks={"thinking_default_on": True, "prefill": False, "token_scale": 1.3},
        ),
        ModelRule(
            pattern=r"claude-[a-z]+-\d",
            reason="From Opus 5 on, prompts of 512 tokens are cached.",
            source=f"{_ANTHROPIC_DOCS}/about-claude/models/whats-new-opus-5",
            date="2026-11-20",
            limits={"min_cache_tokens": 512},
        ),
        ModelRule(
            pattern=r"claude-(fable|mythos)-\d",
            reason="Thinking is always on: `disabled` is refused.",
            source=_AI_SDK_ANTHROPIC,
            date="2026-11-20",
            quirks={"thinking_can_be_off": False},
        ),
        ModelRule(
            pattern=r"claude-(fable|mythos)-(5[-.][1-9](?!\d)|[6-9]|\d\d)",
            reason="From 5.1 on, tool_choice any and tool are refused.",
            source=f"{_ANTHROPIC_DOCS}/models/opus-5-5/overview",
            date="2026-11-20",
            quirks={"forced_tool_choice": False},
        ),
        ModelRule(
            pattern=r"claude-(opus|sonnet)-(5[-.][5-9](?!\d)|[6-9]|\d\d)",
            reason="From 5.5 on, thinking is always on and tool_choice any and tool are refused.",
            source=_TO_SONNET_5_5,
            date="2026-11-20",
            quirks={"thinking_can_be_off": False, "forced_tool_choice": False},
        ),
        ModelRule(
            pattern=r"claude-sonnet-5(?![-.][1-9](?!\d))|claude-opus-4[-.]8",
            reason="Prompts shorter than 1024 tokens are not cached.",
            source=_CACHING,
            date="2026-11-20",
            limits={"min_cache_tokens": 1_024},
        ),
        ModelRule(
            pattern=r"claude-opus-4[-.][78]",
            reason="Thinks only where asked to.",
            source=_TO_OPUS_5,
            date="2026-11-20",
            quirks={"thinking_default_on": False},
        ),
        ModelRule(
            pattern=r"claude-opus-4[-.]7",
            reason="Prompts shorter than 2048 tokens are not cached; a system message stands first only.",
            source=_CACHING,
            date="2026-11-20",
            quirks={"mid_conversation_system": False},
            limits={"min_cache_tokens": 2_048},
        ),
        ModelRule(
            pattern=r"claude-(opus|sonnet)-4[-.]6",
            reason="No effort xhigh. On the older API version temperature or top_p is taken, not both, and none with thinking.",
            source=_AI_SDK_ANTHROPIC,
            date="2026-11-20",
            quirks={
                "efforts": ("low", "medium", "high", "max"),
                "sampling": "one_of_two",
                "sampling_with_thinking": False,
                "api_version": "2023-06-01",
                "mid_conversation_system": False,
                "thinking_default_on": False,
                "display": None,
                "token_scale": 1.0,
            },
            limits={"min_cache_tokens": 1_024},
        ),
        ModelRule(
            pattern=r"claude-(opus|sonnet|haiku)-4(?![-.]?[6-9])|claude-(4|3)[-.]|claude-3|claude-(v?2|instant)",
            reason="4.5 and earlier: thinking takes a token budget, no effort, and no forced tool choice beside it; a last "
            "assistant message is continued; temperature or top_p as at 4.6.",
            source=_AI_SDK_ANTHROPIC,
            date="2026-11-20",
            quirks={
                "thinking": "budget",
                "efforts": (),
                "forced_tool_choice_with_thinking": False,
                "sampling": "one_of_two",
                "sampling_with_thinking": False,
                "prefill": True,
                "api_version": "2023-06-01",
                "mid_conversation_system": False,
                "thinking_default_on": False,
                "display": None,
                "token_scale": 1.0,
            },
            limits={"max_context_tokens": 200_000, "max_output_tokens": 64_000, "min_cache_tokens": 1_024},
        ),
        ModelRule(
            pattern=r"claude-opus-4[-.]5|claude-4[-.]5-opus",
            reason="The first model with an effort level, beside its budget.",
            source=_AI_SDK_ANTHROPIC,
            date="2026-11-20",
            quirks={"efforts": _LOW_TO_HIGH},
        ),
        ModelRule(
            pattern=r"claude-(opus-4[-.][56]|haiku-4[-.]5)|claude-4[-.]5-(opus|haiku)",
            reason="Prompts shorter than 4096 tokens are not cached.",
            source=_CACHING,
            date="2026-11-20",
            limits={"min_cache_tokens": 4_096},
        ),
        ModelRule(
            pattern=r"claude-(opus|sonnet)-4(?![-.]?[1-9](?!\d))|claude-4-(opus|sonnet)|claude-3",
            reason="No structured output of its own before 4.1.",
            source=_AI_SDK_ANTHROPIC,
            date="2026-11-20",
            capabilities={"structured_output": False},
        ),
        ModelRule(
            pattern=r"claude-opus-4(?![-.]?[2-9](?!\d))|claude-4-opus",
            reason="Opus 4 and 4.1 write at most 32,000 tokens.",
            source=_AI_SDK_ANTHROPIC,
            date="2026-11-20",
            limits={"max_output_tokens": 32_000},
        ),
        ModelRule(
            pattern=r"claude-3(?!-7|\.7)",
            reason="Before 3.7 no thinking; at most 8,192 tokens of output (4,096 for 3).",
            source=_MESSAGES_API,
            date="2026-11-20",
            quirks={"thinking": "none"},
            limits={"max_output_tokens": 4_096, "min_cache_tokens": 2_048},
        ),
        ModelRule(
            pattern=r"claude-3[-.]5",
            reason="3.5 writes up to 8,192 tokens.",
            source=_MESSAGES_API,
            date="2026-11-20",
            limits={"max_output_tokens": 8_192},
        ),
    ),
)

_ANTHROPIC_COMPATIBLE = ProviderRow(
    type="anthropic-compatible",
    wire="anthropic_messages",
    documentation=_MESSAGES_API,
    key_header="x-api-key",
    key_prefix="",
    needs_key=False,
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=False,
        images=True,
        files=True,
        file_ids=True,
        prompt_cache="explicit",
        count_tokens=True,
    ),
    # Others implement the older version of the interface: a token budget for thinking, sampling parameters, a prefill.
    quirks=Quirks(
        max_tokens_field="max_tokens",
        thinking="budget",
        efforts=_ALL_EFFORTS,
        api_version="2023-06-01",
        mid_conversation_system=False,
    ),
)

# ---- OpenAI

_OPENAI_DOCS = "https://platform.openai.com/docs"
_CHAT_API = f"{_OPENAI_DOCS}/api-reference/chat/create"
_EFFORTS = "https://learn.microsoft.com/en-us/javascript/api/@azure/ai-projects/reasoningeffort"
_REASONING = f"{_OPENAI_DOCS}/guides/reasoning"
_AI_SDK_OPENAI = "https://www.npmjs.com/package/@ai-sdk/openai/v/4.0.118"
_REASONS = {"system_role": "developer", "stop": False, "thinking": "effort", "thinking_default_on": True}
_ALWAYS_REASONS = {"thinking_can_be_off": False, "sampling": "none"}

_OPENAI = ProviderRow(
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
        image_media_types=_IMAGE_TYPES,
        audio=True,
        files=True,
        file_ids=True,
        prompt_cache="automatic",
    ),
    quirks=Quirks(thinking="effort", efforts=_ALL_EFFORTS),
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
            quirks={**_REASONS, **_ALWAYS_REASONS, "efforts": _LOW_TO_MAX},
            limits={"max_context_tokens": 1_050_000, "max_output_tokens": 128_000},
        ),
        ModelRule(
            pattern=r"^gpt-6-(sol|luna)|^gpt-6\.1-terra",
            reason="These also have effort none, and take sampling parameters then.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={"thinking_can_be_off": True, "sampling": "without_reasoning", "efforts": ("none", *_LOW_TO_MAX)},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5",
            reason="GPT-5 reasons at effort minimal to high and takes neither sampling parameters nor stop sequences.",
            source=_EFFORTS,
            date="2026-11-20",
            quirks={**_REASONS, **_ALWAYS_REASONS, "efforts": ("minimal", *_LOW_TO_HIGH)},
            limits={"max_context_tokens": 400_000, "max_output_tokens": 128_000},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5[.-][1-9](?!\d)",
            reason="5.1 has effort none to high, and takes sampling parameters at none.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={"thinking_can_be_off": True, "sampling": "without_reasoning", "efforts": ("none", *_LOW_TO_HIGH)},
        ),
        ModelRule(
            pattern=r"^(ft:)?gpt-5[.-][2-9](?!\d)",
            reason="From 5.2 on also effort xhigh.",
            source=_AI_SDK_OPENAI,
            date="2026-11-20",
            quirks={"efforts": ("none", *_LOW_TO_HIGH, "xhigh")},
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
            quirks={"efforts": ("none", *_LOW_TO_MAX), "tools_with_reasoning": False},
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
            quirks={**_REASONS, **_ALWAYS_REASONS, "efforts": _LOW_TO_HIGH},
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
            capabilities={"images": False, "image_media_types": [], "files": False, "file_ids": False},
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

_OPENAI_COMPATIBLE = ProviderRow(
    type="openai-compatible",
    wire="openai_chat",
    documentation=_CHAT_API,
    default_path="/v1",
    needs_key=False,
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        audio=True,
        files=True,
        file_ids=True,
        prompt_cache="automatic",
    ),
    # Others know the older name of the limit (Ollama, llama.cpp and vLLM take no other, or both).
    quirks=Quirks(max_tokens_field="max_tokens", thinking="effort", efforts=_ALL_EFFORTS),
)

ROWS: dict[str, ProviderRow] = {row.type: row for row in (_ANTHROPIC, _ANTHROPIC_COMPATIBLE, _OPENAI, _OPENAI_COMPATIBLE)}
