"""The row of MiniMax: reasoning split off on request, and the whole assistant message back in the history."""

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import IMAGE_TYPES, INLINE_OR_URL, ModelRule, ProviderRow

_DOCS = "https://platform.minimax.io/docs"
_CHAT = f"{_DOCS}/api-reference/text-openai-api"

MINIMAX = ProviderRow(
    type="minimax",
    wire="openai_chat",
    documentation=_CHAT,
    base_url="https://api.minimax.io/v1",
    default_path="/v1",
    regions={"international": "https://api.minimax.io/v1", "china": "https://api.minimaxi.com/v1"},
    key_env="MINIMAX_API_KEY",
    prices="minimax",
    capabilities=Capabilities(
        tool_result_media=True,
        structured_output=False,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=INLINE_OR_URL,
        prompt_cache="automatic",
    ),
    # Without `reasoning_split` reasoning stands in the content, between tags; some models do both. The documentation's example
    # takes fragments of it for everything so far, the service has been seen to send only what is new
    # (https://github.com/MiniMax-AI/MiniMax-M2/issues/95, 2026-11-20): either is read. Streams have ended without [DONE].
    quirks=Quirks(
        end_marker=False,
        body={"reasoning_split": True},
        thinking="switch",
        thinking_default_on=True,
        thinking_on={"thinking": {"type": "adaptive"}},
        thinking_off={"thinking": {"type": "disabled"}},
        think_tags=True,
        reasoning_snapshots=True,
        reasoning_history="provider",
        temperature_range=(0.01, 1.0),
        top_p_range=(0.01, 1.0),
        tool_choices=("none", "auto"),
        forced_tool_choice=False,
        options=("reasoning_split", "thinking", "top_k"),
    ),
    rules=(
        ModelRule(
            pattern=r"m3",
            reason="A million tokens go in, 131,072 come out.",
            source="https://pypi.org/project/litellm/1.109.1/",
            date="2026-11-20",
            limits={"max_context_tokens": 1_000_000, "max_output_tokens": 131_072},
        ),
        ModelRule(
            pattern=r"m[12](?![\d])",
            reason="Thinks always, and reads text only.",
            source=_CHAT,
            date="2026-11-20",
            quirks={"thinking_can_be_off": False, "thinking_on": {}, "thinking_off": {}},
            capabilities={"images": False, "image_media_types": [], "tool_result_media": False},
            limits={"max_context_tokens": 204_800},
        ),
        ModelRule(
            pattern=r"text-01|^minimax-01|abab|m2-her",
            reason="Doesn't think, and refuses the switch.",
            source=_CHAT,
            date="2026-11-20",
            quirks={
                "body": {},
                "thinking": "none",
                "thinking_default_on": False,
                "thinking_can_be_off": True,
                "thinking_on": {},
                "thinking_off": {},
            },
        ),
    ),
)
