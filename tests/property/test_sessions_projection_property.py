"""A history that is projected turn by turn is the same as one that is projected whole, and keeps its messages."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies import TEXT

from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.routing.registry import build_registry
from modeld.sessions.reasoning import Projector, project
from modeld_protocol.content import Message, RedactedThinkingBlock, TextBlock, ThinkingBlock

ADAPTERS = {"a": "anthropic", "b": "anthropic", "o": "openrouter", "g": "gemini"}
CONFIG = Config(
    {name: AdapterConfig(name, kind, "http://127.0.0.1:9/v1") for name, kind in ADAPTERS.items()},
    {f"{name}:{model}": ModelConfig(f"{name}:{model}", name, model) for name in ADAPTERS for model in ("m", "n")},
)
SPECS = list(build_registry(CONFIG).specs.values())


@st.composite
def answers(draw: st.DrawFn) -> Message:
    """An answer of one of the models, with reasoning of its own."""
    spec = draw(st.sampled_from(SPECS))
    raw: dict[str, Any] = {"provider": spec.provider_type, "model": spec.wire_name, "signature": "c2ln"}
    block = draw(st.sampled_from([ThinkingBlock("hm", raw), RedactedThinkingBlock(raw), TextBlock("so", raw)]))
    made = draw(st.sampled_from([None, {"provider": spec.provider, "model": spec.id}]))
    return Message("assistant", [block, TextBlock(draw(TEXT))], metadata=made)


HISTORIES = st.lists(st.one_of(answers(), TEXT.map(lambda text: Message("user", text))), max_size=12)


@given(HISTORIES, st.sampled_from(SPECS), st.booleans(), st.integers(0, 12), st.data())
@settings(max_examples=150, deadline=None)
def test_turn_by_turn_is_the_same_as_whole(
    history: list[Message], spec: Any, as_text: bool, refused_before: int, data: st.DataObject
) -> None:
    projector = Projector(spec, as_text=as_text, refused_before=refused_before)
    sent: list[Message] = []
    for count in sorted(data.draw(st.sets(st.integers(0, len(history))))):
        more = [Message("user", "go on")] if data.draw(st.booleans()) else history[count : count + 2]
        whole = project([*history[:count], *more], spec, as_text=as_text, refused_before=refused_before)
        projected = projector.project(history[:count], more)
        assert projected == whole
        assert all(one is other for one, other in zip(sent, projected.messages, strict=False))
        sent = projected.messages[:count]
