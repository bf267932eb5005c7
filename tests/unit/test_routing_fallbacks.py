"""Which models may stand in for another, as a table."""

import msgspec
import pytest

from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.routing.fallbacks import fallbacks_of
from modeld.routing.registry import build_registry
from modeld_protocol.request import CanonicalRequest, Tool

ADAPTERS = {name: AdapterConfig(name, type_) for name, type_ in (("a", "anthropic"), ("b", "openai"), ("b2", "openai"))}
MODELS = {
    "a:one": ModelConfig("a:one", "a", "one", fallbacks=("b:two", "b2:three")),
    "b:two": ModelConfig("b:two", "b", "two", fallbacks=("a:one", "a:four")),
    "b2:three": ModelConfig("b2:three", "b2", "three", fallbacks=("b:two",), capabilities={"tools": False}),
    "a:four": ModelConfig("a:four", "a", "four"),
}
REGISTRY = build_registry(Config(ADAPTERS, MODELS))
ASK = CanonicalRequest("Hello.")

CASES = [
    ("theirs after its own, in order, each once", "a:one", ASK, ["b:two", "b2:three", "a:four"]),
    ("each other's", "b:two", ASK, ["a:one", "a:four", "b2:three"]),
    ("none", "a:four", ASK, []),
    ("a capability is missing", "a:one", msgspec.structs.replace(ASK, tools=[Tool("t")]), ["b:two", "a:four"]),
    ("the provider is named", "a:one", msgspec.structs.replace(ASK, provider="a"), ["a:four"]),
    ("options of one type", "a:one", msgspec.structs.replace(ASK, provider_options={"anthropic": {}}), ["a:four"]),
    (
        "options of both types",
        "a:one",
        msgspec.structs.replace(ASK, provider_options={"anthropic": {}, "openai": {}}),
        ["b:two", "b2:three", "a:four"],
    ),
    (
        "options of another type",
        "a:one",
        msgspec.structs.replace(ASK, provider_options={"openai": {}}),
        ["b:two", "b2:three", "a:four"],
    ),
]


@pytest.mark.parametrize(("model", "request_", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_fallbacks(model: str, request_: CanonicalRequest, expected: list[str]) -> None:
    assert [spec.id for spec in fallbacks_of(REGISTRY, REGISTRY.specs[model], request_, stream=False)] == expected
