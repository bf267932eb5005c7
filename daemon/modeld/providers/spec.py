"""What an adapter knows of a model: its names, what it can do, what its provider's wire wants."""

from typing import Literal

import msgspec

from modeld_protocol.model import Capabilities, ModelLimits, Pricing


class Quirks(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a provider or model departs from its wire's plain form. All data: a wire reads the flag, never a vendor's name.

    Defaults are the plain form. Every row that sets one says in the catalog why, since when and where it is documented.
    """

    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    system_role: Literal["system", "developer"] = "system"
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
    thinking: Literal["none", "budget", "adaptive", "effort"] = "none"
    """How thinking is asked for: a token budget, adaptive with effort, or an effort level alone."""
    thinking_default_on: bool = False
    thinking_can_be_off: bool = True
    efforts: tuple[str, ...] = ()
    display: Literal["summarized", "omitted"] | None = None
    """What to ask for where the client names no display and the provider would omit the text."""
    tools_with_reasoning: bool = True
    forced_tool_choice: bool = True
    forced_tool_choice_with_thinking: bool = True
    prefill: bool = True
    """A last message of the assistant is continued; off where it is refused."""
    mid_conversation_system: bool = True
    """System messages may stand between others; off where the wire must move them to the front."""
    api_version: str | None = None
    max_function_count: int | None = None
    token_scale: float = 1.0
    """How many tokens the model makes of a text, against the local estimate (`estimate_input_tokens(…, scale)`)."""


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
