"""The registry: config over catalog, in a fixed order, and names that mean what they should."""

import pytest

from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.routing.registry import build_registry, builtin_config
from modeld_protocol.model import PriceTier, Pricing


def config(*models: ModelConfig, default: str | None = None, **adapters: str | AdapterConfig) -> Config:
    known = {name: AdapterConfig(name, it) if isinstance(it, str) else it for name, it in adapters.items()}
    return Config(known, {model.id: model for model in models}, default, models_given=bool(models))


SONNET = ModelConfig("anthropic:claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6", aliases=("sonnet", "balanced"))
LOCAL = ModelConfig("local:qwen", "local", "qwen3:8b")


def test_configured_models_take_facts_from_the_catalog() -> None:
    registry = build_registry(config(SONNET, LOCAL, anthropic="anthropic", local="openai-compatible"))
    spec = registry.specs["anthropic:claude-sonnet-4-6"]
    assert (spec.provider, spec.provider_type, spec.wire, spec.tier) == (
        "anthropic",
        "anthropic",
        "anthropic_messages",
        "balanced",
    )
    assert spec.limits.max_output_tokens == 128_000 and spec.pricing and spec.pricing.input == 3
    assert list(registry.specs) == ["anthropic:claude-sonnet-4-6", "local:qwen"]
    assert registry.specs["local:qwen"].wire_name == "qwen3:8b" and registry.specs["local:qwen"].pricing is None


def test_the_wire_name_is_the_id_without_its_provider_unless_given() -> None:
    model = ModelConfig("local:a:b", "local", "")
    assert build_registry(config(model, local="openai-compatible")).specs["local:a:b"].wire_name == "a:b"


def test_overrides_win_over_the_catalog() -> None:
    model = ModelConfig(
        "anthropic:x",
        "anthropic",
        "claude-opus-5-5",
        tier="fast",
        capabilities={"images": False, "forced_tool_choice": True},
        limits={"max_output_tokens": 100},
    )
    spec = build_registry(config(model, anthropic="anthropic")).specs["anthropic:x"]
    assert (spec.capabilities.images, spec.capabilities.forced_tool_choice, spec.quirks.forced_tool_choice) == (False, True, True)
    assert (spec.limits.max_output_tokens, spec.limits.max_context_tokens, spec.tier) == (100, 1_000_000, "fast")


@pytest.mark.parametrize("wrong", [{"capabilities": {"images": "sure"}}, {"limits": {"max_output_tokens": "many"}}])
def test_an_override_that_is_none_names_its_model(wrong: dict[str, dict[str, object]]) -> None:
    model = ModelConfig("anthropic:x", "anthropic", "claude-opus-5-5", **wrong)
    with pytest.raises(ValueError, match="anthropic:x: "):
        build_registry(config(model, anthropic="anthropic"))


def test_a_model_without_its_adapter_is_named() -> None:
    with pytest.raises(ValueError, match="local:qwen: no adapter is called local"):
        build_registry(config(LOCAL, anthropic="anthropic"))


ASTRA = {"input": 10.0, "output": 50.0, "cache_read": 1.0, "cache_write": 12.5}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Pricing(input=1.0), Pricing(**(ASTRA | {"input": 1.0}), version="configured")),
        (Pricing(input=0.0, output=0.0), Pricing(**(ASTRA | {"input": 0.0, "output": 0.0}), version="configured")),
        (Pricing(output=9.0, version="2026-Q4"), Pricing(**(ASTRA | {"output": 9.0}), version="configured:2026-Q4")),
        (Pricing(currency="EUR", input=2.0), Pricing(currency="EUR", input=2.0, version="configured")),
        (
            Pricing(above=[PriceTier(10, 3.0)]),
            Pricing(**ASTRA, version="configured", above=[PriceTier(10, 3.0)]),
        ),
    ],
)
def test_configured_prices(given: Pricing, expected: Pricing) -> None:
    model = ModelConfig("openai:gpt-6-astra", "openai", "gpt-6-astra", pricing=given)
    assert build_registry(config(model, openai="openai")).specs["openai:gpt-6-astra"].pricing == expected


def test_an_endpoint_is_described_by_its_options() -> None:
    options = {"max_tokens_field": "max_completion_tokens", "stream_usage": False, "thinking": "none", "organization": "acme"}
    local = AdapterConfig("local", "openai-compatible", options=options)
    spec = build_registry(config(LOCAL, local=local)).specs["local:qwen"]
    assert (spec.quirks.max_tokens_field, spec.quirks.stream_usage) == ("max_completion_tokens", False)
    assert spec.capabilities.thinking is False
    wrong = AdapterConfig("local", "openai-compatible", options={"stream_usage": "no"})
    with pytest.raises(ValueError, match=r"local: .*options"):
        build_registry(config(LOCAL, local=wrong))


def test_without_models_the_catalog_is_offered_by_every_adapter() -> None:
    registry = build_registry(config(work="anthropic", home="anthropic", local="openai-compatible"))
    assert "work:claude-opus-5-5" in registry.specs and "home:claude-opus-5-5" in registry.specs
    assert not [spec for spec in registry.specs.values() if spec.provider == "local"]
    assert registry.aliases["opus"] == ("home:claude-opus-5-5",)
    assert registry.specs["work:claude-opus-5-5"].aliases == ()
    assert registry.default == "home:claude-opus-5-5"
    assert registry.defaults == {"work": "work:claude-opus-5-5", "home": "home:claude-opus-5-5"}
    assert all(spec.id == f"{spec.provider}:{spec.wire_name}" for spec in registry.specs.values())


@pytest.mark.parametrize(
    ("default", "models", "expected"),
    [
        ("sonnet", (SONNET, LOCAL), "anthropic:claude-sonnet-4-6"),
        ("local:qwen", (SONNET, LOCAL), "local:qwen"),
        ("gone", (SONNET, LOCAL), None),
        (None, (SONNET, LOCAL), None),
        (None, (LOCAL,), "local:qwen"),
    ],
)
def test_the_default_model(default: str | None, models: tuple[ModelConfig, ...], expected: str | None) -> None:
    registry = build_registry(config(*models, default=default, anthropic="anthropic", local="openai-compatible"))
    assert registry.default == expected


@pytest.mark.parametrize(
    ("env", "default"),
    [
        ({}, "anthropic:claude-opus-5-5"),
        ({"OPENAI_API_KEY": "k"}, "openai:gpt-6.1-sol"),
        ({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "anthropic:claude-opus-5-5"),
        ({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": ""}, "openai:gpt-6.1-sol"),
    ],
)
def test_without_a_file_the_environment_decides_the_default(env: dict[str, str], default: str) -> None:
    built = builtin_config(env)
    keys = {name: adapter.api_key_env for name, adapter in built.adapters.items()}
    assert {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}.items() <= keys.items() and not built.models_given
    assert len(set(keys.values())) == len(keys)  # two adapters with one key would make every model's name mean two
    assert build_registry(built).default == default


def test_the_same_config_gives_the_same_registry() -> None:
    one, two = (build_registry(config(SONNET, anthropic="anthropic")) for _ in range(2))
    assert one == two
