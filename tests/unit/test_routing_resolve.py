"""Resolution: hint, id, alias, name at a provider, bare name, default; and errors that help."""

import pytest

from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.providers.failure import ProviderFailure
from modeld.routing.registry import Registry, build_registry
from modeld.routing.resolve import resolve


def built(default: str | None = None) -> Registry:
    adapters = {
        "anthropic": AdapterConfig("anthropic", "anthropic"),
        "openai": AdapterConfig("openai", "openai"),
        "local": AdapterConfig("local", "openai-compatible"),
        "lab": AdapterConfig("lab", "openai-compatible"),
    }
    models = [
        ModelConfig("anthropic:claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6", aliases=("sonnet", "both")),
        ModelConfig("anthropic:claude-opus-5-5", "anthropic", "claude-opus-5-5", aliases=("opus",)),
        ModelConfig("openai:gpt-5", "openai", "gpt-5", aliases=("both", "claude-opus-5-5")),
        ModelConfig("local:small", "local", "qwen3:8b"),
        ModelConfig("local:big", "local", "llama"),
        ModelConfig("lab:big", "lab", "llama"),
    ]
    return build_registry(Config(adapters, {model.id: model for model in models}, default))


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("anthropic:claude-sonnet-4-6", None, "anthropic:claude-sonnet-4-6"),
        ("sonnet", None, "anthropic:claude-sonnet-4-6"),
        ("claude-sonnet-4-6", None, "anthropic:claude-sonnet-4-6"),
        ("gpt-5", None, "openai:gpt-5"),
        ("qwen3:8b", None, "local:small"),
        ("anthropic:sonnet", None, "anthropic:claude-sonnet-4-6"),
        ("anthropic:both", None, "anthropic:claude-sonnet-4-6"),
        ("lab:llama", None, "lab:big"),
        # an alias wins over a wire name
        ("claude-opus-5-5", None, "openai:gpt-5"),
        # a provider wins over everything
        ("claude-opus-5-5", "anthropic", "anthropic:claude-opus-5-5"),
        ("both", "openai", "openai:gpt-5"),
        ("llama", "lab", "lab:big"),
        ("big", "local", "local:big"),
        ("local:big", "local", "local:big"),
        # a provider alone
        (None, "anthropic", "anthropic:claude-sonnet-4-6"),
        (None, "openai", "openai:gpt-5"),
        (None, "lab", "lab:big"),
        (None, None, "anthropic:claude-sonnet-4-6"),
        ("", "", "anthropic:claude-sonnet-4-6"),
    ],
)
def test_what_is_meant(model: str | None, provider: str | None, expected: str) -> None:
    assert resolve(built(default="sonnet"), model, provider).id == expected


def test_a_provider_alone_means_its_best_where_the_default_is_elsewhere() -> None:
    assert resolve(built(default="gpt-5"), None, "anthropic").id == "anthropic:claude-opus-5-5"


@pytest.mark.parametrize(
    ("model", "provider", "error_class", "says"),
    [
        ("sonet", None, "model_not_found", ["no model is called sonet", "did you mean sonnet?", "`modeld models`"]),
        ("zzz", None, "model_not_found", ["no model is called zzz. `modeld models`"]),
        ("anthropic:gpt-5", None, "model_not_found", ["anthropic:gpt-5"]),
        ("gpt-5", "anthropic", "model_not_found", ["gpt-5 at the provider anthropic"]),
        ("openai:gpt-5", "anthropic", "model_not_found", ["openai:gpt-5 at the provider anthropic"]),
        ("both", None, "invalid_request", ["anthropic:claude-sonnet-4-6, openai:gpt-5", "use the id of one"]),
        ("llama", None, "invalid_request", ["local:big, lab:big"]),
        ("x", "mars", "invalid_request", ["no provider is called mars", "anthropic, openai, local, lab"]),
        ("x", "openai-compatible", "invalid_request", ["local, lab", "name one of them"]),
        (None, "local", "invalid_request", ["no default model", "local:small, local:big"]),
        ("y" * 5_000, None, "model_not_found", ["y" * 200 + "…"]),
    ],
)
def test_errors_name_what_was_asked_for_and_the_next_step(
    model: str | None, provider: str | None, error_class: str, says: list[str]
) -> None:
    with pytest.raises(ProviderFailure) as caught:
        resolve(built(default="sonnet"), model, provider)
    assert caught.value.error_class == error_class
    assert not caught.value.retryable
    assert [words for words in says if words not in caught.value.message] == []
    assert len(caught.value.message) < 1_000


def test_a_type_names_its_only_provider() -> None:
    registry = build_registry(Config({"work": AdapterConfig("work", "anthropic")}, {}, models_given=False))
    assert resolve(registry, "opus", "anthropic").id == "work:claude-opus-5-5"


def test_no_default_is_said() -> None:
    with pytest.raises(ProviderFailure, match="set default_model") as caught:
        resolve(built())
    assert caught.value.error_class == "invalid_request"


def test_an_empty_registry_fails_like_any_other() -> None:
    registry = build_registry(Config({}, {}, models_given=False))
    with pytest.raises(ProviderFailure, match="no model is named"):
        resolve(registry)
    with pytest.raises(ProviderFailure, match="no model is called opus"):
        resolve(registry, "opus")
