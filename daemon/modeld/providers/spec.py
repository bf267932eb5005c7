"""What an adapter knows of a model: its names, what it can do, what its provider's wire wants."""

from typing import Any, Literal

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits, Pricing


class Quirks(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a provider or model departs from its wire's plain form. All data: a wire reads the flag, never a vendor's name.

    Defaults are the plain form. Every row that sets one says in the catalog why, since when and where it is documented.
    """

    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    system_role: Literal["system", "developer", "user"] = "system"
    """`user`: the model has no role for it, its words go before the first of the user's."""
    stream_usage: bool = True
    """Ask for usage in streams (`stream_options.include_usage`)."""
    end_marker: bool = True
    """A stream without the wire's own end marker is broken; off where the provider leaves it out on success."""
    sampling: Literal["any", "none", "without_reasoning", "one_of_two"] = "any"
    """`none`: the model refuses temperature and top_p; `without_reasoning`: accepts them at effort none only;
    `one_of_two`: temperature or top_p, not both."""
    sampling_with_thinking: bool = True
    """Off where temperature and top_p are refused as soon as thinking is on."""
    stop: bool = True
    thinking: Literal["none", "budget", "adaptive", "effort", "switch"] = "none"
    """How thinking is asked for: a token budget, adaptive with effort, an effort level alone, or on and off alone."""
    thinking_budget: tuple[int, int] | None = None
    """The least and the most tokens of a budget, on wires where it may also be left to the model."""
    thinking_default_on: bool = False
    thinking_can_be_off: bool = True
    thinking_off_ignored: bool = False
    """Where thinking can't be turned off: the provider takes the switch and the model thinks all the same. It is sent then, with
    a warning, instead of being refused."""
    efforts: tuple[str, ...] = ()
    display: Literal["summarized", "omitted"] | None = None
    """What to ask for where the client names no display and the provider would omit the text."""
    tools_with_reasoning: bool = True
    forced_tool_choice: bool = True
    forced_tool_choice_with_thinking: bool = True
    prefill: bool = True
    """A last message of the assistant is continued; off where it is refused."""
    media_in_tool_results: bool = True
    """Off where media of a tool's result must follow in the user's words."""
    stand_in_signature: str | None = None
    """What a call of another model carries in the history, where calls without a signature are refused."""
    session_cache_keys: bool = False
    """The provider keeps requests with the same key close to one cache: the turns of a session, and of its forks, carry one."""
    mid_conversation_system: bool = True
    """System messages may stand between others; off where the wire must move them to the front."""
    api_version: str | None = None
    max_function_count: int | None = None
    tool_dialect: Literal["native", "tagged", "fenced"] = "native"
    """How tools are offered: by the wire, or as text in the prompt and the answer, for models without (reliable) tools."""

    # ---- the chat wire: what is sent. Dicts are members of the request body, merged member by member.
    body: dict[str, Any] = {}
    """Sent with every request."""
    body_with_tools: dict[str, Any] = {}
    """Sent where the request has tools or asks for structured output."""
    body_with_streamed_tools: dict[str, Any] = {}
    thinking_on: dict[str, Any] = {}
    thinking_off: dict[str, Any] = {}
    """Sent where thinking is asked for or turned off, beside level or budget; empty where a level says it all."""
    thinking_display: dict[str, dict[str, Any]] = {}
    """Sent for each display that the provider has a word for."""
    effort_path: str = "reasoning_effort"
    budget_path: str | None = None
    """Where level and token budget go in the body, with dots between members. Without a path a budget becomes a level."""
    reasoning_history: Literal["omit", "provider", "text"] = "omit"
    """What becomes of reasoning in the history: left out; back to the provider that made it, where it came from; as text."""
    reasoning_turns: Literal["all", "tools"] = "all"
    """`tools`: reasoning goes back in turns with tool calls only; in the others the provider ignores or refuses it."""
    reasoning_required: Literal["reasoning_content", "reasoning"] | None = None
    """The field that every assistant message of a turn with tool calls needs while the model thinks; a space where the
    history has no reasoning of this provider."""
    reasoning_bound_to_model: bool = False
    """Another model of the same provider can't take the reasoning."""
    tool_choices: tuple[str, ...] = ("none", "auto", "required", "tool")
    """The choices that have a word on this provider's wire."""
    parallel_tool_calls: bool | None = None
    """What to say of parallel calls where the client says nothing."""
    prefill_mark: Literal["partial", "prefix"] | None = None
    """The flag of a last assistant message that is to be continued."""
    tool_ids: Literal["portable", "verbatim"] = "portable"
    """`verbatim`: ids of tool calls go back as they came, whatever they hold."""
    schema_with_tools: bool = True
    """Off where structured output and tools exclude each other."""
    ignored_schema_keywords: tuple[str, ...] = ()
    """Keywords at the top of a tool's schema that the provider trips over."""
    temperature_range: tuple[float, float] = (0.0, 2.0)
    top_p_range: tuple[float, float] = (0.0, 1.0)
    greedy: dict[str, Any] = {}
    """Sent for temperature 0 where the range begins above it."""
    max_stop_sequences: int | None = None
    max_stop_bytes: int | None = None
    min_output_tokens: int = 0
    image_urls: bool = True
    """Off where the provider fetches no images: only inline ones are taken."""
    cache_markers: Literal["none", "asked", "always"] = "none"
    """Markers for the prompt cache on content parts: in mode explicit, or in mode auto too."""
    cache_ttls: tuple[str, ...] = ()
    """The lifetimes that a marker may name; the provider's own where there are none."""
    options: tuple[str, ...] = ()
    """Further members of the body that `provider_options` may set, as they are."""
    count_path: str | None = None
    """Where tokens are counted."""

    # ---- chat wires: files that the provider keeps
    file_purposes: tuple[tuple[str, str], ...] = (("", "user_data"),)
    """What an upload says it is for, by how its media type begins; the first that fits. Empty: the form has no such field."""
    file_page_size: int | None = 1_000
    """The files that a page of the list holds at most; None where it takes no limit."""
    image_file_url: str | None = None
    """Images by file id are URLs that begin with this."""
    image_file_part: bool = False
    """Images by file id are parts of type file, with the id beside the type."""
    file_ids_in_system: str | None = None
    """Files by id go into a system message before the message that names them, each behind this prefix."""

    # ---- the chat wire: what is read
    usage_after_error: bool = False
    """A stream that breaks off with an error may still tell what the call cost."""
    think_tags: bool = False
    """Content may begin with reasoning between <think> and </think>."""
    reasoning_snapshots: bool = False
    """A fragment of reasoning may repeat everything before it."""
    reports_cost: bool = False
    """`usage.cost` is what the provider charged, in USD."""

    token_scale: float = 1.0
    """How many tokens the model makes of a text, against the local estimate (`estimate_input_tokens(…, scale)`)."""


PLAIN = Quirks()
"""A wire's plain form."""


class ModelSpec(msgspec.Struct, frozen=True):
    """One configured model, resolved from config and catalog. `id` is `provider:name`, `provider` the adapter's name in the
    config, `provider_type` its row in the catalog, `wire_name` what the provider calls it."""

    id: str
    provider: str
    provider_type: str
    wire: str
    wire_name: str
    capabilities: Capabilities
    limits: ModelLimits
    quirks: Quirks = Quirks()
    pricing: Pricing | None = None
    aliases: tuple[str, ...] = ()
    tier: str | None = None
    can_delegate: bool = False
    fallbacks: tuple[str, ...] = ()
    files_with: tuple[str, ...] = ()
    """Further adapters with the same address and key: a file that one of them has, all have."""
