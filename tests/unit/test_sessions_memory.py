"""What a loaded session keeps for its next turn: counted, bounded, and gone with the session."""

import pytest

from modeld.clock import SYSTEM
from modeld.config.schema import AdapterConfig, Config, ModelConfig
from modeld.ledger.schema import LEDGER
from modeld.ledger.store import Store
from modeld.providers.catalog import wire_of
from modeld.runtime import Runtime
from modeld.sessions import registry
from modeld.sessions.records import SCHEMA
from modeld.sessions.registry import Sessions
from modeld_protocol.content import Message, TextBlock, ThinkingBlock
from modeld_protocol.request import CanonicalRequest
from modeld_protocol.session import SessionAppendParams, SessionCreateParams

pytestmark = pytest.mark.anyio

CONFIG = Config(
    adapters={"a": AdapterConfig("a", "anthropic"), "b": AdapterConfig("b", "anthropic")},
    models={f"{name}:m": ModelConfig(f"{name}:m", name, "m") for name in "ab"},
)
RAW = {"provider": "anthropic", "model": "m", "signature": "c2ln"}
HISTORY = [
    Message("user", "hello " * 200, "msg_1"),
    Message("assistant", [ThinkingBlock("hm", RAW), TextBlock("hello")], "msg_2", {"provider": "a", "model": "a:m"}),
]


async def test_what_is_kept_is_counted_and_leaves_with_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(None, SYSTEM, (LEDGER, SCHEMA))
    runtime = Runtime(CONFIG, environment={})
    sessions = Sessions(store, runtime)
    specs = runtime.snapshot.registry.specs
    used, other = [(await sessions.create(SessionCreateParams())).session_id for _ in range(2)]
    await sessions.append(SessionAppendParams(used, list(HISTORY)))
    live = await sessions.open(used)
    idle_bytes = live.held_bytes

    for spec in specs.values():
        messages = live.projected(spec, [Message("user", "go on")]).messages
        memory = live.memories.of(spec)
        wire_of(spec.wire).encode(CanonicalRequest(messages), spec, stream=True, memory=memory)
        assert memory.held_bytes > 1_000
        again = live.projected(spec).messages
        assert all(one is before for one, before in zip(again, messages, strict=False)), "projected once"
    assert live.held_bytes == idle_bytes + sum(live.memories.of(spec).held_bytes for spec in specs.values())

    await sessions.open(other)
    monkeypatch.setattr(registry, "MAX_LOADED_BYTES", live.held_bytes - 1)
    sessions.trim()
    loaded_again = await sessions.open(used)
    assert loaded_again is not live
    assert loaded_again.memories.held_bytes == 0
    assert [message.id for message in loaded_again.messages] == ["msg_1", "msg_2"]
    await runtime.close()
    await store.close()
