"""The row of Groq: the chat wire, fast, for open models."""

from typing import Any

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import IMAGE_TYPES, INLINE_OR_URL, LOW_TO_HIGH, ModelRule, ProviderRow

_DOCS = "https://console.groq.com/docs"
_REASONING = f"{_DOCS}/reasoning"
_STRUCTURED = f"{_DOCS}/structured-outputs"
_VISION = f"{_DOCS}/vision"
_PARSED: dict[str, Any] = {
    "thinking_default_on": True,
    "body": {"reasoning_format": "parsed"},
    "think_tags": True,
    "thinking_display": {"omitted": {"reasoning_format": "hidden"}},
}
_BACK: dict[str, Any] = {"reasoning_history": "provider", "reasoning_turns": "tools"}

GROQ = ProviderRow(
    type="groq",
    wire="openai_chat",
    documentation=f"{_DOCS}/api-reference",
    base_url="https://api.groq.com/openai/v1",
    default_path="/openai/v1",
    key_env="GROQ_API_KEY",
    prices="groq",
    capabilities=Capabilities(
        tool_result_media=True,
        json_object=True,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=INLINE_OR_URL,
        prompt_cache="automatic",
        file_uploads=True,
    ),
    # Uploads are lines of JSON for its batches, and no request of this wire may name them:
    # https://console.groq.com/docs/api-reference#files-upload (2026-11-20).
    quirks=Quirks(
        thinking="effort",
        efforts=("none", *LOW_TO_HIGH),
        max_function_count=128,
        max_stop_sequences=4,
        schema_with_tools=False,
        options=("reasoning_format", "include_reasoning", "documents", "disable_tool_validation"),
        file_purposes=(("", "batch"),),
        file_page_size=None,
    ),
    rules=(
        ModelRule(
            pattern=r"gpt-oss",
            reason="Always thinks, at level low, medium or high; reasoning may go back beside tool calls.",
            source=_REASONING,
            date="2026-11-20",
            quirks={
                "thinking_default_on": True,
                "thinking_can_be_off": False,
                "efforts": LOW_TO_HIGH,
                "thinking_display": {"omitted": {"include_reasoning": False}},
                **_BACK,
            },
            limits={"max_context_tokens": 131_072, "max_output_tokens": 65_536},
        ),
        ModelRule(
            pattern=r"qwen3",
            reason="Thinks unless told otherwise; its reasoning stands in the content, between tags, unless asked for apart.",
            source=_REASONING,
            date="2026-11-20",
            quirks={**_PARSED, **_BACK, "efforts": ("none", "default")},
        ),
        ModelRule(
            pattern=r"qwen3\.8",
            reason="Also has levels.",
            source="https://pypi.org/project/groq/1.7.0/",
            date="2026-11-20",
            quirks={"efforts": ("none", "default", *LOW_TO_HIGH)},
        ),
        ModelRule(
            pattern=r"deepseek-r1|qwq",
            reason="Thinks always; its reasoning stands in the content, between tags, unless asked for apart.",
            source=_REASONING,
            date="2026-11-20",
            quirks={**_PARSED, "thinking": "switch", "thinking_can_be_off": False, "efforts": ()},
        ),
        ModelRule(
            pattern=r"llama|gemma|mi[sx]tral|allam|qwen-2|kimi-k2-instruct",
            reason="Doesn't think.",
            source=_REASONING,
            date="2026-11-20",
            quirks={"thinking": "none", "thinking_default_on": False, "thinking_can_be_off": True, "efforts": (), "body": {}},
        ),
        ModelRule(
            pattern=r"llama-?3|gemma|mi[sx]tral|allam|qwen-?[23]|deepseek-r1|qwq|guard",
            reason="Follows no schema of an answer.",
            source=_STRUCTURED,
            date="2026-11-20",
            capabilities={"structured_output": False},
        ),
        ModelRule(
            pattern=r"qwen3\.8",
            reason="Follows a schema.",
            source=_STRUCTURED,
            date="2026-11-20",
            capabilities={"structured_output": True},
        ),
        ModelRule(
            pattern=r"gpt-oss|llama-?3(?!.*vision)|gemma|mi[sx]tral|allam|qwen3-|qwen-2|qwq|deepseek-r1|kimi-k2-instruct|prompt-guard",
            reason="Text only.",
            source=_VISION,
            date="2026-11-20",
            capabilities={"images": False, "image_media_types": [], "tool_result_media": False},
        ),
        ModelRule(
            pattern=r"kimi-",
            reason="Makes ids such as `functions.name:0`, which go back verbatim.",
            source="https://platform.kimi.ai/docs/api/chat",
            date="2026-11-20",
            quirks={"tool_ids": "verbatim"},
        ),
    ),
)
