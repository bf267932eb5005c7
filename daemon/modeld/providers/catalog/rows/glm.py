"""The row of GLM: Z.ai and Zhipu, thinking on by default, reasoning back as it came, sampling in an open interval."""

from modeld_protocol.model import Capabilities

from ...spec import Quirks
from .row import ALL_EFFORTS, IMAGE_TYPES, INLINE_OR_URL, ModelRule, ProviderRow

_DOCS = "https://docs.z.ai"
_THINKING = f"{_DOCS}/guides/capabilities/thinking-mode"
_SDK = "https://pypi.org/project/zai-sdk/0.2.3/"
_LITELLM = "https://pypi.org/project/litellm/1.109.1/"

GLM = ProviderRow(
    type="glm",
    wire="openai_chat",
    documentation=f"{_DOCS}/api-reference/llm/chat-completion",
    base_url="https://api.z.ai/api/paas/v4",
    default_path="/api/paas/v4",
    regions={
        "international": "https://api.z.ai/api/paas/v4",
        "china": "https://open.bigmodel.cn/api/paas/v4",
        "international-coding": "https://api.z.ai/api/coding/paas/v4",
        "china-coding": "https://open.bigmodel.cn/api/coding/paas/v4",
    },
    key_env="ZAI_API_KEY",
    headers={"Accept-Language": "en-US,en"},
    prices="zai",
    capabilities=Capabilities(
        tool_result_media=True,
        structured_output=False,
        json_object=True,
        images=True,
        image_media_types=IMAGE_TYPES,
        image_sources=INLINE_OR_URL,
        prompt_cache="automatic",
        file_uploads=True,
    ),
    # Temperature and top_p lie strictly between 0 and 1, as the vendor's SDK clamps them; greedy sampling is a switch of its
    # own. Reasoning goes back unmodified; the provider itself clears that of earlier turns unless told to keep it
    # (`provider_options: {glm: {thinking: {clear_thinking: false}}}`).
    # Uploads are for its agents, and no request of this wire may name them: https://docs.z.ai/api-reference/agents/file-upload
    # (2026-11-20).
    quirks=Quirks(
        max_tokens_field="max_tokens",
        thinking="effort",
        thinking_default_on=True,
        efforts=ALL_EFFORTS,
        thinking_on={"thinking": {"type": "enabled"}},
        thinking_off={"thinking": {"type": "disabled"}},
        temperature_range=(0.01, 0.99),
        top_p_range=(0.01, 0.99),
        greedy={"do_sample": False},
        tool_choices=("auto",),
        forced_tool_choice=False,
        max_function_count=128,
        max_stop_sequences=1,
        reasoning_history="provider",
        options=("thinking", "do_sample", "request_id", "user_id", "tool_stream"),
        file_purposes=(("", "agent"),),
        file_page_size=None,
    ),
    rules=(
        ModelRule(
            pattern=r"glm-4\.[56]",
            reason="Tokens are counted for these.",
            source=f"{_DOCS}/api-reference/tools/tokenizer",
            date="2026-11-20",
            quirks={"count_path": "/tokenizer"},
            capabilities={"count_tokens": True},
        ),
        ModelRule(
            pattern=r"glm-(z1|4(?![.\d])|3)|charglm|codegeex",
            reason="Before 4.5 no switch for thinking.",
            source=_THINKING,
            date="2026-11-20",
            quirks={"thinking": "none", "thinking_default_on": False, "efforts": (), "thinking_on": {}, "thinking_off": {}},
        ),
        ModelRule(
            pattern=r"glm-(4\.\d|5(\.[01])?(?![.\d]))",
            reason="Before 5.2 thinking has no levels: they are taken, and have no effect.",
            source=_SDK,
            date="2026-11-20",
            quirks={"thinking": "switch", "efforts": ()},
        ),
        ModelRule(
            pattern=r"glm-(4\.[6-9]|[5-9])(?!.*v\b)",
            reason="Arguments of calls are streamed where asked for.",
            source=f"{_DOCS}/guides/tools/stream-tool",
            date="2026-11-20",
            quirks={"body_with_streamed_tools": {"tool_stream": True}},
        ),
        ModelRule(
            pattern=r"glm-(5\.[2-9]|[6-9])",
            reason="From 5.2 on, a million tokens go in, 131,072 come out.",
            source=_SDK,
            date="2026-11-20",
            limits={"max_context_tokens": 1_000_000, "max_output_tokens": 131_072},
        ),
        ModelRule(
            pattern=r"glm-5\.3",
            reason="Always thinks, at level low, high or max.",
            source=_SDK,
            date="2026-11-20",
            quirks={"efforts": ("low", "high", "max"), "thinking_can_be_off": False},
        ),
        ModelRule(
            pattern=r"glm-(4\.[67]|5(\.1)?($|-|v))",
            reason="200,000 tokens go in, 131,072 come out.",
            source=_LITELLM,
            date="2026-11-20",
            limits={"max_context_tokens": 200_000, "max_output_tokens": 131_072},
        ),
        ModelRule(
            pattern=r"^glm-(?![\d.]+v|5\.3-flash|ocr)",
            reason="Text only.",
            source=_SDK,
            date="2026-11-20",
            capabilities={"images": False, "image_media_types": [], "tool_result_media": False},
        ),
    ),
)
