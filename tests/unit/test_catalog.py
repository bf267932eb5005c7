"""The catalog: rows and rules say what the facts say, every rule has its grounds, every model its price."""

import re

import msgspec
import pytest

from modeld.providers.catalog import (
    all_rows,
    default_key_env,
    facts_of,
    known_types,
    model_of,
    models_of,
    price_of,
    row_of,
    unknown_type,
    with_capabilities,
)
from modeld.providers.catalog.rows import PLANNED_TYPES
from modeld.providers.spec import Quirks
from modeld_protocol.model import Capabilities, ModelLimits

PROTOCOL_TYPES = {
    *("anthropic", "openai", "openai-responses", "gemini", "deepseek", "qwen", "glm", "kimi", "minimax", "openrouter"),
    *("groq", "cerebras", "ollama", "openai-compatible", "anthropic-compatible"),
}


def facts(type_name: str, wire_name: str):
    return facts_of(row_of(type_name), wire_name)


def test_every_type_of_the_protocol_is_known_or_planned_and_none_both() -> None:
    assert set(known_types()) | set(PLANNED_TYPES) == PROTOCOL_TYPES
    assert not set(known_types()) & set(PLANNED_TYPES)


def test_a_planned_type_says_so_and_names_the_others() -> None:
    for name in PLANNED_TYPES:
        assert unknown_type(name) == f"{name} is not available in this version; use one of: {', '.join(known_types())}"
    with pytest.raises(KeyError, match="gemeni is not a known adapter type"):
        row_of("gemeni")


def test_every_rule_has_its_grounds_and_changes_what_exists() -> None:
    for row in all_rows():
        for rule in row.rules:
            re.compile(rule.pattern)
            assert rule.reason and rule.source.startswith("https://") and re.fullmatch(r"\d{4}-\d{2}-\d{2}", rule.date)
            assert rule.quirks or rule.capabilities or rule.limits
            msgspec.convert({**msgspec.structs.asdict(row.quirks), **rule.quirks}, Quirks)
            msgspec.convert({**msgspec.structs.asdict(row.capabilities), **rule.capabilities}, Capabilities)
            msgspec.convert({**msgspec.structs.asdict(row.limits), **rule.limits}, ModelLimits)


def test_keys_and_addresses() -> None:
    known = {
        "anthropic": "ANTHROPIC_API_KEY",
        "openai": "OPENAI_API_KEY",
        "openai-responses": "OPENAI_API_KEY",
        "anthropic-compatible": None,
        "openai-compatible": None,
    }
    assert known.items() <= default_key_env().items()
    assert (row_of("anthropic").key_header, row_of("anthropic").key_prefix) == ("x-api-key", "")
    assert (row_of("openai").key_header, row_of("openai").key_prefix) == ("authorization", "Bearer ")
    assert (row_of("gemini").key_header, row_of("gemini").key_prefix) == ("x-goog-api-key", "")
    assert row_of("openai-compatible").base_url == ""


LOW_TO_MAX = ("low", "medium", "high", "xhigh", "max")
LOW_TO_HIGH = ("low", "medium", "high")
# name: thinking, on by default, can be off, efforts, sampling, forced choice, prefill, system inside, API, min. cache
CLAUDE = {
    "claude-fable-5-2": ("adaptive", True, False, LOW_TO_MAX, "none", False, False, True, "2026-10-21", 512),
    "claude-mythos-5-1": ("adaptive", True, False, LOW_TO_MAX, "none", False, False, True, "2026-10-21", 512),
    "claude-fable-5": ("adaptive", True, False, LOW_TO_MAX, "none", True, False, True, "2026-10-21", 512),
    "claude-opus-5-5": ("adaptive", True, False, LOW_TO_MAX, "none", False, False, True, "2026-10-21", 512),
    "claude-sonnet-5-5-20261001": ("adaptive", True, False, LOW_TO_MAX, "none", False, False, True, "2026-10-21", 512),
    "claude-haiku-5-5": ("adaptive", True, True, LOW_TO_MAX, "none", True, False, True, "2026-10-21", 512),
    "claude-opus-5": ("adaptive", True, True, LOW_TO_MAX, "none", True, False, True, "2026-10-21", 512),
    "claude-opus-5-20260723": ("adaptive", True, True, LOW_TO_MAX, "none", True, False, True, "2026-10-21", 512),
    "claude-sonnet-5": ("adaptive", True, True, LOW_TO_MAX, "none", True, False, True, "2026-10-21", 1024),
    "claude-opus-4-8": ("adaptive", False, True, LOW_TO_MAX, "none", True, False, True, "2026-10-21", 1024),
    "claude-opus-4-7": ("adaptive", False, True, LOW_TO_MAX, "none", True, False, False, "2026-10-21", 2048),
    "claude-opus-4-6": ("adaptive", False, True, (*LOW_TO_HIGH, "max"), "one_of_two", True, False, False, "2023-06-01", 4096),
    "claude-sonnet-4-6": ("adaptive", False, True, (*LOW_TO_HIGH, "max"), "one_of_two", True, False, False, "2023-06-01", 1024),
    "claude-opus-4-5-20251101": ("budget", False, True, LOW_TO_HIGH, "one_of_two", True, True, False, "2023-06-01", 4096),
    "claude-sonnet-4-5-20250929": ("budget", False, True, (), "one_of_two", True, True, False, "2023-06-01", 1024),
    "claude-haiku-4-5": ("budget", False, True, (), "one_of_two", True, True, False, "2023-06-01", 4096),
    "claude-sonnet-4-20250514": ("budget", False, True, (), "one_of_two", True, True, False, "2023-06-01", 1024),
    "claude-3-haiku-20240307": ("none", False, True, (), "one_of_two", True, True, False, "2023-06-01", 2048),
    "claude-opus-7": ("adaptive", True, False, LOW_TO_MAX, "none", False, False, True, "2026-10-21", 512),
    "a-model-of-a-gateway": ("adaptive", False, True, LOW_TO_MAX, "any", True, True, True, "2023-06-01", 1024),
}


@pytest.mark.parametrize("name", CLAUDE)
def test_messages_models(name: str) -> None:
    found = facts("anthropic", name)
    q = found.quirks
    assert CLAUDE[name] == (
        q.thinking,
        q.thinking_default_on,
        q.thinking_can_be_off,
        q.efforts,
        q.sampling,
        q.forced_tool_choice,
        q.prefill,
        q.mid_conversation_system,
        q.api_version,
        found.limits.min_cache_tokens,
    )


# name: thinking, can be off, efforts, sampling, stop, role, tools while reasoning
GPT = {
    "gpt-6-astra": ("effort", False, LOW_TO_MAX, "none", False, "developer", True),
    "gpt-6.1-sol": ("effort", False, LOW_TO_MAX, "none", False, "developer", True),
    "gpt-6.1-terra-2026-10-01": ("effort", True, ("none", *LOW_TO_MAX), "without_reasoning", False, "developer", True),
    "gpt-6-luna": ("effort", True, ("none", *LOW_TO_MAX), "without_reasoning", False, "developer", True),
    "gpt-7": ("effort", False, LOW_TO_MAX, "none", False, "developer", True),
    "gpt-5.6-sol": ("effort", True, ("none", *LOW_TO_MAX), "without_reasoning", False, "developer", False),
    "gpt-5.5": ("effort", True, ("none", *LOW_TO_HIGH, "xhigh"), "without_reasoning", False, "developer", True),
    "gpt-5.4-mini": ("effort", True, ("none", *LOW_TO_HIGH, "xhigh"), "without_reasoning", False, "developer", True),
    "gpt-5.1": ("effort", True, ("none", *LOW_TO_HIGH), "without_reasoning", False, "developer", True),
    "gpt-5-2025-08-07": ("effort", False, ("minimal", *LOW_TO_HIGH), "none", False, "developer", True),
    "gpt-5-chat-latest": ("none", True, (), "any", True, "system", True),
    "o3": ("effort", False, LOW_TO_HIGH, "none", False, "developer", True),
    "gpt-4.1": ("none", True, (), "any", True, "system", True),
    "gpt-4o-mini": ("none", True, (), "any", True, "system", True),
    "ft:gpt-4o-2024-08-06:acme::1": ("none", True, (), "any", True, "system", True),
}


@pytest.mark.parametrize("name", GPT)
def test_chat_models(name: str) -> None:
    q = facts("openai", name).quirks
    assert GPT[name] == (q.thinking, q.thinking_can_be_off, q.efforts, q.sampling, q.stop, q.system_role, q.tools_with_reasoning)


# name: thinking, can be off, efforts, sampling, role
RESPONSES = {
    "gpt-6.1-sol": ("effort", False, LOW_TO_MAX, "none", "developer"),
    "gpt-5.6-sol": ("effort", True, ("none", *LOW_TO_MAX), "without_reasoning", "developer"),
    "gpt-5.4-mini": ("effort", True, ("none", *LOW_TO_HIGH, "xhigh"), "without_reasoning", "developer"),
    "gpt-5-pro-2025-10-06": ("effort", False, ("high",), "none", "developer"),
    "gpt-5-codex": ("effort", False, LOW_TO_HIGH, "none", "developer"),
    "gpt-5.1-codex-mini": ("effort", False, LOW_TO_HIGH, "none", "developer"),
    "gpt-5.1-codex-max": ("effort", False, (*LOW_TO_HIGH, "xhigh"), "none", "developer"),
    "gpt-5.3-codex": ("effort", False, (*LOW_TO_HIGH, "xhigh"), "none", "developer"),
    "codex-mini-latest": ("effort", False, LOW_TO_HIGH, "none", "developer"),
    "gpt-5-chat-latest": ("none", True, (), "any", "system"),
    "gpt-4o": ("none", True, (), "any", "system"),
    "made-up": ("effort", True, ("none", "minimal", *LOW_TO_MAX), "any", "system"),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_models(name: str) -> None:
    q = facts("openai-responses", name).quirks
    assert RESPONSES[name] == (q.thinking, q.thinking_can_be_off, q.efforts, q.sampling, q.system_role)
    assert (q.stop, q.tools_with_reasoning, q.reasoning_bound_to_model) == (False, True, True)


TO_HIGH = ("minimal", *LOW_TO_HIGH)
# name: thinking, on by default, can be off, budget, efforts, stand-in, media in results, schema with tools, min. cache
GEMINIS = {
    "gemini-4-argon": ("effort", True, False, (1, 65_536), LOW_TO_HIGH, True, True, True, 4_096),
    "gemini-4-hydrogen": ("effort", True, False, (1, 65_536), (*LOW_TO_HIGH, "xhigh"), True, True, True, 4_096),
    "gemini-3.8-flash": ("effort", True, False, (1, 65_536), LOW_TO_HIGH, True, True, True, 4_096),
    "gemini-3.6-flash": ("effort", True, False, (1, 65_536), TO_HIGH, True, True, True, 4_096),
    "gemini-3.8-flash-lite": ("effort", True, False, (1, 65_536), TO_HIGH, True, True, True, 4_096),
    "gemini-flash-latest": ("effort", True, False, (1, 65_536), LOW_TO_HIGH, True, True, True, 4_096),
    "gemini-3.1-pro-preview": ("effort", True, False, (1, 65_536), LOW_TO_HIGH, True, True, True, 4_096),
    "gemini-3-pro-preview": ("effort", True, False, (1, 65_536), ("low", "high"), True, True, True, 4_096),
    "gemini-3-flash-preview": ("effort", True, False, (1, 65_536), TO_HIGH, True, True, True, 1_024),
    "gemini-2.5-pro": ("budget", True, False, (128, 32_768), (), False, False, False, 4_096),
    "gemini-2.5-flash-preview-09-2025": ("budget", True, True, (1, 24_576), (), False, False, False, 1_024),
    "gemini-2.5-flash-lite": ("budget", False, True, (512, 24_576), (), False, False, False, 1_024),
    "gemini-2.5-flash-image": ("none", False, True, None, (), False, False, False, 1_024),
    "gemini-2.0-flash": ("none", False, True, None, (), False, False, False, None),
    "gemini-1.5-flash": ("none", False, True, None, (), False, False, False, None),
    "gemma-3-27b-it": ("none", False, True, None, (), False, False, False, None),
    "tunedModels/mine": ("effort", True, True, (1, 65_536), TO_HIGH, True, True, True, None),
}


@pytest.mark.parametrize("name", GEMINIS)
def test_gemini_models(name: str) -> None:
    found = facts("gemini", name)
    q = found.quirks
    assert GEMINIS[name] == (
        q.thinking,
        q.thinking_default_on,
        q.thinking_can_be_off,
        q.thinking_budget,
        q.efforts,
        q.stand_in_signature is not None,
        q.media_in_tool_results,
        q.schema_with_tools,
        found.limits.min_cache_tokens,
    )


@pytest.mark.parametrize(
    ("type_name", "name", "lacks", "has"),
    [
        ("openai", "gpt-4", "images structured_output audio thinking", "tools json_object"),
        ("openai", "gpt-4o-2024-05-13", "structured_output", "images"),
        ("openai", "gpt-4o", "audio", "images structured_output stop_sequences sampling"),
        ("openai", "gpt-4o-audio-preview", "images", "audio"),
        ("openai", "gpt-5-chat-latest", "tools structured_output", "sampling"),
        ("openai-responses", "gpt-4o-audio-preview", "audio", "count_tokens"),
        ("openai-responses", "made-up", "stop_sequences audio", "tools images files file_ids tool_result_media count_tokens"),
        ("openai", "gpt-5", "thinking_off stop_sequences sampling", "thinking tools"),
        (
            "anthropic",
            "claude-sonnet-4-20250514",
            "structured_output audio json_object",
            "thinking tool_result_media count_tokens",
        ),
        ("anthropic", "claude-opus-5-5", "forced_tool_choice thinking_off sampling", "structured_output files"),
        ("anthropic", "claude-3-5-haiku-20241022", "thinking structured_output", "thinking_off tools"),
        ("gemini", "gemini-2.5-pro", "thinking_off", "thinking count_tokens json_object images audio files tool_result_media"),
        ("gemini", "gemma-3-27b-it", "tools structured_output thinking audio", "images system_prompt"),
        ("gemini", "gemini-3-pro-image", "tools", "images thinking structured_output"),
        ("gemini", "gemini-2.5-flash-image", "tools structured_output json_object thinking", "images"),
        ("openai-compatible", "whatever", "", "tools images audio files thinking thinking_off sampling json_object"),
        ("anthropic-compatible", "whatever", "json_object audio", "tools images files thinking sampling forced_tool_choice"),
    ],
)
def test_capabilities_are_honest(type_name: str, name: str, lacks: str, has: str) -> None:
    able = facts(type_name, name).capabilities
    assert [field for field in lacks.split() if getattr(able, field)] == []
    assert [field for field in has.split() if not getattr(able, field)] == []


def test_the_fields_that_compatible_endpoints_know() -> None:
    assert facts("openai-compatible", "gpt-6-astra").quirks.max_tokens_field == "max_tokens"
    assert facts("openai-compatible", "gpt-6-astra").quirks.sampling == "any"
    assert facts("openai", "made-up").quirks.max_tokens_field == "max_completion_tokens"


@pytest.mark.parametrize("type_name", ["anthropic", "openai", "openai-responses"])
def test_every_offered_model_has_limits_and_a_price(type_name: str) -> None:
    row, offered = row_of(type_name), models_of(type_name)
    assert sum(model.default for model in offered) == 1
    aliases = [alias for model in offered for alias in model.aliases]
    assert len(aliases) == len(set(aliases)) and not {model.name for model in offered} & set(aliases)
    for model in offered:
        limits, price = facts_of(row, model.name).limits, price_of(row, model.name)
        assert limits.max_context_tokens and limits.max_output_tokens and limits.max_output_tokens < limits.max_context_tokens
        assert price and price.input is not None and price.output is not None and 0 < price.input < price.output
        assert price.version and price.version.startswith("genai-prices-")


def test_only_what_is_offered_is_listed() -> None:
    assert "claude-mythos-5-2" not in {model.name for model in models_of("anthropic")}
    assert model_of("anthropic", "claude-mythos-5-2") is not None
    assert models_of("openai-compatible") == []


def test_a_dated_snapshot_is_its_model() -> None:
    assert model_of("anthropic", "claude-sonnet-4-5-20250929") == model_of("anthropic", "claude-sonnet-4-5")
    assert facts("anthropic", "claude-opus-4-5-20251101").limits.max_context_tokens == 200_000
    assert facts("openai", "gpt-4o-2024-11-20").limits.max_output_tokens == 16_384


@pytest.mark.parametrize(
    ("type_name", "name", "price"),
    [
        ("anthropic", "claude-opus-5-5", (4, 20, 0.2, 5, 8)),
        ("anthropic", "claude-opus-5", (5, 25, 0.5, 6.25, 10)),
        ("anthropic", "claude-opus-5-20260723", (5, 25, 0.5, 6.25, 10)),
        ("anthropic", "claude-sonnet-4-5-20250929", (3, 15, 0.3, 3.75, 6)),
        ("anthropic", "claude-fable-5-2", (8, 40, 0.2, 10, 16)),
        ("openai", "gpt-6.1-sol", (2, 10, 0.1, 2.5, None)),
        ("openai", "gpt-6.1-sol-2026-09-29", (2, 10, 0.1, 2.5, None)),
        ("openai", "GPT-5.6", (4, 20, 0.4, 5, None)),
        ("openai", "gpt-4o-mini", (0.15, 0.6, 0.075, None, None)),
        ("openai", "gpt-4o-2024-05-13", (5, 15, None, None, None)),
        ("gemini", "gemini-2.5-pro", (1.25, 10, 0.125, None, None)),
        ("gemini", "gemini-3.8-flash", (0.75, 3.75, 0.075, None, None)),
        ("anthropic", "claude-opus-9", None),
        ("openai", "gpt", None),
        ("openai-compatible", "gpt-6.1-sol", None),
    ],
)
def test_prices_by_the_longest_match(type_name: str, name: str, price: tuple[float | None, ...] | None) -> None:
    found = price_of(row_of(type_name), name)
    shown = found and (found.input, found.output, found.cache_read, found.cache_write, found.cache_write_1h)
    assert shown == price


def test_tiers_by_input() -> None:
    found = price_of(row_of("openai"), "gpt-6-astra")
    assert found is not None
    assert [(tier.input_tokens, tier.input, tier.output, tier.cache_read, tier.cache_write) for tier in found.above] == [
        (272_000, 20, 75, 2, 25)
    ]


def test_a_writing_for_an_hour_costs_twice_the_input() -> None:
    row = row_of("anthropic")
    for model in models_of("anthropic"):
        price = price_of(row, model.name)
        assert price is not None and price.input is not None
        assert price.cache_write_1h == pytest.approx(2 * price.input)


def test_a_free_provider_costs_nothing() -> None:
    free = msgspec.structs.replace(row_of("openai-compatible"), free=True)
    price = price_of(free, "anything")
    assert price is not None and (price.input, price.output, price.version) == (0, 0, "free")


@pytest.mark.parametrize(
    ("name", "changes", "quirk", "value"),
    [
        ("claude-opus-5-5", {"forced_tool_choice": True}, "forced_tool_choice", True),
        ("claude-opus-5-5", {"thinking_off": True}, "thinking_can_be_off", True),
        ("claude-opus-5-5", {"sampling": True}, "sampling", "any"),
        ("claude-opus-4-6", {"sampling": True}, "sampling", "one_of_two"),
        ("claude-opus-4-6", {"sampling": False}, "sampling", "none"),
        ("claude-opus-4-6", {"thinking": False}, "thinking", "none"),
        ("claude-3-haiku", {"thinking": True}, "thinking", "adaptive"),
        ("claude-opus-5-5", {"efforts": ["low"]}, "efforts", ("low",)),
        ("claude-opus-5-5", {"stop_sequences": False}, "stop", False),
        ("claude-opus-5-5", {"images": False}, "sampling", "none"),
    ],
)
def test_what_a_user_declares_reaches_the_wire(name: str, changes: dict[str, object], quirk: str, value: object) -> None:
    row = row_of("anthropic")
    changed = with_capabilities(facts_of(row, name), row, changes)
    assert getattr(changed.quirks, quirk) == value
    assert [getattr(changed.capabilities, field) for field in changes] == list(changes.values())


@pytest.mark.parametrize("changes", [{"telepathy": True}, {"tools": "yes"}])
def test_a_capability_that_is_none_is_refused(changes: dict[str, object]) -> None:
    row = row_of("anthropic")
    with pytest.raises(msgspec.ValidationError):
        with_capabilities(facts_of(row, "claude-opus-5"), row, changes)
