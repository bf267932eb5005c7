"""Promises F8 to F10: a session goes from any provider to any other and back, calls intact, reasoning whole again at home."""

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.harness.daemon import DaemonProcess
from tests.harness.peer import Message, Peer
from tests.harness.sessions import TOOL, calls_of, create, messages_of, problems_of, results_for, turn, wire_pairs

from modeld.providers.catalog import known_types, row_of
from modeld.simulator import Simulator
from modeld.simulator.wires.anthropic_messages import sign_thinking

pytestmark = pytest.mark.anyio
TYPES = sorted(known_types())
SCRIPTS = ("sim-text", "sim-thinking", "sim-tool", "sim-thinking-tool", "sim-parallel-tools-2", "sim-redacted")
PRICE = {"input": 3.0, "output": 15.0, "cache_read": 0.3, "cache_write": 3.75}
FORGED = sign_thinking("what was never thought")


def config_of(simulator: Simulator) -> str:
    """Every provider type, all of them at the simulator; `anthropic-2` is a second endpoint of one type."""
    types = {name: name for name in TYPES} | {"anthropic-2": "anthropic"}
    adapters: dict[str, Any] = {}
    for name, kind in types.items():
        on_root = row_of(kind).wire in ("anthropic_messages", "gemini", "ollama")
        url = simulator.base_url if on_root else simulator.openai_base_url
        adapters[name] = {"type": kind, "base_url": url, "api_key_env": "MODELD_TEST_KEY", "max_retries": 0}
    models: dict[str, Any] = {
        f"{name}:{script}": {"adapter": name, "wire_name": script} for name in adapters for script in SCRIPTS
    }
    models["anthropic:sim-text"]["pricing"] = PRICE
    models["openai:sim-text"]["pricing"] = PRICE
    models["anthropic:strict"] = {"adapter": "anthropic", "wire_name": "claude-sonnet-4-6"}
    models["openai:blind"] = {"adapter": "openai", "wire_name": "sim-text", "capabilities": {"images": False}}
    return json.dumps({"adapters": adapters, "models": models})


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[tuple[DaemonProcess, Simulator]]:
    async with Simulator() as simulator, DaemonProcess(config_of(simulator)) as daemon:
        yield daemon, simulator


@pytest.fixture
def simulator(world: tuple[DaemonProcess, Simulator]) -> Simulator:
    world[1].reset()
    return world[1]


@pytest.fixture
async def peer(world: tuple[DaemonProcess, Simulator]) -> AsyncIterator[Peer]:
    async with await Peer.connect(world[0].socket) as peer:
        await peer.initialize()
        yield peer


def history_of(body: Message) -> list[str]:
    """The conversation in a provider's request, message by message, as text."""
    found = body.get("messages") or body.get("input") or body.get("contents") or []
    return [json.dumps(one, ensure_ascii=False) for one in found]


def last_body(simulator: Any) -> Message:
    return json.loads(simulator.requests[-1].body)


async def fork(peer: Peer, session_id: str) -> str:
    return (await peer.call("session/fork", {"session_id": session_id})).ok()["session"]["session_id"]


# ---- every ordered pair: there and back


async def reasoned(peer: Peer, simulator: Any, home: str) -> tuple[str, list[str]]:
    """A session that has reasoned, called a tool and answered at `home`; and what a further turn sends there."""
    session_id = await create(peer, f"{home}:sim-thinking-tool", tools=[TOOL], system_prompt="Be brief.")
    ids = calls_of((await turn(peer, session_id, "What is the weather?")).ok()["message"])
    assert len(ids) == 1
    (await turn(peer, session_id, results_for(ids))).ok()
    stayed = await fork(peer, session_id)
    (await turn(peer, stayed, "And tomorrow?")).ok()
    at_home = history_of(last_body(simulator))[:-1]
    check_state_is_there(home, await messages_of(peer, stayed), "".join(at_home))
    return session_id, at_home


NOTHING_BACK = {"groq", "openai", "openai-compatible", "qwen"}
"""Whose wire takes no reasoning back: what they think is for people to read."""
SIGNED = {"anthropic": "signature", "anthropic-compatible": "signature", "gemini": "thoughtSignature"} | {
    "openai-responses": "encrypted_content"
}
"""What the others sign or encrypt it with; the rest give and take it as text."""


def leaves(value: Any, key: str = "") -> list[str]:
    """The texts of a provider's state that are its own: signatures, encrypted reasoning, ids."""
    if isinstance(value, dict):
        return [text for name, one in value.items() for text in leaves(one, name)]
    if isinstance(value, list):
        return [text for one in value for text in leaves(one, key)]
    return [value] if isinstance(value, str) and key not in ("provider", "model", "field") else []


def check_state_is_there(home: str, messages: list[Message], sent: str) -> None:
    """What a home gave to be given back goes there: signatures, encrypted reasoning, or reasoning as text; on both answers."""
    answers = [message["content"] for message in messages if message["role"] == "assistant"][:2]
    for number, content in enumerate(answers):
        raws = [block["provider_raw"] for block in content if "provider_raw" in block]
        assert SIGNED.get(home, "") in json.dumps(raws), f"{home}: answer {number} is not signed"
        state = leaves(raws)
        state += [block["text"] for block in content if block["type"] == "thinking" and "field" in block.get("provider_raw", {})]
        if home == "ollama":
            state += [block["text"] for block in content if block["type"] == "thinking"]
        assert bool(state) is (home not in NOTHING_BACK), f"{home}: answer {number} has state"
        missing = [text for text in state if json.dumps(text, ensure_ascii=False) not in sent]
        assert not missing, f"{home}: answer {number}"


@pytest.mark.parametrize("home", TYPES)
async def test_there_and_back_again_to_every_other(peer: Peer, simulator: Any, home: str) -> None:
    session_id, at_home = await reasoned(peer, simulator, home)
    before = await messages_of(peer, session_id)
    for away in TYPES:
        if away == home:
            continue
        travelling = await fork(peer, session_id)
        left = (await turn(peer, travelling, "Elsewhere?", model=f"{away}:sim-thinking-tool")).ok()
        assert left["handoff"]["from_model"] == f"{home}:sim-thinking-tool"
        assert left["handoff"]["to_model"] == f"{away}:sim-thinking-tool"
        calls, results = wire_pairs(last_body(simulator))
        assert calls == results, f"{home} → {away}"
        ids = calls_of(left["message"])
        (await turn(peer, travelling, results_for(ids), model=f"{away}:sim-text")).ok()
        back = (await turn(peer, travelling, "And tomorrow?")).ok()
        sent = history_of(last_body(simulator))
        assert sent[: len(at_home)] == at_home, f"{home} → {away} → {home}"
        calls, results = wire_pairs(last_body(simulator))
        assert calls == results
        assert back["handoff"]["from_model"] == f"{away}:sim-text"
        assert (await messages_of(peer, travelling))[: len(before)] == before, "what is stored is never changed"


# ---- F8, F9: calls over a swap

WIRES = ("anthropic", "openai", "openai-responses", "gemini", "ollama", "minimax")


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(WIRES, 2)))
async def test_results_of_pending_calls_go_to_the_other_provider(peer: Peer, simulator: Any, one: str, other: str) -> None:
    session_id = await create(peer, f"{one}:sim-parallel-tools-2", tools=[TOOL])
    ids = calls_of((await turn(peer, session_id)).ok()["message"])
    assert len(ids) == 2
    (await turn(peer, session_id, results_for(ids), model=f"{other}:sim-text")).ok()
    calls, results = wire_pairs(last_body(simulator))
    assert calls == results
    sent = json.dumps(last_body(simulator))
    assert sent.count("sunny") == 2
    assert await problems_of(peer, session_id) == []
    (await turn(peer, session_id, "Back", model=f"{one}:sim-text")).ok()


# ---- F10: the preview


async def test_a_preview_asks_nobody_and_says_what_the_turn_will(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-thinking")
    (await turn(peer, session_id, "Think.")).ok()
    (await turn(peer, session_id, "Again.", model="anthropic:sim-text")).ok()
    requests = len(simulator.requests)
    preview = (await peer.call("handoff/preview", {"session_id": session_id, "model": "openai:sim-text"})).ok()
    assert len(simulator.requests) == requests
    assert preview["from_model"] == "anthropic:sim-text"
    assert preview["to_model"] == "openai:sim-text"
    assert preview["kept"] == 4
    assert [one["code"] for one in preview["dropped"]] == ["content_dropped"]
    assert preview["cost"] == pytest.approx(preview["input_tokens"] * 3e-6)
    assert 0 < preview["stay_cost"] < preview["cost"]
    assert preview["currency"] == "USD"
    report = (await turn(peer, session_id, "Go.", model="openai:sim-text")).ok()["handoff"]
    assert report["dropped"] == preview["dropped"]
    assert report["kept"] == preview["kept"] + 1, "and the new input"
    unknown = await peer.call("handoff/preview", {"session_id": session_id, "model": "openai:nowhere"})
    assert unknown.data["error_class"] == "model_not_found"


async def test_a_preview_names_what_the_model_can_t_take(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-text")
    image = {"type": "image", "source": {"kind": "base64", "data": "iVBORw0KGgo="}, "media_type": "image/png"}
    (await turn(peer, session_id, [{"role": "user", "content": [image]}])).ok()
    preview = (await peer.call("handoff/preview", {"session_id": session_id, "model": "openai:blind"})).ok()
    assert [one["code"] for one in preview["refused"]] == ["capability_mismatch"]
    checked = (await peer.call("session/validate", {"session_id": session_id, "model": "openai:blind"})).ok()
    assert checked["valid"] is False
    assert (await turn(peer, session_id, "x", model="openai:blind")).data["error_class"] == "capability_mismatch"
    (await turn(peer, session_id, "x")).ok()


async def test_a_history_is_judged_as_the_next_turn_sends_it(peer: Peer) -> None:
    """A model that takes no beginning of its own answer, or no empty history, gets a message of the user's with the turn."""
    model = {"model": "anthropic:strict"}
    session_id = await create(peer, "anthropic:sim-text")
    for _ in range(2):
        checked = (await peer.call("session/validate", {"session_id": session_id, **model})).ok()
        assert checked == {"valid": True, "problems": []}
        assert (await peer.call("handoff/preview", {"session_id": session_id, **model})).ok()["refused"] == []
        (await turn(peer, session_id, "x")).ok()


# ---- reasoning that others can't read


async def test_foreign_reasoning_goes_along_as_text_where_the_policy_says_so(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-thinking", policy={"foreign_reasoning": "text"})
    first = (await turn(peer, session_id, "Think.")).ok()
    thought = first["message"]["content"][0]["text"]
    moved = (await turn(peer, session_id, "Go on.", model="openai:sim-text")).ok()
    assert f"<thinking>\n{thought}\n</thinking>" in last_body(simulator)["messages"][1]["content"]
    assert [one["code"] for one in moved["handoff"]["degraded"]] == ["content_projected"]
    (await turn(peer, session_id, "And back.")).ok()
    blocks = last_body(simulator)["messages"][1]["content"]
    assert blocks[0]["type"] == "thinking"
    assert blocks[0]["signature"] == first["message"]["content"][0]["provider_raw"]["signature"]


async def test_state_is_bound_to_the_endpoint_that_made_it(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-thinking")
    (await turn(peer, session_id, "Think.")).ok()
    moved = (await turn(peer, session_id, "There?", model="anthropic-2:sim-text")).ok()
    assert "signature" not in simulator.requests[-1].body.decode()
    assert moved["handoff"]["dropped"]
    (await turn(peer, session_id, "And back.", model="anthropic:sim-text")).ok()
    assert "signature" in simulator.requests[-1].body.decode()


async def test_a_refused_signature_is_repaired_once_and_wedges_nothing(peer: Peer, simulator: Any) -> None:
    session_id = await create(peer, "anthropic:sim-text")
    forged = {"type": "thinking", "text": "old", "provider_raw": {"provider": "anthropic", "model": "m", "signature": FORGED}}
    old: list[Message] = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": [forged, {"type": "text", "text": "A"}]},
    ]
    (await peer.call("session/append", {"session_id": session_id, "messages": old})).ok()
    reply = await turn(peer, session_id, "Go on.")
    result = reply.ok()
    assert len(simulator.requests) == 2
    assert "content_dropped" in {warning["code"] for warning in result["warnings"]}
    assert [event["event"]["type"] for event in reply.events].count("message.start") == 1
    assert [event["event"]["type"] for event in reply.events].count("message.complete") == 1
    assert (await messages_of(peer, session_id))[1]["content"][0] == forged, "it stays in what is stored"
    (await turn(peer, session_id, "And on.", model="anthropic:sim-thinking")).ok()
    assert len(simulator.requests) == 3, "the next turn knows"
    (await turn(peer, session_id, "Once more.")).ok()
    assert len(simulator.requests) == 4
    sent = simulator.requests[-1].body.decode()
    assert FORGED not in sent
    assert "signature" in sent, "what came after it goes back"
    rows = (await peer.call("usage/query", {"session_id": session_id})).ok()["rows"]
    assert sorted(row["status"] for row in rows) == ["completed", "completed", "completed", "failed"]
