"""What people see of a config: sources of keys, never keys."""

import msgspec
import pytest

from modeld.config.redacted import key_source, redacted
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.config.wording import looks_like_key, quote, quote_name, quote_variable
from modeld.credentials.secret import Secret

SOURCES = [
    ({}, None, None),
    ({}, "OPENAI_API_KEY", "environment variable OPENAI_API_KEY"),
    ({"api_key": Secret("CANARY")}, "X", "api_key in the config file"),
    ({"api_key_env": "MY_KEY"}, "X", "environment variable MY_KEY"),
    ({"api_key_env": "CANARY4f9d8a7b6c5e4f3a2b1c"}, "X", "environment variable (not shown)"),
    ({"api_key_command": ("pass", "show", "CANARY")}, "X", "command pass …"),
    ({"api_key_keyring": "modeld/openai"}, "X", "keyring modeld/openai"),
]


@pytest.mark.parametrize(("fields", "default", "words"), SOURCES)
def test_key_source(fields: dict[str, object], default: str | None, words: str | None) -> None:
    assert key_source(AdapterConfig("a", "openai", **fields), default) == words


def test_redacted_shows_everything_but_secrets() -> None:
    adapter = AdapterConfig(
        "a",
        "openai",
        base_url="https://me:CANARY@host/v1?key=CANARY#CANARY",
        api_key=Secret("CANARY"),
        extra_headers={"X-Title": "CANARY"},
        options={"region": "eu", "token": "CANARY", "nested": [{"password": "CANARY", "n": 1}, "sk-CANARY-1"]},
    )
    config = Config({"a": adapter}, {"a:m": ModelConfig("a:m", "a", "m", aliases=("x",))}, "a:m")
    text = msgspec.json.encode(redacted(config))
    assert b"CANARY" not in text
    shown = msgspec.json.decode(text)
    assert shown["adapters"]["a"]["extra_headers"] == {"X-Title": "(redacted)"}
    assert shown["adapters"]["a"]["options"]["region"] == "eu"
    assert shown["adapters"]["a"]["key_source"] == "api_key in the config file"
    assert shown["adapters"]["a"]["base_url"].startswith("https://host/v1")
    assert shown["models"]["a:m"]["aliases"] == ["x"]


HARMLESS = [
    "anthropic:claude-sonnet-4-6",
    "claude-3-5-sonnet-20241022",
    "openrouter:meta-llama/llama-3.3-70b-instruct:free",
    "accounts/fireworks/models/deepseek-v3p1",
    "gpt-4o-mini-2024-07-18",
    "gemini-2.5-flash-preview-09-2025",
    "openai-compatible",
    "risk-averse",
    "balanced",
]
KEYS = [
    "sk-ant-api03-abc",
    "sk-proj-12345678",
    "AIzaSyA1234567",
    "gsk_abcd1234",
    "xai-abcd1234",
    "Bearer abc",
    "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "123e4567-e89b-12d3-a456-426614174000",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZABCD",
]


def test_what_looks_like_a_key() -> None:
    assert [text for text in HARMLESS if looks_like_key(text) or quote(text) != f"'{text}'"] == []
    assert [text for text in KEYS if not looks_like_key(text) or text in quote(text) or text in quote_name(text)] == []
    assert quote("my-secret") == "(not shown)"
    assert quote_name("api_key") == "'api_key'"
    assert quote("a\nb\x1b") == "'a?b?'"
    assert quote("ab " * 100).endswith("…'")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "KEY", "MY_SECRET_2"])
def test_variables_are_named(name: str) -> None:
    assert quote_variable(name) == name


@pytest.mark.parametrize("name", ["gsk_abc", "AKIAIOSFODNN7EXAMPLE", "0A1B2C3D4E5F60718293", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"])
def test_keys_in_place_of_variables_are_not(name: str) -> None:
    assert quote_variable(name) == "(not shown)"
