"""Rows of the Messages wire: Anthropic, and whoever speaks it."""

from modeld_protocol.model import Capabilities, ModelLimits

from ...spec import Quirks
from .row import ALL_EFFORTS, ANY_SOURCE, IMAGE_TYPES, LOW_TO_HIGH, LOW_TO_MAX, ModelRule, ProviderRow

_ANTHROPIC_DOCS = "https://platform.claude.com/docs/en"
_MESSAGES_API = f"{_ANTHROPIC_DOCS}/api/messages"
_API_VERSION = f"{_ANTHROPIC_DOCS}/api/migration-2026-10-21"
_TO_SONNET_5 = f"{_ANTHROPIC_DOCS}/models/sonnet-5/migration-guide"
_TO_SONNET_5_5 = f"{_ANTHROPIC_DOCS}/models/sonnet-5-5/migration-guide"
_TO_OPUS_5 = f"{_ANTHROPIC_DOCS}/models/opus-5/migration-guide"
_CACHING = f"{_ANTHROPIC_DOCS}/build-with-claude/prompt-caching"
_AI_SDK_ANTHROPIC = "https://www.npmjs.com/package/@ai-sdk/anthropic/v/4.0.105"
# Documents, and images that stand in a file block: https://platform.claude.com/docs/en/build-with-claude/files (2026-11-20).
_TEXTS = [f"application/{kind}" for kind in ("json", "xml", "yaml", "x-yaml", "javascript")]
_DOCUMENTS = ["application/pdf", "text/*", *_TEXTS, *IMAGE_TYPES]

ANTHROPIC = ProviderRow(
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
        image_media_types=IMAGE_TYPES,
        image_sources=ANY_SOURCE,
        files=True,
        file_media_types=_DOCUMENTS,
        file_sources=ANY_SOURCE,
        prompt_cache="explicit",
        count_tokens=True,
        file_uploads=True,
    ),
    quirks=Quirks(
        max_tokens_field="max_tokens",
        thinking="adaptive",
        efforts=LOW_TO_MAX,
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
            quirks={"efforts": LOW_TO_HIGH},
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

ANTHROPIC_COMPATIBLE = ProviderRow(
    type="anthropic-compatible",
    telemetry_name="anthropic",
    wire="anthropic_messages",
    documentation=_MESSAGES_API,
    key_header="x-api-key",
    key_prefix="",
    needs_key=False,
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=False,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=ANY_SOURCE,
        files=True,
        file_media_types=_DOCUMENTS,
        file_sources=ANY_SOURCE,
        prompt_cache="explicit",
        count_tokens=True,
    ),
    # Others implement the older version of the interface: a token budget for thinking, sampling parameters, a prefill.
    quirks=Quirks(
        max_tokens_field="max_tokens",
        thinking="budget",
        efforts=ALL_EFFORTS,
        api_version="2023-06-01",
        mid_conversation_system=False,
    ),
)
